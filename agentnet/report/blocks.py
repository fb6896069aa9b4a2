"""What stands in a section beside tables, figures and decisions: paragraphs, lists, texts that unfold."""

from __future__ import annotations

from collections.abc import Iterable

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


def unfolding(title: str, texts: Iterable[tuple[str, str]], *, is_open: bool = False) -> Html:
    """Show texts word for word under a line that unfolds them.

    Args:
        title: The line.
        texts: (heading, text) of each; the heading is empty where there is none.
        is_open: Whether they are unfolded at first.
    """
    return rendered("unfolding.j2", title=title, texts=tuple(texts), is_open=is_open)
