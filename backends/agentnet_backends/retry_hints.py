"""How long a server wants us to wait, in whichever of its many ways it says so."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_UNITS_S = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|m|s|us|µs|ns)")
_IN_WORDS = re.compile(r"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?(?:d|h|ms|m|s))+)", re.IGNORECASE)


def duration_s(text: str) -> float | None:
    """Read a duration as servers write it.

    Returns:
        Seconds, >= 0; None if `text` is no duration.

    Examples:
        >>> duration_s("6m0s"), duration_s("500ms"), duration_s("1.5"), duration_s("soon")
        (360.0, 0.5, 1.5, None)
    """
    bare = text.strip().lower()
    if bare and not _PART.sub("", bare):
        return math.fsum(float(amount) * _UNITS_S[unit] for amount, unit in _PART.findall(bare))
    try:
        seconds = float(bare)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0.0 else None


def retry_hint(headers: Mapping[str, str], words: str = "") -> float | None:
    """Find out how long the server wants us to wait.

    ``retry-after-ms`` and ``retry-after`` (seconds, a duration or a date) count first, then the resets of
    those rate limits that are used up, then what the message says.

    Args:
        headers: The answer's headers; looked up in lower case.
        words: The error's message.

    Returns:
        Seconds, >= 0; None without a hint.
    """
    hint = _retry_after_s(headers)
    if hint is None:
        hint = _reset_s(headers)
    if hint is None and (found := _IN_WORDS.search(words)):
        hint = duration_s(found[1])
    return hint


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    millis = duration_s(headers.get("retry-after-ms", ""))
    if millis is not None:
        return millis / 1e3
    text = headers.get("retry-after", "")
    seconds = duration_s(text)
    return _until_s(text, headers.get("date", "")) if seconds is None else seconds


def _until_s(text: str, server_date: str) -> float | None:
    """Count the seconds to an HTTP date, by the server's clock if it shows one: ours may be wrong."""
    then = _date(text)
    if then is None:
        return None
    now = _date(server_date)
    return max(0.0, then.timestamp() - (time.time() if now is None else now.timestamp()))


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _reset_s(headers: Mapping[str, str]) -> float | None:
    """Take the longest reset of the limits that are used up; if none is said to be, the shortest of all."""
    used_up: list[float] = []
    others: list[float] = []
    for limit in ("requests", "tokens"):
        reset = duration_s(headers.get(f"x-ratelimit-reset-{limit}", ""))
        if reset is not None:
            left = duration_s(headers.get(f"x-ratelimit-remaining-{limit}", ""))
            (used_up if left == 0.0 else others).append(reset)
    return max(used_up) if used_up else min(others, default=None)
