"""The command `view`, and `run --view`: a live page of runs, served on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING, Final

import click

from agentnet.cli.common import Chosen, find_run, setting_options
from agentnet.cli.completion import complete_runs
from agentnet.cli.look import cost, state
from agentnet.cli.signals import heeding
from agentnet.cli.terminal import echo
from agentnet.view.outlook import Guess

if TYPE_CHECKING:
    from agentnet.view.watch import Watch

_COMMAND: Final = "from agentnet.cli.view import view; view()"
_PATIENCE_S: Final = 5.0


@contextmanager
def watched(folder: Path, *, is_wanted: bool) -> Iterator[Callable[[Guess], None]]:
    """Serve the page of a run while the body plays it, from a process of its own: it keeps no run waiting.

    Args:
        folder: The run folder; its log, or a shard's, is there.
        is_wanted: Whether to serve it at all.

    Yields:
        What tells the page how much the run is guessed to take.
    """
    if not is_wanted:
        yield lambda _: None
        return
    command = [sys.executable, "-c", _COMMAND, str(folder.resolve()), "--while-fed"]
    # In a session of its own Ctrl-C reaches the run alone, whose end the page then shows.
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, start_new_session=True) as page:  # noqa: S603 - ourselves
        assert page.stdin is not None
        assert page.stdout is not None
        said = page.stdout.readline().decode().strip()
        echo(said or "the page cannot be served; the run is played without", err=True)
        fed = page.stdin.fileno()

        def tell(guess: Guess) -> None:
            with suppress(OSError):
                os.write(fed, json.dumps(guess).encode() + b"\n")

        try:
            yield tell
        finally:
            page.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                page.wait(_PATIENCE_S)
            page.kill()
    echo(f"the page has ended with it; look again by: agentnet view {shlex.quote(str(folder))}", err=True)


@click.command()
@click.argument("names", metavar="[RUN ...]", nargs=-1, shell_complete=complete_runs)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on loopback; default: a free one."
)
@click.option("--open", "is_opened", is_flag=True, help="Open the page in this machine's browser.")
@click.option("--while-fed", is_flag=True, hidden=True, help="End once standard input does.")
@setting_options
def view(
    names: tuple[str, ...],
    port: int,
    is_opened: bool,
    while_fed: bool,
    chosen: Chosen,
) -> None:
    """Watch runs on a page: how far they are, curves, networks, decisions as they come.

    RUN is a run folder, its name, or 'last' (the default); several stand side by side. A run may be played
    meanwhile, finished, or played in shards. The page is served on loopback alone, under an address that
    nobody can guess and that is printed; it reads the log, writes nothing, and asks no other host. Ctrl-C
    ends it, and touches no run.

    \b
      agentnet view
      agentnet view last --open
      agentnet view runs/monday runs/tuesday --port 8765
      agentnet run experiments/news_cascade.py --backend mock --view

    From another machine: ssh -L 8765:127.0.0.1:8765 HOST, with --port 8765 there.
    """
    runs = chosen.runs
    folders = list(dict.fromkeys(find_run(name, runs) for name in names or ("last",)))
    asyncio.run(_serve(folders, port, is_opened=is_opened, while_fed=while_fed))


async def _serve(folders: list[Path], port: int, *, is_opened: bool, while_fed: bool) -> None:
    from agentnet.view.watch import Watch

    over = asyncio.Event()
    watch = Watch(
        folders, lambda run, n: state(run, n_missing=n), cost, told=lambda words: echo(words, err=True)
    )
    async with watch.serving(port=port) as address:
        echo(f"watch it at {address}")
        if is_opened:
            click.launch(address)
        feeding = asyncio.create_task(_fed(watch, over)) if while_fed else None
        with heeding(over.set):
            await over.wait()
        if feeding is not None:
            feeding.cancel()


async def _fed(watch: Watch, over: asyncio.Event) -> None:
    """Take guesses of whoever started this, until they hold its input open no more, as when killed."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    while line := await reader.readline():
        per_realization, n_calls = json.loads(line)
        watch.runs[0].guess = per_realization, n_calls
    over.set()
