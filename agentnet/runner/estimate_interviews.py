"""What a run of interacting models will take: its answers are counted, its tokens estimated.

Who may interview whom says how many questions are asked, so the count is exact as long as every answer comes.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agentnet.backend import Backend, Messages, Reply, Request, make_backend
from agentnet.config import BackendSettings, LogSettings
from agentnet.events import Run
from agentnet.experiment import Experiment, InterviewExperiment, Source
from agentnet.interviews.topology import Candidates, Still, candidates_at, parse_topology
from agentnet.runner.interviews import Cast, Company
from agentnet.runner.play import Runner
from agentnet.runner.prepare import Prepared, create

_STEPS_TRIED = 2
_HOW = "answers are counted from who may interview whom"


@dataclass(frozen=True, slots=True)
class InterviewEstimate:
    """What a run of interacting models will take.

    Attributes:
        realizations: Realizations of the run.
        models: Models of a realization, over all conditions at most.
        evaluation_answers: Answers to the evaluation sets.
        interview_answers: Answers in interviews, reused ones included.
        reused_answers: Those of them that are taken from the last evaluation.
        generations: Answers to be generated: all but the reused ones.
        updates: Updates of models, their first teaching included.
        prompt_tokens: Tokens in, estimated by the mock's rule of four characters a token; 0 where no backend
            is asked.
        completion_tokens: Tokens out at most, if every answer is as long as it may be; likewise.
        prompts: One prompt of each kind, where a backend is asked.
        how: How it was counted, in a sentence.
        notes: What may not be meant: models that nobody interviews, or that interview nobody.
    """

    realizations: int
    models: int
    evaluation_answers: int
    interview_answers: int
    reused_answers: int
    generations: int
    updates: int
    prompt_tokens: int
    completion_tokens: int
    prompts: dict[str, Messages]
    how: str
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Spell it for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class _Counts:
    """Counts of one realization of one condition."""

    evaluation: int
    interview: int
    reused: int
    updates: int
    notes: tuple[str, ...]


async def estimate_interviews(prepared: Prepared, company: Company) -> InterviewEstimate:
    """Count what `prepared` will take; asks no backend but the mock.

    Raises:
        AgentnetError: The design turns out not to be playable.
    """
    experiments = [e for e in prepared.experiments if isinstance(e, InterviewExperiment)]
    counts = [await _count(e, c) for e, c in zip(experiments, company.casts, strict=True)]
    of_run = [(counts[planned.condition], experiments[planned.condition]) for planned in prepared.plan]
    n_evaluation = sum(count.evaluation for count, _ in of_run)
    n_interview, n_reused = (sum(getattr(c, name) for c, _ in of_run) for name in ("interview", "reused"))
    n_generations = n_evaluation + n_interview - n_reused
    tokens_each, prompts, longest = 0.0, dict[str, Messages](), 0
    if company.asks_backend:
        tokens_each, prompts = await _try_prompts(prepared)
        longest = max(e.max_tokens for e in experiments)
    return InterviewEstimate(
        len(prepared.plan),
        max(len(e.classes) for e in experiments),
        n_evaluation,
        n_interview,
        n_reused,
        n_generations,
        sum(count.updates for count, _ in of_run),
        round(tokens_each * n_generations),
        longest * n_generations,
        prompts,
        _HOW + _how_tokens(experiments, company),
        _where([count.notes for count in counts]),
    )


def fixed_answers(experiments: Sequence[InterviewExperiment], company: Company) -> int | None:
    """Count the answers of a run, reused ones too; None where a topology looks at answers to choose."""
    total = 0
    for experiment, cast in zip(experiments, company.casts, strict=True):
        evaluated = len(experiment.classes) * len(cast.evaluation) * (experiment.steps + 1)
        if cast.n_turns is None:
            return None
        total += experiment.repeats * (evaluated + cast.n_turns * experiment.n_questions)
    return total


def _how_tokens(experiments: Sequence[InterviewExperiment], company: Company) -> str:
    if not company.asks_backend:
        return "; the models answer by themselves, no backend is asked"
    last = max(map(_steps_tried, experiments))
    return f"; tokens in are estimated from steps 0 to {last} on the mock backend, tokens out are a bound"


async def _count(experiment: InterviewExperiment, cast: Cast) -> _Counts:
    """Count the answers of one realization."""
    state, topology = Still(experiment.classes), parse_topology(experiment.make_topology())
    steps = [await candidates_at(topology, step, state) for step in range(1, experiment.steps + 1)]
    n_models, n_asking = len(state.classes), sum(bool(c) for candidates in steps for c in candidates)
    n_interview = n_asking * experiment.n_questions
    greedy = experiment.temperature_range[1] == 0.0
    reusable = experiment.reuse and greedy and set(cast.bank) <= set(cast.evaluation)
    n_taught = n_models if experiment.n_taught else 0
    return _Counts(
        n_models * len(cast.evaluation) * (experiment.steps + 1),
        n_interview,
        n_interview if reusable else 0,
        n_taught + n_asking,
        tuple(_notes(steps, n_models)),
    )


def _notes(steps: Sequence[Candidates], n_models: int) -> list[str]:
    if not steps:
        return []
    asked = {j for candidates in steps for among in candidates for j in among}
    asking = {i for candidates in steps for i, among in enumerate(candidates) if among}
    never = [
        ("is never interviewed", sorted(set(range(n_models)) - asked)),
        ("interviews nobody and stays as it is", sorted(set(range(n_models)) - asking)),
    ]
    return [f"model {model} {what}" for what, models in never for model in models]


def _where(notes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Say of each note in how many conditions it holds, if not in all."""
    count = Counter(note for of_condition in notes for note in of_condition)
    return tuple(
        note if n == len(notes) else f"{note} (in {n} of {len(notes)} conditions)"
        for note, n in count.items()
    )


async def _try_prompts(prepared: Prepared) -> tuple[float, dict[str, Messages]]:
    """Play the first steps on the mock; give tokens an answer takes, and a prompt of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        first = prepared.experiments[0]
        short = first.under({**first.overrides, "steps": _steps_tried(first)})
        trial = replace(
            prepared,
            folder=Path(folder) / "trial",
            plan=prepared.plan[:1],
            experiments=(short, *prepared.experiments[1:]),
            settings=prepared.settings.model_copy(
                update={"backend": BackendSettings(), "log": LogSettings(parquet=False)}
            ),
        )
        create(trial, Source(Path("trial.py"), ""), backend="mock", model_name="mock")
        listening = _Listening(make_backend("mock", {}))
        await Runner(trial, listening).play()
        return _tokens(Run(trial.folder)), listening.heard


def _steps_tried(experiment: Experiment) -> int:
    assert isinstance(experiment, InterviewExperiment)
    return min(_STEPS_TRIED, experiment.steps)


class _Listening:
    """A backend that keeps the first prompt of each kind.

    Attributes:
        heard: Kind -> prompt.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.name = inner.name
        self.model_name = inner.model_name
        self.heard: dict[str, Messages] = {}

    async def complete(self, request: Request) -> Reply:
        """Answer `request`."""
        self.heard.setdefault(str(request.metadata["kind"]), request.messages)
        return await self._inner.complete(request)

    async def aclose(self) -> None:
        """Close the backend asked."""
        await self._inner.aclose()


def _tokens(run: Run) -> float:
    query = "SELECT AVG(prompt_tokens) FROM events WHERE attempts > 0"
    return float(run.rows(query)[1][0][0] or 0.0)
