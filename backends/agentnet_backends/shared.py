"""Finding something out once, however many ask for it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from copy import copy
from typing import Generic, TypeVar

from agentnet.errors import BackendError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class FoundOnce(Generic[Key, Value]):
    """Remembers what `find` found; those who ask meanwhile wait for the same call.

    A failed call is not remembered: whoever asks next calls again.

    Args:
        find: Finds the value of a key.
        remembered: How many values are kept; the oldest goes first.
    """

    def __init__(self, find: Callable[[Key], Awaitable[Value]], *, remembered: int = 1024) -> None:
        self._find = find
        self._remembered = remembered
        self._found: dict[Key, Value] = {}
        self._searches: dict[Key, asyncio.Task[Value]] = {}

    async def get(self, key: Key) -> Value:
        """Give the value of `key`.

        Raises:
            BackendError: What `find` raised; everybody who waits gets one of his own.
        """
        if key not in self._found:
            search = self._searches.get(key)
            if search is None:
                search = self._searches[key] = asyncio.create_task(self._search(key))
                search.add_done_callback(lambda done: self._ended(key, done))
            try:
                # One who is cancelled must not take the answer away from the others.
                return await asyncio.shield(search)
            except BackendError as error:
                failure = copy(error)
            raise failure
        return self._found[key]

    async def aclose(self) -> None:
        """Give up all searches."""
        searches = list(self._searches.values())
        for search in searches:
            search.cancel()
        await asyncio.gather(*searches, return_exceptions=True)

    async def _search(self, key: Key) -> Value:
        value = await self._find(key)
        if len(self._found) >= self._remembered:
            del self._found[next(iter(self._found))]
        self._found[key] = value
        return value

    def _ended(self, key: Key, search: asyncio.Task[Value]) -> None:
        del self._searches[key]
        if not search.cancelled():
            search.exception()  # it was seen, even if nobody waits any more
