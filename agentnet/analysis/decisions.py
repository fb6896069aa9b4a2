"""What a log says beside the tables of cascades: response ratios, single decisions, who is engaged now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.covariates import count_questions
from agentnet.analysis.reading import added, open_log, unfinished
from agentnet.analysis.tables import Array, Ints, Questions, RunTables, freeze
from agentnet.errors import UserError, near_miss
from agentnet.events import Run
from agentnet.events.conditions import condition_of
from agentnet.vocabulary import DECISION_KINDS, EXPOSURE, N_PROFILES, RATIO

_ENGAGED_AND_STOPPED = """
SELECT realization, agent, engaged_step, 0 FROM agents WHERE engaged_step IS NOT NULL AND {0}
UNION ALL SELECT realization, agent, step, 0 FROM changes WHERE what = 'engaged' AND {0}
UNION ALL SELECT realization, agent, step, 1 FROM changes WHERE what = 'stopped' AND {0}
ORDER BY 1, 3, 4
"""


@dataclass(frozen=True, slots=True, eq=False)
class RatioTables:
    """The decisions of a response-ratio run.

    Attributes:
        run: Name of the run.
        status: ``running`` or ``finished``.
        model_name: The language model.
        news_ids: Identifiers of the news items, ``(n_news,)``.
        severity: Severity of each item: 0, 1, or -1 unknown, shape ``(n_news,)``.
        n_yes: Decisions to share, shape ``(n_news, 32)``.
        n_no: Decisions not to share, same shape.
        n_missing: Decisions that did not come, same shape.
        notes: What to know before using the tables.
        questions: Questions whose probability is known; None where none is.
    """

    run: str
    status: str
    model_name: str
    news_ids: tuple[str, ...]
    severity: Ints
    n_yes: Ints
    n_no: Ints
    n_missing: Ints
    notes: tuple[str, ...] = ()
    questions: Questions | None = None

    def __post_init__(self) -> None:
        freeze(self)

    @property
    def yes_ratio(self) -> Array:
        """Share of yes among the decisions that came; NaN where none came. Shape ``(n_news, 32)``."""
        with np.errstate(invalid="ignore"):
            ratio: Array = self.n_yes / (self.n_yes + self.n_no)
        return ratio


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """Single decisions in columns of shape ``(n_decisions,)``, in the order of the log.

    Attributes:
        realization: Number of the realization.
        step: Step; 0 for seed questions and response ratios.
        agent: Who decided.
        source: The engaged neighbour whose message it was; -1 nobody.
        profile: Profile number 0..31 of the agent.
        news: Index of the news item in `news_ids`.
        severity: 0, 1, or -1 unknown.
        decision: 1 yes, 0 no, -1 missing.
        reason: Why it is missing, an index into `reasons`; -1 where it is not.
        news_ids: Identifiers of the news items.
        reasons: Why decisions are missing.
    """

    realization: NDArray[np.int32]
    step: NDArray[np.int32]
    agent: NDArray[np.int32]
    source: NDArray[np.int32]
    profile: NDArray[np.int8]
    news: NDArray[np.int32]
    severity: NDArray[np.int8]
    decision: NDArray[np.int8]
    reason: NDArray[np.int8]
    news_ids: tuple[str, ...]
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        freeze(self)


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
        _, _, prompt, *counts = log.counts(RATIO, played)
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
        realization, step, agent, source, prompt, decision, reason = log.decisions(kind, reasons)
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
