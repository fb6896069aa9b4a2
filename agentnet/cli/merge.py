"""The command that makes one log of a run that was played in shards: `merge`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from agentnet.cli.common import Chosen, setting_options
from agentnet.cli.completion import complete_runs
from agentnet.cli.terminal import echo
from agentnet.events import Run
from agentnet.families import family_of
from agentnet.runner.again import check_missing
from agentnet.runner.begin import recorded_settings
from agentnet.runner.shards import left_of
from agentnet.runner.shards import merge as merge_shards


@click.command()
@click.argument("name", metavar="RUN", shell_complete=complete_runs)
@setting_options
def merge(name: str, chosen: Chosen) -> None:
    """Make the one log of a run that was played in shards: it is as if the run had been played as one.

    RUN is the folder that --out named. All shards must be finished; what is missing is named. They stay where
    they are, in RUN/shards, and may be removed once the log is made. If it is killed meanwhile, run it again.

    \b
      agentnet run FILE --shard 1/2 --out runs/wide     # on one machine
      agentnet run FILE --shard 2/2 --out runs/wide     # on another one
      agentnet merge runs/wide

    Exit codes: 0 done, 2 the shards do not go together or are not all finished, 5 done but with more answers
    missing than engine.max_missing allows.
    """
    folder = chosen.run(name)
    is_new = merge_shards(folder)
    run = Run(folder)
    echo(f"{folder}: {'one log was made of its shards' if is_new else 'is one log already'}", err=True)
    echo(f"digest {run.meta['digest']}")
    for line in family_of(run.meta).notes(run):
        echo(f"note: {line}", err=True)
    way_out = f"agentnet run --resume {shlex.quote(str(folder))} --ask-missing"
    check_missing(run, recorded_settings(run).engine.max_missing, way_out)


def to_merge(folder: Path) -> str:
    """Say what is left to be done about a run of which a shard is finished."""
    n_left = left_of(folder)
    return f"; {n_left} more to go" if n_left else f"; all are: agentnet merge {shlex.quote(str(folder))}"
