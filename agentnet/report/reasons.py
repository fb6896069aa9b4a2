"""Reasons of errors, made fit for readers of a report."""

from __future__ import annotations

import re
from typing import Final

_FIELD: Final = re.compile(r"\bfield '[\w, ]+': ")


def without_field(reason: str) -> str:
    """Leave out the name of an argument, which says nothing to readers of a report.

    Examples:
        >>> without_field("field 'n_yes': all decisions are yes")
        'all decisions are yes'
    """
    return _FIELD.sub("", reason)
