"""Sampler mode ``logprobs``: one request gives the probability of a yes, the draws are made here.

A cascade of a million agents costs as many calls as there are distinct prompts. No draw has a rationale.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import BackendError, BackendUnusable
from agentnet.sampler.answers import FINAL, Bill, failed, how_ended, record_all
from agentnet.sampler.draws import Answer, Draws, Question
from agentnet.sampler.pool import Pool
from agentnet.sampler.shared import Shared
from agentnet.streams import Streams, mix, unit

Place = tuple[int, float]
"""(question number, temperature)."""

YES, NO = "yes", "no"


@dataclass(slots=True)
class _Known:
    """What is known of a question: the probability of a yes, or why there is none.

    Attributes:
        probability: Of a yes; nan if there is none.
        first: Answer of the first draw that uses it, but for the decision; it bears the cost.
        later: Answer of every other draw.
        is_charged: Whether somebody bore the cost.
    """

    probability: float
    first: Answer
    later: Answer
    is_charged: bool = False

    def answer(self, seed: int) -> Answer:
        """Draw once: yes if the draw's own number is below the probability."""
        template = self.later if self.is_charged else self.first
        self.is_charged = True
        if template.missing is not None:
            return template
        return template._replace(decision=int(unit(mix(seed)) < self.probability))


class Odds:
    """The probabilities of a run's questions, each asked once.

    Args:
        backend: Who answers, with its stack around it.
        run_seed: Fixes the seeds of the requests.
    """

    def __init__(self, backend: Backend, *, run_seed: int) -> None:
        self._backend = backend
        self._streams = Streams(run_seed)
        self._run_seed = run_seed
        self.known: Shared[Place, Question, _Known] = Shared(self._learn)

    async def _learn(self, place: Place, question: Question) -> _Known:
        """Ask a question for its odds.

        Raises:
            BackendUnusable: No request can succeed, or the backend gives no log-probabilities.
        """
        number, temperature = place
        request = Request(
            question.messages,
            temperature,
            1,
            question.max_tokens,
            (YES, NO),
            None,
            logprobs=True,
            seed=self._streams.integer("odds", number, repr(temperature)),
            draw=((self._run_seed, number, "odds", 0), 0, 0, 0, 0),
            metadata=question.metadata,
        )
        started = perf_counter()
        try:
            reply = await self._backend.complete(request)
        except BackendUnusable:
            raise
        except BackendError as error:
            answer = failed(error, Bill(), perf_counter() - started)
            return _Known(math.nan, answer, answer._replace(attempts=0))
        return _read(reply, self._backend.name, perf_counter() - started)


def _read(reply: Reply, backend: str, latency_s: float) -> _Known:
    probability = probability_of_yes(reply)
    missing = None if probability is not None else how_ended(reply)
    if probability is None and missing not in FINAL:
        raise BackendUnusable(
            f"backend {backend!r} gives no log-probabilities of {YES!r} and {NO!r}, which sampler mode "
            "'logprobs' draws from; choose another: -S sampler.mode=choices or -S sampler.mode=call",
            kind="no_logprobs",
        )
    text = json.dumps({"logprobs": dict(reply.logprobs or {})}) if missing is None else reply.texts[0]
    plain = Answer(
        None, missing, text, "", reply.model, reply.fingerprint, 0, 0, 1, 0, reply.cached, latency_s
    )
    bill = Bill()
    bill.add(reply)
    if missing is not None:
        trouble = (missing, "", text)
        bill.troubles.append(trouble)
        plain = plain._replace(troubles=(trouble,))
    return _Known(math.nan if probability is None else probability, bill.charge(plain), plain)


def probability_of_yes(reply: Reply) -> float | None:
    """Compute P(yes | yes or no) from the log-probabilities of a reply; None if it has none.

    Where a server reports only one of the two, the other has what is left of the probability.
    """
    found = reply.logprobs or {}
    yes, no = (math.exp(found[answer]) if answer in found else None for answer in (YES, NO))
    if yes is None and no is None:
        return None
    yes = max(0.0, 1.0 - (no or 0.0)) if yes is None else yes
    no = max(0.0, 1.0 - yes) if no is None else no
    return yes / (yes + no) if yes + no > 0 else None


class LogprobSampler:
    """Makes the draws of a realization from the run's odds.

    Args:
        odds: The run's odds.
        pool: Where requests wait for a worker.
    """

    def __init__(self, odds: Odds, pool: Pool) -> None:
        self._odds = odds
        self._pool = pool

    async def draw(self, draws: Draws) -> None:
        """Answer every draw; see `agentnet.sampler.Sampler`."""
        places = [
            (question.number, temperature)
            for question, temperature in zip(draws.questions, draws.temperatures, strict=True)
        ]
        needs = {places[i]: draws.questions[i] for i in draws.todo}
        try:
            await self._odds.known.obtain(needs, self._pool)
        finally:
            # When the run was stopped, too: what is known is paid, and used.
            record_all(draws.record, self._answers(draws, places))

    def _answers(self, draws: Draws, places: list[Place]) -> Iterator[tuple[int, Answer]]:
        for i in draws.todo:
            known = self._odds.known.get(places[i])
            if known is not None:
                yield i, known.answer(draws.seeds[i])
