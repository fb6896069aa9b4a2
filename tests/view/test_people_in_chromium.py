"""The pages of people in a real Chromium, by axe-core.

``make test-view`` runs this test and no other command does; see `test_in_chromium`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from agentnet.backend import Request
from agentnet.people import HumanBackend, HumanOptions
from agentnet.people.options import Comprehension
from agentnet.prompts.declared import declared

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

if not os.environ.get("TEST_VIEW"):
    pytest.skip(
        "TEST_VIEW is not set: AXE DOES NOT LOOK AT PEOPLE'S PAGES; see make test-view",
        allow_module_level=True,
    )
if PROGRAM is None:
    pytest.skip(
        "NO BROWSER: people's pages were not looked at; apt-get install chromium", allow_module_level=True
    )

Axe = pytest.importorskip("axe_core_python.async_playwright").Axe
async_playwright = pytest.importorskip("playwright.async_api").async_playwright

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


class Told(BaseModel):
    """What people are asked for."""

    share: bool = Field(description="Do you pass it on?")
    stance: int = Field(ge=0, le=10)
    text: str = Field(max_length=300, description="The news in your own words")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_axe_finds_nothing_serious_on_the_pages_of_people(
    tmp_path: Path, size: dict[str, int], scheme: str
) -> None:
    (tmp_path / "events.sqlite").touch()
    assert asyncio.run(looked_at(tmp_path, size, scheme)) == []


async def looked_at(folder: Path, size: dict[str, int], scheme: str) -> list[str]:
    """Take part, and list what axe finds serious on each page, and which pages are wider than the screen."""
    understood = Comprehension(ask="Who takes part?", choices=["people", "all"], right="all")
    human = HumanBackend(
        HumanOptions(
            consent="Do you agree?",
            comprehension=(understood,),
            codes={"completed": "C1"},
            deadline_s=500,
            stays_s=20,
        )
    )
    opened = asyncio.get_running_loop().create_future()
    human.opened = opened.set_result
    form, found = declared(Told), list[str]()
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
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        # The page's own rules let no script of another in; axe is put in past them.
        context = await browser.new_context(viewport=size, color_scheme=scheme, bypass_csp=True)
        page = await context.new_page()

        async def look(name: str) -> None:
            for each in (await Axe().run(page))["violations"]:
                if each["impact"] in {"serious", "critical"}:
                    found.append(f"{name}: {each['id']}: {each['help']}")
            if await page.evaluate("document.documentElement.scrollWidth") > size["width"]:
                found.append(f"{name}: is wider than the screen")

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
        await page.locator("[type=radio]").first.check()
        await page.locator("textarea").fill("It is closed.")
        for number in await page.locator("input[type=number]").all():
            await number.fill("3")
        await page.locator("button[value=answer]").click()
        await asyncio.wait_for(answered.wait(), 20)
        await page.get_by_text("C1").wait_for()
        await look("end")
        await browser.close()
    playing.cancel()
    with suppress(asyncio.CancelledError):
        await playing
    return found
