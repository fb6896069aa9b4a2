"""Lines as records: the csv module's parser, strict, with RFC 4180's dialect."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agentnet.delimited.shape import Shape, swallows
from agentnet.errors import InputError

_BLANKS = re.compile(r"\s+")


class Record(NamedTuple):
    """One record of delimited text.

    Attributes:
        number: The line at which it starts, from 1.
        cells: Its cells, quotation marks removed.
        line: Its first line as it is written.
        fault: Why it cannot be used, or "".
    """

    number: int
    cells: list[str]
    line: str
    fault: str = ""


def records(
    path: Path,
    lines: Iterable[str],
    delimiter: str,
    n_before: int = 0,
    *,
    names: Sequence[str] = (),
) -> Iterator[Record]:
    """Cut lines into records; a file that swallows rows is refused at its end, judged by all of them.

    Args:
        path: The file, for messages.
        lines: Its lines, from line ``n_before + 1`` on.
        delimiter: One character; a blank stands for any run of blanks and tabs.
        n_before: Lines of the file before these.
        names: The names of the columns, as far as they are known.

    Raises:
        InputError: Quotation marks are not closed, not at the ends of a field, or swallow lines.
    """
    taken: list[str] = []

    def tap() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield _closed_blanks(taken) if delimiter == " " else line

    reader = csv.reader(tap(), delimiter=delimiter, strict=True, skipinitialspace=True)
    seen = Shape(delimiter, names)
    while True:
        taken.clear()
        number = n_before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            seen.refuse_swallowed(path)
            return
        except csv.Error as error:
            raise InputError(broken(error), path=path, row=number) from error
        if len(taken) == 1:
            seen.learn(cells)
        else:
            seen.suspect(number, taken, len(cells))
        yield Record(number, cells, taken[0])


def rows_of_lines(
    path: Path, lines: Iterable[str], delimiter: str, n_before: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """Cut lines into cells, a row each, faster than `records`; see there.

    Raises:
        InputError: Quotation marks are not closed in their row, or not at the ends of a field.
    """
    if delimiter == " ":
        lines = map(single_blanks, lines)
    reader, number = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True), 0
    try:
        for cells in reader:
            number += 1
            if reader.line_num != number:
                raise InputError(swallows(reader.line_num - number + 1), path=path, row=n_before + number)
            yield n_before + number, cells
    except csv.Error as error:
        raise InputError(broken(error), path=path, row=n_before + number + 1) from error


def _closed_blanks(taken: Sequence[str]) -> str:
    """Treat the last line of a record so far by `single_blanks`, unless it is part of a text in quotes."""
    if sum(line.count('"') for line in taken) % 2 or sum(line.count('"') for line in taken[:-1]) % 2:
        return taken[-1].rstrip(" \t\r\n") + "\n"
    return single_blanks(taken[-1])


def single_blanks(line: str) -> str:
    """Make one blank of each run of blanks and tabs outside quotation marks."""
    text = line.strip()
    if "\r" in text:
        return line  # an old line end within a line: the parser is to see it, and refuses it
    if '"' not in text:
        return " ".join(text.split())
    return '"'.join(
        part if place % 2 else _BLANKS.sub(" ", part) for place, part in enumerate(text.split('"'))
    )


def broken(error: csv.Error) -> str:
    """Say what the parser could not read, and where to look."""
    if "field limit" in str(error):
        return (
            f"holds a field of more than {csv.field_size_limit():,} characters, which is no text, label or "
            "name; if it should not be so long, look for a quotation mark that is never closed"
        )
    return (
        f"cannot be read as delimited text ({error}): its quotes are not closed or not at the ends of a "
        f"field; look for a quotation mark that is never closed or not doubled, and for old Macintosh line "
        f"ends"
    )
