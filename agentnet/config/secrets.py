"""Which keys look like secrets: their values are never settings, never stored, never shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from agentnet.config.values import Key, toml_text

HIDDEN = "(set)"
REFUSAL = (
    "looks like a secret, and settings are stored with the run: keys and passwords come from the environment "
    "or from .env, under the name that the backend reads (OPENAI_API_KEY ...); a header names it as ${NAME}"
)

_SHOWN_CHARACTERS = 80
_SHORTEST = 8
# "token" has no plural here: `max_tokens` is a count. "key" needs a word before it: a monkey is no secret.
_SECRET = re.compile(
    r"((password|passwd|passphrase|secret|credential)s?|token|authorization"
    r"|(^|[^a-z0-9]|api|auth|access|private|secret|signing)keys?)$"
)
_REFERENCE = re.compile(r"([A-Za-z]+ )?\$([A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})")


def looks_secret(name: str) -> bool:
    """Say whether a value of this name is probably a secret: a key, token, password and the like.

    Examples:
        >>> looks_secret("api_key"), looks_secret("apiKey"), looks_secret("max_tokens")
        (True, True, False)
    """
    return _SECRET.search(name.lower()) is not None


def secrets_in(value: object, key: Key = ()) -> Iterator[Key]:
    """Find the keys that look secret in nested tables and arrays, and in the parts of `key` itself.

    What only names an environment variable, as ``$NAME``, ``${NAME}`` or ``Bearer ${NAME}``, is no secret.
    """
    if any(map(looks_secret, key)) and not (isinstance(value, str) and _REFERENCE.fullmatch(value)):
        yield key
    elif isinstance(value, Mapping):
        for part, item in value.items():
            yield from secrets_in(item, (*key, str(part)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets_in(item, key)


def secrets_held(text: str, environ: Mapping[str, str]) -> list[str]:
    """Name the variables of `environ` that look secret and whose values stand in `text`.

    Values of fewer than 8 characters do not count: no secret is that short, and ordinary words are.
    """
    found = (name for name, value in environ.items() if looks_secret(name) and len(value) >= _SHORTEST)
    return sorted(name for name in found if environ[name] in text)


def shown_value(key: Key, value: object) -> str:
    """Write `value` for people: as TOML, but hidden if its key or a part of it looks secret."""
    return HIDDEN if any(secrets_in(value, key)) else toml_text(value)


def one_line(text: str) -> str:
    """Cut `text` to one short line."""
    line = text.replace("\n", "\\n")
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 3]}..."
