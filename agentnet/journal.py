"""What all engines share: ask what is not recorded yet, record what is answered, count it.

An engine computes which draws a step needs. On a resumed run the journal gives it the recorded decisions and
asks only for the rest, so the engine plays a broken run and an unbroken one by the same code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import RunStopped
from agentnet.events import ANSWER_KINDS, EventLog, Heard, Recorded, Said
from agentnet.sampler import Answer, Draws, Judge, Question, Sampler
from agentnet.streak import Asked, Streak
from agentnet.streams import Streams, request_seeds, uniform

Decisions = NDArray[np.int8]
"""1 yes, 0 no, -1 missing."""


@dataclass(slots=True)
class Tally:
    """Counts of a run while it is played, for its progress line. One per run.

    Attributes:
        n_decisions: Decisions answered or missing, recorded earlier ones included; reasons are none, answers
            to the questions of a bank are.
        n_missing: Missing ones among them.
        n_engaged: Engaged agents, over all realizations.
        n_agents: Agents of all realizations begun.
        n_calls: Calls made by this process, retries included.
        prompt_tokens: Tokens in, as far as known.
        completion_tokens: Tokens out, as far as known.
        n_models: Interacting models of all realizations begun in this sitting.
        n_steps: Steps that they have played.
        realizations: Finished realizations.
        dollars: Tells what all sittings of the run cost, in US dollars; None where prices are unknown.
        n_settled: Decisions of the finished realizations among `n_decisions`.
        paused_until: Tells until when no question is put, in UNIX seconds; None while questions are put.
    """

    n_decisions: int = 0
    n_missing: int = 0
    n_engaged: int = 0
    n_agents: int = 0
    n_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    n_models: int = 0
    n_steps: int = 0
    realizations: int = 0
    dollars: Callable[[], float | None] = lambda: 0.0
    n_settled: int = 0
    paused_until: Callable[[], float | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Asking:
    """Draws that an engine needs: equally long sequences, as in `agentnet.sampler.Draws`."""

    kind: str
    step: int
    agents: Sequence[int]
    sources: Sequence[int]
    repeats: Sequence[int]
    questions: Sequence[Question]
    temperatures: Sequence[float]
    seeds: Sequence[int]


@dataclass(frozen=True, slots=True)
class Voice:
    """What agents are asked, and how their replies are understood.

    Attributes:
        question: (kind, profile index) -> what an agent of that profile is asked.
        judge: Reply text -> verdict on sharing.
        reason: (question, reply text) -> what is asked after the realization.
        judge_reason: Reply text -> verdict that holds the rationale.
    """

    question: Callable[[str, int], Question]
    judge: Judge
    reason: Callable[[Question, str], Question]
    judge_reason: Judge


@dataclass(frozen=True, slots=True)
class Temperature:
    """What sampling temperatures are drawn from.

    Attributes:
        low: Lowest.
        high: Highest.
        levels: How many equally likely values the range is cut into (the middles of as many equal parts);
            None for the whole range.
    """

    low: float
    high: float
    levels: int | None = None

    def at(self, quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn uniform numbers of [0, 1) into temperatures; same shape."""
        if self.levels is not None:
            quantiles = (np.floor(quantiles * self.levels) + 0.5) / self.levels
        return self.low + (self.high - self.low) * quantiles


def draw_parameters(
    streams: Streams,
    key: tuple[str, int, int],
    positions: NDArray[Any],
    temperature: Temperature,
) -> tuple[list[float], list[int]]:
    """Draw the temperature and the seed of each draw of a step.

    Args:
        streams: The run's random streams.
        key: Kind, realization and step of the draws.
        positions: The place of each draw in the step's stream, shape ``(n_draws,)``: what makes it itself.
        temperature: What temperatures are drawn from.

    Returns:
        Temperatures and seeds, a list each.
    """
    words = streams.words_at(*key, at=np.stack((2 * positions, 2 * positions + 1)))
    return temperature.at(uniform(words[1])).tolist(), request_seeds(words[0]).tolist()


class Journal:
    """Asks and records for one realization.

    Args:
        realization: Its number.
        log: The event log.
        sampler: Who asks.
        tally: The run's counts.
        recorded: The decisions that stand in the log of this realization.
        heard: The answers to questions of a bank that stand there.
        stop_on_missing: Whether a missing answer stops the run, unrecorded, so that resuming asks it again.
        streak: The run's missing answers in a row, which wait there to be recorded; None records them at
            once.

    Attributes:
        n_decisions: Decisions asked for so far, recorded ones included; reasons are none.
    """

    def __init__(
        self,
        realization: int,
        log: EventLog,
        sampler: Sampler,
        tally: Tally,
        *,
        recorded: Recorded,
        heard: Heard | None = None,
        stop_on_missing: bool = False,
        streak: Streak | None = None,
    ) -> None:
        self.realization = realization
        self.log = log
        self.tally = tally
        self._sampler = sampler
        self._recorded = recorded
        self._heard = heard or {}
        self._stop_on_missing = stop_on_missing
        self._streak = None if stop_on_missing else streak
        self.n_decisions = 0

    async def decide(self, asking: Asking, judge: Judge) -> Decisions:
        """Get every decision of `asking`; all are on the disk when this returns.

        Returns:
            Decisions, shape ``(len(asking.agents),)``.

        Raises:
            RunStopped: An answer is missing and that stops the run, or the run was stopped.
            BackendUnusable: No request can succeed.
            StorageError: The log cannot be written.
        """
        decisions = [-1] * len(asking.agents)
        await self._ask(asking, judge, self._recorded.get((asking.kind, asking.step), {}), decisions)
        return np.array(decisions, dtype=np.int8)

    async def hear(self, asking: Asking, judge: Judge) -> list[Said]:
        """Get every answer of `asking`, a kind whose texts count; see `decide`.

        Returns:
            What was said to each draw, or why nothing was.
        """
        nothing = Said(None, "failed", "", None)
        said = [nothing] * len(asking.agents)
        await self._ask(asking, judge, self._heard.get((asking.kind, asking.step), {}), said)
        # Models are updated by what was said, and their states are saved: nothing may be pending then.
        await self.settle()
        return said

    async def settle(self) -> None:
        """Return once everything asked so far is recorded.

        Raises:
            BackendUnusable: Answers are missing, and it turned out that none is usable.
        """
        if self._streak is not None:
            await self._streak.settle()
            await self.log.flush()

    async def _ask(
        self,
        asking: Asking,
        judge: Judge,
        known: Mapping[tuple[int, int, int], Any],
        outcomes: list[Any],
    ) -> None:
        """Fill in an outcome for every draw: the recorded ones, then what is asked for."""
        todo: Sequence[int] = range(len(asking.agents))
        if known:
            todo = self._take_recorded(asking, known, outcomes)
        self.n_decisions += len(asking.agents) if asking.kind != "reason" else 0
        try:
            await self._sampler.draw(self._draws(asking, judge, outcomes, todo))
        finally:
            # What was answered and paid is kept, also when another draw of the step ended the run.
            await self.log.flush()

    def _take_recorded(
        self, asking: Asking, known: Mapping[tuple[int, int, int], Any], outcomes: list[Any]
    ) -> list[int]:
        """Fill in the recorded outcomes; return the positions of the others."""
        rest = []
        counts = asking.kind != "reason"
        for i, key in enumerate(zip(asking.agents, asking.sources, asking.repeats, strict=True)):
            outcome = known.get(key)
            if outcome is None:
                rest.append(i)
            else:
                outcomes[i] = outcome
                self.tally.n_decisions += counts
                self.tally.n_missing += counts and _is_missing(outcome)
        return rest

    def _draws(self, asking: Asking, judge: Judge, outcomes: list[Any], todo: Sequence[int]) -> Draws:
        realization, kind, step = self.realization, asking.kind, asking.step
        agents, sources, repeats = asking.agents, asking.sources, asking.repeats
        questions, temperatures = asking.questions, asking.temperatures
        log, add_event, reply_number = self.log, self.log.add_event, self.log.reply_number
        tally, now, counts, hears = self.tally, time.time, kind != "reason", kind in ANSWER_KINDS

        streak = self._streak
        composed: dict[int, Question] = {}

        def record(i: int, answer: Answer) -> None:
            """Write down one answer, or have it wait until a missing one is sure to be the draw's own."""
            if streak is not None:
                if answer.missing is not None:
                    streak.missing(_asked(asking, judge, composed, i), answer, partial(write, i))
                    return
                if streak.is_watching:
                    streak.answered(_asked(asking, judge, composed, i))
            write(i, answer)

        def write(i: int, answer: Answer) -> None:
            """Write down one answer: called for every draw of a run, so it is kept short."""
            (decision, missing, text, rationale, model, fingerprint, prompt_tokens, completion_tokens) = (
                answer[:8]
            )
            if missing is not None or answer.troubles:
                self._add_troubles(asking, i, answer)
            if decision is not None:
                outcomes[i] = decision
            elif hears:
                outcomes[i] = Said(None if missing else text, missing, model, fingerprint)
            reply = None if text is None else reply_number(text, rationale, model, fingerprint)
            add_event(
                (
                    realization,
                    kind,
                    step,
                    agents[i],
                    sources[i],
                    repeats[i],
                    None if hears else questions[i].number,
                    temperatures[i],
                    decision,
                    missing,
                    reply,
                    prompt_tokens,
                    completion_tokens,
                    answer.asks,
                    answer.attempts,
                    answer.cached,
                    answer.latency_s,
                    now(),
                    answer.context,
                    answer.mass,
                )
            )
            tally.n_decisions += counts
            tally.n_calls += answer.attempts
            tally.prompt_tokens += prompt_tokens or 0
            tally.completion_tokens += completion_tokens or 0
            # A step may be long: what cannot be recorded any more is not paid for to its end.
            if log.error is not None:
                raise log.error

        return Draws(
            kind,
            realization,
            step,
            agents,
            sources,
            repeats,
            questions,
            temperatures,
            asking.seeds,
            judge,
            record,
            todo,
            composed,
        )

    def _add_troubles(self, asking: Asking, i: int, answer: Answer) -> None:
        """Write down what went wrong with a draw, and stop the run if that is the policy."""
        key = (
            self.realization,
            asking.kind,
            asking.step,
            asking.agents[i],
            asking.sources[i],
            asking.repeats[i],
        )
        now = time.time()
        self.log.add("troubles", [(None, *key, *trouble, now) for trouble in answer.troubles])
        if answer.missing is None:
            return
        if self._stop_on_missing:
            raise RunStopped(
                f"realization {self.realization}, step {asking.step}, agent {asking.agents[i]}: no usable "
                f"answer ({answer.missing}); `engine.on_missing` is 'stop'. Resuming asks it again (replies "
                "that are in the cache stay there: -S stack.cache=false passes it by)"
            )
        self.tally.n_missing += asking.kind != "reason"


def _asked(asking: Asking, judge: Judge, composed: Mapping[int, Question], i: int) -> Asked:
    return Asked(composed.get(i, asking.questions[i]), asking.temperatures[i], judge)


def _is_missing(outcome: int | Said) -> bool:
    return outcome.missing is not None if isinstance(outcome, Said) else outcome < 0
