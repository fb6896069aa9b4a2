"""Answers from a closed list: how servers are told of it, how a text is read back, how probable each is.

There is no common way to tell a server. What one knows another ignores without a word, so a constraint is a
request, never a fact: whoever reads a reply still looks whether its text is one of the answers.

Servers report log-probabilities of tokens before temperature, and an answer may begin with any of several
tokens ("n" .882, "y" .115, "yes" .002, "no" .001 for yes and no). The probability of an answer is the sum of
p^(1/T) over all tokens that begin it, divided by the sum over all tokens that begin any answer: that is what
sampling under the constraint at temperature T does. Tempering the sums instead would be another law. Where a
server lists probabilities after its sampling (llama.cpp's ``post_sampling_probs``) they are tempered already.

An answer inside JSON has its odds after one way to write what stands before it: SmolLM2's P(yes) was .40 to
.89 by blanks, line breaks and a fence. So they count only where that way was near certain.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from agentnet.listed import MASKED, Listed

Fields = dict[str, object]

_WRAPPED = re.compile(r'\s*\{\s*"answer"\s*:\s*"')
_OPENING = '{"answer":"'
# Servers bound to JSON may let a model begin with a fence, and take it off the content alone.
_FENCE = re.compile(r"\s*`{1,3}\w*\s*")
_LEAST_OF_THE_WAY = 0.9
_LONGEST_PREFIX = 32
_LEAST = -1e6
_LEAST_MASS = -30.0
"""Below this log-probability an answer is no answer that the model would give."""
_ROUNDING = 1e-3
_MOST_ABOVE_ONE = 0.01
_MOST_SPELLINGS = 64
"""Tokens of a vocabulary that begin one answer, at most: case, a blank before, a mark behind."""
_SHOWN = 40

# How vocabularies spell a blank and a line break; some servers list them so.
_PIECES = str.maketrans({"\u2581": " ", "\u0120": " ", "\u010a": "\n"})
_MARKS = re.compile(r"(?:\s|<[^<>\s]{1,40}>|\[[^\[\]\s]{1,40}\])*")


@dataclass(frozen=True, slots=True)
class Constraint:
    """One way to tell a server which answers are allowed.

    Attributes:
        name: What ``backend.constrain`` calls it.
        fields: Makes the fields of the body from the answers.
        wraps: Whether the answer comes inside a JSON object.
        binds: Whether a server that knows it can sample nothing but the answers.
        extra_tokens: What the wrapping costs beyond the answer, in tokens.
    """

    name: str
    fields: Callable[[tuple[str, ...]], Fields]
    wraps: bool = False
    binds: bool = True
    extra_tokens: int = 0

    def unwrap(self, text: str) -> str:
        """Take the answer out of its wrapping; a text that is not wrapped stays as it is.

        Examples:
            >>> CONSTRAINTS["response_format"].unwrap('{"answer":"yes"}')
            'yes'
        """
        if not self.wraps or not text.lstrip().startswith("{"):
            return text
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return text
        match found:
            case {"answer": str(answer)}:
                return answer
            case _:
                return text


def _response_format(answers: tuple[str, ...]) -> Fields:
    return schema_fields(
        "answer",
        {
            "type": "object",
            "properties": {"answer": {"type": "string", "enum": list(answers)}},
            "required": ["answer"],
            "additionalProperties": False,
        },
    )


def schema_fields(name: str, schema: object) -> Fields:
    """Make the field that binds a reply to a JSON schema, which OpenAI and vLLM know."""
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": name, "strict": True, "schema": schema},
        }
    }


def _grammar(answers: tuple[str, ...]) -> Fields:
    # A GBNF string literal has JSON's escapes.
    return {"grammar": f"root ::= {' | '.join(json.dumps(answer, ensure_ascii=False) for answer in answers)}"}


CONSTRAINTS: Mapping[str, Constraint] = {
    each.name: each
    for each in (
        Constraint("response_format", _response_format, wraps=True, extra_tokens=24),
        Constraint("structured_outputs", lambda answers: {"structured_outputs": {"choice": list(answers)}}),
        Constraint("guided_choice", lambda answers: {"guided_choice": list(answers)}),
        Constraint("grammar", _grammar),
        Constraint("none", lambda _: {}, binds=False),
    )
}
"""OpenAI's, vLLM's since 0.12, vLLM's before, llama.cpp's, and no constraint at all."""


def prefixes(answers: Sequence[str]) -> list[str]:
    """List every text that begins an answer, shortest first, without repetition.

    Examples:
        >>> prefixes(["yes", "no"])
        ['n', 'y', 'no', 'ye', 'yes']
    """
    found = {answer[:end] for answer in answers for end in range(1, min(len(answer), _LONGEST_PREFIX) + 1)}
    return sorted(found, key=lambda text: (len(text), text))


class Candidate(NamedTuple):
    """A token that could have come at one position, and its log-probability before temperature."""

    token: str
    logprob: float


class AnswerOdds(NamedTuple):
    """How probable each answer was, as far as a server's list of tokens tells.

    Attributes:
        logprobs: Natural log-probability of each answer, -inf for one that cannot be; an answer of which no
            token is listed is missing. They add up to the mass on the answers before temperature, and stand
            to each other as at the request's temperature. None if nothing is known.
        unlisted: At most so much more, on the same scale, may one of the answers have by tokens that are not
            listed.
        doubt: Why nothing is known, in words; ``""`` where something is.
        listed: The list itself, where every temperature follows from it; None where what came before the
            answer was free, and was drawn at the request's temperature.
    """

    logprobs: dict[str, float] | None
    unlisted: float = 0.0
    doubt: str = ""
    listed: Listed | None = None


class _Unreadable(ValueError):
    """A list of tokens does not say how probable the answers are."""


def answer_odds(
    positions: object, text: str, answers: tuple[str, ...], constraint: Constraint, temperature: float
) -> AnswerOdds:
    """Work out how probable each answer was, at the request's temperature.

    Mass that is not listed is unknown, not zero: it counts for no answer, and bounds what each may have.

    Args:
        positions: The choice's ``logprobs.content``, as the server gave it.
        text: The choice's text, still wrapped.
        answers: The allowed answers.
        constraint: How the server was told of them.
        temperature: The request's temperature, >= 0; at 0 the likeliest token takes all.
    """
    try:
        return _odds(positions, text, answers, constraint, temperature)
    except _Unreadable as doubt:
        return AnswerOdds(None, doubt=str(doubt))


def _odds(
    positions: object, text: str, answers: tuple[str, ...], constraint: Constraint, temperature: float
) -> AnswerOdds:
    wrapped = _WRAPPED.match(text) if constraint.wraps else None
    if constraint.wraps and wrapped is None:
        constraint = CONSTRAINTS["none"]
    tokens = _tokens(positions)
    shift = _shift(tokens, text, may_be_fenced=wrapped is not None)
    start = (wrapped.end() if wrapped else 0) + shift
    place = _at_the_answer(positions, start, constraint)
    lead = "".join(tokens)[place.begin : start] if wrapped else ""
    way = _share_of_the_way(positions, start) if wrapped else 1.0
    if way < _LEAST_OF_THE_WAY:
        raise _Unreadable(
            f"the answer stands inside JSON, and the way that the model began it had {way:.2g} of the "
            "probability: after another way the odds are others; backend.constrain=grammar (llama.cpp) or "
            "structured_outputs (vLLM) binds the answer without JSON"
        )
    logprobs: dict[str, list[float]] = {}
    for token, logprob in place.candidates:
        begun = _begun_by(token, lead, answers, constraint)
        if len(begun) > 1 and logprob > MASKED:
            raise _Unreadable(f"the token {token!r} begins several answers")
        for answer in begun:
            logprobs.setdefault(answer, []).append(logprob)
    if max((max(each) for each in logprobs.values()), default=MASKED) < _LEAST_MASS:
        raise _Unreadable("no listed token begins an answer")
    listed = math.fsum(math.exp(candidate.logprob) for candidate in place.candidates)
    if listed > 1.0 + _MOST_ABOVE_ONE:
        raise _Unreadable(f"the listed probabilities add up to {listed:.3g}")
    longest = max(map(len, answers)) if constraint.binds and not constraint.wraps else _MOST_SPELLINGS
    rest = max(0.0, 1.0 - listed)
    if place.is_sampled:
        # The best are listed: none that is not has more than the least of them.
        rest = min(rest, longest * math.exp(min(each.logprob for each in place.candidates)))
        odds = AnswerOdds(*Listed(logprobs, rest, longest).at(min(temperature, 1.0) and 1.0))
        odds = _bound_to_the_answers(odds) if constraint.binds else odds
    else:
        found = Listed(logprobs, rest, longest)
        is_whole = way == 1.0 and (constraint.binds or not place.begin)
        odds = AnswerOdds(*found.at(temperature), listed=found if is_whole else None)
    # Of what the model began in another way nothing is known.
    mass = math.fsum(map(math.exp, (odds.logprobs or {}).values()))
    return odds._replace(unlisted=odds.unlisted + mass * (1.0 - way) / way)


def _bound_to_the_answers(odds: AnswerOdds) -> AnswerOdds:
    """Take from odds after sampling what no constraint lets through.

    llama.cpp samples without its grammar first, and with it if the grammar does not take that: the list is
    then of the one or the other, and the odds of the answers to each other are the same in both.
    """
    found = odds.logprobs or {}
    mass = math.fsum(map(math.exp, found.values()))
    scaled = {answer: min(0.0, each - math.log(mass)) for answer, each in found.items()}
    return AnswerOdds(scaled, odds.unlisted / mass)


def completeness(positions: object, answers: tuple[str, ...]) -> float:
    """Add up the probability of all listed tokens that begin an unwrapped answer, before temperature.

    Returns:
        1 up to rounding if the server masks first and left no such token out.
    """
    constraint = CONSTRAINTS["structured_outputs"]
    try:
        candidates = _at_the_answer(positions, 0, constraint).candidates
    except _Unreadable:
        return 0.0
    return math.fsum(math.exp(c.logprob) for c in candidates if _begun_by(c.token, "", answers, constraint))


def _tokens(positions: object) -> list[str]:
    """List the tokens that were sampled.

    Raises:
        _Unreadable: There are none, or something else is among them.
    """
    if not isinstance(positions, list) or not positions:
        raise _Unreadable("the server lists no log-probabilities")
    tokens = []
    for position in positions:
        token = position.get("token") if isinstance(position, dict) else None
        if not isinstance(token, str):
            raise _Unreadable("the server lists log-probabilities of something that is no token")
        tokens.append(_plain(token))
    return tokens


def _plain(token: str) -> str:
    return token.translate(_PIECES)


def _shift(tokens: list[str], text: str, *, may_be_fenced: bool) -> int:
    """Tell by how many characters the tokens begin before `text`: blanks or a fence that the server took off.

    Raises:
        _Unreadable: They do not spell it, so that no position of theirs is known to be the answer's.
    """
    spelt, text = "".join(tokens), _plain(text)
    shift = (len(spelt) - len(spelt.lstrip())) - (len(text) - len(text.lstrip()))
    # A token may hold a part of a character; only its place is known then.
    spelt, text = spelt.partition("\ufffd")[0].strip(), text.strip()
    if not spelt:
        raise _Unreadable("the listed tokens are blank")
    if text.startswith(spelt) or (spelt.startswith(text) and _MARKS.fullmatch(spelt, len(text))):
        return shift
    fence = _FENCE.match(spelt) if may_be_fenced else None
    inside = spelt[fence.end() :] if fence else ""
    if fence and inside.startswith(text) and _MARKS.fullmatch(inside[len(text) :].replace("`", "")):
        return shift + fence.end()
    raise _Unreadable(
        f"the listed tokens spell {spelt[:_SHOWN]!r}, the reply is {text[:_SHOWN]!r}: a thought or a fence "
        "comes first"
    )


class _Place(NamedTuple):
    """The position at which an answer begins.

    Attributes:
        candidates: The tokens that could have come there; their probabilities are those of coming there.
        begin: The character at which they begin.
        is_sampled: Whether their probabilities are those after sampling: tempered, and cut off where it cuts.
    """

    candidates: list[Candidate]
    begin: int
    is_sampled: bool


def _at_the_answer(positions: object, start: int, constraint: Constraint) -> _Place:
    """Find the position that holds character `start`.

    Raises:
        _Unreadable: There is no such position.
    """
    begin, before = 0, 0.0
    for position, token in zip(cast("list[Fields]", positions), _tokens(positions), strict=True):
        end = begin + len(token)
        # Without a constraint a model may send a line break first, or the answer at once.
        if end > start and (constraint.binds or token.strip()):
            found = [each._replace(logprob=each.logprob + before) for each in _candidates(position)]
            return _Place(found, begin, "prob" in position)
        sampled = _candidate(position)
        if not constraint.binds and sampled is not None:
            before += min(0.0, sampled.logprob)
        begin = end
    raise _Unreadable("the listed tokens end before the answer")


def _share_of_the_way(positions: object, start: int) -> float:
    """Compute what share the text before character `start` has of all listed ways to begin the JSON."""
    share, before = 1.0, ""
    whole = "".join(_tokens(positions))[:start]
    for position, token in zip(cast("list[Fields]", positions), _tokens(positions), strict=True):
        if len(before) >= start:
            break
        rest = whole[len(before) :]
        ways = [each for each in _candidates(position) if _may_wrap(before + each.token)]
        ours = [way for way in ways if rest.startswith(way.token) or way.token.startswith(rest)]
        total = math.fsum(math.exp(way.logprob) for way in ways)
        if total > 0.0:
            share *= math.fsum(math.exp(way.logprob) for way in ours) / total
        before += token
    return share


def _may_wrap(text: str) -> bool:
    """Say whether an answer inside JSON may begin like this, blanks and a fence aside."""
    bare = "".join(_FENCE.sub("", text, count=1).split()) if "`" in text else "".join(text.split())
    return _OPENING.startswith(bare) or bare.startswith(_OPENING)


def _candidates(position: Mapping[str, object]) -> Iterator[Candidate]:
    """Give the listed tokens and the sampled one, which some servers list and some do not."""
    listed = position.get("top_logprobs", position.get("top_probs"))
    sampled_is_listed = False
    for entry in listed if isinstance(listed, list) else ():
        candidate = _candidate(entry)
        if candidate is not None:
            sampled_is_listed |= entry["token"] == position["token"]
            yield candidate
    sampled = _candidate(position)
    if sampled is not None and not sampled_is_listed:
        yield sampled


def _candidate(entry: object) -> Candidate | None:
    """Read an entry of a list; None for what is none.

    Raises:
        _Unreadable: It has a probability that is none, so that the others mean nothing either.
    """
    match entry:
        case {"token": str(), "logprob": bool()} | {"token": str(), "prob": bool()}:
            return None
        case {"token": str(token), "logprob": float() | int() as logprob}:
            if not logprob <= _ROUNDING:
                raise _Unreadable(f"the server lists a log-probability of {logprob!r:.20}")
            return Candidate(_plain(token), float(max(logprob, _LEAST)))
        case {"token": str(token), "prob": float() | int() as prob}:
            if not 0.0 <= prob <= 1.0 + _ROUNDING:
                raise _Unreadable(f"the server lists a probability of {prob!r:.20}")
            return Candidate(_plain(token), max(min(math.log(prob), 0.0) if prob else _LEAST, _LEAST))
        case _:
            return None


def _begun_by(token: str, lead: str, answers: tuple[str, ...], constraint: Constraint) -> list[str]:
    """List the answers that `token` begins: it may hold a part of one, or all of it and what follows."""
    if not token.startswith(lead):
        return []
    part = token[len(lead) :]
    if constraint.binds:
        return [answer for answer in answers if part and _begins(part, answer, constraint)]
    word = part.strip().casefold()
    return [answer for answer in answers if word and _is_word(word, answer.casefold())]


def _begins(part: str, answer: str, constraint: Constraint) -> bool:
    if not constraint.wraps:
        return answer.startswith(part)
    quoted = json.dumps(answer, ensure_ascii=False)[1:]
    return quoted.startswith(part) or part.startswith(quoted)


def _is_word(part: str, answer: str) -> bool:
    after = part[len(answer) :] if part.startswith(answer) else ""
    return answer.startswith(part) or (bool(after) and not after[0].isalnum())
