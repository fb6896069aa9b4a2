"""What the server double says: a law's or a backend's answer to an `ChatAsk`, as a chat completion.

Answers from a closed list tokenise freely, as at real servers: their first letter is a token too and takes a
share of their probability.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from agentnet.backend import Backend, Messages, Reply, Request
from agentnet.streams import mix, unit
from agentnet.testing.server.asks import ChatAsk, Manners, Vocabulary, prompt_tokens, tokens_of

Law = Callable[[Messages, int, int], str | bool]
"""(conversation, seed, number of the sample) -> its text, or yes or no."""

MetadataOf = Callable[[Messages], Mapping[str, str | int]]
"""Recovers from a conversation what requests on the wire do not carry: profile, severity and so on."""

_N_OTHERS = 64

NEVER = -9999.0
"""The log-probability that servers write for a token that cannot be."""


class SpokenReply(NamedTuple):
    """What is said in reply: for each sample its text and how it ended, the rest as in `Reply`."""

    texts: tuple[str, ...]
    finish: tuple[str, ...]
    logprobs: Mapping[str, float] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


async def speak(answer: Law | Backend, ask: ChatAsk, metadata_of: MetadataOf) -> SpokenReply:
    """Let `answer` reply to `ask`.

    Raises:
        BackendError: It is a backend and fails.
    """
    return (
        await _by_backend(answer, ask, metadata_of) if isinstance(answer, Backend) else _by_law(answer, ask)
    )


async def _by_backend(backend: Backend, ask: ChatAsk, metadata_of: MetadataOf) -> SpokenReply:
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
    return SpokenReply(texts, finish, reply.logprobs, reply.prompt_tokens, n_tokens)


def _by_law(law: Law, ask: ChatAsk) -> SpokenReply:
    said = [_allowed(law(ask.messages, ask.seed, i), ask.bound.answers) for i in range(ask.n)]
    texts = [
        ask.bound.wrap(str(each)) if ask.bound.answers else _filled(each, ask.bound.schema) for each in said
    ]
    cut = [tokens_of(text)[: ask.max_tokens] for text in texts]
    short = tuple(map("".join, cut))
    finish = tuple("stop" if a == b else "length" for a, b in zip(short, texts, strict=True))
    certain = {answer: 0.0 if answer == said[0] else -math.inf for answer in ask.bound.answers}
    return SpokenReply(short, finish, certain or None)


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


def completion(
    ask: ChatAsk,
    spoken: SpokenReply,
    *,
    name: str,
    model: str,
    created: int,
    manners: Manners,
    vocabulary: Vocabulary,
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


def _usage(ask: ChatAsk, spoken: SpokenReply) -> dict[str, object]:
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
    ask: ChatAsk, logprobs: Mapping[str, float] | None, manners: Manners, vocabulary: Vocabulary
) -> dict[str, float] | None:
    """Work out which tokens can begin an answer, and their log-probabilities before temperature."""
    if ask.top_logprobs is None or not ask.bound.answers or not logprobs:
        return None
    before = logprobs if ask.after_sampling else _untempered(logprobs, ask.temperature)
    shares = dict(_split(before, manners.letters))
    if manners.off_answers and not ask.after_sampling:
        others = {f"<{i}>": math.log(manners.off_answers / _N_OTHERS) for i in range(_N_OTHERS)}
        shares = others | {token: each + math.log1p(-manners.off_answers) for token, each in shares.items()}
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
    text: str, word: int, ask: ChatAsk, position: Mapping[str, float] | None, manners: Manners
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
    fence = [manners.fence] if manners.fence and ask.bound.wrapped_in else []
    content = [_token(token, None, ask, manners) for token in (*fence, *tokens_of(lead))]
    content += [_token(token, None if i else position, ask, manners) for i, token in enumerate(first)]
    content += [_token(token, None, ask, manners) for token in tokens_of(tail)]
    return {"content": content, "refusal": None}


def _parts(text: str, ask: ChatAsk) -> tuple[str, str, str]:
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


def _token(
    token: str, position: Mapping[str, float] | None, ask: ChatAsk, manners: Manners
) -> dict[str, object]:
    listed = {token: 0.0} if position is None else {**position}
    own = listed.get(token, NEVER)
    most = len(listed) if ask.token_ids else ask.top_logprobs or 0
    if manners.sampled_first:
        order = [token, *(other for other in listed if other != token)]
        most += bool(ask.token_ids) and token not in listed
    else:
        order = sorted(listed, key=lambda each: -listed[each])
    best = [_entry(other, listed.get(other, NEVER), ask) for other in order[:most]]
    return _entry(token, own, ask) | {"top_probs" if ask.after_sampling else "top_logprobs": best}


def _entry(token: str, logprob: float, ask: ChatAsk) -> dict[str, object]:
    value = {"prob": math.exp(logprob)} if ask.after_sampling else {"logprob": logprob}
    return {"token": token, **value, "bytes": list(token.encode())}
