"""How a cascade is set up whose agents are told more than a news item, from what its hooks give."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from agentnet.asking_rules import AskingRule
from agentnet.errors import DesignError
from agentnet.events import Said
from agentnet.experiment import ask, blaming
from agentnet.exposure import Exposure, Missing
from agentnet.families.cascade.agents import agent_rows, check_begun, plain_attribute
from agentnet.families.cascade.experiment import CascadeExperiment, ask_profiles
from agentnet.families.contract import Scene, Sitting
from agentnet.families.news import NewsSetting
from agentnet.interventions import chosen
from agentnet.network import Network
from agentnet.population import Population
from agentnet.profiles import Profile
from agentnet.prompts.declared import Declared
from agentnet.streams import Streams
from agentnet.vocabulary import AFTERWARDS
from agentnet.worlds.told import People, Telling, ToldCascade, ToldRules, network_row

RULE = "rule"
"""The voice of agents that a method answers for."""


def told_scene(setting: NewsSetting, sitting: Sitting, network: Network, rule: AskingRule) -> Scene:
    """Set up one realization."""
    planned, experiment = setting.planned, setting.experiment
    streams = sitting.streams
    personas, bits, texts = _personas(experiment, network, streams, planned.chance)
    attributes = _attributes(network)
    population = Population(network.n_agents, texts, network.node_attributes)
    voices = _voices(experiment, population, streams.integer("voices", planned.chance))
    rows = agent_rows(planned, network, bits, texts, voices)
    if sitting.begun(planned):
        check_begun(sitting, planned, network, rows)
    world = ToldCascade(
        network,
        People(personas, attributes, voices),
        setting.item,
        _rules(experiment, network, rule, streams.integer("initial agents", planned.chance)),
        _telling(setting, streams),
        setting.voice,
        setting.chance,
        planned.realization,
        planned.condition,
    )
    return Scene(
        world.play(),
        sitting.sampler(planned),
        network.digest,
        {"networks": [network_row(network)], "agents": rows},
    )


def _personas(
    experiment: CascadeExperiment, network: Network, streams: Streams, chance: int
) -> tuple[Sequence[Profile | str], Sequence[str], Sequence[str]]:
    """Give who each agent is, its profile's bits, and its persona's text."""
    texts = ask(experiment, "assign_personas", network, streams.integer("personas", chance))
    if texts:
        _check_length(experiment, "assign_personas", texts, network.n_agents)
        return texts, [""] * network.n_agents, texts
    profiles = ask_profiles(experiment, network, streams.integer("profiles", chance))
    known = {index: Profile.from_index(index) for index in set(profiles.tolist())}
    dealt = [known[index] for index in profiles.tolist()]
    return dealt, [profile.bits for profile in dealt], ()


def _check_length(experiment: object, hook: str, given: Sequence[Any], n_agents: int) -> None:
    if len(given) != n_agents:
        raise DesignError(
            f"{type(experiment).__name__}.{hook} gives {len(given)} for {n_agents} agents; it gives one each"
        )
    for agent, each in enumerate(given):
        if not isinstance(each, str):
            raise DesignError(f"{type(experiment).__name__}.{hook} gives {each!r:.60} for agent {agent}")


def _voices(experiment: CascadeExperiment, population: Population, seed: int) -> Sequence[str]:
    if not experiment.voices:
        return ()
    dealt: Sequence[str] = ask(experiment, "deal_voices", population, seed)
    _check_length(experiment, "deal_voices", dealt, population.n_agents)
    for name in dict.fromkeys(dealt):
        if name not in experiment.voices:
            raise DesignError(
                f"{type(experiment).__name__}.deal_voices gives {name!r}, which is none of its voices: "
                f"{', '.join(experiment.voices)}"
            )
    return dealt


def _attributes(network: Network) -> Callable[[int], Mapping[str, Any]]:
    columns = network.node_attributes
    if not columns:
        return lambda _: {}
    return lambda agent: {name: plain_attribute(values[agent]) for name, values in columns.items()}


def _rules(experiment: CascadeExperiment, network: Network, rule: AskingRule, seed: int) -> ToldRules:
    initial = experiment.initial_agents
    return ToldRules(
        experiment.steps,
        rule,
        experiment.max_seed_attempts or network.n_agents,
        experiment.rationale == AFTERWARDS,
        initial if isinstance(initial, int) else 1,
        () if isinstance(initial, int) else _planted(initial, network, seed),
        experiment.interventions,
        experiment.recovery_rate,
        experiment.susceptible_again,
        type(experiment).network_at is not CascadeExperiment.network_at,
    )


def _planted(initial: Any, network: Network, seed: int) -> tuple[int, ...]:  # noqa: ANN401 - a user's
    """List the agents that are engaged at the start without being asked.

    Raises:
        DesignError: There are no such agents.
    """
    match initial:
        case {"top": (str(measure), int(count)), **rest} if not rest:
            return chosen(network, (), (measure, count))
        case {"share": int(share) | float(share), **rest} if not rest and 0 < share <= 1:
            count = max(1, round(share * network.n_agents))
            order = np.argsort(Streams(seed).words("initial agents", count=network.n_agents), kind="stable")
            return tuple(sorted(order[:count].tolist()))
        case [*agents] if agents and len(set(agents)) == len(agents):
            return chosen(network, agents, None)
        case _:
            raise DesignError(
                f"initial_agents is {initial!r}; it is a number (so many are asked until they say yes), a "
                'tuple of agents, each once, {"top": ("n_hearers", 5)} or {"share": 0.05}'
            )


def _telling(setting: NewsSetting, streams: Streams) -> Telling:
    experiment, book, planned = setting.experiment, setting.book, setting.planned

    def says(exposure: Exposure) -> str | None:
        if not exposure.voice or experiment.voices[exposure.voice] != RULE:
            return None
        with blaming():
            answer = experiment.rule(exposure)
        return spoken(experiment.declared, answer)

    def network_at(step: int) -> Network | None:
        seed = streams.integer("network at", planned.chance, step)
        found: Network | None = ask(experiment, "network_at", step, seed)[0]
        return found

    return Telling(
        lambda exposure: book.told(exposure, planned.news, says),
        lambda said: answer_of(experiment.declared, said),
        lambda exposure, answer: ask(experiment, "react", exposure, answer),
        network_at,
    )


def answer_of(declared: Declared, said: Said) -> Any:  # noqa: ANN401 - as declared
    """Give what was said as it was declared, or `Missing`."""
    if said.missing is not None:
        return Missing(said.missing)
    if said.value is not None:
        return declared.read(json.loads(said.value))
    return said.text if said.decision is None else bool(said.decision)


def spoken(declared: Declared, answer: object) -> str:
    """Spell an answer as an agent would that is held to the declaration.

    Raises:
        DesignError: It is not as declared.
    """
    if declared.form is bool and isinstance(answer, bool):
        return declared.answers[not answer]
    try:
        plain = TypeAdapter(declared.form).validate_python(answer)
    except ValidationError:
        raise DesignError(
            f"a rule answers {answer!r:.60}, which is none that {declared.form} allows"
        ) from None
    plain = TypeAdapter(declared.form).dump_python(plain, mode="json")
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
