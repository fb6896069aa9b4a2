"""Writing news files: whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from agentnet.errors import InputError
from agentnet.files import new_file, storage_errors
from agentnet.news.acled import ACLED_COLUMNS

WriteRows = Callable[[Iterable[Mapping[str, str]]], None]


def check_target(path: Path, *, force: bool) -> None:
    """See that `path` may be written, before any work is done for it.

    Raises:
        InputError: It exists and `force` is not set, is a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise InputError("is a folder; name a file", path=path)
    if path.exists() and not force:
        raise InputError("exists already; name another file, or pass --force to replace it", path=path)
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}; make it first", path=path)


def acled_writer(path: Path, *, force: bool = False) -> AbstractContextManager[WriteRows]:
    """Open a CSV file in the shape of ACLED's export, with its 31 columns; see `csv_writer`."""
    return csv_writer(path, ACLED_COLUMNS, force=force)


@contextmanager
def csv_writer(path: Path, columns: Sequence[str], *, force: bool = False) -> Iterator[WriteRows]:
    """Open a CSV file, which appears under its name only when complete.

    Yields:
        A function that appends rows, which must have all of `columns` and no other.

    Raises:
        InputError: See `check_target`.
        StorageError: Writing failed, for want of space, say.
    """
    with text_writer(path, force=force) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        yield writer.writerows


@contextmanager
def text_writer(path: Path, *, force: bool = False) -> Iterator[TextIO]:
    """Open a UTF-8 file, which appears under its name only when complete.

    Raises:
        InputError: See `check_target`.
        StorageError: Writing failed, for want of space, say.
    """
    check_target(path, force=force)
    failed = "could not be written", "free space or choose another folder"
    with storage_errors(path, *failed), new_file(path) as file:
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            yield text
        finally:
            text.detach()
        check_target(path, force=force)  # somebody may have made it meanwhile
