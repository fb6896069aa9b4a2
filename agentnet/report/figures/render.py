"""From sketches to images: the same data give the same bytes, and an image needs nothing beside itself."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from agentnet.report.figures.sketch import Sketch
from agentnet.report.figures.style import house_style
from agentnet.report.figures.words import cleaned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["house_style", "rendered_png", "rendered_svg"]

DOTS_PER_INCH: Final = 150

_UNDATED: Final = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_NUMBER: Final = re.compile(r"(-?\d+\.\d\d)\d+")
_REFERENCE: Final = re.compile(r"url\(#([^)]+)\)")
_LENGTHS: Final = ("d", "x", "y")


def rendered_svg(sketch: Sketch) -> str:
    """Render a sketch as SVG that can stand alone or inside of a page.

    Beside what matplotlib writes: no prolog, no comments (they repeat all text), no style sheet and no style
    attributes (a page's content policy may forbid them), ids that no other figure of a page has, lengths to
    a hundredth of a point, and title and description for screen readers.
    """
    import matplotlib as mpl

    assert sketch.figure is not None, "only what was drawn is rendered"
    written = io.StringIO()
    _lay_out(sketch.figure)
    with mpl.rc_context({"svg.hashsalt": sketch.name}):
        sketch.figure.savefig(written, format="svg", metadata=_UNDATED)
    root = ET.fromstring(written.getvalue())  # noqa: S314 - matplotlib's own output of a moment ago
    for element in root.iter():
        _tidy(element, sketch.name)
    _describe(root, sketch)
    return ET.tostring(root, encoding="unicode")


def _lay_out(figure: Figure) -> None:
    """Lay a figure out once, by the widths of text in SVG: a PNG of it looks the same.

    Were an engine left to it, every image would be drawn twice, the first time to lay it out.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    if engine := figure.get_layout_engine():
        FigureCanvasSVG(figure)  # makes itself the figure's
        engine.execute(figure)
        figure.set_layout_engine(None)


def rendered_png(figure: Figure) -> bytes:
    """Render a figure as PNG, without time or program in it."""
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return written.getvalue()


def _tidy(element: ET.Element, prefix: str) -> None:
    element.tag = element.tag.rpartition("}")[2]
    attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    attributes |= _presentation(attributes.pop("style", ""))
    element.attrib.clear()
    for name, value in attributes.items():
        element.set(name, _tidied(name, value, prefix))
    element.text = element.tail = None
    for child in [each for each in element if each.tag.endswith("}style")]:
        element.remove(child)


def _presentation(style: str) -> dict[str, str]:
    """Turn a style into presentation attributes; of a property that stands twice the last one counts."""
    pairs = (each.partition(":") for each in style.split(";") if each.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _tidied(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    if name == "href":
        return "".join(value.split())
    if name in _LENGTHS:
        value = _NUMBER.sub(r"\1", " ".join(value.split()))
    return _REFERENCE.sub(rf"url(#{prefix}-\1)", value)


def _describe(root: ET.Element, sketch: Sketch) -> None:
    root.attrib = {"xmlns": "http://www.w3.org/2000/svg", **root.attrib, "role": "img"}
    # What the style sheet said for every line: inherited from here.
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt"}
    root.set("aria-labelledby", f"{sketch.name}-title {sketch.name}-description")
    for place, (name, text) in enumerate((("title", sketch.title), ("desc", sketch.alternative))):
        part = ET.Element(name, {"id": f"{sketch.name}-{'title' if place == 0 else 'description'}"})
        part.text = cleaned(text)
        root.insert(place, part)
