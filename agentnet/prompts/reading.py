"""Reads declared answers out of replies: whole objects, and choices and numbers that may stand in prose.

What is hedged, ambiguous, out of range or not understood is unusable, as in `agentnet.prompts.reply`, whose
readers find the objects, boxes and elements. Nothing in a reply is ever evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from agentnet.prompts import english
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
    unusable,
    well_formed,
)
from agentnet.prompts.schemas import Schema, lacks
from agentnet.prompts.wrapping import after_thought, boxes, elements, in_turn

WRONG_VALUE = "wrong_value"
"""The problem of a reply that answers, but not as declared: out of range, or with a field that is missing."""

MARKS = " \t\r\n\"'*_`.!()[]\u201c\u201d\u2018\u2019\u00ab\u00bb"
_VALUE_KEYS = ANSWER_KEYS | {"choice", "value"}
_NUMBER = r"[+-]?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?"
_A_NUMBER = rf"(?<![\w.,/+-]){_NUMBER}(?![\w%/]|[.,:][0-9])"
_LABEL = (
    r"(?:(?:so|my|the|final|overall)[ ,]{1,2}){0,3}(?:answer|decision|choice|response|reply|verdict|rating"
    r"|score|stance|number|value|option)[*_\"]{0,3}[ ]?(?:[:=]|(?:is|would be|will be)\b:?)"
)
_QUOTES = "\"'*_`\u201c\u201d\u2018\u2019\u00ab\u00bb"
_SIGNS = rf"[ \t#>(\[{_QUOTES}]{{0,8}}"
_END = rf"[{_QUOTES})\]]{{0,4}}(?=[ \t]*(?:[.,;!]{{1,3}}[{_QUOTES})\]]{{0,4}}(?:\s|\Z)|[—–]|-\s|\n|\Z))"
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


class Claim(NamedTuple):
    """One place of a reply that answers: what it says, and the reason beside it."""

    value: object
    reason: str = ""


def _said(text: str) -> str:
    return in_turn(after_thought(text.replace("\0", ""))).strip()


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the answers of one declaration out of texts."""

    adapter: TypeAdapter[Any]
    node: Schema
    decides: Callable[[Any], bool | None]

    def verdict(self, claims: list[Claim], rationale: str = "") -> Verdict:
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
        spelled = json.dumps(plain, allow_nan=False)
        typed = self.adapter.validate_json(spelled)
        value = self.adapter.dump_python(typed, mode="json", by_alias=True)
        again = json.dumps(value, allow_nan=False)
        if again != spelled and self.adapter.validate_json(again) != typed:
            raise ValueError("it does not read back")
        return value

    def judge_text(self, text: str) -> Verdict:
        """Take all that was said; a refusal to say anything is none."""
        said = well_formed(_said(text))
        if not said:
            return unusable("no_answer" if text.strip() else "empty")
        if english.DECLINED.match(normalized(said[:_OPENING])):
            return unusable("refusal")
        return self.verdict([Claim(said)])

    def judge_bounded(self, text: str) -> Verdict:
        """Take a text out of its wrapping, or as it stands."""
        return self._judge_objects(text, _answers_of) if "{" in _said(text) else self.judge_text(text)

    def judge_fields(self, text: str) -> Verdict:
        """Take the object that has the fields."""
        names = frozenset(self.node["properties"])
        return self._judge_objects(text, lambda pairs: _with(pairs, names))

    def judge_wrapped(self, text: str) -> Verdict:
        """Take the answer out of its wrapping, or as JSON that stands alone."""
        try:
            alone = json.loads(_said(FENCE.sub("\n", text)))
        except (ValueError, RecursionError):
            alone = {}
        if not isinstance(alone, dict):
            return self.verdict([Claim(alone)])
        return self._judge_objects(text, _answers_of)

    def _judge_objects(self, text: str, claims_of: Callable[[Pairs], Iterator[Claim]]) -> Verdict:
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


def _with(pairs: Pairs, names: frozenset[str], depth: int = 0) -> Iterator[Claim]:
    """Find the objects that have one of `names`, in those that only hand them over."""
    if any(key in names for key, _ in pairs):
        reasons = [
            each for key, each in pairs if key.strip().lower() in REASON_KEYS and isinstance(each, str)
        ]
        yield Claim(pairs, well_formed(reasons[0]) if reasons else "")
    elif depth < DEEPEST:
        for key, value in pairs:
            if key.strip().lower() in WRAPPERS | ANSWER_KEYS:
                for each in handed(value):
                    yield from _with(each, names, depth + 1)


def _answers_of(pairs: Pairs) -> Iterator[Claim]:
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


class ClosedReader:
    """Reads choices and numbers: answers that are a word or a few, and may stand in prose.

    Args:
        reader: Judges what is found.
        choices: The values by their texts; none for any number.
    """

    def __init__(self, reader: Reader, choices: Mapping[str, object]) -> None:
        self._reader = reader
        self._values = {comparable(text): value for text, value in choices.items()}
        self._exact = {text: reader.verdict([Claim(value)]) for text, value in choices.items()}
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
        claims = [Claim(each) for each in (*held, *boxed)]
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
        claims = [Claim(match["token"]) for match in found]
        after = said[found[-1].end() :]
        rationale = after.lstrip(" \t\r\n.,;!-—–*_`\"'")
        return self._judge(claims, self._stated.sub("\n", said), after, reasons or [rationale])

    def _judge(self, claims: list[Claim], rest: str, after: str, reasons: list[str]) -> Verdict:
        """Judge claims that nothing beside them may contradict; `after` goes on from the last."""
        keys = {comparable(claim.value) for claim in claims}
        doubted = _UNSURE.search(normalized(_SENTENCE_END.split(after, maxsplit=1)[0]))
        if len(keys) > 1 or self._mentioned(rest) - keys or doubted or _goes_back(rest):
            return unusable("ambiguous")
        rationale = well_formed(reasons[0].strip()) if reasons and LETTER.search(reasons[0]) else ""
        return self._reader.verdict(
            [claim._replace(value=self._value(claim.value)) for claim in claims], rationale
        )

    def _value(self, said: object) -> object:
        key = comparable(said)
        return self._values.get(key) if self._values else key

    def _mentioned(self, prose: str) -> set[object]:
        return {comparable(word) for word in {match[0] for match in self._token.finditer(prose)}}


_MINUS = str.maketrans({"\u2212": "-"})
_SENTENCE_END = re.compile(r"[.!?;\n]")


def comparable(said: object) -> str | float | None:
    """Give what answers are compared by: numbers as such, words without regard to case and blanks."""
    if isinstance(said, bool):
        return json.dumps(said)
    if isinstance(said, int | float):
        return said
    if not isinstance(said, str):
        return None
    word = " ".join(said.translate(_MINUS).strip(MARKS).split())
    if re.fullmatch(_NUMBER, word) is None:
        return word.casefold()
    return int(word) if word.lstrip("+-").isdigit() else float(word)
