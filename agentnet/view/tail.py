"""Follows the event log of a run while it is written: what was counted once is not counted again.

A log is read in short looks, each by a connection of its own that is closed again, so that no look keeps the
writer from moving on, checkpointing, or turning a finished log into one file. A look reads what came to an
end, and of the realizations that are played the steps that are not over yet; what is over is added up for
good. `Board` holds what all adds up to, over all shards of a run.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from agentnet.errors import RunFolderError
from agentnet.events import Run
from agentnet.events.conditions import Condition, condition_of, spelling
from agentnet.events.read import reading
from agentnet.events.schema import shadows
from agentnet.events.spent import NOTHING, Use
from agentnet.vocabulary import REASON

N_NEWEST: Final = 40
"""How many of the decisions that came last are kept."""

N_INCIDENTS: Final = 50
"""How many incidents are kept."""

ENGAGED: Final = "engaged fraction"
"""What the curve of table ``steps`` is called, beside those of table ``measures``."""

_NEEDED: Final = ("status", "experiment", "model_name", "n_realizations", "created_at")
_ALL: Final = (1 << 62) - 1
_NUMBERS: Final = (
    *("n", "yes", "no", "missing", "calls", "prompt_tokens", "completion_tokens", "cached"),
    "without_tokens",
)

_KINDS = """
WITH RECURSIVE k(kind) AS (
    SELECT MIN(kind) FROM events WHERE realization = :realization
    UNION ALL SELECT (SELECT MIN(kind) FROM events WHERE realization = :realization AND kind > k.kind)
    FROM k WHERE kind IS NOT NULL
)
SELECT kind, (SELECT MAX(step) FROM events e WHERE realization = :realization AND e.kind = k.kind)
FROM k WHERE kind IS NOT NULL
"""
_SUMS = """
SELECT COUNT(*), COALESCE(SUM(decision = 1), 0), COALESCE(SUM(decision = 0), 0), COUNT(missing),
       COALESCE(SUM(attempts * (1 - cached)), 0), COALESCE(SUM(prompt_tokens * (1 - cached)), 0),
       COALESCE(SUM(completion_tokens * (1 - cached)), 0), COALESCE(SUM(cached), 0),
       COALESCE(SUM(cached = 0 AND attempts > 0 AND (prompt_tokens IS NULL OR completion_tokens IS NULL)), 0)
FROM events WHERE realization = ? AND kind = ? AND step > ? AND step <= ?
"""
_NEWEST = """
SELECT at, realization, kind, step, agent, source, repeat FROM events
WHERE realization = ? AND kind = ? AND step > ? ORDER BY at DESC LIMIT ?
"""
_REALIZATIONS = """
SELECT realization, condition, status, n_agents FROM realizations LEFT JOIN networks USING (network)
WHERE realization > ? OR realization IN (SELECT value FROM json_each(?)) ORDER BY realization
"""
_SKIPPED = "SELECT realization FROM realizations WHERE realization NOT IN (SELECT value FROM json_each(?))"
_ENGAGED = "SELECT step, n_engaged FROM steps WHERE realization = ? AND step > ?"
_MEASURES = """
SELECT name, step, COALESCE(AVG(CASE WHEN agent < 0 THEN value END), AVG(value)) FROM measures
WHERE realization = ? AND step > ? GROUP BY 1, 2
"""

Key = tuple[int, str, int, int, int, int]
"""Where a decision stands: realization, kind, step, agent, source, repeat."""

Sums = tuple[int, ...]
Values = dict[int, float]


class Came(NamedTuple):
    """A decision that came lately: when, its key, and which log of the run holds it."""

    at: float
    key: Key
    log: int


@dataclass(slots=True)
class Curve:
    """A mean over realizations by step; one that ended keeps its last value."""

    _there: dict[int, tuple[float, int]] = field(default_factory=dict)
    _ended: dict[int, tuple[float, int]] = field(default_factory=dict)

    def add(self, values: Values, *, ended: bool, times: int = 1) -> None:
        """Add the values of a realization by step, or take them away again (`times` -1)."""
        for step, value in values.items():
            _add(self._there, step, value, times)
        if ended and values:
            last = max(values)
            _add(self._ended, last, values[last], times)

    def means(self) -> list[tuple[int, float]]:
        """Give the mean at each step."""
        found, kept, n_kept = [], 0.0, 0
        for step in sorted(self._there):
            total, n = self._there[step]
            if n + n_kept:
                found.append((step, (total + kept) / (n + n_kept)))
            total, n = self._ended.get(step, (0.0, 0))
            kept, n_kept = kept + total, n_kept + n
        return found


def _add(sums: dict[int, tuple[float, int]], step: int, value: float, times: int) -> None:
    total, n = sums.get(step, (0.0, 0))
    sums[step] = total + times * value, n + times


@dataclass(slots=True)
class Board:
    """What the logs of a run come to so far.

    Attributes:
        counts: (number of the condition, kind of event) -> how many, and what they took; see `counted`.
        curves: (name, number of the condition) -> the mean by step.
        states: How many realizations are running, finished, and so on.
        troubles: How many unusable replies and failed calls there were, by kind.
        incidents: What befell the run, oldest first: when, kind, detail.
        newest: The decisions that came last, newest first.
        n_settled: Decisions of the realizations that ended.
        rewound: Whether a sitting began anew, so that all is to be counted again.
    """

    counts: dict[tuple[int | None, str], Sums] = field(default_factory=dict)
    curves: defaultdict[tuple[str, int | None], Curve] = field(default_factory=lambda: defaultdict(Curve))
    states: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    incidents: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    newest: list[Came] = field(default_factory=list)
    n_settled: int = 0
    rewound: bool = False

    def counted(self) -> dict[str, int]:
        """Add up over all conditions: answers (reasons are none), missing ones among them, what all took."""
        answers = [sums for (_, kind), sums in self.counts.items() if kind != REASON]
        found = dict.fromkeys(_NUMBERS, 0) | {
            name: sum(sums[place] for sums in answers) for place, name in enumerate(_NUMBERS)
        }
        for (_, kind), sums in self.counts.items():
            if kind == REASON:
                for place in range(4, len(_NUMBERS)):
                    found[_NUMBERS[place]] += sums[place]
        return found

    def by_condition(self) -> list[dict[str, Any]]:
        """List yes, no and missing of each condition and kind; those without an answer of yes or no, too."""
        order = sorted(self.counts, key=lambda key: (key[0] is None, key[0] or 0, key[1]))
        return [
            {
                "condition": condition,
                "kind": kind,
                **dict(zip(_NUMBERS, self.counts[condition, kind], strict=True)),
            }
            for condition, kind in order
            if kind != REASON
        ]

    def take(self, key: tuple[int | None, str], sums: Sums, instead_of: Sums | None) -> None:
        """Add what some events come to, in place of what they came to before."""
        before, was = self.counts.get(key, _NOTHING), instead_of or _NOTHING
        self.counts[key] = tuple(a + b - c for a, b, c in zip(before, sums, was, strict=True))

    def came(self, some: Iterator[Came]) -> None:
        """Note decisions that came."""
        every = sorted({*self.newest, *some}, reverse=True)
        self.newest = every[:N_NEWEST]


_NOTHING: Final[Sums] = (0,) * len(_NUMBERS)


@dataclass(slots=True)
class _Played:
    """A realization: what was added to the board of it.

    Attributes:
        condition: Number of its condition.
        n_agents: Agents of its network; None without one.
        through: The last step that is over.
        closed: Kind -> what the events of the steps that are over come to.
        told: Kind -> what the board has of it.
        curves: Name -> values by step that the board has.
        ended: Whether it ended.
    """

    condition: int | None
    n_agents: int | None
    through: int = -1
    closed: dict[str, Sums] = field(default_factory=dict)
    told: dict[str, Sums] = field(default_factory=dict)
    curves: dict[str, Values] = field(default_factory=dict)
    ended: bool = False


class Tail:
    """Follows one log.

    Args:
        run: The run, or one shard of it.
        board: Where what it comes to is added.
        log: Its place among the logs of the run.

    Raises:
        RunFolderError: The log is damaged.

    Attributes:
        meta: Table ``meta`` as it was first read.
        status: What it says of the run's end.
        recorded: What the answers that were counted took.
        n_without_tokens: Of these, those whose tokens no server counted.
        n_uncounted: Realizations that ended before anybody looked, and are to be counted yet.
    """

    def __init__(self, run: Run, board: Board, log: int = 0) -> None:
        self.run = run
        self.meta: Mapping[str, Any] = run.meta
        if lacking := [key for key in _NEEDED if key not in self.meta]:
            raise RunFolderError(f"{run.path} is damaged: table meta lacks {', '.join(lacking)}")
        with reading(run.path) as connection:
            self._shadows = shadows(connection)
        self.status = ""
        self.recorded = NOTHING
        self.n_without_tokens = 0
        self._board = board
        self._log = log
        self._numbers = {spelling(each.overrides): each.number for each in Condition.all_of(self.meta)}
        self._has_twins = len(self._numbers) < len(self.meta["experiment"]["conditions"])
        self._last = {"incident": 0, "trouble": 0}
        self._begun: set[int] = set()
        self._played: dict[int, _Played] = {}
        self._uncounted: list[int] = []
        self._mark: object = None

    @property
    def n_uncounted(self) -> int:
        """Count the realizations that are to be counted yet."""
        return len(self._uncounted)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Open the log as `Run.connection` does, which looks each time of what version it is.

        Raises:
            RunFolderError: It is gone or damaged.
        """
        with reading(self.run.path) as connection:
            for statement in self._shadows:
                connection.execute(statement)
            yield connection

    def changed(self) -> bool:
        """Say whether the log was written since this was asked last; looks at no page of it."""
        path = self.run.path
        beside = path.with_name(f"{path.name}-wal")
        mark = tuple((at.st_mtime_ns, at.st_size) if (at := _stat(each)) else None for each in (path, beside))
        was, self._mark = self._mark, mark
        return mark != was

    def look(self, *, for_s: float = 0.05) -> None:
        """Read what was written since the last look; of what there was before, as much as fits into `for_s`.

        Raises:
            RunFolderError: The log is gone or damaged.
        """
        until = time.monotonic() + for_s
        with self.connection() as connection:
            self.status = json.loads(
                connection.execute("SELECT value FROM meta WHERE key = 'status'").fetchone()[0]
            )
            self._look_at_incidents(connection)
            is_first = not self._begun
            ended = self._look_at_realizations(connection)
            if is_first:
                self._uncounted, ended = ended, []
            playing = [number for number, each in self._played.items() if not each.ended]
            for number in (*playing, *ended):
                self._count(connection, number, is_news=True)
            while self._uncounted:
                self._count(connection, self._uncounted.pop(), is_news=False)
                if time.monotonic() >= until:
                    break

    def _look_at_incidents(self, connection: sqlite3.Connection) -> None:
        board, last = self._board, self._last
        query = "SELECT incident, at, kind, detail FROM incidents WHERE incident > ? ORDER BY incident"
        for incident, at, kind, detail in connection.execute(query, (last["incident"],)).fetchall():
            board.rewound |= kind == "resumed" and last["incident"] > 0
            last["incident"] = incident
            board.incidents = sorted([*board.incidents, (at, kind, json.loads(detail))], key=_first)[
                -N_INCIDENTS:
            ]
        query = "SELECT trouble_kind, COUNT(*), MAX(trouble) FROM troubles WHERE trouble > ? GROUP BY 1"
        for kind, n, trouble in connection.execute(query, (last["trouble"],)).fetchall():
            board.troubles[kind] += n
            last["trouble"] = max(last["trouble"], trouble)

    def _look_at_realizations(self, connection: sqlite3.Connection) -> list[int]:
        """Read which realizations began and ended; list those that ended."""
        last = (max(self._begun, default=-1),)
        wanted = [number for number, each in self._played.items() if not each.ended]
        (n_begun,) = connection.execute(
            "SELECT COUNT(*) FROM realizations WHERE realization <= ?", last
        ).fetchone()
        if n_begun > len(self._begun):
            # Begun after others of higher numbers.
            wanted += [
                n for (n,) in connection.execute(_SKIPPED, (json.dumps([*self._begun]),)) if n <= last[0]
            ]
        rows = connection.execute(_REALIZATIONS, (*last, json.dumps(wanted))).fetchall()
        of_each = condition_of(connection) if self._has_twins and rows else {}
        ended = []
        for number, condition, status, n_agents in rows:
            if number not in self._begun:
                place = of_each.get(number) if self._has_twins else self._number(condition)
                self._played[number] = _Played(place, n_agents)
                self._begun.add(number)
                self._board.states["running"] += 1
            if status != "running":
                self._board.states["running"] -= 1
                self._board.states[status] += 1
                self._played[number].ended = True
                ended.append(number)
        return ended

    def _number(self, condition: str) -> int | None:
        """Number the condition of a realization by the design overrides that stand in its row."""
        try:
            return self._numbers.get(spelling(json.loads(condition)))
        except ValueError:
            return None

    def _count(self, connection: sqlite3.Connection, number: int, *, is_news: bool) -> None:
        """Add up what is new in a realization; one that ended is read whole: answers may come late."""
        board, played = self._board, self._played[number]
        since = played.through
        if played.ended:
            played.closed, played.through = {}, -1
            del self._played[number]
        kinds = dict(connection.execute(_KINDS, {"realization": number}).fetchall())
        self._measure(connection, number, played)
        if not played.ended:
            self._close(connection, number, played, kinds)
        for kind in kinds:
            sums = _plus(played.closed.get(kind), self._sums(connection, number, kind, played.through, _ALL))
            if is_news and kind != REASON and sums != played.told.get(kind):
                rows = connection.execute(_NEWEST, (number, kind, since, N_NEWEST)).fetchall()
                board.came(Came(at, tuple(key), self._log) for at, *key in rows)
            board.take((played.condition, kind), sums, played.told.get(kind))
            self.recorded = self.recorded.plus(_use(sums)).minus(_use(played.told.get(kind, _NOTHING)))
            self.n_without_tokens += sums[-1] - played.told.get(kind, _NOTHING)[-1]
            played.told[kind] = sums
            if played.ended and kind != REASON:
                board.n_settled += sums[0]

    def _close(
        self, connection: sqlite3.Connection, number: int, played: _Played, kinds: Mapping[str, int]
    ) -> None:
        """Add up the steps that are over: up to the last with a curve, or to the one before the last."""
        noted = max((step for values in played.curves.values() for step in values), default=None)
        over = noted if noted is not None else max(kinds.values(), default=0) - 1
        if over > played.through:
            for kind in kinds:
                sums = self._sums(connection, number, kind, played.through, over)
                played.closed[kind] = _plus(played.closed.get(kind), sums)
            played.through = over

    def _sums(self, connection: sqlite3.Connection, number: int, kind: str, after: int, through: int) -> Sums:
        return tuple(connection.execute(_SUMS, (number, kind, after, through)).fetchone())

    def _measure(self, connection: sqlite3.Connection, number: int, played: _Played) -> None:
        """Bring the curves up to date."""
        found = {name: dict(values) for name, values in played.curves.items() if not played.ended}
        for step, n_engaged in connection.execute(_ENGAGED, (number, played.through)):
            if played.n_agents:
                found.setdefault(ENGAGED, {})[step] = n_engaged / played.n_agents
        for name, step, value in connection.execute(_MEASURES, (number, played.through)):
            if value is not None and math.isfinite(value):
                found.setdefault(name, {})[step] = value
        for name, values in played.curves.items():
            self._board.curves[name, played.condition].add(values, ended=False, times=-1)
        for name, values in found.items():
            self._board.curves[name, played.condition].add(values, ended=played.ended)
        played.curves = found


def _use(sums: Sums) -> Use:
    return Use(*sums[4:7])


def _plus(one: Sums | None, other: Sums) -> Sums:
    return other if one is None else tuple(a + b for a, b in zip(one, other, strict=True))


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _first(row: tuple[Any, ...]) -> Any:  # noqa: ANN401 - what is sorted by
    return row[0]
