"""Answer on the spot what a rule answers: no call, no permit, no cache, no money, in every sampler mode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from agentnet.backend import Reply
from agentnet.errors import DesignError
from agentnet.sampler.call import record_all, usable
from agentnet.sampler.draws import Answer, Draws, Sampler
from agentnet.vocabulary import OF_A_RULE
from agentnet.voices import said_in, voice_of


class RuleSampler:
    """Gives those draws what their rule says, and has `inner` answer the others.

    Args:
        inner: Who asks backends.
    """

    def __init__(self, inner: Sampler) -> None:
        self._inner = inner

    async def draw(self, draws: Draws) -> None:
        """Answer every draw; see `agentnet.sampler.Sampler`.

        Raises:
            DesignError: A rule says what is no answer to its question.
        """
        said = {i: text for i in draws.todo if (text := said_in(draws.questions[i].metadata)) is not None}
        record_all(draws.record, _answers(draws, said.items()))
        await self._inner.draw(replace(draws, todo=[i for i in draws.todo if i not in said]))


def _answers(draws: Draws, said: Iterable[tuple[int, str]]) -> Iterator[tuple[int, Answer]]:
    for i, text in said:
        voice = voice_of(draws.questions[i].metadata)
        verdict = draws.judge(text)
        if verdict.problem:
            raise DesignError(
                f"the rule of voice {voice!r} says {text!r:.80} for agent {draws.agents[i]}, which is no "
                f"answer to a question of kind {draws.kind!r} ({verdict.problem}); it gives a value of what "
                "the experiment declares as its answer"
            )
        yield i, usable(Reply((text,), 0, 0, f"{OF_A_RULE}{voice}", attempts=0), verdict, 0.0)
