"""What a run of interacting models will take: its answers are counted, its tokens estimated.

Who may interview whom says how many questions are asked, so the count is exact as long as every answer comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentnet.families.contract import Estimate, Planned, Try
from agentnet.families.interviews.experiment import InterviewExperiment
from agentnet.interviews import Vertices, parse_topology
from agentnet.interviews.topology import Candidates, Still, candidates_at

if TYPE_CHECKING:
    from agentnet.families.interviews.stage import Cast, Company

_STEPS_TRIED = 2
_HOW = "answers are counted from who may interview whom"


@dataclass(frozen=True, slots=True)
class _Counts:
    """Counts of one realization of one condition."""

    evaluation: int
    interview: int
    reused: int
    updates: int
    notes: tuple[str, ...]


async def estimate_interviews(company: Company, plan: Sequence[Planned], try_out: Try) -> Estimate:
    """Count what a run will take; asks no backend but the mock.

    Args:
        company: What the run has in common.
        plan: Its realizations.
        try_out: Plays some of them on the mock.

    Returns:
        ``models`` are those of a realization, over all conditions at most; ``interview_answers`` include the
        reused ones, which are not generated; ``updates`` include the first teaching. Tokens out are a bound.

    Raises:
        AgentnetError: The design turns out not to be playable.
    """
    experiments = company.experiments
    counts = [await _count(e, c) for e, c in zip(experiments, company.casts, strict=True)]
    of_run = [counts[planned.condition] for planned in plan]
    evaluation, interview = sum(c.evaluation for c in of_run), sum(c.interview for c in of_run)
    reused, updates = sum(c.reused for c in of_run), sum(c.updates for c in of_run)
    n_generations = evaluation + interview - reused
    trial, longest = None, 0
    if company.asks_backend:
        first = experiments[0]
        short = first.under({**first.overrides, "steps": _steps_tried(first)})
        trial = await try_out((short, *experiments[1:]), plan[:1], 1.0)
        longest = max(e.max_tokens for e in experiments)
    return Estimate(
        {
            "realizations": len(plan),
            "models": max(len(e.classes) for e in experiments),
            "evaluation_answers": evaluation,
            "interview_answers": interview,
            "reused_answers": reused,
            "generations": n_generations,
            "calls": n_generations if company.asks_backend else 0,
            "updates": updates,
        },
        0 if trial is None else round(trial.tokens_each * n_generations),
        longest * n_generations,
        {} if trial is None else trial.prompts,
        _HOW + _how_tokens(company),
        _where([count.notes for count in counts]),
    )


def fixed_answers(company: Company) -> int | None:
    """Count the answers of a run, reused ones too; None where a topology looks at answers to choose."""
    total = 0
    for experiment, cast in zip(company.experiments, company.casts, strict=True):
        evaluated = _n_evaluations(experiment) * len(cast.evaluation)
        if cast.n_turns is None:
            return None
        total += experiment.repeats * (evaluated + cast.n_turns * experiment.n_questions)
    return total


def _how_tokens(company: Company) -> str:
    if not company.asks_backend:
        return "; the models answer by themselves, no backend is asked"
    last = max(map(_steps_tried, company.experiments))
    return f"; tokens in are estimated from steps 0 to {last} on the mock backend, tokens out are a bound"


async def _count(experiment: InterviewExperiment, cast: Cast) -> _Counts:
    """Count the answers of one realization."""
    state, topology = Still(experiment.classes), parse_topology(experiment.make_topology())
    vertices, numbers = experiment.vertices, range(1, experiment.steps + 1)
    steps = [await candidates_at(topology, step, state, vertices) for step in numbers]
    n_models, n_asking = len(state.classes), sum(bool(c) for candidates in steps for c in candidates)
    # Who may also read a database is taken to ask a model: a bound.
    n_reading = sum(bool(c) and c[0] >= n_models for candidates in steps for c in candidates)
    n_interview = (n_asking - n_reading) * experiment.n_questions
    greedy = experiment.temperature_range[1] == 0.0
    reusable = experiment.reuse and greedy and set(cast.bank) <= set(cast.evaluation)
    n_taught = n_models if experiment.n_taught else 0
    return _Counts(
        _n_evaluations(experiment) * len(cast.evaluation),
        n_interview,
        n_interview if reusable else 0,
        n_taught + n_asking,
        tuple(_notes(steps, vertices)),
    )


def _n_evaluations(experiment: InterviewExperiment) -> int:
    """Count how often a model answers the evaluation set."""
    return sum(len(experiment.vertices.present(step)) for step in range(experiment.steps + 1))


def _notes(steps: Sequence[Candidates], vertices: Vertices) -> list[str]:
    if not steps:
        return []
    n_models = vertices.n_models
    asked = {j for candidates in steps for among in candidates for j in among}
    asking = {i for candidates in steps for i, among in enumerate(candidates) if among}
    never = [
        ("is never interviewed", sorted(set(range(n_models)) - asked)),
        ("interviews nobody and stays as it is", sorted(set(range(n_models)) - asking)),
    ]
    unread = [name for number, name in enumerate(vertices.databases, n_models) if number not in asked]
    may_read = any(among[-1] >= n_models > among[0] for each in steps for among in each if among)
    return [
        *(["interviews are counted as if no model read a database instead"] if may_read else []),
        *(f"model {model} {what}" for what, models in never for model in models),
        *(f"database {name!r} is read by nobody: the topology names it nowhere" for name in unread),
    ]


def _where(notes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Say of each note in how many conditions it holds, if not in all."""
    count = Counter(note for of_condition in notes for note in of_condition)
    return tuple(
        note if n == len(notes) else f"{note} (in {n} of {len(notes)} conditions)"
        for note, n in count.items()
    )


def _steps_tried(experiment: InterviewExperiment) -> int:
    return min(_STEPS_TRIED, experiment.steps)
