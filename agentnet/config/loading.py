"""Merge the layers, validate the whole, say where each value came from, and hold the resume rule."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from agentnet.config.layers import (
    Entry,
    Flag,
    Found,
    Problem,
    all_layers,
    flag_layer,
)
from agentnet.config.secrets import one_line, shown_value
from agentnet.config.sections import Settings, declaration, describe, may_change, section_of
from agentnet.config.values import Key, dotted, leaves, parse_key, toml_text
from agentnet.errors import ConfigurationError, near_miss

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

DEFAULT = "default"
RECORDED = "the run's record"

_EXPECTED = {
    "model_type": "should be a table, as it is a section",
    "dict_type": "should be a table",
    "path_type": "should be a path, in quotes",
    "string_type": "should be a text, in quotes",
    "string_too_short": "should not be empty",
}


class SettingRow(NamedTuple):
    """One line of ``agentnet config``, all of it text to show.

    Attributes:
        key: The full key, such as ``engine.workers``.
        value: The value as TOML, or ``(set)`` where the key looks secret.
        origin: ``default``, the file, the variable or the flag.
        description: What the setting is.
    """

    key: str
    value: str
    origin: str
    description: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings, and where they came from.

    Attributes:
        settings: The validated whole.
        origins: Full key -> origin, for what is no default.
    """

    settings: Settings
    origins: Mapping[str, str]

    def origin(self, key: str) -> str:
        """Say where the value of `key` came from; of a table, where the last of its keys did."""
        path = parse_key(key)
        here = [origin for name, origin in self.origins.items() if _within(parse_key(name), path)]
        return here[-1] if here else DEFAULT

    def rows(self) -> tuple[SettingRow, ...]:
        """List every value in force, section by section; values that look secret are hidden."""
        return tuple(
            SettingRow(
                dotted(key), shown_value(key, value), self.origins.get(dotted(key), DEFAULT), describe(key)
            )
            for key, value in leaves(self.settings.model_dump())
        )


def load_configuration(
    *,
    folder: Path,
    environ: Mapping[str, str],
    config_file: Path | None = None,
    flags: Sequence[str | Flag] = (),
) -> Configuration:
    """Merge all layers and validate the whole. Nothing but the arguments and the two files is read.

    Args:
        folder: The working folder, where ``agentnet.toml`` and ``.env`` are looked for.
        environ: The environment's variables.
        config_file: A TOML file in place of the folder's own; relative to `folder`.
        flags: ``key=value`` texts (of ``-S``) and named flags; the later counts.

    Raises:
        ConfigurationError: A file cannot be read, or settings are unknown or impossible: names all of them.
    """
    entries, problems = _collected(*all_layers(folder, environ, config_file, flags))
    return _validated(_merged(entries), problems)


def configuration_for_resume(
    recorded: Settings, *, flags: Sequence[str | Flag] = (), operational_options: Collection[str] = ()
) -> Configuration:
    """Lay the flags of a resuming command over the settings that the run was started with.

    Only flags count: files and variables may have changed since for the sake of other runs.

    Args:
        recorded: The settings in the run's event log.
        flags: As for `load_configuration`.
        operational_options: Options of the backend that may change, by the plug-in's own word, beside those
            of `BackendSettings.operational_keys`.

    Raises:
        ConfigurationError: A flag is wrong, or would change the run's design: names all of them.
    """
    old = {key: Entry(key, value, RECORDED) for key, value in leaves(recorded.model_dump())}
    entries, problems = _collected(flag_layer(flags))
    resumed = _validated(_merged([*old.values(), *entries]), problems)
    refuse_changes(recorded, resumed, operational_options)
    return resumed


def fixed_settings(settings: Settings) -> dict[str, object]:
    """Give the settings that may not change once a run has begun, by their dotted names."""
    return {dotted(key): value for key, value in leaves(settings.model_dump()) if not may_change(key)}


def refuse_changes(
    recorded: Settings, resumed: Configuration, operational_options: Collection[str] = ()
) -> None:
    """Make sure that a run may go on with other settings than it was started with.

    Args:
        recorded: The settings in the run's event log.
        resumed: Those that it is to go on with.
        operational_options: As for `configuration_for_resume`.

    Raises:
        ConfigurationError: They would change the run's design: names all of them.
    """
    changed = list(_changes(recorded, resumed, operational_options))
    if changed:
        raise ConfigurationError(_message(changed, "this run cannot go on with other settings of its design"))


def _collected(*layers: Found) -> tuple[list[Entry], list[str]]:
    found: list[Entry | Problem] = []
    for layer in layers:
        try:
            found.extend(layer)
        except ConfigurationError as error:
            found.append(Problem(str(error)))
    entries = [item for item in found if isinstance(item, Entry)]
    return entries, [item.text for item in found if isinstance(item, Problem)]


def _merged(entries: Iterable[Entry]) -> dict[Key, Entry]:
    """Let later entries replace earlier ones at, below and above their keys; in order of the last setting."""
    merged: dict[Key, Entry] = {}
    for entry in entries:
        for key in [key for key in merged if _within(key, entry.key) or _within(entry.key, key)]:
            del merged[key]
        merged[entry.key] = entry
    return merged


def _within(key: Key, table: Key) -> bool:
    return key[: len(table)] == table


def _tree(entries: Mapping[Key, Entry]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for (*parents, name), value, _ in entries.values():
        table = tree
        for parent in parents:
            table = table.setdefault(parent, {})
        table[name] = value
    return tree


def _validated(entries: Mapping[Key, Entry], problems: Sequence[str]) -> Configuration:
    try:
        settings = Settings.model_validate(_tree(entries))
    except ValidationError as error:
        faults = [_explained(fault, entries) for fault in error.errors()]
        # Without the validator's own error as its cause: that one holds the values.
        raise ConfigurationError(_message([*problems, *faults], "the configuration cannot be used")) from None
    if problems:
        raise ConfigurationError(_message(problems, "the configuration cannot be used"))
    origins = {dotted(key): entry.origin for key, entry in entries.items()}
    return Configuration(settings, origins)


def _message(faults: Sequence[str], headline: str) -> str:
    return faults[0] if len(faults) == 1 else "\n  - ".join([f"{headline}:", *faults])


def _explained(fault: ErrorDetails, entries: Mapping[Key, Entry]) -> str:
    key = tuple(map(str, fault["loc"]))
    near = [entry for entry in entries.values() if _within(key, entry.key) or _within(entry.key, key)]
    if fault["type"] == "missing":
        near = [entry for entry in entries.values() if _within(entry.key, key[:-1])]
        return f"{near[-1].origin}: {dotted(key)} is missing ({describe(key)})"
    origin = near[-1].origin
    if fault["type"] == "extra_forbidden":
        return f"{origin}: {dotted(key)} is no setting{_suggestion(key)}"
    wanted = fault["msg"].removeprefix("Input ").removeprefix("Value error, ")
    expected = _EXPECTED.get(fault["type"], wanted)
    return (
        f"{origin}: {dotted(key)} = {one_line(shown_value(key, fault['input']))} {expected} ({describe(key)})"
    )


def _suggestion(key: Key) -> str:
    *parents, name = key
    if parents:
        section = section_of(declaration(tuple(parents))[0])
        # What a table of tables holds, such as prices, is described as a whole.
        return near_miss(name, section.model_fields) if section else f" ({describe(key)})"
    for title, field in Settings.model_fields.items():
        section = section_of(field)
        if section and name in section.model_fields:
            return f"; did you mean '{title}.{name}'?"
    return f"{near_miss(name, Settings.model_fields)} (an attribute of the experiment is 'experiment.{name}')"


def _changes(
    recorded: Settings, resumed: Configuration, operational_options: Collection[str]
) -> Iterator[str]:
    old, new = dict(leaves(recorded.model_dump())), dict(leaves(resumed.settings.model_dump()))
    for key in {**old, **new}:
        was, now = _leaf(key, old), _leaf(key, new)
        if was is None or now is None or was == now or may_change(key, operational_options):
            continue
        yield (
            f"{resumed.origin(dotted(key))}: {dotted(key)} was {one_line(was)} when this run began and "
            f"cannot become {one_line(now)}; start a new run for that"
        )


def _leaf(key: Key, values: Mapping[Key, object]) -> str | None:
    """Write the value at `key`; None if there is a table, whose own keys speak for it."""
    if key in values:
        return toml_text(values[key])
    return None if any(_within(other, key) for other in values) else "not set"
