"""The one reader of delimited text, by itself."""

import gzip
import os

import pandas as pd
import pytest

from agentnet.delimited import (
    MISSING,
    is_blank,
    is_missing,
    is_remark,
    open_bytes,
    read_delimited,
    records,
    text_lines,
)
from agentnet.errors import ConfigurationError, InputError


def table(path, text, **how):
    return read_delimited(path, iter(text.splitlines(keepends=True)), **how)


def cells(found):
    return [record.cells for record in found.rows]


@pytest.mark.parametrize(
    "text", ["", " ", "\xa0", "\u200b\u2060", "\ufeff\t", "\u2003\u2028", "\u3164", "\u2800 \uffa0"]
)
def test_what_cannot_be_seen_is_blank(text):
    assert is_blank(text)
    assert is_missing(text)


@pytest.mark.parametrize("text", ["0", ".", "\xa0a", "é", "👩\u200d👧", "\ue000"])
def test_what_can_be_seen_is_not_blank(text):
    assert not is_blank(text)


def test_a_missing_value_is_what_pandas_takes_for_one(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("".join(f"x,{marker}\n" for marker in sorted(MISSING)))
    assert pd.read_csv(path, header=None, dtype=str)[1].isna().all()
    path.write_text("x,NaNa\nx,na\nx,none\nx,0\nx,-\n")
    assert not pd.read_csv(path, header=None, dtype=str)[1].isna().any()
    assert not any(map(is_missing, ["NaNa", "na", "none", "0", "-"]))


def test_a_sign_is_a_remark_only_if_no_name_begins_so():
    assert all(map(is_remark, ["#", "# a", " # a", "## a", "%% a", "%\t1", "#%"]))
    assert not any(map(is_remark, ["#a", "%MeToo", "", "a # b", "a", '"# a"']))


@pytest.mark.parametrize(
    ("header", "name", "delimiter", "columns"),
    [
        ("a,b;c", "t.csv", ",", ("a", "b;c")),
        ('"a;b";"c"', "t.csv", ";", ("a;b", "c")),
        ('"a,b"', "t.csv", ",", ("a,b",)),
        ("a,b\tc", "t.tsv", "\t", ("a,b", "c")),
        ("a,b", "t.tsv.gz", "\t", ("a,b",)),
        ('a | "b"', "t.txt", "|", ("a", "b")),
    ],
)
def test_the_header_or_the_suffix_tells_what_parts_the_columns(tmp_path, header, name, delimiter, columns):
    found = table(tmp_path / name, f"{header}\n")
    assert (found.delimiter, found.columns) == (delimiter, columns)


def test_records_know_the_lines_at_which_they_start(tmp_path):
    found = table(tmp_path / "t.csv", 'a,b\n1,"x\ny"\n\n2,z\n', n_before=4)
    assert [(record.number, record.cells) for record in found.rows] == [(6, ["1", "x\ny"]), (9, ["2", "z"])]


def test_ragged_rows_are_faults_and_the_others_are_read(tmp_path):
    rows = list(table(tmp_path / "t.csv", "a,b\n1,2\n3\n4,5,6\n7,8\n").rows)
    assert [record.number for record in rows if record.fault] == [3, 4]
    assert [record.cells for record in rows if not record.fault] == [["1", "2"], ["7", "8"]]


def test_runs_of_blanks_part_columns_as_one(tmp_path):
    lines = ["a   b\t c \n", '"New York"   b\n', "\n", "1 2\r\n"]
    found = records(tmp_path / "t.txt", lines, " ")
    assert [record.cells for record in found] == [["a", "b", "c"], ["New York", "b"], [], ["1", "2"]]


@pytest.mark.parametrize("delimiter", [" ", ","])
def test_an_old_line_end_within_a_line_is_refused(tmp_path, delimiter):
    with pytest.raises(InputError, match="old Macintosh line ends"):
        list(records(tmp_path / "t.txt", ["1 2\r3 4\n"], delimiter))


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("é\nb".encode(), ["é\n", "b"]),
        ("\ufeffé\r\nb".encode(), ["é\r\n", "b"]),
        ("é\nb\r\n".encode("utf-16"), ["é\n", "b\r\n"]),
        ("é\u2028\n".encode("utf-32"), ["é\u2028\n"]),
        ("\ufeffa\n\ufeff\ufeffb\n".encode(), ["a\n", "b\n"]),
        ("\ufeffa\n".encode("utf-16-le") * 2, ["a\n", "a\n"]),
    ],
)
def test_text_is_decoded_by_its_mark_and_broken_at_line_feeds_alone(tmp_path, content, lines):
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with open_bytes(path) as file:
        assert list(text_lines(path, file)) == lines


@pytest.mark.parametrize(
    ("content", "encoding", "row", "complaint"),
    [
        (b"a\nb\xff\n", None, 2, r"byte 2 of this line \(0xff\) is not UTF-8; .*name its encoding"),
        (b"a\0b\n", None, 1, "holds a NUL"),
        ("a\n\0".encode("utf-16"), None, 2, "holds a NUL"),
        ("a\nb".encode("utf-16")[:-1], None, 2, "is not written in utf-16"),
        (b"a\n\x81\n", "cp1252", 1, "is not written in cp1252"),
    ],
)
def test_what_is_no_text_is_refused_by_its_row(tmp_path, content, encoding, row, complaint):
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with open_bytes(path) as file, pytest.raises(InputError, match=complaint) as caught:
        list(text_lines(path, file, encoding))
    assert (caught.value.path, caught.value.row) == (path, row)


@pytest.mark.parametrize("encoding", ["", "latin-99", "base64", "a\0b"])
def test_an_unknown_encoding_is_refused(tmp_path, encoding):
    path = tmp_path / "t.txt"
    path.write_bytes(b"a")
    with open_bytes(path) as file, pytest.raises(ConfigurationError, match="there is no text encoding"):
        list(text_lines(path, file, encoding))


def test_a_field_that_is_too_long_is_called_so(tmp_path):
    with pytest.raises(InputError, match=r"row 2: holds a field of more than 131,072 characters"):
        list(records(tmp_path / "t.csv", ["a,b\n", f"1,{'x' * 200_000}\n"], ","))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"PK\x03\x04\x14\x00", r"zip archive.*\.xlsx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "old Office"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"SQLite format 3\x00", "SQLite"),
        (b"%PDF-1.7\n1 2\n", "PDF"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a picture"),
        (b"BZh91AY", "bunzip2"),
        (b"\xfd7zXZ\x00", "unxz"),
        (b"\x28\xb5\x2f\xfd", "unzstd"),
        (b"X\n\x00\x00\x00\x03", "R object"),
        (gzip.compress(b"RDX3\nX\n\x00", mtime=0), "R object"),
        (b"<stata_dta><header>", "Stata"),
        (b"$FL2@(#) SPSS DATA FILE", "SPSS"),
        (b"\xef\xbb\xbf\n <!DOCTYPE html><title>Log in</title>", "web page"),
        (b"<HTML lang=en>\n", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:46\nsize 3\n", "git lfs pull"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "angle brackets"),
    ],
)
def test_a_file_of_another_kind_is_called_so(tmp_path, content, complaint):
    path = tmp_path / "some.csv"
    path.write_bytes(content)
    with open_bytes(path) as file, pytest.raises(InputError, match=rf"some\.csv.*{complaint}"):
        list(text_lines(path, file))


@pytest.mark.parametrize("content", [b"<b>Two</b> dead,1\n", b"<html-lover>,1\n", b"%PD,1\n", b"PARIS,1\n"])
def test_texts_that_begin_a_little_like_another_kind_are_texts(tmp_path, content):
    path = tmp_path / "some.csv"
    path.write_bytes(content)
    with open_bytes(path) as file:
        assert list(text_lines(path, file)) == [content.decode()]


def test_a_pipe_is_refused_for_it_could_not_be_read_again(tmp_path):
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)  # else whoever opens it to read waits for a writer
    try:
        with pytest.raises(InputError, match=r"is a pipe.*save it as"), open_bytes(path):
            pass
    finally:
        os.close(held)


def test_a_header_that_stands_again_further_down_is_no_row(tmp_path):
    found = table(tmp_path / "t.csv", "id,Text\na,x\nID , text\nb,text\n")
    assert [(record.number, record.fault[:18]) for record in found.rows] == [
        (2, ""),
        (3, "repeats the header"),
        (4, ""),
    ]
