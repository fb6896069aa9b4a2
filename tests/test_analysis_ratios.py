"""Response ratios: every decision is counted once, a missing one never as a no."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet import ResponseRatioExperiment
from agentnet.analysis.ratios import ResponseRatios, count_responses, response_ratios
from agentnet.backend import make_backend
from agentnet.errors import InputError
from agentnet.vocabulary import N_PROFILES, PROFILES

SEVERITIES = {"n0": 0, "n1": 1, "n2": None, "n3": 0}
rows_of = st.lists(
    st.tuples(st.sampled_from(sorted(SEVERITIES)), st.integers(0, 31), st.sampled_from([0, 1, None])),
    min_size=1,
)


def counted(rows) -> ResponseRatios:
    news, profile, decision = zip(*rows, strict=True)
    return count_responses(news, [SEVERITIES[name] for name in news], profile, decision)


@settings(max_examples=60)
@given(rows=rows_of)
def test_every_decision_is_counted_once_by_item_and_profile(rows):
    found = counted(rows)
    assert set(found.news) == {news for news, _, _ in rows}
    expected = Counter(rows)
    for i, news in enumerate(found.news):
        assert found.severity[i] == SEVERITIES[news]
        for profile in range(N_PROFILES):
            cell = [found.counts.n_no, found.counts.n_yes, found.counts.n_missing]
            values = [int(counts[i, profile]) for counts in cell]
            assert values == [expected[news, profile, decision] for decision in (0, 1, None)]


@settings(max_examples=60)
@given(rows=rows_of)
def test_ratios_lie_between_their_bounds_which_meet_where_nothing_is_missing(rows):
    counts = counted(rows).counts
    asked = counts.n_asked > 0
    known = counts.n_yes + counts.n_no > 0
    assert np.isnan(counts.ratio[~known]).all()
    assert np.isnan(counts.lowest[~asked]).all()
    assert (counts.lowest[known] <= counts.ratio[known]).all()
    assert (counts.ratio[known] <= counts.highest[known]).all()
    whole = asked & (counts.n_missing == 0)
    np.testing.assert_array_equal(counts.lowest[whole], counts.highest[whole])


def test_a_missing_decision_is_never_a_no():
    rows = [("n0", 3, decision) for decision in (1, 1, 1, None)]
    counts = counted(rows).counts
    assert (counts.ratio[0, 3], counts.lowest[0, 3], counts.highest[0, 3]) == (1.0, 0.75, 1.0)
    all_missing = counted([("n0", 3, None)]).counts
    assert np.isnan(all_missing.ratio[0, 3])
    assert (all_missing.lowest[0, 3], all_missing.highest[0, 3]) == (0.0, 1.0)


def test_items_stand_by_severity_each_in_the_order_of_their_first_decision():
    rows = [(name, 0, 1) for name in ("n2", "n1", "n3", "n0", "n1", "n3")]
    found = counted(rows)
    assert found.news == ("n3", "n0", "n1", "n2")
    assert found.severity == (0, 0, 1, None)
    assert found.items_of(0).tolist() == [0, 1]
    assert found.items_of(None).tolist() == [3]


def test_decisions_are_pooled_by_severity():
    rows = [("n0", 5, 1), ("n3", 5, 0), ("n3", 5, 0), ("n1", 5, 1), ("n1", 5, None)]
    found = counted(rows)
    assert found.pooled(0).ratio[5] == pytest.approx(1 / 3)
    assert (found.pooled(1).ratio[5], found.pooled(1).lowest[5]) == (1.0, 0.5)
    assert found.pooled(None).n_asked.sum() == 0
    summary = found.summary()
    assert len(summary) == 64
    row = summary[(summary["severity"] == 1) & (summary["profile"] == PROFILES[5])].iloc[0]
    assert (row["n_yes"], row["n_no"], row["n_missing"], row["highest"]) == (1, 0, 1, 1.0)


def test_the_frame_has_a_row_for_each_item_and_profile():
    frame = counted([("n0", 31, 1), ("n2", 0, None)]).frame()
    assert frame.columns.tolist() == [
        *("news", "severity", "profile", "n_yes", "n_no", "n_missing", "ratio", "lowest", "highest")
    ]
    assert len(frame) == 64
    assert frame.loc[31, ["news", "severity", "profile", "n_yes", "ratio"]].tolist() == [
        "n0",
        0,
        "11111",
        1,
        1.0,
    ]
    assert frame["severity"].isna().tolist() == [False] * 32 + [True] * 32


def test_profiles_may_be_bits_or_numbers():
    found = count_responses(["a"] * 3, [0] * 3, ["01101", 13, np.int8(13)], [1, 1, 0])
    assert found.counts.n_yes[0, 13] == 2
    assert found.counts.n_no[0, 13] == 1


@pytest.mark.parametrize("dtype", [object, "float64", "Int64", "Float64", "bool"])
def test_decisions_may_come_in_any_type_of_column(dtype):
    decision = pd.Series([True, False] if dtype == "bool" else [1, 0], dtype=dtype)
    found = count_responses(["a", "a"], [0, 0], [1, 1], decision)
    assert (found.counts.n_yes[0, 1], found.counts.n_no[0, 1]) == (1, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decision": [1, 2]}, r"field 'decision': row 1 \(counted from 0\) has 2; it must be 0, 1 or"),
        ({"decision": [1, "no"]}, "row 1 .* has 'no'"),
        ({"decision": [1, 0.5]}, "row 1 .* has 0.5"),
        ({"severity": [0, 3]}, "field 'severity': row 1"),
        ({"severity": [0, 1]}, "item 'a' has several severities"),
        ({"severity": [0, None]}, "item 'a' has several severities"),
        ({"profile": ["00000", "1101"]}, r"field 'profile': '1101' is no profile; .*has lost its zeros"),
        ({"profile": ["00000", 1101]}, "1101 is no profile"),
        ({"profile": ["00000", 32]}, "32 is no profile"),
        ({"profile": ["00000", -1]}, "-1 is no profile"),
        ({"profile": ["00000", True]}, "True is no profile"),
        ({"profile": ["00000", "0110٢"]}, "is no profile"),
        ({"profile": ["00000", None]}, r"field 'profile': row 1 \(counted from 0\) has no profile"),
        ({"news": ["a", None]}, r"field 'news': row 1 \(counted from 0\) names no item"),
        ({"news": ["a"]}, "news 1, severity 2"),
        ({"news": [], "severity": [], "profile": [], "decision": []}, "one length of at least 1"),
    ],
)
def test_an_impossible_value_is_named_by_column_and_row(change, said):
    columns = {
        "news": ["a", "a"],
        "severity": [0, 0],
        "profile": ["00000", "00001"],
        "decision": [1, 0],
        **change,
    }
    with pytest.raises(InputError, match=said):
        count_responses(**columns)


class Few(ResponseRatioExperiment):
    items_per_severity = 2
    repeats = 3


@pytest.fixture(scope="module")
def run(play):
    """Play a small response-ratio experiment in which some replies are unusable."""
    return play(Few(), backend=make_backend("mock", {"invalid_rate": 0.3}), max_asks=1)


def test_the_ratios_of_a_run_are_those_of_its_decisions(run):
    frame = run.frame("decisions")
    found = response_ratios(frame)
    assert (len(found.news), found.severity) == (4, (0, 0, 1, 1))
    assert (found.counts.n_asked == 3).all()
    assert found.counts.n_missing.sum() == frame["decision"].isna().sum() > 0
    for news, profile, group in ((*key, rows) for key, rows in frame.groupby(["news", "profile"])):
        valid = group["decision"].dropna()
        cell = found.counts.ratio[found.news.index(news), int(profile, 2)]
        if len(valid):
            assert Fraction(cell).limit_denominator(9) == Fraction(int(valid.sum()), len(valid))
        else:
            assert np.isnan(cell)


def test_a_table_read_back_from_parquet_gives_the_same(run, tmp_path):
    frame = run.frame("decisions")
    frame.to_parquet(tmp_path / "decisions.parquet")
    again = response_ratios(pd.read_parquet(tmp_path / "decisions.parquet"))
    pd.testing.assert_frame_equal(again.frame(), response_ratios(frame).frame())


def test_kinds_that_are_not_there_are_refused_with_those_that_are(run):
    with pytest.raises(InputError, match="no decisions of kind exposure or seed; the kinds there are: ratio"):
        response_ratios(run.frame("decisions"), kinds=("exposure", "seed"))
    with pytest.raises(InputError, match="no kind 'ratios' of decisions; did you mean 'ratio'"):
        response_ratios(run.frame("decisions"), kinds=("ratios",))
    with pytest.raises(InputError, match="none at all"):
        response_ratios(run.frame("decisions").iloc[:0])


def test_a_missing_column_is_named_with_the_nearest(run):
    with pytest.raises(InputError, match="'decision': there is no such column; did you mean 'decisions'"):
        response_ratios(run.frame("decisions").rename(columns={"decision": "decisions"}))


def test_kinds_are_counted_as_asked_for():
    frame = pd.DataFrame(
        {
            "kind": ["ratio", "exposure", "seed"],
            "profile": ["00000"] * 3,
            "news": ["a"] * 3,
            "severity": [1] * 3,
            "decision": [1, 0, None],
        }
    )
    assert response_ratios(frame).counts.n_asked.sum() == 1
    both = response_ratios(frame, kinds=("exposure", "seed")).counts
    assert (both.n_no.sum(), both.n_missing.sum(), both.n_yes.sum()) == (1, 1, 0)
