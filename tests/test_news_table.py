"""Loading any CSV or JSON Lines table, and how bad files of any format are refused."""

import contextlib
import csv
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import ConfigurationError, InputError
from agentnet.news import load_news, load_table, synthesize
from agentnet.news.load import scan


def refusal(path, **more):
    with pytest.raises(InputError) as caught:
        load_news(path, **more)
    assert str(path) in str(caught.value)
    return caught.value


def test_a_table_needs_only_a_text_and_counts_lines_for_ids(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text\nFirst news.\n\nSecond news.\n")
    news = load_table(path)
    assert [(one.id, one.text) for one in news.items] == [("2", "First news."), ("4", "Second news.")]
    assert all(one.severity is None and one.date is None and one.source == "table" for one in news.items)
    assert news.licences == ()


@pytest.mark.parametrize(
    ("written", "severity"),
    [
        ("0", 0),
        ("1", 1),
        ("true", 1),
        ("1.0", 1),
        ("0.0", 0),
        ("False", 0),
        ("SEVERE", 1),
        (" peaceful ", 0),
        ("", None),
        ("nan", None),
        ("NA", None),
    ],
)
def test_severity_words_and_numbers_are_read(tmp_path, written, severity):
    path = tmp_path / "t.csv"
    path.write_text(f"guid,body,violent\nx,Some news.,{written}\n")
    (one,) = load_news(path, columns={"id": "guid", "text": "body", "severity": "violent"}).items
    assert (one.id, one.text, one.severity) == ("x", "Some news.", severity)


@pytest.mark.parametrize("written", ["2", "maybe", "1.5", "-1"])
def test_any_other_severity_is_refused_by_row_and_field(tmp_path, written):
    path = tmp_path / "t.csv"
    path.write_text(f"text,violent\nSome news.,1\nOther news.,{written}\n")
    error = refusal(path, columns={"severity": "violent"})
    assert (error.row, error.field) == (3, "violent")
    assert f"{written!r} is no severity" in str(error)


def test_json_lines_load_with_their_own_types(tmp_path):
    path = tmp_path / "t.jsonl"
    lines = [
        {"id": 7, "text": "One.", "severity": 1, "date": "2021-02-24", "place": "Naga", "licence": "mine"},
        {"id": "b", "Text": "Two.", "severity": False},
        {
            "id": "c",
            "text": "Dræi\nlines.",
            "severity": None,
            "event_type": "Battles",
            "extra": [1, {"a": 2}],
        },
        {"id": "d", "text": "Four.", "severity": "peaceful"},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    news = load_news(path)
    assert [(one.id, one.text, one.severity) for one in news.items] == [
        ("7", "One.", 1),
        ("b", "Two.", 0),
        ("c", "Dræi\nlines.", None),
        ("d", "Four.", 0),
    ]
    assert (news.items[0].date, news.items[0].place) == (dt.date(2021, 2, 24), "Naga")
    assert news.licences == ("mine",)


def test_json_lines_are_known_by_their_first_character_and_may_hold_acleds_columns(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(synthesize(1, 5)[0] | {"fatalities": 0, "year": 2021}))
    news = load_news(path)
    assert (news.kind, news.items[0].id) == ("acled", "SYN000001")


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        ('{"id": "b", "text": ["a"]}', "text", "holds an object or array"),
        ('{"id": "b", "text": "\\ud83d"}', "text", "half a surrogate pair"),
        ('{"id": "b"}', "text", "is empty; every row needs its text"),
        ('{"id": "a", "text": "x"}', "id", "'a' stands in row 1 already"),
        ('{"id": "b", "text": "x", " TEXT": "y"}', None, "has a key twice"),
        ("[1, 2]", None, "is not a JSON object"),
        ('{"id": "b", "text": "x"', None, "is not JSON"),
        ("[" * 100_000, None, "is not JSON"),
    ],
)
def test_a_bad_json_line_is_refused_by_row_and_field(tmp_path, line, field, words):
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": "a", "text": "fine"}\n' + line)
    error = refusal(path)
    assert (error.row, error.field) == (2, field)
    assert words in str(error)


def test_a_json_array_is_told_to_become_json_lines(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('[{"text": "a"}]')
    assert "one JSON object per line" in str(refusal(path))


def test_labels_of_a_table_give_its_severity_where_no_column_does(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,event_type,sub_event_type\nA.,Protests,Peaceful protest\nB.,Battles,\nC.,Feast,\n")
    news = load_news(path)
    assert [one.severity for one in news.items] == [0, 1, None]
    assert (
        "event_type 'Feast' is not in the codebook (1 row); such labels leave the severity unknown"
        in news.warnings
    )


def test_a_file_without_a_text_column_says_how_to_name_one(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("guid,body\n1,News.\n")
    error = refusal(path)
    assert error.field == "text"
    assert "(-S news.columns.text=COLUMN; agentnet news: --column text=COLUMN)" in str(error)
    assert "known: body, guid" in str(error)


def test_a_column_map_is_checked_on_both_sides(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("guid,body\n1,News.\n")
    with pytest.raises(ConfigurationError, match="did you mean 'severity'"):
        load_news(path, columns={"severty": "body"})
    error = refusal(path, columns={"text": "bdy"})
    assert error.field == "bdy"
    assert "did you mean 'body'?" in str(error)
    with pytest.raises(
        ConfigurationError, match="'licence', which a news file of kind 'acled' does not have"
    ):
        load_news(path, columns={"licence": "body"}, kind="acled")
    with pytest.raises(ConfigurationError, match="did you mean 'acled'"):
        load_news(path, kind="aclde")


# --- the file itself -------------------------------------------------------------------------------------


def test_a_file_that_is_missing_empty_or_only_a_header_is_refused(tmp_path):
    assert "there is no such file" in str(refusal(tmp_path / "none.csv"))
    assert "cannot be read" in str(refusal(tmp_path))
    for name, content in (("a.csv", b""), ("b.csv", b"\xef\xbb\xbf \n\r\n \n")):
        (tmp_path / name).write_bytes(content)
        assert "the file is empty" in str(refusal(tmp_path / name))
    (tmp_path / "c.csv").write_text("text,id\n\n,\n")
    assert "has a header and no rows" in str(refusal(tmp_path / "c.csv"))


def test_bytes_that_are_no_utf8_are_refused_by_row(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("text\nplain\ncafé\n".encode("cp1252"))
    error = refusal(path)
    assert error.row == 3
    assert "byte 4 of this line (0xe9) is not UTF-8" in str(error)
    path.write_bytes("text\nplain\n".encode("utf-16-le"))
    assert refusal(path).row == 1


@pytest.mark.parametrize(
    ("content", "row", "words"),
    [
        ("id,text\na,b\nc,d,e\n", 3, "has 3 fields where the header has 2"),
        ("id,text\na\n", 2, "has 1 field where the header has 2"),
        ('id,text\na,b\nc,"never closed\nd,e\n', 3, "quotation mark that is never closed"),
        ('id,text\na,"b"c\n', 2, "cannot be read as delimited text"),
        ('id,"text\na,b\n', 1, "the header cannot be read"),
        ("id,text,ID\na,b,c\n", 1, "stands twice in the header"),
        ("id,text\ra,b\rc,d\r", 1, "the header cannot be read"),
        ("id,text\na,b\rc,d\r", 2, "old Macintosh line ends"),
        (f"id,text\na,b\nc,{'x' * 140_000}\n", 3, "holds a field of more than 131,072 characters"),
    ],
)
def test_a_malformed_row_is_refused_by_the_line_at_which_it_starts(tmp_path, content, row, words):
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode())
    error = refusal(path)
    assert error.row == row
    assert words in str(error)


def test_bare_delimiters_that_a_spreadsheet_leaves_are_passed_over(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id;text;\na;b;\n;;\n;;;;\n\n")
    assert [one.id for one in load_news(path).items] == ["a"]


def test_a_duplicate_id_is_refused_with_both_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id,text\na,"two\nlines"\nb,x\na,y\n')
    error = refusal(path)
    assert (error.row, error.field) == (5, "id")
    assert "id 'a' stands in row 2 already" in str(error)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=20)


@given(rows=st.lists(cells, min_size=1, max_size=8), delimiter=st.sampled_from(",;\t|"))
def test_any_text_is_read_back_and_every_row_knows_its_line(tmp_path_factory, rows, delimiter):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    rows = [f"[{text}]" for text in rows]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerows([("text", "x"), *((text, "y") for text in rows)])
    news = load_news(path)
    assert [one.text for one in news.items] == rows
    # An editor breaks lines at \n only; ids are line numbers.
    lines = path.read_bytes().decode().split("\n")
    assert all(
        lines[int(one.id) - 1].lstrip('"').startswith(one.text.split("\n")[0].replace('"', '""'))
        for one in news.items
    )


@given(st.binary(max_size=60))
def test_no_bytes_make_anything_but_items_or_an_input_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.csv"
    path.write_bytes(b"text,id\n" + content)
    with contextlib.suppress(InputError):
        assert load_news(path).items


def test_a_scan_lists_every_problem_and_keeps_the_good_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text,date\na,good,2021-01-01\nb,,\nc,x,never\na,y,\nd,z,,\ne,good too,\n")
    found = scan(path)
    assert [one.id for one in found.items] == ["a", "e"]
    assert [problem.row for problem in found.problems] == [3, 4, 5, 6]
    assert found.duplicate_ids == ["a"]
