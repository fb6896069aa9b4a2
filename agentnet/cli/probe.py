"""The command `probe`: a validity card of a backend, before its answers are taken for agents'."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentnet.backend import Backend, make_backend
from agentnet.cli.common import Chosen, find_run, print_json, print_table, setting_options
from agentnet.cli.completion import complete_files
from agentnet.cli.run import NAMED, heeded, say
from agentnet.cli.terminal import echo
from agentnet.config import BackendSettings, Settings, configuration_for_resume, secrets_environ
from agentnet.errors import ConfigurationError, DesignError, WorldError
from agentnet.events import Run
from agentnet.experiment import Source
from agentnet.families import FAMILIES, USUAL
from agentnet.runner import Prepared, prepare
from agentnet.runner.begin import recorded_settings
from agentnet.runner.prepare import reopen
from agentnet.stack import FewerSamples, Stack, build_stack, cache_scope, price_list
from agentnet.voices import OWN, VoicePart, VoicesBackend, voices_of

if TYPE_CHECKING:
    from agentnet.probe.asking import Asker
    from agentnet.probe.card import Card, CardFigure
    from agentnet.probe.costs import ProbeCost

_FILE = click.Path(path_type=Path)
_FEWEST_TEXTS = 4


@click.command()
@click.argument("target", metavar="[FILE[:Class]|RUN]", required=False, shell_complete=complete_files)
@click.option("--backend", help="Backend that is probed; see: agentnet backends.")
@click.option("--model", help="Model name, for backends that have several.")
@click.option("--seed", type=int, help="Fixes the samples and the news.")
@click.option("--max-cost", type=float, help="Stop before the probe costs more US dollars.")
@click.option("--max-calls", type=int, help="Stop before the probe makes more requests.")
@click.option("--check", "checks", multiple=True, metavar="NAME", help="Make this check only. Repeatable.")
@click.option(
    "--texts",
    "n_texts",
    type=click.IntRange(_FEWEST_TEXTS),
    default=32,
    show_default=True,
    help="Texts sampled of a question where the backend lists no probabilities.",
)
@click.option(
    "--beside",
    multiple=True,
    metavar="KEY=VALUE",
    help="In check formats, compare with another setting (backend.constrain=none). Repeatable.",
)
@click.option("--cost", "only_cost", is_flag=True, help="Say what the probe takes, and ask nobody.")
@click.option("--out", type=_FILE, help="JSON file to write; default: probe.json in the RUN.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the card as JSON.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@setting_options
def probe(
    target: str | None,
    checks: tuple[str, ...],
    n_texts: int,
    beside: tuple[str, ...],
    only_cost: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
    chosen: Chosen,
    **named: object,
) -> None:
    """Find out whether a backend's answers are about what it is asked, and print a validity card.

    A few hundred requests put the questions of an experiment (FILE), of a run (RUN, whose backend is probed
    then) or of the default cascade in several ways: yes and no in either order and by other words, without
    news or traits, asked for the opposite, reworded, one at a time and together, in other formats. Each check
    gives a verdict (passes, doubtful, fails, not known) with its threshold, and figures with intervals. What
    it takes is said before. What was answered is remembered (stack.cache): a probe that was stopped goes on
    where it was when it is called again, and costs nothing the second time.

    \b
      agentnet probe --backend mock
      agentnet probe experiments/news_cascade.py --backend openai --model gpt-4o-mini --cost
      agentnet probe experiments/news_cascade.py --backend vllm --max-calls 1000 --out card.json
      agentnet probe last && agentnet report last

    A report shows the card that lies in its run (probe.json), or another: agentnet report RUN --probe FILE.
    """
    from agentnet.files import check_target, text_writer
    from agentnet.probe.card import FILE
    from agentnet.probe.contract import CHECKS

    for name in checks:
        CHECKS.load(name)
    flags = [(*NAMED[name], value) for name, value in named.items()]
    prepared, asked = _prepared(target, chosen, flags)
    if out is None and prepared.folder.is_dir():
        out = prepared.folder / FILE
    if out is not None and not only_cost:
        check_target(out, force=force)
    names = checks or tuple(CHECKS)
    tell = _say_nothing if quiet else say
    probing = _probed(prepared, names, asked, n_texts, beside, only_cost=only_cost, tell=tell)
    try:
        made = asyncio.run(heeded(probing))
    except (WorldError, KeyboardInterrupt):
        say("what was answered is remembered: the same command goes on where this one ended")
        raise
    if made is None:
        return
    if out is not None:
        with text_writer(out, force=force) as file:
            file.write(made.model_dump_json(indent=1) + "\n")
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        _show(made)
    if out is not None:
        tell(f"wrote {out}")


def _prepared(
    target: str | None,
    chosen: Chosen,
    flags: list[tuple[str, str, object]],
) -> tuple[Prepared, str]:
    """Get an experiment's questions ready, those of a run as it recorded them; and name them."""
    environ = secrets_environ()
    runs = chosen._replace(assignments=()).runs
    is_run = target is not None and not Path(target.partition(".py:")[0]).is_file() and ".py" not in target
    if target is not None and is_run:
        folder = find_run(target, runs)
        recorded = recorded_settings(Run(folder))
        settings = configuration_for_resume(recorded, flags=chosen.flags(flags)).settings
        # A shard's part of the bounds is not meant for this.
        whole = replace(reopen(folder, settings, environ), settings=settings)
        return whole, f"the questions of run {folder.name}"
    settings = chosen.load(flags).settings
    usual = Source(Path("default.py"), "", held=FAMILIES[USUAL].experiment())
    source = usual if target is None else Source.read(target)
    asked = (
        "the questions of the default cascade" if target is None else f"the questions of {source.path.name}"
    )
    return prepare(source, settings, Path(os.devnull), environ), asked


async def _probed(
    prepared: Prepared,
    names: Sequence[str],
    asked: str,
    n_texts: int,
    beside: Sequence[str],
    *,
    only_cost: bool,
    tell: Any,  # noqa: ANN401 - called with a line
) -> Card | None:
    """Say what a probe takes, and make it.

    Raises:
        DesignError: The experiment asks no questions that a probe could put.
    """
    from agentnet.probe.asking import Asker, find_probabilities
    from agentnet.probe.contract import make_card
    from agentnet.probe.subject import ProbeSubject

    composer = prepared.stage.composer(0)
    if isinstance(composer, str):
        raise DesignError(
            f"{asked} cannot be put otherwise: {composer}; probe the backend with those of the default "
            "cascade: agentnet probe --backend NAME"
        )
    settings = prepared.settings
    answering, others = _answering(settings, beside)
    stack = _stack(answering, settings, tell)
    asker = Asker(
        FewerSamples(stack.backend, tell=tell),
        ProbeSubject(composer),
        settings.seed,
        n_texts,
        settings.sampler.n_at_most,
        others=others,
    )
    try:
        say("\n".join(await _costs(asker, names, settings, answering)))
        if only_cost:
            return None
        why = await find_probabilities(asker)
        notes = [f"Probabilities are shares of texts: {why}."] if why else []
        voices = ", ".join(name for name, of in voices_of(prepared.experiments).items() if of)
        notes += (
            [f"Agents of voices ({voices}) are answered otherwise, which is not probed."] if voices else []
        )
        return await make_card(
            asker, names, asked=asked, notes=notes, answer_format=_format(asker, settings), tell=tell
        )
    finally:
        await stack.backend.aclose()


def _answering(settings: Settings, beside: Sequence[str]) -> tuple[Backend, dict[str, str]]:
    """Make the backend, and the same under other settings as voices of one run, which share its budget."""
    environ = secrets_environ()
    own = settings.backend
    parts = {OWN: VoicePart(make_backend(own.name, own.options, environ), own)}
    for assignment in beside:
        key, _, text = assignment.partition("=")
        if not key.startswith("backend.") or not text:
            raise ConfigurationError(f"--beside {assignment!r} is not backend.KEY=VALUE")
        other = Chosen((assignment,)).load().settings.backend.options[key.removeprefix("backend.")]
        options = {**own.options, key.removeprefix("backend."): other}
        of_it = BackendSettings(name=own.name, **options)
        parts[assignment] = VoicePart(make_backend(own.name, options, environ), of_it)
    names = {name: name for name in parts if name != OWN}
    return (VoicesBackend(parts), names) if names else (parts[OWN].backend, {})


def _stack(answering: Backend, settings: Settings, tell: Any) -> Stack:  # noqa: ANN401 - called with a line
    return build_stack(
        answering,
        settings.stack,
        scope=cache_scope(answering, settings.backend),
        cache_folder=settings.runs / ".cache",
        in_flight=settings.engine.workers,
        complain=tell,
        adapted=lambda changes: tell("; ".join(("adapted to the server", *changes))),
    )


async def _costs(asker: Asker, names: Sequence[str], settings: Settings, answering: Backend) -> list[str]:
    """Say what the probe takes, with probabilities and without."""
    from agentnet.probe.costs import cost_of

    lines = []
    for lists, when in ((True, "if the backend lists probabilities"), (False, "if it does not")):
        cost = await cost_of(asker, names, lists_probabilities=lists)
        lines.append(f"{when}: {_cost_in_words(cost, settings, answering.model_name)}")
    return lines


def _cost_in_words(cost: ProbeCost, settings: Settings, model_name: str) -> str:
    price = price_list(settings.stack).of(model_name)
    dollars = "cost unknown: state stack.prices"
    if price is not None:
        dollars = f"${price.cost(cost.prompt_tokens, cost.completion_tokens):.4f}"
    return (
        f"{cost.calls:,} requests ({cost.most_calls:,} of a server that gives one text a request), about "
        f"{cost.prompt_tokens:,} tokens in and {cost.completion_tokens:,} out, {dollars}"
    )


def _format(asker: Asker, settings: Settings) -> str:
    allowed, _ = asker.subject.composer.constraint("none")
    way = settings.backend.options.get("constrain")
    held = f"to {' or '.join(allowed)}" if allowed else "not at all"
    return f"{held} (backend.constrain = {way})" if way is not None else held


def _show(card: Card) -> None:
    for line in card.about():
        echo(line)
    for each in card.findings:
        missing = f", {each.n_missing:,} answers missing" if each.n_missing else ""
        echo(f"\n{each.verdict.upper()}: {each.title}  ({each.check}; {each.n_calls:,} requests{missing})")
        if each.figures:
            print_table(("", "", "interval"), [_row(figure) for figure in each.figures])
        for sentence in (*each.says, each.threshold):
            echo(f"  {sentence}")
    echo(f"\n{card.in_a_line()}")


def _row(figure: CardFigure) -> tuple[str, str, str]:
    value, low, high = (
        None if each is None else f"{each:.3g}" for each in (figure.value, figure.low, figure.high)
    )
    return f"  {figure.name}", value or "not known", "" if low is None else f"{low} to {high}"


def _say_nothing(_: str) -> None:
    """Leave a line unsaid."""
