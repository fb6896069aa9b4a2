"""What is printed obeys nobody, and printing for nobody ends a run in order."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet import Run
from agentnet.cli import cli, terminal
from agentnet.cli.ending import told
from agentnet.cli.terminal import plain, plain_json

EVIL = "a\x1b]0;owned\x07b\x9b31mc\u202etxt\u2066d\u200be\ufefff\x08g\r\u2028[red]h[/red] :smile: \U000e0041"
SEEN = (
    "a\\x1b]0;owned\\x07b\\x9b31mc\\u202etxt\\u2066d\\u200be\\ufefff\\x08g\\r\\u2028"
    "[red]h[/red] :smile: \\U000e0041"
)


def test_control_characters_directions_and_what_has_no_width_are_spelled_out():
    assert plain(EVIL) == SEEN
    assert plain("lone \udcff") == "lone \\udcff"
    kept = "Ünïcode, 中文, emoji 🙂, no-break\u00a0space,\n\tlines and tabs"
    assert plain(kept) == kept


@given(st.text())
def test_nothing_unprintable_is_left_and_what_is_printable_stays(text):
    assert all(char.isprintable() or char in "\n\t" or char.isspace() for char in plain(text))
    if text.isprintable():
        assert plain(text) == text
    assert json.loads(plain_json(text)) == text
    assert "".join(plain_json(text).split()).isprintable()


def test_tables_show_what_others_wrote_as_it_is(command, small):
    command("run", small, "--out", "a", "--quiet")
    # The very characters: SQL takes them raw, but for NUL.
    done = command("query", "a", f"SELECT '{EVIL}' AS \"{EVIL}\"")
    assert done.code == 0
    assert done.out.split("\n")[0].strip() == done.out.split("\n")[1].strip() == SEEN
    assert json.loads(command("query", "a", f"SELECT '{EVIL}' AS x", "--json").out) == [{"x": EVIL}]


def test_file_names_and_settings_in_errors_are_spelled_out(command, small):
    for arguments in (
        ("check", f"{EVIL}.py"),
        ("show", EVIL),
        ("check", small, "-S", f"{EVIL}=1"),
        ("check", small, f"--{EVIL}"),
        ("news", "validate", EVIL),
        ("nothing-of-that-name\x1b[2J",),
    ):
        done = command(*arguments)
        assert done.code == 2
        assert "\\x1b" in done.err
        assert not set("\x1b\x9b\u202e\x07") & set(done.err + done.out)


def test_names_and_texts_of_a_news_file_are_spelled_out(command, tmp_path):
    path = tmp_path / "news.csv"
    path.write_text(f'id,text,severity,event_type\nx,"some text",1,"{EVIL[:6]}"\nx,"{EVIL[:40]}",7,b\n')
    done = command("news", "validate", path)
    assert not set("\x1b\x9b\u202e\x07") & set(done.err + done.out)


def test_a_query_is_answered_by_json_alone_and_whole(command, new_log):
    new_log().rename("a")
    found = command("query", "a", "SELECT 9e999 AS x, -9e999 AS y, 1.5 AS z", "--json").out
    assert json.loads(found, parse_constant=pytest.fail) == [{"x": None, "y": None, "z": 1.5}]
    done = command("query", "a", "SELECT 1 AS x, 2 AS x", "--json")
    assert (done.code, done.out, "'x' apart by AS" in done.err) == (2, "", True)
    assert command("query", "a", "SELECT 1 AS x, 2 AS x").code == 0


def test_what_the_encoding_of_the_terminal_lacks_is_spelled_out(command, new_log, monkeypatch):
    new_log().rename("a")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert command("query", "a", "SELECT 'Zürich' AS x").code == 0
    assert b"Z\\xfcrich" in stream.buffer.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_a_mistake_of_ours_ends_any_command_with_code_4_and_words(command, monkeypatch, name):
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("of our\nown")

    each = cli.commands[name]
    inner = getattr(each, "commands", {name: each})
    first = next(iter(inner))
    monkeypatch.setattr(inner[first], "callback", broken)
    monkeypatch.setattr(inner[first], "params", [p for p in inner[first].params if p.name == "traceback"])
    arguments = (name,) if inner[first] is each else (name, first)
    done = command(*arguments)
    assert done.code == 4
    (said,) = done.err.splitlines()
    assert f"agentnet itself failed ({__file__}, line " in said
    assert "ZeroDivisionError: of our own" in said
    assert "please report it" in said
    assert "Traceback (most recent call last)" in command(*arguments, "--traceback").err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EMFILE])
def test_what_the_machine_refuses_is_no_mistake_of_ours(command, monkeypatch, number):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr(cli.commands["ls"], "callback", full)
    done = command("ls")
    assert done.code == 3
    assert done.err == f"error: [Errno {number}] {os.strerror(number)}: 'some/file'\n"


def test_a_name_that_can_be_none_is_no_mistake_of_ours(command, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for name in ("x" * 300, "loop"):
        for arguments in (("show", name), ("trees", name), ("run", "--resume", name)):
            done = command(*arguments)
            assert (done.code, name in done.err, "itself" in done.err) == (2, True, False), done


def test_a_tilde_that_the_shell_left_is_home(command, small, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert command("run", small, "--out=~/a", "--quiet").code == 0
    assert command("verify", "~/a").code == 0
    (tmp_path / "agentnet.toml").write_text('runs = "~/runs"\n')
    assert command("run", small, "--quiet", "-S", "repeats=1").code == 0
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["a", "runs"]
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "0", "-1"])
def test_a_number_that_is_none_or_endless_is_refused_before_anything_is_played(command, small, value):
    for arguments in (
        ("run", small, "--out", "a", "--progress-every", value),
        ("bench", "--seconds", value),
        ("serve", "--port", "70000", "--latency", value),
    ):
        done = command(*arguments)
        assert (done.code, "Invalid value for" in done.err) == (2, True), done
    assert not (small.parent / "a").exists()


def test_a_folder_that_is_gone_under_a_command_is_said_to_be(command, small, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for arguments in (("ls",), ("config",), ("show", "last"), ("run", small)):
        done = command(*arguments)
        assert (done.code, "is gone" in done.err) == (2, True), done


def test_a_file_that_is_missing_is_not_taken_for_the_folder_of_the_command(capsys):
    with pytest.raises(FileNotFoundError) as missing:
        raise FileNotFoundError(errno.ENOENT, "no such page")
    assert told(missing.value, trace=False) == 4
    assert "is gone" not in capsys.readouterr().err


MAIN = "from agentnet.cli import main; main()"
SLOW = (
    "--progress-every",
    "0.2",
    "-S",
    "backend.latency_s=0.05",
    "-S",
    "engine.workers=4",
    "-S",
    "stack.cache=false",
)


def start(small: Path, *arguments: str, ignored: bool = False, **streams: Any) -> subprocess.Popen[bytes]:
    """Start a slow run, whose progress speaks often, as a process of its own."""
    command = [sys.executable, "-c", MAIN, "run", str(small), "--out", "slow", *SLOW, *arguments]
    if ignored:
        command = ["nohup", *command]
    return subprocess.Popen(command, cwd=small.parent, start_new_session=True, **streams)


def check_resumable(command: Any, small: Path) -> None:
    resumed = json.loads(command("run", "--resume", "slow", "--json", "-S", "backend.latency_s=0").out)
    assert resumed["digest"] == json.loads(command("run", small, "--json").out)["digest"]


def test_a_run_whose_terminal_hangs_up_ends_in_order(command, small, wait_for_events):
    """The terminal is the controlling one of nobody, so that no signal tells."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    process = start(small, stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    wait_for_events(small.parent / "slow", process)
    shown = os.read(leader, 100_000).decode()
    assert "\x1b" not in shown
    assert {len(each) for each in re.split("[\r\n]", shown) if " realizations · " in each} == {59}
    os.close(leader)
    assert process.wait(timeout=50) == 141
    assert Run(Path("slow")).rows("SELECT kind FROM incidents")[1] == [("started",), ("stopped",), ("spent",)]
    check_resumable(command, small)


def test_a_run_whose_reader_leaves_ends_in_order(command, small):
    process = start(small, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    while b" realizations \xc2\xb7 " not in process.stderr.readline():
        """Read on until it is played."""
    process.stderr.close()
    assert process.wait(timeout=50) == 141
    check_resumable(command, small)


def test_a_run_that_ignores_hang_ups_goes_on_also_unread(command, small, wait_for_events):
    process = start(small, ignored=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    wait_for_events(small.parent / "slow", process)
    process.stderr.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=50) == 0
    assert Run(Path("slow")).meta["status"] == "finished"


@pytest.mark.parametrize("arguments", [("query", "a", "SELECT 1 AS one"), ("config", "--json")])
def test_a_result_that_nobody_reads_ends_quietly(command, new_log, monkeypatch, arguments):
    new_log().rename("a")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        done = command(*arguments, "-S", "runs=.")
    assert (done.code, done.out, done.err) == (141, "", "")


def test_a_program_without_standard_streams_plays_its_run(small):
    command = f"{sys.executable} -c '{MAIN}' run {small} --out a >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], cwd=small.parent, check=False).returncode == 0
    assert Run(small.parent / "a").meta["status"] == "finished"


def test_an_error_that_cannot_be_printed_still_ends_by_a_code_that_is_told(small):
    command = f"{sys.executable} -c '{MAIN}' run {small} --out a 2>/dev/full"
    assert subprocess.run(["sh", "-c", command], cwd=small.parent, check=False).returncode == 3


def test_what_cannot_be_printed_for_another_reason_is_said(monkeypatch):
    class Full:
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self) -> None:
            """Has nothing to write."""

    monkeypatch.setattr(sys, "stderr", Full())
    with pytest.raises(OSError, match="No space"):
        terminal.redraw("anything", 20)
