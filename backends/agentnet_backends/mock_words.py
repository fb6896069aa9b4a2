"""What the mock says: short rationales that fit a profile, a severity and a decision.

Every text names the level of all five traits, the severity and the decision, so that no two of them are the
same. The two traits that speak most for the decision (by Table 1 of Tian et al. 2026, "Learning dynamics
from online-offline systems of LLM agents") carry the argument; the other three stand by.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from importlib.resources import files

from agentnet.backend import Messages
from agentnet.errors import RequestRejected
from agentnet.vocabulary import INLINE

N_VARIANTS = 4
"""Wordings of each rationale; a power of two, so that the low bits of a word choose one."""

_TEXTS = tomllib.loads((files("agentnet_backends") / "mock_words.toml").read_text("utf-8"))

RAMBLING: tuple[str, ...] = tuple(_TEXTS["rambling"])
"""Replies that hold no decision."""

REFUSALS: tuple[str, ...] = tuple(_TEXTS["refusals"])
"""Replies that decline to decide."""

_CLAUSES: list[list[str]] = _TEXTS["clauses"]
_WORDS: list[list[str]] = _TEXTS["words"]
_PUSHES = (7.625, -0.188, 2.497, 1.626, -0.970)

_SCHEMA_TYPES = frozenset({("share", "boolean"), ("reason", "string")})

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


def wording(
    kind: str | int | None, rationale: str | int | None, schema: str | None
) -> Callable[[bool, str], str]:
    """Choose how a decision and its reason become a text."""
    if schema is not None:
        keys = _keys_asked(schema)
    elif kind == "reason":
        return lambda _share, reason: reason
    elif rationale == INLINE:
        keys = ("share", "reason")
    else:
        return lambda share, _reason: "Yes" if share else "No"

    def as_json(share: bool, reason: str) -> str:
        parts = {"share": share, "reason": reason}
        return json.dumps({key: parts[key] for key in keys})

    return as_json


def _keys_asked(schema: str) -> tuple[str, ...]:
    """Read which of its two keys the mock must fill in, and reject what it cannot satisfy."""
    try:
        tree = json.loads(schema)
        keys = tuple(key for key, part in tree["properties"].items() if (key, part["type"]) in _SCHEMA_TYPES)
        required = set(tree.get("required", ()))
    except (ValueError, TypeError, KeyError, AttributeError):
        keys, required = (), set()
    if not keys or not required.issubset(keys):
        raise RequestRejected(
            "the mock can only satisfy a schema whose object has `share` (boolean), `reason` (string) or "
            f"both, not {schema[:200]}",
            kind="unsupported_schema",
        )
    return keys


def decision_held(messages: Messages) -> int | None:
    """Find the decision in the last assistant message: 0 for a yes, 1 for a no, None if there is none."""
    said = next((content for role, content in reversed(messages) if role == "assistant"), "")
    found = _DECISION.search(said)
    return None if found is None else 0 if found["decision"].casefold() in {"yes", "true"} else 1
