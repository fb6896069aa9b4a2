"""The command that writes a report of runs: `report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentnet.cli.common import (
    Chosen,
    column_option,
    find_run,
    fitting_options,
    leaving_out,
    print_json,
    read_groups,
    read_text,
    setting_options,
    without_people_option,
)
from agentnet.cli.completion import complete_runs
from agentnet.cli.embedders import embedder_maker, embedding_options
from agentnet.cli.news import column_map
from agentnet.cli.terminal import echo

if TYPE_CHECKING:
    from agentnet.analysis.severity_clusters import SeverityClusters

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("names", metavar="RUN [RUN ...]", nargs=-1, required=True, shell_complete=complete_runs)
@click.option("--output", type=_FILE, help="Folder to write; default: RUN/report of the first run.")
@fitting_options(groups="by response ratios, if given")
@click.option(
    "--n-groups",
    type=click.IntRange(1, 32),
    help="Groups that the response ratios are to give; default: as many as Tukey's test finds.",
)
@click.option(
    "--severity-clusters", "clusters_file", type=_FILE, help="JSON file of clusters of the news items' texts."
)
@click.option(
    "--probe", "probe_file", type=_FILE, help="Card of agentnet probe; default: probe.json in the run."
)
@click.option(
    "--observed",
    type=_FILE,
    help="Table of cascades observed elsewhere (see: agentnet trees), to compare with.",
)
@column_option("the observed table")
@click.option(
    "--decisions",
    "n_decisions",
    type=click.IntRange(0),
    default=300,
    show_default=True,
    help="Decisions to browse, at most.",
)
@embedding_options("Embedder of interacting models' answers: hash, minilm, ...; default: the run's own.")
@click.option("--no-figures", is_flag=True, help="Draw no figures, which takes most of the time.")
@click.option(
    "--restricted-texts",
    is_flag=True,
    help="Show texts, too, that their source does not let pass on (ACLED's).",
)
@without_people_option
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@setting_options
def report(
    names: tuple[str, ...],
    output: Path | None,
    laws: tuple[str, ...],
    by: tuple[str, ...],
    groups_file: Path | None,
    n_groups: int | None,
    clusters_file: Path | None,
    probe_file: Path | None,
    observed: Path | None,
    columns: tuple[str, ...],
    n_runs: int | None,
    n_bootstrap: int,
    level: float,
    seed: int,
    n_decisions: int,
    embedder: str | None,
    embedder_options: tuple[str, ...],
    no_figures: bool,
    restricted_texts: bool,
    without_people: bool,
    as_json: bool,
    quiet: bool,
    chosen: Chosen,
) -> None:
    """Write a report of runs: one page that needs nothing else, tables, figures, results as JSON.

    RUN is a run folder, its name, or 'last': a run of cascades, a run of response ratios, which gives the
    groups of profiles, a run of interacting models, or several of them. Works on runs that are still played.

    \b
      agentnet report last
      agentnet report news_cascade-20261121-031438 response_ratios-20261121-031441 --output report
    """
    from agentnet.analysis import read_observed
    from agentnet.analysis.laws import LAWS, named_laws
    from agentnet.probe.card import read_card
    from agentnet.report.options import Options
    from agentnet.report.write import write_report

    runs = chosen.runs
    folders = [find_run(name, runs) for name in names]
    if embedder:
        _say_if_in_vain(folders)
    options = Options(
        laws=named_laws(laws) or LAWS,
        by=by,
        n_runs=n_runs,
        n_bootstrap=n_bootstrap,
        level=level,
        seed=seed,
        groups=None if groups_file is None else read_groups(groups_file),
        n_groups=n_groups,
        severity_clusters=None if clusters_file is None else _clusters(clusters_file),
        probe=None if probe_file is None else read_card(probe_file),
        observed=None if observed is None else read_observed(observed, columns=column_map(columns)).trees(),
        n_decisions=n_decisions,
        figures=not no_figures,
        restricted_texts=restricted_texts,
        make_embedder=embedder_maker(embedder, embedder_options, runs),
    )
    with leaving_out(folders, people=without_people) as read:
        place, progress = output or folders[0] / "report", None if quiet else _say
        written = write_report(read, place, options, progress=progress)
    if as_json:
        print_json(written.results)
    else:
        echo(str(written.page))


def _say(what: str) -> None:
    echo(f"{what} ...", err=True)


def _say_if_in_vain(folders: Sequence[Path]) -> None:
    from agentnet.events import Run
    from agentnet.families.lookup import family_of

    if not any("interviews" in family_of(Run(each).meta).read_as for each in folders):
        echo("warning: nothing is embedded (--embedder): no model of these runs is interviewed", err=True)


def _clusters(path: Path) -> SeverityClusters:
    from agentnet.analysis.severity_clusters import SeverityClusters

    return SeverityClusters.from_json(read_text(path), path=path)
