"""Backends for tests that say what they are told to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from inspect import isawaitable

from agentnet.backend import Reply, Request

Answer = str | Reply | Exception
"""A text (for each sample wanted), a whole reply, or an error to raise."""

Script = Iterable[Answer] | Callable[[Request], Answer | Awaitable[Answer]]


class ScriptedBackend:
    """Gives the answers of a script, in the order in which it is asked, and records the requests.

    Args:
        script: The answers one after another, or a function of the request that makes them; an async function
            may wait before it answers.
        name: The plug-in's name.
        model_name: The language model's name.

    Attributes:
        requests: The requests so far, in the order of asking.
        closed: Whether `aclose` was called.

    Examples:
        >>> import asyncio
        >>> backend = ScriptedBackend(["Yes", "No"])
        >>> asyncio.run(backend.complete(Request((("user", "Do you share it?"),), n=2))).texts
        ('Yes', 'Yes')
    """

    def __init__(self, script: Script, *, name: str = "scripted", model_name: str = "scripted-1") -> None:
        self.name = name
        self.model_name = model_name
        self.requests: list[Request] = []
        self.closed = False
        self._answer = script if callable(script) else _one_by_one(script)

    async def complete(self, request: Request) -> Reply:
        """Give the script's next answer.

        Raises:
            AssertionError: The script has no answer left.
            Exception: The script says so.
        """
        self.requests.append(request)
        answer = self._answer(request)
        if isawaitable(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Reply) else Reply((answer,) * request.n, model=self.model_name)

    async def aclose(self) -> None:
        """Take note of it."""
        self.closed = True


def _one_by_one(answers: Iterable[Answer]) -> Callable[[Request], Answer]:
    left = iter(answers)

    def answer(request: Request) -> Answer:
        try:
            return next(left)
        except StopIteration:
            raise AssertionError(f"the script has no answer left for {request}") from None

    return answer
