"""Whatever a template puts into the page as text comes out as that text: no element is made of it."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.report.blocks import absent, bullets, paragraph, unfolding
from agentnet.report.html import Html, environment, rendered, shown


class Seen(HTMLParser):
    """What a parser makes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(str(page))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def put(template: str, **values: object) -> Html:
    """Put values into a template that stands here."""
    return Html(environment().from_string(template).render(values))


@given(text=st.text(), value=st.text())
def test_texts_and_attribute_values_are_read_back_as_they_were_shown(text: str, value: str) -> None:
    seen = Seen(put('<p title="{{ value }}">{{ text }}</p>', text=text, value=value))
    assert seen.tags == ["p"]
    assert seen.attributes == [{"title": shown(value)}]
    assert seen.text == shown(text)


ATTACKS = ["<script>alert(1)</script>", '"onload="x', "' onload='x", "]]>", "<!--", "</p>", "&lt;b>", "<"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_markup_in_a_text_stays_text(attack: str) -> None:
    seen = Seen(put('<p>{{ a }}<b title="{{ a }}">{{ a }}</b></p>', a=attack))
    assert seen.tags == ["p", "b"]
    assert seen.attributes == [{}, {"title": attack}]
    assert seen.text == 2 * attack


@pytest.mark.parametrize("attack", ATTACKS)
def test_markup_stays_text_in_every_block(attack: str) -> None:
    blocks = {
        paragraph(attack, "note"): ["p"],
        absent(attack): ["p"],
        bullets([attack], attack): ["p", "ul", "li"],
        unfolding(attack, [(attack, attack)]): ["details", "summary", "p", "b", "pre"],
    }
    for block, tags in blocks.items():
        seen = Seen(block)
        assert seen.tags == tags
        assert attack in seen.text


@given(text=st.text())
def test_what_a_script_reads_ends_no_script_and_is_read_back(text: str) -> None:
    made = put('<script type="application/json">{{ text | tojson }}</script>', text=text)
    seen = Seen(made)
    assert seen.tags == ["script"]
    assert not set("<>&'") & set(seen.text)
    assert json.loads(seen.text) == text


@given(
    text=st.text(st.sampled_from("a\x00\x07\x1b\x7f\x85\u202e\u2066\u200f\ufeff\ufffe\ud800\U000e0041\t\n\r"))
)
def test_characters_that_cannot_be_seen_are_spelled(text: str) -> None:
    spelled = shown(text)
    assert set(spelled) <= set("a\t\n[]U+0123456789ABCDEF")
    assert spelled.encode().decode() == spelled
    assert spelled.count("[U+202E]") == text.count("\u202e")
    assert put("{{ text }}", text=text) == spelled


def test_line_ends_of_other_systems_are_line_feeds() -> None:
    assert shown("a\r\nb\rc") == "a\nb[U+000D]c"


def test_texts_in_other_scripts_stay_as_they_are() -> None:
    text = "Ünïcode, 漢字, עברית, नमस्ते, 👩‍👩‍👧 and 1 < 2"
    assert shown(text) == text


def test_nothing_is_nothing_numbers_are_numbers_and_markup_of_a_template_is_not_escaped_again() -> None:
    made = put(
        "<ul>{{ nothing }}<li>{{ one }}</li>{{ inner }}</ul>", nothing=None, one=1, inner=paragraph("<")
    )
    assert made == "<ul><li>1</li><p>&lt;</p></ul>"


def test_a_value_that_a_template_is_not_given_is_an_error_and_no_gap() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'kind' is undefined"):
        rendered("paragraph.j2", text="x")


@pytest.mark.parametrize("text", ["\nfirst", "first\n", "\n\n"])
def test_a_text_that_is_shown_word_for_word_keeps_its_first_line_end(text: str) -> None:
    # A browser drops one line feed behind <pre>.
    assert f">{text if text[0] != chr(10) else chr(10) + text}</pre>" in unfolding("x", [("", text)])
