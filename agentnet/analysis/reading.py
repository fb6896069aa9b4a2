"""Read a run's event log into tables.

A run that is still played can be read: its finished realizations count, and a note says so. A run of several
conditions is several designs, and one of them has to be chosen.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from agentnet.analysis.cells import N_PROFILES
from agentnet.analysis.open_log import added, open_log, unfinished
from agentnet.analysis.run_cascades import RunCascades
from agentnet.analysis.tables import Decisions, RatioTables, RunTables
from agentnet.errors import UserError, near_miss
from agentnet.events import Run
from agentnet.vocabulary import DECISION_KINDS, RATIO


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


def read_ratios(run: Run | str | Path) -> RatioTables:
    """Read the decisions of a response-ratio run.

    Args:
        run: The run, its folder, or its event log.

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
        _, _, prompt, *counts = log.source.counts(RATIO, realization[finished == 1])
        profile, news = log.prompts(prompt)
        if not prompt.size:
            raise UserError(f"{log.folder} has no finished realization yet; resume the run")
        asked, yes, answered = (added((news, profile), each, (len(ids), N_PROFILES)) for each in counts)
        n_finished, n_planned = int(finished.sum()), int(log.needed("n_realizations"))
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
        )


def read_decisions(run: Run | str | Path, kind: str = "exposure") -> Decisions:
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
        profile, news = log.prompts(prompt)
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
