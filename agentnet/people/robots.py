"""Robots in the place of people: they open pages, answer late or not at all, click twice, reload and go back.

What a robot does with a question hangs on the question and a seed alone, so that a study that is rehearsed
twice, or broken off and gone on with, has the same answers.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from agentnet.people.options import Comprehension
from agentnet.people.room import ALREADY, LATE, THANKS

if TYPE_CHECKING:
    import aiohttp

_WORDS: Final = ("news", "bridge", "closed", "today", "people", "say", "nobody", "heard", "before", "river")
# Our own pages, in which every value is quoted and escaped.
_TAGS: Final = re.compile(r"<(?P<name>body|p|input|textarea)\b(?P<rest>[^>]*)>")
_ATTRIBUTES: Final = re.compile(r'([\w-]+)="([^"]*)"')
_AGAIN_S: Final = 0.1
_AFTER_THE_DEADLINE_S: Final = 0.05
_DEFAULT_BOUND: Final = 100


@dataclass(frozen=True, slots=True)
class Habits:
    """What robots do, as chances of each question.

    Attributes:
        latency_s: Mean time to an answer, in seconds.
        dropouts: Chance to leave for good.
        late: Chance to answer when the deadline has passed.
        double_clicks: Chance to send an answer twice at once.
        reloads: Chance to load the page again before answering.
        backs: Chance to send another answer to the same question afterwards.
        seed: Fixes them all.
    """

    latency_s: float = 0.2
    dropouts: float = 0.0
    late: float = 0.05
    double_clicks: float = 0.1
    reloads: float = 0.1
    backs: float = 0.1
    seed: int = 0


@dataclass(slots=True)
class Account:
    """What robots were told.

    Attributes:
        said: Name of a question -> what was said to each answer that was sent to it.
        counts: What happened, by name.
    """

    said: dict[str, Counter[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


class Page:
    """A page as a robot reads it.

    Attributes:
        state: What it shows, as `agentnet.people.room.Room.state` names it.
        left_s: Time left for an answer, in seconds.
        fields: Name of a control -> its type and bounds.
        values: Name of a control -> the values that can be chosen.
        hidden: Name of a hidden field -> its value.
    """

    def __init__(self, text: str) -> None:
        self.state = ""
        self.left_s = 0.0
        self.fields: dict[str, dict[str, str]] = {}
        self.values: dict[str, list[str]] = {}
        self.hidden: dict[str, str] = {}
        for tag in _TAGS.finditer(text):
            self._note(
                tag["name"], {name: unescape(value) for name, value in _ATTRIBUTES.findall(tag["rest"])}
            )

    def _note(self, tag: str, found: dict[str, str]) -> None:
        self.state = found.get("data-state", self.state)
        self.left_s = float(found.get("data-left", self.left_s))
        name = found.get("name", "")
        if found.get("type") == "hidden":
            self.hidden[name] = found["value"]
        elif tag in {"input", "textarea"}:
            self.fields[name] = {"type": "text", **found}
            self.values.setdefault(name, []).append(found.get("value", ""))

    def filled(self, chance: random.Random) -> dict[str, str]:
        """Fill the controls in."""
        return {name: self._value(name, control, chance) for name, control in self.fields.items()}

    def _value(self, name: str, control: Mapping[str, str], chance: random.Random) -> str:
        match control["type"]:
            case "radio" | "checkbox":
                return chance.choice(self.values[name])
            case "number":
                low = float(control.get("min", 0))
                high = float(control.get("max", low + _DEFAULT_BOUND))
                return str(chance.randint(round(low), round(high)))
            case _:
                text = " ".join(chance.choices(_WORDS, k=6))
                return text[: int(control.get("maxlength", len(text)))].strip()


class Robot:
    """One robot at one link.

    Args:
        session: Sends requests.
        link: The address.
        habits: What it does.
        account: Where it tells of it.
        questions: The questions on what the study is, whose right answers it knows.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        link: str,
        habits: Habits,
        account: Account,
        questions: tuple[Comprehension, ...] = (),
    ) -> None:
        self._session, self._link, self._habits, self._account = session, link, habits, account
        self._right = {f"choice{i}": str(each.choices.index(each.right)) for i, each in enumerate(questions)}
        parts = urlsplit(link)
        self._headers = {"Origin": f"{parts.scheme}://{parts.netloc}"}

    async def live(self) -> str:
        """Take part until it is over, or it leaves.

        Returns:
            How it ended: the last state of its page, or ``"left"``.
        """
        while True:
            page = Page(await self._get(self._link))
            stage, _, name = page.state.partition(" ")
            match stage:
                case "ended":
                    self._account.counts[f"ended: {name}"] += 1
                    return page.state
                case "consent":
                    await self._post({"do": "consent"})
                case "comprehension":
                    await self._post({"do": "comprehend", **self._right})
                case "seated" if name:
                    if not await self._answer(page, name):
                        self._account.counts["left"] += 1
                        return "left"
                case _:
                    await self._wait(page.state)

    async def _wait(self, state: str) -> None:
        await self._get(f"{self._link}/news", state=state)

    async def _answer(self, page: Page, name: str) -> bool:
        """Answer a question in the robot's way; False if it leaves instead."""
        habits, chance, counts = (
            self._habits,
            random.Random(f"{self._habits.seed} {name}"),
            self._account.counts,
        )
        fields = {**page.hidden, **page.filled(chance), "do": "answer"}
        other = {**fields, **page.filled(chance)}
        latency_s = chance.expovariate(1.0 / habits.latency_s) if habits.latency_s else 0.0
        leaves, is_late, clicks_twice, reloads, goes_back = (
            chance.random() < rate
            for rate in (habits.dropouts, habits.late, habits.double_clicks, habits.reloads, habits.backs)
        )
        counts["asked"] += 1
        if leaves:
            return False
        if is_late:
            await asyncio.sleep(page.left_s + _AFTER_THE_DEADLINE_S)
            await self._send(name, fields)
            return True
        # A robot that is slow by chance is not late by chance: who is late is known beforehand.
        await asyncio.sleep(min(latency_s, page.left_s / 2))
        if reloads:
            counts["reloads"] += 1
            await self._get(self._link)
        if clicks_twice:
            counts["double clicks"] += 1
            await asyncio.gather(self._send(name, fields), self._send(name, fields))
        else:
            await self._send(name, fields)
        if goes_back:
            counts["backs"] += 1
            await self._send(name, other)
        return True

    async def _send(self, name: str, fields: Mapping[str, str]) -> None:
        said = await self._post(fields)
        self._account.said.setdefault(name, Counter())[said] += 1

    async def _post(self, fields: Mapping[str, str]) -> str:
        async with self._reached("POST", self._link, data=fields) as reply:
            return reply.headers.get("Location", "").partition("said=")[2] or str(reply.status)

    async def _get(self, link: str, **query: str) -> str:
        async with self._reached("GET", link, params=query) as reply:
            return await reply.text()

    @asynccontextmanager
    async def _reached(self, method: str, link: str, **what: object) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; a server that is being started again is waited for."""
        import aiohttp

        reply = None
        while reply is None:
            try:
                reply = await self._session.request(
                    method,
                    link,
                    allow_redirects=False,
                    headers=self._headers,
                    **what,  # type: ignore[arg-type]
                )
                await reply.read()
            except aiohttp.ClientError:
                reply = None
                self._account.counts["reached nobody"] += 1
                await asyncio.sleep(_AGAIN_S)
        async with reply:
            yield reply


async def send_robots(
    links: Iterable[str], habits: Habits, questions: tuple[Comprehension, ...] = ()
) -> Account:
    """Send a robot to each link, and wait until all have ended or left."""
    import aiohttp

    account = Account()
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout
    ) as session:
        robots = [Robot(session, link, habits, account, questions) for link in links]
        await asyncio.gather(*(robot.live() for robot in robots))
    return account


def faults_of(account: Account, answered: Mapping[str, str | None]) -> list[str]:
    """Compare what robots were told with what stands in the log.

    Args:
        account: What they were told.
        answered: Name of each question that people were asked -> the reply in the log, None without one.

    Returns:
        What does not fit, a sentence each.
    """
    faults = []
    for name, said in sorted(account.said.items()):
        if said[THANKS] > 1:
            faults.append(f"question {name} was answered {said[THANKS]} times")
        counted = answered.get(name) is not None
        if (said[THANKS] or said[ALREADY]) and not counted:
            faults.append(f"an answer to question {name} was taken, and is not in the log")
        if counted and not (said[THANKS] or said[ALREADY]):
            faults.append(
                f"an answer to question {name} is in the log, and nobody was told that it was taken"
            )
        if said.keys() - {THANKS, ALREADY, LATE}:
            faults.append(f"an answer to question {name} was met with {', '.join(sorted(said))}")
    faults += [
        f"question {name} has an answer that no robot sent"
        for name, text in answered.items()
        if text is not None and name not in account.said
    ]
    return faults
