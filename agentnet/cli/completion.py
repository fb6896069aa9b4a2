"""What a shell completes: names of runs, and experiment files. Whatever goes wrong, it is offered nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from agentnet.cli.common import Chosen, run_folders
from agentnet.errors import AgentnetError

_HARMLESS: Final = re.compile(r"[\w./+@-]*")


def complete_runs(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer the names of the runs; of what is a path, the shell's own."""
    try:
        names = ["last", *(folder.name for folder in run_folders(Chosen().runs))]
    except AgentnetError:
        return []
    return _offered(names, begun) or [CompletionItem(begun, type="dir")]


def complete_files(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer Python files, and the folders in which there may be some."""
    found = sorted(Path(begun + "x").parent.glob("*"))
    names = [str(path) for path in found if path.suffix == ".py" and path.is_file()]
    return _offered([*names, *(f"{path}/" for path in found if path.is_dir())], begun)


def _offered(names: list[str], begun: str) -> list[CompletionItem]:
    # Shells put what they are offered on the line as it is, with what they would execute.
    return [CompletionItem(n) for n in names if n.startswith(begun) and _HARMLESS.fullmatch(n)]
