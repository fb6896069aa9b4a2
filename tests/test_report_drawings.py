"""Images: the same bytes for the same data, whole in themselves, and safe whatever texts they show."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

import agentnet.report
from agentnet.analysis.decisions import RatioTables
from agentnet.analysis.fits import Fits, fit_run
from agentnet.analysis.networks import NetworkDesign
from agentnet.analysis.severity_clusters import SeverityClusters
from agentnet.analysis.tables import ExposureCounts, RunTables
from agentnet.analysis.trees import Forest, Trees
from agentnet.report.drawings import Drawing, Material, images_of, rendered
from agentnet.report.figures.ratios import ratio_sketch
from agentnet.report.figures.severity import severity_sketch
from agentnet.report.figures.sketch import Sketch, sketches_of
from agentnet.report.figures.style import fractions_up, house_style, new_figure, steps_along

EVIL = (
    "$\\nosuch$",
    "<script>alert(1)</script>",
    "]]> --> <!-- &amp; \" ' &",
    "\x00\x0b\ud800\u202eabc",
    "x" * 20_000,
    "日本語 🦊 Ελλάδα",
    "",
    "a\nb\tc",
)


def ratios_of(ids: tuple[str, ...]) -> RatioTables:
    n_yes = np.random.default_rng(2).integers(0, 11, size=(len(ids), 32))
    return RatioTables(
        run="<b>ratios & $more$</b>",
        status="finished",
        model_name="model <i>\x00",
        news_ids=ids,
        severity=np.arange(len(ids)) % 3 - 1,
        n_yes=n_yes,
        n_no=10 - n_yes,
        n_missing=np.zeros_like(n_yes),
    )


def clusters_of(n_items: int, label: str = "Protests") -> SeverityClusters:
    cluster = np.arange(n_items) % 2
    return SeverityClusters(
        ids=tuple(map(str, range(n_items))),
        cluster=cluster,
        first_component=np.sin(np.arange(n_items)) + 3.0 * cluster,
        explained=np.array([0.3]),
        scores=np.array([[0.7]]),
        noise_score=0.6,
        n_components=1,
        commonest=((label, "", ""), ("Political violence", label, "")),
        names=(None, None),
        taxonomy=(None,) * n_items,
        notes=(),
    )


def run_tables() -> RunTables:
    """Make four cascades of 32 agents, two for each severity, without playing them."""
    rng = np.random.default_rng(0)
    when = rng.geometric(0.4, size=(4, 32)) + 1
    when[:, 17] = 0
    engaged = (when[:, :, None] <= np.arange(6)).astype(np.int32)
    row, step, profile = (each.ravel() for each in np.indices((4, 5, 32)))
    n_yes = rng.integers(0, 3, size=row.size)
    counts = ExposureCounts(row, step + 1, profile, n_yes, 2 - n_yes, rng.integers(0, 2, size=row.size))
    ones = np.ones(4, dtype=np.int64)
    return RunTables(
        run="run <1>",
        status="finished",
        condition={},
        model_name="mock",
        asking_rule="always",
        seeding="first_yes",
        n_steps=5,
        news_ids=("a", "b"),
        realization=np.arange(4),
        news=np.array([0, 1, 0, 1]),
        severity=np.array([0, 1, 0, 1]),
        last_step=5 * ones,
        initial_profile=17 * ones,
        n_seed_attempts=ones,
        profile_agents=np.ones((4, 32), dtype=np.int64),
        engaged=engaged,
        engaged_if_yes=engaged,
        exposures=counts,
        missing_reasons={"refused <b>": int(counts.n_missing.sum())},
        networks=NetworkDesign(("random_regular",), 4, True, np.array([4]), np.array([128])),
    )


def trees_called(name: str) -> Trees:
    parent = np.array([-1, *range(50), -1, 51])
    return Forest(name, parent, np.zeros_like(parent), np.arange(parent.size, dtype=np.float64)).trees()


@pytest.fixture(scope="module")
def fits() -> Fits:
    return fit_run(run_tables(), groups=np.arange(32) // 16, n_runs=3, n_bootstrap=0)


@pytest.fixture(scope="module")
def drawings(fits: Fits) -> tuple[Drawing, ...]:
    material = Material(
        tables=fits.tables,
        fits=fits,
        ratios=ratios_of(EVIL),
        severity_clusters=clusters_of(9, EVIL[1]),
        trees=trees_called("run <1>"),
        observed=trees_called(EVIL[1]),
    )
    return rendered(sketches_of("cascades", material))


def one_image(**settings: object) -> tuple[str, bytes]:
    with mpl.rc_context(settings), house_style():
        sketch = ratio_sketch(ratios_of(EVIL), None)
        assert sketch.figure is not None
        return images_of(sketch)


def elements(svg: str | None) -> Iterator[ET.Element]:
    assert svg is not None
    return ET.fromstring(svg).iter()


def test_every_figure_is_drawn_in_the_order_of_the_paper(drawings: tuple[Drawing, ...]) -> None:
    assert [each.number for each in drawings] == [
        *("2", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"),
        *("", "", "", "", ""),
    ]
    assert len({each.name for each in drawings}) == len(drawings)
    for each in drawings:
        assert each.unavailable is None, each.unavailable
        assert each.svg is not None
        assert each.png is not None
        assert each.title
        assert each.caption.endswith(".")
        assert each.alternative.endswith(".")
        assert re.fullmatch("[a-z0-9_]+", each.name)


def test_nothing_is_drawn_of_nothing_and_each_figure_says_why() -> None:
    found = rendered(sketches_of("cascades", Material()))
    assert len(found) == 18
    for each in found:
        assert (each.svg, each.png) == (None, None)
        assert each.unavailable is not None
        assert re.fullmatch(r"[A-Z].*\.", each.unavailable)
        assert each.caption == each.alternative == ""


def test_cascades_without_fits_are_drawn_as_they_are() -> None:
    with house_style():
        found = {each.name: each.figure for each in sketches_of("cascades", Material(tables=run_tables()))}
    drawn = {name for name, figure in found.items() if figure is not None}
    assert drawn == {"observed_cascades", "missing_answers"}


def test_the_same_data_give_the_same_bytes_whatever_the_users_settings() -> None:
    before = dict(mpl.rcParams)
    first = one_image()
    own = {"font.size": 30.0, "svg.fonttype": "none", "svg.hashsalt": "mine", "text.parse_math": True}
    assert one_image(**own, **{"axes.grid": False, "savefig.dpi": 20}) == first
    assert dict(mpl.rcParams) == before


def test_a_png_has_150_dots_an_inch_and_names_neither_program_nor_time() -> None:
    with house_style():
        _, data = images_of(Sketch("a", "", "A", "", "", new_figure(2.0, 1.0)))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (300, 150)
    assert not re.search(rb"tEXt|iTXt|zTXt|tIME", data)


@pytest.mark.parametrize(
    ("n_steps", "ceiling", "steps", "fractions"),
    [
        (15, 1.02, "0 2 4 6 8 10 12 14", "0.0 0.2 0.4 0.6 0.8 1.0"),
        (1, 0.3, "0 1", "0.00 0.05 0.10 0.15 0.20 0.25 0.30"),
        (0, 1e-3, "0 1", "0.0000 0.0002 0.0004 0.0006 0.0008 0.0010"),
    ],
)
def test_axes_of_steps_and_fractions_have_the_ticks_that_are_seen_and_no_others(
    n_steps: int, ceiling: float, steps: str, fractions: str
) -> None:
    with house_style():
        figure = new_figure(6.0, 4.0)
        axes = figure.subplots()
        steps_along(axes, n_steps)
        fractions_up(axes, ceiling)
        axes.set_ylabel("engaged")
        images_of(Sketch("a", "", "A", "A.", "A.", figure))
    shown = (axes.get_xticklabels(), axes.get_yticklabels())
    assert [" ".join(each.get_text() for each in labels) for labels in shown] == [steps, fractions]
    assert axes.yaxis.label.get_window_extent().x1 < shown[1][0].get_window_extent().x0


def test_whatever_axes_a_figure_from_elsewhere_has_it_is_drawn() -> None:
    with house_style():
        figure = new_figure(9.0, 6.0)
        logarithmic, dated, named, shaded, twice = (figure.add_subplot(2, 4, place) for place in range(1, 6))
        logarithmic.loglog([1e-3, 1e3], [1.0, 1e6])
        dated.plot(np.array(["2021-02-24", "2021-03-24"], dtype="datetime64[D]"), [1.0, 2.0])
        named.bar(["one", "two"], [1.0, 2.0])
        figure.colorbar(shaded.imshow(np.arange(6.0).reshape(2, 3)), ax=shaded)
        twice.twinx().plot([1e6, 1e6 + 1])
        figure.add_subplot(2, 4, 6, projection="polar").plot([0.0, 1.0], [0.0, 1.0])
        figure.add_subplot(2, 4, 7, projection="3d").plot([0.0, 1.0], [0.0, 1.0], [0.0, 1.0])
        figure.add_subplot(2, 4, 8).set_axis_off()
        svg, png = images_of(Sketch("a", "", "A", "A.", "A.", figure))
    assert struct.unpack(">II", png[16:24]) == (1350, 900)
    assert [each.get_text() for each in named.get_xticklabels()] == ["one", "two"]
    assert svg.count("<use") > 100


def test_an_svg_measures_in_the_dots_of_the_png() -> None:
    with house_style():
        figure = new_figure(2.0, 1.0)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set(xlim=(0.0, 2.0), ylim=(0.0, 1.0))
        axes.plot([0.5, 1.5], [0.5, 0.5], linewidth=7.2, linestyle=(0, (1, 2)), color="#123456")
        axes.text(1.0, 0.2, "E", fontsize=72.0)
        axes.axvspan(0.0, 0.1, hatch="//", edgecolor="black", linewidth=0.0)
        svg, _ = images_of(Sketch("a", "", "A", "", "", figure))
    root = ET.fromstring(svg)
    assert [root.get(name) for name in ("width", "height", "viewBox")] == ["144pt", "72pt", "0 0 300 150"]
    (line,) = (each for each in root.iter() if each.get("stroke") == "#123456")
    assert (line.get("d"), line.get("stroke-width")) == ("M 75 75 L 225 75", "15")
    assert line.get("stroke-dasharray") == "15,30"
    assert "scale(1.5 -1.5)" in svg  # letters of 72 points, drawn at 100 dots
    (pattern,) = (each for each in root.iter() if each.tag.endswith("pattern"))
    assert float(str(pattern.get("patternTransform"))[6:-1]) == pytest.approx(150 / 72, abs=1e-4)
    assert float(str(pattern[-1].get("stroke-width"))) == pytest.approx(0.6, rel=1e-3)


def test_an_svg_needs_nothing_but_itself(drawings: tuple[Drawing, ...]) -> None:
    for each in drawings:
        assert each.svg is not None
        assert each.svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" ')
        assert each.svg.endswith("</svg>")
        assert each.svg.count("http") == 1
        assert "<!--" not in each.svg
        for element in elements(each.svg):
            assert element.tag.removeprefix("{http://www.w3.org/2000/svg}") in {
                *("svg", "g", "path", "use", "defs", "clipPath", "rect", "title", "desc", "image", "pattern"),
            }
            assert "style" not in element.attrib
            assert not any(name.lower().startswith("on") for name in element.attrib)
            assert element.get("href", "#").startswith(("#", "data:image/png;base64,"))


def test_ids_are_unique_in_a_page_of_all_figures_and_references_hold(drawings: tuple[Drawing, ...]) -> None:
    names: set[str] = set()
    for each in drawings:
        found = [element.get("id") for element in elements(each.svg) if "id" in element.attrib]
        assert len(found) == len(set(found))
        assert not names & set(found)
        names |= set(found)
        text = str(each.svg)
        used = {*re.findall(r'href="#([^"]+)"', text), *re.findall(r"url\(#([^)]+)\)", text)}
        assert used <= set(found)
        assert all(name.startswith(each.name) for name in found)


def test_title_and_description_are_there_for_screen_readers(drawings: tuple[Drawing, ...]) -> None:
    for each in drawings:
        assert each.svg is not None
        root = ET.fromstring(each.svg)
        title, description = root[0], root[1]
        assert root.get("role") == "img"
        assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert title.text == each.title
        assert description.text == each.alternative
        assert unescape(each.alternative) == each.alternative


def test_texts_of_others_neither_break_nor_enter_an_image(drawings: tuple[Drawing, ...]) -> None:
    shown = {each.name: each for each in drawings}
    for name in ("figure02_news_clusters", "figure05_response_ratios"):
        svg = shown[name].svg
        assert svg is not None
        assert "<script" not in svg
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\u202e]", svg)
        assert len(svg) < 200_000
    assert "<b>ratios & $more$</b>" in shown["figure05_response_ratios"].caption
    assert "\x00" not in shown["figure05_response_ratios"].caption


def test_all_figures_of_a_small_run_are_light(drawings: tuple[Drawing, ...]) -> None:
    assert sum(len(str(each.svg)) for each in drawings) < 2_000_000


@pytest.mark.parametrize(
    "sketch",
    [
        lambda: ratio_sketch(ratios_of(tuple(map(str, range(500)))), None),
        lambda: severity_sketch(clusters_of(3000)),
    ],
    ids=["ratios", "clusters"],
)
def test_an_image_of_many_items_stays_small(sketch: object) -> None:
    with house_style():
        made = sketch()  # type: ignore[operator]
        svg, _ = images_of(made)
    assert len(svg) < 300_000
    assert any(element.tag.endswith("image") for element in elements(svg))


def test_a_sketch_is_a_figure_or_says_why_not() -> None:
    with pytest.raises(AssertionError, match="why there is none"):
        Sketch("a", "", "A", "", "")


def test_reports_never_touch_the_global_state_of_pyplot() -> None:
    assert agentnet.report.__file__ is not None
    sources = [path.read_text("utf-8") for path in Path(agentnet.report.__file__).parent.rglob("*.py")]
    assert len(sources) > 10
    assert not any("pyplot" in source for source in sources)


def test_drawings_of_a_material_without_some_laws_come_with_the_reasons(fits: Fits) -> None:
    few = replace(fits, laws=fits.laws[:1], scores=fits.scores[:1])
    with house_style():
        found = {each.name: each for each in sketches_of("cascades", Material(fits=few))}
    assert found["figure08_population_full_logistic"].figure is not None
    assert found["observed_cascades"].figure is not None
    assert "add it to `laws`" in str(found["cavity_curves"].unavailable)
    assert "add it to `laws`" in str(found["figure06_growth"].unavailable)
