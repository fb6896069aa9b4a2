"""Finding something out once, however many ask."""

from __future__ import annotations

import asyncio

import pytest

from agentnet.errors import TransientError
from agentnet.testing import run_in_virtual_time
from agentnet_backends.shared import FoundOnce


def test_all_who_ask_at_once_get_the_answer_of_one_search():
    searches = []

    async def find(key):
        searches.append(key)
        await asyncio.sleep(1.0)
        return key * 2

    async def main():
        once = FoundOnce(find)
        found = await asyncio.gather(*(once.get(i % 2) for i in range(10)))
        return [*found, await once.get(1)]

    assert run_in_virtual_time(main()) == [0, 2] * 5 + [2]
    assert searches == [0, 1]


def test_a_failed_search_is_not_remembered_and_everybody_gets_an_error_of_his_own():
    outcomes = [TransientError("down", kind="refused", retry_after_s=3.0), None]

    async def find(_):
        await asyncio.sleep(1.0)
        error = outcomes.pop(0)
        if error:
            raise error
        return "up"

    async def main():
        once = FoundOnce(find)
        errors = await asyncio.gather(*(once.get(0) for _ in range(3)), return_exceptions=True)
        return errors, await once.get(0)

    errors, found = run_in_virtual_time(main())
    assert len(set(map(id, errors))) == 3
    assert {(type(e), str(e), e.kind, e.retry_after_s) for e in errors} == {
        (TransientError, "down", "refused", 3.0)
    }
    assert all(error.__context__ is error.__cause__ is None for error in errors)
    assert found == "up"


def test_one_who_gives_up_does_not_take_the_answer_from_the_others():
    async def find(_):
        await asyncio.sleep(1.0)
        return "found"

    async def main():
        once = FoundOnce(find)
        first, second = asyncio.create_task(once.get(0)), asyncio.create_task(once.get(0))
        await asyncio.sleep(0.5)
        first.cancel()
        return await second

    assert run_in_virtual_time(main()) == "found"


def test_a_failure_that_nobody_waits_for_any_more_goes_unnoticed():
    async def find(_):
        await asyncio.sleep(1.0)
        raise TransientError("down")

    async def main():
        once = FoundOnce(find)
        asking = asyncio.create_task(once.get(0))
        await asyncio.sleep(0.5)
        asking.cancel()
        await asyncio.sleep(1.0)

    run_in_virtual_time(main())


def test_closing_gives_up_what_is_under_way():
    async def find(_):
        await asyncio.sleep(3600.0)

    async def main():
        once = FoundOnce(find)
        asking = asyncio.create_task(once.get(0))
        await asyncio.sleep(0.1)
        await once.aclose()
        with pytest.raises(asyncio.CancelledError):
            await asking
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) < 1.0


def test_only_so_much_is_remembered():
    searches = []

    async def find(key):
        searches.append(key)
        return key

    async def main():
        once = FoundOnce(find, remembered=2)
        return [await once.get(key) for key in (0, 1, 2, 1, 0)]

    assert run_in_virtual_time(main()) == [0, 1, 2, 1, 0]
    assert searches == [0, 1, 2, 0]
