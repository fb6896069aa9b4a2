"""What may be answered, declared once: as types of Python. Yes or no, a choice, a number, a text, a model.

The declaration makes what a backend is held to, the sentence that asks for it, the reading of replies and the
value in the log. Reading is conservative: what is hedged, ambiguous, out of range or not understood is
unusable, as in `agentnet.prompts.reply`, and nothing in a reply is ever evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import SchemaError

from agentnet.errors import DesignError, near_miss
from agentnet.prompts.prompt_set import answer_choices
from agentnet.prompts.reading import MARKS, WRONG_VALUE, ClosedReader, Reader, comparable
from agentnet.prompts.reply import Verdict, parse_reply
from agentnet.prompts.schemas import Schema, kind_in_words, schema_in_words, strict, wrapped

__all__ = ["WRONG_VALUE", "Declared", "Judge", "declared"]

Judge = Callable[[str], Verdict]

_MOST_CHOICES = 101
"""Whole numbers between bounds are a choice up to so many: all of a scale from 0 to 100."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What an experiment declares may be answered. Made by `declared`.

    Attributes:
        form: The declaration, as a type.
        answers: The only texts that a reply may be, for a backend; empty for any.
        schema: JSON schema of a reply, as JSON text; None for any.
        instruction: The sentence that tells a model how to answer; ``""`` for free text.
        judge: Turns the text of a reply into a verdict, whose ``value`` is what JSON has of the answer.
        fields: The names of a model's fields, in order; none of other answers.
    """

    form: Any
    answers: tuple[str, ...]
    schema: str | None
    instruction: str
    judge: Judge
    fields: tuple[str, ...] = ()
    _adapter: TypeAdapter[Any] = field(kw_only=True, repr=False)

    def read(self, value: object) -> Any:  # noqa: ANN401 - what was declared, a type that is known then only
        """Give the typed value of what a log has: an instance for a model, a member for an enum.

        Raises:
            DesignError: `value` is not as declared.
        """
        return self.read_json(json.dumps(value))

    def read_json(self, value: str) -> Any:  # noqa: ANN401 - what was declared
        """Give the typed value of what a log has, from its JSON; see `read`."""
        try:
            return self._adapter.validate_json(value)
        except ValidationError as error:
            raise DesignError(
                f"the answer {value[:200]} is not what {_name(self.form)} declares "
                f"({error.errors()[0]['msg']}); was the declaration changed since it was given?"
            ) from None

    def spell(self, value: object) -> str:
        """Write an answer as a model would that is held to the declaration: what `judge` reads back.

        Args:
            value: A typed value, or what JSON has of one.

        Raises:
            DesignError: `value` is not as declared.
        """
        try:
            typed = self._adapter.validate_python(value)
        except ValidationError:
            raise DesignError(f"{value!r:.80} is no answer that {_name(self.form)} declares") from None
        plain = self._adapter.dump_python(typed, mode="json", by_alias=True)
        if isinstance(plain, bool) and self.answers == answer_choices():
            return answer_choices()[not plain]
        return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def declared(answer: Any, *, decides: object = None) -> Declared:  # noqa: ANN401 - any type of Python
    """Read a declaration.

    Args:
        answer: ``bool`` (yes or no), ``str`` (free text), a ``Literal`` or an ``Enum`` (a choice), ``int``,
            ``float`` or either ``Annotated`` with bounds (a number), a pydantic model, or what such a model
            could have as a field.
        decides: Which answer is a yes: of a model the name of a field that is true or false, or a pair of
            a field and its value; of anything else the value. None: whether one decides is not asked.

    Returns:
        What backends, prompts and parsers need of it. The decision of yes-or-no answers is the answer.

    Raises:
        DesignError: No backend can be held to the declaration, or it cannot be read back from JSON: names the
            field and the way out.

    Examples:
        >>> from typing import Literal
        >>> stance = declared(Literal[-1, 0, 1])
        >>> stance.instruction
        'Answer with one of these and nothing else: -1, 0, 1.'
        >>> stance.judge("My answer: -1").value, stance.judge("0 or 1").problem
        (-1, 'ambiguous')
    """
    adapter, node = _described(answer)
    made = partial(Declared, answer, _adapter=adapter)
    if node.get("type") == "boolean":
        if decides not in {None, True}:
            raise DesignError(f"{decides!r} decides, but yes decides an answer of yes or no")
        return made(answer_choices(), None, _YES_OR_NO, _judge_yes_or_no)
    if "properties" in node:
        _check_written(answer, adapter, node)
        judge = Reader(adapter, node, _of_fields(decides, node, answer)).judge_fields
        return made(
            (), json.dumps(node), f"{_AS_JSON}\n{schema_in_words(node)}", judge, tuple(node["properties"])
        )
    reader = Reader(adapter, node, _of_value(decides, adapter, answer))
    if choices := _choices(node, adapter, answer):
        return made(tuple(choices), None, _asked(node, choices), ClosedReader(reader, choices).judge)
    if node.get("type") == "string" and not node.keys() & _BOUNDS:
        return made((), None, "", reader.judge_text)
    whole = wrapped(node)
    return made((), json.dumps(whole), f"{_AS_JSON}\n{schema_in_words(whole)}", _judge_within(reader))


def _judge_within(reader: Reader) -> Judge:
    """Choose how an answer is read that is asked for within an object."""
    match reader.node.get("type"):
        case "integer" | "number":
            return ClosedReader(reader, {}).judge
        case "string":
            return reader.judge_bounded
        case _:
            return reader.judge_wrapped


_BOUNDS = frozenset({"minLength", "maxLength", "format", "pattern"})
_YES_OR_NO = "Answer with one word only, yes or no."
_AS_JSON = "Answer with one JSON object and nothing else:"


def _described(answer: Any) -> tuple[TypeAdapter[Any], Schema]:  # noqa: ANN401 - any type of Python
    """Let pydantic read a declaration, and check its schema."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(answer)
        schema = adapter.json_schema()
    except (PydanticUserError, SchemaError, TypeError, NameError) as error:
        is_text = isinstance(answer, str)
        name, why = (repr(answer), "it is a text") if is_text else (_name(answer), str(error).splitlines()[0])
        raise DesignError(
            f"{name} cannot be asked for: {why}; declare bool, str, a "
            "Literal, a number or a pydantic model of such fields"
        ) from error
    node = strict(schema, _name(answer))
    if node.get("type") == "null":
        raise DesignError("None is no answer; declare bool, str, a Literal, a number or a pydantic model")
    return adapter, node


def _name(answer: object) -> str:
    return answer.__name__ if isinstance(answer, type) else str(answer).replace("typing.", "")


def _check_written(answer: object, adapter: TypeAdapter[Any], node: Schema) -> None:
    """See that what is read is written too, and under the same names."""
    written = adapter.json_schema(mode="serialization").get("properties", {})
    lost = [name for name in node["properties"] if name not in written]
    if lost:
        raise DesignError(
            f"{_name(answer)}.{lost[0]} is left out or renamed where the answer is written, so that it could "
            "not be read back from the log; drop `exclude` or the serializer"
        )


def _of_value(decides: object, adapter: TypeAdapter[Any], answer: object) -> Callable[[Any], bool | None]:
    if decides is None:
        return _undecided
    try:
        wanted = adapter.dump_python(adapter.validate_python(decides), mode="json")
    except ValidationError:
        raise DesignError(f"{decides!r} decides, but no answer to {_name(answer)} can be that") from None
    return lambda value: bool(value == wanted)


def _of_fields(decides: object, node: Schema, answer: object) -> Callable[[Any], bool | None]:
    if decides is None:
        return _undecided
    name, wanted = decides if isinstance(decides, tuple) and len(decides) == 2 else (decides, True)
    wanted = wanted.value if isinstance(wanted, Enum) else wanted
    if name not in node["properties"]:
        raise DesignError(f"{_name(answer)} has no field {name!r}{near_miss(str(name), node['properties'])}")
    part = node["properties"][name]
    if wanted is True and part.get("type") != "boolean":
        raise DesignError(
            f"{_name(answer)}.{name} decides, but is not true or false; say which value does: "
            f"decides = ({name!r}, VALUE)"
        )
    if wanted not in part.get("enum", [True, False] if part.get("type") == "boolean" else [wanted]):
        raise DesignError(f"{_name(answer)}.{name} is {kind_in_words(part)}, never {wanted!r}")
    return lambda value: bool(value[name] == wanted)


def _undecided(_: object) -> None:
    return None


def _choices(node: Schema, adapter: TypeAdapter[Any], answer: object) -> dict[str, object]:
    """List the texts of a choice and their values; none if it is not one of a closed list."""
    values = node.get("enum", _between(node))
    texts = {each if isinstance(each, str) else json.dumps(each): each for each in values}
    if len({comparable(text) for text in texts}) < len(values):
        raise DesignError(f"two choices of {_name(answer)} read the same, but for case or blanks; rename one")
    for text, value in texts.items():
        if isinstance(value, list | dict) or value is None or not text.strip(MARKS) or "\n" in text:
            raise DesignError(
                f"{value!r} in {_name(answer)} is no text or number that can be answered; name it"
            )
    return {text: value for text, value in texts.items() if "enum" in node or _fits(adapter, value)}


def _between(node: Schema) -> Iterable[int]:
    """List the whole numbers between bounds, if there are two and not too many."""
    lows = [node[key] + by for key, by in (("minimum", 0), ("exclusiveMinimum", 1)) if key in node]
    highs = [node[key] - by for key, by in (("maximum", 0), ("exclusiveMaximum", 1)) if key in node]
    if node.get("type") != "integer" or not (lows and highs) or min(highs) - max(lows) >= _MOST_CHOICES:
        return ()
    return range(max(lows), min(highs) + 1)


def _fits(adapter: TypeAdapter[Any], value: object) -> bool:
    try:
        adapter.validate_json(json.dumps(value))
    except ValidationError:
        return False
    return True


def _asked(node: Schema, choices: Iterable[str]) -> str:
    if "enum" not in node:
        return f"Answer with {kind_in_words(node)} and nothing else."
    listed = ", ".join(json.dumps(each, ensure_ascii=False) if "," in each else each for each in choices)
    return f"Answer with one of these and nothing else: {listed}."


def _judge_yes_or_no(text: str) -> Verdict:
    verdict = parse_reply(text)
    return verdict if verdict.decision is None else verdict._replace(value=verdict.decision)
