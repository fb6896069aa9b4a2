"""What the mock says: short rationales that fit a profile, a severity and a decision.

Every text names the level of all five traits, the severity and the decision, so that no two of them are the
same. The two traits that speak most for the decision (by Table 1 of Tian et al. 2026, "Learning dynamics
from online-offline systems of LLM agents") carry the argument; the other three stand by.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from agentnet.backend import Messages
from agentnet.vocabulary import INLINE, REASON

N_VARIANTS = 4
"""Wordings of each rationale; a power of two, so that the low bits of a word choose one."""

_TEXTS = tomllib.loads((files("agentnet_backends") / "mock_words.toml").read_text("utf-8"))

RAMBLING: tuple[str, ...] = tuple(_TEXTS["rambling"])
"""Replies that hold no decision."""

REFUSALS: tuple[str, ...] = tuple(_TEXTS["refusals"])
"""Replies that decline to decide."""

OPENINGS: tuple[str, ...] = tuple(_TEXTS["openings"])
"""How a text begins that quotes what was heard."""

_CLAUSES: list[list[str]] = _TEXTS["clauses"]
_WORDS: list[list[str]] = _TEXTS["words"]
_PUSHES = (7.625, -0.188, 2.497, 1.626, -0.970)

_SCHEMA_TYPES = {"share": "boolean", "reason": "string"}
_SAYS_NOTHING = frozenset({"type", "title", "description"})

_DECISION = re.compile(r'(?:^\W*|"share"\s*:\s*)(?P<decision>yes|no|true|false)\b', re.IGNORECASE)

_NEWS = ("this peaceful news", "this violent news")


def rationales(profile: str | None, severity: int, *, share: bool) -> tuple[str, ...]:
    """Word the reasons of one decision.

    Args:
        profile: Five bits in the order openness, conscientiousness, extraversion, agreeableness,
            neuroticism; None for somebody without a profile.
        severity: 0 peaceful, 1 severe.
        share: The decision.

    Returns:
        The variants, `N_VARIANTS` of them; distinct for distinct arguments.
    """
    news = _NEWS[severity]
    act = f"share {news} with my neighbours" if share else f"leave {news} unshared"
    return _without_profile(act) if profile is None else _with_profile(act, profile, share=share)


def _with_profile(act: str, profile: str, *, share: bool) -> tuple[str, ...]:
    levels = [int(bit) for bit in profile]
    traits = _most_telling_first(levels, share=share)
    first, second = (_CLAUSES[trait][levels[trait]] for trait in traits[:2])
    x, y, z = (_WORDS[trait][levels[trait]] for trait in traits[2:])
    return (
        f"{first} and {second}, so I would {act}. I am also {x}, {y} and {z}.",
        f"I would {act}: {first}, and {second}. That I am {x}, {y} and {z} does not change it.",
        f"As somebody {x}, {y} and {z}, I would {act}, mostly because {first} and {second}.",
        f"{first}. {second}. That is why I would {act}, {x}, {y} and {z} as I am.",
    )


def _without_profile(act: str) -> tuple[str, ...]:
    return (
        f"On balance I would {act}.",
        f"I would {act}, all things considered.",
        f"It seems right to me to {act}.",
        f"I thought about it and would {act}.",
    )


def _most_telling_first(levels: list[int], *, share: bool) -> list[int]:
    side = 1 if share else -1
    return sorted(range(len(levels)), key=lambda trait: -side * _PUSHES[trait] * (2 * levels[trait] - 1))


def wording(kind: object, rationale: object, keys: tuple[str, ...]) -> Callable[[bool, str], str]:
    """Choose how a decision and its reason become a text, an object of `keys` where there are any."""
    if not keys and kind == REASON:
        return lambda _share, reason: reason
    if not keys and rationale != INLINE:
        return lambda share, _reason: "Yes" if share else "No"

    def as_json(share: bool, reason: str) -> str:
        parts = {"share": share, "reason": reason}
        return json.dumps({key: parts[key] for key in keys or parts})

    return as_json


def keys_of_decision(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """Say which of a decision's two keys a schema has, in its order; none where it requires others."""
    fields = tree["properties"]
    keys = tuple(key for key in fields if _is_of_decision(key, fields[key]))
    return keys if {*tree.get("required", ())}.issubset(keys) else ()


def _is_of_decision(key: str, part: object) -> bool:
    return (
        isinstance(part, Mapping)
        and part.get("type") == _SCHEMA_TYPES.get(key, "")
        and part.keys() <= _SAYS_NOTHING
    )


def decision_held(messages: Messages) -> int | None:
    """Find the decision in the last assistant message: 0 for a yes, 1 for a no, None if there is none."""
    said = next((content for role, content in reversed(messages) if role == "assistant"), "")
    found = _DECISION.search(said)
    return None if found is None else 0 if found["decision"].casefold() in {"yes", "true"} else 1
