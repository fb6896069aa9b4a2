"""Which texts go together in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentnet.embedder.contract import Limits

_BYTES_PER_TOKEN = 3


def likely_tokens(text: str) -> int:
    """Guess the tokens of `text`: a third of its bytes in UTF-8, rounded up, which suits most scripts."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def batches(texts: Sequence[str], limits: Limits) -> Iterator[range]:
    """Cut `texts` into runs that each fit into one call.

    Runs are filled greedily in order. A text that alone exceeds the tokens of a call gets a run of its own:
    the guess may be wrong, and the plug-in knows better.

    Yields:
        Positions of one run, never empty; together all positions in order.
    """
    first, n_tokens = 0, 0
    for position, text in enumerate(texts):
        more = likely_tokens(text)
        is_full = limits.n_texts is not None and position - first >= limits.n_texts
        is_heavy = limits.n_tokens is not None and n_tokens + more > limits.n_tokens
        if position > first and (is_full or is_heavy):
            yield range(first, position)
            first, n_tokens = position, 0
        n_tokens += more
    if len(texts) > first:
        yield range(first, len(texts))
