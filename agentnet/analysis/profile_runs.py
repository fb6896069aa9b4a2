"""What two runs say of the same profiles: what each answers, and how often each shares news.

Runs are joined by profile: in a run of interacting models, a model's profile is the name of its class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.answers import Embedded, embed_answers
from agentnet.analysis.decisions import read_ratios
from agentnet.analysis.reading import read_tables
from agentnet.analysis.tables import NO_PROFILES
from agentnet.embedder import Embedder
from agentnet.errors import InputError, UserError
from agentnet.events import Run
from agentnet.families.lookup import family_of
from agentnet.vocabulary import N_PROFILES, PROFILES

Block = NDArray[np.float32]
Counts = NDArray[np.int64]

_BITS: Final = re.compile(r"[01]{5}")
_COUNTS: Final = ("n_yes", "n_no", "n_missing")
_MOCK: Final = "mock"
_MOCK_LABEL: Final = "mock: the decisions follow the law {}, and come from no language model"


@dataclass(frozen=True, slots=True, eq=False)
class ProfileAnswers:
    """Embedded answers of profiles to the same questions.

    Attributes:
        profiles: Five bits each, ascending.
        block: Embedded answers, shape ``(n_profiles, n_questions, dim)``: their mean over the models of a
            profile and over realizations.
        questions: Identifiers of the questions, in order.
        left_out: Identifier -> why: questions of which an answer is missing.
        embedder: Name of the embedder.
        run: Name of the run.
        model_name: The language model.
        label: What results have to be called; ``""`` if a language model answered.
    """

    profiles: tuple[str, ...]
    block: Block
    questions: tuple[str, ...] = ()
    left_out: Mapping[str, str] | None = None
    embedder: str = ""
    run: str = ""
    model_name: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        _check_order(self.profiles, len(self.block), "answers")


@dataclass(frozen=True, slots=True, eq=False)
class SharingCounts:
    """How often profiles shared news, over all news items.

    Attributes:
        profiles: Five bits each, ascending: those that were asked.
        n_yes: Decisions to share, shape ``(n_profiles,)``.
        n_no: Decisions not to share, same shape.
        n_missing: Decisions that did not come, same shape; they count for nothing.
        run: Name of the run.
        model_name: The language model.
        label: What results have to be called; ``""`` if a language model decided.
        notes: What to know about the run.
    """

    profiles: tuple[str, ...]
    n_yes: Counts
    n_no: Counts
    n_missing: Counts
    run: str = ""
    model_name: str = ""
    label: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in _COUNTS:
            _check_order(self.profiles, len(getattr(self, name)), name)


class Sharing(NamedTuple):
    """How often each of the 32 profiles shared news, and what to know about it.

    Attributes:
        counts: Decisions to share, not to share, and missing ones, shape ``(32,)`` each.
        notes: What to know about them.
    """

    counts: Sequence[Counts]
    notes: tuple[str, ...] = ()


def _check_order(profiles: Sequence[str], n_rows: int, what: str) -> None:
    """Make sure that rows are those of profiles in ascending order: two tables are joined by it."""
    ascending = all(one < other for one, other in pairwise(profiles))
    if n_rows != len(profiles) or not ascending or not all(map(_BITS.fullmatch, profiles)):
        raise InputError(
            f"{what} must have a row for each profile, profiles being five bits each, ascending, none twice; "
            f"got {n_rows} rows of {', '.join(profiles)}"
        )


async def read_profile_answers(run: Run, embedder: Embedder) -> ProfileAnswers:
    """Read and embed what profiles answered before anybody interviewed them (step 0).

    Several models of one profile and several realizations are averaged.

    Args:
        run: A run of interacting models whose classes are profiles.
        embedder: From texts to vectors; closed by the caller.

    Raises:
        UserError: It is no such run, has several conditions, or no realization is finished.
        InputError: An answer is missing to every question.
        BackendError: The embedder failed.
    """
    embedded = await embed_answers(run, embedder, other_embedder=True)
    _check_profiles(run, embedded)
    left_out = {name: why for each in embedded for name, why in each.answers.left_out.items()}
    questions = tuple(name for name in embedded[0].answers.questions if name not in left_out)
    if not questions:
        raise InputError(
            f"{run.folder}: an answer is missing to every question, in one realization or another; nothing "
            "can be compared; see table troubles"
        )
    mean = np.mean([_first_answers(each, questions) for each in embedded], axis=0)
    classes = np.array(embedded[0].answers.classes)
    profiles = tuple(sorted(set(classes.tolist())))
    block = np.stack([mean[classes == bits].mean(axis=0) for bits in profiles])
    return ProfileAnswers(
        profiles,
        block,
        questions,
        left_out,
        embedder.name,
        run.folder.name,
        str(run.meta["model_name"]),
        str(run.meta.get("label", "")),
    )


def _check_profiles(run: Run, embedded: Sequence[Embedded]) -> None:
    n_conditions = len(run.meta["experiment"]["conditions"])
    if n_conditions > 1:
        raise UserError(
            f"{run.folder} has {n_conditions} conditions, and perspectives are those of one; play each as "
            "a run of its own"
        )
    if not all(each.answers.present[0].all() for each in embedded):
        raise UserError(f"{run.folder} has models that join later, and perspectives are those of the start")
    others = [name for name in dict.fromkeys(embedded[0].answers.classes) if not _BITS.fullmatch(name)]
    if others:
        raise UserError(
            f"{run.folder} has models of class {', '.join(others[:3])}, which is no profile (five bits such "
            "as 01101); play one that asks profiles: agentnet run experiments/news_perspectives.py"
        )


def _first_answers(embedded: Embedded, questions: Sequence[str]) -> Block:
    places = [embedded.answers.questions.index(name) for name in questions]
    return embedded.load(0)[:, places]


def read_sharing(run: Run | str | Path, *, condition: int | None = None) -> SharingCounts:
    """Count how often each profile shared news: of response ratios, or of the exposures of cascades.

    Args:
        run: The run, its folder, or its event log.
        condition: Which condition, counted from 0, of cascades that have several.

    Raises:
        RunFolderError: There is no event log, or it is damaged, or of another schema.
        UserError: Nobody decides about news in it, or its condition cannot be told.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    meta = run.meta
    counts, notes = family_of(meta).sharing(run, condition)
    asked = np.flatnonzero(sum(counts))
    n_yes, n_no, n_missing = (count[asked] for count in counts)
    label = _MOCK_LABEL.format(meta["model_name"]) if meta["backend"] == _MOCK else ""
    return SharingCounts(
        tuple(PROFILES[profile] for profile in asked),
        n_yes,
        n_no,
        n_missing,
        run.folder.name,
        str(meta["model_name"]),
        label,
        notes,
    )


def ratios_shared(run: Run, condition: int | None) -> Sharing:
    """Count the decisions of response ratios."""
    if len(run.meta["experiment"]["conditions"]) > 1 or condition is not None:
        raise UserError(
            f"{run.folder} is a run of response ratios, whose conditions are not told apart; play each as a "
            "run of its own"
        )
    ratios = read_ratios(run)
    return Sharing([getattr(ratios, name).sum(axis=0) for name in _COUNTS], ratios.notes)


def exposures_shared(run: Run, condition: int | None) -> Sharing:
    """Count the exposures of a condition of cascades."""
    tables = read_tables(run, condition=condition)
    if not tables.profiled:
        raise UserError(f"{run.folder}: {NO_PROFILES.format('nobody can say how often each profile shared')}")
    exposures = tables.exposures
    counts = [_by_profile(exposures.profile, getattr(exposures, name)) for name in _COUNTS]
    return Sharing(counts, tables.notes)


def _by_profile(profile: Counts, values: Counts) -> Counts:
    total: Counts = np.zeros(N_PROFILES, dtype=np.int64)
    np.add.at(total, profile, values)
    return total
