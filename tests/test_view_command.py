"""The commands that serve the live page: `agentnet view`, and `agentnet run --view` while a run is played."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

AGENTNET = Path(sys.executable).with_name("agentnet")
ADDRESS = re.compile(r"watch it at (http://127\.0\.0\.1:\d+/[\w-]{43}/)\n")


def test_the_page_of_a_run_is_served_until_who_started_it_ends(
    command: Callable[..., Any], small: Path
) -> None:
    assert command("run", small, "--backend", "mock", "--quiet", "--out", "played").code == 0
    line = [AGENTNET, "view", "played", "--while-fed"]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        found = ADDRESS.fullmatch(process.stdout.readline())
        assert found is not None
        with urllib.request.urlopen(found[1]) as page:
            assert page.status == 200
            assert "<h1>played</h1>" in page.read().decode()
        # Nothing is logged of who came.
        assert process.communicate("") == ("", "")
    assert process.returncode == 0


def test_a_run_that_is_viewed_says_where_and_takes_the_page_with_it(
    command: Callable[..., Any], small: Path
) -> None:
    done = command("run", small, "--backend", "mock", "--view", "--quiet", "--out", "watched")
    assert done.code == 0
    address = ADDRESS.search(done.err)
    assert address is not None
    assert "look again by: agentnet view watched" in done.err
    # Nobody listens there any more.
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address[1])
    assert command("show", "watched").out.count("finished")


def test_a_log_that_lacks_what_a_page_says_is_refused_in_words(
    command: Callable[..., Any], sample_folder: Path
) -> None:
    done = command("view", sample_folder)
    assert done.code == 2
    assert "is damaged: table meta lacks experiment, model_name" in done.err


def test_what_is_no_run_or_no_port_is_refused_in_words(command: Callable[..., Any]) -> None:
    done = command("view", "nothing")
    assert (done.code, "there is no run 'nothing'" in done.err) == (2, True)
    assert command("view", "last", "--port", "99999").code == 2


def test_a_page_says_how_long_a_run_takes_that_is_guessed_by_who_plays_it(
    small: Path, tmp_path: Path
) -> None:
    slow = ["-S", "backend.latency_s=1", "-S", "engine.workers=1", "-S", "stack.cache=false"]
    line = [AGENTNET, "run", small, "--backend", "mock", "--view", "--out", tmp_path / "guessed", *slow]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = next(filter(None, map(ADDRESS.search, process.stderr)))
        told = None
        with urllib.request.urlopen(f"{found[1]}stream") as stream:
            while told is None:
                message = stream.readline().decode().removeprefix("data: ").strip()
                if '"part":"progress"' in message:
                    progress = json.loads(message)["is"]
                    assert progress["ended"] == 0
                    told = progress["left_s"]
        process.send_signal(signal.SIGKILL)
    assert 1.0 < told < 4 * 32 * 6
