"""A news source of a plug-in: what it says of itself and what it makes of a row are held to the contract."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import InputError, PluginError
from agentnet.news import NewsItem, load_news
from agentnet.news.item import NEWS_SOURCES
from agentnet.news.source import item_of, news_source
from agentnet.plugins import PluginKind, is_of

FACTS: dict[str, Any] = {"columns": {"id": "Guid", "text": "headline"}, "recognised_by": ("Guid", "Headline")}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    (file := tmp_path / "news.csv").write_text(
        "guid,headline\nw1,Rain is coming.\nw2,The bridge is closed.\n"
    )
    yield file
    NEWS_SOURCES._defined.pop("wire", None)


def test_columns_are_found_as_they_are_written_in_the_file(path: Path) -> None:
    news_source("wire", **FACTS)(item_of)
    found = load_news(path)
    assert (found.kind, [item.source for item in found.items]) == ("wire", ["wire", "wire"])


@pytest.mark.parametrize(
    "made",
    [lambda _: None, lambda cells: [item_of(cells)], lambda _: NewsItem("a", "b", source="acled")],
)
def test_what_is_no_item_of_the_source_is_refused_with_its_row(path: Path, made: Callable[..., Any]) -> None:
    news_source("wire", **FACTS)(made)
    with pytest.raises(PluginError, match=r"'wire' gives .* of row 2; it gives a NewsItem of its own"):
        load_news(path)


def test_a_source_may_have_items_of_another_that_it_names(path: Path) -> None:
    news_source("wire", **FACTS, also=("acled",))(lambda cells: item_of(cells, source="acled"))
    assert [item.source for item in load_news(path).items] == ["acled", "acled"]


@pytest.mark.parametrize(
    ("field", "value", "column"),
    [
        ("id", 3, "guid"),
        ("text", b"a", "headline"),
        ("place", None, "place"),
        ("place", "\ud800", "place"),
        ("date", "2024-01-01", "date"),
        ("date", dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "date"),
        ("severity", True, "severity"),
    ],
)
def test_an_item_that_is_none_names_file_row_and_field(
    path: Path, field: str, value: object, column: str
) -> None:
    news_source("wire", **FACTS)(lambda _: NewsItem(**{"id": "a", "text": "b", field: value}))  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=rf"news.csv, row 2, field '{column}': news item .*(use|mend)"
    ) as caught:
        load_news(path)
    assert (caught.value.path, caught.value.row, caught.value.field) == (path, 2, column)


def test_a_source_that_depends_on_chance_is_refused(path: Path) -> None:
    news_source("wire", **FACTS)(lambda cells: item_of(cells, place=str(random.random())))
    with pytest.raises(PluginError, match=r"'wire' makes another item of row 2 each time.*on no chance"):
        load_news(path)


@pytest.mark.parametrize(
    ("fact", "value", "why"),
    [
        ("recognised_by", "guid", r"recognised_by = 'guid'; it is tuple\[str, ...\]"),
        ("restricted", "no", "restricted = 'no'; it is bool"),
        ("licence", None, "licence = None; it is str"),
        ("columns", ["guid"], r"columns = \['guid'\]; it is .*Mapping\[str, str\]"),
        ("required", ("id", "foo"), "requires 'foo', which it reads from no column; it reads id, text"),
        ("fetch", 3, "fetch = 3"),
    ],
)
def test_a_fact_of_another_kind_is_refused(fact: str, value: object, why: str) -> None:
    with pytest.raises(PluginError, match=f"news source 'wire' (has )?{why}"):
        news_source("wire", **{**FACTS, fact: value})(item_of)


@pytest.mark.parametrize(("fact", "gives"), [("remarks", "hello"), ("remarks", None), ("unknown", [(1, 2)])])
def test_a_fact_that_is_a_function_gives_texts(path: Path, fact: str, gives: object) -> None:
    news_source("wire", **FACTS, **{fact: lambda _: gives})(item_of)
    with pytest.raises(PluginError, match=f"{fact} of news source 'wire' gives"):
        load_news(path)


@pytest.mark.parametrize("name", ["", " a", "a\n", "\ud800", None])
def test_a_plug_in_without_a_visible_name_is_refused(name: Any) -> None:
    with pytest.raises(PluginError, match="give it a name of visible characters"):
        PluginKind("knot", "nowhere", "nowhere").register(name, object())


@pytest.mark.parametrize(
    ("hint", "yes", "no"),
    [
        (float, 1, "1"),
        (float, np.float32(1.0), True),
        (int, np.int64(1), np.float64(1.0)),
        (str | None, None, 1),
        (Sequence[tuple[str, ...]], [("a",)], ["a"]),
        (Callable[[int], int], abs, 3),
        (dict, {}, []),
        (str, "\u00fc", "\ud800"),
    ],
)
def test_a_value_is_what_its_annotation_says(hint: object, yes: object, no: object) -> None:
    assert is_of(hint, yes)
    assert not is_of(hint, no)
