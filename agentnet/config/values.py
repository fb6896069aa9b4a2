"""Settings as text and back: TOML literals for people, JSON for the event log."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Final

Key = tuple[str, ...]
"""The parts of a dotted key: ``engine.workers`` is ``("engine", "workers")``."""

RUNS: Final = Path("runs")
"""Folder of the run folders, unless a layer sets another."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TAG = "$toml"
_OPENING = ("[", "{")


def parse_value(text: str) -> object:
    """Read `text` as a TOML value, or a JSON list or object; else it is a string, less the blanks around it.

    Examples:
        >>> parse_value("2"), parse_value("[1, 2]"), parse_value("gpt-4o"), parse_value('"2"')
        (2, [1, 2], 'gpt-4o', '2')
        >>> parse_value('[{"degree": 4}]') == parse_value("[{degree = 4}]")
        True
    """
    bare = text.strip()
    try:
        value: object = tomllib.loads(f"v = {bare}")["v"]
        # A trailing comment would swallow the bracket: a `#` then belongs to a plain string, not to TOML.
        tomllib.loads(f"v = [{bare}]")
    except (ValueError, RecursionError):
        return _parse_json(bare) if bare.startswith(_OPENING) else bare
    return value


def _parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def why_no_json(text: str) -> str:
    """Say where a text breaks off that can only be meant as JSON; ``""`` if it does not, or is not.

    Examples:
        >>> why_no_json('[{"degree": 4},, {}]')
        "at character 16 (','): expecting value"
    """
    bare = text.strip()
    if bare.startswith(('[{"', '{"')) and isinstance(parse_value(bare), str):
        try:
            json.loads(bare)
        except json.JSONDecodeError as error:
            return f"at character {error.pos + 1} ({bare[error.pos : error.pos + 1]!r}): {error.msg.lower()}"
        except RecursionError:
            return "nested too deep"
    return ""


def parse_key(text: str) -> Key:
    """Read a dotted key as TOML does; an empty tuple if it is none.

    Examples:
        >>> parse_key('news.columns."event id"')
        ('news', 'columns', 'event id')
    """
    try:
        node: object = tomllib.loads(f"{text} = 0")
    except ValueError:
        return ()
    parts: list[str] = []
    while isinstance(node, dict) and len(node) == 1:
        ((part, node),) = node.items()
        parts.append(part)
    return tuple(parts)


def toml_text(value: object) -> str:
    """Write `value` as a TOML literal, which `parse_value` reads back; what is not set as ``(none)``.

    Examples:
        >>> toml_text({"model": "gpt-4o", "n": [1, 2.5]})
        '{model = "gpt-4o", n = [1, 2.5]}'
    """
    match value:
        case None | bool():
            return {None: "(none)", True: "true", False: "false"}[value]
        case str() | Path():
            return _quoted(str(value))
        case date() | time():
            return value.isoformat()
        case Mapping():
            return (
                "{" + ", ".join(f"{dotted((key,))} = {toml_text(item)}" for key, item in value.items()) + "}"
            )
        case list() | tuple():
            return "[" + ", ".join(map(toml_text, value)) + "]"
        case _:
            return repr(value)


def dotted(key: Key) -> str:
    """Write a key as TOML does, with quotes where a part needs them."""
    return ".".join(part if _BARE.fullmatch(part) else _quoted(part) for part in key)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's; only DEL goes unescaped in JSON and is forbidden in TOML.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def leaves(value: object, key: Key = ()) -> Iterator[tuple[Key, object]]:
    """Walk nested tables: each value that is no table, or an empty one, with its key."""
    if isinstance(value, Mapping) and value:
        for part, item in value.items():
            yield from leaves(item, (*key, part))
    else:
        yield key, value


def encoded(value: object) -> object:
    """Turn TOML values and paths into what JSON can hold, nothing lost.

    Dates, times and infinities become ``{"$toml": "<literal>"}``. So does a table whose only key is
    ``$toml``: without that, a user's own table of this shape would be read back as something else.
    """
    match value:
        case Mapping():
            return _tagged(value) if list(value) == [_TAG] else {key: encoded(v) for key, v in value.items()}
        case list() | tuple():
            return [encoded(item) for item in value]
        case date() | time():
            return _tagged(value)
        case float() if not math.isfinite(value):
            return _tagged(value)
        case Path():
            return str(value)
        case _:
            return value


def _tagged(value: object) -> dict[str, str]:
    return {_TAG: toml_text(value)}


def decoded(value: object) -> object:
    """Undo `encoded`, except that paths stay texts."""
    match value:
        case {"$toml": str(text), **rest} if not rest:
            return parse_value(text)
        case dict():
            return {key: decoded(item) for key, item in value.items()}
        case list():
            return [decoded(item) for item in value]
        case _:
            return value
