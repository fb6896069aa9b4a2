"""Ask what is missing in a run again: in the same run where nothing follows from it, else in a fork."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from agentnet.errors import MissingAnswers, UserError
from agentnet.events import Run, check_unplayed
from agentnet.events.checksums import check_unchanged
from agentnet.events.rewind import AT_THE_END, Cut, forget_missing, fork
from agentnet.families import Family, family_of
from agentnet.families.contract import saved_folder
from agentnet.runner.play import spent_before


def ask_again(folder: Path) -> Path:
    """Make a run ready to be asked again for what is missing in it.

    Args:
        folder: The run folder.

    Returns:
        The folder of the run that is to be resumed: the same one, or that of a fork.

    Raises:
        UserError: Nothing is missing.
        RunFolderError: Another process is playing the run, or its log is damaged.
        StorageError: A log cannot be written.
    """
    run = Run(folder)
    check_unplayed(folder)
    check_unchanged(run)
    if not reasons_of(run):
        raise UserError(f"no answer is missing in {folder}")
    cuts = dict(_cuts(run, family_of(run.meta)))
    spent = spent_before(run)._asdict()
    if all(cut is AT_THE_END for cut in cuts.values()):
        forget_missing(folder, spent)
        return folder
    new = next(new for new in _names(folder) if not new.exists())
    fork(folder, new, cuts, spent)
    for (number,) in run.rows("SELECT realization FROM realizations WHERE status = 'running'")[1]:
        saved = saved_folder(folder, number)
        if number not in cuts and saved.is_dir():
            shutil.copytree(saved, saved_folder(new, number))
    return new


def reasons_of(run: Run) -> dict[str, int]:
    """Count the missing answers of a run by their reasons, the most frequent first."""
    query = "SELECT missing, COUNT(*) FROM events WHERE missing IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
    return dict(run.rows(query)[1])


def check_missing(run: Run, bound: float, way_out: str) -> None:
    """Make sure that no larger share of a run's answers is missing than `bound`.

    Decisions and the reasons asked for afterwards are looked at by themselves: many of one must not hide that
    the others are missing.

    Args:
        run: The run.
        bound: Largest share, in [0, 1].
        way_out: The command that asks them again.

    Raises:
        MissingAnswers: A larger share is missing.
    """
    reasons = reasons_of(run)
    if not reasons:
        return
    kinds = run.rows("SELECT kind = 'reason', COUNT(*), COUNT(missing) FROM events GROUP BY 1")[1]
    over = [(n_missing, n, is_reason) for is_reason, n, n_missing in kinds if n_missing > bound * n]
    if not over:
        return
    what = " and ".join(
        f"{n_missing:,} of {n:,} {'reasons' if is_reason else 'answers'} ({n_missing / n:.0%})"
        for n_missing, n, is_reason in over
    )
    raise MissingAnswers(
        f"MISSING: {what} ({_named(reasons)}), more than engine.max_missing = {bound:g} allows. "
        f"What is left may differ from what is missing: ask again by {way_out} (what went wrong each "
        "time stands in table troubles), or allow more by -S engine.max_missing=1"
    )


def _named(reasons: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {reason}" for reason, n in reasons.items())


def missing_words(run: Run) -> str:
    """Say how many answers of a run are missing and why; empty if none is."""
    reasons = reasons_of(run)
    return f"{sum(reasons.values()):,} answers are missing ({_named(reasons)})" if reasons else ""


def _names(folder: Path) -> Iterator[Path]:
    yield folder.with_name(f"{folder.name}-again")
    yield from (folder.with_name(f"{folder.name}-again-{number}") for number in count(2))


def _cuts(run: Run, family: Family) -> Iterator[tuple[int, Cut]]:
    """Find where each realization that lacks an answer is to be taken back to."""
    missing: dict[int, list[tuple[int, str, int]]] = {}
    query = "SELECT realization, step, kind, agent FROM events WHERE missing IS NOT NULL"
    for number, *place in run.rows(query)[1]:
        places = missing.setdefault(number, [])
        if family.leads_on(place[1]):
            places.append((place[0], place[1], place[2]))
    for number, places in missing.items():
        yield number, family.taken_back(run, number, places) if places else AT_THE_END
