"""What a run will take, before anybody is asked: prompts, decisions and tokens.

A few realizations of the very design are played on the mock backend, in a temporary folder. How many
questions a cascade needs depends on how willing its agents are, so this is an estimate, not a bound.
"""

from __future__ import annotations

import asyncio
import gc
import json
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from agentnet.backend import Backend, Messages, Reply, Request, make_backend
from agentnet.config import BackendSettings, LogSettings, StackSettings
from agentnet.errors import AgentnetError
from agentnet.events import Run
from agentnet.experiment import Experiment, Source
from agentnet.families import Estimate, Planned
from agentnet.families.contract import Trial
from agentnet.runner.counts import Used, expected_takes
from agentnet.runner.play import Runner
from agentnet.runner.prepare import Prepared, create
from agentnet.runner.probe import own_hooks
from agentnet.runner.replay import OtherOrder, check_same, distinct_notes, told_prompts
from agentnet.voices import OWN, RULE, by_voice, settings_of, voice_of, voices_of

_N_SAMPLED, _N_AGENTS_AT_MOST = 4, 5_000
_N_GUESSED, _N_AGENTS_GUESSED = 2, 512
_N_REHEARSED, _PATIENCE_S = 2, 10.0


async def estimate(
    prepared: Prepared,
    *,
    n_sampled: int = _N_SAMPLED,
    n_agents_at_most: int = _N_AGENTS_AT_MOST,
    twice: bool = True,
    listing: Collection[str] = (),
) -> Estimate:
    """Estimate what `prepared` will take; asks no backend but the mock.

    Args:
        prepared: The run.
        n_sampled: How many of its realizations are played.
        n_agents_at_most: Size to which larger generated networks are shrunk for that.
        twice: Whether they are played once more, to see that they are the same, where methods of the
            experiment decide what is asked.
        listing: Voices of which one request tells the odds at every temperature; see
            `agentnet.voices.listing_voices`.

    Raises:
        AgentnetError: The design turns out not to be playable, or not to repeat.
    """
    return await prepared.stage.estimate(
        prepared.plan,
        partial(_try_out, prepared, listing, twice),
        n_sampled=n_sampled,
        n_at_most=n_agents_at_most,
    )


async def rehearse(prepared: Prepared, *, patience_s: float = _PATIENCE_S) -> bool:
    """Play a realization or two of a design twice on the mock, where its own methods decide what is asked.

    Args:
        prepared: The run.
        patience_s: How long it may take, in seconds.

    Returns:
        Whether that came to an end in time.

    Raises:
        AgentnetError: The design turns out not to be playable, or not to repeat.
    """
    if not prepared.stage.is_told:
        return True
    trying = estimate(prepared, n_sampled=_N_REHEARSED, n_agents_at_most=_N_AGENTS_GUESSED)
    with suppress(TimeoutError):
        await asyncio.wait_for(trying, patience_s)
        return True
    return False


async def _try_out(
    prepared: Prepared,
    listing: Collection[str],
    twice: bool,
    experiments: Sequence[Experiment],
    plan: Sequence[Planned],
    times: float,
) -> Trial:
    """Play some realizations on the mock, in a temporary folder; twice where hooks decide what is asked."""
    heard = _Listening(_mock(prepared))
    with tempfile.TemporaryDirectory() as folder:
        trial = replace(
            prepared,
            folder=Path(folder) / "trial",
            plan=tuple(plan),
            stage=prepared.stage.with_experiments(experiments),
            settings=prepared.settings.model_copy(
                update={
                    "backend": BackendSettings(),
                    "log": LogSettings(parquet=False),
                    "stack": StackSettings(cache=False),
                }
            ),
        )
        run = await _played(trial, heard)
        told = trial.stage.is_told
        if told and twice:
            again = replace(trial, folder=Path(folder) / "again", plan=trial.plan[::-1])
            other = await _played(again, OtherOrder(_mock(prepared)))
            first = type(trial.experiments[0])
            check_same(run, other, first.__name__, " and ".join(sorted(own_hooks(first))) or "methods")
        of = {each.realization: _of_condition(prepared, each.condition) for each in plan}
        shown = told_prompts(run, of) if told else _prompts(run)
        notes = distinct_notes(run, trial.settings.sampler.mode) if told else ()
        takes = expected_takes(prepared, run, plan, times, heard.used, listing)
        return Trial(_sums(run), takes, _tokens_each(run), shown or heard.heard, notes)


def _mock(prepared: Prepared) -> Backend:
    """Make the mock that is asked: of each voice by its own law, where that has one, and without trouble."""
    own = prepared.settings.backend
    voices = {
        voice: settings_of(voice, table, own)[0]
        for voice, table in voices_of(prepared.experiments).items()
        if table != RULE
    }
    return by_voice({voice: make_backend("mock", _law(each)) for voice, each in {OWN: own, **voices}.items()})


def _law(settings: BackendSettings) -> dict[str, Any]:
    return {
        key: value
        for key, value in settings.options.items()
        if settings.name == "mock" and key not in settings.operational_keys and not key.endswith("_rate")
    }


def _of_condition(prepared: Prepared, condition: int) -> str:
    return f" of condition {condition}: {prepared.condition_names[condition]}" if condition else ""


async def _played(trial: Prepared, backend: Backend) -> Run:
    create(trial, Source(Path("trial.py"), ""), backend="mock", model_name="mock")
    await Runner(trial, backend).play()
    return Run(trial.folder)


class Guess(NamedTuple):
    """What a run takes, as guessed while it is played.

    Attributes:
        per_realization: Decisions of a realization.
        n_calls: Calls of the whole run.
    """

    per_realization: float
    n_calls: int


async def guess(prepared: Prepared, listing: Collection[str] = ()) -> Guess | None:
    """Guess, at little cost, what a run takes; None if that would cost much.

    May be called while `prepared` is played.

    Args:
        prepared: The run.
        listing: As of `estimate`.
    """
    if not prepared.stage.can_guess():
        return None
    try:
        found = await estimate(
            prepared,
            n_sampled=_N_GUESSED,
            n_agents_at_most=_N_AGENTS_GUESSED,
            twice=False,
            listing=listing,
        )
    except AgentnetError:
        return None
    finally:
        # A run that ends lets the garbage collector look at everything again; the one that goes on does not.
        gc.freeze()
    return Guess(found.counts["decisions"] / found.counts["realizations"], found.counts["calls"])


def prompts_apart(prepared: Prepared) -> dict[str, dict[str, tuple[str, Messages] | None]]:
    """Compare the prompts of conditions with those of the first one.

    Returns:
        Each later condition, by number and name -> kind of prompt -> the first one that the first condition
        does not have: of whom it is asked about what, and the prompt. None where it has them all.
    """
    first = {(kind, about): messages for kind, about, messages in prepared.stage.asks(0)}
    apart: dict[str, dict[str, tuple[str, Messages] | None]] = {}
    for number, name in enumerate(prepared.condition_names[1:], start=1):
        found = apart.setdefault(f"condition {number}: {name}", {})
        for kind, about, messages in prepared.stage.asks(number):
            if found.setdefault(kind, None) is None and first.get((kind, about)) != messages:
                found[kind] = about, messages
    return apart


class _Listening:
    """A backend that keeps the first prompt of each kind, and adds up what is taken.

    Attributes:
        heard: Kind -> prompt.
        used: (voice, kind) -> what its requests took.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.name = inner.name
        self.model_name = inner.model_name
        self.heard: dict[str, Messages] = {}
        self.used: dict[tuple[str, str], Used] = {}

    async def complete(self, request: Request) -> Reply:
        """Answer `request`."""
        kind = str(request.metadata.get("kind"))
        self.heard.setdefault(kind, request.messages)
        reply = await self._inner.complete(request)
        of = voice_of(request.metadata), kind
        took = (1, len(reply.texts), reply.prompt_tokens or 0, reply.completion_tokens or 0)
        self.used[of] = Used(*map(sum, zip(self.used.get(of, Used()), took, strict=True)))
        return reply

    async def aclose(self) -> None:
        """Close the backend asked."""
        await self._inner.aclose()


def _tokens_each(run: Run) -> float:
    query = "SELECT AVG(prompt_tokens) FROM events WHERE attempts > 0"
    return float(run.rows(query)[1][0][0] or 0.0)


def _sums(run: Run) -> tuple[int, int]:
    answers, reasons = run.rows("SELECT SUM(kind <> 'reason'), SUM(kind = 'reason') FROM events")[1][0]
    return answers or 0, reasons or 0


def _prompts(run: Run) -> dict[str, Messages]:
    rows = run.rows("SELECT kind, MIN(prompt), messages FROM prompts GROUP BY kind ORDER BY 2")[1]
    return {kind: tuple((role, content) for role, content in json.loads(text)) for kind, _, text in rows}
