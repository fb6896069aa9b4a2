"""Severity from a file of labels: read, written, and put in the place of the taxonomy's."""

import pytest

from agentnet.errors import InputError, StorageError
from agentnet.news import NewsItem, load_severity, with_severity, write_severity

ITEMS = (NewsItem("a", "One.", severity=0), NewsItem("b", "Two.", severity=1), NewsItem("c", "Three."))


def test_severities_are_replaced_and_nothing_else():
    changed = with_severity(ITEMS, {"a": 1, "b": None, "c": 0, "of other news": 1})
    assert [item.severity for item in changed] == [1, None, 0]
    assert [(item.id, item.text) for item in changed] == [(item.id, item.text) for item in ITEMS]
    assert changed[0].hash != ITEMS[0].hash


def test_items_without_an_entry_are_refused_with_the_first_one_named():
    with pytest.raises(InputError, match="2 of 3 news items have no severity given, first 'b'"):
        with_severity(ITEMS, {"a": 1})


@pytest.mark.parametrize("severity", [2, "severe", True])
def test_an_impossible_severity_is_refused(severity):
    with pytest.raises(InputError, match="severity"):
        with_severity(ITEMS[:1], {"a": severity})


def test_what_was_written_is_read(tmp_path):
    labels = {"a": 1, "b": None, 'odd, "id"\n': 0}
    path = tmp_path / "labels.csv"
    write_severity(path, labels)
    assert load_severity(path) == {"a": 1, "b": None, 'odd, "id"': 0}
    with pytest.raises(InputError, match="exists already"):
        write_severity(path, {})
    write_severity(path, {"a": 0}, force=True)
    assert load_severity(str(path)) == {"a": 0}


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path):
    with pytest.raises((StorageError, InputError)):
        write_severity(tmp_path / "missing" / "labels.csv", {})


def test_words_and_json_lines_are_read_too(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"ID": "a", "severity": "severe"}\n{"id": "b", "severity": 0}\n{"id": "c"}\n')
    assert load_severity(path) == {"a": 1, "b": 0, "c": None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,sevrity\na,1\n", r"field 'severity': there is no such column; did you mean 'sevrity'\?"),
        ("name,severity\na,1\n", "field 'id': there is no such column"),
        ("id,severity\na,1\nb,5\n", "row 3, field 'severity': '5' is no severity"),
        ("id,severity\na,1\na,1\n", "row 3, field 'id': 'a' stands twice"),
        ("id,severity\n,1\n", "row 2, field 'id': is empty"),
        ("id,severity\na\n", "row 2: has 1 field where the header has 2"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_by_row_and_field(tmp_path, text, said):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        load_severity(path)
    assert str(caught.value).startswith(str(path))
