"""The command that fits laws to a run: `fit`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentnet.cli.common import (
    Chosen,
    column_option,
    fitting_options,
    print_json,
    print_table,
    read_groups,
    setting_options,
)
from agentnet.cli.completion import complete_runs
from agentnet.cli.news import column_map
from agentnet.cli.terminal import echo
from agentnet.errors import UserError
from agentnet.events import LOG_NAME

if TYPE_CHECKING:
    from agentnet.analysis.fits import Fits
    from agentnet.analysis.tables import RunTables

Say = Callable[[str], None]

_PATIENCE_S = 1.0


@click.command()
@click.argument("name", metavar="RUN|FILE", shell_complete=complete_runs)
@fitting_options(groups="chosen from the exposures")
@click.option("--condition", type=int, help="Which condition, from 0, of a run that has several.")
@click.option(
    "--of",
    default="",
    metavar="KIND|NAME=VALUE",
    help="What is a yes: in a free world a kind of questions of yes and no, or a value of other answers; in "
    "a file a value of what people did.",
)
@column_option("a file (who, when, source, did, group)")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, curves included.")
@setting_options
def fit(
    name: str,
    laws: tuple[str, ...],
    by: tuple[str, ...],
    groups_file: Path | None,
    condition: int | None,
    of: str,
    columns: tuple[str, ...],
    n_runs: int | None,
    n_bootstrap: int,
    level: float,
    seed: int,
    as_json: bool,
    chosen: Chosen,
) -> None:
    """Fit laws to a run's cascades and rank them, to the answers of a free world, or to what people did.

    RUN is a run folder, its name, or 'last'. Works on a run that is still played. FILE is a table of a human
    experiment: who heard, when, from whom (source), and what they did (did); laws are of n_heard (from how
    many others by then), unless --by names n_asked or other columns of it.

    Laws of single decisions are played as inferred cascades; laws of curves are of the mean engaged fraction.
    The bundled ones: full_logistic, main_effects, group_logistic; one_rate, group_rates, cavity; and of what
    --by names: hill and dose_threshold, of each column alone; column_logistic. Others come from a file of
    yours, or with a distribution (entry points agentnet.laws).

    \b
      agentnet fit last
      agentnet fit last --law main_effects --law group_rates --groups groups.json
      agentnet fit last --law hill --by n_engaged
      agentnet fit last --law column_logistic --by n_engaged --by model=gpt-4o
      agentnet fit last --law mine.py --by n_engaged
      agentnet fit last --law hill --by likes --of action=share
      agentnet fit people.csv --law hill --by n_heard --column did=adopted
    """
    from agentnet.analysis.fits import affordable_runs, fit_run
    from agentnet.analysis.laws import LAWS, named_laws
    from agentnet.analysis.observed_people import N_HEARD

    groups = None if groups_file is None else read_groups(groups_file)
    names = named_laws(laws)
    uses = [column for each in names for column in LAWS[each].uses]
    say = _patient()
    if is_file := Path(name).is_file() and Path(name).name != LOG_NAME:
        by = by or (N_HEARD,)
    wanted = (*by, *uses)
    tables = (
        _of_people(name, of, wanted, columns, condition, say)
        if is_file
        else _of_run(chosen.run(name), of, wanted, columns, condition, say)
    )
    fitted: Iterable[str] = names or [
        each
        for each in LAWS
        if tables.asking_rule or (LAWS[each].of_decisions and LAWS[each].takes_column == bool(by))
    ]
    found = fit_run(
        tables,
        laws=fitted,
        by=by,
        groups=groups,
        n_runs=affordable_runs(tables) if n_runs is None else n_runs,
        n_bootstrap=n_bootstrap,
        level=level,
        seed=seed,
        progress=say,
    )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)


def _of_people(
    name: str, of: str, wanted: Sequence[str], columns: Sequence[str], condition: int | None, say: Say
) -> RunTables:
    """Read a table of people."""
    from agentnet.analysis.observed_people import read_people

    if condition is not None:
        raise UserError(f"--condition chooses among those of a run; {name} is a table of people")
    say(f"reading {name}")
    return read_people(name, of, columns=wanted, named=column_map(columns))


def _of_run(
    folder: Path, of: str, wanted: Sequence[str], columns: Sequence[str], condition: int | None, say: Say
) -> RunTables:
    """Read a run's cascades, or the answers of a free world."""
    from agentnet.analysis.asks import read_asks
    from agentnet.analysis.reading import read_tables
    from agentnet.events import Run
    from agentnet.families.lookup import family_of

    if columns:
        raise UserError(f"--column names columns of a file; {folder} is a run")
    say(f"reading {folder}")
    if of or "free worlds" in family_of(Run(folder).meta).read_as:
        return read_asks(folder, of, condition=condition, columns=wanted)
    return read_tables(folder, condition=condition, columns=wanted)


def _patient() -> Say:
    """Say on standard error what is being done, once it takes longer."""
    begun = time.monotonic()

    def say(what: str) -> None:
        if time.monotonic() - begun > _PATIENCE_S:
            echo(f"{what} ...", err=True)

    return say


def _print(found: Fits) -> None:
    from agentnet.analysis.fits_html import (
        EXACT_COLUMNS,
        PARAMETER_COLUMNS,
        SCORE_COLUMNS,
        exact_rows,
        parameter_row,
        score_rows,
    )
    from agentnet.errors import without_field

    tables = found.tables
    rule = f"exposures, asking rule {tables.asking_rule}" if tables.asking_rule else "answers"
    echo(f"{tables.run}: {tables.n_realizations} realizations, {tables.n_exposures} {rule}\n")
    if found.scores:
        print_table(SCORE_COLUMNS, score_rows(found), title="RMSE of the population's mean curve")
    rows = [
        [law.title, *parameter_row(each)]
        for law in found.laws
        for each in (*law.parameters, *([law.growth_rate] if law.growth_rate else []))
    ]
    title = f"\nparameters; intervals of {found.level:.0%}"
    print_table(*_filled(("law", *PARAMETER_COLUMNS), rows), title=title)
    notes = list(found.notes)
    if found.exact is not None:
        print_table(
            *_filled(EXACT_COLUMNS, exact_rows(found.exact)), title="\nby the probabilities themselves"
        )
        notes += [found.exact.in_words, *found.exact.notes]
    notes += _each_once((law.title, warning) for law in found.laws for warning in law.warnings)
    notes += _each_once((each.title, remark) for each in found.scores for remark in each.remarks)
    notes += [f"{law.title}: {why}" for law in found.laws if (why := found.why_simpler(law))]
    notes += [f"{each.title} was not fitted: {without_field(each.reason)}" for each in found.refused]
    echo("\n" + "\n".join(f"* {note}" for note in notes))


def _each_once(said: Iterable[tuple[str, str]]) -> list[str]:
    """Say each thing once, after the names of all laws of which it is said."""
    laws: dict[str, dict[str, None]] = {}
    for law, what in said:
        laws.setdefault(what, {})[law] = None
    return [f"{', '.join(names)}: {what}" for what, names in laws.items()]


def _filled(columns: Sequence[str], rows: Iterable[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Leave out columns in which nothing stands."""
    rows = list(rows)
    kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    return [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]
