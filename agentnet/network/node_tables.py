"""Node tables: further attributes of the agents of a network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from agentnet.delimited import (
    Delimited,
    Record,
    is_blank,
    is_missing,
    is_remark,
    open_bytes,
    read_delimited,
    text_lines,
)
from agentnet.errors import InputError, near_miss
from agentnet.network.graph import Network, trusted

NODE_COLUMNS = ("node", "agent")


def read_node_table(path: Path | str, network: Network, *, encoding: str | None = None) -> Network:
    """Give the agents of `network` the attributes in a table.

    The table is delimited text (``.tsv``: parted by tabs) with a header and a row for each agent, in any
    order. The column ``node`` or ``agent``, else the first, holds the agents' labels (0..n_agents-1 if the
    network has none); every other column with a name becomes a node attribute, its values text as written,
    "" where they are missing (blank, ``NA``, ``NaN``, ``null``). A first column without a name that only
    numbers the rows, as R and pandas write it, is not read.

    Args:
        path: The file.
        network: The network.
        encoding: How the text is written; by default UTF-8, or what its byte-order mark says.

    Returns:
        The same network with these attributes beside those it has.

    Raises:
        InputError: The file cannot be read; a row has too many or too few fields; a node is unknown, missing
            or there twice; a column is there twice or is an attribute already.
    """
    path = Path(path)
    names = network.labels or tuple(str(agent) for agent in range(network.n_agents))
    table, row, rows = _read(path, encoding)
    header = table.columns
    _check_header(path, row, header, network)
    key = _key_column(path, header, rows, names)
    found = _rows_by_agent(path, rows, header, key, names)
    columns = {
        column: tuple("" if is_missing(cell := found[name].cells[place]) else cell.strip() for name in names)
        for place, column in enumerate(header)
        if place != key and column
    }
    return trusted(
        network.indptr,
        network.indices,
        network.name,
        network.labels,
        {**network.node_attributes, **columns},
        (*network.notes, *table.notes),
        network.is_directed,
        network.edge_attributes,
    )


def _read(path: Path, encoding: str | None) -> tuple[Delimited, int, list[Record]]:
    """Read a table, the row of its header, and its rows without remarks."""
    with open_bytes(path) as file:
        lines = text_lines(path, file, encoding)
        for n_before, header in enumerate(lines):
            if not is_blank(header) and not is_remark(header):
                table = read_delimited(path, chain([header], lines), n_before=n_before)
                rows = [record for record in table.rows if not (record.fault and is_remark(record.line))]
                return table, n_before + 1, rows
    raise InputError("it is empty: a node table needs a header and a row for each agent", path=path)


def _check_header(path: Path, row: int, header: Sequence[str], network: Network) -> None:
    for place, name in enumerate(header):
        if not name and place:
            raise InputError("each column needs a name of its own", path=path, row=row, field=name)
        if name in network.node_attributes:
            raise InputError(
                f"network {network.name!r} has this attribute already; rename the column",
                path=path,
                row=row,
                field=name,
            )


def _key_column(path: Path, header: Sequence[str], rows: Sequence[Record], names: Sequence[str]) -> int:
    keys = [column for column, name in enumerate(header) if name.lower() in NODE_COLUMNS]
    if len(keys) > 1:
        raise InputError(
            f"columns {' and '.join(header[key] for key in keys)} may both name the agents; rename one",
            path=path,
        )
    if keys or header[0] or len(header) < 2:
        return keys[0] if keys else 0
    first = [record.cells[0].strip() for record in rows if record.cells]
    numbered = [[str(number) for number in range(start, start + len(first))] for start in (0, 1)]
    return 1 if first in numbered and set(first) != set(names) else 0


def _rows_by_agent(
    path: Path, rows: Sequence[Record], header: Sequence[str], key: int, names: Sequence[str]
) -> dict[str, Record]:
    found: dict[str, Record] = {}
    known = set(names)
    refusal = partial(InputError, path=path)
    of_key = partial(refusal, field=header[key])
    for record in rows:
        if record.fault:
            raise refusal(f"{len(record.cells)} fields under a header of {len(header)}", row=record.number)
        name = record.cells[key].strip()
        if name not in known:
            hint = near_miss(name, names) if len(names) <= 20 else ""
            raise of_key(f"the network has no node {name!r}{hint}", row=record.number)
        if name in found:
            raise of_key(f"node {name!r} stands in row {found[name].number} already", row=record.number)
        found[name] = record
    _refuse_missing(path, [name for name in names if name not in found], header[key])
    return found


def _refuse_missing(path: Path, missing: Sequence[str], column: str) -> None:
    if missing:
        some = ", ".join(map(repr, missing[:5])) + (", .." if len(missing) > 5 else "")
        raise InputError(
            f"{len(missing)} nodes of the network have no row: {some}; add them", path=path, field=column
        )
