"""What several realizations need and one of them fetches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from agentnet.sampler.pool import Pool

Key = TypeVar("Key", bound=Hashable)
Need = TypeVar("Need")
Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class _Claim:
    """Somebody's word to fetch a value; `settled` ends when it is there, cannot be had, or is given up."""

    settled: asyncio.Future[None]
    is_begun: bool = False


class Shared(Generic[Key, Need, Value]):
    """Values that are fetched once and kept.

    Whoever needs a value first claims it and fetches it; others wait. A claim that is given up (its owner was
    stopped before the fetch began, or the fetch was cancelled) is free again, and one of those who wait takes
    it over: so nobody waits for somebody who is gone.

    Args:
        fetch: Gets the value of a key; is told what the claimer needs it for.
    """

    def __init__(self, fetch: Callable[[Key, Need], Awaitable[Value]]) -> None:
        self._fetch = fetch
        self._values: dict[Key, Value] = {}
        self._claims: dict[Key, _Claim] = {}

    def get(self, key: Key) -> Value | None:
        """Give a value that is at hand, else None."""
        return self._values.get(key)

    async def settled(self) -> None:
        """Return once what is being fetched now is there, or cannot be had."""
        if self._claims:
            await asyncio.wait([claim.settled for claim in self._claims.values()])

    async def obtain(self, needs: Mapping[Key, Need], pool: Pool) -> None:
        """Return once every key of `needs` is at hand.

        Args:
            needs: Keys, and what a fetch is told.
            pool: Where fetches wait for a worker.

        Raises:
            Exception: What a fetch raised, whoever made it, or the reason why the pool was stopped. Values
                that came are kept; the others can be claimed anew.
        """
        while True:
            missing = [key for key in needs if key not in self._values]
            mine = {key: self._claim(key) for key in missing if key not in self._claims}
            # Taken before anything is awaited: a fetch that fails leaves no trace but this.
            claims = [self._claims[key] for key in missing]
            await self._fetch_all(mine, needs, pool)
            if not missing:
                return
            for claim in claims:
                # Shielded: who stops waiting must not cancel the fetch for others.
                await asyncio.shield(claim.settled)

    def _claim(self, key: Key) -> _Claim:
        claim = self._claims[key] = _Claim(asyncio.get_running_loop().create_future())
        return claim

    async def _fetch_all(self, mine: dict[Key, _Claim], needs: Mapping[Key, Need], pool: Pool) -> None:
        keys = list(mine)
        try:
            # Also where there is nothing to fetch: a stopped pool says so.
            await pool.run(lambda k: self._settle(keys[k], needs[keys[k]]), len(keys))
        finally:
            for key, claim in mine.items():
                if not claim.is_begun:
                    self._give_up(key)

    async def _settle(self, key: Key, need: Need) -> None:
        claim = self._claims[key]
        claim.is_begun = True
        try:
            value = await self._fetch(key, need)
        except Exception as error:
            del self._claims[key]
            claim.settled.set_exception(error)
            # Perhaps nobody else waits for it, and asyncio warns of errors that nobody looks at.
            claim.settled.exception()
            raise
        except BaseException:
            self._give_up(key)
            raise
        self._values[key] = value
        del self._claims[key]
        claim.settled.set_result(None)

    def _give_up(self, key: Key) -> None:
        self._claims.pop(key).settled.set_result(None)
