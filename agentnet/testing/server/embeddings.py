"""The server double's embeddings: like texts lie close, and nothing else is meant by them."""

from __future__ import annotations

import base64
import math
import struct

from agentnet.streams import mix, unit
from agentnet.testing.server.asks import BadAsk, tokens_of
from agentnet.testing.server.ledger import body_digest


def texts_of(given: object) -> list[str]:
    """Read what is to be embedded: a text or several; numbers of tokens count as their digits."""
    match given:
        case str():
            return [given]
        case [int(), *_]:
            return [_digits(given)]
        case [*items] if items:
            return [each if isinstance(each, str) else _digits(each) for each in items]
        case _:
            raise BadAsk("Missing required parameter: 'input'.", "input")


def _digits(numbers: object) -> str:
    return " ".join(map(str, numbers)) if isinstance(numbers, list) else str(numbers)


def embedding(text: str, n_dimensions: int) -> list[float]:
    """Embed `text`: the sum of one fixed direction for each of its tokens, so that like texts lie close.

    Args:
        text: The text.
        n_dimensions: Length of the vector.

    Returns:
        A vector of length 1 and shape ``(n_dimensions,)``.
    """
    vector = [0.0] * n_dimensions
    for token in tokens_of(text.casefold()) or [""]:
        word = int(body_digest(token.strip().encode()), 16)
        for i in range(n_dimensions):
            vector[i] += 2.0 * unit(mix(word, i)) - 1.0
    norm = math.sqrt(math.fsum(x * x for x in vector)) or 1.0
    return [x / norm for x in vector]


def encoded_vector(vector: list[float], *, as_text: bool) -> list[float] | str:
    """Write a vector as numbers, or as the base64 of 32-bit floats that OpenAI's own client asks for."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if as_text else vector
