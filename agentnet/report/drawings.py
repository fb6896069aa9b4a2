"""The page of a report and the figures on it: what these are drawn from, their images, and where they stand.

The page is one HTML file with style sheet, script and images inside; it makes no request. The same data give
the same bytes, and an image needs nothing beside itself. Each stands on the page once, with its words; small
copies refer to it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

import agentnet
from agentnet.analysis.by_context import ContextShare
from agentnet.analysis.decisions import RatioTables
from agentnet.analysis.fits import Fits
from agentnet.analysis.groups import ProfileGroups
from agentnet.analysis.severity_clusters import SeverityClusters
from agentnet.analysis.tables import RunTables
from agentnet.analysis.trees import Trees
from agentnet.report import html
from agentnet.report.figures.sketch import Described, Sketch
from agentnet.report.figures.style import house_style
from agentnet.report.figures.words import capitalized, cleaned, listed
from agentnet.report.html import Html
from agentnet.report.log_tables import when

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.figure import Figure

    from agentnet.report.gather import Report
    from agentnet.report.sections import Contents

N_SENTENCES: Final = 5
"""Sentences of the first screen, at most."""

N_FIGURES: Final = 3
"""Figures of the first screen, at most."""

_T = TypeVar("_T")

DOTS_PER_INCH: Final = 150
_DOTS_PER_POINT: Final = DOTS_PER_INCH / 72

_UNDATED: Final = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_UNNAMED: Final[dict[str, Any]] = {"Software": None}
_NUMBER: Final = re.compile(r"(-?\d+\.\d)\d+")
_REFERENCE: Final = re.compile(r"url\(#([^)]+)\)")
_LENGTHS: Final = ("d", "x", "y")
_WIDTHS: Final = ("stroke-width", "stroke-dasharray", "stroke-dashoffset")
_OF_VECTORS: Final = ("open_", "close_", "start_", "stop_")


@dataclass(frozen=True, slots=True)
class Material:
    """Everything a report draws from; any part may be missing.

    Attributes:
        tables: The cascades of a run.
        fits: The laws fitted to them.
        ratios: The decisions of a response-ratio run.
        ratio_groups: Groups of profiles by Tukey's test of these.
        n_groups_wanted: How many groups the author chose to make; None if the test was left alone.
        severity_clusters: Clusters of news items by their texts.
        trees: Trees of who had the news from whom.
        observed: Trees that were observed elsewhere.
        engaged_now: Share of agents engaged after each step of each realization, where agents stop.
        by_context: Decisions by the facts that prompts used.
    """

    tables: RunTables | None = None
    fits: Fits | None = None
    ratios: RatioTables | None = None
    ratio_groups: ProfileGroups | None = None
    n_groups_wanted: int | None = None
    severity_clusters: SeverityClusters | None = None
    trees: Trees | None = None
    observed: Trees | None = None
    engaged_now: NDArray[np.float64] | None = None
    by_context: tuple[ContextShare, ...] = ()

    @property
    def played(self) -> RunTables | None:
        """The cascades that laws were fitted to, or all that there are."""
        return self.tables if self.fits is None else self.fits.tables


@dataclass(frozen=True, slots=True)
class Drawing(Described):
    """One figure of the report.

    Attributes:
        svg: The image, from ``<svg`` to ``</svg>``, complete in itself; None where there is none.
        png: The same at 150 dots per inch; None where there is none.
        unavailable: In place of an image: why it cannot be drawn from these runs, and what would make it
            possible. Plain text.
        prefix: Stands before all ids on the page; needed where it shows a figure of several runs.
    """

    svg: str | None
    png: bytes | None
    unavailable: str | None
    prefix: str = ""

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return f"{self.prefix}shown-{self.name}"

    @property
    def heading(self) -> str:
        """What it is called, with its number."""
        return f"Figure {self.number}. {self.title}" if self.number else self.title

    @property
    def short(self) -> str:
        """What it is called where there is little room."""
        return f"Figure {self.number}" if self.number else self.title

    @property
    def box(self) -> str:
        """What the image's units are, for small copies."""
        found = re.search(r'viewBox="([^"]+)"', self.svg or "")
        return found[1] if found else "0 0 1 1"

    @property
    def image(self) -> Html:
        """The image, with an id that copies refer to."""
        svg = with_prefix(self.svg or "", self.prefix)
        return Html(svg.replace("<svg ", f'<svg id="{self.anchor}-image" ', 1))

    def to_html(self, anchor: str) -> Html:  # noqa: ARG002 - copies refer to its own
        """Show it, or say why there is none."""
        return html.rendered("figure.j2", figure=self)


def rendered(made: Iterable[Sketch]) -> tuple[Drawing, ...]:
    """Render sketches as they are made, under the house style.

    Args:
        made: Makes the sketches; nothing is made before this is called.
    """
    found = []
    with house_style():
        for sketch in made:
            said = (sketch.name, sketch.number, sketch.title, sketch.caption, sketch.alternative)
            svg, png = (None, None) if sketch.figure is None else images_of(sketch)
            found.append(Drawing(*said, svg, png, sketch.unavailable))
    return tuple(found)


def images_of(sketch: Sketch) -> tuple[str, bytes]:
    """Render a sketch as SVG that can stand alone or inside of a page, and as PNG.

    Beside what matplotlib writes: no prolog, no comments (they repeat all text), no style sheet and no style
    attributes (a page's content policy may forbid them), ids that no other figure of a page has, lengths to
    a tenth of a dot, and title and description for screen readers; in the PNG no time and no program.
    """
    assert sketch.figure is not None, "only what was drawn is rendered"
    written, pixels = _drawn(sketch.figure, salt=sketch.name)
    root = ET.fromstring(written)  # noqa: S314 - matplotlib's own output of a moment ago
    for element in root.iter():
        _tidy(element, sketch.name)
    for pattern in root.iter("pattern"):  # a tile is in points, with its lines
        pattern.set("patternTransform", f"scale({_DOTS_PER_POINT:.4f})")
        pattern[-1].set("stroke-width", _in_dots(pattern[-1].get("stroke-width", "0"), 1 / _DOTS_PER_POINT))
    _describe(root, sketch)
    return ET.tostring(root, encoding="unicode"), pixels


def _drawn(figure: Figure, salt: str) -> tuple[str, bytes]:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_mixed import MixedModeRenderer
    from matplotlib.backends.backend_svg import RendererSVG
    from matplotlib.image import imsave

    figure.set_dpi(DOTS_PER_INCH)
    for axes in figure.axes:
        _lighten(axes)
    canvas = FigureCanvasAgg(figure)
    pixels = canvas.get_renderer()  # type: ignore[no-untyped-call]
    svg, png = io.StringIO(), io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        inner = RendererSVG(pixels.width, pixels.height, svg, metadata=_UNDATED)  # type: ignore[no-untyped-call]
        width, height = figure.get_size_inches()
        vectors = MixedModeRenderer(figure, width, height, DOTS_PER_INCH, inner)  # type: ignore[no-untyped-call]
        # Who lays the figure out asks its canvas, and finds each text measured.
        canvas.renderer = both = cast("RendererAgg", _Both(pixels, vectors))
        figure.draw(both)
        vectors.finalize()
    dots = np.asarray(pixels.buffer_rgba())
    # At level 6 it takes twice as long, for files 4% smaller.
    level = {"compress_level": 3}
    imsave(png, dots, format="png", origin="upper", dpi=DOTS_PER_INCH, metadata=_UNNAMED, pil_kwargs=level)
    return svg.getvalue(), png.getvalue()


def _lighten(axes: Axes) -> None:
    """Spare the layout what moves nothing: for an edge or a label it measures all ticks of an axis anew."""
    axes.spines[:].set_in_layout(False)
    for axis in (axes.xaxis, axes.yaxis):
        if not axis.get_label_text():
            axis.set_label_coords(0.0, 0.0)


class _Both:
    """Draws into a PNG and an SVG at once: to walk through a figure takes longer than to write either.

    One unit of the SVG is a dot of the PNG; what matplotlib tells both in points is put right in the SVG.
    """

    def __init__(self, pixels: Any, vectors: Any) -> None:  # noqa: ANN401 - matplotlib's renderers
        self._pixels = pixels
        self._vectors = vectors

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a renderer can
        if name.startswith("draw_"):
            return partial(self._draw, name)
        return getattr(self._vectors if name.startswith(_OF_VECTORS) else self._pixels, name)

    def _draw(self, name: str, *given: object, **named: object) -> None:
        getattr(self._pixels, name)(*given, **named)
        getattr(self._vectors, name)(*given, **named)

    def draw_text(self, gc: Any, x: float, y: float, s: str, prop: Any, *rest: Any, **named: Any) -> None:  # noqa: ANN401 - matplotlib's own
        """Draw a text."""
        self._pixels.draw_text(gc, x, y, s, prop, *rest, **named)
        in_dots = prop.copy()
        in_dots.set_size(prop.get_size_in_points() * _DOTS_PER_POINT)
        self._vectors.draw_text(gc, x, y, s, in_dots, *rest, **named)


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
    if name in _WIDTHS:
        return _in_dots(value)
    return _REFERENCE.sub(rf"url(#{prefix}-\1)", value) if "url(" in value else value


def _in_dots(points: str, a_point: float = _DOTS_PER_POINT) -> str:
    return ",".join(f"{float(each) * a_point:.4g}" for each in points.split(","))


def _describe(root: ET.Element, sketch: Sketch) -> None:
    root.attrib = {"xmlns": "http://www.w3.org/2000/svg", **root.attrib, "role": "img"}
    root.attrib |= {
        name: f"{float(root.attrib[name][:-2]) / _DOTS_PER_POINT:g}pt" for name in ("width", "height")
    }
    # What the style sheet said for every line, and a width of one point: inherited from here.
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt", "stroke-width": _in_dots("1")}
    root.set("aria-labelledby", f"{sketch.name}-title {sketch.name}-description")
    for place, (name, text) in enumerate((("title", sketch.title), ("desc", sketch.alternative))):
        part = ET.Element(name, {"id": f"{sketch.name}-{'title' if place == 0 else 'description'}"})
        part.text = cleaned(text)
        root.insert(place, part)


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


def write_page(report: Report, contents: Iterable[Contents], *, made_at: float) -> str:
    """Lay a report out as HTML.

    Args:
        report: What it says.
        contents: What stands where.
        made_at: When it is made, seconds since 1970 (UTC).
    """
    parts = tuple(contents)
    style = _own("report.css")
    script = _own("network.js") + _own("report.js")
    return html.rendered(
        "page.j2",
        policy=_policy(style, script),
        style=Html(style),
        script=Html(script),
        names=", ".join(dict.fromkeys(part.facts.run for part in report.parts)),
        heading=_heading(report),
        labels=_labels(report),
        found=_first([(each.leads, each.found) for each in parts], N_SENTENCES),
        leading=_first([(each.leads, each.leading) for each in parts], N_FIGURES),
        parts=parts,
        options=report.options,
        made_at=when(made_at),
        version=agentnet.__version__,
    )


def _own(name: str) -> str:
    """Read a file of ours that stands in the page as it is, and holds no end tag."""
    return files("agentnet.report").joinpath(name).read_text("utf-8")


def _heading(report: Report) -> str:
    """Say what the page is about."""
    subjects = {part.subject: part.headline for part in report.parts}
    (headline, *others) = subjects.values()
    return f"{capitalized(listed(subjects)) if others else headline}: report"


def _labels(report: Report) -> str:
    """Say what results have to be called, if all parts or some have a label."""
    labels = dict.fromkeys(part.label for part in report.parts if part.label)
    return f" ({'; '.join(labels)})" if labels else ""


def _policy(style: str, script: str) -> str:
    """Forbid every request, and allow the one style sheet and the one script by their hashes."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _first(lists: Iterable[tuple[bool, Sequence[_T]]], n: int) -> list[_T]:
    """Take `n` of several lists in turn: as many as there are of those that lead, then of the others."""
    every = list(lists)
    leading = _in_turn([of for leads, of in every if leads], n)
    return leading + _in_turn([of for leads, of in every if not leads], n - len(leading))


def _in_turn(lists: Iterable[Sequence[_T]], n: int) -> list[_T]:
    """Take `n` of several lists, each in turn, and put what is of one list together.

    Examples:
        >>> _in_turn([["a1", "a2", "a3"], ["b1"]], 3)
        ['a1', 'a2', 'b1']
    """
    numbered = [[(place, i, each) for i, each in enumerate(of)] for place, of in enumerate(lists)]
    taken = islice((each for each in chain.from_iterable(zip_longest(*numbered)) if each is not None), n)
    return [each for _, _, each in sorted(taken, key=lambda each: each[:2])]
