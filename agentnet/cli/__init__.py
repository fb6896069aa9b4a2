"""The command line: `agentnet`.

Exit codes: 0 done, 2 wrong input or an error in an experiment's code, 3 the world failed (resumable), 4 a bug
of ours, 5 a run ended but lacks more answers than `engine.max_missing` allows, 130 interrupted, 141 nobody
reads the output any more.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import time
from collections import UserDict
from functools import cache
from importlib import import_module
from typing import Final

import click

import agentnet
from agentnet.cli.ending import Wishes, add_traceback_option, told
from agentnet.cli.terminal import printing_alone
from agentnet.errors import UserError

COMMANDS: Final = {
    "backends": (
        "look",
        "List the installed backends, embedders and update rules: what they are, need and come from.",
    ),
    "bench": ("bench", "Measure a backend with the exposure prompts of the paper's design."),
    "check": ("run", "Import and validate an experiment, show a prompt of each kind, expect the calls."),
    "config": ("look", "Print the settings in force and where each comes from."),
    "export": (
        "look",
        "Write a run's tables (parquet, csv) or its networks with who engaged when (gexf, graphml).",
    ),
    "fit": (
        "fit",
        "Fit laws to a run's cascades and rank them, to the answers of a free world, or to what people did.",
    ),
    "forget": (
        "forget",
        "Take what a person wrote out of a run: of its log, its tables beside it, and what is known of them.",
    ),
    "guess": ("guess", "Ask a model whether it guesses from a run's prompts what the run is for."),
    "init": ("init", "Write what a study starts from into a new folder NAME: experiment, prompts, settings."),
    "ls": ("look", "List the runs."),
    "merge": (
        "merge",
        "Make the one log of a run that was played in shards: it is as if the run had been played as one.",
    ),
    "models": (
        "models",
        "List the models that can be played on this machine by name (backend local), or fetch one.",
    ),
    "news": ("news", "Make, check, fetch and cluster news items."),
    "predict": ("predict", "Predict how often profiles share news from what they say."),
    "prepare": ("prepare", "Teach a raw base model to answer questions, for the update rule finetune."),
    "probe": (
        "probe",
        "Find out whether a backend's answers are about what it is asked, and print a validity card.",
    ),
    "query": ("look", "Answer an SQL query on a run's event log; nothing can be changed by it."),
    "rehearse": (
        "rehearse",
        (
            "Play a study with robots in the place of its people, over real pages, "
            "and the mock in that of models."
        ),
    ),
    "report": (
        "report",
        "Write a report of runs: one page that needs nothing else, tables, figures, results as JSON.",
    ),
    "run": ("run", "Play an experiment file, or resume a run."),
    "serve": (
        "serve",
        "Serve OpenAI's protocol on loopback, answered by the mock's law; no model and no key.",
    ),
    "show": ("look", "Show a run: its state, counts, digest and mean engaged fraction by step."),
    "slurm": (
        "slurm",
        "Print a script that has Slurm play an experiment in shards, then merge and report them.",
    ),
    "trees": (
        "trees",
        "Measure the trees along which messages were passed on: size, depth, width, structural virality.",
    ),
    "verify": ("look", "Look whether a run is what it was when it was finished, and whole."),
    "view": ("view", "Watch runs on a page: how far they are, curves, networks, decisions as they come."),
}
"""Command -> the module here that holds it under its name, and its first words, for the list of commands."""


@cache
def _imported(name: str) -> click.Command:
    module, _ = COMMANDS[name]
    command: click.Command = getattr(import_module(f"agentnet.cli.{module}"), name)
    for each in (command, *(command.commands.values() if isinstance(command, click.Group) else ())):
        add_traceback_option(each)
        if each.callback is not None:
            each.callback = printing_alone(each.callback)
    return command


_SHOWN: Final = {name: click.Command(name, help=about) for name, (_, about) in COMMANDS.items()}


class _Commands(UserDict[str, click.Command]):
    """The commands by name, each imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        return _imported(name)


class _Listed(click.Group):
    """Imports a command to call it; whoever lists commands does without."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        return _SHOWN.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, self.commands[name] if name else None, rest


@click.group(
    cls=_Listed,
    commands=_Commands(_SHOWN),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(agentnet.__version__, prog_name="agentnet")
def cli() -> None:
    """Simulate news cascades among language-model agents on networks.

    \b
    Try it, with no key and no model:
      agentnet run experiments/news_cascade.py --backend mock --seed 7 -S repeats=2
      agentnet ls
      agentnet show last
    """


add_traceback_option(cli)


def _at_home(argument: str) -> str:
    """Expand a ``~`` that the shell left: behind the ``=`` of an option, or within quotes."""
    option, equals, path = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return option + equals + os.path.expanduser(path) if path.startswith("~/") else argument  # noqa: PTH111 - as it stands


def _check_epoch() -> None:
    """Refuse a time that NumPy and Matplotlib cannot read when they are imported or draw."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "0")
    try:
        time.gmtime(int(text))
    except (ValueError, OverflowError, OSError):
        raise UserError(
            f"SOURCE_DATE_EPOCH is {text!r} in the environment; it is a time in whole seconds since 1970: "
            "mend it, or unset it"
        ) from None


def main() -> None:
    """Run the command line and exit with its code."""
    # As the program ends, what was imported is not searched for cycles once more: a sixth of what `ls` takes.
    atexit.register(gc.freeze)
    # Settings need no plug-ins of pydantic: it reads every installed package's metadata for them.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Whatever is drawn here goes into files.
    os.environ["MPLBACKEND"] = "agg"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What the terminal's encoding lacks is spelled out, too.
            stream.reconfigure(errors="backslashreplace")
    wishes = Wishes()
    # Click ends the program itself once it has told a shell what completes.
    if os.environ.get("_AGENTNET_COMPLETE"):
        cli.main(prog_name="agentnet")
    try:
        _check_epoch()
        code = cli.main(list(map(_at_home, sys.argv[1:])), standalone_mode=False, obj=wishes)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the user is told
        code = told(error, trace=wishes.trace)
    sys.exit(code if isinstance(code, int) else 0)
