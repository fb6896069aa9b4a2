"""What a knob means: its description, default, value in force and possible values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from agentnet.backend import BACKENDS
from agentnet.config import Configuration, SettingRow, Settings
from agentnet.embedder import EMBEDDERS
from agentnet.errors import UserError, near_miss
from agentnet.experiment import Experiment
from agentnet.families import FAMILIES
from agentnet.interviews import UPDATES
from agentnet.plugins import PluginKind

_KINDS = (BACKENDS, EMBEDDERS, UPDATES)
_OF_DESIGN = "experiment."
_SECTION = re.compile(r"^Attributes:\n((?:(?: {4}.*)?\n?)+)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_ADDRESS = re.compile(r"`(agentnet(?:\.\w+)+)`")


def descriptions(experiment: type[Experiment]) -> dict[str, str]:
    """Read what the docstrings of a class and of those above it say of each knob."""
    found: dict[str, str] = {}
    for base in reversed(experiment.__mro__):
        section = _SECTION.search(inspect.cleandoc(base.__doc__ or "") + "\n")
        if section:
            found |= {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(section[1])}
    return found


def explained(
    knob: str, configuration: Configuration, played: Experiment | None = None
) -> list[dict[str, object]]:
    """Explain a setting, a section of settings, or a knob of experiments.

    Args:
        knob: Its key, as ``-S`` takes it.
        configuration: What is in force.
        played: The experiment; None for those of all families.

    Raises:
        UserError: There is none of that name.
    """
    rows = {row.key: row for row in configuration.rows()}
    usual = {row.key: row.value for row in Configuration(Settings(), {}).rows()}
    found = [_of_setting(row, usual) for key, row in rows.items() if f"{key}.".startswith(f"{knob}.")]
    name = knob.removeprefix(_OF_DESIGN)
    families = (each.load().experiment for each in FAMILIES.installed().values())
    classes = list(families) if played is None else [type(played)]
    found += [_of_class(cls, name, configuration, played) for cls in classes if name in cls().design()]
    if not found:
        known = {*rows, *(each for cls in classes for each in cls().design())}
        raise UserError(f"there is no knob and no setting {knob!r}{near_miss(knob, known)}")
    return found


def _of_setting(row: SettingRow, usual: Mapping[str, str]) -> dict[str, object]:
    section = row.key.partition(".")[0]
    kinds = [kind for kind in _KINDS if kind.noun == section and row.key == f"{section}.name"]
    return {
        "knob": row.key,
        "meaning": row.description,
        "default": usual.get(row.key, "none"),
        "now": f"{row.value} ({row.origin})",
        "values": ", ".join(name for kind in kinds for name in kind),
    }


def _of_class(
    cls: type[Experiment], name: str, configuration: Configuration, played: Experiment | None
) -> dict[str, object]:
    home = next(base for base in cls.__mro__ if name in vars(base) or name in inspect.get_annotations(base))
    meaning = descriptions(cls).get(name, f"not described in the docstring of {home.__name__}")
    origin = configuration.origin(f"{_OF_DESIGN}{name}")
    by_whom = f"class {home.__name__}" if origin == "default" else origin
    return {
        "knob": f"{name} of {cls.__name__}",
        "meaning": meaning,
        "default": repr(cls().design()[name]),
        **({} if played is None else {"now": f"{played.design()[name]!r} ({by_whom})"}),
        "values": ", ".join(dict.fromkeys(_values(cls, name, meaning))),
    }


def _values(cls: type[Experiment], name: str, meaning: str) -> Iterator[str]:
    """List what a knob may be: by its annotation, or by a registry that its description names."""
    hint = get_type_hints(cls).get(name)
    if get_origin(hint) is Literal:
        yield from map(str, get_args(hint))
    for kind in _KINDS:
        if re.match(rf"(The |the )?{kind.noun}\b", meaning):
            yield from kind
    for address in _ADDRESS.findall(meaning):
        yield from _names(_at(address))


def _at(address: str) -> Any:  # noqa: ANN401 - anything
    try:
        return resolve_name(address)
    except (ImportError, AttributeError):
        return None


def _names(named: object) -> Iterator[str]:
    """List the names in a registry, or in those that a module holds."""
    if isinstance(named, ModuleType):
        for each in vars(named).values():
            yield from _names(each) if isinstance(each, PluginKind) else ()
    elif isinstance(named, PluginKind | Mapping):
        yield from map(str, named)
