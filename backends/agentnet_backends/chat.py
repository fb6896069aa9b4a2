"""OpenAI's chat protocol: a `Request` as the body of a call, a body as a `Reply`.

Most of a body is the same for all requests with the same conversation: it is written once and kept, so that
a request costs two numbers and a concatenation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import msgspec

from agentnet.backend import Messages, Reply, Request
from agentnet.errors import BackendError, RequestRejected, TransientError
from agentnet.vocabulary import CONTENT_FILTER, THOUGHT_CUT_OFF, THOUGHT_ONLY
from agentnet_backends.answers import CONSTRAINTS, AnswerOdds, Constraint, Fields, answer_odds, schema_fields
from agentnet_backends.failures import Peer, error_of_body, is_error, unusable_answer

_ENDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("length", re.compile(r"length|max_?\w{0,20}tokens|token_limit|context_window|truncated")),
    (CONTENT_FILTER, re.compile("filter|safety|sensitive|prohibited|blocklist|recitation|spii|guardrail")),
    ("broken_off", re.compile("abort|error|cancel|insufficient|overload|time_?out|interrupted")),
)
"""What the words say with which servers name that a reply did not simply stop, in lower case: each has its
own, and only those of these kinds matter."""

_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Where servers put what a model thought before its answer."""

FREE = CONSTRAINTS["none"]

_MOST_TOKENS = 10**9
_TOKENS_OF_AN_END = 4
_LONGEST_NAME = 1024


_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST_TOKENS)]
_Counted = Annotated[int, msgspec.Meta(ge=1, le=_MOST_TOKENS)]
_Name = Annotated[str, msgspec.Meta(max_length=_LONGEST_NAME)]
_Said = Annotated[str, msgspec.Meta(min_length=1)]


class _Message(msgspec.Struct, gc=False):
    content: _Said
    refusal: Literal[""] | None = None
    reasoning_content: Literal[""] | None = None
    reasoning: Literal[""] | None = None
    thinking: Literal[""] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: Literal["stop"] | None = None
    error: None = None


class _Details(msgspec.Struct, gc=False):
    reasoning_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Counted
    completion_tokens: _Counted
    total_tokens: _Count | None = None
    completion_tokens_details: _Details | None = None


class _Completion(msgspec.Struct):
    """The usual reply: one choice, a text that simply stopped, plain counts, and nothing that says more."""

    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1, max_length=1)]
    usage: _Usage
    model: _Name | None = None
    system_fingerprint: _Name | None = None
    error: None = None


_UNSAID = Reply(("",))[7:]
_COMPLETION = msgspec.json.Decoder(_Completion)


class UsedTokens(NamedTuple):
    """What a server counted: tokens in, and all tokens out that it charges; None where it does not say."""

    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """How questions with certain allowed answers are put to the server.

    Attributes:
        model: The model's name.
        constraint: How it is told of the answers.
        logprobs: The fields that ask for log-probabilities.
        is_brief: Whether a reply that is bound to the answers may have as many tokens as those, and no more.
    """

    model: str
    constraint: Constraint
    logprobs: Fields
    is_brief: bool = True


Form = tuple[bytes, Constraint]
"""What all bodies of one conversation begin with, and how to read their replies."""

FormKey = tuple[Messages, int, int, tuple[str, ...], str | None, bool]


def form_key(request: Request) -> FormKey:
    """Give all of `request` that its form depends on."""
    messages, _, n, max_tokens, answers, schema, logprobs, _, _, _ = request
    return messages, n, max_tokens, answers, schema, logprobs


def form_of(request: Request, plan: Plan, sampling: Fields, max_tokens_field: str) -> Form:
    """Write what all bodies of one conversation begin with, up to the temperature.

    Args:
        request: One of the conversation's requests.
        plan: How its answers are asked for.
        sampling: Fields of every body.
        max_tokens_field: The field that bounds a reply.
    """
    constraint = plan.constraint if request.answers else FREE
    fields: Fields = {
        "model": plan.model,
        "messages": [{"role": role, "content": content} for role, content in request.messages],
        max_tokens_field: tokens_for(request, constraint, is_brief=plan.is_brief),
        **({"n": request.n} if request.n > 1 else {}),
        **sampling,
        **_bound(request, constraint),
        **(plan.logprobs if request.logprobs and request.answers else {}),
    }
    return json.dumps(fields, separators=(",", ":")).encode()[:-1] + b',"temperature":', constraint


def tokens_for(request: Request, constraint: Constraint, *, is_brief: bool) -> int:
    """Bound the tokens of a reply: servers set aside as many as may come, of a budget or of memory.

    A token has at least one byte, so that an answer needs no more than its own.
    """
    most = request.max_tokens
    if is_brief and constraint.binds and request.answers:
        most = min(most, max(len(answer.encode()) for answer in request.answers) + _TOKENS_OF_AN_END)
    return most + constraint.extra_tokens


def _bound(request: Request, constraint: Constraint) -> Fields:
    if request.answers:
        return constraint.fields(request.answers)
    if request.schema is None:
        return {}
    try:
        return schema_fields("reply", json.loads(request.schema))
    except ValueError as error:
        raise RequestRejected(f"the request's schema is no JSON: {error}", kind="bad_request") from None


def body_of(form: Form, request: Request, seed_mask: int) -> bytes:
    """Write the body of a request.

    Args:
        form: What it begins with.
        request: The request.
        seed_mask: The bits of the seed that the server takes; 0 sends no seed.
    """
    end = f',"seed":{request.seed & seed_mask}}}' if seed_mask else "}"
    return form[0] + f"{float(request.temperature)!r}{end}".encode()


def read_reply(raw: bytes, request: Request, constraint: Constraint, peer: Peer) -> Reply:
    """Read the answer to `request`.

    Args:
        raw: The body.
        request: What was asked.
        constraint: How the server was told of the allowed answers.
        peer: Who answered.

    Raises:
        TransientError: It is no chat completion.
        BackendUnusable: It says that the quota is used up.

    What it says of tokens stands on the errors, too.
    """
    usual = None if request.logprobs else _usual(raw, constraint)
    return _with_care(raw, request, constraint, peer) if usual is None else usual


def _with_care(raw: bytes, request: Request, constraint: Constraint, peer: Peer) -> Reply:
    used = UsedTokens(None, None)
    is_failed = False
    try:
        body = _parsed(raw, request.n * (1 + request.logprobs), peer)
        is_failed = bool(body.get("error"))
        used = _used(body.get("usage"), raw, peer)
        return _reply(body, used, raw, request, constraint, peer)
    except BackendError as error:
        error.prompt_tokens, error.completion_tokens = used
        error.may_be_billed = not is_failed
        raise


def _usual(raw: bytes, constraint: Constraint) -> Reply | None:
    """Read a reply that is like nearly all of them, in one go; None for any other, which takes more care.

    Both readings of such a reply give the same, and the other takes ten times as long.
    """
    if _may_be_ambiguous(raw, 1):
        return None
    try:
        # The decoder does not look at texts that it passes over.
        found = _COMPLETION.decode(raw.decode())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    text, usage = found.choices[0].message.content, found.usage
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    details = usage.completion_tokens_details
    thought = (details.reasoning_tokens or 0) if details is not None else 0
    total = usage.total_tokens
    if (total is not None and total != prompt + completion) or thought > completion:
        return None
    texts = (constraint.unwrap(text) if constraint.wraps else text,)
    # `Reply` itself takes three times as long.
    usual = (texts, prompt, completion, found.model or "", (), None, found.system_fingerprint)
    return tuple.__new__(Reply, usual + _UNSAID)


def _reply(
    body: Mapping[str, object],
    used: UsedTokens,
    raw: bytes,
    request: Request,
    constraint: Constraint,
    peer: Peer,
) -> Reply:
    choices = _choices(body, raw, peer)
    is_bound = request.schema is not None or bool(request.answers)
    samples = [_sample(choice, raw, peer, is_bound=is_bound) for choice in choices[: request.n]]
    wraps = constraint.wraps
    texts = tuple(constraint.unwrap(text) if wraps else text for text, _ in samples)
    finish = tuple(end for _, end in samples)
    odds = _odds(choices, request, constraint) if request.logprobs and request.answers else AnswerOdds(None)
    # No prompt and no text is without tokens: a 0 there is no count, whatever the server meant by it.
    n_out = used.completion_tokens or (None if any(texts) else used.completion_tokens)
    return Reply(
        texts,
        used.prompt_tokens or None,
        n_out,
        _name(body.get("model"), raw, peer) or "",
        () if all(end == "stop" for end in finish) else finish,
        odds.logprobs,
        _name(body.get("system_fingerprint"), raw, peer),
        unlisted=None if odds.logprobs is None else odds.unlisted,
        doubt=odds.doubt,
        listed=odds.listed,
    )


def used_by(raw: bytes) -> UsedTokens:
    """Read what an answer that is no success says of tokens, if it is that kind of answer."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return UsedTokens(None, None)
    usage = body.get("usage") if isinstance(body, dict) else None
    counts = usage if isinstance(usage, dict) else {}
    return UsedTokens(_sane(counts.get("prompt_tokens")), _sane(_out(counts)))


def _used(usage: object, raw: bytes, peer: Peer) -> UsedTokens:
    """Read what was used.

    Raises:
        TransientError: It is more than can be.
    """
    counts = usage if isinstance(usage, dict) else {}
    used = UsedTokens(_count(counts.get("prompt_tokens")), _out(counts))
    if max(used.prompt_tokens or 0, used.completion_tokens or 0) > _MOST_TOKENS:
        raise unusable_answer(peer, "wrong_schema", "the answer counts more tokens than there can be", raw)
    return used


def _out(counts: Mapping[str, object]) -> int | None:
    """Count the tokens out, thoughts included: some servers have these in the total alone, or beside it."""
    prompt, shown = _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens"))
    total, details = _count(counts.get("total_tokens")), counts.get("completion_tokens_details")
    thought = _count(details.get("reasoning_tokens")) if isinstance(details, dict) else None
    found = [] if shown is None else [shown]
    if total is not None and prompt is not None:
        found.append(total - prompt)
    if thought is not None and thought > (shown or 0):
        # A part is not more than the whole: they are not in it.
        found.append(thought + (shown or 0))
    return max(found, default=None)


class _SaidTwice(ValueError):
    """An object has two values of one name: readers of JSON do not agree on which of them counts."""


def _may_be_ambiguous(raw: bytes, n_contents: int) -> bool:
    """Say whether a body may name twice what counts: within a text a quote has a backslash before it."""
    return raw.count(b'"content"') > n_contents or raw.count(b'"choices"') > 1 or raw.count(b'"usage"') > 1


def _unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in pairs:
            if found[name] != value:
                raise _SaidTwice(repr(name[:_LONGEST_NAME]))
    return found


def _parsed(raw: bytes, n_contents: int, peer: Peer) -> dict[str, object]:
    try:
        is_plain = not _may_be_ambiguous(raw, n_contents)
        body = json.loads(raw, object_pairs_hook=None if is_plain else _unambiguous)
    except _SaidTwice as twice:
        error = unusable_answer(peer, "malformed_json", f"the answer has two values of {twice}", raw)
    except (ValueError, RecursionError):
        error = unusable_answer(peer, "malformed_json", "the answer is no JSON", raw)
    else:
        if isinstance(body, dict):
            return body
        error = unusable_answer(
            peer, "wrong_schema", "the answer is no chat completion of OpenAI's protocol", raw
        )
    raise error


def _choices(body: Mapping[str, object], raw: bytes, peer: Peer) -> list[dict[str, object]]:
    """Find the choices, in the order of their numbers."""
    choices = body.get("choices")
    if (error := _error_in(body, choices)) is not None:
        raise error_of_body(peer, error)
    if choices is None or choices == []:
        raise unusable_answer(
            peer,
            "no_choices",
            "the answer holds no choice, so it is no chat completion of OpenAI's protocol",
            raw,
        )
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise _no_completion(raw, peer)
    if len(choices) > 1 and all(isinstance(choice.get("index"), int) for choice in choices):
        choices.sort(key=lambda choice: choice["index"])
    return choices


def _error_in(body: Mapping[str, object], choices: object) -> Mapping[str, object] | None:
    """Find an error that stands where nothing was said: beside the choices, or in one of them."""
    listed = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    messages = [choice.get("message") for choice in listed]
    if body.get("error") and not any(isinstance(each, dict) and each.get("content") for each in messages):
        return body
    if choices is None and is_error(body):
        return body
    return next(({"error": choice["error"]} for choice in listed if choice.get("error")), None)


def _sample(choice: Mapping[str, object], raw: bytes, peer: Peer, *, is_bound: bool) -> tuple[str, str]:
    """Read one choice: its text and why it ended."""
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _no_completion(raw, peer)
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    for part in (message, *parts):
        if isinstance(part, dict) and isinstance(refusal := part.get("refusal"), str) and refusal:
            return refusal, "refusal"
    end = choice.get("finish_reason")
    text = content if isinstance(content, str) else _joined(content, raw, peer)
    text = text or (_called(message) if is_bound else "")
    said = end.lower() if isinstance(end, str) else ""
    end = next((kind for kind, words in _ENDS if words.search(said)), "stop")
    if end == "broken_off":
        raise unusable_answer(peer, "truncated", f"the server broke the reply off ({said:.40})", raw)
    return text, _end_of_thought(message, text, end) or end


def _end_of_thought(message: Mapping[str, object], text: str, end: str) -> str | None:
    """Name how a reply ended whose thought stands apart and has no answer; None for any other."""
    if end == CONTENT_FILTER or text.strip():
        return None
    if end == "length":
        # Thoughts that are not shown take their tokens too.
        return THOUGHT_CUT_OFF
    return THOUGHT_ONLY if _thought(message) else None


def _thought(message: Mapping[str, object]) -> bool:
    """Say whether the server tells a thought apart from the answer."""
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return any(message.get(key) for key in _THOUGHTS) or any(
        isinstance(part, dict) and "thinking" in part for part in parts
    )


def _joined(content: object, raw: bytes, peer: Peer) -> str:
    """Read a content that is no text: none at all, or a list of parts."""
    if content is None:
        return ""
    if not isinstance(content, list):
        raise _no_completion(raw, peer)
    texts = [part.get("text") for part in content if isinstance(part, dict)] or content
    found = [text for text in texts if isinstance(text, str)]
    if content and not found and not _thought({"content": content}):
        # Parts of a form that nobody knows may hold the answer: that is not the same as none.
        raise _no_completion(raw, peer)
    return "".join(found)


def _called(message: Mapping[str, object]) -> str:
    """Write down the call of a tool, though none was offered: some servers take an answer in JSON for one."""
    function = message.get("function_call")
    calls = message.get("tool_calls") or ([{"function": function}] if function else None)
    return json.dumps({"tool_calls": calls}, ensure_ascii=False) if calls else ""


def _odds(choices: list[dict[str, object]], request: Request, constraint: Constraint) -> AnswerOdds:
    """Take the answers' odds from the first choice that has them: all have the same."""
    odds = AnswerOdds(None, doubt="the server lists no log-probabilities")
    for choice in choices:
        listed, message = choice.get("logprobs"), choice.get("message")
        if isinstance(listed, dict) and isinstance(message, dict):
            odds = _odds_of(listed.get("content"), message, request, constraint)
            if odds.logprobs is not None:
                break
    return odds


def _odds_of(
    positions: object, message: Mapping[str, object], request: Request, constraint: Constraint
) -> AnswerOdds:
    text = _text(message.get("content")) or ""
    if _thought(message):
        # What follows hangs on this one thought: other thoughts have other odds.
        return AnswerOdds(
            None, doubt="the model thinks before it answers, and the odds are of that one thought"
        )
    return answer_odds(positions, text, request.answers, constraint, request.temperature)


def _no_completion(raw: bytes, peer: Peer) -> TransientError:
    return unusable_answer(peer, "wrong_schema", "the answer is no chat completion of OpenAI's protocol", raw)


def _count(value: object) -> int | None:
    # Some gateways know no other numbers than 300.0.
    whole = int(value) if type(value) is float and value.is_integer() else value
    return whole if type(whole) is int and whole >= 0 else None


def _sane(count: int | None) -> int | None:
    return None if count is None or count > _MOST_TOKENS else count


def _name(value: object, raw: bytes, peer: Peer) -> str | None:
    name = _text(value)
    if name is not None and len(name) > _LONGEST_NAME:
        raise unusable_answer(peer, "wrong_schema", "the answer names its model by more than a name", raw)
    return name


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
