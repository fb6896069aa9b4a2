"""How the mock fills in whatever it is asked for: texts that quote what was heard, and schemas within bounds.

Everything hangs on the sample's word and the conversation alone. A value of a schema is drawn evenly between
its bounds; an enum by the shares of `MockOptions.choices`; true by the law's probability of a yes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from agentnet.backend import Messages
from agentnet.errors import BackendUnusable, RequestRejected
from agentnet.streams import mix, unit
from agentnet_backends.mock_words import OPENINGS

Schema = Mapping[str, Any]

_FIELDS = 1 << 32
"""Sets the words of a schema's fields apart from those of troubles and tries."""
_DECIDES = "share"
_REACH = 10
"""How far from its only bound a number may lie, and from zero without any."""
_MOST_CHARACTERS = (280, 80, 20, 0)
"""How long a text may be; the shorter, where the whole would be longer than a reply may be."""
_MORE_ITEMS = 3
_ROUNDING = 1e-9

_SENTENCES = re.compile(r"(?<=[.!?:])\s+|\n+")
_ADDRESSED = re.compile(r"(?:- )?Your?\b")
_INSTRUCTION = re.compile(r"^Answer\b", re.MULTILINE)
_FORMATS: Mapping[str, Callable[[date], str]] = {
    "date": date.isoformat,
    "date-time": lambda day: f"{day.isoformat()}T12:00:00Z",
}
_FIRST_DAY = date(2020, 1, 1).toordinal()


class _Ground(NamedTuple):
    """What a reply is made of.

    Attributes:
        p: Probability of true.
        choices: Probabilities of the members of enums, as `MockOptions.choices` has them.
        heard: The sentences that may be quoted.
        n_characters: How long a text may be.
    """

    p: float
    choices: Mapping[str, float]
    heard: tuple[str, ...]
    n_characters: int


def shares(answers: Sequence[str], choices: Mapping[str, float]) -> list[float]:
    """Give each answer its probability: as stated, and what is left in equal shares to the others.

    Raises:
        BackendUnusable: What is stated adds up to more than 1, or to less with nobody left for the rest.
    """
    stated = [choices.get(answer) for answer in answers]
    left = 1.0 - math.fsum(share for share in stated if share is not None)
    n_others = stated.count(None)
    if left < -_ROUNDING or (left > _ROUNDING and not n_others):
        raise BackendUnusable(
            f"backend.choices gives {', '.join(answers)} the probabilities {stated}, which add up to "
            f"{1.0 - left:.6g}; make it 1, or leave one of them out for the rest",
            kind="bad_choices",
        )
    return [max(left, 0.0) / n_others if share is None else share for share in stated]


def _sentences(messages: Messages) -> tuple[str, ...]:
    """List what the last user message told, less questions, lead-ins, instructions and what its reader is."""
    said = next((content for role, content in reversed(messages) if role == "user"), "")
    told = _INSTRUCTION.split(said, maxsplit=1)[0]
    found = [" ".join(each.split()) for each in _SENTENCES.split(told) if each.strip()]
    told_of = [each for each in found if each[-1] not in "?:" and not _ADDRESSED.match(each)]
    return tuple(told_of or found or ["nothing"])


def free_text(messages: Messages, word: int, max_characters: int) -> str:
    """Write a short text that quotes a sentence of the conversation."""
    text = f"{OPENINGS[word % len(OPENINGS)]} {_quoted(_sentences(messages), word)}"
    return _cut(text, min(max_characters, _MOST_CHARACTERS[0]))


def object_of(schema: str) -> Schema:
    """Read a schema of an object with properties.

    Raises:
        RequestRejected: It is none.
    """
    try:
        tree = json.loads(schema)
    except ValueError:
        tree = schema
    if not isinstance(tree, Mapping) or not _has_fields(tree):
        raise _unsupported("", tree)
    return tree


def json_text(
    schema: Schema, p: float, choices: Mapping[str, float], messages: Messages, word: int, max_characters: int
) -> str:
    """Write an object of `schema`, with texts so short that the whole is not too long, if that can be.

    Args:
        schema: As `object_of` gives it.
        p: Probability of true.
        choices: Probabilities of the members of enums, as `MockOptions.choices` has them.
        messages: What texts quote.
        word: The sample's word.
        max_characters: How long the whole should be at most.

    Raises:
        RequestRejected: The mock cannot satisfy the schema; says where.
    """
    heard = _sentences(messages)
    grounds = (_Ground(p, choices, heard, n_characters) for n_characters in _MOST_CHARACTERS)
    text = ""
    for ground in grounds:
        text = json.dumps(_filled(schema, ground, word, ""), ensure_ascii=False)
        if len(text) <= max_characters:
            break
    return text


def _has_fields(node: Schema) -> bool:
    fields, required = node.get("properties"), node.get("required", [])
    if not isinstance(fields, Mapping) or not fields or not isinstance(required, list):
        return False
    return {*required} <= {*fields}


def _filled(node: object, ground: _Ground, word: int, where: str) -> object:
    if not isinstance(node, Mapping):
        raise _unsupported(where, node)
    if variants := node.get("anyOf"):
        return _filled(variants[word % len(variants)], ground, mix(word), where)
    if "const" in node or "enum" in node:
        return _chosen(node.get("enum", [node.get("const")]), ground, word)
    kind = node.get("type", "object" if "properties" in node else None)
    if not isinstance(kind, str) or kind not in _MADE_OF:
        raise _unsupported(where, node)
    return _MADE_OF[kind](node, ground, word, where)


def _object(node: Schema, ground: _Ground, word: int, where: str) -> dict[str, object]:
    """Fill in all fields; the decision has the sample's own word, so that no form of a reply changes it."""
    if not _has_fields(node):
        raise _unsupported(where, node)
    words = {name: _at(word, i) for i, name in enumerate(node["properties"])}
    if not where and _DECIDES in words:
        words[_DECIDES] = word
    return {
        name: _filled(part, ground, words[name], f"{where}.{name}" if where else name)
        for name, part in node["properties"].items()
    }


def _array(node: Schema, ground: _Ground, word: int, where: str) -> list[object]:
    least = node.get("minItems", 0)
    n_items = _within(least, node.get("maxItems", least + _MORE_ITEMS), word, where)
    return [_filled(node.get("items"), ground, _at(word, i), f"{where}[]") for i in range(n_items)]


def _boolean(_: Schema, ground: _Ground, word: int, __: str) -> bool:
    return unit(word) < ground.p


def _nothing(*_: object) -> None:
    return None


def _at(word: int, i: int) -> int:
    return mix(word, _FIELDS + i)


def _unsupported(where: str, node: object) -> RequestRejected:
    return RequestRejected(
        "the mock can only satisfy a schema of an object that has properties: booleans, numbers and texts "
        "within bounds, enums, arrays, objects of these, any of them; not "
        f"{json.dumps(node)[:200]}{f' at {where}' if where else ''}",
        kind="unsupported_schema",
    )


def _chosen(values: list[object], ground: _Ground, word: int) -> object:
    texts = [each if isinstance(each, str) else json.dumps(each) for each in values]
    u = unit(word)
    for value, share in zip(values, shares(texts, ground.choices), strict=True):
        u -= share
        if u < 0.0:
            return value
    return values[-1]


def _within(low: int, high: int, word: int, where: str) -> int:
    _check(low, high, where)
    return low + word % (high - low + 1)


def _check(low: float, high: float, where: str) -> None:
    if low > high:
        raise RequestRejected(
            f"nothing can be at least {low} and at most {high}, as the schema has it at {where}",
            kind="unsupported_schema",
        )


def _text(node: Schema, ground: _Ground, word: int, where: str) -> str:
    if "pattern" in node or node.get("format", "date") not in _FORMATS:
        raise _unsupported(where, node)
    if "format" in node:
        return _FORMATS[node["format"]](date.fromordinal(_FIRST_DAY + word % 366))
    least: int = node.get("minLength", 0)
    most: int = node.get("maxLength", max(least, ground.n_characters))
    _check(least, most, where)
    text = _cut(_quoted(ground.heard, word), min(most, max(least, ground.n_characters)))
    return (text + " and so on" * (least - len(text)))[: max(least, len(text))]


def _quoted(heard: tuple[str, ...], word: int) -> str:
    return heard[word % len(heard)]


def _cut(text: str, n_characters: int) -> str:
    """Cut between words, where there are some."""
    if len(text) <= n_characters:
        return text
    return text[: n_characters + 1].rpartition(" ")[0] or text[:n_characters]


def _bounds(node: Schema) -> tuple[float, float]:
    lows = [node[key] for key in ("minimum", "exclusiveMinimum") if key in node]
    highs = [node[key] for key in ("maximum", "exclusiveMaximum") if key in node]
    if not lows:
        lows = [min(highs) - max(_REACH, abs(min(highs)))] if highs else [0]
    low = max(lows)
    return low, min(highs) if highs else low + max(_REACH, abs(low))


def _whole(node: Schema, _: _Ground, word: int, where: str) -> float:
    step: float = node.get("multipleOf", 1)
    low, high = _bounds(node)
    first, last = math.ceil(low / step), math.floor(high / step)
    first += "exclusiveMinimum" in node and first * step <= node["exclusiveMinimum"]
    last -= "exclusiveMaximum" in node and last * step >= node["exclusiveMaximum"]
    return _within(first, last, word, where) * step


def _number(node: Schema, ground: _Ground, word: int, where: str) -> float:
    if "multipleOf" in node:
        return _whole(node, ground, word, where)
    low, high = _bounds(node)
    _check(low, high, where)
    # The middle of one of 2^52 intervals, so that neither end is met.
    found = low + (high - low) * ((word >> 12) + 0.5) * 2.0**-52
    short = round(found, 2)
    return short if low < short < high else found


_MADE_OF: Mapping[str, Callable[[Schema, _Ground, int, str], object]] = {
    "object": _object,
    "array": _array,
    "string": _text,
    "boolean": _boolean,
    "integer": _whole,
    "number": _number,
    "null": _nothing,
}
"""How a value of each type comes about."""
