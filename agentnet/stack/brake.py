"""Tell a request that cannot be answered from a server, or a set-up, that answers nothing.

What goes wrong belongs to one request (a filter, a prompt too long), to a moment of the server, or to the
whole set-up (a key, money, a field that this server refuses). No list of codes and wordings is ever complete,
so none decides alone: a request that failed for good is held until there is evidence that the server answers
others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agentnet.backend import HARMLESS, AtOnce, Backend, Reply, Request, Wave, Wrapper, answer_now
from agentnet.cost import Cost
from agentnet.errors import OF_THE_PROMPT, BackendError, BackendUnusable, RequestRejected
from agentnet.stack.halt import Halt
from agentnet.streams import mix
from agentnet.vocabulary import CONTENT_FILTER

_PAUSES_S: Final = (0.01, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
"""Before each control. The first is for others who are about to ask anyway."""

_ENOUGH: Final = 4
"""Controls for a streak, or where nobody was ever answered."""

_GOOD_KEPT, _GOOD_AT_FIRST, _GOOD_EVERY = 32, 16, 64
_LONGEST_STREAK: Final = 64

_Shape = tuple[int, bool, bool, bool]


@dataclass(slots=True, eq=False)
class _Held:
    """A request that failed for good, as far as its error tells.

    Attributes:
        request: The request.
        error: How it failed.
        since: Number of the era that began with it: only who asked in it or later proves anything.
        evidence: Ends when the server has answered somebody since.
    """

    request: Request
    error: BackendError
    since: int
    evidence: asyncio.Future[None]


class Brake(Wrapper):
    """Passes errors of `inner` on once it is sure that they are the request's own; else stops the run.

    A request that failed is held, unless its error says that it is sure (`RequestRejected.is_sure`). Evidence
    is the answer to a request of the same shape (samples, schema, answers, log-probabilities) that was sent
    after it failed. On evidence it is asked again, once, with nothing changed; if it fails again, and there
    is evidence again, its error is raised: it is its own.

    If `after` requests are held in an unbroken streak, or everybody inside is, evidence is looked for: a
    control is asked, which puts a prompt that was answered before in the way that fails now. If no control is
    answered, no held request was to blame: all of them end in `BackendUnusable`, so that none counts as
    missing, and resuming asks them again. While a streak's control is out, nobody else is let in.

    Args:
        inner: The backend, with its stack around it.
        after: Held requests in a row, >= 1, after which others wait until a control has answered. Doubles,
            within bounds, each time that it does: where much is refused, that costs few controls.
        halt: Ends the waits once the run is to stop; one of its own if not given.
        sitting: Number of the sitting: no control of another one is asked again, which a cache might answer.
        lend: Told how many more (or fewer) requests wait in here, so that others can be asked in their place.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        after: int = 20,
        halt: Halt | None = None,
        sitting: int = 0,
        lend: Callable[[int], None] = lambda _: None,
    ) -> None:
        super().__init__(inner)
        self._after, self._longest = after, after * _LONGEST_STREAK
        self._halt = Halt() if halt is None else halt
        self._sitting, self._n_controls = sitting, 0
        self._lend = lend
        self._held: list[_Held] = []
        self._era = 0
        self._n_inside = 0
        self._n_answered, self._remember_at = 0, 1
        self._good: dict[object, Request] = {}
        self._seeking: asyncio.Task[None] | None = None
        self._is_closed = False
        self._line: list[asyncio.Future[None]] = []
        self._unpaid = Cost()
        self._ended: Exception | None = None

    async def complete(self, request: Request) -> Reply:
        """Answer `request`.

        Raises:
            BackendError: It has no answer, and that is its own fault.
            BackendUnusable: Nobody is answered; or as `inner` says.
        """
        while self._is_closed:
            await self._wait_in_line()
        era = self._era
        self._n_inside += 1
        try:
            reply = await self._inner.complete(request)
        except BackendUnusable:
            raise
        except BackendError as error:
            if isinstance(error, RequestRejected) and error.is_sure:
                raise
            reply = await self._hold(request, error)
        else:
            self._take_note(request, reply, era)
        finally:
            self._n_inside -= 1
            if self._held:
                self._look()
        return reply

    def answer_now(self, wave: Wave) -> AtOnce | None:
        """Answer at once what `inner` does, unless somebody waits for evidence, or for his turn."""
        found = None if self._held or self._is_closed else answer_now(self._inner, wave)
        if found is not None:
            self._n_answered += len(wave.which)
            self._remember(wave.asked[-1])
        return found

    async def aclose(self) -> None:
        """Look for evidence no longer, and close the inner backend."""
        if self._seeking is not None:
            self._seeking.cancel()
            await asyncio.gather(self._seeking, return_exceptions=True)
        await super().aclose()

    def _take_note(self, request: Request, reply: Reply, era: int) -> None:
        """Remember who was answered: for every request of a run, so it is kept short."""
        self._n_answered += 1
        if self._n_answered >= self._remember_at:
            self._remember(request)
        if self._held and not reply.cached:
            self._release(request, era)

    def _remember(self, request: Request) -> None:
        self._remember_at += 1 if self._n_answered < _GOOD_AT_FIRST else _GOOD_EVERY
        self._good[request.messages] = request
        if len(self._good) > _GOOD_KEPT:
            del self._good[next(iter(self._good))]

    async def _wait_in_line(self) -> None:
        if self._ended is not None:
            raise self._ended
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        await self._halt.wait(place)

    async def _hold(self, request: Request, first: BackendError) -> Reply:
        """Keep `request` until its trouble is known to be its own, or is over; it bears what that costs."""
        await self._evidence(request, first)
        cost = self._take_unpaid().and_of(first)
        if first.kind in OF_THE_PROMPT:
            cost.put_on(first)
            raise first
        era = self._era
        try:
            reply = await self._inner.complete(request)
        except BackendUnusable:
            raise
        except BackendError as error:
            cost = cost.and_of(error)
            error.troubles = (*first.troubles, first.kind, *error.troubles)
            await self._evidence(request, error)
            self._take_unpaid().plus(cost).put_on(error)
            raise
        self._take_note(request, reply, era)
        troubles = (*first.troubles, first.kind, *reply.troubles)
        return reply._replace(**cost.and_of(reply)._asdict(), troubles=troubles)

    def _take_unpaid(self) -> Cost:
        """Hand over what controls have cost to whoever comes first, so that sums over all draws are exact."""
        cost, self._unpaid = self._unpaid, Cost()
        return cost

    async def _evidence(self, request: Request, error: BackendError) -> None:
        """Return once the server has answered somebody who asked after `error` came.

        Raises:
            BackendUnusable: It answers nobody.
        """
        if self._ended is not None:
            raise self._ended
        self._era += 1
        held = _Held(request, error, self._era, asyncio.get_running_loop().create_future())
        self._held.append(held)
        self._lend(1)
        self._look()
        try:
            await self._halt.wait(held.evidence)
        finally:
            self._lend(-1)
            if held in self._held:
                self._held.remove(held)

    def _release(self, request: Request, era: int) -> None:
        """Take the answer to `request`, sent in `era`, for evidence."""
        shape = _shape(request)
        for held in [h for h in self._held if h.since <= era and _shape(h.request) == shape]:
            self._held.remove(held)
            if not held.evidence.done():
                held.evidence.set_result(None)

    @property
    def _is_streak(self) -> bool:
        return len(self._held) >= self._after

    def _must_seek(self) -> bool:
        """Say whether evidence will not come by itself, or has been waited for long enough."""
        return bool(self._held) and (self._is_streak or self._n_inside == len(self._held))

    def _look(self) -> None:
        if self._seeking is None and self._ended is None and self._must_seek():
            self._seeking = asyncio.create_task(self._seek(), name="agentnet-brake")

    async def _seek(self) -> None:
        try:
            await self._ask_controls()
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends those who wait for evidence
            self._end(error)
        finally:
            self._seeking = None
        if self._ended is None:
            self._open()
            self._look()

    async def _ask_controls(self) -> None:
        failed: list[BackendError] = []
        for number, pause_s in enumerate(_PAUSES_S):
            await self._halt.sleep(pause_s)
            if not self._must_seek():
                return
            is_streak = self._is_closed = self._is_streak
            control = self._control(number)
            if control is None:
                break
            era = self._era
            try:
                reply = await self._inner.complete(control)
            except BackendUnusable:
                raise
            except BackendError as error:
                self._unpaid = self._unpaid.and_of(error)
                failed.append(error)
                if len(failed) >= _ENOUGH and (is_streak or not self._good):
                    break
                continue
            self._unpaid = self._unpaid.and_of(reply)
            if is_streak:
                self._after = min(2 * self._after, self._longest)
            self._take_note(control, reply, era)
            return
        if self._must_seek():
            raise self._nobody_is_answered(failed)

    def _control(self, number: int) -> Request | None:
        """Make the request that tells whether the server answers: a good prompt, asked as those that fail.

        Returns:
            None if nobody was ever answered, and enough have failed to say that nobody will be.
        """
        failing = self._held[number % len(self._held)].request
        prompts = {held.request.messages for held in self._held}
        good = sorted(
            self._good.values(), key=lambda g: (g.messages in prompts, _shape(g) != _shape(failing))
        )
        control = self._anew(failing)
        if good:
            chosen = good[number % len(good)]
            return control._replace(messages=chosen.messages, metadata=chosen.metadata)
        # A filter, or whatever is wrong with a single prompt, is no reason to give up on the server.
        if len(prompts) == 1 or all(held.error.kind == CONTENT_FILTER for held in self._held):
            return control._replace(messages=HARMLESS)
        return None if self._is_streak else control

    def _anew(self, request: Request) -> Request:
        """Give `request` another seed and a draw of its own, so that no cache answers it."""
        self._n_controls += 1
        number = self._n_controls
        draw = ((self._sitting, -1, "control", number), -1, -1, 0, 0)
        return request._replace(seed=mix(request.seed, number) >> 1, draw=draw)

    def _open(self) -> None:
        self._is_closed = False
        line, self._line = self._line, []
        for place in line:
            if not place.done():
                place.set_result(None)

    def _end(self, error: Exception) -> None:
        """Let nobody in any more, and tell all who wait."""
        self._ended, self._is_closed = error, True
        for waiting in (*(held.evidence for held in self._held), *self._line):
            if not waiting.done():
                waiting.set_exception(error)

    def _nobody_is_answered(self, failed: list[BackendError]) -> BackendUnusable:
        errors = [held.error for held in self._held]
        kinds = Counter(error.kind for error in errors)
        last = (failed or errors)[-1]
        before = "none was answered before"
        if self._good:
            before = f"so did {_several(len(failed))} like those that were answered before"
        shared = _in_common([held.request for held in self._held])
        words = (
            f"{_several(len(errors))} failed in a row ({_counted(kinds)}), and {before}: it is not theirs. "
            f"{str(last).rstrip('.')}. {shared}None is recorded as missing: mend it, then resume the run, "
            "which asks them again"
        )
        return BackendUnusable(words, kind=last.kind)


def _shape(request: Request) -> _Shape:
    return request.n, bool(request.answers), request.schema is not None, request.logprobs


def _several(n: int) -> str:
    return "1 request" if n == 1 else f"{n} requests"


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in kinds.most_common())


def _in_common(requests: Sequence[Request]) -> str:
    """Say what all of several requests share, in a sentence; nothing of a single one."""
    facts = list(map(_facts, requests))
    shared = [fact for fact in facts[0] if all(fact in others for others in facts[1:])]
    return f"What they share: {', '.join(shared)}. " if len(facts) > 1 and shared else ""


def _facts(request: Request) -> list[str]:
    facts = {**request.metadata, "n": request.n, "max_tokens": request.max_tokens}
    asked = {"a schema": request.schema is not None, "log-probabilities": request.logprobs}
    return [f"{name} {value}" for name, value in facts.items()] + [name for name in asked if asked[name]]
