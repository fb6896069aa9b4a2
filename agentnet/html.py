"""What others wrote, as HTML: spelled and escaped, and a table for notebooks.

Replies, news, identifiers and prompts can hold markup, characters that turn the direction of text, control
characters that HTML forbids, and invisible ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Final

_UNSHOWN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, less tab and line feed
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of text, and what has no width
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff\U000e0000-\U000e007f]"  # no characters; invisible tags
)


def shown(text: str) -> str:
    r"""Spell the characters of a text that cannot be seen, or that a page may not hold; nothing is escaped.

    Line ends become ``\n``; tabs and line feeds stay.

    Examples:
        >>> shown("a\x00b\u202ec\r\nd")
        'a[U+0000]b[U+202E]c\nd'
    """
    return _UNSHOWN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text.replace("\r\n", "\n"))


def html_table(title: str, rows: Iterable[tuple[str, object]], *, below: str = "") -> str:
    """Write a table of names and values for a notebook; every text is spelled and escaped.

    Args:
        title: What it is of.
        rows: Name and value of each line.
        below: What is said below it.

    Examples:
        >>> html_table("<b>", [("a", 1)])
        '<table><caption>&lt;b&gt;</caption><tr><th>a</th><td>1</td></tr></table>'
    """
    cells = (f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows)
    note = f"<p>{_text(below)}</p>" if below else ""
    return f"<table><caption>{_text(title)}</caption>{''.join(cells)}</table>{note}"


def _text(value: object) -> str:
    return escape(shown(str(value)))
