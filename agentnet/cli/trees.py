"""The command that measures trees of messages, of runs and of cascades observed elsewhere: `trees`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentnet.cli.common import Chosen, column_option, find_run, print_json, print_table, setting_options
from agentnet.cli.news import column_map
from agentnet.cli.terminal import echo
from agentnet.errors import RunFolderError, UserError
from agentnet.events import LOG_NAME, Run
from agentnet.events.conditions import Condition
from agentnet.files import text_writer

if TYPE_CHECKING:
    from agentnet.analysis import Trees


@click.command()
@click.argument("names", metavar="RUN|FILE [RUN|FILE ...]", nargs=-1, required=True)
@click.option(
    "--of",
    metavar="shares|messages",
    default="shares",
    show_default=True,
    help="What the nodes of runs are: agents that engaged, or messages that were written.",
)
@column_option("files (id, parent, author, time)")
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
    chosen: Chosen,
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
    from agentnet.analysis import read_observed, tree_distances
    from agentnet.report.cascade_tables import tree_distances_table, trees_table

    runs = chosen.runs
    seen = [name for name in names if Path(name).is_file() and Path(name).name != LOG_NAME]
    played = [each for name in names if name not in seen for each in _of_run(find_run(name, runs), of)]
    given = column_map(columns)
    observed = [read_observed(name, columns=given, encoding=encoding).trees() for name in seen]
    every, pairs = [*played, *observed], list(product(played, observed))
    if csv_file is not None:
        with text_writer(csv_file, force=force) as file:
            file.write(_csv(every))
    if as_json:
        distances = [
            {"played": one.name, "observed": other.name, **each._asdict()}
            for one, other in pairs
            for each in tree_distances(one, other)
        ]
        print_json({"trees": [each.as_json() for each in every], "distances": distances})
        return
    for table in (trees_table(every), *(tree_distances_table(*pair) for pair in pairs)):
        print_table(table.columns.values(), table.rows, title=table.title)
        echo("\n".join(f"* {note}" for note in table.notes) + "\n")


def _of_run(folder: Path, of: str) -> Iterator[Trees]:
    """Give the trees of each condition of a run."""
    from agentnet.analysis import trees_of
    from agentnet.analysis.trees import MESSAGES

    run = Run(folder)
    conditions = Condition.all_of(run.meta)
    for each in conditions:
        try:
            found = trees_of(run, of, condition=each.number if len(conditions) > 1 else None).trees()
        except RunFolderError:
            raise
        except UserError as error:
            if of == MESSAGES or not run.rows("SELECT COUNT(*) FROM messages")[1][0][0]:
                raise
            raise UserError(f"{error}; its messages make trees, too: add --of {MESSAGES}") from error
        yield replace(found, name=f"{found.name} ({each.name})") if len(conditions) > 1 else found


def _csv(every: Sequence[Trees]) -> str:
    """Write a row for each tree; a text that a spreadsheet would execute has an apostrophe in front."""
    from agentnet.report.tables import Table, as_named

    rows = [{"of": each.name, **row} for each in every for row in each.frame().to_dict("records")]
    columns = list(dict.fromkeys(str(name) for row in rows for name in row))
    cells = tuple(tuple(row.get(name) for name in columns) for row in rows)
    return Table("trees", "Trees", as_named(" ".join(columns)), cells).to_csv()
