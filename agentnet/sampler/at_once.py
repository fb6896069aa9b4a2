"""Answers that come without a wait: to all that realizations ask in one turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain, count
from typing import Final, NamedTuple

from agentnet.backend import Backend, Reply, Request, Wave, answer_now
from agentnet.sampler.answers import usable
from agentnet.sampler.draws import Answer, Draws, Judge, Question, chosen
from agentnet.sampler.pool import Pool

_DRAWS: Final = 4096
"""Draws that are answered before signals and progress have their turn: about 10 ms."""
_REMEMBERED: Final = 65_536

Left = Sequence[tuple[int, Reply]]
"""Positions of draws whose replies are to be judged in full, with these."""


class _Waiting(NamedTuple):
    draws: Draws
    todo: Sequence[int]
    told: asyncio.Future[Left | None]


class AtOnceDesk:
    """Has draws answered at once and records them, those of many realizations together.

    Args:
        backend: Who answers, with its stack around it.
        pool: Says whether draws may still be begun.
    """

    def __init__(self, backend: Backend, pool: Pool) -> None:
        self._backend = backend
        self._pool = pool
        self._waiting: list[_Waiting] = []
        self._n_waiting = 0
        self._read: dict[tuple[Judge, int], tuple[Reply, Answer | None]] = {}

    def answer(self, draws: Draws, todo: Sequence[int]) -> asyncio.Future[Left | None]:
        """Answer some draws in this turn of the event loop.

        Returns:
            Those that are not recorded, as their replies are to be judged in full; None if all have to wait.
        """
        loop = asyncio.get_running_loop()
        told = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._answer_all)
        self._waiting.append(_Waiting(draws, todo, told))
        self._n_waiting += len(todo)
        if self._n_waiting >= _DRAWS:
            self._answer_all()
        return told

    def _answer_all(self) -> None:
        waiting, self._waiting, self._n_waiting = self._waiting, [], 0
        groups: dict[tuple[str, Judge], list[_Waiting]] = {}
        for each in waiting:
            if not each.told.done():
                groups.setdefault((each.draws.kind, each.draws.judge), []).append(each)
        for alike in groups.values():
            self._answer(alike)

    def _answer(self, waiting: Sequence[_Waiting]) -> None:
        """Answer draws of one kind, and tell each who waits what became of his."""
        try:
            self._pool.check()
            found = answer_now(self._backend, _wave(waiting))
            judge = waiting[0].draws.judge
            answers = [] if found is None else [self._plain(judge, reply) for reply in found.replies]
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whoever waits has it
            for each in waiting:
                each.told.set_exception(error)
            return
        end = 0
        for draws, todo, told in waiting:
            begin, end = end, end + len(todo)
            try:
                left = None
                if found is not None:
                    left = _record(draws, todo, answers, found.replies, found.which[begin:end])
                told.set_result(left)
            except (Exception, SystemExit) as error:  # noqa: BLE001
                told.set_exception(error)

    def _plain(self, judge: Judge, reply: Reply) -> Answer | None:
        """Make the answer of a reply that came at once; None where it is to be judged in full."""
        found = self._read.get((judge, id(reply)))
        if found is None:
            verdict = judge(reply.texts[0])
            is_plain = not (verdict.problem or reply.finish or reply.troubles)
            if len(self._read) == _REMEMBERED:
                self._read.clear()
            # The reply stays, so that no other one can stand where it does.
            found = self._read[judge, id(reply)] = reply, usable(reply, verdict, 0.0) if is_plain else None
        return found[1]


def _wave(waiting: Sequence[_Waiting]) -> Wave:
    """Gather draws, each asked alone, by their questions; who they are of is left out."""
    questions = list(chain.from_iterable(chosen(draws.questions, todo) for draws, todo, _ in waiting))
    ids = list(map(id, questions))
    different = dict(zip(ids, questions, strict=True))
    place = dict(zip(different, count()))
    return Wave(
        [*map(_unaddressed, different.values())],
        [place[each] for each in ids],
        list(chain.from_iterable(chosen(draws.temperatures, todo) for draws, todo, _ in waiting)),
        list(chain.from_iterable(chosen(draws.seeds, todo) for draws, todo, _ in waiting)),
    )


def _unaddressed(question: Question) -> Request:
    _, messages, metadata, answers, schema, max_tokens = question
    return Request(messages, 1.0, 1, max_tokens, answers, schema, metadata=metadata)


def _record(
    draws: Draws,
    todo: Sequence[int],
    answers: Sequence[Answer | None],
    replies: Sequence[Reply],
    which: Sequence[int],
) -> Left:
    """Record those draws of `todo` whose replies are usable and plain; give the others."""
    place = dict(zip(dict.fromkeys(which), count()))
    own = [answers[k] for k in place]
    alike = [each for each in own if each and each.decision is not None and each.value is None]
    if draws.record_drawn is not None and len(alike) == len(own):
        rows = [place[k] for k in which]
        decisions = [each.decision or 0 for each in alike]
        draws.record_drawn(todo, alike, rows, [decisions[row] for row in rows])
        return ()
    left = []
    for i, k in zip(todo, which, strict=True):
        answer = answers[k]
        if answer is None:
            left.append((i, replies[k]))
        else:
            draws.record(i, answer)
    return left
