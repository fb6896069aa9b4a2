"""An event log while tables are made of it: typed answers, and damage named as damage."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.cells import N_PROFILES
from agentnet.analysis.columns import NOTHING, Source, integers, marked
from agentnet.analysis.tables import SEVERITY_NAMES, UNKNOWN
from agentnet.errors import RunFolderError, UserError
from agentnet.events import LOG_NAME, Run, check_unchanged
from agentnet.families.lookup import family_of

Ints = NDArray[np.int64]

_PROFILE_OF = np.full(marked("11111") + 1, NOTHING, dtype=np.int64)
_PROFILE_OF[[marked(f"{profile:05b}") for profile in range(N_PROFILES)]] = np.arange(N_PROFILES)

MARKED = "IFNULL(CAST('1' || {} AS INTEGER), 0)"
"""SQL for five bits as the number that `OpenLog.profiles` understands."""


@contextmanager
def open_log(run: Run | str | Path) -> Iterator[OpenLog]:
    """Open a run by its folder or its event log; every query sees it as it stands now.

    Raises:
        RunFolderError: There is no event log, or it is damaged, of another schema, or changed after the run
            had finished.
    """
    if not isinstance(run, Run):
        path = Path(run)
        run = Run(path.parent if path.name == LOG_NAME else path)
    check_unchanged(run)
    with run.snapshot() as connection:
        yield OpenLog(run, connection, run.meta)


@dataclass(frozen=True, slots=True)
class OpenLog:
    """An open event log.

    Attributes:
        run: The run.
        connection: A connection that reads.
        meta: Table ``meta``.
    """

    run: Run
    connection: sqlite3.Connection
    meta: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.run.folder

    @property
    def source(self) -> Source:
        """Where long columns come from."""
        return Source.of(self.run, self.connection)

    def damage(self, what: str) -> RunFolderError:
        """Make the error that names damage."""
        return RunFolderError(f"{self.run.path} is damaged: {what}; go on with a copy of the run")

    def needed(self, *keys: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Look a value of table ``meta`` up, by a path of keys."""
        found: Any = self.meta
        for key in keys:
            if not isinstance(found, Mapping) or key not in found:
                raise self.damage(f"table meta lacks {'.'.join(keys)}")
            found = found[key]
        return found

    def check_read_as(self, wanted: str) -> None:
        """Make sure that the family of the run lets it be read as ``"cascades"``, or the like.

        Raises:
            DesignError: Nobody knows the family.
            UserError: It does not; says what the run is, and the way out.
        """
        self.needed("experiment", "family")
        family = family_of(self.meta)
        if wanted not in family.read_as:
            raise UserError(
                f"{self.folder} is a run of {family.what}, not of {wanted}; {family.shows} with: "
                f"agentnet report {shlex.quote(str(self.folder))}"
            )

    def integers(self, query: str, width: int, *parameters: object) -> Ints:
        """Answer a query for integers by columns, shape ``(width, n_rows)``."""
        return integers(self.connection.execute(query, parameters), width, path=self.run.path)

    def news_items(self) -> tuple[tuple[str, ...], Ints]:
        """Read identifier and severity of each news item."""
        query = f"SELECT news, id, IFNULL(severity, {UNKNOWN}) FROM news ORDER BY news"  # noqa: S608 - our own number
        rows = self.connection.execute(query).fetchall()
        as_written = all(
            news == number and severity in SEVERITY_NAMES for number, (news, _, severity) in enumerate(rows)
        )
        if not rows or not as_written:
            raise self.damage("table news is not as it was written")
        return tuple(str(row[1]) for row in rows), np.array([row[2] for row in rows], dtype=np.int64)

    def prompts(self, used: Ints) -> tuple[Ints, Ints]:
        """Look up what events ask.

        Args:
            used: Numbers of prompts, any shape.

        Returns:
            Profile and news item of each, same shape.
        """
        query = f"SELECT prompt, {MARKED.format('profile')}, news FROM prompts ORDER BY prompt"  # noqa: S608 - our own
        number, bits, news = self.integers(query, 3)
        place = np.searchsorted(number, used)
        inside = place < number.size
        if not inside.all() or (number[place] != used).any():
            raise self.damage("events refer to prompts that are not there")
        return self.profiles(bits)[place], news[place]

    def profiles(self, bits: Ints) -> Ints:
        """Turn five bits, `marked`, into profile numbers."""
        inside = (bits >= 0) & (bits < _PROFILE_OF.size)
        found = _PROFILE_OF[np.where(inside, bits, 0)]
        if found.min(initial=0) < 0:
            raise self.damage("it holds a profile that is not five bits")
        return found


def added(place: tuple[Ints, ...], values: Ints, shape: tuple[int, ...]) -> Ints:
    """Add values up by place, shape `shape`."""
    total = np.zeros(shape, dtype=np.int64)
    np.add.at(total, place, values)
    return total


def unfinished(n_finished: int, n_planned: int) -> str:
    """Say that a run goes on."""
    return f"the run is not finished: only {n_finished} of {n_planned} realizations are, and only they count"
