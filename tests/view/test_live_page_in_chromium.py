"""The live page in a real Chromium: who can use it, and hostile texts.

How soon it stands and how late it is: see `test_live_page_in_time`.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentnet import CascadeExperiment, Run
from agentnet.cli.look import cost
from agentnet.testing import ScriptedBackend
from agentnet.view.watch import Watch

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"onload='alert(3)' ]]> --> </style>\u202e"
Look = Callable[[Callable[["Browser"], Awaitable[Any]]], Any]
OpenPage = Callable[["Browser", str, list[str]], Awaitable["Page"]]
Watching = Callable[[Callable[["Page"], Awaitable[None]]], None]


class Small(CascadeExperiment):
    n_agents = 24
    degree = 4
    steps = 5
    items_per_severity = 1
    repeats = 2


@pytest.fixture(scope="module")
def evil(play: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cascades whose every text is hostile: of models, files and designs, and the folder's name."""
    answers = cycle(f"{word} {EVIL}" for word in ("Yes", "No", "Perhaps", "Yes"))
    run = play(Small(), backend=ScriptedBackend(lambda _: next(answers)), max_asks=1, brake_after=10_000)
    folder = tmp_path_factory.mktemp("evil") / EVIL.replace("/", "")
    shutil.copytree(run.folder, folder)
    with closing(sqlite3.connect(folder / run.path.name)) as connection:
        connection.execute("UPDATE replies SET rationale = ?, model = ?", (EVIL, EVIL))
        connection.execute("UPDATE news SET id = ? || news", (EVIL,))
        connection.execute("UPDATE troubles SET trouble_kind = ?, detail = ?", (EVIL, EVIL))
        connection.execute("UPDATE agents SET persona = ? || agent % 2, voice = ? || agent % 3", (EVIL, EVIL))
        connection.execute("UPDATE agents SET attributes = json_object(?, ?)", (EVIL, EVIL))
        connection.execute("UPDATE realizations SET status = ? WHERE realization = 0", (EVIL,))
        connection.execute(
            "INSERT INTO incidents VALUES (NULL, ?, json_object(?, ?), 1.0)", (EVIL, EVIL, EVIL)
        )
        connection.execute("INSERT INTO measures SELECT realization, step, ?, 0, 1.0 FROM steps", (EVIL,))
        connection.execute(
            "UPDATE meta SET value = json_quote(?) WHERE key IN ('model_name', 'label')", (EVIL,)
        )
        connection.commit()
    return folder


@pytest.fixture
def watched(look: Look, open_page: OpenPage, evil: Path) -> Watching:
    """Look at the page of hostile cascades; nothing goes wrong on it, and no other host is asked."""

    def watched(do: Callable[[Page], Awaitable[None]]) -> None:
        complaints: list[str] = []

        async def looking(browser: Browser) -> None:
            async with Watch([evil], lambda *_: EVIL, cost, complaints.append).serving() as address:
                page = await open_page(browser, address, complaints)
                await page.locator('[data-is="rows"] tr').first.wait_for()
                await page.locator('[data-part="network"]').wait_for()
                await do(page)
                assert complaints == []
                await page.context.close()

        look(looking)

    return watched


def test_hostile_texts_run_nothing_and_are_read_as_they_came(watched: Watching) -> None:
    async def do(page: Page) -> None:
        rows = page.locator('[data-is="rows"]')
        n = await rows.locator("details").count()
        assert n > 10
        await rows.evaluate("rows => rows.querySelectorAll('summary').forEach(each => each.click())")
        await rows.locator("details .note").nth(n - 1).wait_for()
        for select in await page.locator("select").all():
            for i in range(await select.locator("option").count()):
                await select.select_option(index=i)
        assert await page.locator("main script, main img, main style, main iframe").count() == 0
        await page.locator('[name="search"]').fill("<script>")
        await page.get_by_text("in the log so far").or_(page.get_by_text("in the order")).first.wait_for()
        await rows.locator("tr").first.wait_for()
        assert await page.locator("main script, main img, main style, main iframe").count() == 0
        assert EVIL.replace("\u202e", "[U+202E]") in await page.locator("body").inner_text()

    watched(do)


def test_axe_finds_nothing_serious_and_nothing_leaves_the_screen(
    watched: Watching, faults_of: Callable[[Page], Awaitable[list[str]]]
) -> None:
    async def do(page: Page) -> None:
        await page.locator('[data-is="rows"] details summary').first.click()
        await page.locator('[data-is="rows"] details[open] .note').first.wait_for()
        assert await faults_of(page) == []

    watched(do)


def test_everything_is_done_by_keyboard(watched: Watching) -> None:
    async def do(page: Page) -> None:
        async def tab_to(selector: str) -> None:
            for _ in range(80):
                await page.keyboard.press("Tab")
                if await page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                    return
            raise AssertionError(f"no way by keyboard to {selector}")

        await tab_to(".skip")
        await tab_to('[data-part="network"] [type="range"]')
        await page.keyboard.press("Home")
        assert (await page.locator('[data-part="network"] output').inner_text()).startswith("step 0 of")
        await tab_to('[name="search"]')
        await page.keyboard.type("nowhere to be found")
        await page.get_by_text("0 found in the log so far").wait_for()
        await page.keyboard.press("Control+A")
        await page.keyboard.press("Delete")
        await page.locator('[data-is="rows"] tr').first.wait_for()
        await tab_to('[data-is="rows"] summary')
        await page.keyboard.press("Enter")
        await page.locator('[data-is="rows"] details[open] pre').first.wait_for()
        await tab_to('[data-is="more"]')
        before = await page.locator('[data-is="rows"] tr').count()
        await page.keyboard.press("Enter")
        await page.locator('[data-is="rows"] tr').nth(before).wait_for()

    watched(do)


def test_what_is_printed_has_no_controls(watched: Watching) -> None:
    async def do(page: Page) -> None:
        await page.emulate_media(media="print")
        for selector in ("form", "button", ".skip"):
            assert await page.locator(selector).count()
            for each in await page.locator(selector).all():
                assert not await each.is_visible(), selector

    watched(do)
