"""Missing answers in a row: recorded once it is sure that they are the draws' own, and not all that there is.

A model may decline, ramble or be cut off now and then; one that does nothing else is a set-up gone wrong
(thoughts that eat the tokens, a filter before everything, a broken template), and no draw is to blame.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from agentnet.backend import HARMLESS, Reply, Request
from agentnet.errors import BackendError, BackendUnusable
from agentnet.sampler import Answer, Judge, Question
from agentnet.sampler.call import FINAL, how_ended, why_unusable
from agentnet.streams import mix
from agentnet.voices import name_voice, said_in, voice_of

_GOOD_KEPT: Final = 16
_CONTROLS: Final = 16
_LONGEST_STREAK: Final = 64
_SHOWN_CHARACTERS: Final = 160


class Asked(NamedTuple):
    """What a draw was asked, and how its answer is understood."""

    question: Question
    temperature: float
    judge: Judge


class _Pending(NamedTuple):
    asked: Asked
    answer: Answer
    write: Callable[[Answer], None]


@dataclass(slots=True)
class _Cost:
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, outcome: Reply | BackendError) -> None:
        self.attempts += outcome.attempts
        self.prompt_tokens += outcome.prompt_tokens or 0
        self.completion_tokens += outcome.completion_tokens or 0


class Streak:
    """The missing answers since the last usable one, over all realizations of a run. One per sitting.

    They are written down when a usable answer comes, or when the run ends, and what follows from them after
    them. After `after` of them controls are asked: questions that had a usable answer before. If none of
    these has one now, the run stops, and what is not yet written never is: resuming asks it again.

    Args:
        after: Missing answers in a row after which controls are asked, >= 1. Doubles, within bounds, each
            time that one is answered: a model that declines much costs few controls.
        complete: Answers requests.
        stop: Called with the error that ends the run.
        sitting: Number of the sitting: no control of another one is asked again, which a cache might answer.

    Attributes:
        is_watching: Whether usable answers are of interest; False on the hot path of a run that goes well.
    """

    def __init__(
        self,
        *,
        after: int,
        complete: Callable[[Request], Awaitable[Reply]],
        stop: Callable[[Exception], None],
        sitting: int = 0,
    ) -> None:
        self.is_watching = True
        self._after, self._longest = after, after * _LONGEST_STREAK
        self._complete, self._stop = complete, stop
        self._sitting, self._n_controls = sitting, 0
        self._pending: list[_Pending] = []
        self._following: list[Callable[[], None]] = []
        self._n_in_row = 0
        self._good: list[Asked] = []
        self._cost = _Cost()
        self._proving: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    def answered(self, asked: Asked) -> None:
        """Take note of a usable answer, before it is written down; a rule's is no sign of a server."""
        if said_in(asked.question.metadata) is not None:
            return
        if len(self._good) < _GOOD_KEPT:
            self._good.append(asked)
        self._n_in_row = 0
        self.flush()

    def missing(self, asked: Asked, answer: Answer, write: Callable[[Answer], None]) -> None:
        """Take note of a missing answer; `write` records it, now or later."""
        self._pending.append(_Pending(asked, answer, write))
        self._n_in_row += 1
        self.is_watching = True
        if self._n_in_row >= self._after and self._proving is None and self._error is None:
            self._proving = asyncio.create_task(self._ask_controls(), name="agentnet-streak")

    def then(self, write: Callable[[], None]) -> None:
        """Call `write` once all that is pending is written down; never if it never is."""
        if self._pending or self._error is not None:
            self._following.append(write)
        else:
            write()

    def flush(self) -> None:
        """Write down what is pending; the first bears what controls cost, so that the log adds up."""
        if self._error is not None:
            return
        pending, self._pending = self._pending, []
        self.is_watching = self._n_in_row > 0 or len(self._good) < _GOOD_KEPT
        for each in pending:
            each.write(self._charged(each.answer))
        following, self._following = self._following, []
        for write in following:
            write()

    async def rest(self) -> None:
        """Return once no control is out."""
        if self._proving is not None:
            await asyncio.shield(self._proving)

    async def settle(self) -> None:
        """Return once nothing is pending: after the controls that are out, if any are.

        Raises:
            BackendUnusable: No answer is usable, whatever is asked.
        """
        await self.rest()
        if self._error is not None:
            raise self._error
        self.flush()

    async def aclose(self) -> None:
        """Ask no more controls."""
        if self._proving is not None:
            self._proving.cancel()
            await asyncio.gather(self._proving, return_exceptions=True)

    def _charged(self, answer: Answer) -> Answer:
        if not self._cost.attempts:
            return answer
        cost, self._cost = self._cost, _Cost()
        return answer._replace(
            attempts=answer.attempts + cost.attempts,
            prompt_tokens=(answer.prompt_tokens or 0) + cost.prompt_tokens,
            completion_tokens=(answer.completion_tokens or 0) + cost.completion_tokens,
        )

    async def _ask_controls(self) -> None:
        try:
            await self._find_usable()
            self.flush()
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the run
            self._error = error
            self._stop(error)
        finally:
            self._proving = None

    async def _find_usable(self) -> None:
        """Return if the answers that are missing are nobody's fault but their own.

        Raises:
            BackendUnusable: No answer is usable.
        """
        n_controls = _CONTROLS if self._good else max(_CONTROLS, self._after - self._n_in_row)
        for number in range(n_controls):
            control = self._control(number)
            if control is None:
                if self._good or self._n_in_row < self._after:
                    return
                break
            is_answered = await self._is_answered(*control)
            if is_answered and self._n_in_row >= self._after:
                self._after = min(2 * self._after, self._longest)
            if is_answered or not self._n_in_row:
                self._n_in_row = 0
                return
        raise self._nothing_usable()

    def _control(self, number: int) -> tuple[Request, Judge | None] | None:
        """Make a request that had a usable answer before, and what judges it.

        Where there was none, what was declined is told from a model that declines everything by a harmless
        question, and all else is asked again.
        """
        if not self._pending:
            return None
        declined = all(each.answer.missing in FINAL for each in self._pending)
        asked = self._good or [each.asked for each in self._pending]
        question, temperature, judge = asked[number % len(asked)]
        if not question.messages:
            return None
        self._n_controls += 1
        request = Request(
            question.messages if self._good or not declined else HARMLESS,
            temperature,
            1,
            question.max_tokens,
            question.answers,
            question.schema,
            seed=mix(self._n_controls, self._sitting) >> 1,
            draw=((self._sitting, -1, "control", -self._n_controls), -1, -1, 0, 0),
            metadata=question.metadata,
        )
        return request, judge if self._good or not declined else None

    async def _is_answered(self, request: Request, judge: Judge | None) -> bool:
        try:
            reply = await self._complete(request)
        except BackendUnusable:
            raise
        except BackendError as error:
            self._cost.add(error)
            return False
        self._cost.add(reply)
        if judge is None:
            return how_ended(reply) not in FINAL
        return why_unusable(reply, judge(reply.texts[0])) is None

    def _nothing_usable(self) -> BackendUnusable:
        kinds = Counter(str(each.answer.missing) for each in self._pending)
        asked, last, _ = self._pending[-1]
        counted = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        before = "and so did questions that had a usable answer before" if self._good else "and no other came"
        said = f"The last reply: {last.text[:_SHOWN_CHARACTERS]!r}. " if last.text else ""
        if not last.text and last.troubles:
            said = f"The last error: {last.troubles[-1][1]}. "
        error = BackendUnusable(
            f"{self._n_in_row} draws in a row ended without a usable answer ({counted}), {before}. {said}"
            "None is recorded as missing: mend it, then resume the run, which asks them again (replies that "
            "are in the cache stay there: -S stack.cache=false passes it by)",
            kind="nothing_usable",
        )
        name_voice(error, voice_of(asked.question.metadata))
        return error


class StreakByVoice:
    """One `Streak` a voice: that one voice's answers are usable says nothing of another's.

    Args:
        streaks: Voice -> its missing answers since the last usable one.
    """

    def __init__(self, streaks: Mapping[str, Streak]) -> None:
        self._of = dict(streaks)

    @property
    def is_watching(self) -> bool:
        """Whether usable answers are of interest to any."""
        return any(streak.is_watching for streak in self._of.values())

    def answered(self, asked: Asked) -> None:
        """Take note of a usable answer, before it is written down."""
        if said_in(asked.question.metadata) is None:
            self._of[voice_of(asked.question.metadata)].answered(asked)

    def missing(self, asked: Asked, answer: Answer, write: Callable[[Answer], None]) -> None:
        """Take note of a missing answer; `write` records it, now or later."""
        self._of[voice_of(asked.question.metadata)].missing(asked, answer, write)

    def then(self, write: Callable[[], None]) -> None:
        """Call `write` once all that is pending of every voice is written down."""
        for streak in self._of.values():
            write = partial(streak.then, write)
        write()

    def flush(self) -> None:
        """Write down what is pending."""
        for streak in self._of.values():
            streak.flush()

    async def rest(self) -> None:
        """Return once no control is out."""
        for streak in self._of.values():
            await streak.rest()

    async def settle(self) -> None:
        """Return once nothing is pending.

        Raises:
            BackendUnusable: No answer of a voice is usable, whatever is asked.
        """
        for streak in self._of.values():
            await streak.settle()

    async def aclose(self) -> None:
        """Ask no more controls."""
        for streak in self._of.values():
            await streak.aclose()
