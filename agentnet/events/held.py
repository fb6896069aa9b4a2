"""Events and agents that are held as they are written, so that a log need not be read back to be sealed.

To read a row of a large step back takes as long as to write it. Held is what would be read, and is read where
it is not: rows that came as columns in the order of their key, many of which are alike but for two numbers.
Whether a log has others beside them, whoever reads it knows by their number.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import count, islice, repeat
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np

from agentnet.events.blocks import AGENTS_EACH, LAYOUTS, Block, Key, rest_of

Column: TypeAlias = "Sequence[Any] | repeat[Any]"
"""The values of a column; or, as `itertools.repeat`, the one that all rows have."""

_MOST_ROWS: Final = 1 << 22
"""Rows that are held at most; each takes some 20 bytes."""

_LEAST_ALIKE: Final = 8
"""Rows for each different rest, which takes 300 bytes."""

_LOOKED_AT: Final = 1000

_LEAST_AGENTS: Final = 1000
"""Agents of a realization that are held; fewer are read as fast."""

_TYPES: Final = {"INTEGER": int, "REAL": float, "TEXT": str}


class _Piece(NamedTuple):
    """Some rows of a block, as `agentnet.events.blocks.Block` has them; `last` is the last one's numbers."""

    last: list[int]
    numbers: tuple[str, ...]
    which: str
    rests: list[tuple[Any, ...]]


class Held:
    """What is held of tables ``events`` and ``agents``.

    Args:
        connection: The log, while it has no events and no agents.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._rest, self._rest_of_agents = (_types_of_rest(connection, table) for table in LAYOUTS)
        self._agents: dict[int, tuple[Sequence[Any], list[int | None]] | None] = {}
        self._pieces: dict[Key, list[_Piece] | None] = {}
        self._n_rows = 0

    def block(self, key: Key) -> Block | None:
        """Give a block; None if it has to be read."""
        if len(key) == len(LAYOUTS["agents"].shared) + 2:
            return self._block_of_agents(*key)
        pieces = self._pieces.get(key)
        if not pieces:
            return None
        rests = [rest for piece in pieces for rest in piece.rests]
        # One that came with two pieces has two numbers here.
        if len(set(rests)) < len(rests):
            return None
        numbers = tuple(map(",".join, zip(*(piece.numbers for piece in pieces), strict=True)))
        return Block(key[:-2], numbers, ",".join(piece.which for piece in pieces), rests)

    def add(self, columns: Mapping[str, Column]) -> None:
        """Hold rows that were written.

        Args:
            columns: Column -> its values; all rows of a step come here.
        """
        lead = tuple(_first(columns[name]) for name in LAYOUTS["events"].shared)
        agents = np.array(columns["agent"])
        marks = np.unique(agents // AGENTS_EACH) * AGENTS_EACH
        begins, ends = (np.searchsorted(agents, at).tolist() for at in (marks, marks + AGENTS_EACH))
        for mark, begin, end in zip(marks.tolist(), begins, ends, strict=True):
            key = (*lead, mark, mark + AGENTS_EACH)
            pieces = self._pieces.setdefault(key, [])
            if pieces is not None:
                piece = self._piece(columns, slice(begin, end), pieces)
                self._pieces[key] = None if piece is None else [*pieces, piece]

    def add_agents(self, columns: Sequence[Column]) -> None:
        """Hold agents that were written, if they are a realization's first and have but profiles.

        Args:
            columns: The realization, the agents, and what they have; all that is written of them comes here.
        """
        realizations, agents, profiles, *others = columns
        n_agents = len(agents) if isinstance(agents, range) and isinstance(realizations, repeat) else 0
        is_all = not others and n_agents >= _LEAST_AGENTS and agents == range(n_agents)
        is_kept = is_all and not isinstance(profiles, repeat) and self._n_rows + n_agents <= _MOST_ROWS
        for number in {next(realizations)} if isinstance(realizations, repeat) else set(realizations):
            is_first = number not in self._agents
            self._agents[number] = None
            if is_kept and is_first:
                self._agents[number] = profiles, [None] * n_agents  # type: ignore[assignment]
                self._n_rows += n_agents

    def engage(self, rows: Iterable[Sequence[Any]]) -> None:
        """Hold that agents engaged.

        Args:
            rows: The step, the realization and the agents, as JSON; all that changes agents comes here.
        """
        for step, realization, spelled in rows:
            if known := self._agents.get(realization):
                engaged, agents = known[1], msgspec.json.decode(spelled, type=list[int])
                if 0 <= min(agents) <= max(agents) < len(engaged):
                    for agent in agents:
                        engaged[agent] = step
                else:
                    self._agents[realization] = None

    def _block_of_agents(self, realization: int, begin: int, beyond: int) -> Block | None:
        known = self._agents.get(realization)
        if known is None or not 0 <= begin < len(known[1]):
            return None
        which = defaultdict[tuple[Any, ...], int](count().__next__)
        profiles, engaged = (column[begin:beyond] for column in known)
        numbered = list(map(which.__getitem__, zip(profiles, engaged, strict=True)))
        written = dict(zip(("profile", "engaged_step"), zip(*which, strict=True), strict=True))
        rests = list(zip(*(written.get(n, (None,) * len(which)) for n in self._rest_of_agents), strict=True))
        if not all(map(_is_stored, self._rest_of_agents.values(), zip(*rests, strict=True))):
            return None
        agents = _spelled(range(begin, begin + len(numbered)))
        return Block((realization,), (agents,), _spelled(numbered), rests)

    def _piece(self, columns: Mapping[str, Column], some: slice, earlier: Sequence[_Piece]) -> _Piece | None:
        """Make what is held of some rows; None where they have to be read."""
        at = [columns[name][some] for name in LAYOUTS["events"].numbers]  # type: ignore[index]
        n_rows, n_before = len(at[0]), sum(len(each.rests) for each in earlier)
        self._n_rows += n_rows
        first, last = ([numbers[place] for numbers in at] for place in (0, -1))
        rest = [columns.get(name, repeat(None)) for name in self._rest]
        own = [column[some] for column in rest if not isinstance(column, repeat)]
        # The first tell of most that all differ, before they take the time of the others.
        if len(set(zip(*(column[:_LOOKED_AT] for column in own), strict=True))) > _LOOKED_AT // 2:
            return None
        if self._n_rows > _MOST_ROWS or not _ascends(at) or (earlier and first <= earlier[-1].last):
            return None
        texts = tuple(map(_spelled, at))
        which = defaultdict[tuple[Any, ...], int](count(n_before).__next__)
        numbered = list(map(which.__getitem__, zip(*own, strict=True) if own else repeat((), n_rows)))
        if len(which) * _LEAST_ALIKE > n_rows:
            return None
        different = zip(*which, strict=True)
        rests = zip(*(each if isinstance(each, repeat) else next(different) for each in rest), strict=False)
        found = list(islice(rests, len(which)))
        is_stored = all(map(_is_stored, self._rest.values(), zip(*found, strict=True)))
        return _Piece(last, texts, _spelled(numbered), found) if is_stored else None


def _types_of_rest(connection: sqlite3.Connection, table: str) -> dict[str, AbstractSet[type]]:
    """Give the types of what SQLite gives back of each column after those that a block begins with."""
    types = {row[1]: _TYPES[row[2]] for row in connection.execute(f"PRAGMA main.table_info({table})")}
    return {name: {types[name], type(None)} for name in rest_of(connection, table)}


def _first(column: Column) -> Any:  # noqa: ANN401 - whatever the log holds
    return next(column) if isinstance(column, repeat) else column[0]


def _ascends(at: Sequence[Sequence[int]]) -> bool:
    """Say whether pairs of whole numbers ascend, and none comes twice."""
    first, second = (np.diff(np.array(numbers)) for numbers in at)
    return first.dtype == second.dtype == np.int64 and bool(
        ((first > 0) | ((first == 0) & (second > 0))).all()
    )


def _spelled(numbers: Sequence[int]) -> str:
    return msgspec.json.encode([*numbers])[1:-1].decode()


def _is_stored(types: AbstractSet[type], values: Sequence[Any]) -> bool:
    """Say whether SQLite gives back what it was given: NaN comes back as NULL, and zeros lose their sign."""
    return types >= set(map(type, values)) and all(v == v and repr(v) != "-0.0" for v in values)  # noqa: PLR0124
