"""What a run will take, before anybody is asked: prompts, decisions and tokens.

A few realizations of the very design are played on the mock backend, in a temporary folder. How many
questions a cascade needs depends on how willing its agents are, so this is an estimate, not a bound.
"""

from __future__ import annotations

import gc
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from agentnet.backend import Messages, make_backend
from agentnet.config import BackendSettings, LogSettings
from agentnet.errors import AgentnetError
from agentnet.events import Run
from agentnet.experiment import (
    CascadeExperiment,
    Experiment,
    InterviewExperiment,
    ResponseRatioExperiment,
    Source,
)
from agentnet.network import GENERATORS
from agentnet.profiles import N_PROFILES
from agentnet.runner.estimate_interviews import fixed_answers
from agentnet.runner.play import Runner
from agentnet.runner.prepare import Prepared, create

_N_SAMPLED, _N_AGENTS_AT_MOST = 4, 5_000
_N_GUESSED, _N_AGENTS_GUESSED = 2, 512


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take.

    Attributes:
        realizations: Realizations of the run.
        news_items: News items of the design.
        decisions: Decisions to be asked for, estimated.
        reasons: Reasons to be asked for after the simulation, estimated.
        prompt_tokens: Tokens in, estimated by the mock's rule of four characters a token.
        completion_tokens: Tokens out, likewise.
        prompts: One rendered prompt of each kind.
        how: How the estimate was made, in a sentence.
    """

    realizations: int
    news_items: int
    decisions: int
    reasons: int
    prompt_tokens: int
    completion_tokens: int
    prompts: dict[str, Messages]
    how: str

    @property
    def calls(self) -> int:
        """Calls to be made if every reply is usable, in sampler mode ``call``."""
        return self.decisions + self.reasons

    def as_dict(self) -> dict[str, object]:
        """Spell it for JSON."""
        numbers = ("realizations", "news_items", "decisions", "reasons", "calls", "prompt_tokens")
        return {name: getattr(self, name) for name in (*numbers, "completion_tokens", "prompts", "how")}


async def estimate(
    prepared: Prepared, *, n_sampled: int = _N_SAMPLED, n_agents_at_most: int = _N_AGENTS_AT_MOST
) -> Estimate:
    """Estimate what `prepared` will take; asks no backend but the mock.

    Args:
        prepared: The run.
        n_sampled: How many of its realizations are played.
        n_agents_at_most: Size to which larger generated networks are shrunk for that.

    Raises:
        AgentnetError: The design turns out not to be playable.
    """
    n_realizations = len(prepared.plan)
    stride = max(1, n_realizations // n_sampled)
    sampled = prepared.plan[::stride][:n_sampled]
    with tempfile.TemporaryDirectory() as folder:
        trial = replace(
            prepared,
            folder=Path(folder) / "trial",
            plan=sampled,
            experiments=tuple(_small(experiment, n_agents_at_most) for experiment in prepared.experiments),
            settings=prepared.settings.model_copy(
                update={"backend": BackendSettings(), "log": LogSettings(parquet=False)}
            ),
        )
        create(trial, Source(Path("trial.py"), ""), backend="mock", model_name="mock")
        await Runner(trial, make_backend("mock", {})).play()
        sums = _sums(Run(trial.folder))
        prompts = _prompts(Run(trial.folder))
    scale = n_realizations / len(sampled) * _shrinkage(prepared, n_agents_at_most)
    decisions, reasons, tokens_in, tokens_out = (round(number * scale) for number in sums)
    return Estimate(
        n_realizations,
        len(prepared.items),
        decisions,
        reasons,
        tokens_in,
        tokens_out,
        prompts,
        f"estimated from {len(sampled)} of {n_realizations} realizations, played on the mock backend's law; "
        "a more or less willing model takes more or fewer calls",
    )


async def guess_decisions(prepared: Prepared) -> float | None:
    """Guess, at little cost, how many decisions a realization of a cascade has; None if that would cost much.

    May be called while `prepared` is played.
    """
    cascades = [e for e in prepared.experiments if isinstance(e, CascadeExperiment)]
    if len(cascades) < len(prepared.experiments) or not all(e.network in GENERATORS for e in cascades):
        return None
    try:
        found = await estimate(prepared, n_sampled=_N_GUESSED, n_agents_at_most=_N_AGENTS_GUESSED)
    except AgentnetError:
        return None
    finally:
        # A run that ends lets the garbage collector look at everything again; the one that goes on does not.
        gc.freeze()
    return found.decisions / found.realizations


def fixed_decisions(prepared: Prepared) -> int | None:
    """Count the decisions of a run; None where answers decide how many there are."""
    if prepared.company is not None:
        interviews = [e for e in prepared.experiments if isinstance(e, InterviewExperiment)]
        return fixed_answers(interviews, prepared.company)
    ratios = [e for e in prepared.experiments if isinstance(e, ResponseRatioExperiment)]
    if len(ratios) < len(prepared.experiments):
        return None
    return len(prepared.items) * N_PROFILES * sum(experiment.repeats for experiment in ratios)


def _small(experiment: Experiment, n_agents_at_most: int) -> Experiment:
    if _is_large(experiment, n_agents_at_most):
        return experiment.under({**experiment.overrides, "n_agents": n_agents_at_most})
    return experiment


def _is_large(experiment: Experiment, n_agents_at_most: int) -> bool:
    return (
        isinstance(experiment, CascadeExperiment)
        and isinstance(experiment.network, str)
        and experiment.network in GENERATORS
        and experiment.n_agents > n_agents_at_most
    )


def _shrinkage(prepared: Prepared, n_agents_at_most: int) -> float:
    """Say how many times larger the run's networks are than those of the trial, on average."""
    ratios = [
        experiment.n_agents / n_agents_at_most
        if isinstance(experiment, CascadeExperiment) and _is_large(experiment, n_agents_at_most)
        else 1.0
        for experiment in prepared.experiments
    ]
    return sum(ratios) / len(ratios)


def _sums(run: Run) -> tuple[int, ...]:
    query = (
        "SELECT SUM(kind <> 'reason'), SUM(kind = 'reason'), SUM(prompt_tokens), SUM(completion_tokens) "
        "FROM events"
    )
    return tuple(number or 0 for number in run.rows(query)[1][0])


def _prompts(run: Run) -> dict[str, Messages]:
    rows = run.rows("SELECT kind, MIN(prompt), messages FROM prompts GROUP BY kind ORDER BY 2")[1]
    return {kind: tuple((role, content) for role, content in json.loads(text)) for kind, _, text in rows}
