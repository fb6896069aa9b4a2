"""How a cascade is set up whose agents are told more than a news item, from what its hooks give."""

from __future__ import annotations

from typing import Any

import numpy as np

from agentnet.asking_rules import AskingRule
from agentnet.errors import DesignError
from agentnet.experiment import ask, blaming
from agentnet.exposure import Exposure
from agentnet.families.agents import attributes_of, dealt_personas, dealt_voices, scene_rows
from agentnet.families.answers import answer_of
from agentnet.families.cascade.experiment import CascadeExperiment
from agentnet.families.contract import Scene, Sitting
from agentnet.families.news import NewsSetting
from agentnet.interventions import chosen
from agentnet.network import Network
from agentnet.population import Population
from agentnet.streams import Streams
from agentnet.vocabulary import AFTERWARDS
from agentnet.voices import RULE
from agentnet.worlds.told import People, Telling, ToldCascade, ToldRules


def told_scene(setting: NewsSetting, sitting: Sitting, network: Network, rule: AskingRule) -> Scene:
    """Set up one realization."""
    planned, experiment = setting.planned, setting.experiment
    streams = sitting.streams
    personas, bits, texts = dealt_personas(experiment, network, streams, planned.chance)
    attributes = attributes_of(network)
    population = Population(network.n_agents, texts, network.node_attributes)
    voices = dealt_voices(experiment, population, streams.integer("voices", planned.chance))
    rows = scene_rows(sitting, planned, network, bits, texts, voices)
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
    return Scene(world.play(), sitting.sampler(planned), network.digest, rows)


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
        case {"top": (str(measure), int(count)), **rest} if not rest and count >= 1:
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
        try:
            said: str = experiment.declared.spell(answer)
        except DesignError as error:
            who = f"{type(experiment).__name__}.rule, for agent {exposure.agent} at step {exposure.step}"
            raise DesignError(f"{who}: {error}") from None
        return said

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
