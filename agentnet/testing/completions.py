"""What the server double says: a request of the wire as an `Ask`, a reply as a chat completion.

The double has a tokenizer of its own, a token for each word, number or mark. Answers from a closed list
tokenise freely, as at real servers: their first letter is a token too and takes a share of their probability.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agentnet.backend import Backend, Messages, Reply, Request
from agentnet.streams import mix, unit

Law = Callable[[Messages, int, int], str | bool]
"""(conversation, seed, number of the sample) -> its text, or yes or no."""

MetadataOf = Callable[[Messages], Mapping[str, str | int]]
"""Recovers from a conversation what requests on the wire do not carry: profile, severity and so on."""

NEVER = -9999.0
"""The log-probability that servers write for a token that cannot be."""

_TOKEN = re.compile(r"\s*[^\W\d_]+|\s*\d|\s*[^\w\s]|\s*_|\s+")
_GRAMMAR_ANSWER = re.compile(r'"(?:[^"\\]|\\.)*"')
_UNKNOWN_SEED_BITS = (1 << 63) - 1
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
    """

    constraints: frozenset[str] = frozenset({"response_format"})
    many_choices: bool = True
    greedy_choices: bool = True
    token_ids: bool = False
    sampled_first: bool = False
    letters: float = 0.25


LIKE_OPENAI = Manners()
LIKE_VLLM = Manners(
    constraints=frozenset({"response_format", "structured_outputs"}),
    greedy_choices=False,
    token_ids=True,
    sampled_first=True,
    letters=0.9,
)


class Bound(NamedTuple):
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


_FREE = Bound()


@dataclass(frozen=True, slots=True)
class Ask:
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
    """

    messages: Messages
    n: int = 1
    temperature: float = 1.0
    max_tokens: int = _OPEN
    seed: int = 0
    bound: Bound = _FREE
    top_logprobs: int | None = None
    token_ids: tuple[int, ...] = ()


def tokens_of(text: str) -> list[str]:
    """Split `text` into the double's tokens.

    Examples:
        >>> tokens_of("Yes, 12 do.")
        ['Yes', ',', ' 1', '2', ' do', '.']
    """
    return _TOKEN.findall(text)


def read_ask(body: Mapping[str, object], manners: Manners, otherwise_seed: int) -> Ask:
    """Read the body of a request.

    Args:
        body: The body.
        manners: What the server knows.
        otherwise_seed: The seed of a request without one.

    Raises:
        BadAsk: A field is impossible.
    """
    n = _number(body, "n", 1, 1, 128)
    temperature = _number(body, "temperature", 1.0, 0.0, 2.0)
    if n > 1 and temperature == 0.0 and not manners.greedy_choices:
        raise BadAsk("n must be 1 when using greedy sampling.", "n")
    bound = body.get("max_completion_tokens", body.get("max_tokens"))
    if bound is not None and (not isinstance(bound, int) or bound < 1):
        raise BadAsk("max_tokens must be at least 1.", "max_tokens")
    wants_logprobs = body.get("logprobs") is True
    token_ids = body.get("logprob_token_ids") if manners.token_ids else None
    return Ask(
        messages=_messages(body.get("messages")),
        n=int(n) if manners.many_choices else 1,
        temperature=temperature,
        max_tokens=_OPEN if bound is None else bound,
        seed=int(_number(body, "seed", otherwise_seed, -(2**63), 2**63 - 1)) & _UNKNOWN_SEED_BITS,
        top_logprobs=int(_number(body, "top_logprobs", 0, 0, 20)) if wants_logprobs else None,
        token_ids=tuple(token_ids) if isinstance(token_ids, list) and wants_logprobs else (),
        bound=_bound(body, manners.constraints),
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


def _bound(body: Mapping[str, object], known: frozenset[str]) -> Bound:
    """Read the constraint, if the server knows it."""
    match {name: body[name] for name in known if name in body}:
        case {"structured_outputs": {"choice": list(answers)}} | {"guided_choice": list(answers)}:
            return Bound(tuple(map(str, answers)))
        case {"grammar": str(grammar)}:
            return Bound(tuple(map(json.loads, _GRAMMAR_ANSWER.findall(grammar))))
        case {"response_format": {"type": "json_schema", "json_schema": {"schema": dict(schema)}}}:
            return _bound_by(schema)
        case {"response_format": {"type": "json_object"}}:
            return Bound(schema={"type": "object"})
        case _:
            return _FREE


def _bound_by(schema: Mapping[str, object]) -> Bound:
    """Read a schema; one that allows only a few answers is a closed list of them."""
    match schema:
        case {"properties": dict(properties)} if len(properties) == 1:
            ((name, rule),) = properties.items()
            if isinstance(rule, dict) and isinstance(rule.get("enum"), list):
                return Bound(tuple(map(str, rule["enum"])), schema, name)
        case {"enum": list(answers)}:
            return Bound(tuple(map(str, answers)), schema, quoted=True)
        case _:
            pass
    return Bound(schema=schema)


class Spoken(NamedTuple):
    """What is said in reply: for each sample its text and how it ended, the rest as in `Reply`."""

    texts: tuple[str, ...]
    finish: tuple[str, ...]
    logprobs: Mapping[str, float] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


async def speak(answer: Law | Backend, ask: Ask, metadata_of: MetadataOf) -> Spoken:
    """Let `answer` reply to `ask`.

    Raises:
        BackendError: It is a backend and fails.
    """
    return (
        await _by_backend(answer, ask, metadata_of) if isinstance(answer, Backend) else _by_law(answer, ask)
    )


async def _by_backend(backend: Backend, ask: Ask, metadata_of: MetadataOf) -> Spoken:
    schema = None if ask.bound.answers or ask.bound.schema is None else json.dumps(ask.bound.schema)
    wants = ask.top_logprobs is not None
    reply: Reply = await backend.complete(
        Request(
            ask.messages,
            ask.temperature,
            ask.n,
            ask.max_tokens,
            ask.bound.answers,
            schema,
            wants,
            ask.seed,
            metadata=metadata_of(ask.messages),
        )
    )
    finish = reply.finish or ("stop",) * len(reply.texts)
    texts = tuple(ask.bound.wrap(text) for text in reply.texts)
    extra = sum(map(len, map(tokens_of, texts))) - sum(map(len, map(tokens_of, reply.texts)))
    n_tokens = None if reply.completion_tokens is None else reply.completion_tokens + extra
    return Spoken(texts, finish, reply.logprobs, reply.prompt_tokens, n_tokens)


def _by_law(law: Law, ask: Ask) -> Spoken:
    said = [_allowed(law(ask.messages, ask.seed, i), ask.bound.answers) for i in range(ask.n)]
    texts = [
        ask.bound.wrap(str(each)) if ask.bound.answers else _filled(each, ask.bound.schema) for each in said
    ]
    cut = [tokens_of(text)[: ask.max_tokens] for text in texts]
    short = tuple(map("".join, cut))
    finish = tuple("stop" if a == b else "length" for a, b in zip(short, texts, strict=True))
    certain = {answer: 0.0 if answer == said[0] else -math.inf for answer in ask.bound.answers}
    return Spoken(short, finish, certain or None)


def _allowed(said: str | bool, answers: tuple[str, ...]) -> str | bool:
    """Keep to the allowed answers: a yes is the first, a no the last, a text itself if it is one."""
    if not answers or said in answers:
        return said
    return answers[0] if said is True else answers[-1]


def _filled(said: str | bool, schema: Mapping[str, object] | None) -> str:
    return _word(said) if schema is None else json.dumps(example_of(schema, said), ensure_ascii=False)


def example_of(schema: object, said: str | bool) -> object:
    """Make a value that a simple JSON schema allows; `said` decides booleans, lists of values and texts."""
    match schema:
        case {"enum": list(values)}:
            return said if said in values else values[0 if said else -1]
        case {"const": value}:
            return value
        case {"anyOf": [first, *_]} | {"oneOf": [first, *_]}:
            return example_of(first, said)
        case {"type": str(kind), **rules}:
            return _example_of_type(kind, rules, said)
        case _:
            return _word(said)


def _example_of_type(kind: str, rules: Mapping[Any, object], said: str | bool) -> object:
    if kind == "object":
        properties = rules.get("properties")
        named = properties if isinstance(properties, dict) else {}
        return {name: example_of(rule, said) for name, rule in named.items()}
    if kind == "array":
        least = rules.get("minItems")
        return [example_of(rules.get("items"), said)] * (least if isinstance(least, int) else 0)
    if kind == "boolean":
        return said if isinstance(said, bool) else said.casefold().startswith("y")
    plain = {"integer": rules.get("minimum", 0), "number": rules.get("minimum", 0), "null": None}
    return plain.get(kind, _word(said))


def _word(said: str | bool) -> str:
    return said if isinstance(said, str) else ("Yes" if said else "No")


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


def completion(
    ask: Ask, spoken: Spoken, *, name: str, model: str, created: int, manners: Manners, vocabulary: Vocabulary
) -> dict[str, object]:
    """Make the body of a chat completion.

    Args:
        ask: What was asked.
        spoken: What is said.
        name: The completion's own id.
        model: The model's name.
        created: When, in seconds since 1970.
        manners: What the server does.
        vocabulary: The tokens' numbers.
    """
    position = _first_position(ask, spoken.logprobs, manners, vocabulary)
    choices = [
        {
            "index": i,
            "message": _said(text, finish),
            "logprobs": _logprobs(text, mix(ask.seed, i), ask, position, manners),
            "finish_reason": "stop" if finish == "refusal" else finish,
        }
        for i, (text, finish) in enumerate(zip(spoken.texts, spoken.finish, strict=True))
    ]
    return {
        "id": name,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": choices,
        "usage": _usage(ask, spoken),
        "system_fingerprint": "fp_double",
    }


def _said(text: str, finish: str) -> dict[str, object]:
    refuses = finish == "refusal"
    return {
        "role": "assistant",
        "content": None if refuses else text,
        "refusal": text if refuses else None,
        "annotations": [],
    }


def prompt_tokens(messages: Messages) -> int:
    """Count a conversation's tokens, four more for each message."""
    return sum(len(tokens_of(content)) + 4 for _, content in messages)


def _usage(ask: Ask, spoken: Spoken) -> dict[str, object]:
    n_prompt, n_completion = spoken.prompt_tokens, spoken.completion_tokens
    if n_prompt is None:
        n_prompt = prompt_tokens(ask.messages)
    if n_completion is None:
        n_completion = sum(len(tokens_of(text)) for text in spoken.texts)
    return {
        "prompt_tokens": n_prompt,
        "completion_tokens": n_completion,
        "total_tokens": n_prompt + n_completion,
    }


def _first_position(
    ask: Ask, logprobs: Mapping[str, float] | None, manners: Manners, vocabulary: Vocabulary
) -> dict[str, float] | None:
    """Work out which tokens can begin an answer, and their log-probabilities before temperature."""
    if ask.top_logprobs is None or not ask.bound.answers or not logprobs:
        return None
    before = _untempered(logprobs, ask.temperature)
    shares = dict(_split(before, manners.letters))
    if ask.token_ids:
        return {token: shares.get(token, NEVER) for token in map(vocabulary.text, ask.token_ids)}
    filler = dict.fromkeys("#%+*", NEVER) if manners.sampled_first else {}
    return shares | filler


def _untempered(logprobs: Mapping[str, float], temperature: float) -> dict[str, float]:
    """Undo the temperature: servers report what was before it."""
    raw = {answer: each * (temperature or 1.0) for answer, each in logprobs.items() if each > -math.inf}
    best = max(raw.values(), default=0.0)
    norm = best + math.log(math.fsum(math.exp(each - best) for each in raw.values())) if raw else 0.0
    return {answer: each - norm for answer, each in raw.items()}


def _split(logprobs: Mapping[str, float], letters: float) -> Iterator[tuple[str, float]]:
    """Give a share of each answer to its first letter, where that begins no other answer."""
    for answer, logprob in logprobs.items():
        splits = has_letter(answer, tuple(logprobs)) and letters > 0.0
        if splits:
            yield answer[0], logprob + math.log(letters)
        yield answer, logprob + (math.log1p(-letters) if splits else 0.0)


def has_letter(answer: str, answers: Sequence[str]) -> bool:
    """Say whether the first letter of `answer` is a token that begins it alone."""
    return len(answer) > 1 and sum(other.startswith(answer[0]) for other in answers) == 1


def _logprobs(
    text: str, word: int, ask: Ask, position: Mapping[str, float] | None, manners: Manners
) -> dict[str, object] | None:
    """List a sample's tokens with their alternatives."""
    if ask.top_logprobs is None:
        return None
    lead, answer, tail = _parts(text, ask)
    first = [answer] if answer else []
    if (
        position is not None
        and has_letter(answer, ask.bound.answers)
        and unit(mix(word, 1)) < manners.letters
    ):
        first = [answer[0], answer[1:]]
    content = [_token(token, None, ask, manners) for token in tokens_of(lead)]
    content += [_token(token, None if i else position, ask, manners) for i, token in enumerate(first)]
    content += [_token(token, None, ask, manners) for token in tokens_of(tail)]
    return {"content": content, "refusal": None}


def _parts(text: str, ask: Ask) -> tuple[str, str, str]:
    """Split a text at the answer in it: before, answer, after."""
    for answer in ask.bound.answers:
        if ask.bound.wrap(answer) == text:
            bare = (
                json.dumps(answer, ensure_ascii=False)[1:-1]
                if ask.bound.wrapped_in or ask.bound.quoted
                else answer
            )
            begin = text.rindex(bare)
            return text[:begin], bare, text[begin + len(bare) :]
    return "", "", text


def _token(token: str, position: Mapping[str, float] | None, ask: Ask, manners: Manners) -> dict[str, object]:
    listed = {token: 0.0} if position is None else {**position}
    own = listed.get(token, NEVER)
    most = len(listed) if ask.token_ids else ask.top_logprobs or 0
    if manners.sampled_first:
        order = [token, *(other for other in listed if other != token)]
        most += bool(ask.token_ids) and token not in listed
    else:
        order = sorted(listed, key=lambda each: -listed[each])
    return _entry(token, own) | {
        "top_logprobs": [_entry(other, listed.get(other, NEVER)) for other in order[:most]]
    }


def _entry(token: str, logprob: float) -> dict[str, object]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
