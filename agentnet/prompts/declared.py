"""What may be answered, declared once: as types of Python. Yes or no, a choice, a number, a text, a model.

The declaration makes what a backend is held to, the sentence that asks for it, the reading of replies and the
value in the log. Reading is conservative: what is hedged, ambiguous, out of range or not understood is
unusable, as in `agentnet.prompts.reply`, and nothing in a reply is ever evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from agentnet.errors import DesignError, near_miss
from agentnet.prompts import english
from agentnet.prompts.prompt_set import answer_choices
from agentnet.prompts.prose import normalized
from agentnet.prompts.reply import (
    ANSWER_ELEMENTS,
    ANSWER_KEYS,
    DEEPEST,
    FENCE,
    LETTER,
    REASON_ELEMENTS,
    REASON_KEYS,
    WRAPPERS,
    Pairs,
    Verdict,
    handed,
    objects_and_rest,
    parse_reply,
    unusable,
    well_formed,
)
from agentnet.prompts.schemas import Schema, in_words, kind_in_words, lacks, strict, wrapped
from agentnet.prompts.wrapping import after_thought, boxes, elements, in_turn

WRONG_VALUE = "wrong_value"
"""The problem of a reply that answers, but not as declared: out of range, or with a field that is missing."""

Judge = Callable[[str], Verdict]

_MOST_CHOICES = 101
"""Whole numbers between bounds are a choice up to so many: all of a scale from 0 to 100."""

_MARKS = " \t\r\n\"'*_`.!"
_VALUE_KEYS = ANSWER_KEYS | {"choice", "value"}
_NUMBER = r"[+-]?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?"
_A_NUMBER = rf"(?<![\w.,/+-]){_NUMBER}(?![\w%/]|[.,:][0-9])"
_LABEL = (
    r"(?:(?:so|my|the|final|overall)[ ,]{1,2}){0,3}(?:answer|decision|choice|response|reply|verdict|rating"
    r"|score|stance|number|value|option)[*_\"]{0,3}[ ]?(?:[:=]|(?:is|would be|will be)\b:?)"
)
_SIGNS = r"[ \t\"'*_`#>]{0,8}"
_END = r"[\"'*_`]{0,4}(?=[ \t]*(?:[.,;!]{1,3}[\"'*_`]{0,4}(?:\s|\Z)|[—–]|\n|\Z))"
_TAKEN_BACK = re.compile(
    r"(?:\A|[.!?;,\n]\s?)(?:or|not|never|maybe|perhaps|possibly|unless|only if|just kidding)\b"
)
_UNSURE = re.compile(
    r"\b(?:or|if|unless|not|no|never|maybe|perhaps|possibly|probably|might|depends|depending|unsure|rather)\b"
)
_NOT_MEANT = re.compile(
    r"\b(?:for (?:example|instance)|an example|e\.g|such as|could be|might be|would look)\b"
)
_EMPTY_BOX = re.compile(r"\\?boxed\s{0,8}\{\s*\}")


class _Claim(NamedTuple):
    """One place of a reply that answers: what it says, and the reason beside it."""

    value: object
    reason: str = ""


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
        try:
            return self._adapter.validate_json(json.dumps(value))
        except ValidationError as error:
            raise DesignError(
                f"the answer {json.dumps(value)[:200]} is not what {_name(self.form)} declares "
                f"({error.errors()[0]['msg']}); was the declaration changed since it was given?"
            ) from None


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
    if node.get("type") == "boolean":
        return Declared(answer, answer_choices(), None, _YES_OR_NO, _judge_yes_or_no, _adapter=adapter)
    if "properties" in node:
        _check_written(answer, adapter, node)
        reader = _Reader(adapter, node, _of_fields(decides, node, answer))
        asked = f"{_AS_JSON}\n{in_words(node)}"
        fields = tuple(node["properties"])
        return Declared(answer, (), json.dumps(node), asked, reader.judge_fields, fields, _adapter=adapter)
    reader = _Reader(adapter, node, _of_value(decides, adapter, answer))
    if node.get("type") == "string" and "enum" not in node:
        bounded = node.keys() & {"minLength", "maxLength", "format", "pattern"}
        asked = f"Answer with {kind_in_words(node)} and nothing else." if bounded else ""
        return Declared(answer, (), None, asked, reader.judge_text, _adapter=adapter)
    choices = _choices(node, adapter, answer)
    if choices:
        judge = _ClosedReader(reader, choices).judge
        return Declared(answer, tuple(choices), None, _asked(node, choices), judge, _adapter=adapter)
    whole = wrapped(node)
    judge = _ClosedReader(reader, {}).judge if node.get("type") in _NUMBERS else reader.judge_wrapped
    return Declared(answer, (), json.dumps(whole), f"{_AS_JSON}\n{in_words(whole)}", judge, _adapter=adapter)


_NUMBERS = frozenset({"integer", "number"})
_YES_OR_NO = "Answer with one word only, yes or no."
_AS_JSON = "Answer with one JSON object and nothing else:"


def _described(answer: Any) -> tuple[TypeAdapter[Any], Schema]:  # noqa: ANN401 - any type of Python
    """Let pydantic read a declaration, and check its schema."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(answer)
        schema = adapter.json_schema()
    except (PydanticUserError, TypeError, NameError) as error:
        raise DesignError(
            f"{_name(answer)} cannot be asked for: {str(error).splitlines()[0]}; declare bool, str, a "
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
    if len({_canonical(text) for text in texts}) < len(values):
        raise DesignError(f"two choices of {_name(answer)} read the same, but for case or blanks; rename one")
    for text, value in texts.items():
        if isinstance(value, list | dict) or value is None or not text.strip(_MARKS) or "\n" in text:
            raise DesignError(
                f"{value!r} in {_name(answer)} is no text or number that can be answered; name it"
            )
    return {text: value for text, value in texts.items() if "enum" in node or _fits(adapter, value)}


def _between(node: Schema) -> Iterable[int]:
    if node.get("type") != "integer":
        return ()
    low = max(
        (b for b in (node.get("minimum"), _next(node.get("exclusiveMinimum"), 1)) if b is not None),
        default=None,
    )
    high = min(
        (b for b in (node.get("maximum"), _next(node.get("exclusiveMaximum"), -1)) if b is not None),
        default=None,
    )
    if low is None or high is None or high - low >= _MOST_CHOICES:
        return ()
    return range(low, high + 1)


def _next(bound: int | None, by: int) -> int | None:
    return None if bound is None else bound + by


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


def _said(text: str) -> str:
    return in_turn(after_thought(text.replace("\0", ""))).strip()


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the answers of one declaration out of texts."""

    adapter: TypeAdapter[Any]
    node: Schema
    decides: Callable[[Any], bool | None]

    def verdict(self, claims: list[_Claim], rationale: str = "") -> Verdict:
        """Judge what a text claims: every claim must fit, and all must agree."""
        try:
            values = [self._fitting(claim.value) for claim in claims]
        except _Ambiguous:
            return unusable("ambiguous")
        except (ValueError, TypeError, RecursionError):
            return unusable(WRONG_VALUE if len(claims) == 1 else "ambiguous")
        if any(value != values[0] for value in values):
            return unusable("ambiguous")
        reason = next((claim.reason for claim in claims if claim.reason), rationale)
        return Verdict(self.decides(values[0]), reason, "", values[0])

    def _fitting(self, found: object) -> Any:  # noqa: ANN401 - JSON
        """Give what JSON has of a value that is as declared, and reads back as the same.

        Raises:
            ValueError: It is not.
        """
        plain = _plain(found)
        if lacks(self.node, plain):
            raise ValueError("a field is missing")
        typed = self.adapter.validate_json(json.dumps(plain, allow_nan=False))
        value = self.adapter.dump_python(typed, mode="json", by_alias=True)
        if self.adapter.validate_json(json.dumps(value, allow_nan=False)) != typed:
            raise ValueError("it does not read back")
        return value

    def judge_text(self, text: str) -> Verdict:
        """Take all that was said; a refusal to say anything is none."""
        said = well_formed(_said(text))
        if not said:
            return unusable("no_answer" if text.strip() else "empty")
        if english.DECLINED.match(normalized(said[:_OPENING])):
            return unusable("refusal")
        return self.verdict([_Claim(said)])

    def judge_fields(self, text: str) -> Verdict:
        """Take the object that has the fields."""
        names = frozenset(self.node["properties"])
        return self._judge_objects(text, lambda pairs: _with(pairs, names))

    def judge_wrapped(self, text: str) -> Verdict:
        """Take the answer out of its wrapping, or as JSON that stands alone."""
        try:
            alone = json.loads(_said(FENCE.sub("\n", text)))
        except (ValueError, RecursionError):
            alone = None
        if isinstance(alone, list | int | float):
            return self.verdict([_Claim(alone)])
        return self._judge_objects(text, _answers_of)

    def _judge_objects(self, text: str, claims_of: Callable[[Pairs], Iterator[_Claim]]) -> Verdict:
        said = _said(text)
        if not said:
            return unusable("no_answer" if text.strip() else "empty")
        objects, rest = objects_and_rest(said)
        claims = [claim for pairs in objects for claim in claims_of(pairs)]
        if "{" in _EMPTY_BOX.sub("", rest):
            return unusable("bad_json")
        if not claims:
            return unusable(_why_none(rest))
        return unusable("ambiguous") if _goes_back(rest) else self.verdict(claims)


_OPENING = 400


class _Ambiguous(Exception):
    """An object says two things under one key."""


def _plain(found: object) -> object:
    """Make dicts of pairs, and drop from texts what no log could hold."""
    if isinstance(found, str):
        return well_formed(found.replace("\0", ""))
    if not isinstance(found, list):
        return found
    if not found or not isinstance(found[0], tuple):
        return [_plain(each) for each in found]
    made: dict[str, object] = {}
    for key, value in found:
        plain = _plain(value)
        if key in made and made[key] != plain:
            raise _Ambiguous(key)
        made[key] = plain
    return made


def _with(pairs: Pairs, names: frozenset[str], depth: int = 0) -> Iterator[_Claim]:
    """Find the objects that have one of `names`, in those that only hand them over."""
    if any(key in names for key, _ in pairs):
        reasons = [
            each for key, each in pairs if key.strip().lower() in REASON_KEYS and isinstance(each, str)
        ]
        yield _Claim(pairs, well_formed(reasons[0]) if reasons else "")
    elif depth < DEEPEST:
        for key, value in pairs:
            if key.strip().lower() in WRAPPERS | ANSWER_KEYS:
                for each in handed(value):
                    yield from _with(each, names, depth + 1)


def _answers_of(pairs: Pairs) -> Iterator[_Claim]:
    for claim in _with(pairs, _VALUE_KEYS):
        held = claim.value
        assert isinstance(held, list)
        yield from (claim._replace(value=value) for key, value in held if key in _VALUE_KEYS)


def _why_none(prose: str) -> str:
    return "refusal" if english.REFUSAL.search(normalized(prose)) else "no_answer"


def _goes_back(rest: str) -> bool:
    """Say whether prose beside an answer hedges it, takes it back, or means none."""
    if not LETTER.search(rest):
        return False
    prose = normalized(FENCE.sub("\n", rest))
    patterns = (english.REFUSAL, english.HEDGE, english.REVERSAL, _TAKEN_BACK, _NOT_MEANT)
    return bool(english.HEDGED_OPENING.match(prose)) or any(each.search(prose) for each in patterns)


class _ClosedReader:
    """Reads choices and numbers: answers that are a word or a few, and may stand in prose.

    Args:
        reader: Judges what is found.
        choices: The values by their texts; none for any number.
    """

    def __init__(self, reader: _Reader, choices: Mapping[str, object]) -> None:
        self._reader = reader
        self._values = {_canonical(text): value for text, value in choices.items()}
        self._exact = {text: reader.verdict([_Claim(value)]) for text, value in choices.items()}
        texts = sorted(choices, key=len, reverse=True)
        words = [r"\s+".join(map(re.escape, text.split())) for text in texts]
        numeric = not choices or any(isinstance(key, int | float) for key in self._values)
        token = "|".join(
            [*(rf"(?<!\w)(?:{word})(?!\w)" for word in words), *([_A_NUMBER] if numeric else [])]
        )
        self._token = re.compile(token, re.IGNORECASE)
        self._stated = re.compile(
            rf"(?:\A{_SIGNS}|^{_SIGNS}{_LABEL}{_SIGNS})(?P<token>{token}){_END}", re.IGNORECASE | re.MULTILINE
        )

    def judge(self, text: str) -> Verdict:
        """Take the answer where it stands alone, at the start, after a label, or in JSON."""
        if exact := self._exact.get(text.strip()):
            return exact
        said = FENCE.sub("\n", _said(text)).translate(_MINUS).strip()
        if not said:
            return unusable("no_answer" if text.strip() else "empty")
        reasons, said = elements(said, REASON_ELEMENTS, to_the_end=True)
        held, rest = elements(said, ANSWER_ELEMENTS)
        objects, rest = objects_and_rest(rest)
        boxed, rest = boxes(_EMPTY_BOX.sub("", rest))
        claims = [_Claim(each) for each in (*held, *boxed)]
        claims += [claim for pairs in objects for claim in _answers_of(pairs)]
        if "{" in rest and (objects or '"' in rest):
            return unusable("bad_json")
        if claims:
            return self._judge(claims, rest, "", reasons)
        return unusable("no_answer") if objects else self._judge_prose(rest.strip(), reasons)

    def _judge_prose(self, said: str, reasons: list[str]) -> Verdict:
        found = [*self._stated.finditer(said)]
        if not found:
            return unusable("ambiguous" if len(self._mentioned(said)) > 1 else _why_none(said))
        claims = [_Claim(match["token"]) for match in found]
        after = said[found[-1].end() :]
        rationale = after.lstrip(" \t\r\n.,;!-—–*_`\"'")
        return self._judge(claims, self._stated.sub("\n", said), after, reasons or [rationale])

    def _judge(self, claims: list[_Claim], rest: str, after: str, reasons: list[str]) -> Verdict:
        """Judge claims that nothing beside them may contradict; `after` goes on from the last."""
        keys = {_canonical(claim.value) for claim in claims}
        doubted = _UNSURE.search(normalized(_SENTENCE_END.split(after, maxsplit=1)[0]))
        if len(keys) > 1 or self._mentioned(rest) - keys or doubted or _goes_back(rest):
            return unusable("ambiguous")
        rationale = well_formed(reasons[0].strip()) if reasons and LETTER.search(reasons[0]) else ""
        return self._reader.verdict(
            [claim._replace(value=self._value(claim.value)) for claim in claims], rationale
        )

    def _value(self, said: object) -> object:
        key = _canonical(said)
        return self._values.get(key) if self._values else key

    def _mentioned(self, prose: str) -> set[object]:
        return {_canonical(match[0]) for match in self._token.finditer(prose)}


_MINUS = str.maketrans({"\u2212": "-"})
_SENTENCE_END = re.compile(r"[.!?;\n]")


def _canonical(said: object) -> str | float | None:
    """Give what answers are compared by: numbers as such, words without regard to case and blanks."""
    if isinstance(said, bool):
        return json.dumps(said)
    if isinstance(said, int | float):
        return said
    if not isinstance(said, str):
        return None
    word = " ".join(said.translate(_MINUS).strip(_MARKS).split())
    if re.fullmatch(_NUMBER, word) is None:
        return word.casefold()
    return int(word) if word.lstrip("+-").isdigit() else float(word)
