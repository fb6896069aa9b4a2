"""Read large tables in blocks of rows that are alike but for a few numbers: in half of the time of rows.

SQLite takes long to hand over rows, and short to write numbers one after the other. So the numbers that tell
rows apart come as one text a block, and of everything else it is said which of the different ones a row has.
"""

from __future__ import annotations

import marshal
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any, Final, NamedTuple

# Only written, never loaded. Not repr: what that escapes in a text depends on the version of Python. This
# form has stood since Python 2.5, knows no references, and takes a quarter of the time of JSON.
MARSHAL_FORMAT: Final = 2

AGENTS_EACH: Final = 1 << 16
"""Agents of a block at most: it begins with a multiple of them."""

Key = tuple[Any, ...]
"""What the rows of a block share, its least agent, and one more than its last."""

_FARTHEST: Final = 1 << 62
_MOST_RESTS: Final = 1 << 16
"""Different rests of a block, which take 1 kB each; where latencies tell rows apart, blocks save no time."""
_SPELLED_AT_ONCE: Final = 1 << 12
_NUMERALS: Final = b"0123456789-,"


class Layout(NamedTuple):
    """What is alike and what is not in the rows of a block, as the key of its table has it.

    Attributes:
        shared: Columns in which all rows of a block agree, and ``agent`` nearly.
        numbers: Columns that tell them apart.
    """

    shared: tuple[str, ...]
    numbers: tuple[str, ...]


LAYOUTS: Final = {
    "events": Layout(("realization", "kind", "step"), ("agent", "source")),
    "agents": Layout(("realization",), ("agent",)),
}
"""Table -> how its blocks are laid out; it begins with these columns."""


class NotNumbers(Exception):
    """Something else than a few numbers tells rows apart, so that they are no blocks."""


class Block(NamedTuple):
    """Some rows of a table, in the order of their key.

    Attributes:
        shared: What all rows begin with.
        numbers: The numbers that follow, a column each, with commas between them.
        which: The number of the rest that each row has, with commas between them.
        rests: The different rests, in the order in which they come.
    """

    shared: tuple[Any, ...]
    numbers: tuple[str, ...]
    which: str
    rests: list[tuple[Any, ...]]

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return self.which.count(",") + 1

    def hashed(self) -> bytes:
        """Spell the block in bytes that stand for it alone."""
        return marshal.dumps(tuple(self), MARSHAL_FORMAT)

    def spelled(self, picked: Sequence[int]) -> Iterator[str]:
        """Spell rows by their `repr`, one after the other, with what is picked of their rests.

        As many at a time as stay in a processor's cache, which saves a third of the time.
        """
        columns = [*zip(*self.rests, strict=True)]
        cells = [_spelled(columns[i]) for i in picked]
        lead = f"({', '.join(map(repr, self.shared))}"
        if len(self.rests) == self.n_rows:
            # No row has what another one has.
            numbers = [column.split(",") for column in self.numbers]
            yield f"{lead}, {f'){lead}, '.join(map(', '.join, zip(*numbers, *cells, strict=True)))})"
            return
        # With the tail of a row comes the lead of the next one.
        tails = {str(n): f"{', '.join(rest)}){lead}" for n, rest in enumerate(zip(*cells, strict=True))}
        left = [*self.numbers, self.which]
        while left[0]:
            some = [numbers.split(",", _SPELLED_AT_ONCE) for numbers in left]
            left = [numbers.pop() if len(numbers) > _SPELLED_AT_ONCE else "" for numbers in some]
            each = [""] * (len(some) * len(some[0]))
            for place, values in enumerate([*some[:-1], map(tails.__getitem__, some[-1])]):
                each[place :: len(some)] = values
            yield f"{lead}, {', '.join(each)}".removesuffix(lead)


def rest_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """List the columns that follow those that a block of `table` begins with, as the file has them."""
    names = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
    return names[sum(map(len, LAYOUTS[table])) :]


def blocks(
    connection: sqlite3.Connection,
    table: str,
    realizations: Iterable[int] | None = None,
    replies: int = 0,
    held: Callable[[Key], Block | None] | None = None,
) -> Iterator[Block]:
    """Read a table block by block, each of the rows of so many agents at most.

    Args:
        connection: The log.
        table: One of `LAYOUTS`.
        realizations: Those that are meant; None: all.
        replies: What is taken off the numbers of replies.
        held: Gives a block that need not be read, or None.

    Raises:
        NotNumbers: Something else tells its rows apart, or there are others beside those of blocks.
    """
    rests, query = list[tuple[Any, ...]](), _reading(connection, table, replies)
    # The cache of a function looks up by the tuple of arguments that SQLite's call makes anyway.
    number_of_rest = cache(partial(_noted, rests))
    connection.create_function("number_of_rest", -1, number_of_rest)
    for start in [()] if realizations is None else [(realization,) for realization in realizations]:
        at: tuple[Any, ...] = start
        n_left = _count(connection, table, start)
        while n_left > 0:
            *shared, agent = _first(connection, table, at) or (None,)
            if not isinstance(agent, int) or abs(agent) > _FARTHEST:
                raise NotNumbers
            beyond = (agent // AGENTS_EACH + 1) * AGENTS_EACH
            key = (*shared, beyond - AGENTS_EACH, beyond)
            block = held and held(key)
            if block and len(block.rests) <= _MOST_RESTS:
                yield block
                at, n_left = (*shared, beyond), n_left - block.n_rows
                continue
            rests.clear()
            number_of_rest.cache_clear()
            try:
                n_rows, which, *numbers = connection.execute(query, key).fetchone()
            except (sqlite3.OperationalError, sqlite3.DataError) as error:
                # SQLite does not tell what a function raised.
                if len(rests) < _MOST_RESTS and error.sqlite_errorcode != sqlite3.SQLITE_TOOBIG:
                    raise
                raise NotNumbers from None
            yield Block(tuple(shared), _numbers(n_rows, numbers), which, list(rests))
            at, n_left = (*shared, beyond), n_left - n_rows
        if n_left:
            raise NotNumbers


def _noted(rests: list[tuple[Any, ...]], *rest: object) -> int:
    """Number a rest that was not seen yet."""
    if len(rests) == _MOST_RESTS:
        raise NotNumbers
    rests.append(rest)
    return len(rests) - 1


def _spelled(values: Sequence[Any]) -> Iterable[str]:
    """Spell values by their `repr`; JSON spells numbers of these sizes alike, in a tenth of the time."""
    if set(map(type, values)) != {float} or not 1e-4 <= min(values) <= max(values) < 1e16:
        return map(repr, values)
    # Whoever only asks what runs there are does not need it.
    import msgspec

    return msgspec.json.encode(values).decode()[1:-1].split(",")


def _count(connection: sqlite3.Connection, table: str, start: tuple[int, ...]) -> int:
    where = "WHERE realization = ?" if start else ""
    return int(connection.execute(f"SELECT COUNT(*) FROM main.{table} {where}", start).fetchone()[0])  # noqa: S608


def _first(connection: sqlite3.Connection, table: str, at: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Find where the first block begins whose key is not below `at`."""
    key = (*LAYOUTS[table].shared, "agent")
    names, places = ", ".join(key), ", ".join("?" * len(at))
    since = f"WHERE ({', '.join(key[: len(at)])}) >= ({places})" if at else ""
    query = f"SELECT {names} FROM main.{table} {since} ORDER BY {names} LIMIT 1"  # noqa: S608 - our own names
    found: tuple[Any, ...] | None = connection.execute(query, at).fetchone()
    return found


def _reading(connection: sqlite3.Connection, table: str, replies: int) -> str:
    """Make the query for a block: how many rows, which rest each has, and last and all of each number."""
    shared, numbers = LAYOUTS[table]
    rest = [f"reply - {replies}" if name == "reply" else name for name in rest_of(connection, table)]
    return (
        f"SELECT COUNT(*), group_concat(number_of_rest({', '.join(rest)})), "  # noqa: S608 - our own names
        f"{', '.join(f'MAX({name}), group_concat({name})' for name in numbers)} FROM main.{table} "
        f"WHERE ({', '.join(shared)}) = ({', '.join('?' * len(shared))}) AND agent >= ? AND agent < ?"
    )


def _numbers(n_rows: int, found: Sequence[Any]) -> tuple[str, ...]:
    # Texts and blobs are above all numbers, and NULL leaves a place out.
    for last, text in zip(found[::2], found[1::2], strict=True):
        is_whole = isinstance(last, int) and not text.encode().translate(None, _NUMERALS)
        if not is_whole or text.count(",") != n_rows - 1:
            raise NotNumbers
    return tuple(found[1::2])
