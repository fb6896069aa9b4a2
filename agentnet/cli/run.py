"""The commands that play an experiment or look at it before: `run`, `check`."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from agentnet.backend import Backend, Messages
from agentnet.cli.common import Decorated, find_run, given, load, print_json, print_table, setting_options
from agentnet.cli.progress import Outlook, progress, summary
from agentnet.cli.signals import heeding
from agentnet.cli.terminal import echo
from agentnet.config import Settings, configuration_for_resume, secrets_environ, secrets_held
from agentnet.errors import OutputClosed, UserError, WorldError
from agentnet.events import Run
from agentnet.experiment import Source
from agentnet.families import Estimate
from agentnet.runner import (
    Prepared,
    Runner,
    create,
    is_frozen,
    new_folder,
    prepare,
    reopen,
)
from agentnet.runner.again import ask_again, check_missing, missing_words
from agentnet.runner.estimate import estimate, guess_decisions, prompts_apart
from agentnet.runner.journal import Tally
from agentnet.stack import Price, price_list
from agentnet.voices import OWN, described, make_voices, needs_of, parts_of, voices_of

_NAMED = {
    "backend": ("--backend", "backend.name"),
    "model": ("--model", "backend.model"),
    "seed": ("--seed", "seed"),
    "news": ("--news", "news.path"),
    "update": ("--update", "experiment.update"),
    "simplify": ("--simplify", "experiment.network_options.simplify"),
    "max_cost": ("--max-cost", "stack.max_cost"),
    "max_calls": ("--max-calls", "stack.max_calls"),
}


def named_options(function: Decorated) -> Decorated:
    """Add the options that stand for a setting each."""
    for option in (
        click.option("--backend", help="Backend that answers; see: agentnet backends."),
        click.option("--model", help="Model name, for backends that have several."),
        click.option("--seed", type=int, help="The run's seed; fixes everything that is drawn."),
        click.option(
            "--news",
            type=click.Path(path_type=Path),
            help="File of news items (ACLED, UCDP, CSV, JSON Lines).",
        ),
        click.option(
            "--update", help="Update rule of models that interview each other; see: agentnet backends."
        ),
        click.option(
            "--simplify",
            is_flag=True,
            default=None,
            help="Drop loops, repeats and direction of a network's file, and say how many.",
        ),
        click.option("--max-cost", type=float, help="Stop, resumable, before the run costs more US dollars."),
        click.option("--max-calls", type=int, help="Stop, resumable, before the run makes more calls."),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("target", metavar="FILE[:Class]", required=False)
@named_options
@click.option(
    "--out", type=click.Path(path_type=Path), help="Run folder to make; default: a new one in runs/."
)
@click.option("--resume", metavar="RUN", help="Go on with a run: its folder, its name, or 'last'.")
@click.option(
    "--ask-missing",
    is_flag=True,
    help="With --resume: ask again what is missing; in a copy of the run, if other answers follow from it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@setting_options
def run(
    target: str | None,
    out: Path | None,
    resume: str | None,
    ask_missing: bool,
    as_json: bool,
    quiet: bool,
    assignments: tuple[str, ...],
    config_file: Path | None,
    **named: object,
) -> None:
    """Play an experiment file, or resume a run.

    Ctrl-C finishes what is in flight, records it and stops; a second one stops at once. Either way nothing
    that was recorded is lost, and the command that goes on is printed. SIGTERM, a terminal that hangs up and
    a reader that leaves do the same; under nohup a run goes on.

    \b
      agentnet run experiments/news_cascade.py --backend mock --seed 7 -S repeats=2
      agentnet run experiments/news_cascade.py --news my_acled_export.csv
      agentnet run experiments/polarization.py --backend vllm --update memory
      agentnet run --resume last
      agentnet run --resume last --ask-missing

    Exit codes: 0 done, 2 wrong input or an error in the experiment's code, 3 the world failed (resume the
    run), 4 a bug of ours, 5 done but with more answers missing than engine.max_missing allows, 130
    interrupted, 141 nobody reads the output any more.
    """
    flags = [(*_NAMED[name], value) for name, value in named.items()]
    if ask_missing and resume is None:
        raise click.UsageError("--ask-missing goes with --resume RUN: it asks again what a run lacks")
    if resume is not None:
        folder = _to_resume(resume, target, out, config_file, ask_missing=ask_missing)
        prepared = _resumed(folder, assignments, flags)
        answering = _backend(prepared)
        if ask_missing:
            # Last, as a copy that cannot be played would lie about.
            prepared = reopen(_asking_again(Run(folder)), prepared.settings, _environ())
        echo(f"resuming {prepared.folder}", err=True)
    elif target is not None:
        prepared, answering = _new(target, out, load(config_file, assignments, flags).settings)
    else:
        raise click.UsageError("give an experiment file, or --resume RUN")
    meta = Run(prepared.folder).meta
    for line in filter(None, [*meta["licences"], meta.get("label")]):
        echo(line, err=True)
    started = time.monotonic()
    runner = Runner(prepared, answering, say=_say)
    try:
        asyncio.run(_play(runner, prepared, quiet=quiet))
    except (WorldError, KeyboardInterrupt):
        echo(summary(runner.tally, prepared), err=True)
        _say_how_to_resume(prepared.folder)
        raise
    except Exception:
        _say_how_to_resume(prepared.folder)
        echo(f"{summary(runner.tally, prepared)}; what was recorded is kept in {prepared.folder}", err=True)
        raise
    _report(prepared, runner.tally, time.monotonic() - started, as_json=as_json)
    run = Run(prepared.folder)
    for line in prepared.family.notes(run):
        echo(f"note: {line}", err=True)
    check_missing(run, prepared.settings.engine.max_missing, f"{_resume_command(run.folder)} --ask-missing")


def _new(target: str, out: Path | None, settings: Settings) -> tuple[Prepared, Backend]:
    source = Source.read(target)
    prepared = prepare(source, settings, out or new_folder(settings, source), _environ())
    answering = _backend(prepared)
    name, model_name = prepared.stage.who_answers(answering)
    _refuse_keys(source, settings)
    create(prepared, source, backend=name, model_name=model_name, voices=described(answering))
    echo(f"run {prepared.folder}: {len(prepared.plan)} realizations on {model_name}", err=True)
    for line in _readings(prepared):
        echo(line, err=True)
    return prepared, answering


def _refuse_keys(source: Source, settings: Settings) -> None:
    """Refuse to record a key: a run keeps its experiment file and its settings as they are."""
    texts = (source.text, *source.siblings.values(), settings.to_json())
    held = secrets_held("\n".join(texts), _environ())
    if held:
        raise UserError(
            f"the experiment file or a setting holds the value of {held[0]}, and a run records both: take it "
            "out there; keys come from the environment or from .env"
        )


def _to_resume(
    name: str, target: str | None, out: Path | None, config_file: Path | None, *, ask_missing: bool
) -> Path:
    """Find the run to go on with."""
    if out is not None:
        raise click.UsageError("--out goes with a new run; a resumed one stays where it is")
    folder = find_run(name, load(config_file, ()).settings.runs)
    run = Run(folder)
    meta = run.meta
    if target is not None and Source.read(target).hash != Source.recorded(meta).hash:
        raise UserError(
            f"{folder} is a run of {meta['experiment']['path']} as it was then, and {target} is something "
            f"else; resume without naming a file: {_resume_command(folder)}"
        )
    recorded = Settings.from_json(json.dumps(meta["settings"]))
    if not ask_missing and meta["status"] == "finished" and is_frozen(folder, parquet=recorded.log.parquet):
        lacks = missing_words(run)
        ways = [f"{lacks}; ask again by: {_resume_command(folder)} --ask-missing"] if lacks else []
        ways.append(f"look at it with: agentnet show {shlex.quote(str(folder))}")
        raise UserError(f"{folder} is finished; {'; '.join(ways)}")
    return folder


def _asking_again(run: Run) -> Path:
    lacks = missing_words(run)
    folder = ask_again(run.folder)
    where = "the same run" if folder == run.folder else f"{folder}, a copy: other answers follow from them"
    echo(f"{lacks}; asking again in {where}", err=True)
    return folder


def _resumed(folder: Path, assignments: Sequence[str], flags: Sequence[tuple[str, str, object]]) -> Prepared:
    recorded = Settings.from_json(json.dumps(Run(folder).meta["settings"]))
    settings = configuration_for_resume(recorded, flags=[*assignments, *given(flags)]).settings
    return reopen(folder, settings, _environ())


def _environ() -> dict[str, str]:
    return secrets_environ(Path.cwd(), os.environ)


def _backend(prepared: Prepared) -> Backend:
    voices, asks_own = voices_of(prepared.experiments), prepared.stage.asks_own()
    return make_voices(prepared.settings, voices, _environ(), asks_own=asks_own)


async def _play(runner: Runner, prepared: Prepared, *, quiet: bool) -> None:
    playing = asyncio.ensure_future(runner.play())
    outlook = Outlook(
        runner.tally,
        len(prepared.plan),
        prepared.stage.n_fixed(),
        noun=prepared.family.answers,
        told=prepared.family.progress,
    )
    n_received = 0

    def receive() -> None:
        nonlocal n_received
        n_received += 1
        if n_received > 1:
            playing.cancel()
            return
        runner.interrupt()
        # The terminal may be gone: that is what a hang-up says.
        with suppress(OutputClosed):
            echo("\nfinishing what is in flight; once more to stop at once", err=True)

    try:
        with heeding(receive):
            async with progress(
                outlook, quiet=quiet, guess=partial(guess_decisions, prepared), closed=runner.interrupt
            ):
                await playing
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _say(line: str) -> None:
    echo(line, err=True)


def _resume_command(folder: Path) -> str:
    return f"agentnet run --resume {shlex.quote(str(folder))}"


def _say_how_to_resume(folder: Path) -> None:
    echo(f"resume with: {_resume_command(folder)}", err=True)


def _report(prepared: Prepared, tally: Tally, seconds: float, *, as_json: bool) -> None:
    meta = Run(prepared.folder).meta
    result = {
        "run": str(prepared.folder),
        "status": meta["status"],
        "realizations": tally.realizations,
        **prepared.stage.counted(tally),
        "calls": tally.n_calls,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "dollars": tally.dollars(),
        "seconds": round(seconds, 3),
        "digest": meta["digest"],
    }
    if as_json:
        print_json(result)
    else:
        print_table(("", ""), list(result.items()))


def _readings(prepared: Prepared) -> list[str]:
    """Say what was read, so that a wrong file shows; what a terminal would act upon is spelled out."""
    return [
        "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
        for line in prepared.stage.readings()
    ]


@click.command()
@click.argument("target", metavar="FILE[:Class]")
@named_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@setting_options
def check(
    target: str,
    as_json: bool,
    assignments: tuple[str, ...],
    config_file: Path | None,
    **named: object,
) -> None:
    """Import and validate an experiment, show a prompt of each kind, count the calls. Asks nobody.

    Where a condition's prompts differ from those of the first one, the first that differs is shown.
    """
    flags = [(*_NAMED[name], value) for name, value in named.items()]
    settings = load(config_file, assignments, flags).settings
    prepared = prepare(Source.read(target), settings, Path(os.devnull), _environ())
    answering = _backend(prepared)
    found = asyncio.run(estimate(prepared))
    prices = price_list(settings.stack)
    price = {voice: prices.of(part.backend.model_name) for voice, part in parts_of(answering).items()}
    if as_json:
        name, model_name = prepared.stage.who_answers(answering)
        voices = {"voices": described(answering)} if described(answering) else {}
        told = {"backend": name, "model": model_name, **voices, **prepared.stage.facts()} | _costs(
            found, price
        )
        apart = prompts_apart(prepared)
        print_json({**told, "prompts_of_conditions": apart} if apart else told)
    else:
        _print_check(prepared, answering, found, price)


def _print_check(
    prepared: Prepared, answering: Backend, found: Estimate, price: Mapping[str, Price | None]
) -> None:
    first = prepared.experiments[0]
    name, model_name = prepared.stage.who_answers(answering)
    echo(f"{type(first).__name__} on {name} ({model_name}): the design is sound\n")
    print_table(("knob", "value"), sorted(prepared.designs()[0].items()))
    for line in _readings(prepared):
        echo(line)
    if voices := described(answering):
        needs = needs_of(answering)
        rows = [
            (voice or "(no voice)", each["backend"], each["model_name"], needs.get(voice, "nothing"))
            for voice, each in voices.items()
        ]
        print_table(("voice", "backend", "model", "needs"), rows, title="\nwho answers")
    for kind, messages in found.prompts.items():
        echo(f"\n--- prompt: {kind} ---")
        for role, content in messages:
            echo(f"[{role}]\n{content}\n")
    for condition, kinds in prompts_apart(prepared).items():
        _print_apart(condition, kinds)
    untold = {"prompts", "how", "notes", "tokens_by_voice"}
    told = [row for row in _costs(found, price).items() if row[0] not in untold]
    print_table(("estimate", "value"), told)
    for line in (found.how, *(found.notes or ())):
        echo(line)


def _print_apart(condition: str, kinds: Mapping[str, tuple[str, Messages] | None]) -> None:
    """Show the prompts of a condition where they differ from those of the first one."""
    alike = [kind for kind, apart in kinds.items() if apart is None]
    if alike:
        echo(f"--- prompts of {condition}: {' and '.join(alike)} as in condition 0 ---")
    for kind, (about, messages) in ((kind, apart) for kind, apart in kinds.items() if apart is not None):
        echo(f"\n--- prompt of {condition}: {kind} {about} ---")
        for role, content in messages:
            echo(f"[{role}]\n{content}\n")


def _costs(found: Estimate, price: Mapping[str, Price | None]) -> dict[str, object]:
    """Add the price to an estimate, that of each voice's model; an unknown one is said, not guessed."""
    used = found.by_voice if len(price) > 1 or OWN not in price else {}
    tokens = used or {OWN: (found.prompt_tokens, found.completion_tokens)}
    dollars: float | None = 0.0
    for voice, (n_in, n_out) in tokens.items():
        of_it = price.get(voice)
        if (n_in or n_out) and dollars is not None:
            dollars = None if of_it is None else dollars + of_it.cost(n_in, n_out)
    return {**found.as_dict(), "dollars": dollars if dollars is not None else "unknown: state stack.prices"}
