"""What a run will take, before anybody is asked: prompts, decisions and tokens.

A few realizations of the very design are played on the mock backend, in a temporary folder. How many
questions a cascade needs depends on how willing its agents are, so this is an estimate, not a bound.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from agentnet.backend import Messages, make_backend
from agentnet.config import BackendSettings, LogSettings
from agentnet.events import Run
from agentnet.experiment import CascadeExperiment, Experiment, Source
from agentnet.network import GENERATORS
from agentnet.runner.play import Runner
from agentnet.runner.prepare import Prepared, create

_N_SAMPLED = 4
_N_AGENTS_AT_MOST = 5_000


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


async def estimate(prepared: Prepared) -> Estimate:
    """Estimate what `prepared` will take; asks no backend but the mock.

    Raises:
        AgentnetError: The design turns out not to be playable.
    """
    n_realizations = len(prepared.plan)
    stride = max(1, n_realizations // _N_SAMPLED)
    sampled = prepared.plan[::stride][:_N_SAMPLED]
    with tempfile.TemporaryDirectory() as folder:
        trial = replace(
            prepared,
            folder=Path(folder) / "trial",
            plan=sampled,
            experiments=tuple(_small(experiment) for experiment in prepared.experiments),
            settings=prepared.settings.model_copy(
                update={"backend": BackendSettings(), "log": LogSettings(parquet=False)}
            ),
        )
        create(trial, Source(Path("trial.py"), ""), backend="mock", model_name="mock")
        await Runner(trial, make_backend("mock", {})).play()
        sums = _sums(Run(trial.folder))
        prompts = _prompts(Run(trial.folder))
    scale = n_realizations / len(sampled) * _shrinkage(prepared)
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


def _small(experiment: Experiment) -> Experiment:
    if _is_large(experiment):
        return experiment.under({**experiment.overrides, "n_agents": _N_AGENTS_AT_MOST})
    return experiment


def _is_large(experiment: Experiment) -> bool:
    return (
        isinstance(experiment, CascadeExperiment)
        and isinstance(experiment.network, str)
        and experiment.network in GENERATORS
        and experiment.n_agents > _N_AGENTS_AT_MOST
    )


def _shrinkage(prepared: Prepared) -> float:
    """Say how many times larger the run's networks are than those of the trial, on average."""
    ratios = [
        experiment.n_agents / _N_AGENTS_AT_MOST
        if isinstance(experiment, CascadeExperiment) and _is_large(experiment)
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
