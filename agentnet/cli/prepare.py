"""The command that teaches a raw base model to answer questions: `prepare`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from agentnet.cli.common import Finite, column_option, print_json
from agentnet.cli.news import column_map
from agentnet.cli.terminal import echo
from agentnet.config import secrets_environ
from agentnet.errors import ConfigurationError, InputError, Interrupted, PluginError
from agentnet.interviews.instructions import CARD_NAME

_FILE = click.Path(path_type=Path)
_SAY_EVERY_S = 10.0


@click.command()
@click.argument("base", metavar="BASE")
@click.option("--data", type=_FILE, required=True, help="Instructions with responses: JSON Lines or a table.")
@click.option("--out", type=_FILE, required=True, help="Folder to write the model to.")
@click.option("--category", "categories", multiple=True, metavar="NAME", help="Take this one. Repeatable.")
@click.option("--all-categories", is_flag=True, help="Take every category.")
@click.option("--longest", default=99, show_default=True, help="Characters of the longest response taken.")
@column_option("the tables")
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1), help="Passes over the data.")
@click.option("--lr", default=5e-5, show_default=True, type=Finite(0, 1, min_open=True), help="Adam's.")
@click.option("--batch", default=8, show_default=True, type=click.IntRange(1), help="Pairs a step of Adam.")
@click.option("--seed", default=0, show_default=True, help="Fixes the order of the pairs.")
@click.option(
    "--checkpoint-every", default=200, show_default=True, type=click.IntRange(1), help="Steps between two."
)
@click.option(
    "-U", "options", multiple=True, metavar="KEY=VALUE", help="Option of the update rule (device=cuda)."
)
@click.option("--update", default="finetune", show_default=True, help="The update rule that it is for.")
@click.option("--force", is_flag=True, help="Replace the folder if it exists and holds a prepared model.")
@click.option("--json", "as_json", is_flag=True, help="Print what is written beside the model, as JSON.")
def prepare(
    base: str,
    data: Path,
    out: Path,
    categories: tuple[str, ...],
    all_categories: bool,
    longest: int,
    columns: tuple[str, ...],
    epochs: int,
    lr: float,
    batch: int,
    seed: int,
    checkpoint_every: int,
    options: tuple[str, ...],
    update: str,
    force: bool,
    as_json: bool,
) -> None:
    """Teach a raw base model to answer questions, for the update rule finetune.

    BASE is a causal language model: a folder, a GGUF file, or a name on the Hugging Face Hub. A raw base,
    such as pythia-410m, continues texts; models that are to interview each other must answer. Chat models
    do already, and need none of this.

    As in Helm et al. (2024), appendix A: "### Instruction:", "### Response:" and "### End" become tokens, and
    all weights are trained for 10 epochs by Adam at 5e-5, 8 pairs a step, on Databricks' Dolly 15k: the
    categories brainstorming, creative_writing, general_qa and open_qa, responses below 100 characters.
    Their loss ended near 0.26. The data is yours to fetch (databricks-dolly-15k.jsonl); any JSON Lines or
    table with columns instruction and response will do, and category and context where there are some.
    Rows with a context are left out.

    Broken off, by Ctrl-C or worse, the same command goes on from the last checkpoint (OUT.unfinished) and
    ends in the same model. Beside the model stands agentnet.json: base, data, settings, loss.

    \b
      agentnet prepare EleutherAI/pythia-410m-deduped --data databricks-dolly-15k.jsonl --out models/pythia
      agentnet prepare BASE --data mine.csv --column response=answer --out models/mine -U device=cuda
      agentnet run experiments/polarization.py --update finetune -S finetune.model=models/pythia
    """
    from agentnet.interviews import make_update_rule
    from agentnet.interviews.instructions import CATEGORIES, Tuning, load_instructions

    _check_folder(out, force=force)
    kept = None if all_categories else categories or CATEGORIES
    found = load_instructions(data, columns=column_map(columns), categories=kept, longest=longest)
    left_out = ", ".join(f"{n:,} {why}" for why, n in found.left_out.items()) or "none"
    echo(f"{data}: {len(found.taken):,} pairs of instruction and response; left out: {left_out}", err=True)
    rule = make_update_rule(update, {"model": base, **_options(options)}, secrets_environ())
    teach = getattr(rule, "prepare", None)
    if teach is None:
        raise PluginError(f"the update rule {update!r} has no models that could be prepared; finetune has")
    facts = {
        "data": data.name,
        "data_sha256": found.sha256,
        "categories": kept,
        "longest": longest,
        "left_out": found.left_out,
    }
    try:
        card = teach(found.taken, Tuning(epochs, lr, batch, seed, checkpoint_every), out, facts, _Progress())
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted; the same command goes on from the last checkpoint") from error
    if as_json:
        print_json(card)
    else:
        _show(card, out, update)


def _check_folder(out: Path, *, force: bool) -> None:
    if not out.parent.is_dir():
        raise InputError(f"there is no folder {out.parent}; make it first", path=out)
    if out.exists() and not (force and out.is_dir()):
        raise InputError("exists already; name another folder, or pass --force to replace one", path=out)
    if out.exists() and any(out.iterdir()) and not (out / CARD_NAME).is_file():
        raise InputError(
            f"holds something else than a prepared model (there is no {CARD_NAME}); name another folder",
            path=out,
        )


def _options(options: Sequence[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not (key and equals) or key == "model":
            raise ConfigurationError(
                f"-U {option!r} is not KEY=VALUE, such as device=cuda; the model is the command's argument"
            )
        found[key] = value
    return found


@dataclass(slots=True)
class _Progress:
    """Says on standard error how far the training is, now and then."""

    said_s: float = field(default_factory=time.monotonic)
    first: tuple[float, int] | None = None

    def __call__(self, step: int, n_steps: int, loss: float) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = now, step
            echo(f"{'going on after' if step else 'training:'} step {step:,} of {n_steps:,}", err=True)
        if math.isnan(loss) or (now - self.said_s < _SAY_EVERY_S and step < n_steps):
            return
        self.said_s = now
        begun_s, before = self.first
        left = (now - begun_s) / max(1, step - before) * (n_steps - step) / 60
        echo(f"step {step:,} of {n_steps:,}, loss {loss:.3f}, about {left:,.0f} min left", err=True)


def _show(card: Mapping[str, object], out: Path, update: str) -> None:
    echo(f"wrote {out}: loss {card['loss']:.3f} nats a token in the last epoch of {card['epochs']}")
    echo(
        f"next: agentnet run experiments/polarization.py --update {update} -S {update}.model={out}", err=True
    )
