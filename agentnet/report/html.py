"""Pages by Jinja's templates: everything is text unless a template wrote it.

Replies, news, identifiers and prompts are other people's. They can hold markup, characters that turn the
direction of text, control characters that HTML forbids, and invisible ones. Markup becomes text by escaping;
such characters are spelled, so that a reader sees that they are there: ``[U+202E]``. Both happen wherever a
template puts a value, and a name that a template is not given is an error, never an empty place.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup as Html

__all__ = ["Html", "environment", "rendered", "shown"]

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


def rendered(template: str, /, **values: object) -> Html:
    """Render a template of the report.

    Args:
        template: Its file in ``report/templates``.
        values: What it is given; texts are spelled (`shown`) and escaped, `Html` is put as it is.

    Raises:
        jinja2.UndefinedError: The template names a value that it was not given.
    """
    return Html(environment().get_template(template).render(values))  # noqa: S704 - the template escaped it


@cache
def environment() -> Environment:
    """Make what finds and renders templates."""
    return Environment(
        loader=PackageLoader("agentnet.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_spelled,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _spelled(value: object) -> object:
    """Spell a text before it is escaped, and nothing for None."""
    if value is None:
        return ""
    return shown(value) if isinstance(value, str) and not isinstance(value, Html) else value
