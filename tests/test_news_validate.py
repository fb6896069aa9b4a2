"""The report on a news file, and the command that shows it."""

import datetime as dt
import json

import pytest
from click.testing import CliRunner

from agentnet.cli.news import column_map, news
from agentnet.errors import ConfigurationError, InputError
from agentnet.news import load_news, synthesize, validate_news
from agentnet.news.acled_server import ACLED_LICENCE, acled_writer

BAD = (
    "id,text,date,severity\na,One.,2021-01-02,0\nb,,2021-01-02,1\na,Three.,,1\nd,One.,2021-05-02,\ne,E.,x,\n"
)


@pytest.fixture
def export(tmp_path):
    path = tmp_path / "export.csv"
    rows = synthesize(40, 4, 0.25)
    rows[0] |= {"source": "A Paper"}
    rows[1] |= {"sub_event_type": "Duel", "inter1": "Duellists"}
    with acled_writer(path) as write:
        write(rows)
    return path


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(BAD)
    return path


def validate(*arguments):
    return CliRunner().invoke(news, ["validate", *map(str, arguments)])


def test_the_report_counts_what_the_loader_loads(export):
    report, loaded = validate_news(export), load_news(export)
    assert report.usable
    assert (report.kind, report.n_items, report.n_undated) == ("acled", 40, 0)
    assert sum(report.by_severity.values()) == sum(report.by_sub_event_type.values()) == 40
    assert report.by_severity["severe"] == sum(one.severity == 1 for one in loaded.items)
    assert report.by_severity["unknown"] == 1
    assert report.unknown == {"inter1": {"Duellists": 1}, "sub_event_type": {"Duel": 1}}
    assert list(report.by_event_type.values()) == sorted(report.by_event_type.values(), reverse=True)
    dates = [one.date for one in loaded.items]
    assert (report.first_date, report.last_date) == (min(dates), max(dates))
    lengths = sorted(len(one.text) for one in loaded.items)
    assert report.text_length == {"min": lengths[0], "median": sum(lengths[19:21]) / 2, "max": lengths[-1]}
    assert report.licences == loaded.licences == (ACLED_LICENCE,)
    assert report.warnings == loaded.warnings


def test_a_file_with_bad_rows_is_reported_whole(bad):
    report = validate_news(bad)
    assert not report.usable
    assert report.n_items == 2
    assert [problem.split(", ")[1] for problem in report.problems] == ["row 3", "row 4", "row 6"]
    assert report.duplicate_ids == ("a",)
    assert report.duplicate_texts == (("a", "d"),)
    assert report.by_severity == {"peaceful": 1, "severe": 0, "unknown": 1}
    assert (report.first_date, report.last_date) == (dt.date(2021, 1, 2), dt.date(2021, 5, 2))
    with pytest.raises(InputError, match="row 3"):
        load_news(bad)


def test_a_file_without_one_usable_row_is_still_reported(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text,date\na,,\n")
    report = validate_news(path)
    assert (report.n_items, report.first_date, report.text_length) == (0, None, {})
    result = validate(path)
    assert isinstance(result.exception, InputError)
    assert "text length" in result.stdout


def test_the_command_shows_counts_warnings_and_licence_as_tables(export):
    result = validate(export)
    assert result.exit_code == 0, result.exception
    for words in (
        "severe",
        "Peaceful protest",
        "not in the codebook: inter1",
        "Duellists",
        "usable",
        "licence:",
    ):
        assert words in result.stdout
    assert "problem: " not in result.stdout


def test_the_command_writes_the_report_as_json(export):
    result = validate(export, "--json")
    report, expected = json.loads(result.stdout), validate_news(export)
    assert result.exit_code == 0
    assert report["usable"] is True
    assert report["by_severity"] == expected.by_severity
    assert report["first_date"] == expected.first_date.isoformat()
    assert set(report) == {"usable", *expected.__dataclass_fields__}


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_unusable_file_is_shown_and_then_refused_with_the_first_problem(bad, options):
    result = validate(bad, *options)
    assert isinstance(result.exception, InputError)
    assert result.exception.exit_code == 2
    assert "; problems: 3, the first being: " in str(result.exception)
    assert "row 3, field 'text': is empty" in str(result.exception)
    assert "row 6" in " ".join(result.stdout.split())  # the path decides where its line is broken


def test_many_problems_are_cut_short_in_the_table_and_whole_in_the_json(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text\n" + "x,\n" * 25)
    assert validate(path).stdout.count("problem: ") == 21
    assert "and 5 more" in validate(path).stdout
    assert len(json.loads(validate(path, "--json").stdout)["problems"]) == 25


def test_columns_and_kind_are_given_on_the_command_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("event_id_cnty,body,violent\nx,News.,1\n")
    result = validate(
        path, "--kind", "table", "--column", "text=body", "--column", "severity = violent", "--json"
    )
    assert json.loads(result.stdout)["by_severity"]["severe"] == 1
    assert isinstance(validate(path).exception, InputError)


def test_a_file_that_cannot_be_read_is_refused_without_a_report(tmp_path):
    result = validate(tmp_path / "none.csv", "--json")
    assert isinstance(result.exception, InputError)
    assert result.stdout == ""


def test_a_column_option_must_name_a_field_and_a_column_once():
    assert column_map(["text=body", "id = g=1"]) == {"text": "body", "id": "g=1"}
    for pair in ("text", "text=", "=body"):
        with pytest.raises(ConfigurationError, match="is not FIELD=COLUMN"):
            column_map([pair])
    with pytest.raises(ConfigurationError, match="'text' twice"):
        column_map(["text=a", "text=b"])


def test_labels_with_markup_are_shown_as_they_are(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text,event_type\na,News.,[red]x[/blue]\n")
    result = validate(path)
    assert result.exit_code == 0, result.exception
    assert "[red]x[/blue]" in result.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,204", "1 row of 2 with a text without a letter"),
        ("AT&amp;T strike", "marks of web pages"),
        ("Two dead<br>in Jolo", "marks of web pages"),
        ("Café closed", ""),
        ("Caf\u00c3\u00a9 closed", "decoded wrongly"),
        ("R&D; 3 < 5 and 6 > 4", ""),
    ],
)
def test_texts_that_no_editor_would_print_are_pointed_out(tmp_path, text, words):
    path = tmp_path / "t.csv"
    path.write_text(f'id,text,severity\na,News.,0\nb,"{text}",1\n')
    warnings = json.loads(validate(path, "--json").stdout)["warnings"]
    assert [words in warning for warning in warnings] == [True] * bool(words)


def test_what_a_formula_failed_to_give_is_no_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text\na,#REF!\nb,#MeToo\n")
    (problem,) = json.loads(validate(path, "--json").stdout)["problems"]
    assert "#REF!" in str(problem)
