"""Prompts, word for word, as HTML."""

from __future__ import annotations

from agentnet.report.html import Html, tag
from agentnet.report.log_facts import Prompt


def template_html(name: str, text: str) -> Html:
    """Show a template."""
    return tag("details", tag("summary", name), tag("pre", text), open=True)


def example_html(prompt: Prompt) -> Html:
    """Show one prompt as it was sent."""
    title = f"{prompt.kind}: to profile {prompt.profile} about {prompt.news}"
    if prompt.messages is None:
        shown = tag("p", "Not shown, for it holds a news text that may not be passed on.", class_="absent")
    else:
        shown = tag("div", [tag("div", tag("b", role), tag("pre", text)) for role, text in prompt.messages])
    return tag("details", tag("summary", title), shown)
