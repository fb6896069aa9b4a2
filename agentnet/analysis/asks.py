"""Read the answers of free worlds to questions of one kind, so that laws of decisions can be fitted to them.

A law of decisions takes yes and no. In a free world that is a plain answer to a question of yes and no, or
whether a declared answer reads as somebody says: ``action=share``. There are no curves and no asking rule, so
laws are of decisions alone, and none is played.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.by_context import answer_in_words
from agentnet.analysis.columns import MARKED, NOTHING
from agentnet.analysis.covariates import ALWAYS, count_exposures
from agentnet.analysis.networks import read_networks
from agentnet.analysis.reading import OpenLog, open_log, unfinished
from agentnet.analysis.tables import RunTables
from agentnet.errors import UserError, near_miss
from agentnet.events import Run
from agentnet.events.conditions import Condition, condition_of
from agentnet.vocabulary import N_PROFILES

Ints = NDArray[np.int64]

_KINDS = (
    "SELECT kind, COUNT(decision), MIN(CASE WHEN value LIKE '{%' THEN value END) FROM events GROUP BY kind"
)
_ANSWERS = """
SELECT CASE WHEN missing IS NULL THEN value END, decision FROM events WHERE kind = ?
ORDER BY realization, kind, step, agent, source, repeat
"""
_REALIZATIONS = "SELECT realization FROM realizations WHERE status = 'finished' ORDER BY realization"
_UNPROFILED = "SELECT EXISTS (SELECT 1 FROM agents WHERE profile = '')"


def read_asks(
    run: Run | str | Path,
    of: str = "",
    *,
    condition: int | None = None,
    columns: Iterable[str] = (),
) -> RunTables:
    """Read the answers of a free world to questions of one kind.

    Args:
        run: The run, its folder, or its event log.
        of: What counts as a yes: the name of a kind of questions of yes and no; or ``NAME=VALUE``, of a kind
            whose declared answer is that value, or of a field of such answers. Empty where one kind is of yes
            and no.
        condition: Which of the run's conditions, counted from 0; not needed where there is one.
        columns: Columns of what agents were told, such as keys of contexts; see
            `agentnet.analysis.covariates`.

    Returns:
        Tables without curves: what was asked and answered counts as exposures, by turn.

    Raises:
        RunFolderError: There is no event log, or it is damaged.
        UserError: There are no such answers, or no condition was chosen.
    """
    with open_log(run) as log:
        log.check_read_as("free worlds")
        return _tables(log, Condition.chosen(log.meta, log.folder, condition), of, columns)


def _tables(log: OpenLog, condition: Condition, of: str, columns: Iterable[str]) -> RunTables:
    kind, judged = _judged(log, of)
    finished, named = log.integers(_REALIZATIONS, 1)[0], condition_of(log.connection)
    mine = [number for number, own in named.items() if own == condition.number]
    realization = finished[np.isin(finished, mine)]
    every = (columns,) if isinstance(columns, str) else columns
    wanted = tuple(name for name in dict.fromkeys(every) if name not in ALWAYS)
    counts = count_exposures(log, realization, wanted, kind, judged)
    if not counts.row.size:
        raise UserError(f"{log.folder} has no finished realization in which {kind!r} was asked")
    agents = _agents(log, realization)
    return RunTables.of_decisions(
        log.folder.name,
        counts,
        realization=realization,
        profile_agents=agents,
        networks=read_networks(log, realization),
        model_name=str(log.needed("model_name")),
        status=str(log.needed("status")),
        condition=condition.overrides,
        notes=tuple(_notes(kind, of, realization.size, len(mine))),
        profiled=not log.connection.execute(_UNPROFILED).fetchone()[0],
    )


def _notes(kind: str, of: str, n: int, n_planned: int) -> Iterator[str]:
    yes = f"; a yes is {of!r}" if "=" in of else ""
    yield f"decisions are answers to questions of kind {kind!r}{yes}"
    if n < n_planned:
        yield unfinished(n, n_planned)


def _agents(log: OpenLog, realization: Ints) -> Ints:
    query = f"SELECT realization, {MARKED.format('profile')}, COUNT(*) FROM agents GROUP BY 1, 2"  # noqa: S608 - our own
    number, bits, count = log.integers(query, 3)
    found = np.zeros((realization.size, N_PROFILES), np.int64)
    kept = np.isin(number, realization)
    place = (np.searchsorted(realization, number[kept]), log.profiles(bits[kept]))
    np.add.at(found, place, count[kept])
    return found


def _judged(log: OpenLog, of: str) -> tuple[str, Ints]:
    """Find the kind of questions that is meant, and what each answer to it counts as."""
    kinds = {str(kind): (n, value) for kind, n, value in log.connection.execute(_KINDS)}
    fields = {
        name: kind for kind, (_, value) in kinds.items() if value is not None for name in json.loads(value)
    }
    name, sign, wanted = of.partition("=")
    if not sign:
        of_yes_and_no = [kind for kind, (n, _) in kinds.items() if n]
        if (name or len(of_yes_and_no) != 1) and name not in of_yes_and_no:
            raise UserError(_which(name, of_yes_and_no, kinds, fields))
        kind = name or of_yes_and_no[0]
    elif name in kinds or name in fields:
        kind = name if name in kinds else fields[name]
    else:
        raise UserError(_which(name, [], kinds, fields))
    rows = log.connection.execute(_ANSWERS, (kind,)).fetchall()
    if not sign:
        return kind, np.array([NOTHING if yes is None else yes for _, yes in rows], np.int64)
    said = [_spelled(value, name) for value, _ in rows]
    if wanted not in said:
        known = sorted({each for each in said if each is not None})
        raise UserError(f"no answer has {name} = {wanted!r}{near_miss(wanted, known)}")
    return kind, np.array([NOTHING if each is None else each == wanted for each in said], np.int64)


def _spelled(value: str | None, name: str) -> str | None:
    """Spell an answer, or the field of it that is named; None where there is none."""
    said: Any = None if value is None else json.loads(value)
    if isinstance(said, dict):
        said = said.get(name)
    return None if said is None else answer_in_words(said)


def _which(name: str, of_yes_and_no: list[str], kinds: Iterable[str], fields: Iterable[str]) -> str:
    """Say what may be named."""
    plain = ", ".join(of_yes_and_no) or "none"
    others = [each for each in (*kinds, *fields) if each not in of_yes_and_no]
    asked = f"there are no such answers: {name!r}{near_miss(name, others)}" if name else "say what is a yes"
    return (
        f"{asked}; questions of yes and no: {plain}; others by a value of theirs (--of NAME=VALUE): "
        f"{', '.join(others) or 'none'}"
    )
