"""The command that predicts how often profiles share news from what they say: `predict`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from agentnet.cli.common import Chosen, find_run, print_json, print_table, setting_options
from agentnet.cli.completion import complete_runs
from agentnet.cli.embedders import embedder_maker, embedding_options
from agentnet.cli.terminal import echo
from agentnet.events import Run

if TYPE_CHECKING:
    from agentnet.analysis.predict import RatioPrediction
    from agentnet.analysis.profile_runs import ProfileAnswers
    from agentnet.embedder import CachedEmbedder


@click.command()
@click.argument("perspectives_run", metavar="PERSPECTIVES_RUN", shell_complete=complete_runs)
@click.argument("ratios_run", metavar="RATIOS_RUN", shell_complete=complete_runs)
@embedding_options("Embedder of the answers: hash, minilm, openai, ...; default: the run's own.")
@click.option(
    "--dims",
    "n_dims",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Dimensions of the perspectives.",
)
@click.option("--folds", "n_folds", type=int, help="Folds; default: one profile is held out at a time.")
@click.option(
    "--repeats",
    "n_repeats",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="How often profiles are dealt to folds.",
)
@click.option(
    "--permutations",
    "n_permutations",
    type=click.IntRange(1),
    default=999,
    show_default=True,
    help="Permutations behind each p-value.",
)
@click.option("--condition", type=int, help="Which condition, from 0, of cascades that have several.")
@click.option("--seed", type=int, default=0, show_default=True, help="Fixes folds and permutations.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, each profile's prediction included.")
@setting_options
def predict(
    perspectives_run: str,
    ratios_run: str,
    embedder: str | None,
    embedder_options: tuple[str, ...],
    n_dims: int,
    n_folds: int | None,
    n_repeats: int,
    n_permutations: int,
    condition: int | None,
    seed: int,
    as_json: bool,
    chosen: Chosen,
) -> None:
    """Predict how often profiles share news from what they say.

    PERSPECTIVES_RUN is a run that asks each profile the same questions; RATIOS_RUN one of response ratios
    or of cascades. Each is a run folder, its name, or 'last'.

    Answers are embedded and placed by classical scaling; ridge regressions predict the sharing ratio of each
    profile from all others, from perspectives, from the five traits, and from both. R2 is 1 less the squared
    errors over those of the others' mean: 0 is no better than that mean. p is that of a permutation test. The
    ceiling is what the true probabilities would reach, as ratios of finitely many decisions are noisy.

    The hash embedder knows words only: for results take minilm or openai.

    \b
      agentnet run experiments/news_perspectives.py --out runs/perspectives
      agentnet run experiments/response_ratios.py --out runs/ratios
      agentnet predict perspectives ratios --embedder minilm
    """
    from agentnet.analysis.answers import own_embedder
    from agentnet.analysis.predict import predict_ratios
    from agentnet.analysis.profile_runs import read_sharing

    runs = chosen.runs
    asked, shared = (find_run(name, runs) for name in (perspectives_run, ratios_run))
    counts = read_sharing(shared, condition=condition)
    run = Run(asked)
    made = embedder_maker(embedder, embedder_options, runs)(*own_embedder(run.meta))
    answers = asyncio.run(_answers(run, made))
    found = predict_ratios(
        answers,
        counts,
        n_dims=n_dims,
        n_folds=n_folds,
        n_repeats=n_repeats,
        n_permutations=n_permutations,
        seed=seed,
    )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)


async def _answers(run: Run, embedder: CachedEmbedder) -> ProfileAnswers:
    from agentnet.analysis.profile_runs import read_profile_answers

    try:
        return await read_profile_answers(run, embedder)
    finally:
        await embedder.aclose()


def _print(found: RatioPrediction) -> None:
    for label in found.labels:
        echo(label)
    decisions = int((found.counts.n_yes + found.counts.n_no).sum())
    echo(
        f"{len(found.ratio)} profiles: answers of {found.answers.run} to {found.answers.block.shape[1]} "
        f"questions, embedded by {found.answers.embedder}; {decisions:,} decisions of {found.counts.run}\n"
    )
    how = (
        "each profile held out in turn"
        if found.n_folds is None
        else f"{found.n_folds} folds, dealt {found.n_repeats} times"
    )
    rows: list[tuple[object, ...]] = [
        (_TITLES[each.name], each.n_features, _figure(each.r_squared), f"{each.p_value:.3g}")
        for each in found.scores
    ]
    rows.append(("gain of both over traits", None, _figure(found.gain), f"{found.gain_p_value:.3g}"))
    rows.append(("ceiling (binomial noise)", None, _figure(found.ceiling), None))
    print_table(("predicted from", "features", "R2", "p"), rows, title=f"sharing ratios, {how}")
    shown = f"perspectives of {found.n_dims} dimensions express {found.explained_share:.0%} of all distances"
    echo("\n" + "\n".join(f"* {note}" for note in (shown, *found.notes)))


_TITLES = {"perspectives": "perspectives", "traits": "five traits", "both": "both"}


def _figure(value: float) -> str:
    return f"{value:.3f}"
