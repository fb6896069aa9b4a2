"""Sampler mode ``logprobs``: one request gives the probability of a yes, the draws are made here.

A cascade of a million agents costs as many calls as there are distinct prompts: at each temperature, or at
all together where the backend lists tokens. No draw has a rationale.

Servers list the likeliest tokens alone, some of them before their own constraint. What is not listed is
unknown, not zero: with mass m listed on the answers and no more than u missing on any of them, P(yes) lies
between y / (m + u) and (y + u) / (m + u). So a question has a probability only where enough mass is listed,
and where an answer that is not listed can't matter. Questions without are missing while most others have one;
else it is the set-up that gives none, and the run stops. Each voice is judged by its own questions: another
model's odds say nothing of it.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from time import perf_counter
from types import MappingProxyType
from typing import Final

import numpy as np

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import BackendError, BackendUnusable
from agentnet.prompts import after_thought
from agentnet.sampler.call import FINAL, Bill, how_ended, lost, record_all
from agentnet.sampler.draws import Answer, Draws, Question, chosen
from agentnet.sampler.pool import Pool
from agentnet.sampler.shared import Shared
from agentnet.streams import Streams, mix, mixed, uniform, unit
from agentnet.vocabulary import NO, YES
from agentnet.voices import voice_of

Place = tuple[int, float]
"""(question number, temperature)."""

_Key = tuple[Hashable, float]
"""What is asked once: at a place, or what a prompt gives at all temperatures, whoever needs it."""
_ALL: Final = -1.0
_PLAIN: Final = 1.0
"""The temperature at which that is asked for: servers' lists of before and after it are one."""
_SEEDS: Final = Streams(0)
"""Of the requests: of no run, so that equal prompts of all runs are one entry of a cache."""

LEAST_MASS = 0.9
"""Least listed mass on the answers, unless set: a model that would say something else is not asked well."""

_WIDEST = 0.1 + 1e-9
"""Between what P(yes) may lie, whatever was not listed, at most."""
_MOST_DOUBT = 0.01
"""The same where an answer is not listed at all, so that it would count as never given."""

_DRAWN_AT_ONCE = 1 << 16

_SURE_OF_A_FAULT = 8
"""Questions without a probability that stop the run while others are still being asked."""


@dataclass(slots=True)
class _Known:
    """What is known of a question: the probability of a yes, or why there is none.

    Attributes:
        probability: Of a yes; nan if there is none.
        first: Answer of the first draw that uses it, but for the decision; it bears the cost.
        later: Answer of every other draw.
        doubt: Why the reply gives no probability, in words; ``""`` if it does, or if none came.
        is_charged: Whether somebody bore the cost.
    """

    probability: float
    first: Answer
    later: Answer
    doubt: str = ""
    is_charged: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether a draw differs from others that use it by its decision alone."""
        return self.is_charged and self.later.missing is None

    def answer(self, seed: int) -> Answer:
        """Draw once: yes if the draw's own number is below the probability."""
        template = self.later if self.is_charged else self.first
        self.is_charged = True
        if template.missing is not None:
            return template
        return template._replace(decision=int(unit(mix(seed)) < self.probability))


class _Asked:
    """What became of a request for odds.

    Args:
        outcome: The reply, or how the request failed.
        temperature: That of the request.
        latency_s: Seconds that it took.
        unpaid: What was asked before for the same, and is on nobody's bill.
    """

    def __init__(
        self, outcome: Reply | BackendError, temperature: float, latency_s: float, unpaid: Bill
    ) -> None:
        self._outcome = outcome
        self._temperature = temperature
        self._latency_s = latency_s
        self._bill = unpaid
        unpaid.add(outcome)

    def take_bill(self) -> Bill:
        """Hand over the cost to whoever comes first, and nothing to others."""
        bill, self._bill = self._bill, Bill()
        return bill

    def gives(self, temperature: float) -> bool:
        """Say whether nothing else has to be asked for the odds at a temperature."""
        is_listed = isinstance(self._outcome, Reply) and self._outcome.listed is not None
        return is_listed or temperature == self._temperature or isinstance(self._outcome, BackendError)

    def known(self, temperature: float, least_mass: float) -> _Known:
        """Work out what is known at a temperature."""
        outcome, bill = self._outcome, self.take_bill()
        if isinstance(outcome, BackendError):
            return _failed(outcome, bill, self._latency_s)
        if outcome.listed is not None and temperature != self._temperature:
            logprobs, unlisted = outcome.listed.at(temperature)
            outcome = outcome._replace(logprobs=logprobs, unlisted=unlisted)
        return _read(outcome, least_mass, self._latency_s, bill)


def _of_all(question: Question) -> _Key:
    # Conditions number equal prompts apart; who lists tokens knows the messages alone.
    return (question.messages, question.max_tokens, voice_of(question.metadata)), _ALL


class Odds:
    """The probabilities of a run's questions, each asked once.

    A request for them is no draw: neither seed nor draw key tells two for the same prompt apart.

    Args:
        backend: Who answers, with its stack around it.
        least_mass: Least mass on the answers that a probability is taken from.
        n_sure: Questions that had a probability in earlier sittings, by voice.
        listing: Voices of which one reply gives the odds at every temperature.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        least_mass: float = LEAST_MASS,
        n_sure: Mapping[str, int] = MappingProxyType({}),
        listing: Collection[str] = (),
    ) -> None:
        self._backend = backend
        self._least_mass = least_mass
        self._n_sure, self._n_doubtful = Counter(n_sure), Counter[str]()
        self._last: dict[str, BackendUnusable] = {}
        self._listing = frozenset(listing)
        self._known: dict[Place, _Known] = {}
        self._asked: Shared[_Key, tuple[Place, Question], _Asked] = Shared(self._ask)

    async def obtain(self, needs: Mapping[Place, Question], pool: Pool) -> None:
        """Return once something is known at every place; ask for what is not.

        Raises:
            BackendUnusable: No request can succeed, or most give no probability.
            RunStopped: The run was stopped; what came before is known.
        """
        first: dict[_Key, tuple[Place, Question]] = {
            self._asked_at(place, of): (place, of) for place, of in needs.items()
        }
        await self._asked.obtain(first, pool)
        rest: dict[_Key, tuple[Place, Question]] = {
            place: (place, of) for place, of in needs.items() if self.known(place, of) is None
        }
        if rest:
            await self._asked.obtain(rest, pool)

    def known(self, place: Place, question: Question) -> _Known | None:
        """Give what is known of a question at a temperature; None if that was not asked."""
        known = self._known.get(place)
        if known is None:
            for key in (place, _of_all(question)):
                asked = self._asked.get(key)
                if asked is not None and asked.gives(place[1]):
                    return self._note(place, asked, voice_of(question.metadata))
        return known

    def _asked_at(self, place: Place, question: Question) -> _Key:
        return _of_all(question) if voice_of(question.metadata) in self._listing else place

    async def _ask(self, key: _Key, need: tuple[Place, Question]) -> _Asked:
        """Ask a question for its odds.

        Raises:
            BackendUnusable: No request can succeed, or most give no probability.
        """
        place, question = need
        temperature = _PLAIN if key[1] == _ALL else key[1]
        request = Request(
            question.messages,
            temperature,
            1,
            question.max_tokens,
            (YES, NO),
            None,
            logprobs=True,
            seed=_SEEDS.integer(repr(question.messages), repr(temperature)),
            metadata=question.metadata,
        )
        started = perf_counter()
        outcome: Reply | BackendError
        try:
            outcome = await self._backend.complete(request)
        except BackendUnusable:
            raise
        except BackendError as error:
            outcome = error
        earlier = self._asked.get(_of_all(question))
        unpaid = Bill() if earlier is None else earlier.take_bill()
        asked = _Asked(outcome, temperature, perf_counter() - started, unpaid)
        if asked.gives(place[1]):
            voice = voice_of(question.metadata)
            self._note(place, asked, voice)
            if self._n_doubtful[voice] >= _SURE_OF_A_FAULT:
                self._judge_the_setup(voice)
        return asked

    def _note(self, place: Place, asked: _Asked, voice: str) -> _Known:
        known = self._known[place] = asked.known(place[1], self._least_mass)
        self._count(known, voice)
        return known

    def _count(self, known: _Known, voice: str) -> None:
        if not math.isnan(known.probability):
            self._n_sure[voice] += 1
        elif known.doubt:
            self._n_doubtful[voice] += 1
            whose = f"backend {self._backend.name!r}{voice and f' (voice {voice})'}"
            self._last[voice] = BackendUnusable(
                f"{whose}: {known.doubt}; sampler mode 'logprobs' draws from the "
                f"odds of {YES!r} and {NO!r}. Have the server list more (backend.top_logprobs), tell it of "
                "the answers in another way (backend.constrain), take odds with less mass "
                "(sampler.least_mass), or choose another mode: -S sampler.mode=choices or "
                "-S sampler.mode=call",
                kind=known.first.missing or "no_logprobs",
            )

    def _judge_the_setup(self, voice: str) -> None:
        if self._n_doubtful[voice] > self._n_sure[voice]:
            raise self._last[voice]

    async def judge_the_setup(self) -> None:
        """Find out, once a question has no probability, whether that is its own fault.

        Raises:
            BackendUnusable: More questions of a voice have none than have one.
        """
        await self._asked.settled()
        for voice in self._n_doubtful:
            self._judge_the_setup(voice)


def _failed(error: BackendError, bill: Bill, latency_s: float) -> _Known:
    later = lost(error, Bill(asks=1), latency_s)
    return _Known(math.nan, lost(error, bill, latency_s) if bill.asks else later, later)


def _read(reply: Reply, least_mass: float, latency_s: float, bill: Bill) -> _Known:
    """Take the probability of a yes from a reply, or say why there is none; its cost stands on `bill`."""
    probability = probability_of_yes(reply)
    missing, doubt = _why_none(reply, least_mass)
    mass, text = (None, reply.texts[0]) if probability is None else (_mass(reply), _spelt(reply))
    plain = Answer(
        None, missing, text, "", reply.model, reply.fingerprint, 0, 0, 1, 0, reply.cached, latency_s
    )._replace(mass=mass)
    if missing is not None:
        trouble = (missing, doubt, text)
        bill.troubles.append(trouble)
        plain = plain._replace(troubles=(trouble,))
    chance = math.nan if probability is None or missing is not None else probability
    return _Known(chance, bill.charge(plain) if bill.asks else plain, plain, doubt)


def _why_none(reply: Reply, least_mass: float) -> tuple[str | None, str]:
    """Name why a reply gives no probability, and say it in words unless the model declined to answer."""
    if probability_of_yes(reply) is None:
        ended = how_ended(reply)
        if ended in FINAL:
            return ended, ""
        return "no_logprobs", reply.doubt or f"it gives no log-probabilities of {YES!r} and {NO!r}"
    if after_thought(reply.texts[0]) != reply.texts[0]:
        return "no_logprobs", "the model thinks before it answers, and its odds are of that one thought"
    doubt = _doubt(reply, least_mass)
    return ("low_mass" if doubt else None), doubt


def _spelt(reply: Reply) -> str:
    found: dict[str, object] = {"logprobs": dict(reply.logprobs or {})}
    if not math.isclose(_mass(reply), 1.0, abs_tol=1e-9):
        found["between"] = bounds_of_yes(reply)
    return json.dumps(found)


def _doubt(reply: Reply, least_mass: float) -> str:
    """Say why the probability of a yes is not known, in words; ``""`` if it is."""
    mass = _mass(reply)
    if mass < least_mass:
        return (
            f"tokens that begin an answer have {mass:.3f} of the probability, below sampler.least_mass "
            f"{least_mass:g}"
        )
    low, high = bounds_of_yes(reply)
    if high - low > _WIDEST:
        return (
            "tokens that are not listed may weigh so much that the probability of a yes is anything from "
            f"{low:.3f} to {high:.3f}"
        )
    unlisted = [answer for answer in (YES, NO) if answer not in (reply.logprobs or {})]
    if unlisted and high - low > _MOST_DOUBT:
        return (
            f"no listed token begins {unlisted[0]!r}, so that the probability of a yes may be anything from "
            f"{low:.3f} to {high:.3f}"
        )
    return ""


def _mass(reply: Reply) -> float:
    found = reply.logprobs or {}
    return min(1.0, math.fsum(math.exp(found[answer]) for answer in (YES, NO) if answer in found))


def bounds_of_yes(reply: Reply) -> tuple[float, float]:
    """Compute between what P(yes | yes or no) lies, whatever the server did not list.

    Args:
        reply: One that has log-probabilities.
    """
    found, mass = reply.logprobs or {}, _mass(reply)
    yes = math.exp(found[YES]) if YES in found else 0.0
    more = max(0.0, 1.0 - mass) if reply.unlisted is None else reply.unlisted
    if math.isinf(more):
        return 0.0, 1.0
    return yes / (mass + more), min(1.0, (yes + more) / (mass + more))


def probability_of_yes(reply: Reply) -> float | None:
    """Compute P(yes | yes or no) from what a reply lists; None if it lists neither."""
    found = reply.logprobs or {}
    yes, no = (math.exp(found[answer]) if answer in found else 0.0 for answer in (YES, NO))
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
        places = defaultdict[Place, int]()
        places.default_factory = places.__len__
        numbers = map(attrgetter("number"), draws.questions)
        # A number of a place takes a fraction of the memory of a place.
        which = list(map(places.__getitem__, zip(numbers, draws.temperatures, strict=True)))
        asked, questions = set(chosen(which, draws.todo)), dict(zip(which, draws.questions, strict=True))
        needs = {place: questions[n] for place, n in places.items() if n in asked}
        try:
            await self._odds.obtain(needs, self._pool)
        finally:
            # When the run was stopped, too: what is known is paid, and used.
            of = {places[place]: known for place in needs if (known := self._odds.known(place, needs[place]))}
            _record(draws, which, of, n_places=len(needs))
        if any(known.doubt for known in of.values()):
            await self._odds.judge_the_setup()
            record_all(draws.record, _answers(draws, which, of, draws.todo, doubtful=True))


def _record(draws: Draws, which: list[int], of: Mapping[int, _Known], *, n_places: int) -> None:
    """Record what is known beyond doubt: draws that bear a cost, or are missing, one by one."""
    plain = {n for n, known in of.items() if known.is_plain}
    single, alike = draws.todo, draws.todo[:0]
    if draws.record_drawn is not None and len(plain) == n_places:
        single, alike = alike, single
    elif draws.record_drawn is not None:
        single = [i for i in draws.todo if which[i] not in plain]
        alike = [i for i in draws.todo if which[i] in plain]
    try:
        record_all(draws.record, _answers(draws, which, of, single, doubtful=False))
    finally:
        for begin in range(0, len(alike), _DRAWN_AT_ONCE):
            _record_drawn(draws, which, of, alike[begin : begin + _DRAWN_AT_ONCE])


def _answers(
    draws: Draws, which: list[int], of: Mapping[int, _Known], todo: Sequence[int], *, doubtful: bool
) -> Iterator[tuple[int, Answer]]:
    for i in todo:
        known = of.get(which[i])
        if known is not None and bool(known.doubt) is doubtful:
            yield i, known.answer(draws.seeds[i])


def _record_drawn(draws: Draws, which: list[int], of: Mapping[int, _Known], alike: Sequence[int]) -> None:
    """Draw once for each of `alike`, as `_Known.answer` does, and record all at once."""
    assert draws.record_drawn is not None
    drawn = chosen(which, alike)
    number = {n: place for place, n in enumerate(dict.fromkeys(drawn))}
    used = [of[n] for n in number]
    rows = list(map(number.__getitem__, drawn))
    seeds = np.array(chosen(draws.seeds, alike), dtype=np.uint64)
    chance = np.array([known.probability for known in used])[rows]
    decisions = (uniform(mixed(seeds)) < chance).astype(np.int8).tolist()
    draws.record_drawn(alike, [known.later for known in used], rows, decisions)
