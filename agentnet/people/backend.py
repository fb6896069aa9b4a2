"""Backend ``human``: the one who answers for an agent is a person, on a page of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from agentnet.backend import Reply, Request
from agentnet.errors import BackendUnusable, RequestRejected, RunStopped
from agentnet.people.options import MODEL_NAME, HumanOptions
from agentnet.people.room import Room
from agentnet.people.words import words_of
from agentnet.vocabulary import INVALID


class HumanBackend:
    """Asks people. Nobody is asked twice: not by a retry, not after a crash, and no cache answers for them.

    A request's draw key says which agent of which realization is asked: that is a seat, which one person has.
    Their answer is what they fill in; without one by the deadline the request is rejected as dropped.

    Args:
        options: See `HumanOptions`.

    Attributes:
        room: Where people are while a run is played.
        opened: Called with the addresses of all pages, by name, once they are served.
    """

    about = "asks people, each on a page of their own"
    needs = "people, and a browser each"
    name = "human"
    model_name = MODEL_NAME
    worth_caching = False
    asks_once = True

    def __init__(self, options: HumanOptions | None = None) -> None:
        self.options = options or HumanOptions()
        self.room: Room | None = None
        self.opened: Callable[[Mapping[str, str]], None] | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Self:  # noqa: ARG003 - the contract's signature; people have no key
        """Make it of a voice's table.

        Raises:
            ConfigurationError: An option is unknown or impossible; names it as ``backend.KEY``.
        """
        read = HumanOptions.read(options)
        words_of(read.language, read.words)
        return cls(read)

    async def complete(self, request: Request) -> Reply:
        """Put a request to the person who answers for its agent.

        Raises:
            RequestRejected: They gave no answer in time, or had left; or they would be asked a second time.
            BackendUnusable: Nobody can be reached, or what is asked for is nothing that people can be asked.
            RunStopped: The run was interrupted.
        """
        prefix, agent, _, _, n_asked = request.draw
        if request.n != 1 or request.logprobs:
            raise BackendUnusable("people answer one question at a time, without odds: -S sampler.mode=call")
        if self.room is None or not prefix or agent < 0:
            raise BackendUnusable(
                "people are asked while a run is played, and there is none: agentnet run FILE"
            )
        if n_asked:
            raise RequestRejected("a person is asked once, whatever they said", kind=INVALID)
        given = await self.room.ask(request)
        assert given.text is not None
        return Reply(
            (given.text,), prompt_tokens=0, completion_tokens=0, model=self.model_name, took_s=given.took_s
        )

    @asynccontextmanager
    async def attend(
        self, folder: Path, say: Callable[[str], None]
    ) -> AsyncIterator[Callable[[RunStopped], None]]:
        """Have the pages served while a run is played, from when enough people have come; see `Attended`.

        Yields:
            What is called when the run is to stop: nobody is waited for any more.
        """
        from agentnet.people.hosting import hosted

        async with hosted(self.options, folder, say, self.opened) as room:
            self.room = room
            try:
                yield room.leave
            finally:
                self.room = None

    async def aclose(self) -> None:
        """Nothing is held: the pages are there until people have seen how it ended."""
