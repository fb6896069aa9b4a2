"""How many tokens a prompt takes: guessed until a server has counted the same prompt, known afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from agentnet.backend import Messages, Request
from agentnet.voices import voice_of

_BYTES_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 16
_TOKENS_OF_TEMPLATE = 64
_TOKENS_OF_WRAPPING = 32


_Prompt = tuple[Messages, str | None, str]
"""Messages, schema, and the voice: models count differently."""


class _Count(NamedTuple):
    likely: int
    most: int


class PromptTokens:
    """Remembers what the prompts of a run take; a run asks few distinct ones, over and over.

    Args:
        remembered: Prompts at most.
    """

    def __init__(self, remembered: int = 10_000) -> None:
        self._remembered = remembered
        self._counts: dict[_Prompt, _Count] = {}
        self._beyond = 0

    def likely(self, request: Request) -> int:
        """Guess the tokens of the prompt, rather a little too many."""
        return self._count(request).likely

    def most(self, request: Request) -> int:
        """Bound the tokens of the prompt.

        Every token stands for at least one byte of UTF-8 in the tokenizers in use, chat templates add some
        tokens to each message and some to all, and a schema is part of the prompt at some servers. Where a
        server adds more of its own, what it added to one prompt is expected of the next one, too.
        """
        likely, most = self._counts.get(_prompt(request)) or self._count(request)
        return most if likely == most else most + self._beyond

    @staticmethod
    def most_out(request: Request) -> int:
        """Bound the tokens of all samples: what is allowed, and what plug-ins add for wrapping an answer."""
        return request.n * (request.max_tokens + (_TOKENS_OF_WRAPPING if request.answers else 0))

    def is_known(self, request: Request) -> bool:
        """Say whether a server has counted this prompt."""
        likely, most = self._count(request)
        return likely == most

    def learn(self, request: Request, n_tokens: int) -> None:
        """Take note that a server counted `n_tokens` in the prompt of `request`."""
        key = _prompt(request)
        known = self._counts.get(key)
        if known is None or known != (n_tokens, n_tokens):
            if known is not None and n_tokens > known.most:
                self._beyond = max(self._beyond, n_tokens - known.most)
            self._remember(key, _Count(n_tokens, n_tokens))

    def _count(self, request: Request) -> _Count:
        key = _prompt(request)
        return self._counts.get(key) or self._remember(key, _guess(request))

    def _remember(self, key: _Prompt, count: _Count) -> _Count:
        if len(self._counts) >= self._remembered:
            self._counts.clear()
        self._counts[key] = count
        return count


def likely_tokens(texts: Iterable[str]) -> int:
    """Guess the tokens of `texts`: a third of their bytes in UTF-8, which suits most scripts."""
    return sum(-(-_n_bytes(text) // _BYTES_PER_TOKEN) for text in texts)


def _prompt(request: Request) -> _Prompt:
    return request.messages, request.schema, voice_of(request.metadata)


def _guess(request: Request) -> _Count:
    texts = [content for _, content in request.messages]
    if request.schema is not None:
        texts.append(request.schema)
    overhead = _TOKENS_OF_TEMPLATE + _TOKENS_PER_MESSAGE * len(request.messages)
    return _Count(likely_tokens(texts), sum(map(_n_bytes, texts)) + overhead)


def _n_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
