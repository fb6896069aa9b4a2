"""The live page in a real Chromium: how soon it stands, and how late it is.

``make test-view`` runs these tests and no other command does: they assert wall time, and take minutes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agentnet import CascadeExperiment, Run
from agentnet.events import EventLog

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.skipif(
    not os.environ.get("TEST_VIEW"), reason="TEST_VIEW is not set: nothing is timed; see make test-view"
)

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
Look = Callable[[Callable[["Browser"], Awaitable[Any]]], Any]
OpenPage = Callable[["Browser", str, list[str]], Awaitable["Page"]]


class Small(CascadeExperiment):
    n_agents = 24
    degree = 4
    steps = 5
    items_per_severity = 1
    repeats = 2


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


def test_a_run_of_a_million_events_is_painted_within_a_second_by_a_small_server(
    look: Look, open_page: OpenPage, large: Path
) -> None:
    async def main(browser: Browser) -> None:
        async with serving(large) as (address, pid):
            times, complaints = [], list[str]()
            for _ in range(5):
                page = await open_page(browser, address, complaints)
                await page.locator('[data-is="rows"] tr').first.wait_for()
                assert await page.locator('[data-is="status"]').inner_text() != ""
                paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
                times.append(await page.evaluate(paint))
                await page.context.close()
            page = await open_page(browser, address, complaints)
            await page.get_by_text(f"{N_EVENTS:,}").first.wait_for(timeout=60_000)
            n_mb = _resident_mb(pid)
            print(f"\nfirst paint, ms: {[round(each) for each in times]}; the server has {n_mb:.0f} MB")
            await page.context.close()
        assert complaints == []
        assert max(times) < 1_000
        assert n_mb < 100

    look(main)


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def test_what_is_committed_stands_on_five_pages_within_150_ms(
    look: Look, open_page: OpenPage, large: Path
) -> None:
    async def main(browser: Browser) -> list[float]:
        async with serving(large) as (address, _):
            pages = [await open_page(browser, address, []) for _ in range(5)]
            for page in pages:
                await page.get_by_text(f"{N_EVENTS:,}").first.wait_for(timeout=60_000)
                await page.evaluate(OBSERVE)
            await _write(large, n=400)
            await asyncio.sleep(1.0)
            found = [lag for page in pages for lag in await page.evaluate("window.lags")]
            for page in pages:
                await page.context.close()
            return found

    lags = look(main)
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
