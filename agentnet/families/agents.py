"""The agents of one realization: who they are, who answers for them, how they are written down."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from agentnet.errors import DesignError, RunFolderError
from agentnet.events import Columns, Run
from agentnet.experiment import ask
from agentnet.families.contract import Planned, Rows, Sitting
from agentnet.families.people import PeopledExperiment, ask_profiles
from agentnet.network import Network
from agentnet.population import Population
from agentnet.profiles import Profile
from agentnet.streams import Streams
from agentnet.worlds.told import network_row


def dealt_personas(
    experiment: PeopledExperiment, network: Network, streams: Streams, chance: int
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


def dealt_voices(experiment: PeopledExperiment, population: Population, seed: int) -> Sequence[str]:
    """Say who answers for each agent; () where the run's backend does for all.

    Raises:
        DesignError: An agent has no voice, or one that there is not.
    """
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


def attributes_of(network: Network) -> Callable[[int], Mapping[str, Any]]:
    """Look up what is known of an agent of `network`."""
    columns = network.node_attributes
    if not columns:
        return lambda _: {}
    return lambda agent: {name: _plain(values[agent]) for name, values in columns.items()}


def scene_rows(
    sitting: Sitting,
    planned: Planned,
    network: Network,
    bits: Sequence[str],
    personas: Sequence[str] = (),
    voices: Sequence[str] = (),
) -> dict[str, Rows]:
    """List the rows of a realization's network and agents; hold one that was begun before to what it has.

    Args:
        sitting: What all realizations share.
        planned: The realization.
        network: Its network.
        bits: The profile of each agent; "" where it has none.
        personas: The text of each one's persona, if they have any.
        voices: Who answers for each, if not the run's backend for all.

    Raises:
        RunFolderError: It was begun with another network or other agents.
    """
    said, spoken = personas or repeat(None), voices or repeat(None)
    if sitting.begun(planned):
        known = zip(bits, said, spoken, _attribute_rows(network), strict=False)
        _check_begun(sitting, planned, network, list(known))
    each = (repeat(planned.realization), range(network.n_agents), bits)
    table = "usual agents"
    columns: Sequence[Sequence[Any] | repeat[Any]] = each
    if network.node_attributes or personas or voices:
        table, columns = "agents", (*each, repeat(None), list(_attribute_rows(network)), said, spoken)
    return {"networks": [network_row(network)], table: Columns(network.n_agents, columns)}


def _check_begun(
    sitting: Sitting, planned: Planned, network: Network, agents: Sequence[tuple[str | None, ...]]
) -> None:
    number = planned.realization
    if sitting.networks[number] != network.digest:
        raise RunFolderError(
            f"{sitting.folder}: realization {number} was begun on another network than the experiment makes "
            "now; its network file or a library changed: go on with what it began with"
        )
    query = "SELECT profile, persona, voice, attributes FROM agents WHERE realization = ? ORDER BY agent"
    begun = Run(sitting.folder).rows(query, (number,))[1]
    # Logs of before attributes were recorded say nothing of them.
    told = 4 if any(row[3] is not None for row in begun) else 3
    if [row[:told] for row in begun] != [row[:told] for row in agents]:
        raise RunFolderError(
            f"{sitting.folder}: realization {number} was begun with other profiles or attributes of agents "
            "than the experiment has now; its node table or a library changed: go on with what it began with"
        )


def _attribute_rows(network: Network) -> Iterator[str | None]:
    """Spell what is known of each agent as JSON: a row of the node table, attributes of a graph's node."""
    if not network.node_attributes:
        yield from repeat(None, network.n_agents)
    names = list(network.node_attributes)
    for values in zip(*network.node_attributes.values(), strict=True):
        known = dict(zip(names, map(_plain, values), strict=True))
        yield json.dumps(known, ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> Any:  # noqa: ANN401 - str, int, float or None
    """Spell a value as JSON can: a number that is none is missing, an object is its text."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float) and not math.isinf(value):
        return None if math.isnan(value) else value
    return str(value)
