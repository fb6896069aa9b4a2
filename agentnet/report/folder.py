"""The folder of a report: written beside its place and then renamed, so that no reader sees half of one.

A folder that holds an earlier report is replaced, and what else somebody put into it moves to the new one.
Which files are the report's own stands in its ``results.json``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from agentnet.errors import StorageError, UserError
from agentnet.files import swap, temporary, tidy
from agentnet.report.results import FORMAT

RESULTS = "results.json"
PAGE = "report.html"


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a report.

    Args:
        folder: Where to; a new or empty one, or one that holds an earlier report.
        files: Contents by path within it, with ``/``.

    Raises:
        UserError: `folder` holds something else, or a file of somebody's own in the place of a new one.
        StorageError: The files cannot be written; an earlier report is as it was.
    """
    folder = folder.resolve()
    with _storage_errors(folder):
        tidy(folder, partial(_drop, folder=folder))
    others = check_folder(folder)
    for name in files:
        if name in others:
            raise UserError(
                f"{folder / name} is not of the earlier report, and would be replaced; move it elsewhere or "
                "choose another folder by --output"
            )
    made = temporary(folder)
    old = made.with_suffix(".old")
    with _storage_errors(folder):
        try:
            _write(made, files)
            swap(made, folder, old)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        if old.exists():
            _carry_over(old, folder, others)


def check_folder(folder: Path) -> frozenset[str]:
    """See whether a report may be written to `folder`, before it is computed.

    Returns:
        The files in it that are no part of an earlier report, by path within it.

    Raises:
        UserError: It is a file, or a folder that holds something else than a report.
        StorageError: It cannot be read.
    """
    with _storage_errors(folder):
        if not folder.exists():
            return frozenset()
        if not folder.is_dir():
            raise UserError(f"{folder} is a file; choose a folder by --output")
        found = frozenset(_files_in(folder))
    if not found:
        return found
    own = _own_files(folder)
    if own is None:
        raise UserError(
            f"{folder} holds {min(found)!r} and no report of agentnet: nothing is written there; choose "
            "another folder by --output"
        )
    return found - own


def _files_in(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()


def _own_files(folder: Path) -> frozenset[str] | None:
    """List the files that belong to the report in `folder`; None if there is none."""
    try:
        results = json.loads((folder / RESULTS).read_bytes())
        if results["format"] != FORMAT:
            return None
        names = [str(name) for name in results["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return frozenset(name for name in names if ".." not in PurePosixPath(name).parts)


def _write(made: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _drop(old: Path, folder: Path) -> None:
    """Do away with an earlier report that a killed process left when the new one was in its place."""
    # Where the list of its own files is gone its removal had begun, and all others were moved before that.
    own = _own_files(old)
    others = frozenset() if own is None else frozenset(_files_in(old)) - own
    if not any((folder / name).exists() for name in others):
        _carry_over(old, folder, others)


def _carry_over(old: Path, folder: Path, others: frozenset[str]) -> None:
    """Move what is no report's from the old folder to the new one, then drop the old report."""
    for name in sorted(others):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (old / name).rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder}: the report cannot be written ({error}); free disk space or choose another folder by "
            "--output: the runs are as they were"
        ) from error
