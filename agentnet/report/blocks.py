"""What stands in a section beside tables, figures and decisions: paragraphs, lists, texts that unfold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agentnet.report.html import Html, rendered


def paragraph(text: str, kind: str | None = None) -> Html:
    """Show a text as a paragraph.

    Args:
        text: The text.
        kind: How it looks: ``lead``, ``note``, ``absent``, ``strong``; None as usual.
    """
    return rendered("paragraph.j2", text=text, kind=kind)


def absent(why: str) -> Html:
    """Say, where something would stand, why it does not."""
    return paragraph(f"Not available: {why.rstrip('.')}.", "absent")


def bullets(texts: Iterable[str], lead: str | None = None) -> Html:
    """List texts.

    Args:
        texts: One for each bullet.
        lead: What stands above the list.
    """
    return rendered("bullets.j2", texts=tuple(texts), lead=lead)


@dataclass(frozen=True, slots=True)
class Verbatim:
    """A text that is shown word for word, line by line.

    Attributes:
        text: The text.
        heading: What it is; empty without one.
    """

    text: str
    heading: str = ""


def unfolding(title: str, texts: Iterable[Verbatim], *, is_open: bool = False) -> Html:
    """Show texts word for word under a line that unfolds them.

    Args:
        title: The line.
        texts: The texts.
        is_open: Whether they are unfolded at first.
    """
    return rendered("unfolding.j2", title=title, texts=tuple(texts), is_open=is_open)
