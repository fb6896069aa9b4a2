"""Figures on the page: each image inside of it, once, with its words; small copies refer to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from agentnet.report.drawings import Drawing
from agentnet.report.html import Html, rendered


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure on the page.

    Attributes:
        drawing: The figure.
        prefix: Stands before all ids within the image; needed where a page shows a figure of several runs.
    """

    drawing: Drawing
    prefix: str = ""

    @property
    def name(self) -> str:
        """Its file name stem."""
        return self.drawing.name

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return f"{self.prefix}shown-{self.name}"

    @property
    def heading(self) -> str:
        """What it is called, with its number."""
        number = f"Figure {self.drawing.number}. " if self.drawing.number else ""
        return f"{number}{self.drawing.title}"

    @property
    def short(self) -> str:
        """What it is called where there is little room."""
        return f"Figure {self.drawing.number}" if self.drawing.number else self.drawing.title

    @property
    def box(self) -> str:
        """What the image's units are, for small copies."""
        found = re.search(r'viewBox="([^"]+)"', self.drawing.svg or "")
        return found[1] if found else "0 0 1 1"

    @property
    def image(self) -> Html:
        """The image, with an id that copies refer to."""
        svg = with_prefix(self.drawing.svg or "", self.prefix)
        return Html(svg.replace("<svg ", f'<svg id="{self.anchor}-image" ', 1))

    def to_html(self, anchor: str) -> Html:  # noqa: ARG002 - copies refer to its own
        """Show it, or say why there is none."""
        return rendered("figure.j2", figure=self)


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
