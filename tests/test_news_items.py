"""News items, their severity, and the choice of a design's items."""

import dataclasses
import datetime as dt
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import DesignError, InputError
from agentnet.news import TAXONOMY, NewsItem, check_items, choose, severity_of
from agentnet.news.severity import disorder_type_of, is_known

texts = st.text(min_size=1).filter(
    lambda text: text.strip() and text.encode("utf-8", "ignore").decode() == text
)
items = st.builds(
    NewsItem,
    id=texts,
    text=texts,
    date=st.none() | st.dates(),
    place=texts | st.just(""),
    severity=st.sampled_from([0, 1, None]),
    disorder_type=texts | st.just(""),
    source=st.sampled_from(["synthetic", "acled", "ucdp", "table"]),
    licence=texts | st.just(""),
)


def item(name="a", severity=0, **more):
    return NewsItem(id=name, text=f"text of {name}", severity=severity, **more)


@given(items)
def test_an_item_comes_back_from_json_as_it_was(one):
    line = one.to_json()
    again = NewsItem.from_json(line)
    assert again == one
    assert again.hash == one.hash
    assert "\n" not in line


@given(items, st.sampled_from(["id", "text", "disorder_type", "event_type", "sub_event_type"]))
def test_the_hash_changes_with_what_a_model_or_an_analysis_sees(one, name):
    assert dataclasses.replace(one, **{name: getattr(one, name) + "x"}).hash != one.hash


def test_the_hash_changes_with_the_severity_but_not_with_place_date_or_licence():
    hashes = {item(severity=severity).hash for severity in (0, 1, None)}
    assert len(hashes) == 3
    assert item(place="Naga", date=dt.date(2021, 3, 1), licence="CC", source="ucdp").hash == item().hash


def test_the_hash_is_sha256_of_the_fields_as_json():
    seen = ["a", "text of a", 1, "", "Battles", ""]
    assert (
        item(severity=1, event_type="Battles").hash == hashlib.sha256(json.dumps(seen).encode()).hexdigest()
    )


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"id": " "}, "id", "may not be blank"),
        ({"text": "\n\t"}, "text", "may not be blank"),
        ({"text": "half \ud83d of a pair"}, "text", "surrogate"),
        ({"severity": 2}, "severity", "use 0 (peaceful), 1 (severe) or None"),
        ({"severity": True}, "severity", "has severity True"),
        ({"source": "acledd"}, "source", "did you mean 'acled'?"),
    ],
)
def test_an_item_that_cannot_be_used_is_refused_by_field(values, field, words):
    with pytest.raises(InputError) as caught:
        NewsItem(**{"id": "a", "text": "b"} | values)
    assert words in str(caught.value)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "must be a JSON object"),
        ('{"text": "b"}', "field 'id': is missing"),
        ('{"id": "a"}', "field 'text': is missing"),
        ('{"id": "a", "text": 3}', "field 'text': must be a text, not 3"),
        ('{"id": "a", "text": "b", "severty": 1}', "did you mean 'severity'?"),
        ('{"id": "a", "text": "b", "date": "soon"}', "must be null or YYYY-MM-DD, not 'soon'"),
        ('{"id": "a", "text": "b", "date": 20210224}', "must be null or YYYY-MM-DD, not 20210224"),
        ('{"id": "a", "text": "b", "severity": "1"}', "has severity '1'"),
    ],
)
def test_a_stored_line_that_is_no_item_is_refused_by_field(line, words):
    with pytest.raises(InputError, match=r".") as caught:
        NewsItem.from_json(line)
    assert words in str(caught.value)


def test_two_items_of_one_id_are_refused():
    assert check_items(iter([item("a"), item("b")])) == (item("a"), item("b"))
    with pytest.raises(InputError, match="news items 1 and 3 are both called 'a'"):
        check_items([item("a"), item("b"), item("a")])


def test_the_taxonomy_has_the_25_sub_event_types_of_the_codebook():
    assert len({line.sub_event_type for line in TAXONOMY}) == len(TAXONOMY) == 25
    by_event = {}
    for line in TAXONOMY:
        by_event[line.event_type] = by_event.get(line.event_type, 0) + 1
    assert by_event == {
        "Battles": 3,
        "Protests": 3,
        "Riots": 2,
        "Explosions/Remote violence": 6,
        "Violence against civilians": 3,
        "Strategic developments": 8,
    }


def test_every_line_of_the_taxonomy_has_its_own_severity():
    for line in TAXONOMY:
        assert severity_of(line.disorder_type, line.event_type, line.sub_event_type) == line.severity
        assert severity_of("", "", line.sub_event_type.upper() + " ") == line.severity
        assert disorder_type_of(line.event_type, line.sub_event_type) == line.disorder_type


@pytest.mark.parametrize(
    ("labels", "severity"),
    [
        (("Political violence", "Violence against civilians", "Attack"), 1),
        (("Demonstrations", "Protests", "Peaceful protest"), 0),
        (("Demonstrations", "Protests", "Protest with intervention"), 0),
        (("Political violence; Demonstrations", "Protests", "Excessive force against protesters"), 1),
        (("Demonstrations; Political violence", "Protests", "Excessive force against protestors"), 1),
        (("Demonstrations", "Riots", "Violent demonstration"), 1),
        (("Political violence", "Riots", "Mob violence"), 1),
        (("Strategic developments", "Strategic developments", "Arrests"), None),
        (("", "Battles", ""), 1),
        (("", "Protests", ""), None),
        (("Political violence", "", ""), 1),
        (("", "", ""), None),
        (("", "Riots/Protests", ""), None),
        (("", "Battles", "Peaceful protest"), None),
        (("Demonstrations", "Battles", "Armed clash"), None),
        (("Political violence", "Violence against civilians", "Atack"), None),
    ],
)
def test_severity_follows_from_the_labels_that_are_known_and_agree(labels, severity):
    assert severity_of(*labels) == severity


def test_the_disorder_type_stays_open_where_the_labels_leave_it_open():
    assert disorder_type_of("Battles", "") == "Political violence"
    assert disorder_type_of("Riots", "") == ""
    assert disorder_type_of("Remote violence", "") == ""


def test_a_disorder_type_may_be_several_known_ones_but_no_other():
    assert is_known("disorder_type", "demonstrations; political violence")
    assert not is_known("disorder_type", "Demonstrations; parades")
    assert is_known("event_type", "battles")
    assert not is_known("event_type", "")
    assert not is_known("sub_event_type", "")


arms = st.integers(2, 12)
seeds = st.integers(0, 2**32)


@given(arms, arms, seeds, st.randoms())
def test_a_choice_is_balanced_without_replacement_and_blind_to_the_order_of_the_items(
    n_peaceful, n_severe, seed, random
):
    news = [item(f"p{i}", 0) for i in range(n_peaceful)] + [item(f"s{i}", 1) for i in range(n_severe)]
    news += [item("unknown", None)]
    count = min(n_peaceful, n_severe)
    chosen = choose(news, count, seed)
    assert [one.severity for one in chosen] == [0] * count + [1] * count
    assert len({one.id for one in chosen}) == 2 * count
    shuffled = list(news)
    random.shuffle(shuffled)
    assert choose(shuffled, count, seed) == chosen
    fewer = choose(news, count - 1, seed)
    assert fewer == chosen[: count - 1] + chosen[count : 2 * count - 1]


def test_different_seeds_choose_different_items():
    news = [item(f"{i:02d}", i % 2) for i in range(60)]
    assert len({choose(news, 3, seed) for seed in range(20)}) == 20


def test_a_choice_favours_nobody():
    news = [item(f"{i}", i % 2) for i in range(8)]
    drawn = [one.id for seed in range(400) for one in choose(news, 1, seed)]
    # Each of 4 items of a severity has 100 +- 8.7 in 400 draws.
    assert all(60 < drawn.count(str(i)) < 140 for i in range(8))


@given(st.integers(1, 14), st.integers(1, 5), seeds)
def test_items_without_severities_are_drawn_from_all_and_all_taken_if_they_are_few(n_items, count, seed):
    news = [item(f"{i}", None) for i in range(n_items)]
    chosen = choose(news, count, seed)
    assert len({one.id for one in chosen}) == len(chosen) == min(n_items, 2 * count)
    assert choose(news[::-1], count, seed) == chosen
    assert choose(news, count + 1, seed)[: len(chosen)] == chosen


def test_items_without_severity_never_stand_in_for_missing_ones_of_a_severity():
    with pytest.raises(
        DesignError, match=r"1 peaceful and 0 severe items \(6 of unknown severity\); lower items_"
    ):
        choose([item("a", 0), *(item(f"{i}", None) for i in range(6))], 1, 7)


def test_a_design_that_wants_more_items_than_there_are_says_how_many_there_are():
    news = [item("a", 0), item("b", 1), item("c", 1), item("d", None)]
    with pytest.raises(
        DesignError, match=r"wants 2 items of each severity, but there are 1 peaceful and 2 severe"
    ):
        choose(news, 2, 7)
    with pytest.raises(DesignError, match="at least 1"):
        choose(news, 0, 7)
    with pytest.raises(InputError, match="both called 'a'"):
        choose([*news, item("a", 1)], 1, 7)
