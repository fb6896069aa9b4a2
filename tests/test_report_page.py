"""The page is well formed and self-contained, says what the runs say, and why where something is missing.

A long file, for its tests share one report with figures, which takes longer to make than all the rest.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agentnet import CascadeExperiment, ResponseRatioExperiment
from agentnet.analysis.decisions import read_ratios
from agentnet.analysis.fits import fit_run
from agentnet.analysis.groups import group_profiles
from agentnet.analysis.reading import read_tables
from agentnet.analysis.severity import cluster_severity
from agentnet.backend import Reply, Request, make_backend
from agentnet.errors import DesignError, RunFolderError, UserError
from agentnet.events import Run
from agentnet.news import NewsItem, sample_news, severity_of
from agentnet.report import Options, Report, make_report, paper
from agentnet.report.cascade_tables import rates_table
from agentnet.report.drawings import Drawing, with_prefix
from agentnet.report.html import shown
from agentnet.report.write import files_of
from agentnet.testing import ScriptedBackend

DESIGN: dict[str, Any] = {"n_agents": 32, "degree": 4, "steps": 6, "repeats": 2, "items_per_severity": 2}
QUICK: dict[str, Any] = {"n_runs": 4, "n_bootstrap": 4, "figures": False}
FEW: dict[str, Any] = QUICK | {"laws": ("main_effects",), "n_runs": 2, "n_bootstrap": 0}
BOTH = {"laws": ("main_effects", "one_rate")}
"""A law of decisions and one of curves."""
MADE_AT = 1.8e9

EVIL = (
    "<script>alert(1)</script>\"onload='x' ]]> --> </style></svg>&lt;b> "
    "\u202edcba\u2066 \x07\x1b \ufeff\U000e0041"
)
VOID = {"meta", "input", "br", "hr", "col"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "div", "span"),
    *("footer", "script", "select", "option", "button", "output", "canvas", "i"),
    *("h1", "h2", "h3", "h4", "p", "ul", "li", "a", "b", "abbr", "time", "pre", "details", "summary"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption"),
    *("fieldset", "legend", "label", "input"),
}
SVG_TAGS = {
    *("svg", "title", "desc", "g", "path", "use", "defs", "clippath", "rect", "pattern", "image"),
    *("lineargradient", "stop", "circle"),
}


class Page(HTMLParser):
    """A page as a parser reads it: its elements, what they hold, and whether every end tag has its start."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.pieces: list[str] = []
        self.spans: dict[str, list[tuple[int, int]]] = {}
        self.open: list[str] = []
        self.begun: list[int] = []
        self.feed(page)
        self.close()
        assert not self.open, f"left open: {self.open}"
        self.text = "".join(self.pieces)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        assert len(dict(attrs)) == len(attrs), f"an attribute stands twice in {tag}"
        if tag not in VOID:
            self.open.append(tag)
            self.begun.append(len(self.pieces))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> ends nothing"
        assert self.open.pop() == tag, f"</{tag}> ends something else"
        self.spans.setdefault(tag, []).append((self.begun.pop(), len(self.pieces)))

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    def texts(self, tag: str) -> list[str]:
        """List what elements of one kind hold."""
        return ["".join(self.pieces[begin:end]) for begin, end in self.spans.get(tag, [])]

    def with_attribute(self, name: str) -> list[str]:
        """List the values of an attribute, in order."""
        return [
            value or ""
            for _, attributes, _ in self.elements
            for key, value in attributes.items()
            if key == name
        ]

    def attribute_of(self, tag: str, name: str) -> list[str | None]:
        """List the values of an attribute of one kind of element."""
        return [attributes.get(name) for each, attributes, _ in self.elements if each == tag]


def page_of(report: Report) -> Page:
    files, _ = files_of(report, made_at=MADE_AT)
    return Page(files["report.html"].decode())


def table_of(files: dict[str, bytes], name: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(files[f"tables/{name}.csv"]), dtype={"profile": str, "number": str})


@pytest.fixture(scope="module")
def cascades(play: Callable[..., Run]) -> Run:
    """Eight cascades on four news items, with missing answers."""
    backend = make_backend("mock", {"invalid_rate": 0.05, "refusal_rate": 0.02})
    return play(CascadeExperiment(**DESIGN), backend=backend, seed=2, max_asks=2)


@pytest.fixture(scope="module")
def ratios(play: Callable[..., Run]) -> Run:
    """The response ratios of four news items."""
    return play(ResponseRatioExperiment(items_per_severity=2, repeats=4), seed=2)


@pytest.fixture(scope="module")
def report(cascades: Run, ratios: Run) -> Report:
    """The report of both, with figures."""
    return make_report([cascades, ratios], Options(**QUICK | {"figures": True, "n_groups": 2}))


@pytest.fixture(scope="module")
def files(report: Report) -> dict[str, bytes]:
    return files_of(report, made_at=MADE_AT)[0]


@pytest.fixture(scope="module")
def text(files: dict[str, bytes]) -> str:
    return files["report.html"].decode()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.fixture(scope="module")
def results(files: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files["results.json"])
    return found


# The page as such.


def test_the_page_is_well_formed_with_one_heading_at_the_top_and_none_left_out(page: Page) -> None:
    headings = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert headings.count(1) == 1
    assert headings[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(headings))
    assert page.attribute_of("html", "lang") == ["en"]
    assert {tag for tag, _, parents in page.elements if "svg" not in parents} <= TAGS | {"svg"}
    assert {tag for tag, _, parents in page.elements if "svg" in parents} <= SVG_TAGS


def test_ids_are_unique_and_every_reference_has_one(page: Page, files: dict[str, bytes]) -> None:
    ids = page.with_attribute("id")
    assert [each for each, count in Counter(ids).items() if count > 1] == []
    references = [each or "" for each in page.attribute_of("a", "href")]
    assert {each[1:] for each in references if each.startswith("#")} <= set(ids)
    assert {each for each in references if not each.startswith("#")} <= files.keys()
    assert {each[1:] for each in page.attribute_of("use", "href") if each} <= set(ids)
    for name in ("data-search", "data-found", "data-player"):
        assert page.with_attribute(name)
        assert set(page.with_attribute(name)) <= set(ids)
    for names in page.with_attribute("aria-labelledby"):
        assert set(names.split()) <= set(ids)


def test_nothing_is_loaded_and_nothing_is_run_but_the_script_in_it(
    text: str, page: Page, files: dict[str, bytes]
) -> None:
    assert not {"link", "iframe", "img", "object", "embed", "form", "base"} & {e[0] for e in page.elements}
    scripts = [attributes for tag, attributes, _ in page.elements if tag == "script"]
    assert scripts[-1] == {}
    assert all(each.keys() == {"type", "id"} and each["type"] == "application/json" for each in scripts[:-1])
    for name in ("src", "action", "data", "poster", "srcset"):
        assert page.with_attribute(name) == []
    # What a link leads to is loaded when somebody follows it, and stands beside the page.
    links = {value for value in page.attribute_of("a", "href") if value and not value.startswith("#")}
    assert links <= files.keys()
    loaded = [value for tag in ("use", "image") for value in page.attribute_of(tag, "href")]
    assert all((value or "").startswith(("#", "data:image/png;base64,")) for value in loaded)
    assert len(page.with_attribute("href")) == len(page.attribute_of("a", "href")) + len(loaded)
    assert [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")] == []
    assert page.with_attribute("style") == []
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)
    assert re.findall(r"https?://[^\"<\s]+", text.replace("http://www.w3.org/2000/svg", "")) == []


def test_the_policy_forbids_everything_but_the_style_sheet_and_the_script_by_their_hashes(text: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].replace("&#39;", "'").split(";"))
    assert rules["default-src"] == "'none'"
    for name in ("style", "script"):
        ours = re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
        assert ours is not None
        digest = base64.b64encode(hashlib.sha256(ours[1].encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"
    assert rules.keys() == {"default-src", "style-src", "script-src", "img-src", "base-uri", "form-action"}


def test_tables_have_captions_and_headings_that_say_what_they_head(page: Page) -> None:
    n_tables = len(page.attribute_of("table", "id"))
    assert n_tables == len(page.texts("caption")) > 20
    assert set(page.attribute_of("th", "scope")) == {"row", "col"}
    assert all(page.texts("caption"))


def test_every_figure_has_an_image_with_a_name_and_words(page: Page) -> None:
    images = [each for tag, each, parents in page.elements if tag == "svg" and "figure" in parents]
    assert len(images) == len(page.attribute_of("figure", "id")) >= 14
    assert {each["role"] for each in images} == {"img"}
    assert all(each["aria-labelledby"] for each in images)
    assert all(len(words) > 100 for words in page.texts("figcaption"))


def test_small_copies_refer_to_the_images_and_are_left_out_by_screen_readers(page: Page) -> None:
    copies = [each for tag, each, _ in page.elements if tag == "svg" and each.get("class") == "small"]
    assert {each["aria-hidden"] for each in copies} == {"true"}
    images = {
        f"#{each['id']}" for tag, each, parents in page.elements if tag == "svg" and "figure" in parents
    }
    shown = [each for each in page.attribute_of("use", "href") if each in images]
    assert len(copies) == len(shown) == len(images) + 3
    assert set(shown) == images


def test_a_figure_that_cannot_be_drawn_says_why_where_it_would_stand(page: Page) -> None:
    place = page.text.index("Figure 2. ")
    assert "Not available: The news items were not put in clusters" in page.text[place : place + 300]


def test_images_of_several_runs_keep_their_ids_apart(files: dict[str, bytes]) -> None:
    svg = files["figures/figure08_population_full_logistic.svg"].decode()
    other = Page(with_prefix(svg, "second-"))
    ids, first = set(other.with_attribute("id")), set(Page(svg).with_attribute("id"))
    assert ids == {f"second-{each}" for each in first}
    for name in ("href", "clip-path", "aria-labelledby"):
        for value in other.with_attribute(name):
            references = re.findall(r"[\w-]*second-[\w.-]+", value)
            assert references
            assert set(references) <= ids
    assert with_prefix(svg, "") == svg


# Files beside it.


def test_the_manifest_lists_every_file_and_the_page_names_its_tables(
    files: dict[str, bytes], text: str, results: dict[str, Any]
) -> None:
    assert sorted(files) == results["files"]
    images = [name for name in files if name.startswith("figures/")]
    assert {name[-4:] for name in images} == {".svg", ".png"}
    assert len([name for name in images if name.endswith(".png")]) * 2 == len(images)
    named = set(re.findall(r"tables/\w+\.csv", text))
    only_csv = {"curves", "transmission_probabilities", "decisions", "response_ratios_by_item"}
    unnamed = {name for name in files if name.startswith("tables/")} - named
    assert {name.split("_", 1)[1].removesuffix(".csv") for name in unnamed} == only_csv


def test_results_are_json_without_nan_and_of_a_known_schema(files: dict[str, bytes]) -> None:
    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    results = json.loads(files["results.json"], parse_constant=refuse)
    assert (results["format"], results["schema_version"]) == ("agentnet report", 2)
    assert [part["kind"] for part in results["parts"]] == ["cascades", "response ratios"]
    drawn = [each for part in results["parts"] for each in part["figures"]]
    facts = {"name", "number", "title", "caption", "in_words", "unavailable"}
    assert {key for each in drawn for key in each} == facts
    assert len(drawn) == len({each["name"] for each in drawn}) > 14
    assert all(each["in_words"] or each["unavailable"] for each in drawn)


def test_the_same_runs_and_seed_give_the_same_bytes_but_for_the_date(cascades: Run, ratios: Run) -> None:
    few = Options(**FEW | BOTH | {"n_bootstrap": 3})
    first, again = (
        files_of(make_report([cascades, ratios], few), made_at=MADE_AT + later)[0] for later in (0, 86_400)
    )
    assert again.keys() == first.keys()
    assert again != first
    for name, content in again.items():
        assert re.sub(rb"2027-01-1\d", b"", content) == re.sub(rb"2027-01-1\d", b"", first[name])


def test_another_seed_gives_other_intervals(files: dict[str, bytes], cascades: Run) -> None:
    few = Options(**FEW | {"laws": ["one_rate"], "n_bootstrap": 4}, seed=9)
    other, _ = files_of(make_report([cascades], few), made_at=MADE_AT)
    one, two = (
        table_of(other, "table2_transmission_rates"),
        table_of(files, "cascades_table2_transmission_rates"),
    )
    two = two[two.law == "one-rate mean field"].reset_index(drop=True)
    assert (one.estimate == two.estimate).all()
    assert (one.interval_low != two.interval_low).all()


# What it says.


def test_table_1_is_the_main_effects_law_beside_the_published_one(
    files: dict[str, bytes], report: Report
) -> None:
    table = table_of(files, "cascades_table1_main_effects").set_index("parameter")
    assert list(table.index) == list(paper.TABLE_1)
    fits = report.parts[0].fits  # type: ignore[union-attr]
    assert fits is not None
    for name, row in table.iterrows():
        known = fits.law("main_effects").parameter(str(name))
        assert row.estimate == pytest.approx(known.estimate)
        assert (row.interval_low, row.interval_high) == pytest.approx(known.interval)
        assert row.error_by_realization == pytest.approx(known.error_by_realization)
        assert row.published_estimate == paper.TABLE_1[str(name)].estimate
    assert table.published_error["extraversion"] == pytest.approx(0.606, abs=5e-4)


def test_table_2_sets_published_rates_beside_two_groups_only(
    files: dict[str, bytes], report: Report, cascades: Run
) -> None:
    table = table_of(files, "cascades_table2_transmission_rates").set_index(["law", "parameter"])
    assert table.published["2-rate mean field"].dropna().to_dict() == paper.TABLE_2
    assert table.published["one-rate mean field"].isna().all()
    three = {f"{profile:05b}": 1 + profile % 3 for profile in range(32)}
    other = make_report([cascades], Options(**FEW | {"laws": ["group_rates"]}, groups=three))
    made, _ = files_of(other, made_at=MADE_AT)
    assert "published" not in table_of(made, "table2_transmission_rates").columns
    assert "here there are 3: nothing is set beside them" in made["report.html"].decode()


def test_rates_against_the_order_of_the_groups_are_remarked_upon(report: Report) -> None:
    fits = report.parts[0].fits  # type: ignore[union-attr]
    assert fits is not None
    law = fits.law("group_rates")
    said = set()
    for parameters in (law.parameters, law.parameters[::-1]):
        turned = replace(law, parameters=tuple(parameters))
        table = rates_table(replace(fits, laws=(turned,)))
        assert table is not None
        said.add(any("not in the order of how often the groups say yes" in note for note in table.notes))
    assert said == {True, False}


def test_laws_are_ranked_with_the_noise_floor_and_the_mark_to_beat(
    files: dict[str, bytes], report: Report
) -> None:
    table = table_of(files, "cascades_laws")
    fits = report.parts[0].fits  # type: ignore[union-attr]
    assert fits is not None
    assert list(table.law[:-1]) == [score.title for score in fits.scores]
    assert table.held_out_rmse.iloc[-1] == pytest.approx(fits.trials.baseline_rmse)
    assert (table.floor_95[:-1] > table.floor_mean[:-1]).all()


def test_groups_come_from_the_response_ratios_that_go_with_the_cascades(report: Report, ratios: Run) -> None:
    part = report.parts[0]
    found = group_profiles(read_ratios(ratios).yes_ratio, n_groups=2)
    np.testing.assert_array_equal(part.fits.grouping.group + 1, found.group)  # type: ignore[union-attr]
    assert part.groups_from == (  # type: ignore[attr-defined]
        f"made by the widest cuts between the response ratios of {ratios.folder.name}; how many there are "
        "was the author's choice (--n-groups)"
    )


def test_missing_answers_are_counted_by_reason_and_bound_what_they_could_change(
    files: dict[str, bytes], cascades: Run
) -> None:
    logged = cascades.query(
        "SELECT missing AS reason, COUNT(*) AS n FROM events "
        "WHERE kind = 'exposure' AND missing IS NOT NULL GROUP BY 1"
    )
    table = table_of(files, "cascades_missing_answers")
    exposures = table[table.kind == "exposures"]
    assert dict(zip(exposures.reason, exposures.n, strict=True)) == dict(
        zip(logged.reason, logged.n, strict=True)
    )
    bounds = table_of(files, "cascades_bounds_for_missing_answers")
    assert (bounds.tried_interval_low <= bounds.tried_interval_high).all()
    assert len(table_of(files, "cascades_troubles")) > 0


def test_response_ratios_are_those_of_the_log(files: dict[str, bytes], ratios: Run) -> None:
    table = table_of(files, "ratios_response_ratios").set_index("profile")
    logged = ratios.frame("decisions").groupby(["profile", "severity"]).decision.mean().unstack()
    np.testing.assert_allclose(table.peaceful_ratio, logged[0])
    np.testing.assert_allclose(table.severe_ratio, logged[1])
    assert len(table_of(files, "ratios_response_ratios_by_item")) == 4 * 32


def test_the_summary_gives_numbers_with_their_intervals(results: dict[str, Any], cascades: Run) -> None:
    text = results["parts"][0]["summary"]
    last = read_tables(cascades).engaged_fraction[:, -1]
    assert f"{100 * last.mean():.3g}% of all agents are engaged" in text
    assert re.search(r"95% interval of the mean 0\.\d+ to [01]\.\d+", text)
    assert re.search(r"tau_1 = [\d.e-]+ \([\d.e-]+ to [\d.e-]+\)", text)


def test_design_prompts_versions_costs_and_digest_stand_in_the_page(cascades: Run, page: Page) -> None:
    meta = cascades.meta
    pre = page.texts("pre")
    for text in meta["prompts"][0].values():
        assert text in pre
    for value in (meta["prompts_hash"][0], cascades.digest(), meta["versions"]["numpy"], "mock-main_effects"):
        assert value in page.text
    n_calls = json.loads(cascades.query("SELECT detail FROM incidents WHERE kind = 'spent'").detail[0])[
        "calls"
    ]
    assert f"{n_calls:,}" in page.text


def test_a_sent_prompt_of_each_kind_stands_word_for_word(page: Page, cascades: Run) -> None:
    messages = cascades.query(
        "SELECT messages FROM prompts WHERE kind = 'exposure' ORDER BY prompt"
    ).messages[0]
    for _, content in json.loads(messages):
        assert content in page.texts("pre")


def test_decisions_can_be_browsed_and_filtered_without_a_script(page: Page) -> None:
    rows = Counter(page.attribute_of("tr", "data-answer"))
    assert min(rows[answer] for answer in ("yes", "no", "missing")) > 10
    values = [str(e["value"]) for tag, e, _ in page.elements if tag == "input" and e["type"] == "radio"]
    style = page.texts("style")[0]
    for value in set(values) - {"only-all"}:
        assert f'input[value="{value}"]:checked' in style
    buttons = [each for tag, each, _ in page.elements if tag == "input" and each["type"] == "radio"]
    pressed = Counter(each["name"] for each in buttons if "checked" in each)
    assert pressed == Counter(dict.fromkeys((each["name"] for each in buttons), 1))
    assert len(pressed) == 4


def test_checklists_say_what_is_left_to_the_author(files: dict[str, bytes]) -> None:
    guide, odd = table_of(files, "cascades_guide_llm"), table_of(files, "cascades_odd")
    core = [
        *("A.1", "A.2"),
        *(f"B.{n}" for n in range(1, 6)),
        "C.1",
        "C.2",
        "D.1",
        "E.1",
        "E.2",
        "F.1",
        "G.1",
    ]
    assert list(guide.number[:14]) == core
    assert len(guide) == 14 + 8
    assert set(guide.by) == {"the run", "the run, in part", "the author"}
    assert guide.set_index("number").by["G.1"] == "the author"
    assert [each for each in odd.number if "." not in each] == list("123567")
    assert len(odd) == 7 - 1 + 11
    assert guide.answer.str.len().min() > 10


def test_the_methods_paragraph_is_of_this_run(results: dict[str, Any]) -> None:
    words = results["parts"][0]["methods"]
    for said in ("4 news items", "2 times", "32 agents with 4 neighbours", "6 steps", "unengaged_neighbour"):
        assert said in words
    assert "temperatures drawn uniformly from 0.7 to 1.3" in words
    assert "2 groups of profiles were made by the widest cuts between the response ratios" in words
    assert "Tukey's HSD test" not in words


# What is missing is said.


def test_without_response_ratios_it_is_said_where_they_would_stand(cascades: Run) -> None:
    report = make_report([cascades], Options(**FEW))
    text = page_of(report).text
    assert "Not available: no response-ratio run was given" in text
    assert "chosen from the exposures of this run itself" in text
    assert "tables/laws.csv" in text


def test_response_ratios_alone_make_a_report(ratios: Run) -> None:
    page = page_of(make_report([ratios], Options(**FEW)))
    assert page.texts("h2") == [f"Response ratios: {ratios.folder.name}"]
    assert "Tukey's HSD test makes" in page.text


def test_response_ratios_that_cannot_be_grouped_say_why(play: Callable[..., Run], cascades: Run) -> None:
    few = play(ResponseRatioExperiment(items_per_severity=1, repeats=1, rationale="none"), seed=1)
    one = make_report([few, cascades], Options(**FEW))
    alike = one.parts[1]
    assert alike.groups is not None or alike.why_no_groups  # type: ignore[union-attr]
    item = _items(1)

    class OneItem(ResponseRatioExperiment):
        def choose_news(self, seed: int) -> Sequence[NewsItem]:
            return item

    run = play(OneItem(repeats=1), seed=1)
    report = make_report([run, cascades], Options(**FEW))
    text = page_of(report).text
    assert "Profiles cannot be grouped" in text
    assert f"the response ratios of {run.folder.name} give none" in text


def _items(n: int) -> tuple[NewsItem, ...]:
    return tuple(NewsItem(f"N{i}", f"Something happened in place {i}.", severity=i % 2) for i in range(n))


def test_one_severity_and_one_realization_leave_gaps_that_are_named(play: Callable[..., Run]) -> None:
    class One(CascadeExperiment):
        def choose_news(self, seed: int) -> Sequence[NewsItem]:
            return _items(1)

    report = make_report([play(One(**DESIGN | {"repeats": 1}))], Options(**FEW))
    text = page_of(report).text
    assert (
        "A single realization says nothing about how realizations differ: curves have no intervals." in text
    )
    assert "All news items are peaceful: no weight can be given to severity." in text
    assert "There are too few realizations to hold some of them out" in text
    assert "interval of the mean" not in text


def test_unknown_severities_are_named(play: Callable[..., Run]) -> None:
    items = tuple(replace(item, severity=None) for item in _items(2))

    class Unknown(CascadeExperiment):
        def choose_news(self, seed: int) -> Sequence[NewsItem]:
            return items

    class UnknownRatios(ResponseRatioExperiment):
        def choose_news(self, seed: int) -> Sequence[NewsItem]:
            return items

    runs = [play(Unknown(**DESIGN)), play(UnknownRatios(repeats=2))]
    text = page_of(make_report(runs, Options(**FEW))).text
    assert "No news item has a severity" in text
    assert "of unknown severity: yes-ratio" in text
    assert "of unknown severity, " in text
    assert "The run used the severities" not in text
    assert "news item with a severity" not in text
    assert "by severity of the news" not in text


def test_severities_of_a_file_of_labels_are_told_as_such(
    play: Callable[..., Run], tmp_path: Path, cascades: Run
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "id,severity\n" + "".join(f"{each.id},{1 - each.severity}\n" for each in sample_news().items)
    )
    run = play(CascadeExperiment(**DESIGN, news_severity=labels))
    said = [
        re.findall(r"The run used the severities of.*", page_of(make_report([each], Options(**FEW))).text)
        for each in (run, cascades)
    ]
    assert said == [
        ["The run used the severities of the file of labels .../labels.csv."],
        ["The run used the severities of the news items themselves."],
    ]


def test_a_run_that_nobody_started_or_that_always_says_the_same_says_so(play: Callable[..., Run]) -> None:
    never = play(
        CascadeExperiment(**DESIGN), backend=ScriptedBackend(lambda _: '{"share": false, "reason": "No."}')
    )
    text = page_of(make_report([never], Options(**FEW))).text
    assert "No result can be given" in text
    assert "nobody said yes" in text
    always = play(
        CascadeExperiment(**DESIGN), backend=ScriptedBackend(lambda _: '{"share": true, "reason": "Yes."}')
    )
    text = page_of(make_report([always], Options(**FEW | BOTH))).text
    assert re.search(r"Not available: main-effects logistic: all \d+ decisions are yes", text)
    assert "tables/decisions_by_profile.csv" in text
    report = make_report([always], Options(**FEW | {"laws": ["main_effects"]}))
    files, results = files_of(report, made_at=MADE_AT)
    assert results["parts"][0]["fits"] is None
    assert "No law was fitted: no law can be fitted to" in results["parts"][0]["summary"]
    curve = table_of(files, "curves").query("view == 'population'")
    np.testing.assert_allclose(curve["mean"], read_tables(always).engaged_fraction.mean(axis=0))
    assert "tables/decisions_by_profile.csv" in files


def test_a_run_without_any_decision_makes_a_report(new_run: Callable[..., Any], ratios: Run) -> None:
    empty = Run(new_run(CascadeExperiment(**DESIGN)).folder)
    report = make_report([empty, ratios], Options(**FEW))
    text = page_of(report).text
    assert "which is still played or was stopped" in text
    assert "has no finished realization yet" in text
    assert "Not available: there is no decision yet" in text
    assert "Not available: no model answered yet" in text
    assert "it has not noted" in text or "has not noted what it spent" in text


def test_response_ratios_without_any_decision_are_refused(new_run: Callable[..., Any], cascades: Run) -> None:
    empty = Run(new_run(ResponseRatioExperiment(repeats=1)).folder)
    with pytest.raises(UserError, match="has no response ratio yet"):
        make_report([cascades, empty], Options(**FEW))


def test_an_unknown_price_is_said_to_be_unknown(play: Callable[..., Run]) -> None:
    asked = ScriptedBackend(lambda request: '{"share": true, "reason": "Why not."}', model_name="unpriced-1")
    text = page_of(make_report([play(CascadeExperiment(**DESIGN), backend=asked)], Options(**FEW))).text
    assert "at an unknown price" in text
    assert "state it by the setting stack.prices" in text


def test_conditions_have_a_part_each_and_run_wide_tables_stand_once(play: Callable[..., Run]) -> None:
    design = CascadeExperiment(**DESIGN | {"repeats": 1})
    run = play(design, CascadeExperiment(**DESIGN | {"repeats": 1, "degree": 6}))
    files, results = files_of(make_report([run], Options(**FEW)), made_at=MADE_AT)
    conditions, *parts = Page(files["report.html"].decode()).texts("h2")
    assert conditions == "Conditions of run"
    assert parts == [f"Cascades: run, condition {n}: degree {degree}" for n, degree in enumerate((4, 6))]
    assert "tables/cascades1_costs.csv" in files
    assert "tables/cascades2_costs.csv" not in files
    assert [part["condition"] for part in results["parts"]] == [0, 1]
    assert "4 neighbours each" in results["parts"][0]["summary"]
    assert "6 neighbours each" in results["parts"][1]["summary"]


# Which runs go together.


def test_ratios_of_another_model_or_other_prompts_are_noted(play: Callable[..., Run], cascades: Run) -> None:
    other = play(ResponseRatioExperiment(items_per_severity=1, repeats=2), backend=make_backend("mock", {}))
    meta = {**other.meta, "model_name": "another", "prompts_hash": ["0"]}
    with closing(sqlite3.connect(other.path)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        for key in ("model_name", "prompts_hash"):
            connection.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(meta[key]), key))
    text = page_of(make_report([cascades, other], Options(**FEW))).text
    assert "The response ratios are those of another model: another, not" in text
    assert "asked for with other prompt templates than the cascades" in text


def test_two_response_ratio_runs_of_one_model_are_one_too_many(
    cascades: Run, ratios: Run, tmp_path: Path
) -> None:
    copy = Run(Path(shutil.copytree(ratios.folder, tmp_path / "copy")))
    with pytest.raises(
        UserError, match=r"unclear which response ratios go with the cascades.*are all of that model"
    ):
        make_report([cascades, ratios, copy], Options(**FEW))
    assert len(make_report([ratios, ratios], Options(**FEW)).parts) == 1


def relabelled(run: Run, folder: Path, **meta: object) -> Run:
    """Copy a run and change its table meta."""
    copy = Run(Path(shutil.copytree(run.folder, folder)))
    with closing(sqlite3.connect(copy.path)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        for key, value in meta.items():
            connection.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(value), key))
    return copy


def test_each_model_has_its_own_response_ratios(cascades: Run, ratios: Run, tmp_path: Path) -> None:
    other = relabelled(ratios, tmp_path / "other", model_name="other-1")
    report = make_report([cascades, other, ratios], Options(**FEW))
    assert report.parts[0].ratio is report.parts[2]  # type: ignore[union-attr]
    assert report.parts[0].notes == ()
    compared, *titles = page_of(report).texts("h2")
    assert compared == "Conditions of other and run"
    assert titles == [
        f"{kind}: {run.folder.name}"
        for kind, run in (("Cascades", cascades), ("Response ratios", other), ("Response ratios", ratios))
    ]
    third = relabelled(cascades, tmp_path / "third", model_name="third-1")
    with pytest.raises(UserError, match=r"third-1.*are of other models"):
        make_report([third, other, ratios], Options(**FEW))


def test_figures_of_several_runs_keep_apart_in_page_and_folder(
    report: Report, cascades: Run, tmp_path: Path
) -> None:
    other = relabelled(cascades, tmp_path / "other")
    both = make_report([cascades, other], Options(**FEW | {"laws": ["one_rate"]}))
    files, _ = files_of(replace(both, drawings=report.drawings[:1] * 2), made_at=MADE_AT)
    page = Page(files["report.html"].decode())
    assert [each for each, count in Counter(page.with_attribute("id")).items() if count > 1] == []
    assert {"tables/cascades1_costs.csv", "tables/cascades2_costs.csv"} <= files.keys()
    images = [name for name in files if name.endswith(".svg")]
    assert {name.split("/")[1].split("_")[0] for name in images} == {"cascades1", "cascades2"}


@pytest.mark.parametrize(
    ("mode", "said"), [("choices", "several draws were taken from one request"), ("logprobs", "log-prob")]
)
def test_methods_say_how_decisions_were_drawn(ratios: Run, tmp_path: Path, mode: str, said: str) -> None:
    settings = ratios.meta["settings"] | {"sampler": {"mode": mode}}
    report = make_report([relabelled(ratios, tmp_path / "run", settings=settings)], Options(**FEW))
    methods = files_of(report, made_at=MADE_AT)[1]["parts"][0]["methods"]
    assert f"Sampler mode {mode}: " in methods
    assert said in methods
    assert "listed tokens hold" not in methods


def test_methods_say_how_much_mass_was_behind_the_probabilities(ratios: Run, tmp_path: Path) -> None:
    settings = ratios.meta["settings"] | {"sampler": {"mode": "logprobs"}}
    copy = relabelled(ratios, tmp_path / "run", settings=settings)
    with closing(sqlite3.connect(copy.path)) as connection, connection:
        connection.execute("UPDATE events SET mass = CASE WHEN agent % 2 THEN 0.94 ELSE 0.98 END")
        # What is missing was drawn from nothing.
        connection.execute(
            "UPDATE events SET mass = 0.1, missing = 'low_mass', decision = NULL WHERE agent = 3"
        )
    methods = files_of(make_report([copy], Options(**FEW)), made_at=MADE_AT)[1]["parts"][0]["methods"]
    assert "whose listed tokens hold 0.961 of the probability on average, 0.940 at least" in methods


def test_a_damaged_log_is_no_gap_in_a_report(cascades: Run, tmp_path: Path) -> None:
    copy = relabelled(cascades, tmp_path / "copy")
    with closing(sqlite3.connect(copy.path)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.execute("UPDATE steps SET n_engaged = n_engaged + 1")
    with pytest.raises(RunFolderError, match="disagree"):
        make_report([copy], Options(**FEW))


def test_no_run_makes_no_report() -> None:
    with pytest.raises(UserError, match="at least one run"):
        make_report([])


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_runs": 0},
        {"n_bootstrap": -1},
        {"n_decisions": -1},
        {"level": 1.0},
        {"n_groups": 33},
        {"groups": {}},
    ],
)
def test_impossible_options_are_refused_before_anything_is_read(cascades: Run, wrong: dict[str, Any]) -> None:
    said: list[str] = []
    with pytest.raises(DesignError):
        make_report([cascades], Options(**wrong), progress=said.append)
    assert said == []


# Texts of others.


class Hostile(CascadeExperiment):
    """News items whose names and texts are markup and worse."""

    def choose_news(self, seed: int) -> Sequence[NewsItem]:
        return tuple(
            NewsItem(
                f"{EVIL} {i}", f"{EVIL} text {i}", place=EVIL, severity=i, sub_event_type=EVIL, licence=EVIL
            )
            for i in (0, 1)
        )


def hostile_answer(request: Request) -> Reply:
    profile = str(request.metadata["profile"])
    shares = int(profile, 2) % 3 != 0
    text = EVIL if profile == "00001" else json.dumps({"share": shares, "reason": f"{EVIL} said {profile}"})
    return Reply((text,) * request.n, model=EVIL, fingerprint=EVIL)


@pytest.fixture(scope="module")
def hostile(play: Callable[..., Run]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a report on such texts, and its results."""
    backend = ScriptedBackend(hostile_answer, name="scripted", model_name=EVIL)
    run = play(Hostile(**DESIGN), backend=backend, max_asks=1)
    with closing(sqlite3.connect(run.path)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.execute("UPDATE meta SET value = ? WHERE key = 'model_name'", (json.dumps(EVIL),))
        connection.execute("UPDATE meta SET value = ? WHERE key = 'backend'", (json.dumps(EVIL),))
    report = make_report([run], Options(**FEW | {"figures": True, "laws": ["one_rate"]}))
    return files_of(report, made_at=MADE_AT)


def test_markup_in_replies_news_and_model_names_makes_no_element_and_no_attribute(
    hostile: tuple[dict[str, bytes], Any],
) -> None:
    page = Page(hostile[0]["report.html"].decode())
    assert {tag for tag, _, parents in page.elements if "svg" not in parents} <= TAGS | {"svg"}
    assert {tag for tag, _, parents in page.elements if "svg" in parents} <= SVG_TAGS
    names = {name for _, attributes, _ in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert {"style", "src"} & names == set()
    assert page.attribute_of("script", "src") == [None, None]
    assert page.text.count(shown(EVIL)) > 100


def test_no_character_that_cannot_be_seen_reaches_the_page(hostile: tuple[dict[str, bytes], Any]) -> None:
    page = hostile[0]["report.html"].decode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\U000e0041]", page)
    assert "[U+202E]dcba[U+2066]" in page


def test_csv_and_json_hold_such_texts_exactly(hostile: tuple[dict[str, bytes], dict[str, Any]]) -> None:
    files, results = hostile
    rows = list(csv.DictReader(io.StringIO(files["tables/decisions.csv"].decode(), newline="")))
    assert any(row["rationale"].startswith(f"{EVIL} said") for row in rows)
    assert {row["news"] for row in rows} == {f"{EVIL} {i}" for i in (0, 1)}
    assert results["parts"][0]["log"]["models"][0]["model"] == EVIL
    assert json.loads(files["results.json"]) == results


def test_texts_of_acled_are_left_out_unless_wanted(play: Callable[..., Run]) -> None:
    secret = "A text that may not be passed on."

    class Acled(CascadeExperiment):
        def choose_news(self, seed: int) -> Sequence[NewsItem]:
            licence = "ACLED, www.acleddata.com"
            return tuple(
                NewsItem(f"PHL{i}", secret, severity=i, source="acled", licence=licence) for i in (0, 1)
            )

    run = play(Acled(**DESIGN))
    closed = files_of(make_report([run], Options(**FEW)), made_at=MADE_AT)[0]
    assert not any(secret.encode() in content for content in closed.values())
    page = closed["report.html"].decode()
    assert "Texts of ACLED are not shown" in page
    assert "Raleigh" in page
    assert "Licence of the news: ACLED, www.acleddata.com." in page
    opened = files_of(make_report([run], Options(**FEW, restricted_texts=True)), made_at=MADE_AT)[0]
    assert secret.encode() in opened["report.html"]


def test_absolute_paths_lose_their_folders(play: Callable[..., Run], tmp_path: Path) -> None:
    news = tmp_path / "my_posts.csv"
    news.write_text("id,text,severity\na,One thing.,0\nb,Another thing.,1\n")
    run = play(CascadeExperiment(**DESIGN | {"items_per_severity": 1}, news=str(news)))
    made = files_of(make_report([run], Options(**FEW)), made_at=MADE_AT)[0]
    assert [name for name, content in made.items() if str(tmp_path).encode() in content] == []
    assert b".../my_posts.csv" in made["report.html"]
    assert "source and licence are for the author to state" in made["report.html"].decode()


# Clusters of the news.


def test_clusters_of_the_news_stand_beside_the_severities_of_the_run(cascades: Run) -> None:
    items = [json.loads(text) for text in cascades.query("SELECT item FROM news ORDER BY news").item]
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(items), 3), scale=0.01) + np.array(
        [[each["severity"], 0, 0] for each in items]
    )
    labels = [[each[key] for key in ("disorder_type", "event_type", "sub_event_type")] for each in items]
    clusters = cluster_severity(vectors, [each["id"] for each in items], labels, severity_of, max_clusters=2)
    report = make_report([cascades], Options(**FEW, severity_clusters=clusters))
    files, results = files_of(report, made_at=MADE_AT)
    text = files["report.html"].decode()
    assert "4 of the 4 news items of this run are among the clustered ones" in text
    assert "the clusters give 0 of them another severity" in text
    assert list(table_of(files, "severity_clusters").n_items) == [2, 2]
    assert results["severity_clusters"]["n_clusters"] == 2


# A damaged log.


def test_a_damaged_log_is_named(cascades: Run, tmp_path: Path) -> None:
    copy = Run(Path(shutil.copytree(cascades.folder, tmp_path / "copy")))
    with closing(sqlite3.connect(copy.path)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.execute("DELETE FROM meta WHERE key = 'versions'")
    with pytest.raises(RunFolderError, match=r"damaged.*versions"):
        make_report([copy], Options(**FEW))


def test_a_drawing_without_an_image_is_a_line_of_text() -> None:
    none = Drawing("x", "", "A <title>", "", "", None, None, "because <b>")
    assert none.to_html("").replace("\n", "") == (
        '<div id="shown-x" class="figure"><h4>A &lt;title&gt;</h4>'
        '<p class="absent">Not available: because &lt;b&gt;</p></div>'
    )


def test_fits_in_the_results_are_those_of_fit_run(cascades: Run) -> None:
    groups = {f"{profile:05b}": 1 + profile // 16 for profile in range(32)}
    chosen: dict[str, Any] = {
        "laws": ["group_rates"],
        "groups": groups,
        "n_runs": 3,
        "n_bootstrap": 3,
        "seed": 8,
    }
    results = files_of(make_report([cascades], Options(**chosen, figures=False)), made_at=MADE_AT)[1]
    assert results["parts"][0]["fits"] == fit_run(read_tables(cascades), **chosen).as_json()
