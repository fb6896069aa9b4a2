"""Pages by Jinja's templates: everything is text unless a template wrote it.

Replies, news, identifiers and prompts are other people's. They can hold markup, characters that turn the
direction of text, control characters that HTML forbids, and invisible ones. Markup becomes text by escaping;
such characters are spelled, so that a reader sees that they are there: ``[U+202E]``. Both happen wherever a
template puts a value, and a name that a template is not given is an error, never an empty place.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup as Html

from agentnet.html import shown

__all__ = ["Html", "environment", "rendered", "shown"]


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
def environment(room: str = "agentnet.report") -> Environment:
    """Make what finds and renders the templates of a room."""
    return Environment(
        loader=PackageLoader(room),
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
