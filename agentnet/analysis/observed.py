"""Cascades observed elsewhere: tables of replies or reposts with the columns id, parent, author and time.

Anything that `agentnet.news.table` opens: delimited text, JSON Lines, spreadsheets. What scraped tables are
known for (a parent that was not scraped, a row scraped twice) is counted and told; what makes no trees is
refused by file, row and column.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from agentnet.analysis.trees import ROOT, Forest, Ints, climbed
from agentnet.errors import InputError
from agentnet.news.table import BadCell, Cells, open_table

USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "tweet_id", "status_id", "post_id", "message_id", "comment_id"),
    "parent": (
        *("parent", "parent_id", "parent_tweet_id", "in_reply_to_status_id", "in_reply_to_id", "in_reply_to"),
        *("reply_to", "reply_to_id", "retweeted_status_id", "retweet_of", "repost_of"),
    ),
    "author": ("author", "author_id", "user", "user_id", "username", "screen_name"),
    "time": ("time", "created_at", "created_utc", "timestamp", "date", "created"),
}
"""Field -> what its column may be called; where its own name stands, the others are not looked at."""

WHAT: Final = "a table of observed cascades"

SECONDS: Final = "s"


class _Node(NamedTuple):
    """A row of the table.

    Attributes:
        row: Its number in the file.
        parent: As it is written, empty for none.
        author: Likewise.
        time: None where it is not known.
        unit: `SECONDS`, or empty for a plain number.
    """

    row: int
    parent: str
    author: str
    time: float | None
    unit: str


def read_observed(
    path: Path | str, *, columns: Mapping[str, str] | None = None, encoding: str | None = None
) -> Forest:
    """Read the trees of cascades that were observed.

    A row without a parent is a root. So is an orphan, a row whose parent is not in the table; orphans are
    counted. A row that stands twice, alike in all four columns, counts once.

    Args:
        path: Delimited text with a header, JSON Lines (``.jsonl``) or a spreadsheet; also gzipped.
        columns: The column of a field (id, parent, author, time) that has none of its usual names.
        encoding: How a text is written; by default UTF-8, or what its byte-order mark says.

    Returns:
        The forest, with column id. Times are seconds (since 1970, UTC) where the file has dates, else the
        numbers that it has.

    Raises:
        InputError: The file cannot be used; names row and column.
        ConfigurationError: `columns` names an unknown field, or `encoding` is unknown.
    """
    path, found = Path(path), dict[str, _Node]()

    def is_repeated(cells: Cells) -> bool:
        name, node = _node(cells)
        first = found.setdefault(name, node)
        if node[1:] != first[1:]:
            said = f"{name[:40]!r} stands in row {first.row} already, with another parent, author or time"
            raise BadCell(cells.columns["id"], f"{said}; take one out")
        return first is not node

    with open_table(path, encoding=encoding) as table:
        of_field = table.settle(USUAL, columns or {}, required=("id", "parent"), what=WHAT)
        n_repeated = sum(table.each(of_field, is_repeated))
    if not found:
        raise InputError("there is no row below the header", path=path)
    return _forest(path, found, of_field, n_repeated)


def _node(cells: Cells) -> tuple[str, _Node]:
    name, text = cells.filled("id"), cells.field("time")
    time, unit = instant(text, cells.columns["time"]) if text else (None, "")
    return name, _Node(cells.row.number, cells.field("parent"), cells.field("author"), time, unit)


def instant(text: str, column: str) -> tuple[float, str]:
    """Read a number, a date as ISO 8601 has it, or one of e-mail's and Twitter's; without a zone it is UTC.

    Returns:
        The number and "", or seconds since 1970 and `SECONDS`.

    Raises:
        BadCell: It is none of these.

    Examples:
        >>> instant("12.5", "time"), instant("1970-01-01T00:01Z", "time")
        ((12.5, ''), (60.0, 's'))
        >>> instant("Thu Jan 01 00:01:00 +0000 1970", "time")
        (60.0, 's')
    """
    try:
        if math.isfinite(number := float(text)):
            return number, ""
    except ValueError:
        pass
    try:
        date = dt.datetime.fromisoformat(text)
        return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp(), SECONDS
    except (ValueError, OverflowError):
        pass
    try:
        if parts := parsedate_tz(text):
            return float(mktime_tz(parts)), SECONDS
    except (ValueError, TypeError, IndexError, OverflowError):
        pass  # what it raises for texts that are no date is not documented
    raise BadCell(column, f"{text[:40]!r} is no time; write a number, or a date such as 2021-02-24T10:00:00Z")


def _forest(path: Path, found: Mapping[str, _Node], columns: Mapping[str, str], n_repeated: int) -> Forest:
    names, nodes = list(found), list(found.values())
    place = {name: number for number, name in enumerate(names)}
    wanted = [node.parent for node in nodes]
    # Where some have no parent, pandas writes the ids of the others as decimal numbers.
    whole = [text if text in place else text.removesuffix(".0") for text in wanted]
    parent = np.array([place.get(text, ROOT) for text in whole], dtype=np.int64)
    _refuse_circle(path, columns["parent"], names, nodes, parent)
    timed = [node for node in nodes if node.time is not None]
    refuse_mixed(path, columns.get("time", ""), {node.row: node.unit for node in timed})
    orphans = [node for node, text in zip(nodes, whole, strict=True) if text and text not in place]
    counts = {
        "n_orphans": len(orphans),
        "n_repeated": n_repeated,
        "n_decimal": sum(here in place and here != text for here, text in zip(whole, wanted, strict=True)),
        "n_untimed": len(nodes) - len(timed),
    }
    authors = {text: number for number, text in enumerate(dict.fromkeys(node.author for node in nodes))}
    return Forest(
        path.name,
        parent,
        np.array([authors[node.author] if node.author else -1 for node in nodes], dtype=np.int64),
        np.array([math.nan if node.time is None else node.time for node in nodes], dtype=np.float64),
        timed[0].unit if timed else "",
        {"id": np.array(names, dtype=object)},
        counts,
        tuple(_notes(counts, orphans, sum(map(bool, wanted)), len(nodes), names[0])),
    )


def refuse_mixed(path: Path, column: str, units: Mapping[int, str]) -> None:
    """Refuse times that are not all dates, or all numbers: row -> `SECONDS`, or empty for a number."""
    first = next(iter(units), 0)
    for row, unit in units.items():
        if unit != units[first]:
            what = "a date" if unit else "a number"
            said = f"is {what}, and that of row {first} is not; write all times alike"
            raise InputError(said, path=path, row=row, field=column)


def _refuse_circle(path: Path, column: str, names: list[str], nodes: list[_Node], parent: Ints) -> None:
    lost = np.flatnonzero(climbed(parent)[0] == ROOT)
    if not lost.size:
        return
    passed, node = dict[int, None](), int(lost[0])
    while node not in passed:
        passed[node] = None
        node = int(parent[node])
    way = [*passed][[*passed].index(node) :]
    some = " <- ".join(f"{names[each][:40]!r}" for each in way[:4]) + (" <- .." if len(way) > 4 else "")
    raise InputError(
        f"{'it is its own parent' if len(way) == 1 else 'these are their own ancestors'}: {some}; a root "
        "has an empty parent",
        path=path,
        row=nodes[node].row,
        field=column,
    )


def _notes(
    counts: Mapping[str, int], orphans: list[_Node], n_parents: int, n_nodes: int, name: str
) -> Iterator[str]:
    if orphans:
        first = f"the first {orphans[0].parent[:40]!r} in row {orphans[0].row}"
        hint = f"; an id is written like {name[:40]!r}" * (len(orphans) == n_parents)
        yield (
            f"not in the table: {len(orphans):,} of {n_parents:,} parents ({first}); a row with such a "
            f"parent is a root of its own{hint}"
        )
    if counts["n_repeated"]:
        yield f"standing twice, and counted once: {counts['n_repeated']:,} rows"
    if counts["n_decimal"]:
        yield f"written as decimal numbers (12.0), and taken for whole ones: {counts['n_decimal']:,} parents"
    if 0 < counts["n_untimed"] < n_nodes:
        yield f"without a time: {counts['n_untimed']:,} of {n_nodes:,} rows"
