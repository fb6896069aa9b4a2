"""JSON schemas of declared answers, in the form that servers' strict modes take, and in words.

Those modes want an object at the root, every key required and no other, and know neither ``oneOf`` nor a
``$ref`` with words beside it: so definitions are written where they are used, and keys that only explain
themselves are dropped. What cannot be said so is an error of the design, before anybody is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentnet.errors import DesignError

Schema = dict[str, Any]

ANSWER = "answer"
"""The key of an answer that is no object by itself."""

_KEPT = frozenset(
    {"type", "enum", "description", "format", "pattern", "multipleOf", "minLength", "maxLength"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"}
)
_DROPPED = frozenset(
    {"title", "default", "examples", "deprecated", "discriminator", "uniqueItems", "readOnly"}
)
_READ = frozenset({"anyOf", "oneOf", "const", "properties", "required", "items", "additionalProperties"})


def strict(schema: Schema, where: str) -> Schema:
    """Bring pydantic's JSON schema into the form that strict modes take.

    Args:
        schema: As pydantic made it.
        where: What is declared, for messages.

    Raises:
        DesignError: Something in it may be anything, holds itself, or has keys that nobody named: names the
            field.
    """
    return _strict(schema, schema.get("$defs", {}), where, ())


def _strict(node: Schema, definitions: Mapping[str, Schema], where: str, within: tuple[str, ...]) -> Schema:
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name in within:
            raise DesignError(f"{where} holds {name} within {name}, without end; say how deep it goes")
        beside = {key: part for key, part in node.items() if key != "$ref"}
        return _strict({**definitions[name], **beside}, definitions, where, (*within, name))
    unknown = node.keys() - _KEPT - _DROPPED - _READ - {"$defs"}
    if unknown:
        raise DesignError(
            f"{where} is declared by {', '.join(sorted(unknown))}, to which no backend can be held; use a "
            "model, a list of one type, a choice, a number or a text"
        )
    if node.get("format") == "binary":
        raise DesignError(f"{where} is bytes, which no model can write; declare a text")
    made = {key: part for key, part in node.items() if key in _KEPT}
    if "const" in node:
        made["enum"] = [node["const"]]
    if variants := node.get("anyOf") or node.get("oneOf"):
        made["anyOf"] = [_strict(each, definitions, where, within) for each in variants]
    elif made.get("type") == "array":
        made["items"] = _strict(node.get("items", {}), definitions, f"{where}[]", within)
    elif made.get("type") == "object":
        made |= _object(node, definitions, where, within)
    elif not made.keys() & {"type", "enum"}:
        raise DesignError(f"{where} may be anything, which nobody can be asked for; declare its type")
    return made


def _object(node: Schema, definitions: Mapping[str, Schema], where: str, within: tuple[str, ...]) -> Schema:
    fields = node.get("properties")
    if not fields:
        raise DesignError(
            f"{where} has no fields of its own; declare a pydantic model with the fields to fill in"
        )
    return {
        "properties": {
            name: _strict(part, definitions, f"{where}.{name}", within) for name, part in fields.items()
        },
        "required": [*fields],
        "additionalProperties": False,
    }


def wrapped(node: Schema) -> Schema:
    """Make an object of one key of what is none, since strict modes want an object at the root."""
    return {
        "type": "object",
        "properties": {ANSWER: node},
        "required": [ANSWER],
        "additionalProperties": False,
    }


def lacks(node: Schema, value: object) -> bool:
    """Say whether `value` leaves something of `node` out that pydantic would fill in.

    A default would be an answer that nobody gave, and true is no 1.
    """
    if "anyOf" in node:
        return all(lacks(each, value) for each in node["anyOf"])
    if "properties" in node:
        fields = node["properties"].items()
        return not isinstance(value, dict) or any(
            name not in value or lacks(part, value[name]) for name, part in fields
        )
    match node.get("type"):
        case "array":
            return not isinstance(value, list) or any(lacks(node["items"], each) for each in value)
        case "null":
            return value is not None
        case "integer" | "number":
            return isinstance(value, bool | dict | list)
        case _:
            return isinstance(value, dict | list)


def schema_in_words(node: Schema) -> str:
    """Show a model what to write.

    Examples:
        >>> schema_in_words({"type": "object", "properties": {"stance": {"type": "integer", "minimum": 1}}})
        '{"stance": <a whole number of at least 1>}'
    """
    if "properties" in node:
        parts = (
            f"{json.dumps(key, ensure_ascii=False)}: {schema_in_words(part)}"
            for key, part in node["properties"].items()
        )
        return "{" + ", ".join(parts) + "}"
    if "anyOf" in node:
        said = " or ".join(schema_in_words(each) for each in node["anyOf"])
    elif node.get("type") == "array":
        bounds = _bounds(node, "minItems", "maxItems", "of them")
        said = f"[{schema_in_words(node['items'])}, ...]{f' ({bounds})' if bounds else ''}"
    else:
        return f"<{kind_in_words(node)}{': ' if 'description' in node else ''}{node.get('description', '')}>"
    return f"{said} ({node['description']})" if "description" in node else said


def kind_in_words(node: Schema) -> str:
    """Say what a single value may be."""
    if "enum" in node:
        return " or ".join(json.dumps(each, ensure_ascii=False) for each in node["enum"])
    match node["type"]:
        case "string":
            bounds = _bounds(node, "minLength", "maxLength", "characters")
            return " of ".join(filter(None, (" ".join(filter(None, ("a text", _form(node)))), bounds)))
        case "integer" | "number" as kind:
            name = "a whole number" if kind == "integer" else "a number"
            return " ".join(filter(None, (name, _range(node))))
        case "boolean":
            return "true or false"
        case kind:
            return str(kind)


def _form(node: Schema) -> str:
    said = [f"in the form of a {node['format']}"] if "format" in node else []
    return " ".join([*said, *([f"that matches {node['pattern']}"] if "pattern" in node else [])])


def _bounds(node: Schema, least: str, most: str, what: str) -> str:
    low = [f"at least {node[least]}"] if node.get(least) else []
    high = [f"at most {node[most]}"] if most in node else []
    return f"{' and '.join([*low, *high])} {what}" if low or high else ""


def _range(node: Schema) -> str:
    if "minimum" in node and "maximum" in node:
        said = [f"from {node['minimum']} to {node['maximum']}"]
    else:
        said = [f"{words} {node[key]}" for key, words in _BOUNDS.items() if key in node]
    return " and ".join([*said, *([f"a multiple of {node['multipleOf']}"] if "multipleOf" in node else [])])


_BOUNDS = {
    "minimum": "of at least",
    "exclusiveMinimum": "above",
    "maximum": "of at most",
    "exclusiveMaximum": "below",
}
