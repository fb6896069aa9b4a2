"""News, labels and question banks as R, spreadsheets and servers write them, and what is refused of them."""

import csv
import datetime as dt
import gzip
import io
import json
import subprocess
import sys

import openpyxl
import pytest

from agentnet.delimited import MISSING
from agentnet.errors import ConfigurationError, InputError
from agentnet.interviews.bank import load_bank
from agentnet.news import load_news, load_severity, synthesize, validate_news
from agentnet.news.load import scan


@pytest.fixture
def write(tmp_path):
    def write(content, name="news.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def pairs(path, **how):
    return [(item.id, item.text) for item in load_news(path, **how).items]


TWO = [("a", "March, in Cebu"), ("b", "Clash; two dead")]


@pytest.mark.parametrize(
    "text",
    [
        '"id","text"\n"a","March, in Cebu"\n"b","Clash; two dead"\n',
        '"","id","text"\n"1","a","March, in Cebu"\n"2","b","Clash; two dead"\n',
        '"id","text"\n"1","a","March, in Cebu"\n"2","b","Clash; two dead"\n',
        '"id";"text"\n"a";"March, in Cebu"\n"b";"Clash; two dead"\n',
        'id, "text"\na, "March, in Cebu"\nb, "Clash; two dead"\n',
        "id\ttext\n1\ta\tMarch, in Cebu\n2\tb\tClash; two dead\n",
        "id|text\r\na|March, in Cebu\r\nb|Clash; two dead\r\n",
        '"id" "text"\n"1" "a" "March, in Cebu"\n"2" "b" "Clash; two dead"\n',
        '"id"  "text"\t"n"\n"a" "March, in Cebu" 1\n"b" "Clash; two dead"   NA \n',
        ',id,text\n0,a,"March, in Cebu"\n1,b,Clash; two dead\n',
        "sep=;\r\nid;text\r\na;March, in Cebu\r\nb;'Clash; two dead'\r\n".replace("'", '"'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_quoted_headers_row_names_and_encodings_with_a_mark_are_read(write, text, encoding):
    assert pairs(write(text.encode(encoding))) == TWO


def test_gzipped_files_are_read(write):
    assert pairs(write(gzip.compress(b"id,text\na,x\n"), "news.csv.gz")) == [("a", "x")]
    with pytest.raises(InputError, match="is no whole gzip file"):
        load_news(write(gzip.compress(b"id,text\na,x\n")[:-6], "news.csv.gz"))


@pytest.mark.parametrize(
    ("text", "row", "complaint"),
    [
        ("id,text\n1,Some 2,000 fled\n2,About 1,000 came\n", 2, "row.names = FALSE"),
        ('"id","text"\n"1","a","x"\n"1","b","y"\n', 3, "the row name '1' stands twice"),
        ('"id","text"\n"1","a","x"\n"b","y"\n', 3, "the header has 2 and the rows a name each"),
        ("id,text,\n,,\nID,x,y,z\n", 3, "has 4 fields where the header has 3"),
        ('"id","text","ID"\na,b,c\n', 1, "each column needs a name of its own"),
    ],
)
def test_rows_that_do_not_fit_their_header_are_never_shifted(write, text, row, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        load_news(write(text))
    assert caught.value.row == row


@pytest.mark.parametrize("marker", sorted(MISSING - {""}))
def test_what_stands_for_a_missing_value_is_missing(write, marker):
    text = f"id,text,severity,place,date\na,News.,{marker},{marker},{marker}\nb,{marker},1,Cebu,2021-01-02\n"
    found = scan(write(text))
    (item,) = found.items
    assert (item.severity, item.place, item.date) == (None, "", None)
    (problem,) = found.problems
    assert problem.row == 3
    assert f"is empty ({marker!r} stands for a missing value); every row needs its text" in str(problem)
    assert load_severity(write(f"id,severity\na,{marker}\n", "labels.csv")) == {"a": None}


def test_json_has_missing_values_of_its_own(write):
    path = write('{"id": "a", "text": "x", "severity": NaN, "place": null}\n', "n.jsonl")
    assert load_news(path).items[0].severity is None


def test_the_answer_to_a_question_may_be_none(write):
    (question,) = load_bank(write("topic,question,answer\nmoons,How many has Venus?,None\n", "bank.csv"))
    assert question.answer == "None"


@pytest.mark.parametrize("blank", ["\xa0 \n", "\u200b", "\ufeff\xa0\n\u2003\n", "\u2028\n"])
def test_a_file_of_which_nothing_can_be_seen_is_empty(write, blank):
    with pytest.raises(InputError, match="the file is empty"):
        load_news(write(blank))
    with pytest.raises(InputError, match="field 'text': is empty; every row needs its text"):
        load_news(write(f"id,text\na,{blank.strip(chr(10)).replace(chr(10), '')}\n"))


# --- stray quotation marks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ('id\ttext\n1\tfine\n2\t"Hi there\n3\tmid\n4\tbye"\n5\tend\n', 3),
        ('id\ttext\n1\t"Hi there\n2\tbye"\n', 2),
        ('id,text,severity\nPHL1,fine,1\nPHL2,"Hi there,0\nPHL3,bye",1\n', 3),
        ('id;text;date\na1;x;2021-01-01\na2;"y;2021-01-02\n\na3;z";2021-01-03\n', 3),
        ('text|n\n"Hi|3\nmid|4\nbye"|5\nend|6\n', 2),
        ('id\ttext\nana\tfine\nben\t"Hi there\ncara\tbye"\ndan\tend\n', 3),
    ],
)
def test_a_stray_pair_of_quotation_marks_swallows_no_rows(write, text, row):
    path = write(text)
    with pytest.raises(InputError, match=r"would swallow \d+ further rows") as caught:
        load_news(path)
    assert caught.value.row == row


@pytest.mark.parametrize(
    "text",
    [
        "First line.\nMeanwhile, police fired.",
        "Two dead,\n3 hurt, say witnesses",
        "1, 2\n\n3, 4 said no twice",
        'He said "go",\nshe said "no"',
        '3 "no",1\n4,5',
        "a\tb\nc\td",
        "one\n\ntwo\n\nthree",
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_text_of_several_lines_is_one_text(write, text, delimiter, quoting):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    writer.writerows([("id", "text", "severity"), (17, "Short.", 0), (18, text, 1), (19, "Last.", "")])
    found = scan(write(out.getvalue()))
    assert not found.problems
    assert [item.text for item in found.items] == ["Short.", text, "Last."]
    assert any("with a text of several lines, first '18'" in warning for warning in found.warnings)


def test_a_quotation_mark_within_a_word_is_a_sign_like_others(write):
    assert pairs(write('id,text\na,a 5" pipe\nb,"x"\n')) == [("a", 'a 5" pipe'), ("b", "x")]


# --- dates, encodings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date_format", "written"),
    [("%d/%m/%Y", "03/04/2021"), ("%m/%d/%Y", "04/03/2021"), ("%d.%m.%y", "3.4.21"), ("%Y%m%d", "20210403")],
)
def test_other_dates_are_read_as_they_are_said_to_be_written(write, date_format, written):
    path = write(f"guid,text,when\na,x,{written}\n")
    found = load_news(path, columns={"date": "when"}, date_format=date_format)
    assert found.items[0].date == dt.date(2021, 4, 3)


def test_day_and_month_are_never_guessed(write):
    path = write("text,date\nx,13/04/2021\n")
    with pytest.raises(InputError, match=r"is no date; .*%d/%m/%Y if the day comes first, %m/%d/%Y if the"):
        load_news(path)
    with pytest.raises(InputError, match=r"'13/04/2021' is no date as the date format %m/%d/%Y has it"):
        load_news(path, date_format="%m/%d/%Y")


@pytest.mark.parametrize("date_format", ["%d/%m", "%Y", "", "day first", "%H:%M", "%", "%d/%m/%Y %Z%"])
def test_a_date_format_that_tells_no_day_is_refused(write, date_format):
    with pytest.raises(ConfigurationError, match="does not tell day, month and year"):
        load_news(write("text,date\nx,2021-01-02\n"), date_format=date_format)


def test_a_date_format_needs_a_column_of_dates(write):
    with pytest.raises(ConfigurationError, match="but no column of dates"):
        load_news(write("text,when\nx,02/01/2021\n"), date_format="%d/%m/%Y")


def test_dates_and_encodings_are_given_on_the_command_line_and_to_a_run(command, small, write):
    path = write("guid;body;when;arm\n1;Café;24/02/2021;0\n2;Clash;25/02/2021;1\n".encode("cp1252"))
    options = ("--column", "text=body", "--column", "date=when", "--column", "severity=arm")
    shown = command("news", "validate", path, *options, "--date-format", "%d/%m/%Y", "--encoding", "cp1252")
    assert shown.code == 0, shown.err
    assert "2021-02-24 to 2021-02-25" in shown.out
    assert "columns parted by semicolons" in shown.out
    assert command("news", "validate", path, *options).code == 2
    columns = [f"news.columns.{name}" for name in ("text=body", "date=when", "severity=arm")]
    settings = (*columns, "news.date_format=%d/%m/%Y", "news.encoding=cp1252", "steps=1", "repeats=1")
    done = command("run", small, "--news", path, *(part for one in settings for part in ("-S", one)))
    assert done.code == 0, done.err
    assert "news in the file: 2 items (1 peaceful, 1 severe); texts of 4 (2) to 5 (3) characters" in done.err


# --- servers' JSON and spreadsheets ------------------------------------------------------------------------


def ucdp(number):
    event = {"id": number, "side_a": "Government of Freedonia", "side_b": "Blue Band"}
    return event | {"date_start": "2021-01-26T00:00:00", "date_end": "2021-01-26T00:00:00", "best": 3}


@pytest.mark.parametrize("indent", [None, 2])
def test_what_the_interfaces_of_acled_and_ucdp_answer_is_read(write, indent):
    rows = [row | {"fatalities": 0, "tags": None} for row in synthesize(3, 1)]
    answer = {"status": 200, "success": True, "count": 3, "messages": [], "data": rows}
    news = load_news(write(json.dumps(answer, indent=indent), "acled.json"))
    assert (news.kind, [item.text for item in news.items]) == ("acled", [row["notes"] for row in rows])
    answer = {"TotalCount": 2, "TotalPages": 1, "NextPageUrl": "", "Result": [ucdp(7), ucdp(8)]}
    news = load_news(write(json.dumps(answer, indent=indent), "ucdp.json"))
    assert (news.kind, [item.id for item in news.items]) == ("ucdp", ["7", "8"])
    assert not any("page" in warning for warning in news.warnings)


def test_a_page_of_an_answer_is_said_to_be_one(write):
    answer = {"TotalCount": 476, "TotalPages": 5, "NextPageUrl": "https://x", "Result": [ucdp(7)]}
    warnings = load_news(write(json.dumps(answer), "ucdp.json")).warnings
    assert any("one page of an answer: it holds 1 of 476 events" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (
            {"status": 403, "error": ["not allowed"], "data": []},
            r"holds no events under 'data' .*not allowed",
        ),
        ({"nodes": [], "a": 1}, "without a list under 'data' or 'Result'; it has nodes"),
        ({"data": [{"id": "a", "text": "x"}, 7]}, "row 2: is not a JSON object"),
        (
            {"data": [{"id": "a", "text": "x"}, {"id": "b", "text": {}}]},
            "row 2, field 'text': holds an object",
        ),
    ],
)
def test_an_answer_without_usable_events_is_refused(write, answer, complaint):
    with pytest.raises(InputError, match=complaint):
        load_news(write(json.dumps(answer, indent=1), "answer.json"))


def sheet(rows, *more):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name, others in more:
        other = book.create_sheet(name)
        for row in others:
            other.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_a_spreadsheet_is_read_as_its_csv_would_be(write):
    rows = [("id", "text", "date", "severity"), (7, "News, new", dt.date(2021, 2, 24), 1.0)]
    path = write(sheet([*rows, (None,) * 4, (8, "Other", "25 February 2021", None)], ("empty", [])), "n.xlsx")
    report = validate_news(path)
    assert report.usable, report.problems
    assert (report.form, report.by_severity["severe"]) == ("a spreadsheet", 1)
    assert pairs(path) == [("7", "News, new"), ("8", "Other")]
    assert load_news(path).items[0].date == dt.date(2021, 2, 24)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"PK\x03\x04 no zip", "is no spreadsheet that openpyxl reads"),
        (sheet([("id", "text"), ("a", "x", "y")]), "row 2: has cells beyond the header's 2 columns"),
        (sheet([("id", "text"), ("a", None)]), "row 2, field 'text': is empty"),
        (sheet([("id", "text", "ID"), ("a", "x", "y")]), "stands twice in the header"),
        (sheet([("text",), ("x",)], ("more", [("text",)])), "one sheet with rows is needed, and there are: "),
        (sheet([]), "there are: none"),
    ],
)
def test_a_spreadsheet_that_is_no_table_is_refused(write, content, complaint):
    path = write(content, "n.xlsx")
    with pytest.raises(InputError, match=complaint) as caught:
        load_news(path)
    assert caught.value.path == path


def test_without_openpyxl_a_spreadsheet_says_what_it_needs(write):
    path = write(sheet([("text",), ("x",)]), "n.xlsx")
    code = (
        "import sys; sys.modules['openpyxl'] = None\n"
        "from agentnet.errors import InputError\nfrom agentnet.news import load_news\n"
        f"try: load_news({str(path)!r})\nexcept InputError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install -e '.[xlsx]'" in done.stdout


@pytest.mark.parametrize(
    ("content", "name", "complaint"),
    [
        ('["1","A"]\n["2","B"]\n', "a.jsonl", "row 1: is not a JSON object"),
        ('{"id":"1","text":"A","text":"B"}\n', "a.jsonl", "row 1: has a key twice"),
        (
            '{"status":403,"success":false,"error":{"message":"Access denied"}}',
            "a.json",
            "a server's refusal.*Access denied",
        ),
    ],
)
def test_json_without_one_usable_record_says_why(write, content, name, complaint):
    with pytest.raises(InputError, match=complaint):
        load_news(write(content, name))


@pytest.mark.parametrize("odd", ["{}\u200b", "\u200e{}", " {}\u3164 ", "\u2060{}\u00ad"])
def test_what_cannot_be_seen_of_a_column_does_not_hide_it(write, odd):
    keys = [odd.format(name) for name in ("id", "text", "severity")]
    rows = [keys, ["x7", "A march", 1]]
    (item,) = load_news(write("\n".join(";".join(map(str, row)) for row in rows), "n.csv")).items
    assert (item.id, item.severity) == ("x7", 1)
    (item,) = load_news(write(json.dumps(dict(zip(*rows, strict=True))), "n.jsonl")).items
    assert (item.id, item.severity) == ("x7", 1)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"data": [{"id": "a", "id": "b", "text": "x"}]}', "id"),
        ('{"Result": [{"id": "a", "text": "x"}],\n "Result": [{"id": "b", "text": "y"}]}', "Result"),
        ('{"data": [{"id": "a", "text": "x", "severity": 1, "severity": 1}]}', "severity"),
    ],
)
def test_a_key_that_stands_twice_in_an_answer_drops_nothing_quietly(write, text, field):
    with pytest.raises(InputError, match="stands twice in one object") as caught:
        load_news(write(text, "page.json"))
    assert caught.value.field == field


def test_the_size_of_an_answer_may_be_a_text_and_a_refusal_of_several_lines(write):
    page = {"TotalCount": "31", "Result": [{"id": "a", "text": "Une marche"}]}
    assert any("it holds 1 of 31 events" in each for each in load_news(write(json.dumps(page))).warnings)
    refusal = json.dumps({"success": False, "error": ["cle expiree"]}, indent=1)
    with pytest.raises(InputError, match=r"a server's refusal.*cle expiree"):
        load_news(write(refusal, "page.json"))
