"""What the server double is asked: a request of the wire as an `ChatAsk`, and the double's tokenizer.

A token is a word, a digit or a mark, with the blanks before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from agentnet.backend import Messages

_TOKEN = re.compile(r"\s*[^\W\d_]+|\s*\d|\s*[^\w\s]|\s*_|\s+")
_GRAMMAR_ANSWER = re.compile(r'"(?:[^"\\]|\\.)*"')
_SEED_BITS = (1 << 63) - 1
_OPEN = 1 << 16


class BadAsk(Exception):
    """A request that OpenAI would answer with 400.

    Args:
        message: What is wrong with it.
        param: The field.
    """

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class Manners:
    """What a server knows and does; servers differ. Unknown constraints are ignored without a word.

    Attributes:
        constraints: The constraints that it knows: ``response_format``, ``structured_outputs``,
            ``guided_choice``, ``grammar``.
        many_choices: Whether it heeds ``n``; otherwise there is one choice.
        greedy_choices: Whether it takes ``n`` > 1 at temperature 0.
        token_ids: Whether it has ``/tokenize`` and heeds ``logprob_token_ids``.
        sampled_first: Whether the sampled token leads the list of alternatives, which are then unsorted and
            filled up with tokens that cannot be.
        letters: Share of an answer's probability that its first letter alone takes, in [0, 1).
        most_alternatives: Alternatives that it lists at most; more are refused.
        most_choices: ``n`` at most; more are refused.
        off_answers: Share of the probability that tokens have which begin no answer, in [0, 1): more than 0
            for a server that lists before its constraint.
        after_sampling: Whether it heeds ``post_sampling_probs``: what is listed is after constraint and
            temperature.
        fence: What it lets a model begin with before JSON, and takes off the content alone.
        greedy: Whether it samples greedily, whatever temperature is asked for.
    """

    constraints: frozenset[str] = frozenset({"response_format"})
    many_choices: bool = True
    greedy_choices: bool = True
    token_ids: bool = False
    sampled_first: bool = False
    letters: float = 0.25
    most_alternatives: int = 20
    most_choices: int = 128
    off_answers: float = 0.0
    after_sampling: bool = False
    fence: str = ""
    greedy: bool = False


LIKE_OPENAI = Manners()
LIKE_VLLM = Manners(
    constraints=frozenset({"response_format", "structured_outputs"}),
    greedy_choices=False,
    token_ids=True,
    sampled_first=True,
    letters=0.9,
)
LIKE_LLAMA_CPP = Manners(
    constraints=frozenset({"response_format", "grammar"}),
    most_alternatives=1 << 20,
    most_choices=4,
    off_answers=0.95,
    after_sampling=True,
    fence="```json\n",
)


class ReplyBound(NamedTuple):
    """What a reply may be.

    Attributes:
        answers: The allowed answers; empty for any text.
        schema: The JSON schema of a reply; None for any text.
        wrapped_in: The key under which the answer stands in a JSON object; None if it stands alone.
        quoted: Whether the answer stands alone as a JSON string.
    """

    answers: tuple[str, ...] = ()
    schema: Mapping[str, object] | None = None
    wrapped_in: str | None = None
    quoted: bool = False

    def wrap(self, answer: str) -> str:
        """Write an answer as the server sends it."""
        if self.wrapped_in is not None:
            return json.dumps({self.wrapped_in: answer}, separators=(",", ":"), ensure_ascii=False)
        return json.dumps(answer, ensure_ascii=False) if self.quoted else answer


_FREE = ReplyBound()


@dataclass(frozen=True, slots=True)
class ChatAsk:
    """One request for a chat completion.

    Attributes:
        messages: The conversation.
        n: Number of samples.
        temperature: Sampling temperature.
        max_tokens: Bound on a reply's tokens.
        seed: The request's seed, or one made for it.
        bound: What a reply may be.
        top_logprobs: Number of alternatives wanted; None if no log-probabilities are.
        token_ids: The tokens whose log-probabilities are wanted instead.
        after_sampling: Whether probabilities after constraint and temperature are wanted.
    """

    messages: Messages
    n: int = 1
    temperature: float = 1.0
    max_tokens: int = _OPEN
    seed: int = 0
    bound: ReplyBound = _FREE
    top_logprobs: int | None = None
    token_ids: tuple[int, ...] = ()
    after_sampling: bool = False


def tokens_of(text: str) -> list[str]:
    """Split `text` into the double's tokens.

    Examples:
        >>> tokens_of("Yes, 12 do.")
        ['Yes', ',', ' 1', '2', ' do', '.']
    """
    return _TOKEN.findall(text)


def read_ask(body: Mapping[str, object], manners: Manners, otherwise_seed: int) -> ChatAsk:
    """Read the body of a request.

    Args:
        body: The body.
        manners: What the server knows.
        otherwise_seed: The seed of a request without one.

    Raises:
        BadAsk: A field is impossible.
    """
    n = _number(body, "n", 1, 1, manners.most_choices)
    temperature = _number(body, "temperature", 1.0, 0.0, 2.0)
    if n > 1 and temperature == 0.0 and not manners.greedy_choices:
        raise BadAsk("n must be 1 when using greedy sampling.", "n")
    bound = body.get("max_completion_tokens", body.get("max_tokens"))
    if bound is not None and (not isinstance(bound, int) or bound < 1):
        raise BadAsk("max_tokens must be at least 1.", "max_tokens")
    wants_logprobs = body.get("logprobs") is True
    token_ids = body.get("logprob_token_ids") if manners.token_ids else None
    return ChatAsk(
        messages=_messages(body.get("messages")),
        n=int(n) if manners.many_choices else 1,
        temperature=0.0 if manners.greedy else temperature,
        max_tokens=_OPEN if bound is None else bound,
        seed=int(_number(body, "seed", otherwise_seed, -(2**63), 2**63 - 1)) & _SEED_BITS,
        top_logprobs=int(_number(body, "top_logprobs", 0, 0, manners.most_alternatives))
        if wants_logprobs
        else None,
        token_ids=tuple(token_ids) if isinstance(token_ids, list) and wants_logprobs else (),
        bound=_bound(body, manners.constraints),
        after_sampling=manners.after_sampling and body.get("post_sampling_probs") is True,
    )


def _number(body: Mapping[str, object], name: str, default: float, least: float, most: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadAsk(f"Invalid value for '{name}': expected a number from {least} to {most}.", name)
    return value


def _messages(listed: object) -> Messages:
    if not isinstance(listed, list) or not listed:
        raise BadAsk("Missing required parameter: 'messages'.", "messages")
    return tuple(map(_message, listed))


def _message(message: object) -> tuple[str, str]:
    match message:
        case {"role": str(role), "content": str(content)}:
            return role, content
        case {"role": str(role), "content": list(parts)}:
            return role, "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
        case _:
            raise BadAsk("Invalid value for 'messages': a message has a role and a content.", "messages")


def _bound(body: Mapping[str, object], known: frozenset[str]) -> ReplyBound:
    """Read the constraint, if the server knows it."""
    match {name: body[name] for name in known if name in body}:
        case {"structured_outputs": {"choice": list(answers)}} | {"guided_choice": list(answers)}:
            return ReplyBound(tuple(map(str, answers)))
        case {"grammar": str(grammar)}:
            return ReplyBound(tuple(map(json.loads, _GRAMMAR_ANSWER.findall(grammar))))
        case {"response_format": {"type": "json_schema", "json_schema": {"schema": dict(schema)}}}:
            return _bound_by(schema)
        case {"response_format": {"type": "json_object"}}:
            return ReplyBound(schema={"type": "object"})
        case _:
            return _FREE


def _bound_by(schema: Mapping[str, object]) -> ReplyBound:
    """Read a schema; one that allows only a few answers is a closed list of them."""
    match schema:
        case {"properties": dict(properties)} if len(properties) == 1:
            ((name, rule),) = properties.items()
            if isinstance(rule, dict) and isinstance(rule.get("enum"), list):
                return ReplyBound(tuple(map(str, rule["enum"])), schema, name)
        case {"enum": list(answers)}:
            return ReplyBound(tuple(map(str, answers)), schema, quoted=True)
        case _:
            pass
    return ReplyBound(schema=schema)


@dataclass(slots=True)
class Vocabulary:
    """Numbers the tokens as they come up."""

    ids: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> list[int]:
        """Give the numbers of the tokens of `text`."""
        return [self.ids.setdefault(token, len(self.ids)) for token in tokens_of(text)]

    def text(self, token_id: int) -> str:
        """Give the token of a number; one never heard of reads ``?``."""
        return next((token for token, known in self.ids.items() if known == token_id), "?")


def prompt_tokens(messages: Messages) -> int:
    """Count a conversation's tokens, four more for each message."""
    return sum(len(tokens_of(content)) + 4 for _, content in messages)
