"""The command line: `agentnet`.

Exit codes: 0 done, 2 wrong input, 3 the world failed (resumable), 4 a bug of ours, 5 a run ended
but lacks more answers than `engine.max_missing` allows, 130 interrupted.
"""

from __future__ import annotations

import os
import sys

import click

import agentnet
from agentnet.cli.bench import bench
from agentnet.cli.fit import fit
from agentnet.cli.look import backends, config, export, ls, query, show, verify
from agentnet.cli.news import news
from agentnet.cli.predict import predict
from agentnet.cli.report import report
from agentnet.cli.run import check, run
from agentnet.cli.serve import serve
from agentnet.errors import AgentnetError


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
    run,
    check,
    ls,
    show,
    verify,
    query,
    export,
    fit,
    predict,
    report,
    backends,
    config,
    news,
    serve,
    bench,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except AgentnetError as error:
        click.echo(f"error: {error}", err=True)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = 130
    except BrokenPipeError:
        # The reader (head, less) has left; leave quietly, and keep Python from flushing into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)
