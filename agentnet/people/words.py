"""The texts of the pages, in several languages: a file each. An experiment may have some otherwise."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Template
from typing import Final

from agentnet.errors import ConfigurationError, near_miss

_FOLDER: Final = "words"


def words_of(language: str, overrides: Mapping[str, str]) -> dict[str, str]:
    """Give the texts of a language by name.

    Args:
        language: Name of its file, such as ``"en"``.
        overrides: Texts that are otherwise.

    Raises:
        ConfigurationError: There is no such language, or no such text.
    """
    found = _file(language)
    for name, text in overrides.items():
        if name not in found:
            raise ConfigurationError(f"backend.words.{name} is no text of the pages{near_miss(name, found)}")
        if not Template(text).is_valid():
            raise ConfigurationError(f"backend.words.{name} has a lone '$'; write '$$' for a dollar sign")
    return {**found, **overrides}


@cache
def _file(language: str) -> dict[str, str]:
    known = {each.name.removesuffix(".toml"): each for each in (files("agentnet.people") / _FOLDER).iterdir()}
    if language not in known:
        raise ConfigurationError(f"backend.language: there is no {language!r}{near_miss(language, known)}")
    return tomllib.loads(known[language].read_text("utf-8"))


def filled_in(text: str, **values: object) -> str:
    """Fill in the names of a text that begin with a dollar sign; what is not known stays."""
    return Template(text).safe_substitute(values)
