"""Take keys out of what servers say: echoes of a request, pages of proxies, replies that quote headers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

from agentnet.backend import Reply

_LABEL = "[key]"
_SHORTEST = 8
"""Shorter ones are no secrets (``x``, ``none``, ``EMPTY``), and stand in ordinary words."""


def redact(text: str, keys: Sequence[str]) -> str:
    """Replace every key in `text`, also in base64 and percent-encoded.

    Args:
        text: What somebody said.
        keys: The keys; those of fewer than 8 characters are let stand.
    """
    for form in _forms(tuple(keys)):
        if form in text:
            text = text.replace(form, _LABEL)
    return text


def redact_reply(reply: Reply, keys: Sequence[str]) -> Reply:
    """Replace every key in what a reply will leave in a log; see `redact`."""
    if not keys:
        return reply
    said = "\0".join((*reply.texts, reply.model, reply.fingerprint or ""))
    if not any(form in said for form in _forms(tuple(keys))):
        return reply
    return reply._replace(
        texts=tuple(redact(text, keys) for text in reply.texts),
        model=redact(reply.model, keys),
        fingerprint=None if reply.fingerprint is None else redact(reply.fingerprint, keys),
    )


@lru_cache(maxsize=64)
def _forms(keys: tuple[str, ...]) -> tuple[str, ...]:
    """List how keys may be spelled, none of them within another's replacement."""
    found: dict[str, None] = {}
    for key in keys:
        if len(key) >= _SHORTEST:
            found |= dict.fromkeys((key, quote(key, safe=""), *_base64_forms(key.encode())))
    # Some servers write a slash as `\/` in JSON.
    return tuple(found | dict.fromkeys(form.replace("/", "\\/") for form in found))


def _base64_forms(key: bytes) -> list[str]:
    """Spell `key` in base64 as it stands within longer ones (``Bearer KEY``): at three offsets.

    Left out are the characters at both ends that hold bits of the neighbours.
    """
    return [
        encode(bytes(offset) + key).decode()[-(-8 * offset // 6) : 8 * (offset + len(key)) // 6]
        for offset in range(3)
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
    ]
