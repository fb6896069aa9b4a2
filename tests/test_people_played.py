"""People over real HTTP in a run that is really played: what becomes of their texts, whatever they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from agentnet import Ask, Run, WorldExperiment
from agentnet.people import HumanBackend, HumanOptions
from agentnet.people.robots import Page
from agentnet.runner import Prepared, Runner

SECRET = "I live in Elm Street, and nobody is to know it"


class Rounds(WorldExperiment):
    """Everybody tells what is new, in rounds."""

    network, n_agents, repeats = None, 2, 1
    rounds: int = 2

    def play(self, s):
        for number in range(self.rounds):
            yield [Ask(agent, f"Round {number}: what is new?", answer=str, kind="word") for agent in s.agents]


class Guest:
    """Somebody's browser."""

    def __init__(self, http: aiohttp.ClientSession, link: str) -> None:
        self.http, self.link = http, link

    async def look(self) -> Page:
        async with self.http.get(self.link) as reply:
            return Page(await reply.text())

    async def asked(self) -> Page:
        """Wait until a question is put."""
        while not (page := await self.look()).hidden:
            async with self.http.get(f"{self.link}/news", params={"state": page.state}):
                pass
        return page

    async def send(self, do: str, **fields: str) -> tuple[int, str]:
        """Send a form; give the status and what is said."""
        headers = {"Origin": self.link.partition("/person")[0]}
        data = {"do": do, **fields}
        async with self.http.post(self.link, data=data, headers=headers, allow_redirects=False) as reply:
            return reply.status, reply.headers.get("Location", "").partition("said=")[2] or await reply.text()


@asynccontextmanager
async def playing(
    prepared: Prepared, **options: Any
) -> AsyncIterator[tuple[list[Guest], asyncio.Task[None]]]:
    """Play a run with two people."""
    human = HumanBackend(HumanOptions(people=2, deadline_s=60, **options))
    links = asyncio.get_running_loop().create_future()
    human.opened = links.set_result

    async def play() -> None:
        async with human.attend(prepared.folder, lambda _: None):
            await Runner(prepared, human).play()

    task = asyncio.create_task(play())
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        named = await links
        yield [Guest(http, named[f"person {number}"]) for number in (1, 2)], task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    """Look again and again whether something holds, for some seconds."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never holds")


def ends_of(run: Run) -> dict[str, int]:
    """Count what was answered, and why nothing was."""
    query = "SELECT COALESCE(missing, text), COUNT(*) FROM events LEFT JOIN replies USING (reply) GROUP BY 1"
    return dict(run.rows(query)[1])


def test_texts_of_who_withdrew_are_gone_as_soon_as_the_run_has_ended_though_pages_stay(
    new_run: Callable[..., Prepared],
) -> None:
    prepared = new_run(Rounds())

    async def play() -> None:
        async with playing(prepared, stays_s=500) as ((ann, bob), task):
            await ann.look()
            await bob.look()
            page = await ann.asked()
            await ann.send("answer", **page.hidden, answer=SECRET)
            page = await bob.asked()
            await bob.send("answer", **page.hidden, answer="nothing")
            await ann.asked()
            assert SECRET in ends_of(Run(prepared.folder))
            await ann.send("withdraw")
            page = await bob.asked()
            await bob.send("answer", **page.hidden, answer="nothing")
            await until(lambda: Run(prepared.folder).meta["status"] == "finished")
            await until(lambda: SECRET not in ends_of(Run(prepared.folder)))
            assert not task.done()

    asyncio.run(play())
    assert ends_of(Run(prepared.folder)) == {"[forgotten]": 1, "dropped": 1, "nothing": 2}
    assert SECRET.encode() not in b"".join(
        path.read_bytes() for path in prepared.folder.rglob("*") if path.is_file()
    )
