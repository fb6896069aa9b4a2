"""Severity from elsewhere: a file of labels by id takes the place of what ACLED's taxonomy says.

Such a file comes from clusters of the texts (`agentnet.analysis.severity`) or from people who read them. It
is CSV or JSON Lines with the columns ``id`` and ``severity``: 0 or peaceful, 1 or severe, empty if unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from agentnet.errors import InputError, near_miss
from agentnet.news.item import NewsItem, check_items
from agentnet.news.output import csv_writer
from agentnet.news.recipe import read_severity
from agentnet.news.table import BadCell, Cells, open_table

_COLUMNS = {"id": "id", "severity": "severity"}


def with_severity(items: Iterable[NewsItem], mapping: Mapping[str, int | None]) -> tuple[NewsItem, ...]:
    """Replace the severity of each item by that of `mapping`.

    Args:
        items: The items, with unique ids.
        mapping: Severity by id: 0 peaceful, 1 severe, None unknown; ids of other news are passed over.

    Raises:
        InputError: An item has no entry, a severity is impossible, or two items have one id.
    """
    checked = check_items(items)
    missing = [item.id for item in checked if item.id not in mapping]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(checked)} news items have no severity given, first {missing[0]!r}; give "
            f"each one (empty or None says that it is unknown)",
            field="severity",
        )
    return tuple(replace(item, severity=mapping[item.id]) for item in checked)


def load_severity(path: Path | str) -> dict[str, int | None]:
    """Load a file of labels.

    Returns:
        Severity by id, in the order of the file: what `with_severity` takes.

    Raises:
        InputError: Anything is wrong with the file; names row and field.
    """
    path = Path(path)
    found: dict[str, int | None] = {}
    with open_table(path) as table:
        for column in _COLUMNS:
            if column not in table.columns:
                raise InputError(
                    f"there is no such column{near_miss(column, table.columns)}", path=path, field=column
                )
        for row in table.rows:
            try:
                if row.fault:
                    raise BadCell(None, row.fault)
                cells = Cells(row, _COLUMNS)
                name, severity = cells.filled("id"), read_severity(cells)
                if name in found:
                    raise BadCell("id", f"{name!r} stands twice; give each item one severity")
            except BadCell as bad:
                raise InputError(str(bad), path=path, row=row.number, field=bad.field) from bad
            found[name] = severity
    return found


def write_severity(path: Path | str, mapping: Mapping[str, int | None], *, force: bool = False) -> None:
    """Write a file of labels, which appears under its name only when complete.

    Args:
        path: The file, CSV.
        mapping: Severity by id.
        force: Whether a file of that name is replaced.

    Raises:
        InputError: The file exists already, or its folder does not.
        StorageError: Writing failed.
    """
    with csv_writer(Path(path), tuple(_COLUMNS), force=force) as write_rows:
        write_rows(
            {"id": name, "severity": "" if severity is None else str(severity)}
            for name, severity in mapping.items()
        )
