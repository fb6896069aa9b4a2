"""The page as a browser shows it: it makes no request, its first screen says what was found, it can be used.

Asks Chromium over its DevTools protocol, by a pipe. Where there is none, these tests are skipped, and say so.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from agentnet import CascadeExperiment
from agentnet.backend import Reply, Request, make_backend
from agentnet.events import Run
from agentnet.people import HumanBackend, HumanOptions
from agentnet.prompts.declared import declared
from agentnet.report import Options, make_report
from agentnet.report.drawings import Drawing, write_page
from agentnet.report.player import read_player
from agentnet.report.sections import contents_of

WIDE, PHONE = (1280, 800), (390, 844)
FIGURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="605pt" height="288pt" viewBox="0 0 605 288" role="img" '
    'aria-labelledby="{0}-title"><title id="{0}-title">{0}</title><path d="M0 0L605 288" stroke="red" />'
    "</svg>"
)


@dataclass
class Browser:
    """A page in headless Chromium.

    Attributes:
        to_it: Where commands are written to.
        from_it: Where answers and events come from.
        events: Those that came so far.
        session: Name of the tab, once there is one.
    """

    to_it: int
    from_it: int
    events: list[dict[str, Any]] = field(default_factory=list)
    session: dict[str, str] = field(default_factory=dict)
    _n: int = 0
    _held: bytes = b""

    def call(self, method: str, **params: object) -> dict[str, Any]:
        found = self.told(method, **params)
        assert "error" not in found, found
        answer: dict[str, Any] = found["result"]
        return answer

    def told(self, method: str, **params: object) -> dict[str, Any]:
        """Call, and give what is said to it, be it an error."""
        self._n += 1
        sent = {"id": self._n, "method": method, "params": params, **self.session}
        os.write(self.to_it, json.dumps(sent).encode() + b"\0")
        while (found := self._next()).get("id") != self._n:
            self.events.append(found)
        return found

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            part = os.read(self.from_it, 1 << 20)
            assert part, "the browser has ended"
            self._held += part
        message, _, self._held = self._held.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def open(
        self, page: Path | str, size: tuple[int, int] = WIDE, *, scripts: bool = True, dark: bool = False
    ) -> None:
        """Load a page and wait until it has loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0], height=size[1], deviceScaleFactor=1, mobile=size[0] < 500,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        for url in ("about:blank", page if isinstance(page, str) else page.as_uri()):
            self.events.clear()
            self.call("Page.navigate", url=url)
            while "Page.loadEventFired" not in self.methods():
                self.events.append(self._next())
        # Without scripts of its own the page can still be asked.
        self.call("Emulation.setScriptExecutionDisabled", value=False)

    def until(self, expression: str) -> None:
        """Wait until an expression is true in the page, or in the one that it leads to."""
        for _ in range(300):
            # A page that leads to another meanwhile says no more than that it is left.
            found = self.told("Runtime.evaluate", expression=expression, returnByValue=True)
            if found.get("result", {}).get("result", {}).get("value") is True:
                return
            self.told("Runtime.evaluate", expression=_A_WHILE, awaitPromise=True)
        raise AssertionError(f"never true: {expression}")

    def methods(self) -> list[str]:
        return [each.get("method", "") for each in self.events]

    def ask(self, expression: str) -> Any:
        """Evaluate an expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **KEYS[key])


_A_WHILE = "new Promise(done => setTimeout(done, 100))"

KEYS: dict[str, dict[str, Any]] = {
    " ": {"windowsVirtualKeyCode": 32, "text": " "},
    "Tab": {"windowsVirtualKeyCode": 9},
    "Home": {"windowsVirtualKeyCode": 36},
    "ArrowRight": {"windowsVirtualKeyCode": 39},
    "Enter": {"windowsVirtualKeyCode": 13, "text": "\r"},
}


@pytest.fixture(scope="module")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start Chromium; it reads commands from file 3 and writes answers to file 4."""
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    options = [
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"),
        f"--user-data-dir={tmp_path_factory.mktemp('browser')}",
    ]
    shell = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$0" "$@"'
    command = ["bash", "-c", shell, chromium, *options, "about:blank"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stdout=quiet, stderr=quiet) as process:
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            found = Browser(ours_out, ours_in)
            tab = found.call("Target.createTarget", url="about:blank")["targetId"]
            attached = found.call("Target.attachToTarget", targetId=tab, flatten=True)
            found.session = {"sessionId": attached["sessionId"]}
            for domain in ("Page", "Network", "Log", "Runtime"):
                found.call(f"{domain}.enable")
            yield found
            found.call("Browser.close")
        finally:
            process.terminate()
            os.close(ours_in)
            os.close(ours_out)


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    """Four cascades, which do not all last as long."""
    design: dict[str, Any] = {"n_agents": 32, "degree": 4, "steps": 14, "repeats": 2, "items_per_severity": 1}
    return play(CascadeExperiment(**design), backend=make_backend("mock", {}), seed=2)


@pytest.fixture(scope="module")
def page(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report whose figures are lines, for drawing takes long."""
    options = Options(
        n_runs=2, n_bootstrap=0, laws=("main_effects", "one_rate"), figures=False, n_decisions=60
    )
    report = make_report([run], options)
    names = ("observed_cascades", "other", "figure07_engagement_probability", "laws_ranked")
    drawn = tuple(
        Drawing(name, "", name, "A caption.", "In words.", FIGURE.format(name), None, None) for name in names
    )
    report = type(report)(report.parts, (drawn,), report.options)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(write_page(report, contents_of(report), made_at=1.8e9), "utf-8")
    return path


@pytest.mark.parametrize("scripts", [True, False])
def test_the_page_asks_nobody_for_anything_and_nothing_in_it_fails(
    browser: Browser, page: Path, *, scripts: bool
) -> None:
    browser.open(page, scripts=scripts)
    asked = [
        each["params"]["request"]["url"]
        for each in browser.events
        if each.get("method") == "Network.requestWillBeSent"
    ]
    assert asked == [page.as_uri()]
    assert not {"Runtime.exceptionThrown", "Log.entryAdded"} & set(browser.methods())


def test_the_first_screen_says_what_was_found_in_sentences_and_figures(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.ask("document.querySelector('#found').getBoundingClientRect().bottom") <= WIDE[1]
    assert 1 <= browser.ask("document.querySelectorAll('#found li').length") <= 5
    sizes = browser.ask(
        "[...document.querySelectorAll('#found use')].map(e => e.getBoundingClientRect().width)"
    )
    assert len(sizes) == 3
    assert min(sizes) > 200
    names = browser.ask("[...document.querySelectorAll('#found a')].map(e => e.textContent.trim())")
    assert names == ["observed_cascades", "figure07_engagement_probability", "laws_ranked"]


@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_the_page_is_short_as_it_opens_and_never_wider_than_the_screen(
    browser: Browser, page: Path, size: tuple[int, int]
) -> None:
    browser.open(page, size)
    assert browser.ask("document.documentElement.scrollHeight") <= 15 * size[1]
    browser.ask("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert browser.ask("document.documentElement.scrollWidth") <= size[0]


def test_figures_are_as_large_on_a_phone_as_it_takes_to_read_them(browser: Browser, page: Path) -> None:
    browser.open(page, PHONE)
    widths = browser.ask("[...document.querySelectorAll('figure svg')].map(e => e.clientWidth)")
    assert min(widths) >= 560


def test_contents_stay_in_sight_and_lead_to_what_is_folded(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert not browser.ask("document.querySelector('#cascades-laws').checkVisibility()")
    browser.ask("document.querySelector('nav a[href=\"#cascades-laws\"]').focus()")
    browser.press("Enter")
    seen = "new Promise(done => setTimeout(() => requestAnimationFrame(() => done(%s))))"
    assert browser.ask(seen % "document.querySelector('#cascades-laws').checkVisibility()")
    assert 0 <= browser.ask("document.querySelector('#cascades-laws').getBoundingClientRect().top") < WIDE[1]
    assert browser.ask("document.querySelector('nav').getBoundingClientRect().top") == 0


def test_decisions_are_found_by_words_of_their_prompts(browser: Browser, page: Path) -> None:
    browser.open(page)
    rows = "[...document.querySelectorAll('#cascades-browsed tbody tr')]"
    prompts = browser.ask(f"{rows}.map(e => e.querySelector('.asked').textContent.toLowerCase())")
    assert len(prompts) == 60
    wanted = "reserved"
    assert 0 < sum(wanted in each for each in prompts) < 60
    browser.ask("document.querySelector('#cascades-decisions').closest('details').open = true")
    browser.ask("document.querySelector('[data-search=\"cascades-browsed\"]').focus()")
    browser.call("Input.insertText", text=wanted.upper())
    shown = browser.ask(f"{rows}.map(e => e.checkVisibility())")
    whole = browser.ask(f"{rows}.map(e => e.textContent.toLowerCase())")
    assert shown == [wanted in each for each in whole]
    said = browser.ask("document.querySelector('[data-found=\"cascades-browsed\"]').textContent")
    assert said == f"{sum(shown)} of 60 rows"


def test_the_steps_are_played_by_keys_alone(browser: Browser, page: Path, run: Run) -> None:
    browser.open(page)
    player = read_player(run)
    said = "document.querySelector('[data-player] output').textContent"
    counts = player.shown[player.first].n_engaged
    assert browser.ask(said).startswith(
        f"step {len(counts) - 1} of {len(counts) - 1}: {counts[-1]} of 32 agents"
    )
    browser.ask("document.querySelector('[data-player] input').focus()")
    browser.press("Home")
    assert browser.ask(said).startswith(f"step 0 of {len(counts) - 1}: 1 of 32 agents engaged (3.1%)")
    assert browser.ask("document.querySelector('canvas').checkVisibility()")
    assert not browser.ask("document.querySelector('svg.network')")
    drawn = "document.querySelector('canvas').toDataURL()"
    before = browser.ask(drawn)
    browser.press("ArrowRight")
    assert browser.ask(said).startswith(f"step 1 of {len(counts) - 1}: {counts[1]} of 32 agents engaged")
    assert browser.ask(drawn) != before
    browser.ask("document.querySelector('[data-player] button').focus()")
    browser.press("Enter")
    assert "Pause" in browser.ask("document.querySelector('[data-player] button').textContent")
    browser.press("Enter")
    assert "Play" in browser.ask("document.querySelector('[data-player] button').textContent")


def test_another_realization_can_be_chosen(browser: Browser, page: Path, run: Run) -> None:
    browser.open(page)
    shown = read_player(run).shown
    assert len({len(each.n_engaged) for each in shown}) > 1
    for place, each in enumerate(shown):
        browser.ask(
            f"(() => {{ const at = document.querySelector('[data-player] select'); at.value = {place};"
            "at.dispatchEvent(new Event('change')); })()"
        )
        last = len(each.n_engaged) - 1
        said = browser.ask("document.querySelector('output').textContent")
        assert said.startswith(f"step {last} of {last}: {each.n_engaged[-1]} of 32")


def test_everything_that_is_used_by_hand_has_a_name(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.call("Accessibility.enable")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "slider", "combobox", "searchbox", "radio", "link", "region", "navigation", "img"}
    used = [each for each in nodes if not each["ignored"] and each["role"]["value"].lower() in roles]
    assert {"slider", "combobox", "navigation", "link"} <= {each["role"]["value"].lower() for each in used}
    assert [each["role"]["value"] for each in used if not each.get("name", {}).get("value")] == []


def test_without_a_script_the_picture_stands_and_nothing_that_would_do_nothing(
    browser: Browser, page: Path
) -> None:
    browser.open(page, scripts=False)
    browser.ask("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert browser.ask("document.querySelector('svg.network').checkVisibility()")
    used = "[...document.querySelectorAll('[type=search], [type=range], select, button')]"
    assert browser.ask(f"{used}.some(each => each.checkVisibility())") is False
    assert browser.ask("document.querySelector('canvas').checkVisibility()") is False


def test_in_the_dark_the_page_is_dark(browser: Browser, page: Path) -> None:
    lightness = "getComputedStyle(document.body).%s.match(/\\d+/g).map(Number)[0]"
    for dark in (False, True):
        browser.open(page, dark=dark)
        assert (browser.ask(lightness % "backgroundColor") < 64) == dark
        assert (browser.ask(lightness % "color") > 192) == dark


EVIL = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script>"


class Told(BaseModel):
    """What people are asked for."""

    share: bool
    text: str = Field(max_length=300, description=EVIL)


@contextmanager
def asked(folder: Path) -> Iterator[tuple[str, Future[Reply]]]:
    """Ask somebody, on pages that another thread serves; give the link, and the answer."""
    link: Future[str] = Future()
    reply: Future[Reply] = Future()
    left = threading.Event()
    human = HumanBackend(HumanOptions(consent=EVIL, deadline_s=500, stays_s=0))
    human.opened = lambda links: link.set_result(links["person 1"])
    form = declared(Told)
    messages = (("user", f"{EVIL}\n\n{form.instruction}"),)
    request = Request(messages, schema=form.schema, draw=((7, 0, "exposure", 1), 3, 0, 0, 0))

    async def play() -> None:
        async with human.attend(folder, lambda _: None):
            reply.set_result(await human.complete(request))
            await asyncio.to_thread(left.wait)
            raise asyncio.CancelledError

    with ThreadPoolExecutor(1) as thread:
        playing = thread.submit(lambda: asyncio.run(play()))
        try:
            yield link.result(60), reply
        finally:
            left.set()
            with suppress(CancelledError, asyncio.CancelledError):
                playing.result(60)


def test_a_person_takes_part_by_keyboard_on_a_phone_and_hostile_texts_do_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "events.sqlite").touch()
    with asked(tmp_path) as (link, reply):
        browser.open(link, PHONE, dark=True)
        browser.ask("document.querySelector('button[value=consent]').focus()")
        browser.press("Enter")
        # Nobody touches the page: its script sees that there is a question.
        browser.until("!!document.querySelector('input[name=question]')")
        assert browser.ask("document.documentElement.scrollWidth") == PHONE[0]
        assert browser.ask(
            "[...document.querySelectorAll('textarea, [type=radio]')].every(e => e.labels.length)"
        )
        browser.ask("document.querySelector('[type=radio]').focus()")
        browser.press(" ")
        browser.press("Tab")
        browser.call("Input.insertText", text=EVIL)
        browser.press("Tab")
        browser.press("Enter")
        browser.until(
            "(document.querySelector('.said') || {}).textContent == 'Thank you. Your answer was recorded.'"
        )
        assert json.loads(reply.result(60).texts[0]) == {"share": True, "text": EVIL}
        assert browser.ask("document.title") == "A study"
        assert not {"Runtime.exceptionThrown", "Log.entryAdded"} & set(browser.methods())
