"""From a reply's text to a decision: yes, no, or unusable. A missing answer is never a no.

English only. A JSON object decides if there is one; prose is read where there is none, or to find that it
contradicts the object. Whatever is hedged, contradictory or not understood is unusable: the sampler asks
again, and analysis leaves the draw out.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from agentnet.prompts.prose import goes_back, read_prose
from agentnet.prompts.wrapping import after_thought, boxes, elements, in_turn, objects_in

PROBLEMS = ("empty", "no_answer", "ambiguous", "bad_json", "refusal")
"""Why a reply can be unusable."""


class Verdict(NamedTuple):
    """What a reply says. Frozen.

    Attributes:
        decision: True to share, False not to, None if the reply is unusable.
        rationale: The reason given, in the model's words, ``""`` if none: untrusted text, kept as it is
            except that NUL and unpaired surrogates are dropped, so that any program can store it.
        problem: ``""`` if the reply is usable, else one of `PROBLEMS`; a declared answer has one more:
            `agentnet.prompts.declared.WRONG_VALUE`.
        value: What was answered, as JSON has it, where an answer was declared (`agentnet.prompts.declared`).
    """

    decision: bool | None
    rationale: str = ""
    problem: str = ""
    value: Any = None


Pairs = list[tuple[str, object]]
"""A JSON object with its repeated keys, in order."""

ANSWER_KEYS = frozenset({"share", "answer", "decision"})
REASON_KEYS = frozenset({"reason", "rationale", "explanation", "reasoning"})
_KEYS = ANSWER_KEYS | REASON_KEYS
ANSWER_ELEMENTS = frozenset({*ANSWER_KEYS, "final_answer"})
REASON_ELEMENTS = frozenset({*REASON_KEYS, "analysis", "reflection", "scratchpad"})
WRAPPERS = frozenset(
    {"response", "output", "result", "data", "json", "content", "reply", "final_answer", "properties"}
    | {"arguments", "parameters", "input", "function", "tool_calls", "tool_call"}
)
"""Keys that only say that the answer follows. Others may say whose answer it is, or in which case."""
DEEPEST = 4
# JSON with the quotation marks and the punctuation of print: one character for one.
_STRAIGHT = str.maketrans("\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02\uff1a\uff0c", '"""""""' + ":,")
_SINGLE = str.maketrans("\u2018\u2019\u201a", "'''")
_EXACT = {
    **dict.fromkeys(("yes", "Yes", "YES", "yes.", "Yes."), Verdict(decision=True)),
    **dict.fromkeys(("no", "No", "NO", "no.", "No."), Verdict(decision=False)),
}


_DECODER = json.JSONDecoder(object_pairs_hook=list, strict=False)

# The answer of an object that cannot be decoded. A bare word must be followed by what ends a value, since
# `true/false` echoes the question and `1` may be the start of `10`; a quoted word must be closed. A key
# without quotes must stand right after a brace, since a reason may say "the answer: yes".
_GARBLED_ANSWER = re.compile(
    r"""(?:(?<!\w)\\{0,2}(?P<mark>["'])(?:share|answer|decision)\\{0,2}(?P=mark)"""
    r"""|\{\s{0,8}(?:share|answer|decision))\s*:\s*"""
    r"""(?:\\{0,2}(?P<quote>["'])(?P<quoted>true|false|yes|no|1|0)\\{0,2}(?P=quote)"""
    r"""|(?P<literal>true|false)(?=\s*\Z)|(?P<bare>true|false|yes|no|1|0)(?=[ \t\r]*[,}\n]))""",
    re.IGNORECASE,
)
_GARBLED_REASON = re.compile(
    r"""(?<!\w)\\{0,2}["']?(?:reason|rationale|explanation|reasoning)\\{0,2}["']?\s*:\s*"""
    r"""\\{0,2}["'](?P<reason>.*)""",
    re.IGNORECASE | re.DOTALL,
)
_OPENING_WORD = re.compile(
    r"[\W_]*(?:[a-z]{1,12}>[\W_]*)?(?:(?:my |the |final ){0,3}(?:answer|decision|response|share)[\W_]*)?"
    r"(?:yes|no|yeah|yep|yup|nope|nah|true|false)\b"
    r"(?:[\s.,;:!*_`\"'\u2019\u201d\u2012-\u2015-]|</?[a-z]{1,12}>)*",
    re.IGNORECASE,
)
LETTER = re.compile(r"[^\W_]")
FENCE = re.compile(r"```(?:json)?", re.IGNORECASE)


def parse_reply(text: str) -> Verdict:
    r"""Find the decision in a reply.

    Understood are a JSON object with ``share`` (or ``answer``, ``decision``; in any case; true or false, yes
    or no, 1 or 0) and ``reason``, alone, in a code fence or within prose; a plain yes or no (true, false),
    alone or with what follows it; a label such as "Answer: no"; and statements such as "I would not share
    this". So are ``\boxed{yes}``, ``<answer>yes</answer>`` (or ``share``, ``decision``), objects in other
    objects that only hand them over, and JSON with typographic quotes. What a model thinks before it answers
    is skipped, and so are the marks of chat templates with all that follows the model's own turn.

    Where there might be doubt:
        - The value of ``share`` counts, whatever the reason says.
        - A truncated or otherwise garbled object counts if its ``share`` value is complete; its rationale is
          then what there is of it.
        - Several answers, repeated keys included, must agree; prose around an object must not contradict it.
        - The rationale of a plain reply is what follows its yes or no, or else the whole reply.

    Never raises, and takes time proportional to the text's length.

    Args:
        text: Any text.

    Returns:
        The verdict; `Verdict.problem` says why a reply is unusable.

    Examples:
        >>> parse_reply('{"share": true, "reason": "It matters."}')
        Verdict(decision=True, rationale='It matters.', problem='', value=None)
        >>> parse_reply("No, that would upset people.")
        Verdict(decision=False, rationale='that would upset people.', problem='', value=None)
        >>> parse_reply("Nobody should see this.")
        Verdict(decision=None, rationale='', problem='no_answer', value=None)
    """
    stripped = text.replace("\0", "").strip()
    exact = _EXACT.get(stripped)
    if exact is not None:
        return exact
    if stripped[:1] == "{":
        try:
            pairs, end = _DECODER.raw_decode(stripped)
        except (ValueError, RecursionError):
            end = -1
        else:
            if end == len(stripped):
                return _judge(pairs) or unusable("no_answer")
    if not stripped:
        return unusable("empty")
    said = in_turn(after_thought(stripped)).strip()
    return _parse_disguised(said) if said else unusable("no_answer")


def well_formed(text: str) -> str:
    """Join surrogates that stand as a pair and drop the unpaired, so that `text` can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return text


def unusable(problem: str) -> Verdict:
    """Make the verdict on a reply that says nothing, for `problem`."""
    return Verdict(None, "", problem)


def _judge(pairs: Pairs, depth: int = 0) -> Verdict | None:
    """Read one object; None if it has no key for an answer."""
    answers: list[bool | None] = []
    reason = ""
    for key, value in pairs:
        name = key if key in _KEYS else key.strip().lower()
        if name in ANSWER_KEYS:
            if value is True or value is False:
                answers.append(value)
                continue
            held = _held(value, depth)
            answers.append(held.decision)
            reason = reason or held.rationale
        elif name in REASON_KEYS and not reason and isinstance(value, str):
            reason = value
    if not answers:
        return _judge_within(pairs, depth)
    decision = answers[0]
    if len(answers) > 1 and any(answer is not decision for answer in answers):
        return unusable("ambiguous")
    if decision is None:
        return unusable("no_answer")
    return Verdict(decision, reason if reason.isascii() else well_formed(reason))


def _held(value: object, depth: int) -> Verdict:
    """Read what stands where an answer belongs: the answer, or an object that holds it."""
    decision = _as_answer(value)
    inner = _judge_all(handed(value), depth) if decision is None else None
    return Verdict(decision) if inner is None else inner


def _judge_within(pairs: Pairs, depth: int) -> Verdict | None:
    """Read the objects that an object without an answer of its own hands over, if they agree."""
    inner = [each for key, value in pairs if key.strip().lower() in WRAPPERS for each in handed(value)]
    return _judge_all(inner, depth)


def _judge_all(inner: list[Pairs], depth: int) -> Verdict | None:
    """Read objects within an object, which have to agree; None if they hold no answer."""
    if depth == DEEPEST:
        return None
    verdicts = [verdict for each in inner if (verdict := _judge(each, depth + 1)) is not None]
    if any(verdict.decision is not verdicts[0].decision for verdict in verdicts):
        return unusable("ambiguous")
    return verdicts[0] if verdicts else None


def handed(value: object) -> list[Pairs]:
    """List the objects that a value is, holds, or spells."""
    if isinstance(value, str):
        word = value.strip()
        if word[:1] != "{":
            return [[("answer", word)]] if _as_answer(word) is not None else []
        try:
            pairs, end = _DECODER.raw_decode(word)
        except (ValueError, RecursionError):
            return []
        return [pairs] if end == len(word) else []
    # Pairs are tuples; what a list of JSON holds never is.
    if not isinstance(value, list) or not value:
        return []
    if isinstance(value[0], tuple):
        return [value]
    return [each for each in value if isinstance(each, list) and each and isinstance(each[0], tuple)]


def _as_answer(value: object) -> bool | None:
    if isinstance(value, str):
        word = value.strip()
        return word == "1" if word in {"0", "1"} else read_prose(word)[0]
    if isinstance(value, int | float) and value in (0, 1):
        return value == 1
    return None


def _parse_disguised(text: str) -> Verdict:
    reasons, text = elements(text, REASON_ELEMENTS, to_the_end=True)
    found, text = elements(text, ANSWER_ELEMENTS)
    objects, rest = objects_and_rest(text)
    boxed, rest = boxes(rest)
    if not (objects or found or boxed or _is_garbled(rest)):
        return _parse_plain(text) if text.strip() else unusable("no_answer")
    return _parse_parts([_as_verdict(held, reasons) for held in [*found, *boxed]], objects, rest)


def _as_verdict(held: str, reasons: list[str]) -> Verdict:
    decision = _as_answer(held)
    if decision is None:
        return unusable("no_answer")
    return Verdict(decision, well_formed(reasons[0].strip()) if reasons else "")


def _parse_parts(verdicts: list[Verdict], objects: list[Pairs], rest: str) -> Verdict:
    """Judge the objects of a text and the prose around them; `verdicts` were found beside."""
    garbled = _is_garbled(rest)
    verdicts += [verdict for verdict in map(_judge, objects) if verdict is not None]
    if garbled:
        verdicts += _judge_garbled(_straightened(rest))
        rest = _around(rest)
    if not verdicts:
        return unusable("bad_json" if garbled else "no_answer")
    prose = FENCE.sub("\n", rest)
    verdict = _agreed(verdicts, prose)
    if objects or garbled or verdict.rationale or verdict.problem or not LETTER.search(prose):
        return verdict
    return verdict._replace(rationale=well_formed(prose.strip()))


def _is_garbled(rest: str) -> bool:
    return "{" in rest or '"share":' in rest


def _straightened(text: str) -> str:
    """Straighten typographic quotes, if no others stand there: else they are somebody's within a text."""
    return text if '"' in text else text.translate(_STRAIGHT).translate(_SINGLE)


def _agreed(verdicts: list[Verdict], prose: str) -> Verdict:
    """Return the first verdict if no other and no prose beside them says something else."""
    first = verdicts[0]
    if any(verdict.decision is not first.decision for verdict in verdicts):
        return unusable("ambiguous")
    said = read_prose(prose)[0]
    contradicted = said is not None and first.decision is not None and said is not first.decision
    # Beside "no" a "but" may well stand; what goes back upon a yes need not say so plainly.
    contradicted = contradicted or (first.decision is True and said is None and goes_back(prose))
    return unusable("ambiguous") if contradicted else first


def objects_and_rest(text: str) -> tuple[list[Pairs], str]:
    """Decode the JSON objects in `text`; returns them and the text outside them."""
    objects: list[Pairs] = []
    outside: list[str] = []
    done = 0
    for start, end, pairs in objects_in(text if '"' in text else text.translate(_STRAIGHT), _DECODER):
        objects.append(pairs)
        outside.append(text[done:start])
        done = end
    return objects, "\n".join([*outside, text[done:]])


def _judge_garbled(text: str) -> list[Verdict]:
    """Read the complete answers of objects that cannot be decoded."""
    words = [
        (match["quoted"] or match["literal"] or match["bare"]).lower()
        for match in _GARBLED_ANSWER.finditer(text)
    ]
    reason = _GARBLED_REASON.search(text) if words else None
    rationale = "" if reason is None else _unquoted(reason["reason"])
    return [Verdict(word in {"true", "yes", "1"}, rationale) for word in words]


def _unquoted(text: str) -> str:
    """Undo JSON's escapes in a string that may have no end, and drop what closes it."""
    body = text.rstrip(" \t\r\n`").rstrip("}").rstrip(" \t\r\n,")
    body = body[:-1] if body[-1:] in {'"', "'"} else body
    try:
        pairs, _ = _DECODER.raw_decode(f'{{"":"{body}"}}')
    except (ValueError, RecursionError):
        return well_formed(body)
    return well_formed(str(pairs[0][1]))


def _around(text: str) -> str:
    """Return what stands before the first brace and after the last closing one."""
    opening, closing = text.find("{"), text.rfind("}")
    before = text[:opening] if opening >= 0 else ""
    return f"{before}\n{text[closing + 1 :]}" if closing >= 0 else before


def _parse_plain(text: str) -> Verdict:
    decision, problem = read_prose(text)
    if decision is None:
        return unusable(problem)
    opening = _OPENING_WORD.match(text)
    rationale = text[opening.end() if opening else 0 :].strip()
    return Verdict(decision, well_formed(rationale) if LETTER.search(rationale) else "")
