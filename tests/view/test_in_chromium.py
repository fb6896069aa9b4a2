"""The live page in a real Chromium: how soon it stands, how late it is, who can use it, and hostile texts.

``make test-view`` runs these tests and no other command does: they drive Debian's Chromium by Playwright and
take minutes. Where there is no browser they say so and are skipped.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agentnet import CascadeExperiment, Run
from agentnet.events import EventLog
from agentnet.testing import ScriptedBackend

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

if not os.environ.get("TEST_VIEW"):
    pytest.skip(
        "TEST_VIEW is not set: NO BROWSER LOOKS AT THE LIVE PAGE; see make test-view", allow_module_level=True
    )
if PROGRAM is None:
    pytest.skip(
        "NO BROWSER: the live page was not looked at; apt-get install chromium", allow_module_level=True
    )

Axe = pytest.importorskip("axe_core_python.async_playwright").Axe
async_playwright = pytest.importorskip("playwright.async_api").async_playwright

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"onload='alert(3)' ]]> --> </style>\u202e"
N_EVENTS, N_REALIZATIONS = 1_000_000, 500
OBSERVE = """
window.lags = [];
new MutationObserver((changes) => {
  for (const change of changes) for (const added of change.addedNodes) {
    const text = added.querySelector?.("td.text")?.textContent, sent = text?.match(/^sent (\\d+\\.\\d+)/);
    if (sent) window.lags.push(performance.timeOrigin + performance.now() - 1000 * Number(sent[1]));
  }
}).observe(document.querySelector('[data-is="newest"]'), { childList: true });
"""
Look = Callable[..., Awaitable[None]]


class Small(CascadeExperiment):
    n_agents = 24
    degree = 4
    steps = 5
    items_per_severity = 1
    repeats = 2


class Watching:
    """A page that is watched, with all that it asked for and complained of."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda said: self.complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))

    async def open(self) -> None:
        await self.page.goto(self.address)
        await self.page.locator('[data-is="rows"] tr').first.wait_for()

    def check(self) -> None:
        """Nothing went wrong, and no other host was asked."""
        origin = "/".join(self.address.split("/")[:3])
        assert [url for url in self.requests if not url.startswith((origin, "data:"))] == []
        assert self.complaints == []


@asynccontextmanager
async def serving(*folders: Path) -> AsyncIterator[tuple[str, int]]:
    """Serve runs by the command; gives the address and the process."""
    code = "from agentnet.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, "view", *map(str, folders), "--while-fed",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    address = (await process.stdout.readline()).decode().split()[-1]
    try:
        yield address, process.pid
    finally:
        process.stdin.close()
        assert await process.wait() == 0


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield browser
        await browser.close()


def looked_at(folders: list[Path], look: Callable[[Watching], Awaitable[None]], **how: Any) -> None:
    async def main() -> None:
        async with serving(*folders) as (address, _), browsing() as browser:
            context = await browser.new_context(**{"viewport": WIDE} | how)
            watching = Watching(await context.new_page(), address)
            await watching.open()
            await look(watching)
            watching.check()

    asyncio.run(main())


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


def test_hostile_texts_run_nothing_and_are_read_as_they_came(evil: Path) -> None:
    async def look(watching: Watching) -> None:
        page = watching.page
        await page.locator('[data-part="network"]').wait_for()
        for unfolding in await page.locator('[data-is="rows"] details summary').all():
            await unfolding.click()
        for select in await page.locator("select").all():
            for i in range(await select.locator("option").count()):
                await select.select_option(index=i)
        await page.locator('[name="search"]').fill("<script>")
        await page.locator('[data-is="rows"] tr').first.wait_for()
        await page.wait_for_timeout(500)
        assert await page.locator("main script, main img, main style, main iframe").count() == 0
        text = await page.locator("body").inner_text()
        assert EVIL.replace("\u202e", "[U+202E]") in text

    looked_at([evil], look)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_axe_finds_nothing_serious_and_nothing_leaves_the_screen(
    evil: Path, size: dict[str, int], scheme: str
) -> None:
    async def look(watching: Watching) -> None:
        page = watching.page
        await page.locator('[data-part="network"]').wait_for()
        await page.locator('[data-is="rows"] details summary').first.click()
        await page.wait_for_timeout(500)
        found = await Axe().run(page)
        assert [
            f"{each['id']}: {each['help']}"
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
        ] == []
        assert await page.evaluate("document.documentElement.scrollWidth") == size["width"]

    looked_at([evil], look, viewport=size, color_scheme=scheme)


def test_everything_is_done_by_keyboard(evil: Path) -> None:
    async def look(watching: Watching) -> None:
        page = watching.page
        await page.locator('[data-part="network"]').wait_for()

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

    looked_at([evil], look)


def test_what_is_printed_has_no_controls(evil: Path) -> None:
    async def look(watching: Watching) -> None:
        await watching.page.emulate_media(media="print")
        for selector in ("form", "button", ".skip"):
            for each in await watching.page.locator(selector).all():
                assert not await each.is_visible(), selector

    looked_at([evil], look)


MILLION = """
CREATE TEMP TABLE one AS SELECT prompt, temperature, reply FROM events LIMIT 1;
CREATE TEMP TABLE many AS
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 499) SELECT i FROM n;
CREATE TEMP TABLE r AS SELECT * FROM realizations WHERE realization = 0;
CREATE TEMP TABLE s AS SELECT * FROM steps WHERE realization = 0;
CREATE TEMP TABLE a AS SELECT * FROM agents WHERE realization = 0;
DELETE FROM realizations; DELETE FROM events; DELETE FROM steps; DELETE FROM agents;
INSERT INTO realizations
    SELECT i, condition, news, i, network, seed, status, initial_agent, last_step, started_at, finished_at
    FROM r, many;
INSERT INTO steps SELECT i, step, n_exposed, n_asked, n_decisions, n_yes, 0, n_engaged FROM many, s;
INSERT INTO agents SELECT i, agent, profile, engaged_step, attributes, persona, voice FROM many, a;
INSERT INTO events
    SELECT r.i, 'exposure', 1 + e.i / 100, e.i % 100, f.i, 0, prompt, temperature, e.i % 2, NULL, reply, 10,
    1, 1, 1, 0, 0.5, 1e9 + r.i, NULL, NULL, NULL FROM many r, many e, many f, one WHERE f.i < 4;
UPDATE meta SET value = '501' WHERE key = 'n_realizations';
DELETE FROM meta WHERE key IN ('digest', 'checksums');
UPDATE meta SET value = '"running"' WHERE key = 'status';
"""


@pytest.fixture(scope="module")
def large(play: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A million events in 500 realizations that ended, beside which one more can be played."""
    run = play(Small(), seed=1)
    folder = tmp_path_factory.mktemp("large") / "run"
    shutil.copytree(run.folder, folder)
    with closing(sqlite3.connect(folder / run.path.name)) as connection:
        connection.executescript(MILLION)
        assert connection.execute("SELECT COUNT(*) FROM events").fetchone() == (N_EVENTS,)
        connection.execute("PRAGMA journal_mode = WAL")
    return folder


def test_a_run_of_a_million_events_is_painted_within_a_second_by_a_small_server(large: Path) -> None:
    async def main() -> None:
        async with serving(large) as (address, pid), browsing() as browser:
            times = []
            for _ in range(5):
                page = await (await browser.new_context(viewport=WIDE)).new_page()
                watching = Watching(page, address)
                await watching.open()
                text = page.locator('[data-is="status"]')
                assert await text.inner_text() != ""
                paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
                times.append(await page.evaluate(paint))
                await page.context.close()
                watching.check()
            page = await (await browser.new_context(viewport=WIDE)).new_page()
            await page.goto(address)
            await page.get_by_text(f"{N_EVENTS:,}").first.wait_for(timeout=60_000)
            n_mb = _resident_mb(pid)
            print(f"\nfirst paint, ms: {[round(each) for each in times]}; the server has {n_mb:.0f} MB")
            assert max(times) < 1_000
            assert n_mb < 100

    asyncio.run(main())


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def test_what_is_committed_stands_on_five_pages_within_150_ms(large: Path) -> None:
    async def main() -> list[float]:
        async with AsyncExitStack() as stack:
            address, _ = await stack.enter_async_context(serving(large))
            browser = await stack.enter_async_context(browsing())
            pages = [await (await browser.new_context(viewport=WIDE)).new_page() for _ in range(5)]
            for page in pages:
                await page.goto(address)
                await page.get_by_text(f"{N_EVENTS:,}").first.wait_for(timeout=60_000)
                await page.evaluate(OBSERVE)
            await _write(large, n=400)
            await asyncio.sleep(1.0)
            return [lag for page in pages for lag in await page.evaluate("window.lags")]

    lags = asyncio.run(main())
    median, last = np.quantile(lags, [0.5, 0.99])
    print(f"\nlag of {len(lags)}: median {median:.0f} ms, 99th percentile {last:.0f} ms")
    assert len(lags) == 5 * 400
    assert last <= 150.0


async def _write(folder: Path, n: int) -> None:
    """Play a realization: decisions that say when they were committed, 20 a second."""
    async with EventLog(folder) as log:
        log.add(
            "realizations", [(N_REALIZATIONS, "{}", 0, 0, None, 1, "running", None, None, time.time(), None)]
        )
        for i in range(n):
            await asyncio.sleep(0.05)
            now = time.time()
            reply = log.reply_number("Yes", f"sent {now:.4f}", "model-1", None)
            place = (N_REALIZATIONS, "exposure", 1 + i // 50, i, 0, 0, 0)
            log.add_event((*place, 0.7, 1, reply, 5, 1, 1, 1, 0, 0.1, now), "usual events")
            await log.flush()
