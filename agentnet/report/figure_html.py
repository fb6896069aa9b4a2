"""Figures on the page: each image inside of it, each with its words."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from agentnet.report.drawings import Drawing
from agentnet.report.html import Html, tag


def figure_html(drawing: Drawing, prefix: str = "") -> Html:
    """Show a figure, or say why there is none.

    Args:
        drawing: The figure.
        prefix: Put before all ids within the image; needed where a page shows a figure of several runs.
    """
    number = f"Figure {drawing.number}. " if drawing.number else ""
    heading = tag("h4", f"{number}{drawing.title}")
    anchor = f"{prefix}shown-{drawing.name}"
    if drawing.svg is None:
        why = f"Not available: {drawing.unavailable}"
        return tag("div", heading, tag("p", why, class_="absent"), id=anchor)
    words = tag("details", tag("summary", "In words"), tag("p", drawing.alternative))
    caption = tag("figcaption", tag("p", drawing.caption), tag("div", words, class_="words"))
    return tag("figure", heading, Html(with_prefix(drawing.svg, prefix)), caption, id=anchor)


def with_prefix(svg: str, prefix: str) -> str:
    """Put `prefix` before all ids of an image and before all references to them.

    Examples:
        >>> with_prefix('<svg><g id="a" /><use href="#a" clip-path="url(#a)" /></svg>', "x-")
        '<svg><g id="x-a" /><use href="#x-a" clip-path="url(#x-a)" /></svg>'
    """
    if not prefix:
        return svg
    root = ET.fromstring(svg)  # noqa: S314 - our own drawing of a moment ago
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name, value in element.attrib.items():
            element.set(name, _prefixed(name, value, prefix))
    return ET.tostring(root, encoding="unicode")


def _prefixed(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}{value}"
    if name.startswith("aria-") and name != "aria-label":
        return " ".join(f"{prefix}{each}" for each in value.split())
    if name == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    return value.replace("url(#", f"url(#{prefix}")
