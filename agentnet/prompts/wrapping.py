"""What models and chat templates put around an answer: thoughts, marks of turns, boxes, elements.

A thought is no answer, whatever drafts stand in it: everything before the mark that ends one is left out, and
everything after a mark that begins one, if it never ends. Marks are known by their shape and by the word in
them, since every family of models has its own. Those within a JSON object that can be decoded are text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

_DECODER = json.JSONDecoder(strict=False)
_MOST_FAILED = 8

_THOUGHT = r"(?:[a-z]{1,12}[_:])?th(?:ink(?:ing)?|oughts?)"
_BRACKETS = (("<", ">"), (r"\[", r"\]"), ("◁", "▷"))
_BAR = r"[|｜]"
_BEGIN = re.compile(
    "|".join(
        [
            *(rf"{opening}\s?{_THOUGHT}\s?{closing}" for opening, closing in _BRACKETS),
            rf"<{_BAR}(?:begin|start)_[a-z_]{{0,12}}th(?:ought|ink)[a-z]{{0,4}}{_BAR}>",
            rf"<{_BAR}channel{_BAR}>(?!\s*final\b)",
            r"\A(?:assistant)?(?-i:analysis(?=[A-Z]))",
        ]
    ),
    re.IGNORECASE,
)
_END = re.compile(
    "|".join(
        [
            *(rf"{opening}\s?/\s?{_THOUGHT}\s?{closing}" for opening, closing in _BRACKETS),
            rf"<{_BAR}end_[a-z_]{{0,12}}th(?:ought|ink)[a-z]{{0,4}}{_BAR}>",
            rf"<{_BAR}channel{_BAR}>\s*final\b",
            r"(?-i:assistantfinal)",
        ]
    ),
    re.IGNORECASE,
)

_TURN = re.compile(
    rf"<{_BAR}(?P<bar>[^|｜<>\n]{{1,40}}){_BAR}>|</s>|<(?:eos|bos|pad)>|<(?P<turn>start|end)_of_turn>"
    r"|\[(?P<inst>/?)INST\]"
)
_STRUCK_OUT = re.compile(r"<s>[^<]*</s>\s*[^\s<\[]")
_OPENS_TURN = frozenset({"im_start", "start_header_id", "start", "start_of_role"})
_ROLE = re.compile(r"\s*(?P<ours>assistant|model)?\b")

_BOXED = re.compile(
    r"[\\$\s]{0,8}(?:\\b|\x08)oxed\s{0,8}\{(?P<held>(?:[^{}]|\{[^{}]{0,80}\}){0,80})\}[\s$]*(?:\\\])?"
)
_LATEX = re.compile(r"\\[a-z]{1,20}|[{}$]")
_ELEMENT = re.compile(
    r"<\s?(?P<name>[a-z_]{1,20})(?P<attributes>\s[^<>]{0,80})?(?P<void>/)?(?<!\s)>", re.IGNORECASE
)
_VALUE = re.compile(
    r"\s(?:value|choice|share|answer|decision)\s?=\s?[\"'](?P<held>[^\"']{0,40})[\"']", re.IGNORECASE
)
_EMPTY = re.compile(r"\s{0,9}(?:[{\[]|<\s?/|\Z)")


class Taken(NamedTuple):
    """What was taken out of a text, and what is left of it."""

    held: list[str]
    rest: str


def after_thought(text: str) -> str:
    """Cut off what a reasoning model thought aloud; nothing is left if it never came to an end.

    A text without a thought stays as it is.

    Examples:
        >>> after_thought("Yes? No, too violent.</think> No")
        ' No'
        >>> after_thought("<think>I would share")
        ''
    """
    if not may_be_marked(text) or not (_BEGIN.search(text) or _END.search(text)):
        return text
    masked = _without_objects(text)
    *_, end = [0, *(match.end() for match in _END.finditer(masked))]
    return "" if _BEGIN.search(masked, end) else text[end:]


def in_turn(text: str) -> str:
    """Keep what the model said in its own turn: the first that chat templates' marks leave of `text`.

    Examples:
        >>> in_turn("<|im_start|>assistant\\nYes<|im_end|><|im_start|>user\\nAnd this?")
        '\\nYes'
    """
    if not may_be_marked(text) or not _TURN.search(text) or _STRUCK_OUT.search(text):
        return text
    text = text.removeprefix("<s>")
    masked = _without_objects(text)
    opening, begin = None, 0
    for match in [*_TURN.finditer(masked), None]:
        said = text[begin : match.start() if match else len(text)]
        if opening is not None and _opens(opening):
            role = _ROLE.match(said)
            if role is None or role["ours"] is None:
                return ""
            said = said[role.end() :]
        elif opening is not None and opening["inst"] == "":
            said = ""
        if said.strip() or match is None:
            return said
        opening, begin = match, match.end()
    return ""


def boxes(text: str) -> Taken:
    r"""Take the boxes of mathematical typesetting out of `text`: ``\boxed{\text{yes}}`` holds ``yes``."""
    held: list[str] = []
    if "oxed" not in text:
        return Taken(held, text)

    def take(match: re.Match[str]) -> str:
        held.append(_LATEX.sub(" ", match["held"]).strip())
        return "\n"

    return Taken(held, _BOXED.sub(take, text))


def elements(text: str, names: Iterable[str], *, to_the_end: bool = False) -> Taken:
    """Take the elements called one of `names` out of `text`, if they hold text and no JSON.

    Args:
        text: Any text.
        names: In lower case.
        to_the_end: Whether an element that is never closed holds all that follows; otherwise it is none.
    """
    if "<" not in text:
        return Taken([], text)
    wanted, missing = frozenset(names), set[str]()
    masked = _without_objects(text)
    held: list[str] = []
    rest: list[str] = []
    done = 0
    for match in _ELEMENT.finditer(masked):
        name = match["name"].lower()
        if match.start() < done or name not in wanted or name in missing:
            continue
        found = _inner(match, text, masked, to_the_end=to_the_end)
        if found is None:
            missing |= {name} if not (match["void"] or _EMPTY.match(text, match.end())) else set()
            continue
        held.append(found[0])
        rest.append(text[done : match.start()])
        done = found[1]
    return Taken(held, "\n".join([*rest, text[done:]]))


def _inner(match: re.Match[str], text: str, masked: str, *, to_the_end: bool) -> tuple[str, int] | None:
    """Find what an element holds, and where it ends; None if it holds no text or is never closed."""
    if value := _VALUE.search(match["attributes"] or ""):
        return value["held"], match.end()
    begin = match.end()
    if match["void"] or _EMPTY.match(text, begin):
        return None
    closing = re.compile(rf"<\s?/\s?{match['name']}\s?>", re.IGNORECASE).search(masked, begin)
    if closing is not None:
        return text[begin : closing.start()], closing.end()
    return (text[begin:], len(text)) if to_the_end else None


def may_be_marked(text: str) -> bool:
    """Say in no time of most replies that no mark stands in them."""
    return "<" in text or "[" in text or "\u25c1" in text or "analysis" in text or "assistantfinal" in text


def _opens(mark: re.Match[str]) -> bool:
    return mark["turn"] == "start" or (mark["bar"] or "").lower() in _OPENS_TURN


def objects_in(text: str, decoder: json.JSONDecoder = _DECODER) -> Iterator[tuple[int, int, Any]]:
    """Decode the JSON objects in `text`, one after the other.

    Yields:
        Where it begins, where it ends, and what `decoder` makes of it. After `_MOST_FAILED` that cannot be
        decoded the rest counts as garbled: nesting bombs stay in linear time.
    """
    failed, start = 0, text.find("{")
    while start >= 0 and failed < _MOST_FAILED:
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            failed += 1
            end = start + 1
        else:
            yield start, end, found
        start = text.find("{", end)


def _without_objects(text: str) -> str:
    """Blank out the JSON objects that can be decoded; every other character keeps its place."""
    parts: list[str] = []
    done = 0
    for start, end, _ in objects_in(text):
        parts += [text[done:start], " " * (end - start)]
        done = end
    return "".join([*parts, text[done:]])
