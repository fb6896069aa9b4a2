"""What one shard of a run may take, so that all together take what the run may, and none asks another.

Counts are dealt out whole, the first shards get what is left over; rates and money are divided. The sum is
never above the whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from agentnet.errors import ConfigurationError, UserError

if TYPE_CHECKING:
    from agentnet.config.sections import Settings

_TOTALS: Final = ("max_calls", "max_tokens", "max_cost")
_AT_ONCE: Final = ("max_in_flight", "start_in_flight", "requests_per_minute", "tokens_per_minute")
_COUNTS: Final = ("workers", "max_in_flight", "start_in_flight", "max_calls", "max_tokens")


class Shard(NamedTuple):
    """One of the parts of a run that are played apart.

    Attributes:
        number: Which one, from 1.
        of: How many there are.
        at_once: How many of them are played at a time at most, which share rates and what is in flight; 0:
            all. Calls, tokens and money are shared by all in any case.
    """

    number: int
    of: int
    at_once: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``3/16``.

        Raises:
            UserError: It says no shard, or one that there is not.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None:
            raise UserError(f"shard {text!r} is none: write which one of how many, such as 3/16")
        number, of = map(int, match.groups())
        if not 1 <= number <= of:
            raise UserError(f"there is no shard {text}: {of} shards are 1/{of} to {of}/{of}")
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def name(self) -> str:
        """The name of its folder, such as ``03-of-16``: in order of number."""
        return f"{self.number:0{len(str(self.of))}}-of-{self.of}"

    def of_settings(self, settings: Settings) -> Settings:
        """Give it its share of what a run may have in flight, of its rates and of its budget.

        Parquet files are for the whole run.

        Raises:
            ConfigurationError: There is less than one for each shard.
        """
        stack, engine = settings.stack, settings.engine
        in_stack = {
            **self._shared("stack", stack.model_dump(include={*_TOTALS, *_AT_ONCE})),
            "min_in_flight": max(1, stack.min_in_flight // self.n_at_once),
        }
        return settings.model_copy(
            update={
                "engine": engine.model_copy(update=self._shared("engine", {"workers": engine.workers})),
                "stack": stack.model_copy(update=in_stack),
                "log": settings.log.model_copy(update={"parquet": False}),
            }
        )

    def of_realizations(self, n: int, *, pools: bool) -> slice:
        """Give it its share of the realizations of a run.

        Every n-th is its own, so that conditions and news items that take long are shared. Where draws are
        bought for many at once (`pools`), neighbours stay together, which share what is bought.
        """
        if pools:
            return slice((self.number - 1) * n // self.of, self.number * n // self.of)
        return slice(self.number - 1, n, self.of)

    def of_voice(self, voice: str, limits: Mapping[str, object]) -> dict[str, Any]:
        """Give it its share of a voice's own limits."""
        return self._shared(f"experiment.voices.{voice}", limits)

    @property
    def n_at_once(self) -> int:
        """How many shards are played at a time at most."""
        return self.at_once or self.of

    def _shared(self, where: str, limits: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self._share(f"{where}.{name}", value, self.of if name in _TOTALS else self.n_at_once)
            for name, value in limits.items()
            if value is not None
        }

    def _share(self, what: str, whole: float, n: int) -> float:
        if what.rpartition(".")[2] not in _COUNTS:
            # Rounded down: a quotient rounded up would add up to more than the whole.
            return math.nextafter(whole / n, 0.0) if n > 1 else whole
        if 0 < whole < n:
            raise ConfigurationError(
                f"{what} = {whole} cannot be shared by {n} shards, as each needs one: raise it to {n}, or "
                f"play {whole} shards at most"
            )
        # Of those that are played now, nobody knows who has a share of what is left over.
        return whole // n + (n == self.of and self.number <= whole % n)
