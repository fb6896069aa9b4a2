"""Read a run's event log into tables: typed answers as columns, and damage named as damage.

A run that is still played can be read: its finished realizations count, and a note says so. A run of several
conditions is several designs, and one of them has to be chosen.
"""

from __future__ import annotations

import shlex
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.columns import MARKED, NOTHING, UNPROFILED, ParquetColumns
from agentnet.analysis.covariates import ALWAYS, count_exposures, count_questions
from agentnet.analysis.networks import read_networks
from agentnet.analysis.tables import SEVERITY_NAMES, UNKNOWN, ExposureCounts, RunTables
from agentnet.errors import RunFolderError, UserError
from agentnet.events import LOG_NAME, Run, check_unchanged
from agentnet.events.conditions import Condition
from agentnet.events.schema import CONDITION_OF
from agentnet.families.lookup import family_of
from agentnet.vocabulary import EXPOSURE, N_PROFILES

Ints = NDArray[np.int64]

_COUNTS = """
SELECT realization, step, prompt, COUNT(*), IFNULL(SUM(decision), 0), COUNT(decision)
FROM events WHERE realization = ? AND kind = ? GROUP BY step, prompt
"""

_AGENTS = f"""
SELECT realization, {MARKED.format("profile")}, IFNULL(engaged_step, {NOTHING}), COUNT(*)
FROM agents WHERE realization = ? GROUP BY profile, engaged_step
"""  # noqa: S608 - our own number

_STARTS = f"""
SELECT r.realization, {MARKED.format("a.profile")}, IFNULL(s.n_decisions, 0)
FROM realizations r
LEFT JOIN agents a ON a.realization = r.realization AND a.agent = r.initial_agent
LEFT JOIN steps s ON s.realization = r.realization AND s.step = 0
WHERE r.status = 'finished' ORDER BY r.realization
"""  # noqa: S608 - our own

_FIRST_MISSING = f"""
SELECT e.realization, {MARKED.format("a.profile")}, IFNULL(a.engaged_step, {NOTHING}), MIN(e.step)
FROM events e JOIN agents a ON a.realization = e.realization AND a.agent = e.agent
WHERE e.realization = ? AND e.kind = '{EXPOSURE}' AND e.decision IS NULL GROUP BY e.agent
"""  # noqa: S608 - our own

_REALIZATIONS = f"""
SELECT c.condition, status, realization, news, last_step FROM realizations JOIN ({CONDITION_OF}) c
USING (realization) ORDER BY realization
"""  # noqa: S608 - our own

_REASONS = f"""
SELECT missing, COUNT(*) FROM events
WHERE realization = ? AND kind = '{EXPOSURE}' AND decision IS NULL GROUP BY missing
"""  # noqa: S608 - our own


_STOPS = "SELECT realization, COUNT(*) FROM changes WHERE what = 'stopped' GROUP BY realization"


def marked(bits: str) -> int:
    """Spell five bits as the number that columns hold: behind a 1, read as a decimal number.

    Examples:
        >>> marked("01101")
        101101
    """
    return int(f"1{bits}")


def integers(rows: Iterable[Iterable[object]], width: int, *, path: Path) -> Ints:
    """Lay rows of integers out as columns.

    Args:
        rows: Rows of a query, all of `width` integers.
        width: Number of columns.
        path: The log, for the message.

    Returns:
        Shape ``(width, n_rows)``.

    Raises:
        RunFolderError: A value is no integer.
    """
    try:
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise RunFolderError(
            f"{path} is damaged: where an integer belongs it holds something else ({error}); go on with a "
            "copy of the run"
        ) from error
    return flat.reshape(-1, width).T


_PROFILE_OF = np.full(marked("11111") + 1, NOTHING, dtype=np.int64)
_PROFILE_OF[[marked(f"{profile:05b}") for profile in range(N_PROFILES)]] = np.arange(N_PROFILES)
# Agents that have none count as of the first one: `RunTables.profiled` says that it is no profile.
_PROFILE_OF[UNPROFILED] = 0


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
    def parquet(self) -> ParquetColumns | None:
        """The same in Parquet files, where it is worth to read these."""
        return ParquetColumns.of(self.run, self.connection)

    def counts(self, kind: str, realizations: Ints) -> Ints:
        """Count decisions.

        Args:
            kind: ``exposure``, ``seed`` or ``ratio``.
            realizations: Numbers of the realizations wanted, rising.

        Returns:
            Columns realization, step, prompt, n_asked, n_yes, n_answered; shape ``(6, n_counts)``.
        """
        if (parquet := self.parquet) is not None:
            return parquet.counts(kind, realizations)
        return self._each(_COUNTS, realizations, 6, kind)

    def agents(self, realizations: Ints) -> Ints:
        """Count agents by profile and the step at which they engaged.

        Args:
            realizations: Numbers of the realizations wanted, rising.

        Returns:
            Columns realization, profile (`marked`), engaged step (-1 never), n_agents; shape
            ``(4, n_counts)``.
        """
        if (parquet := self.parquet) is not None:
            return parquet.agents(realizations)
        return self._each(_AGENTS, realizations, 4)

    def decisions(self, kind: str, reasons: tuple[str, ...]) -> Ints:
        """Read single decisions, in the order of the log.

        Args:
            kind: ``exposure``, ``seed`` or ``ratio``.
            reasons: Why decisions are missing.

        Returns:
            Columns realization, step, agent, source, prompt, decision (-1 missing), reason (its place in
            `reasons`, -1 none); shape ``(7, n_decisions)``.
        """
        if (parquet := self.parquet) is not None:
            return parquet.decisions(kind, reasons)
        cases = " ".join(f"WHEN ? THEN {place}" for place in range(len(reasons)))
        reason = f"CASE missing {cases} ELSE {NOTHING} END" if cases else str(NOTHING)
        query = (
            f"SELECT realization, step, agent, source, prompt, IFNULL(decision, {NOTHING}), {reason} "  # noqa: S608 - our own numbers
            "FROM events WHERE kind = ? ORDER BY realization, kind, step, agent, source, repeat"
        )
        return self.integers(query, 7, *reasons, kind)

    def _each(self, query: str, realizations: Ints, width: int, *parameters: str) -> Ints:
        """Ask for one realization after the other: sorting many short lists beats sorting a long one."""
        asked = (self.connection.execute(query, (number, *parameters)) for number in realizations.tolist())
        return integers(chain.from_iterable(asked), width, path=self.run.path)

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
            Profile (0 where agents have none) and news item of each, same shape.
        """
        bits = MARKED.format("IFNULL(profile, '')")
        query = f"SELECT prompt, {bits}, news FROM prompts ORDER BY prompt"  # noqa: S608 - our own
        number, bits, news = self.integers(query, 3)
        place = np.searchsorted(number, used)
        inside = place < number.size
        if not inside.all() or (number[place] != used).any():
            raise self.damage("events refer to prompts that are not there")
        return self.profiles(bits)[place], news[place]

    @property
    def is_told(self) -> bool:
        """Whether agents were told more than a news item, so that each exposure was asked by itself."""
        return bool(self.connection.execute("SELECT EXISTS (SELECT 1 FROM exposures)").fetchone()[0])

    def asked(self, realization: Ints, agent: Ints, prompt: Ints) -> tuple[Ints, Ints]:
        """Look up who was asked about what: `prompts`, where each prompt is of one profile.

        Args:
            realization: Numbers of realizations, shape ``(n_decisions,)``.
            agent: Who was asked, same shape.
            prompt: Number of the prompt, same shape.

        Returns:
            Profile and news item, same shape.
        """
        profile, news = self.prompts(prompt)
        # Agents of several profiles share a prompt that says nothing of a profile.
        return (self.profiles_of(realization, agent) if self.is_told else profile), news

    def profiles_of(self, realization: Ints, agent: Ints) -> Ints:
        """Look up the profile of agents, 0 for none, shape ``(n_agents,)``."""
        query = f"SELECT realization, agent, {MARKED.format('profile')} FROM agents ORDER BY 1, 2"  # noqa: S608 - our own
        *keys, bits = self.integers(query, 3)
        width = int(max(keys[1].max(initial=0), agent.max(initial=0))) + 1
        place = np.searchsorted(keys[0] * width + keys[1], realization * width + agent)
        return self.profiles(bits)[place]

    def profiles(self, bits: Ints) -> Ints:
        """Turn five bits, as `MARKED` has them, into profile numbers; no profile is number 0."""
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


class _Started(NamedTuple):
    """Realizations that are finished and had somebody to start them; arrays of the same length."""

    realization: Ints
    news: Ints
    last_step: Ints


@dataclass(frozen=True, slots=True)
class RunCascades:
    """Reads the tables of one condition.

    Attributes:
        log: The event log.
        condition: The condition.
        columns: Columns that decisions of exposures are counted by besides step and profile.
    """

    log: OpenLog
    condition: Condition
    columns: tuple[str, ...] = ()

    @classmethod
    def chosen(cls, log: OpenLog, condition: int | None, columns: Iterable[str] = ()) -> Self:
        """Choose a condition.

        Raises:
            UserError: There is no such condition, or one must be named, or the run has no cascades.
        """
        log.check_read_as("cascades")
        for key in ("design", "conditions"):
            log.needed("experiment", key)
        named = (columns,) if isinstance(columns, str) else columns
        wanted = tuple(name for name in dict.fromkeys(named) if name not in ALWAYS)
        return cls(log, Condition.chosen(log.meta, log.folder, condition), wanted)

    @property
    def n_steps(self) -> int:
        """Steps of the design."""
        return int(self._of_design("steps"))

    def tables(self) -> RunTables:
        """Read them.

        Raises:
            RunFolderError: The log is damaged.
            UserError: No realization can be used.
        """
        ids, severity_of = self.log.news_items()
        n_planned = len(ids) * int(self._of_design("repeats"))
        started, n_finished = self._started()
        number = started.realization
        changes = self._changes(self.log.agents(number), number)
        exposures = self._exposures(number)
        with_missing: list[int] = number[np.unique(exposures.row[exposures.n_missing > 0])].tolist()
        initial_profile, n_asked = self._starts(number)
        severity = severity_of[started.news]
        return RunTables(
            run=self.log.folder.name,
            status=str(self.log.needed("status")),
            condition=self.condition.overrides,
            model_name=str(self.log.needed("model_name")),
            asking_rule=str(self._of_design("asking_rule")),
            seeding="first_yes" if n_asked.any() else "uniform",
            n_steps=self.n_steps,
            news_ids=ids,
            realization=number,
            news=started.news,
            severity=severity,
            last_step=started.last_step,
            initial_profile=initial_profile,
            n_seed_attempts=n_asked,
            profile_agents=changes.sum(axis=2),
            engaged=_engaged(changes),
            engaged_if_yes=_engaged(changes + self._moved(with_missing, number)),
            exposures=exposures,
            missing_reasons=self._reasons(with_missing),
            networks=read_networks(self.log, number, self.columns),
            n_unstarted=n_finished - number.size,
            n_unfinished=n_planned - n_finished,
            notes=(
                *_notes(severity, number.size, n_finished, n_planned),
                *self._told_notes(number),
                *_column_notes(exposures),
            ),
            knobs=self.condition.design,
            profiled=self._profiled(number),
            questions=count_questions(self.log, EXPOSURE, number, self.columns),
        )

    def _of_design(self, key: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        if key not in self.condition.design:
            raise self.log.damage(f"the design in table meta lacks {key}")
        return self.condition.design[key]

    def _started(self) -> tuple[_Started, int]:
        """List the realizations that can be used, and count the finished ones."""
        every = self.log.connection.execute(_REALIZATIONS).fetchall()
        if any(row[0] is None for row in every):
            raise self.log.damage("a realization's condition is no JSON, or none of the run's")
        mine = [row for row in every if row[0] == self.condition.number]
        n_finished = sum(row[1] != "running" for row in mine)
        rows = [row[2:] for row in mine if row[1] == "finished"]
        if not n_finished:
            raise UserError(f"{self.log.folder} has no finished realization yet; wait for one, or resume it")
        if not rows:
            raise UserError(
                f"{self.log.folder} has no cascade: in {n_finished} finished realizations nobody said yes to "
                "start one; check the prompts and how replies are read"
            )
        return _Started(*integers(rows, 3, path=self.log.run.path)), n_finished

    def _profiled(self, realization: Ints) -> bool:
        """Say whether agents have profiles: all or none of them."""
        query = "SELECT realization, MIN(profile = ''), MAX(profile = '') FROM agents GROUP BY realization"
        number, all_without, any_without = self.log.integers(query, 3)
        kept = np.isin(number, realization)
        if (all_without != any_without)[kept].any():
            raise self.log.damage("some agents of a realization have a profile, and others none")
        return not any_without[kept].any()

    def _told_notes(self, realization: Ints) -> Iterator[str]:
        """Say what happened that curves and laws do not show."""
        number, n_times = self.log.integers(_STOPS, 2)
        kept = np.isin(number, realization)
        if n_times[kept].any():
            yield (
                f"{n_times[kept].sum():,} times an engaged agent stopped: curves count who was ever engaged, "
                "and the laws, in which nobody stops, are of these curves"
            )

    def _starts(self, realization: Ints) -> tuple[Ints, Ints]:
        """Read each initial agent's profile, and how many agents were asked until it said yes."""
        number, bits, n_asked = self.log.integers(_STARTS, 3)
        kept = np.isin(number, realization)
        return self.log.profiles(bits[kept]), n_asked[kept]

    def _changes(self, counts: Ints, realization: Ints) -> Ints:
        """Count agents by the step at which they engaged, the last column those that never did."""
        number, bits, step, n_agents = counts
        never = self.n_steps + 1
        if step.max(initial=0) > self.n_steps:
            raise self.log.damage("agents engaged after the last step")
        row, profile = np.searchsorted(realization, number), self.log.profiles(bits)
        changes = added(
            (row, profile, np.where(step < 0, never, step)),
            n_agents,
            (realization.size, N_PROFILES, never + 1),
        )
        self._check_engaged(changes, realization)
        return changes

    def _check_engaged(self, changes: Ints, realization: Ints) -> None:
        """Compare the agents with the steps: both say how many are engaged in the end.

        Agents who stopped and may engage again are engaged no more, and still have engaged.
        """
        query = "SELECT realization, MAX(n_engaged) FROM steps GROUP BY realization ORDER BY realization"
        number, n_engaged = self.log.integers(query, 2)
        kept = np.isin(number, realization)
        counted = changes[:, :, :-1].sum(axis=(1, 2))
        stopped = np.isin(realization, self.log.integers(_STOPS, 2)[0])
        same = np.array_equal(number[kept], realization)
        if not same or np.where(stopped, n_engaged[kept] > counted, n_engaged[kept] != counted).any():
            raise self.log.damage("its tables agents and steps disagree on how many agents engaged")

    def _exposures(self, realization: Ints) -> ExposureCounts:
        number, step, prompt, n_asked, n_yes, n_answered = self.log.counts(EXPOSURE, realization)
        if not number.size:
            raise UserError(
                f"{self.log.folder} has no exposures: nobody was asked after the start; check steps, initial "
                f"agents, asking rule and network"
            )
        if self.columns or self.log.is_told:
            return count_exposures(self.log, realization, self.columns)
        return ExposureCounts(
            row=np.searchsorted(realization, number),
            step=step,
            profile=self.log.prompts(prompt)[0],
            n_yes=n_yes,
            n_no=n_answered - n_yes,
            n_missing=n_asked - n_answered,
        )

    def _moved(self, with_missing: list[int], realization: Ints) -> Ints:
        """Tell how the counts of `_changes` change if agents engage at their first missing answer."""
        connection = self.log.connection
        rows = chain.from_iterable(connection.execute(_FIRST_MISSING, (number,)) for number in with_missing)
        number, bits, engaged, missing = integers(rows, 4, path=self.log.run.path)
        engaged = np.where(engaged < 0, self.n_steps + 1, engaged)
        row, profile = np.searchsorted(realization, number), self.log.profiles(bits)
        shape, one = (realization.size, N_PROFILES, self.n_steps + 2), np.ones_like(row)
        # Who is engaged is not asked any more, so a missing answer is never later.
        return added((row, profile, missing), one, shape) - added((row, profile, engaged), one, shape)

    def _reasons(self, with_missing: list[int]) -> dict[str, int]:
        found: Counter[str] = Counter()
        for number in with_missing:
            for reason, n_missing in self.log.connection.execute(_REASONS, (number,)):
                found[str(reason)] += n_missing
        return dict(found.most_common())


def _engaged(changes: Ints) -> NDArray[np.int32]:
    return np.cumsum(changes[:, :, :-1], axis=2, dtype=np.int32)


def _column_notes(exposures: ExposureCounts) -> Iterator[str]:
    """Say which columns missing answers lack."""
    for name, column in exposures.columns.items():
        n_lacking = int(exposures.n_missing[np.isnan(column)].sum())
        if n_lacking:
            yield (
                f"{n_lacking:,} missing answers have no {name}: laws of it leave them out, and so do their "
                "bounds for missing answers"
            )


def _notes(severity: Ints, n_started: int, n_finished: int, n_planned: int) -> Iterator[str]:
    if n_finished < n_planned:
        yield unfinished(n_finished, n_planned)
    if n_started < n_finished:
        n_left = n_finished - n_started
        are = "realization that nobody started is" if n_left == 1 else "realizations that nobody started are"
        yield f"{n_left:,} {are} left out of all curves"
    if n_started == 1:
        yield "a single realization says nothing about how realizations differ: curves have no intervals"
    found, of = np.unique(severity).tolist(), "of the cascades that were started, " * (n_started < n_finished)
    if found == [UNKNOWN]:
        yield f"{of}no news item has a severity: all count as one, and no weight can be given to it"
    elif UNKNOWN in found:
        yield f"{of}some news items have no severity: the logistic laws count them as peaceful"
    elif len(found) == 1:
        yield f"{of}all news items are {SEVERITY_NAMES[found[0]]}: no weight can be given to severity"


def read_tables(
    run: Run | str | Path, *, condition: int | None = None, columns: Iterable[str] = ()
) -> RunTables:
    """Read the cascades of a run.

    Args:
        run: The run, its folder, or its event log.
        condition: Which of the run's conditions, counted from 0; not needed where there is one.
        columns: Columns of exposures for laws of decisions, such as ``n_engaged``; see
            `agentnet.analysis.covariates`.

    Returns:
        Its finished realizations that somebody started.

    Raises:
        RunFolderError: There is no event log, or it is damaged, or of another schema.
        UserError: No realization can be used, the run has no cascades, or no condition was chosen.
    """
    with open_log(run) as log:
        return RunCascades.chosen(log, condition, columns).tables()
