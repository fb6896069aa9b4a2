"""HTML in which everything is text unless it was made here: `tag` escapes whatever is no `Html`.

Replies, news, identifiers and templates are other people's. They can hold markup, characters that turn the
direction of text, control characters that HTML forbids, and invisible ones. Markup becomes text by escaping;
such characters are spelled, so that a reader sees that they are there: ``[U+202E]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Final

_VOID: Final = frozenset({"meta", "input", "br", "hr", "col"})

_UNSHOWN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, less tab and line feed
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of text, and what has no width
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff\U000e0000-\U000e007f]"  # no characters; invisible tags
)


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that is known to be ours.

    Attributes:
        markup: The markup.
    """

    markup: str


Node = Html | str | int | Iterable["Node"] | None
"""What can stand in an element: markup, text or a whole number, several of them, or nothing."""


def shown(text: str) -> str:
    r"""Spell the characters of a text that cannot be seen, or that a page may not hold; nothing is escaped.

    Line ends become ``\n``; tabs and line feeds stay.

    Examples:
        >>> shown("a\x00b\u202ec\r\nd")
        'a[U+0000]b[U+202E]c\nd'
    """
    return _UNSHOWN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text.replace("\r\n", "\n"))


def tag(name: str, /, *children: Node, **attributes: str | int | bool | None) -> Html:
    """Make an element.

    Args:
        name: Its name.
        children: What stands in it; text is escaped.
        attributes: By name, with ``_`` for ``-`` and one at the end for names that are Python's (``class_``);
            None and False leave one out, True gives it no value.

    Examples:
        >>> tag("p", "1 < 2", tag("b", "!"), class_="x").markup
        '<p class="x">1 &lt; 2<b>!</b></p>'
    """
    opened = f"<{name}{''.join(_attribute(*each) for each in attributes.items())}>"
    if name in _VOID:
        return Html(opened)
    return Html(f"{opened}{together(children).markup}</{name}>")


def together(nodes: Iterable[Node]) -> Html:
    """Put nodes one behind the other."""
    return Html("".join(_markup(node) for node in nodes))


def _markup(node: Node) -> str:
    if node is None:
        return ""
    if isinstance(node, Html):
        return node.markup
    if isinstance(node, str):
        return escape(shown(node), quote=False)
    if isinstance(node, int):
        return str(node)
    return together(node).markup


def _attribute(name: str, value: str | int | bool | None) -> str:
    spelled = name.removesuffix("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {spelled}"
    return f' {spelled}="{escape(shown(str(value)))}"'
