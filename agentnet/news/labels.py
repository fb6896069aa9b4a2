"""Severity from elsewhere: a file of labels by id takes the place of what ACLED's taxonomy says.

Such a file comes from clusters of the texts (`agentnet.analysis.severity`) or from people who read them. It
is CSV or JSON Lines with the columns ``id`` and ``severity``: 0 or peaceful, 1 or severe, empty if unknown.
From clusters to a run, then: ``write_severity("labels.csv", clusters.severity)``, and in the experiment
``news_severity = "labels.csv"`` (or ``-S news.severity=labels.csv``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from agentnet.errors import InputError
from agentnet.files import csv_writer
from agentnet.news.item import NewsItem, check_items
from agentnet.news.source import read_severity
from agentnet.news.table import BadCell, Cells, open_table

Labels = Path | str | Mapping[str, int | None]
"""A file of labels, or the severity by id itself."""

_COLUMNS = {"id": "id", "severity": "severity"}


def with_severity(
    items: Iterable[NewsItem], labels: Labels, *, encoding: str | None = None
) -> tuple[NewsItem, ...]:
    """Replace the severity of each item by that of `labels`.

    Args:
        items: The items, with unique ids.
        labels: A file of labels, or the severity by id: 0 peaceful, 1 severe, None unknown. Every item needs
            a label and every label its item: else they belong to other news.
        encoding: How the file is written, as for `load_severity`.

    Raises:
        InputError: An item has no label, a label no item; a severity is impossible, two items have one id, or
            anything is wrong with the file.
    """
    checked = check_items(items)
    path = None if isinstance(labels, Mapping) else labels
    mapping = labels if isinstance(labels, Mapping) else load_severity(labels, encoding=encoding)
    ids = {item.id: None for item in checked}
    missing, unknown = (
        [name for name in ids if name not in mapping],
        [name for name in mapping if name not in ids],
    )
    if missing:
        raise InputError(
            f"{len(missing)} of {len(ids)} news items have no label, first {missing[0]!r}"
            f"{_such_as(mapping)}; give each item one (an empty severity, or None, says that it is unknown)",
            path=path,
            field="id",
        )
    if unknown:
        raise InputError(
            f"{len(unknown)} of {len(mapping)} labels are of no news item, first {unknown[0]!r}"
            f"{_such_as(ids)}; take them out, or bring the news that they belong to",
            path=path,
            field="id",
        )
    return tuple(replace(item, severity=mapping[item.id]) for item in checked)


def _such_as(ids: Iterable[str]) -> str:
    """Show one id of the other side: most often ids are written differently."""
    one = next(iter(ids), None)
    return "" if one is None else f" (on the other side stands {one!r})"


def load_severity(path: Path | str, *, encoding: str | None = None) -> dict[str, int | None]:
    """Load a file of labels.

    Args:
        path: The file.
        encoding: How it is written if it is not UTF-8, which `write_severity` writes; mostly the encoding of
            the news that it belongs to.

    Returns:
        Severity by id, in the order of the file: what `with_severity` takes.

    Raises:
        InputError: Anything is wrong with the file; names row and field.
    """
    path = Path(path)
    if encoding is not None:
        with suppress(InputError):
            return _load(path, None)
    return _load(path, encoding)


def _load(path: Path, encoding: str | None) -> dict[str, int | None]:
    found: dict[str, int | None] = {}

    def label(cells: Cells) -> None:
        name, severity = cells.filled("id"), read_severity(cells)
        if name in found:
            raise BadCell("id", f"{name!r} stands twice; give each item one severity")
        found[name] = severity

    with open_table(path, encoding=encoding) as table:
        table.check(_COLUMNS)
        for _ in table.each(_COLUMNS, label):
            pass
    return found


def write_severity(path: Path | str, mapping: Mapping[str, int | None], *, force: bool = False) -> None:
    """Write a file of labels, which appears under its name only when complete.

    Args:
        path: The file, CSV.
        mapping: Severity by id: 0, 1 or None.
        force: Whether a file of that name is replaced.

    Raises:
        InputError: An id or a severity is impossible, the file exists already, or its folder does not.
        StorageError: Writing failed.
    """
    for name, severity in mapping.items():
        if not name.strip() or type(severity) not in {int, type(None)} or severity not in {0, 1, None}:
            raise InputError(
                f"id {name!r} with severity {severity!r} cannot be written: an id is not blank, and a "
                f"severity 0, 1 or None",
                field="severity" if name.strip() else "id",
            )
    with csv_writer(Path(path), tuple(_COLUMNS), force=force) as write_rows:
        write_rows(
            {"id": name, "severity": "" if severity is None else str(severity)}
            for name, severity in mapping.items()
        )
