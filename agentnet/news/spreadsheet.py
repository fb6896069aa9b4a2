"""Spreadsheets, as ACLED also exports: the rows of the one sheet that holds anything.

Needs the extra ``xlsx`` (openpyxl).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agentnet.delimited import open_bytes
from agentnet.errors import InputError

if TYPE_CHECKING:
    from openpyxl import Workbook


def sheet_rows(path: Path) -> Iterator[tuple[int, list[object]]]:
    """Give the rows of a spreadsheet that hold anything, with their numbers; dates as ISO text.

    Raises:
        InputError: It cannot be read, holds several sheets with rows or none, or openpyxl is not there.
    """
    book = _open(path)
    try:
        sheets = {sheet.title: sheet for sheet in book.worksheets if _holds_rows(sheet)}
        if len(sheets) != 1:
            held = ", ".join(map(repr, sheets)) or "none"
            raise InputError(f"one sheet with rows is needed, and there are: {held}", path=path)
        (sheet,) = sheets.values()
        for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
            cells = [_plain(cell) for cell in row]
            if any(cell is not None for cell in cells):
                yield number, cells
    finally:
        book.close()


def _open(path: Path) -> Workbook:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise InputError(
            "is a spreadsheet, which needs openpyxl: pip install -e '.[xlsx]' in a checkout, "
            "or save it as CSV UTF-8",
            path=path,
        ) from error
    with open_bytes(path):
        pass  # whether it is there and may be read
    try:
        return load_workbook(path, data_only=True)
    except Exception as error:
        raise InputError(f"is no spreadsheet that openpyxl reads: {error!r}", path=path) from error


def _holds_rows(sheet: object) -> bool:
    rows = sheet.iter_rows(values_only=True)  # type: ignore[attr-defined]  # chart sheets are not among them
    return any(cell is not None for row in rows for cell in row)


def _plain(cell: object) -> object:
    """Spell a cell as CSV would: whole numbers without a fraction, days as ISO writes them."""
    if isinstance(cell, dt.datetime):
        return cell.date().isoformat() if cell.time() == dt.time() else cell.isoformat(sep=" ")
    if isinstance(cell, dt.date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return cell if cell is None or isinstance(cell, (str, int, float, bool)) else str(cell)
