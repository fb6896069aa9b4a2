"""What may be answered, as controls of a page, and what was filled in, as the reply of a model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from agentnet.backend import Request
from agentnet.errors import BackendUnusable

Kind = Literal["choice", "several", "number", "text", "lines"]
Path = tuple[str, ...]

MISSING, NO_CHOICE, NO_NUMBER, OUT_OF_RANGE, TOO_SHORT, TOO_LONG, WRONG_FORM = (
    *("missing", "no_choice", "no_number", "out_of_range"),
    *("too_short", "too_long", "wrong_form"),
)
"""What may be wrong with what was filled in; the words of a page say it."""

_LONGEST_TEXT: Final = 10_000
_LARGEST: Final = 2**53
"""Of whole numbers beyond it not all can be told apart as floating-point numbers."""
_NEVER_TYPED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_YES_AND_NO: Final = ((True, "yes"), (False, "no"))


def typed(text: str) -> str:
    """Give a text as somebody may have typed it: without what no keyboard gives, and no page may hold.

    What turns the direction of text stays: languages that are written from the right need it.
    """
    return _NEVER_TYPED.sub("", text.replace("\r\n", "\n"))


class Unusable(ValueError):
    """What was filled in is no answer.

    Args:
        control: Name of the control; ``""`` for the whole.
        fault: What is wrong.
    """

    def __init__(self, control: str, fault: str) -> None:
        super().__init__(f"{control}: {fault}")
        self.control = control
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Control:
    """One control.

    Attributes:
        name: The name of its field in the page's form.
        label: What it asks for; ``""`` where the question says it.
        kind: What it is.
        options: What can be chosen: value and text of each.
        node: The part of the JSON schema that it stands for: its bounds.
        is_optional: Whether it may stay empty.
        path: Where its value stands in the answer.
    """

    name: str
    label: str
    kind: Kind
    options: tuple[tuple[Any, str], ...] = ()
    node: Mapping[str, Any] = ()  # type: ignore[assignment] # made by `_control`
    is_optional: bool = False
    path: Path = ()

    @property
    def attributes(self) -> dict[str, object]:
        """Give the attributes of its HTML element that hold its bounds."""
        names = {"minimum": "min", "maximum": "max", "minLength": "minlength", "maxLength": "maxlength"}
        found = {html: self.node[key] for key, html in names.items() if key in self.node}
        if self.kind == "number":
            found["step"] = self.node.get("multipleOf", 1 if self.node.get("type") == "integer" else "any")
        elif self.kind == "text":
            found.setdefault("maxlength", _LONGEST_TEXT)
        return found

    def read(self, given: Sequence[str]) -> Any:  # noqa: ANN401 - as declared
        """Read what was filled in.

        Raises:
            Unusable: It is no such value.
        """
        filled = [text for text in map(typed, given) if text.strip()]
        if not filled and self.kind != "several":
            if self.is_optional:
                return None
            raise Unusable(self.name, MISSING)
        return _READERS[self.kind](self, filled)

    def refuse(self, fault: str) -> Unusable:
        """Make the error that tells of a fault."""
        return Unusable(self.name, fault)


def _chosen(control: Control, filled: str) -> Any:  # noqa: ANN401 - as declared
    values = {str(place): value for place, (value, _) in enumerate(control.options)}
    if filled not in values:
        raise control.refuse(NO_CHOICE)
    return values[filled]


def _number(control: Control, filled: Sequence[str]) -> float | int:
    node, text = control.node, filled[0].strip().replace(",", ".")
    try:
        value = int(text) if node.get("type") == "integer" else float(text)
    except ValueError:
        raise control.refuse(NO_NUMBER) from None
    if not abs(value) <= _LARGEST:
        raise control.refuse(NO_NUMBER)
    low, high = node.get("minimum", -math.inf), node.get("maximum", math.inf)
    above, below = node.get("exclusiveMinimum", -math.inf), node.get("exclusiveMaximum", math.inf)
    is_multiple = "multipleOf" not in node or math.isclose(
        math.remainder(value, node["multipleOf"]), 0, abs_tol=1e-9
    )
    if not (low <= value <= high and above < value < below and is_multiple):
        raise control.refuse(OUT_OF_RANGE)
    return value


def _lines(control: Control, filled: Sequence[str]) -> list[str]:
    node = control.node["items"]
    return _in_number(
        control, [_of_length(control, node, line) for line in filled[0].split("\n") if line.strip()]
    )


def _of_length(control: Control, node: Mapping[str, Any], text: str) -> str:
    if len(text) < node.get("minLength", 0):
        raise control.refuse(TOO_SHORT)
    if len(text) > min(node.get("maxLength", _LONGEST_TEXT), _LONGEST_TEXT):
        raise control.refuse(TOO_LONG)
    if "pattern" in node and not re.search(node["pattern"], text):
        raise control.refuse(WRONG_FORM)
    return text


def _in_number(control: Control, values: list[Any]) -> list[Any]:
    if not control.node.get("minItems", 0) <= len(values) <= control.node.get("maxItems", math.inf):
        raise control.refuse(OUT_OF_RANGE)
    return values


_READERS: Final[Mapping[Kind, Callable[[Control, Sequence[str]], Any]]] = {
    "choice": lambda control, filled: _chosen(control, filled[0]),
    "several": lambda control, filled: _in_number(
        control, [_chosen(control, each) for each in dict.fromkeys(filled)]
    ),
    "number": _number,
    "text": lambda control, filled: _of_length(control, control.node, filled[0]),
    "lines": _lines,
}


@dataclass(frozen=True, slots=True)
class Form:
    """The controls of a question.

    Attributes:
        controls: In order.
        is_json: Whether the reply is the JSON of an object; else it is what was filled in.
    """

    controls: tuple[Control, ...]
    is_json: bool

    def read(self, fields: Mapping[str, Sequence[str]]) -> str:
        """Make the reply of what was filled in: what a model says that keeps to what is declared.

        Raises:
            Unusable: It is no answer.
        """
        values = [(each.path, each.read(fields.get(each.name, ()))) for each in self.controls]
        if not self.is_json:
            return str(values[0][1])
        answer: dict[str, Any] = {}
        for path, value in values:
            place = answer
            for key in path[:-1]:
                place = place.setdefault(key, {})
            place[path[-1]] = value
        return json.dumps(answer, ensure_ascii=False)

    @property
    def free(self) -> list[Path]:
        """List where in a reply a person writes freely, and does not choose: () is the whole of it."""
        written = [each for each in self.controls if each.kind in {"text", "lines"}]
        return [each.path for each in written]


def form_of(request: Request) -> Form:
    """Make the controls for what a request may be answered by.

    Raises:
        BackendUnusable: No control is known for a part of what is declared; names it.
    """
    if request.answers:
        options = tuple((text, text) for text in request.answers)
        return Form((Control("answer", "", "choice", options, {}),), is_json=False)
    if request.schema is None:
        return Form((Control("answer", "", "text", (), {}),), is_json=False)
    node = json.loads(request.schema)
    return Form(tuple(_controls(node, ())), is_json=True)


def _controls(node: Mapping[str, Any], path: Path) -> Iterator[Control]:
    if "properties" in node:
        for name, part in node["properties"].items():
            yield from _controls(part, (*path, name))
        return
    variants = [each for each in node.get("anyOf", ()) if each.get("type") != "null"]
    is_optional = len(variants) < len(node.get("anyOf", ()))
    if len(variants) == 1 and is_optional:
        node = {**variants[0], **{key: part for key, part in node.items() if key == "description"}}
    yield _control(node, path, is_optional=is_optional)


def _control(node: Mapping[str, Any], path: Path, *, is_optional: bool) -> Control:
    kind, options = _kind(node)
    if kind is None:
        raise BackendUnusable(
            f"people cannot be asked for {'.'.join(path)}, of JSON schema {json.dumps(node)[:200]}: declare "
            "a choice, a number, true or false, a text, or a list of texts or choices"
        )
    name = path[-1].replace("_", " ")
    label = node.get("description", "" if path == ("answer",) else name[:1].upper() + name[1:])
    return Control(".".join(("answer", *path)), label, kind, options, node, is_optional, path)


def _kind(node: Mapping[str, Any]) -> tuple[Kind | None, tuple[tuple[Any, str], ...]]:
    items = node.get("items", {})
    for values, kind in ((node.get("enum"), "choice"), (items.get("enum"), "several")):
        if values is not None:
            return kind, _options(values)  # type: ignore[return-value] # a literal within a tuple
    if node.get("type") == "boolean":
        return "choice", _YES_AND_NO
    if node.get("type") == "array":
        return ("lines" if items.get("type") == "string" else None), ()
    return _OF_TYPE.get(node.get("type", "")), ()


_OF_TYPE: Final[Mapping[str, Kind]] = {"integer": "number", "number": "number", "string": "text"}


def _options(values: Sequence[Any]) -> tuple[tuple[Any, str], ...]:
    return tuple((each, each if isinstance(each, str) else json.dumps(each)) for each in values)
