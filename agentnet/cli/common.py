"""What several commands share: settings from flags, run folders by name, output for people and programs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from agentnet.cli.terminal import console, echo, plain_json, until_closed
from agentnet.config import RUNS, Flag
from agentnet.config.layers import all_layers, says_nothing
from agentnet.errors import DesignError, InputError, RunFolderError, near_miss
from agentnet.events import LOG_NAME
from agentnet.events.read import SHARDS_NAME, shards_in

if TYPE_CHECKING:
    from agentnet.config import Configuration

_ENDLESS = 1_000_000

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def adding(*options: Callable[[Any], Any]) -> Callable[[Decorated], Decorated]:
    """Make the decorator that adds some options to a command, in this order."""
    return lambda function: reduce(lambda made, option: option(made), reversed(options), function)


class Chosen(NamedTuple):
    """What ``-S`` and ``--config`` say.

    Attributes:
        assignments: ``key=value`` texts.
        config_file: The settings file in place of ``./agentnet.toml``.
    """

    assignments: tuple[str, ...] = ()
    config_file: Path | None = None

    def flags(self, named: Sequence[tuple[str, str, object]] = ()) -> list[str | Flag]:
        """List them, and the named flags that were given: (flag, key, value) with a value."""
        return [*self.assignments, *(Flag(*flag) for flag in named if flag[2] is not None)]

    def load(self, named: Sequence[tuple[str, str, object]] = ()) -> Configuration:
        """Load the settings in force: files, environment, ``-S`` and the named flags that were given."""
        from agentnet.config import load_configuration

        return load_configuration(
            folder=Path.cwd(), environ=os.environ, config_file=self.config_file, flags=self.flags(named)
        )

    @property
    def runs(self) -> Path:
        """The folder of runs."""
        # Where nothing is set, nothing is to be validated: what would do it takes half as long as `ls`.
        layers = all_layers(Path.cwd(), os.environ, self.config_file, self.flags())
        return RUNS if says_nothing(layers) else self.load().settings.runs

    def run(self, name: str) -> Path:
        """Find a run folder; see `find_run`."""
        return find_run(name, self.runs)


class Finite(click.FloatRange):
    """A number within bounds; nan and what is infinite lie within none."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it, or fail."""
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is no finite number.", param, ctx)
        return found


def setting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that end up in the settings, ``-S`` and ``--config``; it has them as `chosen`."""

    @wraps(function)
    def command(assignments: tuple[str, ...], config_file: Path | None, **others: object) -> object:
        return function(chosen=Chosen(assignments, config_file), **others)

    of_settings = "Override a setting (engine.workers=8) or a knob of the experiment (repeats=2). Repeatable."
    of_file = "Settings file in place of ./agentnet.toml."
    return adding(
        click.option("--config", "config_file", type=click.Path(path_type=Path), help=of_file),
        click.option("-S", "assignments", multiple=True, metavar="KEY=VALUE", help=of_settings),
    )(command)


without_people_option = click.option(
    "--without-people",
    is_flag=True,
    help="Leave out what people wrote, wherever it stands; what they chose stays.",
)


def leaving_out(folders: Sequence[Path], *, people: bool) -> AbstractContextManager[list[Path]]:
    """Give run folders to read from, without what people wrote if that is wanted."""
    from agentnet.people.forgetting import without_texts

    return without_texts(folders, drop=people)


def fitting_options(groups: str) -> Callable[[Decorated], Decorated]:
    """Add the options of what fits laws: ``--law``, ``--by``, ``--groups``, ``--runs``, ``--bootstraps``, ...

    Args:
        groups: What the groups are by default, for the help.
    """
    of_groups = f'JSON file of groups: {{"00000": 1, ...}} for all 32 profiles. Default: {groups}.'
    of_runs = "Inferred cascades of a law. Default: 100, fewer on networks of more than 200,000 agents."
    drawn = "Resamples of an interval; 0 for none."
    which = "Fit this law only, or those of a Python file. Repeatable."
    by = "Column of exposures that a law is of: n_engaged, an attribute, model=gpt-4o, ... Repeatable."
    return adding(
        click.option("--law", "laws", multiple=True, metavar="NAME|FILE.py", help=which),
        click.option("--by", multiple=True, metavar="COLUMN", help=by),
        click.option("--groups", "groups_file", type=click.Path(path_type=Path), help=of_groups),
        click.option("--runs", "n_runs", type=int, help=of_runs),
        click.option("--bootstraps", "n_bootstrap", type=int, default=200, show_default=True, help=drawn),
        click.option("--level", default=0.95, show_default=True, help="Confidence level of intervals."),
        click.option("--seed", default=0, show_default=True, help="Fixes everything that is drawn."),
    )


def column_option(of: str) -> Callable[[Decorated], Decorated]:
    """Add ``--column``, which `agentnet.cli.news.column_map` reads; `of` says of what the fields are."""
    told = f"Read a field of {of} from a column of another name. Repeatable."
    return click.option("--column", "columns", multiple=True, metavar="FIELD=COLUMN", help=told)


def find_run(name: str, runs: Path) -> Path:
    """Find a run folder by its path, its name among the runs, or ``last``.

    Raises:
        RunFolderError: There is none.
    """
    if name == "last":
        folders = [folder for folder in run_folders(runs) if _logs(folder)]
        if not folders:
            raise RunFolderError(f"there is no run in {runs} yet; start one with: agentnet run FILE")
        return max(folders, key=lambda folder: max(log.stat().st_ctime for log in _logs(folder)))
    for folder in (Path(name), runs / name):
        if _logs(folder):
            return folder
    names = [folder.name for folder in run_folders(runs)]
    raise RunFolderError(f"there is no run {name!r}{near_miss(name, names) if names else f' in {runs}'}")


def run_folders(runs: Path) -> list[Path]:
    """List the run folders in `runs`, by name; those of which shards alone are there, too."""
    whole = {log.parent for log in runs.glob(f"*/{LOG_NAME}")}
    return sorted(whole | {folder.parent for folder in runs.glob(f"*/{SHARDS_NAME}") if _logs(folder.parent)})


def _logs(folder: Path) -> list[Path]:
    """List the log of a run, or of each of its shards where there is none of the whole."""
    log = folder / LOG_NAME
    return [log] if log.is_file() else [shard / LOG_NAME for shard in shards_in(folder)]


def read_groups(path: Path) -> dict[str, int]:
    """Read groups of profiles from a JSON file.

    Raises:
        InputError: It cannot be read, is no JSON object, names a profile twice, or is no grouping.
    """
    from agentnet.analysis.grouping import as_grouping

    def once(pairs: list[tuple[str, int]]) -> dict[str, int]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise InputError("stands twice; keep one", path=path, field=max(keys, key=keys.count))
        return dict(pairs)

    try:
        found = json.loads(read_text(path).removeprefix("\ufeff"), object_pairs_hook=once)
    except ValueError as error:
        raise InputError(f"is no JSON ({error})", path=path) from error
    if not isinstance(found, dict):
        raise InputError('must be one object, such as {"00000": 1, "00001": 1, ...}', path=path)
    try:
        as_grouping(found)
    except DesignError as error:
        raise InputError(str(error), path=path) from error
    return found


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        InputError: It cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is no UTF-8 text ({error.reason})", path=path) from error


def print_json(value: object) -> None:
    """Print `value` as JSON to standard output."""
    echo(plain_json(value))


def print_found(
    found: object, columns: Iterable[str], rows: Iterable[Sequence[object]], *, as_json: bool
) -> None:
    """Print what was found for programs, as JSON, or for people, as a table."""
    if as_json:
        print_json(found)
    else:
        print_table(columns, rows)


def print_table(columns: Iterable[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table; whole and without colours when piped."""
    from rich.table import Table

    table = Table(title=title, box=None, header_style="bold", title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    screen = console()
    if not screen.is_terminal:
        screen = console(width=console(width=_ENDLESS).measure(table).maximum)
    with until_closed():
        screen.print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
