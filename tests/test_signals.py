"""Signals that end a command in order, and what ends one whose event loop a plug-in blocks."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import pytest
import uvloop

from agentnet.cli.signals import heeding

Loop = Callable[[], asyncio.AbstractEventLoop]


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


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_was_to_begin_in_a_blocked_loop_does_not_block_it_anew(loop: Loop) -> None:
    begun = []

    async def block(n: int) -> None:
        begun.append(n)
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        with heeding(list):
            await asyncio.gather(*map(block, range(5)))

    with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert begun == [0]
