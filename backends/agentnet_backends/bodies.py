"""The body of an answer, up to a bound: as it came, and while it inflates.

A body comes from a stranger. Four megabytes may inflate to four gigabytes, and one without an end fills any
memory: so nothing is read or inflated beyond the bound, and no transport inflates anything by itself.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from typing import Final

from agentnet.errors import TransientError
from agentnet_backends.failures import Peer
from agentnet_backends.transport import Answer

ENCODINGS: Final = "gzip, deflate"
"""What is asked for: what can be inflated piece by piece, without a further library."""

MAX_REPLY_BYTES: Final = 1_048_576

_PLAIN: Final = frozenset({"", "identity"})
_GZIP: Final = frozenset({"gzip", "x-gzip"})
_PIECE_BYTES: Final = 1 << 18
_ANY_HEADER: Final = 32
"""Added to the window's size it makes zlib take gzip's header or its own."""


def is_plain(answer: Answer, most_bytes: int) -> bool:
    """Say whether a body is what was said, as it came: within its bound, and not encoded."""
    return len(answer.raw) <= most_bytes and "content-encoding" not in answer.headers


async def plain(answer: Answer, peer: Peer, most_bytes: int) -> Answer:
    """Give an answer with its body inflated.

    Of an answer that is no success the beginning is enough: its status says what it is.

    Args:
        answer: The answer as it came, its body perhaps longer than the bound.
        peer: Who answered.
        most_bytes: Bound on the body, as sent and inflated.

    Raises:
        TransientError: It is longer, or cannot be inflated.
    """
    status, headers, raw = answer
    encoding = headers.get("content-encoding", "").strip().lower()
    try:
        if status < 300 and len(raw) > most_bytes:
            raise _too_large(peer, most_bytes)
        if encoding in _PLAIN or not raw:
            return answer
        return answer._replace(raw=await _inflate(raw, encoding, peer, most_bytes))
    except TransientError as error:
        if status < 300:
            error.may_be_billed = True
            raise
        return answer._replace(raw=b"")


async def _inflate(raw: bytes, encoding: str, peer: Peer, most_bytes: int) -> bytes:
    """Inflate a body in pieces, between which others get their turn."""
    if encoding not in _GZIP and encoding != "deflate":
        raise TransientError(
            f"{peer}: the answer is encoded as {peer.quote(encoding)!r}, which was not asked for "
            f"({ENCODINGS} were)",
            kind="unknown_encoding",
        )
    pieces, n_bytes = [], 0
    try:
        for piece in _inflated(raw):
            n_bytes += len(piece)
            if n_bytes > most_bytes:
                break
            pieces.append(piece)
            await asyncio.sleep(0)
    except zlib.error as error:
        failure = TransientError(f"{peer}: the answer cannot be inflated ({error})", kind="garbled")
    except EOFError:
        failure = TransientError(f"{peer}: the answer broke off before all was inflated", kind="truncated")
    else:
        if n_bytes <= most_bytes:
            return b"".join(pieces)
        failure = _too_large(peer, most_bytes)
    # Raised out here: the context of an error keeps what its frames hold.
    raise failure


def _inflated(raw: bytes) -> Iterator[bytes]:
    """Inflate piece by piece; raises `EOFError` where the end is missing."""
    inflater = zlib.decompressobj(_window_bits(raw))
    while not inflater.eof:
        piece = inflater.decompress(raw, _PIECE_BYTES)
        raw = inflater.unconsumed_tail
        # What zlib has taken in may have more to give: an empty piece says that it has not.
        if not (piece or raw or inflater.eof):
            raise EOFError
        yield piece


def _window_bits(raw: bytes) -> int:
    """Choose gzip's, zlib's or no header: many servers send ``deflate`` without the one that it should have.

    A raw stream cannot begin as zlib's header does but by chance of one in a thousand, for a compressed text.
    """
    if raw[:2] == b"\x1f\x8b":
        return zlib.MAX_WBITS | _ANY_HEADER
    has_header = len(raw) > 1 and raw[0] & 0x0F == zlib.DEFLATED and int.from_bytes(raw[:2]) % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


def _too_large(peer: Peer, most_bytes: int) -> TransientError:
    return TransientError(
        f"{peer}: the answer is longer than {most_bytes:,} bytes; nothing of it is used (if it may be: "
        f"{peer.table}.max_reply_bytes)",
        kind="reply_too_large",
    )
