"""Signals that end a command in order, and what ends one whose event loop a plug-in blocks."""

from __future__ import annotations

import asyncio
import signal

import pytest

from agentnet.cli.signals import heeding


def test_the_third_signal_that_a_blocked_loop_has_not_heard_ends_it_where_it_is() -> None:
    heard, unheard = [], []

    async def main() -> None:
        with heeding(lambda: heard.append(1)):
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
                await asyncio.sleep(0.01)
            for n in range(5):
                unheard.append(n)
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert (heard, unheard) == ([1, 1, 1], [0, 1, 2])
