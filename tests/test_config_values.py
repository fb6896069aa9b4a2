"""Texts become values as TOML reads them, and every value can be written down and read back."""

import json
import tomllib
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.config.values import decoded, dotted, encoded, leaves, parse_key, parse_value, toml_text

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
zones = st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
scalars = (
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | texts
    | st.dates()
    | st.times()
    | st.builds(lambda moment, zone: moment.replace(tzinfo=zone), st.datetimes(), zones)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.just("$toml"), inner, max_size=3),
    max_leaves=8,
)


def same(one: object, other: object) -> bool:
    """Compare with types: 1, 1.0 and true are equal for Python, not for TOML."""
    return one == other and toml_text(one) == toml_text(other)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("-0.5", -0.5),
        ("1_000", 1000),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("{a = 1}", {"a": 1}),
        ('"x"', "x"),
        ("'2'", "2"),
        ('""', ""),
        ("2021-02-24", date(2021, 2, 24)),
        ("07:32:00", time(7, 32)),
        ("2021-02-24T07:32:00Z", datetime(2021, 2, 24, 7, 32, tzinfo=UTC)),
        (" 3 ", 3),
    ],
)
def test_a_text_that_is_toml_is_read_as_toml(text, value):
    assert same(parse_value(text), value)


@pytest.mark.parametrize(
    "text",
    [
        "gpt-4o",
        "True",
        "http://localhost:8000/v1",
        "keep going",
        "01101",
        "1, 2",
        "1 2",
        '"open',
        "[1",
        "2\nseed = 3",
        "1}",
        "1]\nw = [2",
        "#ff0000",
        "3 # three",
        "true#",
        "1 # one\n# more",
        "[" * 5000,
        "9" * 5000,
    ],
)
def test_a_text_that_is_no_toml_value_stays_as_it_is(text):
    assert parse_value(text) == text


def test_blanks_around_a_plain_text_do_not_count_and_quotes_keep_them():
    assert parse_value("  two words ") == "two words"
    assert parse_value('"  two words "') == "  two words "


@given(texts)
def test_a_text_is_read_whole_or_left_alone(text):
    value = parse_value(text)
    assert value == text.strip() or same(value, _toml_or_json(text))


def _toml_or_json(text):
    try:
        return tomllib.loads(f"v = [\n{text}\n]")["v"][0]
    except ValueError:
        return json.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('[{"degree": 4}, {}]', [{"degree": 4}, {}]),
        (' {"a": [1, null, true]} ', {"a": [1, None, True]}),
        ('{"a": {"b": "c"}}', {"a": {"b": "c"}}),
        ('[{"a" = 1}]', [{"a": 1}]),
        ('[{"a": 1}', '[{"a": 1}'),
        ('"a": 1', '"a": 1'),
        ("{name} said it", "{name} said it"),
    ],
)
def test_lists_and_objects_are_read_as_json_too(text, value):
    assert same(parse_value(text), value)


@given(value=scalars, note=texts)
def test_a_number_sign_after_a_value_makes_it_a_text_that_keeps_everything(value, note):
    text = f"{toml_text(value)} #{note}".strip()
    assert parse_value(text) == text


@given(values)
def test_a_value_written_as_toml_is_read_back(value):
    assert same(parse_value(toml_text(value)), value)


@given(values)
def test_a_value_survives_json(value):
    text = json.dumps(encoded(value), allow_nan=False)
    assert same(decoded(json.loads(text)), value)


def test_json_keeps_plain_values_plain():
    value = {"model": "m", "n": [1, 2.5, True], "table": {"a": {}}}
    assert encoded(value) == value


@given(st.lists(texts, min_size=1, max_size=4).map(tuple))
def test_a_key_written_as_toml_is_read_back(key):
    assert parse_key(dotted(key)) == key


@pytest.mark.parametrize("text", ["", " ", ".", "a.", "a b", "[a]", "# a", '"a', "a\nb", "ä"])
def test_what_is_no_dotted_key_is_none(text):
    assert parse_key(text) == ()


def test_quotes_stand_only_where_a_key_needs_them():
    assert dotted(("news", "columns", "event id", "a-b_1", "")) == 'news.columns."event id".a-b_1.""'


def test_leaves_are_values_and_empty_tables():
    tree = {"a": {"b": 1, "c": {}}, "d": [{"e": 2}]}
    assert dict(leaves(tree)) == {("a", "b"): 1, ("a", "c"): {}, ("d",): [{"e": 2}]}


def test_what_is_not_set_is_written_as_none():
    assert toml_text(None) == "(none)"


def test_json_marks_what_it_has_no_word_for():
    assert encoded([float("inf"), date(2021, 2, 24), {"$toml": 1}, Path("a/b")]) == [
        {"$toml": "inf"},
        {"$toml": "2021-02-24"},
        {"$toml": '{"$toml" = 1}'},
        "a/b",
    ]
