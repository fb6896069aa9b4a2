"""How the documentation is built: `make docs`. Nothing here asks a host for anything, nor do the pages."""

import ast
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import click
from sphinx.application import Sphinx

import agentnet
from agentnet.cli import cli
from agentnet.config import load_configuration

HERE = Path(__file__).parent

project = "agentnet"
author = "The agentnet developers"
project_copyright = "2026, The agentnet developers"
release = version = agentnet.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
suppress_warnings = ["ref.python"]  # words of docstrings that several classes have as attributes

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "code"  # docstrings write `names` between single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"agentnet {release}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"


def rooms() -> str:
    """Make a table of the rooms: what each is for, and which others it imports."""
    home = Path(agentnet.__file__).parent
    found = {path.stem: [path] for path in home.glob("*.py") if path.stem != "__init__"}
    found |= {path.parent.name: sorted(path.parent.rglob("*.py")) for path in home.glob("*/__init__.py")}
    rows = ["| room | what it is for | imports |", "| --- | --- | --- |"]
    for name in sorted(found):
        trees = {path: ast.parse(path.read_text("utf-8")) for path in found[name]}
        first = trees.get(home / name / "__init__.py") or trees[found[name][0]]
        purpose = (ast.get_docstring(first) or "").partition("\n")[0].replace("|", "/")
        imports = sorted((_imported(trees.values()) & set(found)) - {name})
        rows.append(f"| `{name}` | {purpose} | {', '.join(imports)} |")
    return "\n".join(rows)


def _imported(trees: Iterable[ast.Module]) -> set[str]:
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    whole = [f"{node.module}.{alias.name}" for node in nodes for alias in node.names]
    return {name.split(".")[1] for name in whole if name.startswith("agentnet.")}


def commands() -> str:
    """Write down what every command says of itself."""
    pages = [("agentnet", cli), *((f"agentnet {name}", command) for name, command in cli.commands.items())]
    pages += [
        (f"{name} {sub}", command)
        for name, group in pages[1:]
        if isinstance(group, click.Group)
        for sub, command in group.commands.items()
    ]
    return "\n\n".join(
        f"## {name}\n\n```text\n{_help(name, command)}\n```" for name, command in sorted(pages)
    )


def _help(name: str, command: click.Command) -> str:
    return command.get_help(click.Context(command, info_name=name, max_content_width=100))


def settings() -> str:
    """List the settings, their defaults and what they are."""
    rows = load_configuration(folder=HERE, environ={}).rows()
    cells = [f"| `{row.key}` | `{row.value}` | {row.description.replace('|', '/')} |" for row in rows]
    return "\n".join(["| setting | default | what it is |", "| --- | --- | --- |", *cells])


MADE: dict[str, Callable[[], str]] = {"rooms": rooms, "commands": commands, "settings": settings}


def _fill_in(_app: Sphinx, _page: str, text: list[str]) -> None:
    for name, make in MADE.items():
        if f"<!-- {name} -->" in text[0]:
            text[0] = text[0].replace(f"<!-- {name} -->", make())


def _set_off_code(
    _app: Sphinx, _kind: str, _name: str, _it: object, _options: object, lines: list[str]
) -> None:
    """Mark what a docstring indents after an empty line as code, which reStructuredText wants to be told."""
    for place in reversed(range(2, len(lines))):
        above = next((line for line in reversed(lines[:place]) if line), "")
        begins = lines[place].startswith("    ") and not lines[place - 1]
        if begins and re.match(r"(?![-*] |\d\. )\S", above) and not above.endswith("::"):
            lines[place:place] = ["::", ""]


def _say_what_is_returned(
    _app: Sphinx, _kind: str, _name: str, _it: object, _options: object, lines: list[str]
) -> None:
    """Have all that a docstring says of what is returned taken as words: what precedes a colon is no type."""
    for place in range(1, len(lines)):
        if lines[place - 1] in {"Returns:", "Yields:"}:
            lines[place] = f"    : {lines[place].strip()}"


def setup(app: Sphinx) -> None:
    """Put what is made of the code where a page asks for it."""
    app.connect("source-read", _fill_in)
    app.connect("autodoc-process-docstring", _set_off_code, priority=400)
    app.connect("autodoc-process-docstring", _say_what_is_returned, priority=400)
