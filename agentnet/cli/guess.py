"""The command that asks a model whether it guesses what a run was for: `guess`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from agentnet import guesses
from agentnet.cli.common import Chosen, print_json, print_table, setting_options
from agentnet.cli.completion import complete_runs
from agentnet.cli.progress import LINE_S
from agentnet.cli.run import heeded, say
from agentnet.cli.sitting import announce, resume_command, sit
from agentnet.cli.terminal import echo
from agentnet.config import Flag, Settings, configuration_for_resume, load_configuration, secrets_environ
from agentnet.errors import UserError
from agentnet.events import LOG_NAME, Run
from agentnet.experiment import Source
from agentnet.guesses.experiment import Guess
from agentnet.runner.begin import begin, go_on, is_complete, recorded_settings

_FIRST_GUESSES = 5


@click.command()
@click.argument("name", metavar="RUN", shell_complete=complete_runs)
@click.option(
    "--hypothesis", help="What the run is to find out, in a sentence: guesses are compared with it."
)
@click.option(
    "--n", "n_prompts", type=click.IntRange(min=1), default=20, show_default=True, help="Prompts shown."
)
@click.option("--backend", help="Who is asked; default: the backend of the run.")
@click.option("--model", help="Its model; default: the run's.")
@click.option("--max-cost", type=float, help="Stop, resumable, before this costs more US dollars.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@setting_options
def guess(
    name: str,
    hypothesis: str | None,
    n_prompts: int,
    backend: str | None,
    model: str | None,
    max_cost: float | None,
    as_json: bool,
    chosen: Chosen,
) -> None:
    """Ask a model whether it guesses from a run's prompts what the run is for.

    Some prompts of RUN are shown, and a few everyday requests to compare with: is each part of a study, and
    what is it for? With --hypothesis the model is asked of each guess whether it is that, too. The answers
    lie in RUN/guess, a run of its own, and stand in the credibility card of `agentnet report RUN` (principle
    unawareness of arXiv 2509.18052). Asked again, it goes on where it ended; what was answered is not paid
    twice.

    \b
      agentnet guess last --hypothesis "Do open personalities share severe news more often?"
      agentnet guess runs/pilot --backend openai --model gpt-4o-mini --n 40
    """
    if hypothesis is not None and not hypothesis.strip():
        raise click.UsageError("--hypothesis is a sentence; leave it out where there is none")
    folder = chosen._replace(assignments=()).run(name)
    own = folder / guesses.FOLDER
    _refuse_other(own, hypothesis)
    named = [
        ("--backend", "backend.name", backend),
        ("--model", "backend.model", model),
        ("--max-cost", "stack.max_cost", max_cost),
    ]
    flags = chosen.flags(named)
    is_begun = (own / LOG_NAME).exists()
    if is_begun:
        # Also where it is finished: another model's guesses are not these.
        settings = configuration_for_resume(recorded_settings(Run(own)), flags=flags).settings
    else:
        settings = _settings(folder, hypothesis, n_prompts, flags)
    if not is_begun or not is_complete(Run(own)):
        _ask(own, settings, is_begun=is_begun)
    else:
        echo(f"{own} is finished; move it away to ask anew", err=True)
    found = guesses.read_guesses(folder)
    if found is not None:
        _print(found, as_json=as_json)


def _refuse_other(own: Path, hypothesis: str | None) -> None:
    asked = guesses.read_hypothesis(own)
    if None not in (asked, hypothesis) and asked != hypothesis:
        raise UserError(
            f"{own} compares with {asked!r:.80}, not with this hypothesis; move that folder away to ask anew"
        )


def _ask(own: Path, settings: Settings, *, is_begun: bool) -> None:
    environ = secrets_environ()
    if is_begun:
        ready = go_on(own, settings, environ)
    else:
        source = Source.read(f"{Path(guesses.__file__).with_name('experiment.py')}:{Guess.__name__}")
        ready = begin(source, settings, environ, own, say=say)
        announce(ready[0], say)
    asyncio.run(heeded(sit(ready, way_out=resume_command(own), say=say, every_s=LINE_S)))


def _settings(folder: Path, hypothesis: str | None, n_prompts: int, flags: Sequence[str | Flag]) -> Settings:
    """Lay the run's backend over the settings in force, and over it what was given."""
    recorded = recorded_settings(Run(folder)).backend
    named = {flag.key: flag.value for flag in flags if isinstance(flag, Flag)}
    texts = guesses.some_prompts(folder, n_prompts)
    knobs = {"prompts": texts, "hypothesis": hypothesis or "", "n_agents": len(texts) + len(Guess.everyday)}
    taken = [
        Flag("guess", "sampler.mode", "call"),
        *(Flag("guess", f"experiment.{knob}", value) for knob, value in knobs.items()),
    ]
    if named.get("backend.name", recorded.name) == recorded.name:
        taken.append(Flag(str(folder), "backend", recorded.model_dump()))
    return load_configuration(folder=Path.cwd(), environ=os.environ, flags=[*taken, *flags]).settings


def _print(found: guesses.Guesses, *, as_json: bool) -> None:
    rows = [
        ("taken for a study", found.study),
        *([("hypothesis named", found.names)] if found.hypothesis else []),
    ]
    if as_json:
        print_json(
            {
                "backend": found.backend,
                "model": found.model,
                "hypothesis": found.hypothesis,
                "missing": found.n_missing,
                **{what.replace(" ", "_"): _facts(share) for what, share in rows},
                "guesses": [asdict(each) for each in found.guesses],
            }
        )
        return
    echo(f"{found.model} on {found.backend}; {found.n_missing} without an answer\n")
    print_table(("", "prompts", "95%", "everyday requests", "P of so many by chance"), map(_row, rows))
    told = [(each.purpose,) for each in found.guesses if each.study is not None and not each.everyday]
    print_table(("what prompts were taken to be for",), told[:_FIRST_GUESSES])
    echo("the card of `agentnet report` says so, too")


def _facts(share: guesses.Share) -> dict[str, object]:
    return {**asdict(share), "interval": share.interval(), "p_more": share.p_more()}


def _row(row: tuple[str, guesses.Share]) -> tuple[object, ...]:
    what, share = row
    low, high = share.interval()
    everyday = f"{share.everyday_yes} of {share.everyday}"
    return what, f"{share.n_yes} of {share.n}", f"{low:.0%} to {high:.0%}", everyday, f"{share.p_more():.2g}"
