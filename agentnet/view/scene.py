"""The network of a realization as the live page draws it: where agents stand, and what colours tell of them.

Where nobody engages, colours tell what a world measures of its agents; where there are no edges, agents stand
in a circle, as models do that interview each other. What does not change while a realization is played is
read and laid out once; `read_moves` reads the rest.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InputError
from agentnet.events import Run
from agentnet.events.graphs import read_edges
from agentnet.report.player import Most, engagements, few, laid_out, shown_of
from agentnet.vocabulary import TRAITS

N_COLOURS: Final = 8
"""More groups than this no colours tell apart: such a grouping is left out."""

N_MEASURED: Final = 60_000
"""Values of measures that are read of a realization at most: those of its last steps."""

_PLACE = """
SELECT network, n_agents, n_edges, initial_agent FROM realizations LEFT JOIN networks USING (network)
WHERE realization = ?
"""
_AGENTS = "SELECT agent, profile, persona, voice, attributes FROM agents WHERE realization = ?"
_COUNTS = "SELECT n_engaged FROM steps WHERE realization = ? ORDER BY step"
_MEASURES = """
SELECT name, step, agent, value FROM measures WHERE realization = ? AND agent >= 0
ORDER BY step DESC, name, agent LIMIT ?
"""
_TIES = """
SELECT step, model, interviewed FROM interviews
WHERE realization = ? AND interviewed IS NOT NULL ORDER BY step
"""
_MODELS = "SELECT model, class FROM models WHERE realization = ? ORDER BY model"


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What of a realization's network stays as it is.

    Attributes:
        n_agents: Agents, shown or not.
        n_edges: Edges, shown or not.
        agents: Numbers of those that are shown; other arrays are in their order.
        xy: Where they stand, 0 to 1,000, shape ``(n_shown, 2)``.
        edges: Pairs of places among `agents`, shape ``(n_shown_edges, 2)``.
        groups: What they are told apart by -> the groups' names, and which one each is in, -1 none.
    """

    n_agents: int
    n_edges: int
    agents: NDArray[np.int64]
    xy: NDArray[np.int64]
    edges: NDArray[np.int64]
    groups: Mapping[str, tuple[list[str], list[int]]]

    def for_page(self) -> dict[str, Any]:
        """Give what the page's script draws from."""
        numbers = {name: getattr(self, name).ravel().tolist() for name in ("agents", "xy", "edges")}
        groups = {name: {"names": names, "of": of} for name, (names, of) in self.groups.items()}
        return {"n_agents": self.n_agents, "n_edges": self.n_edges, **numbers, "groups": groups}


def read_ground(run: Run, realization: int, most: Most | None = None) -> Ground | None:
    """Read and lay out the network of a realization; None if it has neither network nor models.

    Raises:
        InputError: There is no such realization.
    """
    most = most or Most()
    with run.connection() as connection:
        row = connection.execute(_PLACE, (realization,)).fetchone()
        if row is None:
            raise InputError(f"there is no realization {realization}", path=run.path)
        network, n_agents, n_edges, initial = row
        if network is None:
            return _of_models(connection, realization)
        every = read_edges(run, network).astype(np.int64)
        if initial is None:
            initial = int(np.bincount(every.ravel(), minlength=n_agents).argmax())
        agents, inside = shown_of(every, n_agents, initial, most.n_agents)
        nobody = np.full(agents.size, -1)
        groups = _groups(connection.execute(_AGENTS, (realization,)), agents)
        xy = laid_out(inside, agents.size, 0) if inside.size else _circle(agents.size)
        return Ground(n_agents, n_edges, agents, xy, few(inside, nobody, most.n_edges), groups)


def _of_models(connection: sqlite3.Connection, realization: int) -> Ground | None:
    rows = connection.execute(_MODELS, (realization,)).fetchall()
    if not rows:
        return None
    n, none = len(rows), np.empty((0, 2), np.int64)
    classes = dict(filter(None, [_grouped("class", [name for _, name in rows])]))
    return Ground(n, 0, np.arange(n), _circle(n), none, classes)


def _circle(n: int) -> NDArray[np.int64]:
    angle = 2 * np.pi * np.arange(n) / n
    return np.asarray(np.rint(500 + 500 * np.column_stack([np.sin(angle), -np.cos(angle)])), np.int64)


def _groups(
    rows: Iterable[tuple[Any, ...]], agents: NDArray[np.int64]
) -> dict[str, tuple[list[str], list[int]]]:
    """Tell agents apart by trait, persona, voice and what is known of them, where few groups come of it."""
    wanted = set(agents.tolist())
    known = {agent: rest for agent, *rest in rows if agent in wanted}
    every = [dict(_told(*known[agent])) if agent in known else {} for agent in agents.tolist()]
    names = dict.fromkeys(name for each in every for name in each)
    return dict(filter(None, (_grouped(name, [each.get(name) for each in every]) for name in names)))


def _told(
    profile: str, persona: str | None, voice: str | None, attributes: str | None
) -> Iterator[tuple[str, str]]:
    if voice:
        yield "voice", voice
    if persona:
        yield "persona", persona
    for name, value in (json.loads(attributes) if attributes else {}).items():
        if value is not None:
            yield (name if name not in {"voice", "persona"} else f"{name} (attribute)"), str(value)
    if len(profile) == len(TRAITS):
        yield from (
            (trait, "high" if bit == "1" else "low") for trait, bit in zip(TRAITS, profile, strict=True)
        )


def _grouped(name: str, values: Sequence[str | None]) -> tuple[str, tuple[list[str], list[int]]] | None:
    found = sorted({value for value in values if value is not None}, key=lambda each: (len(each), each))
    if not 1 < len(found) <= N_COLOURS:
        return None
    number = {value: place for place, value in enumerate(found)}
    return name, ([each[:80] for each in found], [-1 if each is None else number[each] for each in values])


def read_moves(run: Run, realization: int, ground: Ground) -> dict[str, Any]:
    """Read what changed on it: who engaged when through whom, who interviewed whom, what was measured.

    Returns:
        ``counts``: engaged agents by step; ``engaged``: the step of each, -1 never; ``source``: through
        whom, -1 nobody who is shown; ``ties``: step -> places of who was interviewed; ``measures``: name ->
        step -> each agent's value.
    """
    agents = ground.agents
    with run.connection() as connection:
        counts = [n for (n,) in connection.execute(_COUNTS, (realization,))]
        engaged, source = engagements(connection, realization, agents)
        ties: dict[int, list[int]] = {}
        for step, *pair in connection.execute(_TIES, (realization,)):
            ties.setdefault(step, []).extend(pair)
        measures = _measures(connection.execute(_MEASURES, (realization, N_MEASURED)), agents)
    return {
        "counts": counts,
        "engaged": engaged.tolist(),
        "source": source.tolist(),
        "ties": ties,
        "measures": measures,
    }


def _measures(
    rows: Iterable[tuple[str, int, int, float | None]], agents: NDArray[np.int64]
) -> dict[str, dict[int, list[float | None]]]:
    place = {agent: i for i, agent in enumerate(agents.tolist())}
    found: dict[str, dict[int, list[float | None]]] = {}
    empty = partial(list[float | None], [None] * agents.size)
    for name, step, agent, value in rows:
        if agent in place and value is not None and math.isfinite(value):
            found.setdefault(name, {}).setdefault(step, empty())[place[agent]] = value
    return found
