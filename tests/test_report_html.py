"""Whatever is put into the page as text comes out as that text: no element and no attribute is made of it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.report.html import Html, shown, tag, together


class Seen(HTMLParser):
    """What a parser makes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(text=st.text(), value=st.text())
def test_texts_and_attribute_values_are_read_back_as_they_were_shown(text: str, value: str) -> None:
    seen = Seen(tag("p", text, title=value).markup)
    assert seen.tags == ["p"]
    assert seen.attributes == [{"title": shown(value)}]
    assert seen.text == shown(text)


@pytest.mark.parametrize(
    "attack", ["<script>alert(1)</script>", '"onload="x', "' onload='x", "]]>", "<!--", "</p>", "&lt;b>", "<"]
)
def test_markup_in_a_text_stays_text(attack: str) -> None:
    seen = Seen(tag("p", attack, tag("b", attack, title=attack)).markup)
    assert seen.tags == ["p", "b"]
    assert seen.attributes == [{}, {"title": attack}]
    assert seen.text == 2 * attack


@given(
    text=st.text(st.sampled_from("a\x00\x07\x1b\x7f\x85\u202e\u2066\u200f\ufeff\ufffe\ud800\U000e0041\t\n\r"))
)
def test_characters_that_cannot_be_seen_are_spelled(text: str) -> None:
    spelled = shown(text)
    assert set(spelled) <= set("a\t\n[]U+0123456789ABCDEF")
    assert spelled.encode().decode() == spelled
    assert spelled.count("[U+202E]") == text.count("\u202e")


def test_line_ends_of_other_systems_are_line_feeds() -> None:
    assert shown("a\r\nb\rc") == "a\nb[U+000D]c"


def test_texts_in_other_scripts_stay_as_they_are() -> None:
    text = "Ünïcode, 漢字, עברית, नमस्ते, 👩‍👩‍👧 and 1 < 2"
    assert shown(text) == text


def test_nodes_nest_and_nothing_is_nothing() -> None:
    made = tag(
        "ul", None, [tag("li", 1), (tag("li", "b") for _ in range(2))], class_="x", hidden=True, id=None
    )
    assert made.markup == '<ul class="x" hidden><li>1</li><li>b</li><li>b</li></ul>'
    assert together([Html("<i>"), "<"]).markup == "<i>&lt;"


def test_elements_without_content_have_no_end_tag() -> None:
    assert tag("input", type="radio", checked=True, disabled=False).markup == '<input type="radio" checked>'
    assert tag("meta", http_equiv="X", aria_label="y").markup == '<meta http-equiv="X" aria-label="y">'
