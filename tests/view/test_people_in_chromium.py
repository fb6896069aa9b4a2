"""The pages of people in a real Chromium."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, Field

from agentnet.backend import Request
from agentnet.people import HumanBackend, HumanOptions
from agentnet.people.options import Comprehension
from agentnet.prompts.declared import declared

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

Look = Callable[[Callable[["Browser"], Awaitable[Any]]], Any]
FaultsOf = Callable[["Page"], Awaitable[list[str]]]


class Told(BaseModel):
    """What people are asked for."""

    share: bool = Field(description="Do you pass it on?")
    stance: int = Field(ge=0, le=10)
    text: str = Field(max_length=300, description="The news in your own words")


def test_axe_finds_nothing_serious_on_the_pages_of_people_and_none_is_wider_than_the_screen(
    look: Look, faults_of: FaultsOf, tmp_path: Path
) -> None:
    (tmp_path / "events.sqlite").touch()
    assert look(lambda browser: looked_at(browser, faults_of, tmp_path)) == []


def test_what_was_filled_in_is_there_again_after_a_send_that_no_server_answered(
    look: Look, tmp_path: Path
) -> None:
    (tmp_path / "events.sqlite").touch()
    assert look(lambda browser: sent_into_the_void(browser, tmp_path)) == ["It is closed.", "3", True, ""]


class Asked(NamedTuple):
    """One person who is asked one question."""

    page: Page
    links: dict[str, str]
    answered: asyncio.Event


@asynccontextmanager
async def asked(browser: Browser, folder: Path, **options: Any) -> AsyncIterator[Asked]:
    """Ask one person one question, by a link that nobody has followed yet."""
    human = HumanBackend(HumanOptions(deadline_s=500, stays_s=20, **options))
    opened = asyncio.get_running_loop().create_future()
    human.opened = opened.set_result
    form = declared(Told)
    request = Request(
        (("user", f"The bridge is closed.\n\n{form.instruction}"),),
        schema=form.schema,
        draw=((7, 0, "exposure", 1), 3, 0, 0, 0),
    )
    answered = asyncio.Event()

    async def play() -> None:
        async with human.attend(folder, lambda _: None):
            await human.complete(request)
            answered.set()

    playing = asyncio.ensure_future(play())
    links = await opened
    page = await (await browser.new_context()).new_page()
    yield Asked(page, links, answered)
    await page.context.close()
    playing.cancel()
    with suppress(asyncio.CancelledError):
        await playing


async def looked_at(browser: Browser, faults_of: FaultsOf, folder: Path) -> list[str]:
    """Take part, and list what is wrong with each page."""
    understood = Comprehension(ask="Who takes part?", choices=["people", "all"], right="all")
    study = {"consent": "Do you agree?", "comprehension": (understood,), "codes": {"completed": "C1"}}
    found = list[str]()
    async with asked(browser, folder, **study) as (page, links, answered):

        async def look(name: str) -> None:
            found.extend(f"{name}: {fault}" for fault in await faults_of(page))

        await page.goto(links["person 1"])
        await look("consent")
        await page.locator("button[value=consent]").click()
        await page.locator("[type=radio]").first.wait_for()
        await look("comprehension")
        await page.get_by_label("all").check()
        await page.locator("button[value=comprehend]").click()
        await page.locator("input[name=question]").wait_for(state="attached")
        await look("question")
        await page.goto(links["experimenter"])
        await look("desk")
        await page.goto(links["person 1"])
        await fill_in(page)
        await page.locator("button[value=answer]").click()
        await asyncio.wait_for(answered.wait(), 20)
        await page.get_by_text("C1").wait_for()
        await page.wait_for_load_state("load")
        if not await page.evaluate("document.styleSheets[0].cssRules.length"):
            found.append("end: has no style")
        await look("end")
    return found


async def sent_into_the_void(browser: Browser, folder: Path) -> list[Any]:
    """Send while no server can be reached, come back, send again; list what was there, and then is kept."""
    async with asked(browser, folder) as (page, links, answered):
        await page.goto(links["person 1"])
        await fill_in(page)
        await page.context.set_offline(True)
        async with page.expect_event("requestfailed"):
            await page.locator("button[value=answer]").click(no_wait_after=True)
        await page.context.set_offline(False)
        await page.goto(links["person 1"])
        await page.locator("textarea").wait_for()
        found = [
            await page.locator("textarea").input_value(),
            await page.locator("input[type=number]").input_value(),
            await page.locator("[type=radio]").first.is_checked(),
        ]
        await page.locator("button[value=answer]").click()
        await asyncio.wait_for(answered.wait(), 20)
        await page.locator("textarea").wait_for(state="detached")
        await page.wait_for_load_state("load")
        return [*found, await page.evaluate("sessionStorage.getItem('filled') ?? ''")]


async def fill_in(page: Page) -> None:
    """Fill in the form of `Told`."""
    await page.locator("[type=radio]").first.check()
    await page.locator("textarea").fill("It is closed.")
    await page.locator("input[type=number]").fill("3")
