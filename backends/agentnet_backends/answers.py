"""Answers from a closed list: how servers are told of it, how a text is read back, how probable each is.

There is no common way to tell a server. What one knows another ignores without a word, so a constraint is a
request, never a fact: whoever reads a reply still looks whether its text is one of the answers.

Servers report log-probabilities of tokens before temperature, and an answer may begin with any of several
tokens ("n" .882, "y" .115, "yes" .002, "no" .001 for yes and no). The probability of an answer is the sum of
p^(1/T) over all tokens that begin it, divided by the sum over all tokens that begin any answer: that is what
sampling under the constraint at temperature T does. Tempering the sums instead would be another law.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Fields = dict[str, object]

MASKED = -9000.0
"""Servers write about -9999 for a token that cannot be."""

_WRAPPED = re.compile(r'\s*\{\s*"answer"\s*:\s*"')
_LONGEST_PREFIX = 32
_LEAST = -1e6
_ROUNDING = 1e-3


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


def answer_logprobs(
    positions: object, text: str, answers: tuple[str, ...], constraint: Constraint, temperature: float
) -> dict[str, float] | None:
    """Work out how probable each answer was, at the request's temperature.

    Args:
        positions: The choice's ``logprobs.content``, as the server gave it.
        text: The choice's text, still wrapped.
        answers: The allowed answers.
        constraint: How the server was told of them.
        temperature: The request's temperature, >= 0; at 0 the likeliest token takes all.

    Returns:
        Natural log-probabilities, adding up to probability 1, -inf for an answer that cannot be. An answer
        whose tokens the server did not list is missing. None if nothing is known: the server gave no
        log-probabilities, or a token begins several answers.
    """
    wrapped = _WRAPPED.match(text) if constraint.wraps else None
    if constraint.wraps and wrapped is None:
        constraint = CONSTRAINTS["none"]
    found = _where_the_answer_begins(positions, wrapped.end() if wrapped else 0, constraint)
    if found is None:
        return None
    candidates, begin = found
    lead = text[begin : wrapped.end()] if wrapped else ""
    logprobs: dict[str, list[float]] = {}
    for token, logprob in candidates:
        begun = _begun_by(token, lead, answers, constraint)
        if len(begun) > 1 and logprob > MASKED:
            return None
        for answer in begun:
            logprobs.setdefault(answer, []).append(logprob)
    return _tempered(logprobs, temperature) if logprobs else None


def completeness(positions: object, answers: tuple[str, ...]) -> float:
    """Add up the probability of all listed tokens that begin an unwrapped answer, before temperature.

    Returns:
        1 up to rounding if the server masks first and left no such token out.
    """
    constraint = CONSTRAINTS["structured_outputs"]
    found = _where_the_answer_begins(positions, 0, constraint)
    candidates = found[0] if found else []
    return math.fsum(math.exp(c.logprob) for c in candidates if _begun_by(c.token, "", answers, constraint))


def _tempered(logprobs: Mapping[str, Sequence[float]], temperature: float) -> dict[str, float] | None:
    best = max(max(each) for each in logprobs.values())
    if best <= MASKED:
        return None

    def weight(logprob: float) -> float:
        if temperature == 0.0:
            return float(logprob == best)
        return math.exp((logprob - best) / temperature) if logprob > MASKED else 0.0

    weights = {answer: math.fsum(map(weight, each)) for answer, each in logprobs.items()}
    total = math.fsum(weights.values())
    return {answer: math.log(each / total) if each else -math.inf for answer, each in weights.items()}


def _where_the_answer_begins(
    positions: object, start: int, constraint: Constraint
) -> tuple[list[Candidate], int] | None:
    """Find the position that holds character `start`.

    Returns:
        The tokens that could have come there, and the character at which they begin; None without such a
        position.
    """
    begin = 0
    for position in positions if isinstance(positions, list) else ():
        token = position.get("token") if isinstance(position, dict) else None
        if not isinstance(token, str):
            return None
        end = begin + len(token)
        # Without a constraint a model may send a line break first.
        if end > start and (constraint.binds or token.strip()):
            return list(_candidates(position)), begin
        begin = end
    return None


def _candidates(position: Mapping[str, object]) -> Iterator[Candidate]:
    """Give the listed tokens and the sampled one, which some servers list and some do not."""
    listed = position.get("top_logprobs")
    sampled_is_listed = False
    for entry in listed if isinstance(listed, list) else ():
        candidate = _candidate(entry)
        if candidate is not None:
            sampled_is_listed |= candidate.token == position["token"]
            yield candidate
    sampled = _candidate(position)
    if sampled is not None and not sampled_is_listed:
        yield sampled


def _candidate(entry: object) -> Candidate | None:
    match entry:
        case {"token": str(token), "logprob": float() | int() as logprob} if logprob <= _ROUNDING:
            return Candidate(token, float(max(logprob, _LEAST)))
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
