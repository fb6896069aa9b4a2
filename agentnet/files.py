"""Put a new folder or file in the place of an older one: whole or not at all, whoever is killed meanwhile.

While ``out`` is made there stands ``.out.PID.partial`` beside it, and for the moment in which they change
places ``.out.PID.old``. Whoever makes ``out`` next sets right what a killed process left of them.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, TextIO

from agentnet.errors import InputError, StorageError

WriteRows = Callable[[Iterable[Mapping[str, str]]], None]


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which then takes the place of `path`; after an error it vanishes.

    Raises:
        OSError: It cannot be made, written or put there.
    """
    made = temporary(path)
    tidy(path)
    try:
        with made.open("wb") as file:
            yield file
            _sync(file)
        made.replace(path)
    finally:
        with suppress(OSError):  # where it could not be made, it may be impossible to remove, too
            made.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write files to, which then takes the place of `folder`; after an error it vanishes.

    Raises:
        OSError: It cannot be made, written or put there.
    """
    made = temporary(folder)
    tidy(folder)
    made.mkdir()
    try:
        yield made
        for path in made.iterdir():
            with path.open("r+b") as file:
                _sync(file)
        replace_folder(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def replace_folder(made: Path, folder: Path) -> None:
    """Put `made` in the place of `folder`, which is no more."""
    old = temporary(folder).with_suffix(".old")
    swap(made, folder, old)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def storage_errors(place: Path, what: str, way_out: str) -> Iterator[None]:
    """Say of an `OSError` what could not be done where, and the way out.

    Raises:
        StorageError: The system refused.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"{place}: {what} ({error}); {way_out}") from error


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


def temporary(place: Path) -> Path:
    """Name what will take the place of `place`; the process keeps two who make the same apart."""
    return place.with_name(f".{place.name}.{os.getpid()}.partial")


def swap(made: Path, folder: Path, old: Path) -> None:
    """Put `made` in the place of `folder`, which becomes `old`; no program can swap folders everywhere."""
    _remove(old)
    if folder.exists():
        folder.rename(old)
    try:
        made.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise


def tidy(place: Path, drop: Callable[[Path], None] | None = None) -> None:
    """Set right what processes that are gone left beside `place`.

    Args:
        place: What is to be made.
        drop: Does away with an old folder whose successor is in its place; by default it is removed.
    """
    name = re.compile(rf"\.{re.escape(place.name)}\.(\d+)\.(partial|old)")
    found = [(path, name.fullmatch(path.name)) for path in sorted(place.parent.glob(".*"))]
    for path, parts in found:
        if parts is None or _is_others(int(parts[1])):
            continue
        if parts[2] == "partial":
            _remove(path)
        # Who was killed between two renames left nothing in the place.
        elif not place.exists():
            path.rename(place)
        else:
            (drop or _remove)(path)


def _sync(file: BinaryIO) -> None:
    """Make sure that a file's content is on the disk before its name is: a power cut may come between."""
    file.flush()
    os.fsync(file.fileno())


def _is_others(process: int) -> bool:
    """Say whether another process, that is not gone, has that number."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
