"""`agentnet probe`: a card is printed, kept, resumed for nothing, and stands in a report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from agentnet import ResponseRatioExperiment
from agentnet.backend import make_backend
from agentnet.cli.serve import read_metadata
from agentnet.events import Run
from agentnet.probe.contract import CHECKS
from agentnet.testing.server import LIKE_VLLM, ServerDouble, start_server

OWN = """
from agentnet import WorldExperiment

class Own(WorldExperiment):
    def play(self, s):
        yield []
"""

RATIOS = """
from agentnet import ResponseRatioExperiment

class Ratios(ResponseRatioExperiment):
    items_per_severity, repeats = 1, 1
"""


MIXED = """
from agentnet import CascadeExperiment

class Mixed(CascadeExperiment):
    n_agents, items_per_severity, rationale, voices = 32, 1, "none", {"imitator": "rule"}
    def deal_voices(self, population, seed):
        return ["imitator"] * len(population)
    def rule(self, exposure):
        return True
"""


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    """Play a small run of response ratios."""
    return play(ResponseRatioExperiment(items_per_severity=1, repeats=1))


def test_a_card_says_who_else_answers(command: Any) -> None:
    Path("mixed.py").write_text(MIXED)
    done = command("probe", "mixed.py", "--check", "mass", "--quiet")
    assert "Agents of voices (imitator) are answered otherwise, which is not probed." in done.out, done.err


def test_the_questions_of_the_default_cascade_are_asked_where_no_file_is_given(command: Any) -> None:
    done = command("probe", "--check", "order", "--quiet")
    assert done.code == 0, done.err
    assert "asked the questions of the default cascade" in done.out
    assert "PASSES: is the answer that is named first favoured?  (order; 64 requests)" in done.out
    assert done.out.endswith("1 passes\n")


def test_what_it_takes_is_said_before_and_for_nothing(command: Any) -> None:
    done = command("probe", "--cost", "--out", "card.json")
    assert (done.code, done.out) == (0, "")
    first, second = done.err.splitlines()
    assert first.startswith("if the backend lists probabilities: 377 requests (2,865 of a server that gives")
    assert second.startswith("if it does not: ")
    assert not Path("card.json").exists()


def test_a_card_is_kept_as_json_and_never_over_another_file(command: Any) -> None:
    arguments = ("probe", "--check", "opposite", "--out", "card.json", "--json")
    done = command(*arguments)
    assert json.loads(done.out) == json.loads(Path("card.json").read_text())
    again = command(*arguments)
    assert again.code == 2
    assert "exists already" in again.err
    assert command(*arguments, "--force").code == 0


def test_the_card_of_a_run_lies_in_it_and_stands_in_its_report(command: Any) -> None:
    Path("ratios.py").write_text(RATIOS)
    assert command("run", "ratios.py", "--quiet").code == 0
    done = command("probe", "last", "--check", "order", "--check", "mass")
    assert done.code == 0, done.err
    assert "asked the questions of run" in done.out
    assert command("verify", "last").code == 0
    quick = ("--law", "main_effects", "--bootstraps", 0, "--no-figures", "--quiet", "--output", "report")
    assert command("report", "last", *quick).code == 0
    page = Path("report/report.html").read_text()
    assert "Validity card of the backend" in page
    assert "is the answer that is named first favoured?" in page
    assert json.loads(Path("report/results.json").read_text())["parts"][0]["probe"]["n_calls"] == 65
    assert Path("report/tables/probe_figures.csv").read_text().count("order") == 6


def test_a_report_of_another_model_says_so_and_escapes_its_name(command: Any, run: Run) -> None:
    Path("runs").mkdir()
    Path("runs/ratios").symlink_to(run.folder)
    command("probe", "--check", "mass", "--out", "card.json")
    card = json.loads(Path("card.json").read_text())
    card["model_name"] = "<script>alert(1)</script>"
    Path("card.json").write_text(json.dumps(card))
    quick = ("--law", "main_effects", "--bootstraps", 0, "--no-figures", "--quiet", "--output", "report")
    done = command("report", "last", *quick, "--probe", "card.json")
    assert done.code == 0, done.err
    page = Path("report/report.html").read_text()
    assert "The card is of model &lt;script&gt;alert(1)&lt;/script&gt;; this run was answered by" in page


@pytest.mark.parametrize(
    ("text", "said"),
    [("{}", "is no card of a probe"), ("no json", "is no card of a probe"), (None, "cannot be read")],
)
def test_a_file_that_is_no_card_is_named(command: Any, run: Run, text: str | None, said: str) -> None:
    Path("runs").mkdir()
    Path("runs/ratios").symlink_to(run.folder)
    if text is not None:
        Path("card.json").write_text(text)
    done = command("report", "last", "--probe", "card.json")
    assert done.code == 2
    assert "card.json" in done.err
    assert said in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--check", "ordre"), "did you mean 'order'"),
        (("own.py",), "its agents are not asked yes or no about news items"),
        (("nothing",), "there is no run"),
        (("--beside", "constrain=none"), "is not backend.KEY=VALUE"),
        (("--texts", "1"), "--texts"),
    ],
)
def test_what_cannot_be_probed_is_said_in_words(command: Any, arguments: tuple[str, ...], said: str) -> None:
    Path("own.py").write_text(OWN)
    done = command("probe", *arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_another_setting_of_the_backend_is_compared(command: Any) -> None:
    Path("agentnet.toml").write_text('[backend]\nlaw = "constant"\nprobability = 0.3\n')
    done = command("probe", "--check", "formats", "--beside", "backend.probability=0.8", "--quiet")
    assert done.code == 0, done.err
    assert done.out.startswith("Model mock-constant")
    assert "DOUBTFUL: does the format of the answer change it?" in done.out
    assert "moved by JSON with a reason, constrained, backend.probability=0.8" in done.out


def test_a_check_of_a_users_file_is_made_by_its_address(command: Any) -> None:
    Path("mine.py").write_text(
        "from agentnet.probe.contract import Found, check\n"
        "@check('mine', title='is it mine?')\n"
        "async def mine(asker):\n"
        "    return Found('doubtful', 'always', (), ('It is.',))\n"
    )
    done = command("probe", "--check", "mine.py:mine", "--quiet")
    # Other tests of this process have none of it.
    del CHECKS._defined["mine"]
    assert done.code == 0, done.err
    assert "DOUBTFUL: is it mine?" in done.out


def test_over_http_a_probe_that_a_budget_stopped_goes_on_and_ends_for_nothing(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    started: asyncio.Queue[str] = asyncio.Queue()
    server = ServerDouble(make_backend("mock", {}), manners=LIKE_VLLM, metadata_of=read_metadata)
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serving() -> None:
        async with start_server(server) as double:
            started.put_nowait(double.base_url)
            await ended.wait()

    thread = Thread(target=loop.run_until_complete, args=(serving(),))
    thread.start()
    try:
        url = asyncio.run_coroutine_threadsafe(started.get(), loop).result(10)
        to = (
            "probe",
            "--backend",
            "openai",
            "--model",
            "double",
            "-S",
            f"backend.base_url={url}",
            "--quiet",
        )
        checks = ("--check", "order", "--check", "opposite", "--check", "texts")
        stopped = command(*to, *checks, "--max-calls", 40)
        assert stopped.code == 3
        assert "the same command goes on" in stopped.err
        done = command(*to, *checks)
        assert done.code == 0, done.err
        assert done.out.endswith("3 passes\n")
        n_calls = sum(server.ledger.kinds.values())
        again = command(*to, *checks)
        assert again.out == done.out
        assert sum(server.ledger.kinds.values()) == n_calls
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
