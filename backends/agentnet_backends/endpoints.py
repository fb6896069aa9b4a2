"""Several servers of one model: whom to ask next, and who is left alone for a while.

Requests that begin alike go to the same server, which keeps what it made of their beginning, unless it has
more to do than its share: load is counted in tokens in flight, so that a fast server gets more than a slow
one. That is consistent hashing with bounded loads (Mirrokni, Thorup & Zadimoghaddam 2018, SODA), done by
rendezvous (Thaler & Ravishankar 1998, IEEE/ACM Transactions on Networking 6(1)).

A server that cannot be reached, or fails several times in a row, is left out; after a pause that doubles each
time it gets one request as a trial. Without that, a server that fails at once would draw all the traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentnet.streams import mix
from agentnet_backends.failures import OUT_OF_REACH, Peer

_FAILURES_IN_A_ROW = 3
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_MOST_OF_A_SHARE = 1.25

# A server that says "slow down" works.
_HEALTHY = frozenset({"rate_limit"})


@dataclass(slots=True, eq=False)
class Endpoint:
    """One server.

    Attributes:
        peer: Its name and base URL.
        outstanding: Requests sent to it and not yet answered.
        tokens: About as many tokens as are in these, and may come of them.
        failures: Failures since it last answered.
        pauses: How often it was left out since it last answered.
        out_until: Loop time until which it is left out, in seconds; 0 if it never was.
        has_answered: Whether it ever answered.
        model_name: The model that its first answer named; ``""`` before.
    """

    peer: Peer
    outstanding: int = 0
    tokens: int = 0
    failures: int = 0
    pauses: int = 0
    out_until: float = 0.0
    has_answered: bool = False
    model_name: str = ""

    def worked(self) -> None:
        """Take note of an answer, of whatever content."""
        self.has_answered = True
        self.failures = self.pauses = 0
        self.out_until = 0.0

    def failed(self, kind: str, now: float) -> None:
        """Take note of a failed call.

        Args:
            kind: The error's kind.
            now: Loop time, in seconds.
        """
        if kind in _HEALTHY:
            self.worked()
            return
        self.failures += 1
        # Calls that were under way when the pause began say nothing new.
        if now >= self.out_until and (kind in OUT_OF_REACH or self.failures >= _FAILURES_IN_A_ROW):
            self.out_until = now + min(_FIRST_PAUSE_S * 2.0**self.pauses, _LONGEST_PAUSE_S)
            self.pauses += 1

    def is_open(self, now: float) -> bool:
        """Say whether it may be asked: after a pause by one request at a time, until it answers."""
        return self.out_until == 0.0 or (now >= self.out_until and self.outstanding == 0)


class Endpoints:
    """Chooses among servers.

    Args:
        peers: The servers, at least one.
    """

    def __init__(self, peers: Sequence[Peer]) -> None:
        self.all = tuple(map(Endpoint, peers))
        self._next = 0

    def pick(self, now: float, *, prefix: int | None = None, n_tokens: int = 1) -> Endpoint:
        """Choose the server to ask next.

        Args:
            now: Loop time, in seconds.
            prefix: Stands for what the request begins with; None for nothing that others share.
            n_tokens: About as many tokens as the request has, and may get.

        Returns:
            Of those that are open the one to which `prefix` belongs, or the next that has less to do than a
            quarter more than its share; without a prefix the one with the least, each in turn where they are
            equal. If none is open, the one whose pause ends first.
        """
        if len(self.all) == 1:
            return self.all[0]
        self._next = (self._next + 1) % len(self.all)
        turn = self.all[self._next :] + self.all[: self._next]
        is_open = [endpoint for endpoint in turn if endpoint.is_open(now)]
        if is_open and prefix is not None:
            most = _MOST_OF_A_SHARE * (sum(each.tokens for each in is_open) + n_tokens) / len(is_open)
            ranked = sorted(is_open, key=lambda each: mix(prefix, self.all.index(each)))
            return next((each for each in ranked if each.tokens <= most), _least(is_open))
        if is_open:
            return _least(is_open)
        return min(turn, key=lambda endpoint: (endpoint.out_until, endpoint.outstanding))

    def others_open(self, endpoint: Endpoint, now: float) -> bool:
        """Say whether anybody but `endpoint` may be asked now."""
        return any(other is not endpoint and other.is_open(now) for other in self.all)


def _least(endpoints: Sequence[Endpoint]) -> Endpoint:
    return min(endpoints, key=lambda endpoint: (endpoint.tokens, endpoint.outstanding))
