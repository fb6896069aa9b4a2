"""The command that writes what a study starts from: `init`."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

import agentnet
from agentnet.cli.explain import descriptions
from agentnet.cli.terminal import echo
from agentnet.config import Configuration, Settings, toml_text
from agentnet.errors import StorageError, UserError
from agentnet.experiment import Experiment
from agentnet.experiment.body import usual_parameters
from agentnet.families import FAMILIES, USUAL
from agentnet.prompts import PromptSet

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WIDTH = 100


@click.command()
@click.argument("name", default="my_study")
@click.option(
    "--family",
    default=USUAL,
    show_default=True,
    help="Family of the experiment, such as world: its agents do what you write.",
)
def init(name: str, family: str) -> None:
    """Write what a study starts from into a new folder NAME: experiment, prompts, settings.

    The experiment file lists every knob and hook of its family, the settings every setting; what is commented
    out says what holds anyway. As it is, the study is played on the mock.

    \b
      agentnet init my_study
      cd my_study
      agentnet check my_study.py
      agentnet run my_study.py
      agentnet report last
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is to be a folder and a Python file: write letters, digits and _ only")
    experiment = FAMILIES.load(family).experiment
    folder = Path(name)
    if folder.exists():
        raise UserError(f"{folder} is there already, and nothing in it is overwritten; choose another name")
    try:
        for path, text in _files(name, experiment).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{folder} cannot be written ({error})") from error
    echo(f"wrote {folder}; go on with: cd {folder} && agentnet check {name}.py")


def _files(name: str, experiment: type[Experiment]) -> Mapping[str, str]:
    """Make the files, by path within the folder."""
    has_prompts = "prompts" in experiment().design()
    templates = PromptSet.load().texts if has_prompts else {}
    return {
        f"{name}.py": "\n".join(_experiment(name, experiment, has_prompts=has_prompts)) + "\n",
        "agentnet.toml": "\n".join(_settings()) + "\n",
        **{f"prompts/{file}": text for file, text in templates.items()},
    }


def _experiment(name: str, base: type[Experiment], *, has_prompts: bool) -> Iterator[str]:
    home = "agentnet" if base.__name__ in agentnet.__all__ else base.__module__
    also = [each for each in agentnet.__all__ if f" [{each}(" in base.begun]
    class_name = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    yield from (
        f'"""{class_name}: say here what the study asks."""\n',
        f"from {home} import {', '.join([*also, base.__name__])}\n\n",
        f"class {class_name}({base.__name__}):",
        '    """Say here what is played. A line that is commented out says what holds without it."""\n',
        "    repeats = 1  # -S repeats=5 goes before it",
        *(
            ['    prompts = "prompts"  # the folder beside this file; agentnet\'s own: None']
            if has_prompts
            else []
        ),
    )
    yield from filter(None, [base.begun.rstrip()])
    yield "\n    # Knobs. One of your own is annotated (rate: float = 0.3), and read by a method."
    meanings = descriptions(base)
    for knob, value in base().design().items():
        yield from ("", *_comment(meanings.get(knob, "")))
        yield f"    # {knob} = {dict(value) if isinstance(value, Mapping) else _literal(value)}"
    yield "\n    # Hooks, which methods of this class may override; their docstrings say what they give."
    for hook, method in inspect.getmembers(base, inspect.isfunction):
        if not hook.startswith("_") and hook not in vars(Experiment) and f"def {hook}(" not in base.begun:
            yield from ("", *_comment((inspect.getdoc(method) or "").partition("\n")[0]))
            yield f"    # def {hook}({', '.join(('self', *usual_parameters(method)))}): ..."


def _literal(value: object) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)


def _comment(text: str) -> list[str]:
    return [f"    # {line}" for line in textwrap.wrap(text.replace("``", ""), _WIDTH)]


def _settings() -> Iterator[str]:
    """List the settings, section by section, each as it is without the file."""
    yield from ("# Settings. What is commented out holds anyway; agentnet config says what is in force.", "")
    section = ""
    for row in Configuration(Settings(), {}).rows():
        own, _, key = row.key.rpartition(".")
        if row.key == "experiment":
            continue
        if own != section:
            yield from ("", f"[{own}]")
            section = own
        is_set = row.key in {"seed", "backend.name"}
        value = row.value.replace(toml_text(None), "")
        yield f"{'' if is_set else '# '}{key} = {value}  # {row.description}"
