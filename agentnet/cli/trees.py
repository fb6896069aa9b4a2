"""The command that measures trees of messages, of runs and of cascades observed elsewhere: `trees`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentnet.cli.common import find_run, load, print_json, print_table, setting_options
from agentnet.cli.news import column_map
from agentnet.cli.terminal import echo
from agentnet.events import LOG_NAME, Run
from agentnet.events.conditions import Condition
from agentnet.files import text_writer

if TYPE_CHECKING:
    from agentnet.analysis import Trees
    from agentnet.analysis.trees import Distance


@click.command()
@click.argument("names", metavar="RUN|FILE [RUN|FILE ...]", nargs=-1, required=True)
@click.option(
    "--of",
    metavar="shares|messages",
    default="shares",
    show_default=True,
    help="What the nodes of runs are: agents that engaged, or messages that were written.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Read a field of files (id, parent, author, time) from a column of another name. Repeatable.",
)
@click.option("--encoding", metavar="NAME", help="How files are written, such as cp1252; by default UTF-8.")
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path), help="CSV file to write: one row for each tree."
)
@click.option("--force", is_flag=True, help="Replace the CSV file if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@setting_options
def trees(
    names: tuple[str, ...],
    of: str,
    columns: tuple[str, ...],
    encoding: str | None,
    csv_file: Path | None,
    force: bool,
    as_json: bool,
    assignments: tuple[str, ...],
    config_file: Path | None,
) -> None:
    """Measure the trees along which messages were passed on: size, depth, width, structural virality.

    RUN is a run folder, its name, or 'last'. In cascades an engaged agent's parent is the source of the yes
    that engaged it; a message's parent (--of messages) is what it retells or answers. FILE is a table of
    cascades that were observed, such as replies or retweets: delimited text, JSON Lines or a spreadsheet with
    columns id, parent, author, time.
    Trees of runs are compared with those of files.

    \b
      agentnet trees last
      agentnet trees last retweets.csv --column parent=retweeted_status_id --csv trees.csv
    """
    from agentnet.analysis import tree_distances

    runs = load(config_file, assignments).settings.runs
    seen = [name for name in names if Path(name).is_file() and Path(name).name != LOG_NAME]
    played = [each for name in names if name not in seen for each in _of_run(find_run(name, runs), of)]
    observed = [_of_file(Path(name), column_map(columns), encoding) for name in seen]
    distances = {(one.name, other.name): tree_distances(one, other) for one in played for other in observed}
    if csv_file is not None:
        with text_writer(csv_file, force=force) as file:
            file.write(_csv([*played, *observed]))
    if as_json:
        pairs = [
            {"played": one, "observed": other, **each._asdict()}
            for (one, other), found in distances.items()
            for each in found
        ]
        print_json({"trees": [each.as_json() for each in (*played, *observed)], "distances": pairs})
        return
    _print([*played, *observed], distances)


def _of_run(folder: Path, of: str) -> Iterator[Trees]:
    """Give the trees of each condition of a run."""
    from agentnet.analysis import trees_of

    run = Run(folder)
    found, conditions = trees_of(run, of).trees(), Condition.all_of(run.meta)
    for each in conditions:
        name = f"{found.name} ({each.name})" if len(conditions) > 1 else found.name
        yield found.where(found.columns["condition"] == each.number, name)


def _of_file(path: Path, columns: Mapping[str, str], encoding: str | None) -> Trees:
    from agentnet.analysis import read_observed

    return read_observed(path, columns=columns, encoding=encoding).trees()


def _csv(every: Sequence[Trees]) -> str:
    """Write a row for each tree; a text that a spreadsheet would execute has an apostrophe in front."""
    from agentnet.report.tables import Table, as_named

    rows = [{"of": each.name, **row} for each in every for row in each.frame().to_dict("records")]
    columns = list(dict.fromkeys(str(name) for row in rows for name in row))
    cells = tuple(tuple(row.get(name) for name in columns) for row in rows)
    return Table("trees", "Trees", as_named(" ".join(columns)), cells).to_csv()


def _print(every: Sequence[Trees], distances: Mapping[tuple[str, str], Sequence[Distance]]) -> None:
    from agentnet.analysis.trees import MEASURES, QUANTILES

    rows = [
        [each.name, each.in_words(measure), *values.values()]
        for each in every
        for measure, values in each.summary().items()
    ]
    print_table(
        ("of", "measure", "trees", "mean", *(f"{share:.0%}" for share in QUANTILES.values()), "most"), rows
    )
    apart = [
        [f"{one} and {other}", MEASURES[each.measure], each.statistic, each.floor, each.p_value]
        for (one, other), found in distances.items()
        for each in found
    ]
    if apart:
        title = "\nhow far apart: Kolmogorov and Smirnov's distance, 0 to 1"
        print_table(("of", "measure", "distance", "chance alone, 95%", "p"), apart, title=title)
    notes = [f"{each.name}: {note}" for each in every for note in each.notes]
    notes += [each.remark for found in distances.values() for each in found if each.remark]
    for note in dict.fromkeys(notes):
        echo(f"* {note}")
