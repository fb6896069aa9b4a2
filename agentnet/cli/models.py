"""The command `models`: which weights backends can play on this machine, and how to fetch them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import click

from agentnet.cli.common import print_found
from agentnet.cli.terminal import echo
from agentnet.errors import ConfigurationError, near_miss
from agentnet.plugins import PluginKind


class Weights(Protocol):
    """Who keeps weights on this machine: what an entry point of group ``agentnet.weights`` leads to."""

    def listed(self) -> list[dict[str, Any]]:
        """Describe every model that has a name.

        Returns:
            Of each ``name``, ``about``, ``made_by``, ``licence``, ``n_bytes``, ``path``, ``is_here``.
        """
        ...

    def fetch(self, name: str, say: Callable[[str], None]) -> Path:
        """Fetch a model that is listed, unless it is there.

        Raises:
            StorageError: It cannot be fetched or kept.
        """
        ...


WEIGHTS: Final[PluginKind[Callable[[], Weights]]] = PluginKind(
    "keeper of weights",
    "agentnet.weights",
    "agentnet.cli.models.Weights",
    see="agentnet models",
    parts=("listed", "fetch"),
)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the models that can be played on this machine by name (backend local), or fetch one.

    \b
      agentnet models
      agentnet models fetch smollm2

    Fetched weights lie in the user's cache folder; AGENTNET_MODELS names another.
    """
    if context.invoked_subcommand is not None:
        return
    rows = [row for keeper in _keepers() for row in keeper.listed()]
    columns = ("model", "what it is", "made by", "licence", "MB", "here", "path")
    print_found(rows, columns, [_line(row) for row in rows], as_json=as_json)


def _line(row: dict[str, Any]) -> list[object]:
    size = f"{row['n_bytes'] / 1e6:.0f}"
    is_here = "yes" if row["is_here"] else f"no: agentnet models fetch {row['name']}"
    facts = [row[key] for key in ("name", "about", "made_by", "licence")]
    return [*facts, size, is_here, row["path"]]


@models.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Fetch the weights of a model that `agentnet models` lists, unless they are there; prints their path."""
    keepers = {row["name"]: made for made in _keepers() for row in made.listed()}
    if name not in keepers:
        raise ConfigurationError(f"there is no model {name!r}{near_miss(name, keepers, others=True)}")
    echo(str(keepers[name].fetch(name, lambda words: echo(words, err=True))))


def _keepers() -> list[Weights]:
    return [maker() for maker in WEIGHTS.loaded().values()]
