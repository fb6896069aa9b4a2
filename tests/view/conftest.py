"""One browser for all tests that look at pages, by Playwright."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from axe_core_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Request, ViewportSize, async_playwright

WIDE, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)

_OPTIONS = {"resultTypes": ["violations"]}


@asynccontextmanager
async def _browsing(program: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def look(chromium: str) -> Iterator[Callable[[Callable[[Browser], Awaitable[Any]]], Any]]:
    """Let a test do something in the browser, and give what that returns."""
    with asyncio.Runner() as runner:
        browsing = _browsing(chromium)
        browser = runner.run(browsing.__aenter__())
        yield lambda looking: runner.run(looking(browser))
        runner.run(browsing.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def open_page() -> Callable[[Browser, str, list[str]], Awaitable[Page]]:
    """Open a page; what goes wrong on it, and what it asks of other hosts, comes into a list."""

    async def open_page(browser: Browser, address: str, complaints: list[str]) -> Page:
        origin = "/".join(address.split("/")[:3])

        def asked(request: Request) -> None:
            if not request.url.startswith((origin, "data:")):
                complaints.append(f"asked: {request.url}")

        page = await (await browser.new_context(viewport=WIDE)).new_page()
        page.on("request", asked)
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
        await page.goto(address)
        return page

    return open_page


@pytest.fixture(scope="session")
def faults_of() -> Callable[[Page], Awaitable[list[str]]]:
    """List what axe finds serious on a page, by day and by night, and whether it is wider than a screen."""

    async def faults_of(page: Page) -> list[str]:
        found: list[str] = []
        for size in (WIDE, PHONE):
            await page.set_viewport_size(size)
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                where = f"{await page.title()}, {size['width']} px, {scheme}"
                found += [
                    f"{where}: {each['id']}: {each['help']}"
                    for each in (await Axe().run(page, options=_OPTIONS))["violations"]
                    if each["impact"] in {"serious", "critical"}
                ]
            if (width := await page.evaluate("document.documentElement.scrollWidth")) > size["width"]:
                found.append(f"{where}: is {width} px wide")
        await page.set_viewport_size(WIDE)
        return found

    return faults_of
