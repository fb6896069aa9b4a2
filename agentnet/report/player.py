"""Pictures of networks with who engaged when, read from the log: few realizations, few agents, few edges.

A page can show some hundreds of agents, not a million. Of many realizations some are shown, from the one in
which fewest engaged to the one in which most did; of a large network the agents that are nearest to the
initial one. What is left out is said beside the picture.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.events import Run
from agentnet.events.graphs import read_edges
from agentnet.report.blocks import absent
from agentnet.report.figures.words import counted
from agentnet.report.html import Html, rendered
from agentnet.vocabulary import severity_name

N_COLOURS: Final = 8
"""Colours for the step at which an agent engaged: several steps share one where there are more."""

_SIDE: Final = 1_000
_N_ITERATIONS: Final = 50

_PLAYED = """
SELECT realization, n.id, n.severity, network, initial_agent, (SELECT n_engaged FROM steps s
       WHERE s.realization = r.realization ORDER BY step DESC LIMIT 1)
FROM realizations r LEFT JOIN news n USING (news)
WHERE network IS NOT NULL AND initial_agent IS NOT NULL ORDER BY realization
"""
_ENGAGED = """
SELECT COALESCE(engaged_step, -1), COALESCE((SELECT MIN(source) FROM events e
       WHERE e.realization = a.realization AND kind = 'exposure' AND step = engaged_step AND e.agent = a.agent
       AND decision = 1 AND source >= 0), -1)
FROM json_each(?) j LEFT JOIN agents a ON a.realization = ? AND a.agent = j.value ORDER BY j.key
"""
_COUNTS = "SELECT n_engaged FROM steps WHERE realization = ? ORDER BY step"


@dataclass(frozen=True, slots=True)
class Most:
    """How much a page shows, at most.

    Attributes:
        n_realizations: Realizations of each part.
        n_agents: Agents of each.
        n_edges: Edges of each, beside those along which agents engaged.
    """

    n_realizations: int = 9
    n_agents: int = 300
    n_edges: int = 1_500


@dataclass(frozen=True, slots=True, eq=False)
class PlayedCascade:
    """Who engaged when in one realization, among the agents that are shown.

    Attributes:
        realization: Its number.
        news: Name of the news item.
        severity: 0, 1 or None.
        n_agents: Agents of the network, shown or not.
        n_edges: Edges of the network, shown or not.
        n_engaged: Engaged agents of the network after each step, from step 0.
        agents: Numbers of the agents that are shown, shape ``(n_shown,)``; other arrays are in their order.
        xy: Where they stand, 0 to 1,000, shape ``(n_shown, 2)``.
        edges: Pairs of places among `agents`, shape ``(n_shown_edges, 2)``.
        engaged: Step at which they engaged, -1 never, shape ``(n_shown,)``.
        source: Place among `agents` of the one whose news was answered by yes, -1 none or not shown,
            shape ``(n_shown,)``.
    """

    realization: int
    news: str
    severity: int | None
    n_agents: int
    n_edges: int
    n_engaged: tuple[int, ...]
    agents: NDArray[np.int64]
    xy: NDArray[np.int64]
    edges: NDArray[np.int64]
    engaged: NDArray[np.int64]
    source: NDArray[np.int64]

    @property
    def title(self) -> str:
        """Name it for people."""
        severity = "" if self.severity is None else f", {severity_name(self.severity)}"
        return (
            f"realization {self.realization}: {self.news}{severity}, {self.n_engaged[-1]:,} of "
            f"{counted(self.n_agents, 'agent')} engaged"
        )

    def for_player(self) -> dict[str, list[int]]:
        """Give what the page's script draws from, as numbers alone."""
        arrays = {"xy": self.xy, "edges": self.edges, "engaged": self.engaged, "source": self.source}
        return {"counts": list(self.n_engaged)} | {
            name: each.ravel().tolist() for name, each in arrays.items()
        }


@dataclass(frozen=True, slots=True)
class Player:
    """The realizations of a part that are shown.

    Attributes:
        shown: They, by number.
        n_realizations: Realizations that they were chosen from.
        most: How much is shown, at most.
    """

    shown: tuple[PlayedCascade, ...]
    n_realizations: int
    most: Most
    name: ClassVar[str] = "player"

    @property
    def n_steps(self) -> int:
        """The longest of them, in steps, step 0 included: what colours are shared out over."""
        return max(len(each.n_engaged) for each in self.shown)

    def colour(self, step: int) -> int:
        """Number the colour of agents that engaged at `step`."""
        return step * N_COLOURS // self.n_steps

    @property
    def first(self) -> int:
        """Place of the one that is shown first: the middle one by how many engaged."""
        order = sorted(range(len(self.shown)), key=lambda i: self.shown[i].n_engaged[-1])
        return order[len(order) // 2]

    def notes(self) -> list[str]:
        """Say what is left out."""
        found = []
        if len(self.shown) < self.n_realizations:
            found.append(
                f"{len(self.shown):,} of {self.n_realizations:,} realizations can be chosen, from the one in "
                "which fewest agents engaged to the one in which most did."
            )
        if any(each.agents.size < each.n_agents for each in self.shown):
            found.append(
                f"Of larger networks the {self.most.n_agents:,} agents nearest to the initial one are shown: "
                "among them more engaged, and earlier, than among all; the counts are of the whole network."
            )
        elif any(len(each.edges) < each.n_edges for each in self.shown):
            found.append(
                f"Edges are shown in part, {self.most.n_edges:,} of each network and those along which "
                "agents engaged."
            )
        return found

    def for_player(self) -> list[dict[str, list[int]]]:
        """Give what the page's script draws from."""
        return [each.for_player() for each in self.shown]

    def to_html(self, anchor: str) -> Html:
        """Show the picture of one and what plays them all, or say that there is none.

        Args:
            anchor: Stands before the ids in it.
        """
        if not self.shown:
            return absent("no cascade has started")
        return rendered("player.j2", player=self, anchor=anchor, n_colours=N_COLOURS)


def read_player(
    run: Run, realizations: NDArray[np.int64] | None = None, *, seed: int = 0, most: Most | None = None
) -> Player:
    """Read who engaged when, in some of the realizations that started.

    Args:
        run: The run.
        realizations: Numbers of those to choose from; all if None.
        seed: Fixes where agents are drawn.
        most: How much to read, at most.
    """
    most = most or Most()
    with run.snapshot() as connection:
        rows = [
            row
            for row in connection.execute(_PLAYED).fetchall()
            if row[-1] is not None and (realizations is None or row[0] in realizations)
        ]
        chosen = _some(rows, most.n_realizations)
        scenes = (_scene(connection, row, read_edges(run, row[3]), seed, most) for row in chosen)
        return Player(tuple(scenes), len(rows), most)


def _some(rows: Sequence[Any], n: int) -> list[Any]:
    """Choose from rows that end with how many engaged, evenly by it."""
    by_size = sorted(rows, key=lambda row: (row[-1], row[0]))
    places = np.linspace(0, len(rows) - 1, min(len(rows), n)).round().astype(int)
    return sorted(by_size[place] for place in places)


def _scene(
    connection: sqlite3.Connection, row: tuple[Any, ...], edges: NDArray[np.int32], seed: int, most: Most
) -> PlayedCascade:
    realization, news, severity, network, initial, _ = row
    (n_agents,) = connection.execute("SELECT n_agents FROM networks WHERE network = ?", (network,)).fetchone()
    every = edges.astype(np.int64)
    agents, inside = shown_of(every, n_agents, initial, most.n_agents)
    engaged, source = engagements(connection, realization, agents)
    return PlayedCascade(
        realization=realization,
        news=news,
        severity=severity,
        n_agents=n_agents,
        n_edges=len(every),
        n_engaged=tuple(n for (n,) in connection.execute(_COUNTS, (realization,))),
        agents=agents,
        xy=laid_out(inside, agents.size, seed),
        edges=few(inside, source, most.n_edges),
        engaged=engaged,
        source=source,
    )


def engagements(
    connection: sqlite3.Connection, realization: int, agents: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read at which step agents engaged, and to whom they said yes; see `PlayedCascade`."""
    logged = connection.execute(_ENGAGED, (json.dumps(agents.tolist()), realization)).fetchall()
    engaged, source = np.array(logged, dtype=np.int64).reshape(-1, 2).T
    place = dict(zip(agents.tolist(), range(agents.size), strict=True))
    return engaged, np.array([place.get(agent, -1) for agent in source.tolist()], dtype=np.int64)


def shown_of(
    edges: NDArray[np.int64], n_agents: int, agent: int, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose the agents to show, and give the edges among them, by their places."""
    agents, place = _nearest(edges, n_agents, agent, most), np.full(n_agents, -1)
    place[agents] = np.arange(agents.size)
    inside = place[edges]
    return agents, inside[(inside >= 0).all(axis=1)]


def _nearest(edges: NDArray[np.int64], n_agents: int, agent: int, most: int) -> NDArray[np.int64]:
    """List the agents to show, in ascending order: all, or the ones that are nearest to `agent`."""
    if n_agents <= most:
        return np.arange(n_agents)
    reached = np.zeros(n_agents, bool)
    reached[agent] = True
    n = 1
    while n < most:
        ends = edges[reached[edges].any(axis=1)]
        found = np.unique(ends[~reached[ends]])
        if not found.size:
            break
        reached[found[: most - n]] = True
        n += found.size
    return np.flatnonzero(reached)


def few(edges: NDArray[np.int64], source: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Thin edges out evenly, but for those along which agents engaged."""
    if len(edges) <= most:
        return edges
    low, high = edges.T
    used = (source[low] == high) | (source[high] == low)
    used[np.linspace(0, len(edges) - 1, most).astype(int)] = True
    kept: NDArray[np.int64] = edges[used]
    return kept


def laid_out(edges: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Place agents so that neighbours are near each other, by Fruchterman and Reingold's forces."""
    place = np.random.default_rng(seed).random((2, n))
    joined = np.zeros((n, n))
    joined[tuple(edges.T)] = joined[tuple(edges.T[::-1])] = n**0.5
    hot = 0.1 * np.ptp(place, axis=1).max()
    for heat in np.linspace(hot, 0.0, _N_ITERATIONS + 1, endpoint=False)[:-1]:
        away = place[:, :, None] - place[:, None]
        square = np.maximum((away**2).sum(axis=0), 1e-4)
        push = (away * (1.0 / n / square - joined * np.sqrt(square))).sum(axis=2)
        place += heat * push / np.maximum(np.hypot(*push), 0.01)
    low, spread = place.min(axis=1), np.ptp(place, axis=1)
    placed = _SIDE * (place.T - low) / np.where(spread > 0, spread, 1.0)
    return np.asarray(np.rint(placed), dtype=np.int64)
