"""The layers over the defaults: the TOML file, `.env`, the environment, the flags.

Readers yield `Entry` and `Problem` alike, so that one message can report everything that is wrong. What
spoils a whole file is raised.
"""

from __future__ import annotations

import io
import os
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agentnet.config.secrets import REFUSAL, one_line, secrets_in
from agentnet.config.values import Key, dotted, leaves, parse_key, parse_value, toml_text, why_no_json
from agentnet.errors import ConfigurationError

if TYPE_CHECKING:
    from dotenv.parser import Original

TOML_NAME = "agentnet.toml"
DOTENV_NAME = ".env"
PREFIX = "agentnet_"
NO_SETTINGS = frozenset({"agentnet_traceback", "agentnet_models"})
"""Variables that say how a command behaves, or where fetched models lie, and set nothing of a run."""


class Entry(NamedTuple):
    """One setting of one layer."""

    key: Key
    value: object
    origin: str


class Problem(NamedTuple):
    """Why a part of a layer cannot be used."""

    text: str


class Flag(NamedTuple):
    """A flag with a name of its own, such as ``--model gpt-4o``; its value is taken as it is.

    Attributes:
        name: As the user writes it: ``--model``.
        key: The setting it stands for: ``backend.model``.
        value: What it sets.
    """

    name: str
    key: str
    value: object


Found = Iterator[Entry | Problem]


def all_layers(
    folder: Path, environ: Mapping[str, str], config_file: Path | None, flags: Sequence[str | Flag]
) -> tuple[Found, ...]:
    """List the layers over the defaults, from the lowest; each is read as it is walked through.

    Args:
        folder: The working folder, where ``agentnet.toml`` and ``.env`` are looked for.
        environ: The environment's variables.
        config_file: A TOML file in place of the folder's own; relative to `folder`.
        flags: ``key=value`` texts (of ``-S``) and named flags; the later counts.
    """
    return (
        *(toml_layer(folder, config_file), dotenv_layer(folder)),
        *(environment_layer(environ), flag_layer(flags)),
    )


def says_nothing(layers: Iterable[Found]) -> bool:
    """Say whether all settings are the defaults: no layer sets one, and none is at fault."""
    try:
        return next(chain.from_iterable(layers), None) is None
    except ConfigurationError:
        return False


def toml_layer(folder: Path, config_file: Path | None) -> Found:
    """Read the TOML file: `config_file` if given (relative to `folder`), else the folder's own, if there.

    Raises:
        ConfigurationError: `config_file` is missing, or the file is no TOML.
    """
    name = str(config_file or TOML_NAME)
    text = _read(folder / name, name)
    if text is None and config_file is not None:
        raise ConfigurationError(f"there is no configuration file {name}")
    for part, value in _toml(text or "", name).items():
        yield from _entries((part,), value, name, name)


def _toml(text: str, name: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # At the end of the document tomllib names no line.
        where = str(error).replace("at end of document", f"at line {len(text.splitlines())}, the end")
        raise ConfigurationError(f"{name} is not valid TOML: {where}") from None


def dotenv_layer(folder: Path) -> Found:
    """Read the ``AGENTNET_*`` variables of the folder's ``.env``, if there.

    Raises:
        ConfigurationError: A line of it cannot be read.
    """
    yield from _variables({name: text or "" for name, text in _dotenv(folder).items()}, DOTENV_NAME)


def environment_layer(environ: Mapping[str, str]) -> Found:
    """Read the ``AGENTNET_*`` variables of the environment."""
    yield from _variables(environ, None)


def flag_layer(flags: Sequence[str | Flag]) -> Found:
    """Read the command line: ``key=value`` texts and flags with names of their own."""
    for flag in flags:
        yield from _assignment(flag) if isinstance(flag, str) else _named(flag)


def secrets_environ(folder: Path | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Make the environment in which backends look for their keys: `environ` over the folder's ``.env``.

    Args:
        folder: The folder; the current one if None.
        environ: The environment.

    Raises:
        ConfigurationError: A line of ``.env`` cannot be read.
    """
    from_file = {name: text for name, text in _dotenv(folder or Path.cwd()).items() if text is not None}
    return {**from_file, **environ}


def _read(path: Path, name: str) -> str | None:
    # A folder called .env is somebody's virtual environment: it counts as no file, not as a broken one.
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{name} is not UTF-8 text: byte {error.start} is none") from None


def _dotenv(folder: Path) -> dict[str, str | None]:
    # Not `dotenv_values`: it drops broken lines with no more than a logged warning, and it obeys variables of
    # this process's own environment.
    if not (text := _read(folder / DOTENV_NAME, DOTENV_NAME)):
        return {}
    from dotenv.parser import parse_stream

    bindings = list(parse_stream(io.StringIO(text)))
    if broken := ", ".join(_line(item.original) for item in bindings if item.error):
        raise ConfigurationError(
            f"{DOTENV_NAME}, {broken}: cannot be read; write NAME=value, with quotes closed"
        )
    return {item.key: item.value for item in bindings if item.key is not None}


def _line(original: Original) -> str:
    # A statement begins, for the parser, with the blank lines before it.
    blank = original.string[: len(original.string) - len(original.string.lstrip())]
    return f"line {original.line + blank.count(chr(10))}"


def _variables(environ: Mapping[str, str], file: str | None) -> Found:
    by_key: dict[Key, list[str]] = defaultdict(list)
    for name in environ:
        if name.lower().startswith(PREFIX) and name.lower() not in NO_SETTINGS:
            by_key[tuple(name.lower().removeprefix(PREFIX).split("__"))].append(name)
    # Sorted, because the order of an environment says nothing: a table comes before the keys within it.
    for key, names in sorted(by_key.items()):
        origin = file or f"environment {names[0]}"
        if len(names) > 1:
            yield Problem(f"{file or 'environment'}: {' and '.join(names)} are the same setting; keep one")
        elif not all(key):
            yield Problem(
                f"{origin}: {names[0]} names no setting; write AGENTNET_SEED or AGENTNET_ENGINE__WORKERS"
            )
        else:
            yield from _text_entries(key, environ[names[0]], origin, origin)


def _assignment(flag: str) -> Found:
    name, equals, text = flag.partition("=")
    key = parse_key(name)
    if not equals:
        yield Problem(f"-S {one_line(flag)}: has no value; write key=value, such as -S engine.workers=8")
    elif not key:
        yield Problem(
            f"-S {one_line(name)}=...: {one_line(name)!r} is no key; write key=value with a dotted key"
        )
    else:
        yield from _text_entries(_routed(key), text, f"-S {one_line(flag)}", f"-S {one_line(name)}")


def _named(flag: Flag) -> Found:
    origin = f"{flag.name} {one_line(_plain(flag.value))}"
    value = str(flag.value) if isinstance(flag.value, Path) else flag.value
    yield from _entries(_routed(parse_key(flag.key)), value, origin, flag.name)


def _plain(value: object) -> str:
    return str(value) if isinstance(value, str | Path) else toml_text(value)


def _routed(key: Key) -> Key:
    from agentnet.config.sections import Settings

    return key if key[0] in Settings.model_fields else ("experiment", *key)


def _text_entries(key: Key, text: str, origin: str, bare_origin: str) -> Found:
    if not text.strip():
        yield Problem(f"""{bare_origin}: {dotted(key)} has no value; an empty text is written '""'""")
    elif not text.isascii() and not _is_utf_8(text):
        yield Problem(f"{bare_origin}: the value of {dotted(key)} is not UTF-8 text")
    elif why := why_no_json(text):
        yield Problem(f"{bare_origin}: the value of {dotted(key)} is neither TOML nor JSON, {why}")
    else:
        yield from _entries(key, parse_value(text), origin, bare_origin)


def _is_utf_8(text: str) -> bool:
    # Bytes from outside that are no UTF-8 arrive as lone surrogates, which can be neither shown nor stored.
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _entries(key: Key, value: object, origin: str, bare_origin: str) -> Found:
    """Yield one entry for each leaf; a secret's problem names `bare_origin`, which holds no value."""
    for leaf, item in leaves(value, key):
        secrets = dict.fromkeys(secrets_in(item, leaf))
        yield from (Problem(f"{bare_origin}: {dotted(secret)} {REFUSAL}") for secret in secrets)
        if isinstance(item, str) and "\0" in item:
            yield Problem(
                f"{bare_origin}: {dotted(leaf)} holds a NUL, which no name of a file may; leave it out"
            )
        elif not secrets:
            yield Entry(leaf, item, origin)
