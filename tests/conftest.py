"""Fixtures that several test files share."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import numpy as np
import pytest

from agentnet.backend import Backend, make_backend
from agentnet.cli import main
from agentnet.config import EngineSettings, LogSettings, SamplerSettings, Settings, StackSettings
from agentnet.errors import InternalError, StorageError, UserError
from agentnet.events import EventLog, Run, create_log
from agentnet.experiment import Experiment, Source
from agentnet.runner import Prepared, Runner, assemble, create

# Where it is, and large enough, tests write to memory: on a disk each log that is made waits for it 40 ms.
MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 2**31

EXPERIMENTS = Path(__file__).parent.parent / "experiments"

# A deadline is an assertion on wall time.
hypothesis.settings.register_profile("agentnet", deadline=None)
hypothesis.settings.load_profile("agentnet")

_LOST = pytest.StashKey[list[str]]()
NO_BROWSER = "NO BROWSER"


def pytest_configure() -> None:
    """Heed hang-ups and Ctrl-C, whatever started the tests, as the programs that they start then do.

    And write to memory, unless the variable says where to.
    """
    for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate of this machine's own, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate")
    path, key = tmp_path_factory.mktemp("tls") / "certificate.pem", "ec -pkeyopt ec_paramgen_curve:prime256v1"
    names = "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost"
    command = f"openssl req -x509 -nodes -subj /CN=me -newkey {key} -addext {names} -keyout {path}"
    made = subprocess.run(command.split(), check=True, capture_output=True, text=True)
    path.write_text(path.read_text() + made.stdout)
    return path


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Name the worker whose coverage is lost: the others' percentage would say that tests are missing."""
    coverage = node.config.pluginmanager.getplugin("_cov")
    if coverage is not None and "cov_worker_node_id" not in getattr(node, "workeroutput", {}):
        node.config.stash.setdefault(_LOST, []).append(node.gateway.id)
        coverage.options.cov_fail_under = None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let nothing pass of which it is unknown how much was tested."""
    if _LOST in session.config.stash:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which workers' coverage is lost, and that no page was looked at."""
    skipped = terminalreporter.stats.get("skipped", ())
    if n := sum(NO_BROWSER in str(each.longrepr) for each in skipped):
        terminalreporter.write_line(
            f"{NO_BROWSER}: {n} tests of pages were skipped, so that nobody knows whether they can be used; "
            "apt-get install chromium, or: playwright install chromium",
            yellow=True,
        )
    for worker in config.stash.get(_LOST, []):
        terminalreporter.write_line(
            f"ERROR: worker {worker} ended without handing over its coverage, so how much the tests cover is "
            "unknown; see above why it went down, and run them again",
            red=True,
        )


@pytest.fixture(scope="session")
def chromium() -> str:
    """Find a Chromium: this machine's, or the one that Playwright downloads."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        with sync_playwright() as playwright:
            found = playwright.chromium.executable_path
    if not Path(found).is_file():
        pytest.skip(NO_BROWSER)
    return found


SMALL = """
from agentnet import CascadeExperiment

class Small(CascadeExperiment):
    n_agents = 32
    degree = 3
    steps = 6
    repeats = 2
    items_per_severity = 1
"""


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``agentnet ARGUMENTS`` in this process, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith("AGENTNET_")]:
        monkeypatch.delenv(name)

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["agentnet", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        code = stopped.value.code
        return Outcome(code if isinstance(code, int) else 1, *capsys.readouterr())

    return call


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Write a small experiment file: 4 realizations of 32 agents."""
    path = tmp_path / "small.py"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="session")
def wait_for_events() -> Callable[[Path, subprocess.Popen[Any]], None]:
    """Wait until the run of a process has recorded some decisions; asking all the time would slow it down."""

    def wait_for_events(folder: Path, process: subprocess.Popen[Any]) -> None:
        n_events = 0
        while n_events <= 5:
            with suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"the run ended with {process.wait(0.05)} before it could be stopped")
            # Before the log is there, and while it is made, it cannot be read.
            with suppress(UserError, InternalError, StorageError):
                ((n_events,),) = Run(folder).rows("SELECT COUNT(*) FROM events")[1]

    return wait_for_events


@pytest.fixture(scope="session")
def new_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Prepared]:
    """Make the run folder of an experiment, ready to be played; experiments may hold objects.

    Several experiments are played as the conditions of one run.
    """

    def new_run(
        *experiments: Experiment,
        seed: int = 0,
        log: dict[str, Any] | None = None,
        stack: dict[str, Any] | None = None,
        sampler: dict[str, Any] | None = None,
        **engine: Any,
    ) -> Prepared:
        folder = tmp_path_factory.mktemp("played") / "run"
        settings = Settings(
            seed=seed,
            runs=folder.parent,
            # One double's answers are not another's of that name: no cache unless a test wants it.
            stack=StackSettings(**{"cache": False} | (stack or {})),
            engine=EngineSettings(**engine),
            sampler=SamplerSettings(**(sampler or {})),
            log=LogSettings(parquet=False, **(log or {})),
        )
        prepared = assemble(experiments, settings, folder)
        create(prepared, Source(Path("made_by_a_test.py"), ""), backend="test", model_name="test-1")
        return prepared

    return new_run


@pytest.fixture(scope="session")
def play(new_run: Callable[..., Prepared]) -> Callable[..., Run]:
    """Play an experiment to its end, by default on the mock's default law; see `new_run`."""

    def play(*experiments: Experiment, backend: Backend | None = None, **how: Any) -> Run:
        prepared = new_run(*experiments, **how)
        asyncio.run(Runner(prepared, backend or make_backend("mock", {})).play())
        return Run(prepared.folder)

    return play


_EVENT = {
    "realization": 0,
    "kind": "exposure",
    "step": 1,
    "agent": 0,
    "source": 1,
    "repeat": 0,
    "prompt": 0,
    "temperature": 1.0,
    "decision": 1,
    "missing": None,
    "reply": None,
    "prompt_tokens": 10,
    "completion_tokens": 2,
    "asks": 1,
    "attempts": 1,
    "cached": False,
    "latency_s": 0.5,
    "at": 1.7e9,
    "context": None,
    "mass": None,
    "value": None,
}


@pytest.fixture(scope="session")
def event_row() -> Callable[..., tuple[Any, ...]]:
    """Make a row of table events from what matters of it."""

    def event_row(**changes: object) -> tuple[Any, ...]:
        assert set(changes) <= set(_EVENT)
        return tuple((_EVENT | changes).values())

    return event_row


@pytest.fixture
def new_log(tmp_path: Path) -> Callable[..., Path]:
    """Make a new run folder with an empty event log."""
    numbers = count()

    def new_log(**meta: object) -> Path:
        folder = tmp_path / f"run-{next(numbers)}"
        create_log(folder, {"backend": "mock", **meta}, [(0, "N1", 1, "hash", "text", "{}")])
        return folder

    return new_log


@pytest.fixture(scope="session")
def sample_folder(
    tmp_path_factory: pytest.TempPathFactory, event_row: Callable[..., tuple[Any, ...]]
) -> Path:
    """Write the log of a small run: a cascade that wins over three, one that nobody starts, two models.

    The first network's agents have names; edges 2-0, 2-3, 0-1 and 2-1 won somebody over.
    """
    edges = np.array([(0, 1), (0, 2), (1, 2), (2, 3), (3, 4)], dtype="<i4").tobytes()
    names = json.dumps(["Ana", "Björn & Co", "<Ćela>", "bell \x07", "E"], ensure_ascii=False)
    profiles = ["01101", "00000", "11111", "10000", "00001"]
    decisions = [
        ("seed", 0, 4, -1, 0, "No."),
        ("seed", 0, 2, -1, 1, "Yes!"),
        ("exposure", 1, 0, 2, 1, "Yes!"),
        ("exposure", 1, 1, 2, 0, "No."),
        ("exposure", 1, 3, 2, 1, "Yes!"),
        ("exposure", 2, 1, 0, 1, "Yes, now."),
        ("exposure", 2, 1, 2, 1, "Yes!"),
        ("exposure", 2, 4, 3, None, "Perhaps"),
    ]

    def write_interview(log: EventLog) -> None:
        log.add("realizations", [(2, "{}", None, 0, None, 7, "running", None, None, 1.0, None)])
        log.add("ends", [("finished", None, 1, 2.0, 2)])
        log.add("models", [(2, 0, "a", "[0]"), (2, 1, "b", "[1]")])
        log.add("interviews", [(2, 1, 0, 1, 1), (2, 1, 1, None, 0)])
        log.add("updates", [(2, 0, 0, 1, "{}"), (2, 0, 1, 1, "{}"), (2, 1, 0, 1, '{"loss": 0.5}')])
        for kind, step, agent, source in ("evaluation", 0, 1, -1), ("interview", 1, 1, 0):
            reply = log.reply_number("By sweating.", "", "model-1", None)
            place = {"realization": 2, "kind": kind, "step": step, "agent": agent, "source": source}
            log.add_event(event_row(**place, prompt=None, decision=None, reply=reply, context="[]"))

    def write(log: EventLog) -> None:
        log.add("networks", [("net-a", "file", 5, 5, edges, names), ("net-b", "none", 3, 0, b"", None)])
        log.add("prompts", [(0, "prompt hash", "exposure", "01101", 0, "[]")])
        for number, network, *end in (0, "net-a", "finished", 2, 2), (1, "net-b", "unstarted", None, 0):
            log.add("realizations", [(number, "{}", 0, number, network, 7, "running", None, None, 1.0, None)])
            log.add("ends", [(*end, 2.0, number)])
        log.add("agents", [(0, agent, bits, None, None, None, None) for agent, bits in enumerate(profiles)])
        log.add("agents", [(1, agent, "00000", None, None, None, None) for agent in range(3)])
        for kind, step, agent, source, decision, text in decisions:
            place = {"kind": kind, "step": step, "agent": agent, "source": source}
            reply = log.reply_number(text, f"because {text}", "model-1", None)
            missing = "invalid" if decision is None else None
            log.add_event(event_row(**place, decision=decision, missing=missing, reply=reply))
        why = log.reply_number("It matters.", "It matters.", "model-1", None)
        log.add_event(event_row(kind="reason", agent=0, source=2, decision=None, reply=why))
        write_interview(log)
        log.add("troubles", [(None, 0, "exposure", 2, 4, 3, 0, "invalid", "neither", "Perhaps", 1.0)])
        log.add("steps", [(0, 0, 0, 2, 2, 1, 0, 1), (0, 1, 3, 3, 3, 2, 0, 3), (0, 2, 2, 2, 3, 2, 1, 4)])
        log.add("engagements", [(0, 0, 2), (1, 0, 0), (1, 0, 3), (2, 0, 1)])
        log.add("exposures", [(0, "exposure", 1, 0, 2, 0, 0, '{"n_shared": 1}')])
        log.add("messages", [(0, 0, -1, None, 0, "text"), (0, 1, 2, 0, 0, "told again")])
        log.add("changes", [(0, 0, 2, "removed", 4, None, None)])
        log.add("measures", [(2, 0, "stance", 0, 1.5), (2, 0, "stance", 1, None)])
        log.add_incident("finished")
        log.set_meta(status="finished")

    async def play(folder: Path) -> None:
        async with EventLog(folder) as log:
            write(log)

    folder = tmp_path_factory.mktemp("sample") / "run"
    questions = [(0, "q0", "a", "How do we cool down?", "We sweat."), (1, "q1", "b", "Why?", "Because.")]
    news = [(0, "N1", 1, "hash", "text", "{}")]
    create_log(folder, {"backend": "mock", "status": "running"}, news, questions)
    asyncio.run(play(folder))
    return folder


@pytest.fixture
def sample_run(tmp_path: Path, sample_folder: Path) -> Callable[[], Run]:
    """Copy the sample run to a new folder, free to be spoilt."""
    numbers = count()
    return lambda: Run(shutil.copytree(sample_folder, tmp_path / f"sample-{next(numbers)}"))
