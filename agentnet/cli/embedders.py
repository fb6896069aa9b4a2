"""What commands share that embed texts: the options ``--embedder`` and ``-E``, and the embedder they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentnet.cli.common import Decorated, adding
from agentnet.cli.terminal import echo
from agentnet.config import secrets_environ
from agentnet.errors import ConfigurationError

if TYPE_CHECKING:
    from agentnet.embedder import CachedEmbedder


def embedding_options(about: str, *, default: str | None = None) -> Callable[[Decorated], Decorated]:
    """Add the options ``--embedder`` (argument `embedder`) and ``-E`` (`embedder_options`).

    Args:
        about: What the help says of the embedder.
        default: Its name unless given.
    """
    told = "Option of the embedder (model=...). Repeatable."
    return adding(
        click.option("--embedder", default=default, show_default=default is not None, help=about),
        click.option("-E", "embedder_options", multiple=True, metavar="KEY=VALUE", help=told),
    )


def given_options(options: Sequence[str]) -> dict[str, object]:
    """Read the options of an embedder.

    Raises:
        ConfigurationError: One is not KEY=VALUE.
    """
    found: dict[str, object] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not (key and equals):
            raise ConfigurationError(f"-E {option!r} is not KEY=VALUE, such as model=text-embedding-3-small")
        found[key] = value
    return found


def open_embedder(name: str, options: Mapping[str, object], cache: Path | None) -> CachedEmbedder:
    """Make an embedder that keeps its vectors in `cache`; what goes wrong there is a warning.

    Raises:
        PluginError: There is no such embedder, or it cannot be loaded.
        ConfigurationError: An option is wrong.
    """
    from agentnet.embedder import CachedEmbedder, make_embedder

    def complain(words: str) -> None:
        echo(f"warning: {words}", err=True)

    inner = make_embedder(name, options, secrets_environ())
    return CachedEmbedder(inner, cache, complain=complain)


def embedder_maker(
    name: str | None, options: Sequence[str], runs: Path
) -> Callable[[str, dict[str, object]], CachedEmbedder]:
    """Say how an embedder is made, anew for each run; what takes longer than hashing is kept on disk.

    Args:
        name: The embedder's name; None for the run's own, whose options then hold where none are given.
        options: Its options, each KEY=VALUE.
        runs: The folder of runs, beside which vectors are kept.

    Returns:
        From name and options of a run's own embedder to one.

    Raises:
        ConfigurationError: An option is not KEY=VALUE.
        PluginError: There is no embedder `name`.
    """
    from agentnet.embedder import EMBEDDERS

    chosen = given_options(options)
    if name is not None:
        EMBEDDERS.load(name)

    def make(own_name: str, own_options: dict[str, object]) -> CachedEmbedder:
        used, given = (own_name, {**own_options, **chosen}) if name is None else (name, chosen)
        return open_embedder(used, given, None if used == "hash" else runs / ".embeddings")

    return make
