"""Read a run's event log into tables.

A run that is still played can be read: its finished realizations count, and a note says so. A run of several
conditions is several designs, and one of them has to be chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.covariates import ALWAYS, count_exposures, count_questions
from agentnet.analysis.networks import read_networks
from agentnet.analysis.open_log import MARKED, NOTHING, OpenLog, added, integers, open_log, unfinished
from agentnet.analysis.tables import (
    SEVERITY_NAMES,
    UNKNOWN,
    Decisions,
    ExposureCounts,
    RatioTables,
    RunTables,
)
from agentnet.errors import UserError, near_miss
from agentnet.events import Run
from agentnet.events.conditions import Condition, condition_of
from agentnet.events.schema import CONDITION_OF
from agentnet.vocabulary import DECISION_KINDS, EXPOSURE, N_PROFILES, RATIO

Ints = NDArray[np.int64]

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


_ENGAGED_AND_STOPPED = """
SELECT realization, agent, engaged_step, 0 FROM agents WHERE engaged_step IS NOT NULL AND {0}
UNION ALL SELECT realization, agent, step, 0 FROM changes WHERE what = 'engaged' AND {0}
UNION ALL SELECT realization, agent, step, 1 FROM changes WHERE what = 'stopped' AND {0}
ORDER BY 1, 3, 4
"""


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
        wanted = tuple(name for name in dict.fromkeys(columns) if name not in ALWAYS)
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
        changes = self._changes(self.log.source.agents(number), number)
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
        number, step, prompt, n_asked, n_yes, n_answered = self.log.source.counts(EXPOSURE, realization)
        if not number.size:
            raise UserError(
                f"{self.log.folder} has no exposures: no initial agent has anybody to ask; check the network"
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
        yield f"{n_finished - n_started} realizations that nobody started are left out of all curves"
    if n_started == 1:
        yield "a single realization says nothing about how realizations differ: curves have no intervals"
    found = np.unique(severity).tolist()
    if found == [UNKNOWN]:
        yield "no news item has a severity: all count as one, and no weight can be given to it"
    elif UNKNOWN in found:
        yield "some news items have no severity: the logistic laws count them as peaceful"
    elif len(found) == 1:
        yield f"all news items are {SEVERITY_NAMES[found[0]]}: no weight can be given to severity"


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


def read_engaged_now(run: Run | str | Path, tables: RunTables) -> NDArray[np.float64] | None:
    """Read which fraction of agents is engaged after each step, those who have stopped not counted.

    Args:
        run: The run that `tables` are of.
        tables: Its cascades; their curves count who was ever engaged.

    Returns:
        Shape ``(n_realizations, n_steps + 1)``; None where nobody stopped. A realization that ended early
        keeps what it had then.
    """
    with open_log(run) as log:
        these = f"realization IN ({', '.join(map(str, tables.realization.tolist()))})"
        rows = log.integers(_ENGAGED_AND_STOPPED.format(these), 4)
    if not rows[3].any():
        return None
    change = np.zeros((tables.n_realizations, tables.n_steps + 1))
    engaged: set[tuple[int, int]] = set()
    # Who has stopped may be stopped again from outside, and is no less engaged for it.
    for number, agent, step, stops in rows.T.tolist():
        if ((number, agent) in engaged) == bool(stops):
            (engaged.remove if stops else engaged.add)((number, agent))
            change[np.searchsorted(tables.realization, number), step] += 1 - 2 * stops
    return change.cumsum(axis=1) / tables.n_agents[:, None]


def read_ratios(run: Run | str | Path, *, condition: int | None = None) -> RatioTables:
    """Read the decisions of a response-ratio run.

    Args:
        run: The run, its folder, or its event log.
        condition: Which of the run's conditions, counted from 0; None counts all of them together.

    Returns:
        Those of its finished realizations.

    Raises:
        RunFolderError: There is no event log, or it is damaged, or of another schema.
        UserError: It has no such decisions.
    """
    with open_log(run) as log:
        log.check_read_as("response ratios")
        ids, severity = log.news_items()
        query = "SELECT realization, status = 'finished' FROM realizations ORDER BY realization"
        realization, finished = log.integers(query, 2)
        n_finished, n_planned = int(finished.sum()), int(log.needed("n_realizations"))
        if condition is not None:
            of = condition_of(log.connection)
            finished &= np.array([of.get(number) == condition for number in realization.tolist()], dtype=bool)
        played = realization[finished == 1]
        _, _, prompt, *counts = log.source.counts(RATIO, played)
        profile, news = log.prompts(prompt)
        if not prompt.size:
            where = "" if condition is None else f" of condition {condition}"
            raise UserError(f"{log.folder} has no finished realization{where} yet; resume the run")
        asked, yes, answered = (added((news, profile), each, (len(ids), N_PROFILES)) for each in counts)
        return RatioTables(
            run=log.folder.name,
            status=str(log.needed("status")),
            model_name=str(log.needed("model_name")),
            news_ids=ids,
            severity=severity,
            n_yes=yes,
            n_no=answered - yes,
            n_missing=asked - answered,
            notes=(unfinished(n_finished, n_planned),) if n_finished < n_planned else (),
            questions=count_questions(log, RATIO, played),
        )


def read_decisions(run: Run | str | Path, kind: str = EXPOSURE) -> Decisions:
    """Read single decisions of all realizations and conditions, those of unfinished ones included.

    Args:
        run: The run, its folder, or its event log.
        kind: ``exposure``, ``seed`` or ``ratio``.

    Raises:
        RunFolderError: There is no event log, or it is damaged, or of another schema.
        UserError: There is no such kind, or the models interview each other and decide nothing.
    """
    if kind not in DECISION_KINDS:
        raise UserError(f"there are no decisions of kind {kind!r}{near_miss(kind, DECISION_KINDS)}")
    with open_log(run) as log:
        log.check_read_as("decisions")
        found = "SELECT DISTINCT missing FROM events WHERE missing IS NOT NULL AND kind = ? ORDER BY missing"
        reasons = tuple(str(reason) for (reason,) in log.connection.execute(found, (kind,)))
        ids, severity = log.news_items()
        realization, step, agent, source, prompt, decision, reason = log.source.decisions(kind, reasons)
        profile, news = log.asked(realization, agent, prompt)
    return Decisions(
        realization=realization.astype(np.int32),
        step=step.astype(np.int32),
        agent=agent.astype(np.int32),
        source=source.astype(np.int32),
        profile=profile.astype(np.int8),
        news=news.astype(np.int32),
        severity=severity[news].astype(np.int8),
        decision=decision.astype(np.int8),
        reason=reason.astype(np.int8),
        news_ids=ids,
        reasons=reasons,
    )
