"""Texts that a spreadsheet would execute are written with an apostrophe, and come back as they were."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentnet import CascadeExperiment
from agentnet.events import EventLog, Run
from agentnet.events.export import export_csv, export_parquet
from agentnet.formulas import guarded, guarded_column, unguarded
from agentnet.news import load_news
from agentnet.report.tables import Table

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text(
    "'=+-@ \t\r\n\u00a0\u200b\uff1d0.9e\x00x", max_size=6
)

DANGEROUS = [
    "=1+1",
    "=cmd|'/c calc'!A0",
    "+A1",
    "-2+3",
    "@SUM(A1:A9)",
    "\tx",
    "\rx",
    "\nx",
    "  =HYPERLINK(1)",
    "\u00a0=1",
    "\ufeff=1",
    " \t@x",
    "\uff1d1+1",
    "-",
    "--1",
    "-1 apple",
    "+1-800",
]
HARMLESS = [
    "",
    "yes",
    "-1",
    "+2.50",
    "-.5e-3",
    " -1",
    "a=b",
    "3-4",
    "'tis",
    "don't =1",
    "e@x.org",
    "01101",
    "{}",
]


@pytest.mark.parametrize("text", DANGEROUS)
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert guarded(text) == "'" + text
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", [text for text in HARMLESS if text != " -1"])
def test_numbers_and_other_texts_stay(text: str) -> None:
    assert guarded(text) == unguarded(text) == text


@given(text=texts)
@example(text="'=1")
@example(text="''\t")
@example(text="-1\n")
def test_no_guarded_text_begins_like_a_formula_and_each_comes_back(text: str) -> None:
    safe = guarded(text)
    assert unguarded(safe) == text
    assert guarded(safe) != safe or safe == text
    begins = safe.lstrip()[:1]
    if begins in "=+-@" and begins:
        float(safe)


@given(column=st.lists(st.none() | texts, max_size=6))
def test_columns_are_guarded_like_single_texts(column: list[str | None]) -> None:
    found = guarded_column(pa.array(column, "string"))
    assert found.to_pylist() == [None if text is None else guarded(text) for text in column]
    assert found.type == pa.string()


def test_columns_of_numbers_are_left_alone() -> None:
    numbers = pa.array([-1, None, 2], "int64")
    assert guarded_column(numbers) is numbers


def test_exports_hold_no_formula_and_parquet_files_what_was_said(
    new_log: Callable[..., Path], tmp_path: Path
) -> None:
    folder = new_log()
    said = [*DANGEROUS, *HARMLESS]

    async def play() -> None:
        async with EventLog(folder) as log:
            log.add("replies", [(number, text, text, "-m", None) for number, text in enumerate(said)])

    asyncio.run(play())
    export_csv(Run(folder), tmp_path / "csv")
    export_parquet(Run(folder), tmp_path / "parquet")
    with (tmp_path / "csv" / "replies.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [guarded(text) for text in said]
    assert [unguarded(row["rationale"]) for row in rows] == said
    assert {row["model"] for row in rows} == {"'-m"}
    assert pd.read_parquet(tmp_path / "parquet" / "replies.parquet")["text"].tolist() == said


def test_tables_of_reports_hold_no_formula() -> None:
    columns = {"name": "name", "value": "value", "interval": "interval"}
    table = Table("t", "T", columns, (("=1+1", -1.5, (-2.0, 1.0)), ("@x", None, None)), ())
    assert table.to_csv() == (
        '"name","value","interval_low","interval_high"\n"\'=1+1",-1.5,-2.0,1.0\n"\'@x","","",""\n'
    )


def test_news_of_an_export_are_read_as_they_were(play: Callable[..., Run], tmp_path: Path) -> None:
    said = ["=1+1 they shouted", "'=2", "'tis quiet", "-5", "@home"]
    path = tmp_path / "posts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["text"], *([text] for text in said)])
    design: dict[str, Any] = {"n_agents": 8, "degree": 3, "steps": 1, "repeats": 1, "items_per_severity": 0}
    run = play(CascadeExperiment(**design, news=path))
    export_csv(run, tmp_path / "csv")
    again = load_news(tmp_path / "csv" / "news.csv")
    assert [each.text for each in again.items] == said
    assert [each.text for each in load_news(path).items] == said, "other files are read as they are"
