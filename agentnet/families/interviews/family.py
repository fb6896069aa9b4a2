"""The family of interacting models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agentnet.config import Settings
from agentnet.errors import DesignError, UserError
from agentnet.events import Run
from agentnet.events.rewind import Cut
from agentnet.experiment import Experiment
from agentnet.families.contract import Family, Stage
from agentnet.families.interviews.experiment import InterviewExperiment
from agentnet.families.interviews.stage import gather_company
from agentnet.interviews import Question
from agentnet.vocabulary import INTERVIEW

if TYPE_CHECKING:
    from agentnet.analysis.comparison import OneMeasure
    from agentnet.analysis.grouping import GroupsLike
    from agentnet.report.part import Part, Reading

_MOST_NAMES = 10
_QUESTIONS = "SELECT id, topic, text, answer FROM questions ORDER BY question"


class Interviewing(Family):
    """The family of interacting models."""

    name = "interview"
    what = "interacting models"
    experiment = InterviewExperiment
    answers = "answers"
    shows = "see their perspectives"
    no_network = (
        "which have no network; who interviewed whom is table interviews of: agentnet export --format csv"
    )
    read_as = frozenset({"interviews"})

    def parts(self, reading: Reading) -> Iterable[Part]:
        """Say what the models of each run show."""
        from agentnet.report.interviews_part import interview_parts

        return interview_parts(reading, self.name)

    def measures(self, runs: Sequence[Run]) -> Sequence[str]:  # noqa: ARG002
        """List the outcomes of a study."""
        from agentnet.analysis.study import OUTCOMES

        return tuple(OUTCOMES)

    def measured(self, runs: Sequence[Run], measure: str, groups: GroupsLike | None) -> OneMeasure:  # noqa: ARG002
        """Refuse runs: what they are compared in takes their answers embedded."""
        raise UserError(
            f"{runs[0].folder} cannot be compared in {measure!r}, which takes embedded answers: of "
            f"{self.what} compare studies: compare([study_run(run), ...])"
        )

    def taken_back(self, run: Run, number: int, missing: Collection[tuple[int, str, int]]) -> Cut:
        """Take back the evaluation that follows from an interview, too."""
        cut = super().taken_back(run, number, missing)
        return replace(cut, before_evaluation=(cut.step, INTERVIEW) in {each[:2] for each in missing})

    def check(self, experiments: Sequence[Experiment], settings: Settings) -> None:  # noqa: ARG002
        """Refuse modes that draw decisions."""
        if settings.sampler.mode != "call":
            raise DesignError(
                f"sampler mode {settings.sampler.mode!r} draws decisions; models that interview each other "
                "answer in words: add -S sampler.mode=call"
            )

    def stage(
        self,
        experiments: Sequence[Any],
        settings: Settings,
        environ: Mapping[str, str],
        recorded: Run | None = None,
    ) -> Stage:
        """Read the questions, or take those that were recorded; choose sets, make update rules."""
        known = None if recorded is None else tuple(Question(*row) for row in recorded.rows(_QUESTIONS)[1])
        return gather_company(experiments, settings, environ, known)

    def notes(self, run: Run) -> list[str]:
        """Say which models nobody interviewed."""
        return never_interviewed(run)

    def progress(self, counts: Mapping[str, int]) -> Sequence[tuple[int, str]]:
        """Say how many steps were played."""
        return [(3, f"steps {counts.get('steps', 0):,}")]

    def shown(self, run: Run) -> dict[str, Any]:
        """Say what is to be known of models that interviewed each other."""
        meta = run.meta["interviews"]
        classes = run.rows("SELECT class, COUNT(*) FROM models WHERE realization = 0 GROUP BY class")[1]
        alone = run.rows("SELECT COUNT(*) FROM interviews WHERE interviewed IS NULL")[1]
        steps = run.rows("SELECT COUNT(*) FROM (SELECT DISTINCT realization, step FROM interviews)")[1]
        return {
            "update rules": list(dict.fromkeys(rule["name"] for rule in meta["rules"])),
            "embedder": meta["embedder"]["name"],
            "models by class": dict(classes),
            "steps played": steps[0][0],
            "turns without candidates": alone[0][0],
            "never interviewed": never_interviewed(run),
        }


def never_interviewed(run: Run) -> list[str]:
    """Say in sentences which models nobody interviewed in finished realizations: perhaps not meant.

    Realizations without steps are left out: nobody was to be interviewed.
    """
    rows = run.rows("""
        SELECT model, class, COUNT(*) AS n, (SELECT COUNT(*) FROM realizations) AS n_all
        FROM models JOIN realizations USING (realization)
        WHERE status = 'finished' AND realization IN (SELECT realization FROM interviews) AND NOT EXISTS (
            SELECT 1 FROM interviews
            WHERE interviews.realization = models.realization AND interviewed = models.model
        )
        GROUP BY model, class ORDER BY model
    """)[1]
    models: dict[str, list[str]] = {}
    for model, name, n, n_all in rows:
        where = f" in {n:,} of {n_all:,} realizations" if n < n_all else ""
        models.setdefault(where, []).append(f"{model} ({name})")
    return [
        f"nobody interviewed model{'s' * (len(of_these) > 1)} {_first(of_these)}{where}"
        for where, of_these in models.items()
    ]


def _first(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return f"{', '.join(names[:_MOST_NAMES])}{f' and {more} more' if more > 0 else ''}"
