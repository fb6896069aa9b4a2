"""The command that has a cluster play a run: `slurm`."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from agentnet.cli.common import Chosen, setting_options
from agentnet.cli.completion import complete_files
from agentnet.cli.run import NAMED, named_options
from agentnet.cli.terminal import echo
from agentnet.config import Shard, secrets_environ
from agentnet.errors import UserError, WorldError
from agentnet.experiment import Source
from agentnet.runner import new_folder, prepare
from agentnet.runner.prepare import of_shard
from agentnet.runner.shards import check_unmerged

_SCRIPT: Final = """\
#!/bin/bash
# Plays {target} in {n} shards, and makes one log and a report of them. Submit it by: bash THIS_FILE
# Logs: {out}/slurm; how far it is: {agentnet} show {out}
set -euo pipefail
mkdir -p {out}/slurm
played=$(sbatch --parsable <<'PLAY'
#!/bin/bash
#SBATCH --job-name=agentnet-{name}
#SBATCH --array=1-{n}
#SBATCH --output={out}/slurm/shard-%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@{notice_s}
{options}
# A task that comes to its time limit records what is in flight and goes on in a new one; as does one that
# another job, or a node that fails, puts back into the queue: this command goes on with what it began.
again=0
{play} &
playing=$!
trap 'again=1; kill -TERM $playing' USR1
trap 'kill -TERM $playing' TERM
code=0
wait $playing || code=$?
while kill -0 $playing 2> /dev/null; do code=0; wait $playing || code=$?; done
# As does one that is killed alone, for want of memory, say; but not for ever.
if [ $code = 137 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {n_restarts} ]; then again=1; fi
if [ $again = 1 ] && [ $code != 0 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $code
PLAY
)
# A federation of clusters names the one that took it, too.
played=${{played%%;*}}
# After any end of the tasks: who waits for good ones alone waits for ever once one fails, and says nothing.
merged=$(sbatch --parsable --dependency=afterany:$played <<'MERGE'
#!/bin/bash
#SBATCH --job-name=agentnet-{name}-merge
#SBATCH --output={out}/slurm/merge.log
#SBATCH --open-mode=append
#SBATCH --requeue
{options}
code=0
{merge} || code=$?
if [ $code = 2 ]; then echo {again}; fi
# Too many answers may be missing (5): the report says so, too.
if [ $code = 0 ] || [ $code = 5 ]; then {report} || code=$?; fi
exit $code
MERGE
) || {{ scancel "$played"; exit 1; }}
echo "shards: job $played; log and report: job ${{merged%%;*}}"
"""

_AGAIN: Final = (
    "What failed says why in {out}/slurm/shard-*.log; mend that, and submit the same again: tasks go on where"
    " they were, and end at once where they are finished."
)
_NOTICE_S: Final = 120
_MOST_RESTARTS: Final = 3


@click.command()
@click.argument("target", metavar="FILE[:Class]", shell_complete=complete_files)
@click.option("--shards", "n", type=click.IntRange(1), required=True, help="In how many shards: a task each.")
@named_options
@click.option(
    "--out", type=click.Path(path_type=Path), help="Run folder to make; default: a new one in runs/."
)
@click.option("--partition", help="The partition of the jobs.")
@click.option(
    "--time",
    "limit",
    metavar="TIME",
    help="Time limit of a job, such as 04:00:00; its last two minutes are for stopping.",
)
@click.option(
    "--sbatch",
    "more",
    multiple=True,
    metavar="OPTION",
    help="Another option of sbatch for both jobs, such as --mem=4G. Repeatable.",
)
@click.option("--submit", is_flag=True, help="Submit the jobs, instead of printing what does.")
@setting_options
def slurm(
    target: str,
    n: int,
    out: Path | None,
    partition: str | None,
    limit: str | None,
    more: tuple[str, ...],
    submit: bool,
    chosen: Chosen,
    **named: object,
) -> None:
    """Print a script that has Slurm play an experiment in shards, then merge and report them.

    An array of tasks plays a shard each; a job that waits for all of them makes one log (see: agentnet merge)
    and a report in RUN/report. The run folder and the experiment must lie where all nodes see them. A task
    that is put back into the queue goes on where it was; one that comes to its time limit does so by itself.
    Where a task fails, the last job says what is missing; submit the same again once that is mended.

    \b
      agentnet slurm experiments/news_cascade.py --shards 64 --partition cpu --time 04:00:00 > wide.sh
      agentnet slurm experiments/news_cascade.py --shards 64 --out runs/wide --submit
    """
    flags = [(*NAMED[name], value) for name, value in named.items()]
    source, settings = Source.read(target), chosen.load(flags).settings
    out = out or new_folder(settings, source)
    # What cannot be played is better known before it waits in a queue.
    check_unmerged(out)
    environ = secrets_environ(Path.cwd(), os.environ)
    of_shard(prepare(source, settings, out, environ), Shard(1, n))
    words = [
        *_as_words(named),
        *(word for text in chosen.assignments for word in ("-S", text)),
        *(["--config", str(chosen.config_file)] if chosen.config_file else []),
    ]
    asked = {"chdir": str(Path.cwd()), "partition": partition, "time": limit}
    options = [*(f"--{name}={value}" for name, value in asked.items() if value), *more]
    script = _script(target, n, out, words, options)
    if submit:
        _submit(script)
    else:
        echo(script, end="")


def _as_words(named: Mapping[str, object]) -> Iterable[str]:
    """Write the options that stand for a setting each as they were given."""
    for name, value in named.items():
        if value is not None:
            yield NAMED[name][0]
        if value not in (None, True):
            yield str(value)


def _script(target: str, n: int, out: Path, words: Sequence[str], options: Sequence[str]) -> str:
    here = Path(sys.executable).with_name("agentnet")
    agentnet = shlex.quote(str(here) if here.exists() else "agentnet")
    folder = shlex.quote(str(out))
    played = shlex.join(["run", target, "--out", str(out), "--quiet", *words])
    return _SCRIPT.format(
        target=target,
        n=n,
        out=folder,
        name=shlex.quote(out.name),
        agentnet=agentnet,
        notice_s=_NOTICE_S,
        n_restarts=_MOST_RESTARTS,
        options="\n".join(f"#SBATCH {option}" for option in options),
        play=f'{agentnet} {played} --shard "$SLURM_ARRAY_TASK_ID/{n}"',
        merge=f"{agentnet} merge {folder}",
        again=shlex.quote(_AGAIN.format(out=out)),
        report=f"{agentnet} report {folder} --output {folder}/report",
    )


def _submit(script: str) -> None:
    if shutil.which("sbatch") is None:
        raise UserError(
            "there is no Slurm here (no program sbatch): do this on a login node of the cluster, or "
            "leave out --submit and take the script there"
        )
    done = subprocess.run(["/bin/bash"], input=script, text=True, capture_output=True, check=False)
    if done.returncode:
        raise WorldError(f"Slurm took no jobs: {done.stderr.strip() or 'sbatch failed'}")
    echo(done.stdout, end="")
