"""The command line: `agentnet`.

Exit codes: 0 done, 2 wrong input or an error in an experiment's code, 3 the world failed (resumable), 4 a bug
of ours, 5 a run ended but lacks more answers than `engine.max_missing` allows, 130 interrupted, 141 nobody
reads the output any more.
"""

from __future__ import annotations

import io
import os
import sys

import click

import agentnet
from agentnet.cli.bench import bench
from agentnet.cli.ending import Wishes, add_traceback_option, told
from agentnet.cli.fit import fit
from agentnet.cli.forget import forget
from agentnet.cli.guess import guess
from agentnet.cli.init import init
from agentnet.cli.look import backends, config, export, ls, query, show, verify
from agentnet.cli.merge import merge
from agentnet.cli.models import models
from agentnet.cli.news import news
from agentnet.cli.predict import predict
from agentnet.cli.prepare import prepare
from agentnet.cli.probe import probe
from agentnet.cli.rehearse import rehearse
from agentnet.cli.report import report
from agentnet.cli.run import check, run
from agentnet.cli.serve import serve
from agentnet.cli.slurm import slurm
from agentnet.cli.trees import trees
from agentnet.cli.view import view


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(agentnet.__version__, prog_name="agentnet")
def cli() -> None:
    """Simulate news cascades among language-model agents on networks.

    \b
    Try it, with no key and no model:
      agentnet run experiments/news_cascade.py --backend mock --seed 7 -S repeats=2
      agentnet ls
      agentnet show last
    """


for command in (
    init,
    run,
    merge,
    slurm,
    check,
    rehearse,
    ls,
    show,
    view,
    verify,
    query,
    export,
    forget,
    fit,
    predict,
    probe,
    prepare,
    trees,
    guess,
    report,
    backends,
    models,
    config,
    news,
    serve,
    bench,
):
    cli.add_command(command)


add_traceback_option(cli)


def main() -> None:
    """Run the command line and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What the terminal's encoding lacks is spelled out, too.
            stream.reconfigure(errors="backslashreplace")
    wishes = Wishes()
    # Click ends the program itself once it has told a shell what completes.
    if os.environ.get("_AGENTNET_COMPLETE"):
        cli.main(prog_name="agentnet")
    try:
        code = cli.main(standalone_mode=False, obj=wishes)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the user is told
        code = told(error, trace=wishes.trace)
    sys.exit(code if isinstance(code, int) else 0)
