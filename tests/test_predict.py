"""Predicting sharing ratios from perspectives: what is planted is found, chance is not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from agentnet.analysis.predict import PENALTIES, held_out, make_folds, predict_ratios
from agentnet.analysis.profile_runs import ProfileAnswers, SharingCounts
from agentnet.errors import DesignError, InputError
from agentnet.vocabulary import PROFILES

BITS = np.array([[int(bit) for bit in profile] for profile in PROFILES], dtype=float)
FEW = {"n_folds": 4, "n_repeats": 1, "n_permutations": 49}


def random_table(seed: int, n_rows: int, n_columns: int) -> Any:
    return np.random.default_rng(seed).normal(size=(n_rows, n_columns))


def answers_at(places: Any, profiles: Any = PROFILES, **facts: Any) -> ProfileAnswers:
    """Make answers to one question whose vectors are `places`."""
    return ProfileAnswers(tuple(profiles), np.asarray(places, dtype=np.float32)[:, None], ("q",), **facts)


def shared(probability: Any, n: int = 200, seed: int = 0, **facts: Any) -> SharingCounts:
    """Draw decisions of all profiles."""
    n_yes = np.random.default_rng(seed).binomial(n, probability)
    return SharingCounts(PROFILES, n_yes, n - n_yes, np.zeros(32, dtype=np.int64), **facts)


# Ridge regression


@pytest.mark.parametrize(("n_features", "n_folds"), [(3, None), (40, None), (6, 5), (31, 4)])
def test_predictions_are_those_of_scikit_learns_pipeline(n_features: int, n_folds: int | None) -> None:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = random_table(1, 20, n_features) * np.arange(1, n_features + 1)
    y = np.column_stack([x[:, 0] + random_table(2, 20, 1)[:, 0], random_table(3, 20, 1)[:, 0]])
    folds = make_folds(20, n_folds, 1, seed=5)
    of_row = np.empty(20, dtype=int)
    for number, fold in enumerate(folds):
        of_row[fold] = number
    penalties = PENALTIES[4:16]
    found = held_out(x, y, folds, penalties)
    for column in range(2):
        pipeline = make_pipeline(StandardScaler(), RidgeCV(alphas=penalties))
        expected = cross_val_predict(pipeline, x, y[:, column], cv=PredefinedSplit(of_row))
        assert_allclose(found.predicted[:, column], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("penalty", [0.01, 1.0, 300.0])
def test_leaving_out_one_of_all_profiles_has_a_closed_form(penalty: float) -> None:
    # Whichever profile is left out, each trait keeps 15 of one level and 16 of the other: one scale for all.
    scale = np.sqrt(15 * 16) / 31
    y = random_table(0, 32, 2)
    centred = BITS - 0.5
    inner = centred.T @ centred + penalty * scale**2 * np.eye(5)
    hat = centred @ np.linalg.solve(inner, centred.T) + 1 / 32
    residuals = (y - hat @ y) / (1 - np.diag(hat))[:, None]
    found = held_out(BITS, y, make_folds(32), (penalty,))
    assert_allclose(found.errors, residuals**2, rtol=1e-9)
    assert_allclose(y - found.predicted, residuals, rtol=1e-9)


def test_the_penalty_is_the_one_of_least_leave_one_out_error() -> None:
    x, y = random_table(4, 12, 4), random_table(5, 12, 1)
    candidates = (0.1, 1.0, 10.0, 100.0)
    fold = np.array([0, 1])
    rest = np.arange(2, 12)
    scaled = (x[rest] - x[rest].mean(axis=0)) / x[rest].std(axis=0)

    def guess(learnt: Any, new: Any, penalty: float) -> Any:
        centre = scaled[learnt].mean(axis=0)
        part = scaled[learnt] - centre
        mean = y[rest][learnt].mean()
        weights = np.linalg.solve(part.T @ part + penalty * np.eye(4), part.T @ (y[rest][learnt] - mean))
        return mean + (new - centre) @ weights

    def error(penalty: float) -> float:
        each = [guess(np.delete(np.arange(10), i), scaled[i], penalty)[0] - y[rest][i, 0] for i in range(10)]
        return float(np.mean(np.square(each)))

    best = min(candidates, key=error)
    new = (x[fold] - x[rest].mean(axis=0)) / x[rest].std(axis=0)
    # Every other row is held out, too, in a fold of its own kind: only the first is looked at.
    found = held_out(x, y, [fold, rest], candidates)
    assert_allclose(found.predicted[fold], guess(np.arange(10), new, best), rtol=1e-9)


@given(seed=st.integers(0, 1000), n_rows=st.integers(6, 20), n_repeats=st.integers(1, 3))
@settings(max_examples=25)
def test_each_row_is_held_out_once_a_repeat_in_folds_of_nearly_one_size(
    seed: int, n_rows: int, n_repeats: int
) -> None:
    folds = make_folds(n_rows, 3, n_repeats, seed=seed)
    assert len(folds) == 3 * n_repeats
    assert np.bincount(np.concatenate(folds)).tolist() == [n_repeats] * n_rows
    sizes = {len(fold) for fold in folds}
    assert max(sizes) - min(sizes) <= 1


def test_the_baseline_is_the_mean_of_the_rows_that_are_left() -> None:
    y = np.arange(6.0)[:, None]
    found = held_out(np.ones((6, 1)), y, make_folds(6))
    assert_allclose(found.baseline[:, 0], [(i - (15 - i) / 5) ** 2 for i in range(6)])
    # A feature that does not vary says nothing: the mean is all there is to predict.
    assert_allclose(found.errors, found.baseline)
    assert_allclose(found.r_squared, 0.0, atol=1e-12)


def test_columns_of_targets_do_not_touch_each_other() -> None:
    x, y = random_table(6, 15, 4), random_table(7, 15, 3)
    folds = make_folds(15, 5, 2)
    together = held_out(x, y, folds)
    for column in range(3):
        alone = held_out(x, y[:, [column]], folds)
        assert_allclose(alone.predicted[:, 0], together.predicted[:, column], rtol=1e-12)


@pytest.mark.parametrize(
    ("n_rows", "n_folds", "n_repeats", "words"),
    [
        (8, 9, 1, "8 profiles cannot be dealt 1 times to 9 folds"),
        (8, 1, 1, "folds are 2 at least"),
        (8, 4, 0, "dealt 0 times"),
        (1, None, 1, "1 profiles cannot be dealt"),
        (3, None, 1, "leave 2 to learn from; at least 3"),
        (5, 2, 1, "5 profiles in 2 folds leave 2"),
    ],
)
def test_too_few_profiles_for_the_folds_are_refused(
    n_rows: int, n_folds: int | None, n_repeats: int, words: str
) -> None:
    with pytest.raises(DesignError, match=words):
        make_folds(n_rows, n_folds, n_repeats)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.ones((4, 2)), np.ones((5, 1)), "tables of the same rows"),
        (np.ones((4, 2)), np.ones(4), "tables of the same rows"),
        (np.full((4, 2), np.nan), np.ones((4, 1)), "finite"),
    ],
)
def test_tables_that_do_not_fit_are_refused(x: Any, y: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        held_out(x, y, make_folds(4))


# Ratios from perspectives


def test_a_planted_linear_relation_is_found_up_to_the_ceiling() -> None:
    places = random_table(8, 32, 3)
    counts = shared(np.clip(0.5 + 0.1 * places[:, 0] - 0.1 * places[:, 2], 0.01, 0.99))
    found = predict_ratios(answers_at(places), counts, n_dims=3, n_permutations=199)
    assert 0.9 < found.ceiling < 1
    assert found.perspectives.r_squared == pytest.approx(found.ceiling, abs=0.05)
    assert found.perspectives.p_value == 1 / 200
    # The traits do not know of it, and what they lack is in the perspectives.
    assert found.traits.r_squared < 0.5
    assert found.gain > 0.3
    assert found.gain_p_value == 1 / 200
    assert (found.n_dims, found.explained_share) == (3, pytest.approx(1.0))


def test_p_values_are_uniform_where_perspectives_say_nothing() -> None:
    by_trait = 0.3 + 0.4 * BITS[:, 0]
    found = [
        predict_ratios(answers_at(random_table(seed, 32, 6)), shared(by_trait, 30, seed + 500), **FEW)  # type: ignore[arg-type]
        for seed in range(40)
    ]
    for p_values in ([each.perspectives.p_value for each in found], [each.gain_p_value for each in found]):
        assert stats.kstest(p_values, "uniform").pvalue > 0.01
        assert 0.35 < np.mean(p_values) < 0.65
    assert np.mean([each.perspectives.r_squared for each in found]) < 0.05
    assert all(each.traits.p_value == 1 / 50 for each in found)


def test_perspectives_that_repeat_the_traits_add_nothing_to_them() -> None:
    turn = random_table(9, 5, 8)
    probability = 1 / (1 + np.exp(-4 * BITS[:, 0] + 2 * BITS[:, 3] + 1))
    found = predict_ratios(answers_at(BITS @ turn), shared(probability), **FEW)  # type: ignore[arg-type]
    assert found.both.n_features == 5
    assert (found.gain, found.gain_p_value) == (0.0, 1.0)
    assert found.both.r_squared == found.traits.r_squared
    assert "cannot add anything" in " ".join(found.notes)


def test_perspectives_that_know_how_traits_act_together_add_to_them() -> None:
    together = BITS[:, 0] * BITS[:, 2]
    places = np.column_stack([BITS, 3 * together])
    found = predict_ratios(answers_at(places), shared(0.1 + 0.7 * together), n_dims=6, n_permutations=199)
    assert found.both.r_squared > found.traits.r_squared + 0.1
    assert found.gain == pytest.approx(found.both.r_squared - found.traits.r_squared)
    assert found.gain_p_value == 1 / 200


def test_the_ceiling_is_what_the_true_probabilities_reach_on_average() -> None:
    probability = 0.2 + 0.6 * BITS[:, 1] * BITS[:, 4]
    reached, ceilings = [], []
    for seed in range(40):
        counts = shared(probability, 20, seed)
        found = predict_ratios(answers_at(BITS), counts, **FEW)  # type: ignore[arg-type]
        others = (found.ratio.sum() - found.ratio) / 31
        noise, spread = ((found.ratio - truth) ** 2 for truth in (probability, others))
        reached.append(1 - noise.sum() / spread.sum())
        ceilings.append(found.ceiling)
    assert np.mean(ceilings) == pytest.approx(np.mean(reached), abs=0.01)


def test_ratios_that_differ_by_chance_alone_are_said_to() -> None:
    ceilings = []
    for seed in range(20):
        found = predict_ratios(answers_at(BITS), shared(np.full(32, 0.5), 10, seed), **FEW)  # type: ignore[arg-type]
        ceilings.append(found.ceiling)
        assert ("nothing to predict" in " ".join(found.notes)) == (found.ceiling <= 0)
    assert abs(np.mean(ceilings)) < 0.2
    assert min(ceilings) < 0 < max(ceilings)


def test_the_same_seed_gives_the_same_and_everything_goes_into_json() -> None:
    counts = shared(
        0.2 + 0.5 * BITS[:, 0], run="b", model_name="law", label="a law decided", notes=("not finished",)
    )
    counts = replace(counts, n_missing=np.full(32, 3))
    answers = answers_at(
        random_table(10, 32, 4),
        run="a",
        model_name="talker",
        label="a mock answered",
        left_out={"x": "empty"},
    )
    found = predict_ratios(answers, counts, n_dims=9, seed=3, **FEW)  # type: ignore[arg-type]
    again = predict_ratios(answers, counts, n_dims=9, seed=3, **FEW)  # type: ignore[arg-type]
    spelled = json.dumps(found.as_json())
    assert spelled == json.dumps(again.as_json())
    read = json.loads(spelled)
    assert read["labels"] == ["a mock answered", "a law decided"]
    assert (read["n_dims"], read["n_folds"], read["n_repeats"], read["n_permutations"]) == (4, 4, 1, 49)
    assert read["left_out"] == {"x": "empty"}
    assert read["scores"]["both"]["n_features"] == 9
    assert read["notes"] == [
        "not finished",
        "two models: talker answered, law decided",
        "left out, as an answer is missing: 1 of the questions",
        "96 of 6,496 decisions are missing, and count for nothing",
    ]
    row = read["profiles"][16]
    assert row["profile"] == "10000"
    assert row["ratio"] == row["n_yes"] / 200
    assert row["standard_error"] == pytest.approx(np.sqrt(row["ratio"] * (1 - row["ratio"]) / 199))
    assert set(row["predicted"]) == {"perspectives", "traits", "both"}


def test_missing_decisions_are_left_out_of_ratios() -> None:
    n_yes, n_no = np.arange(2, 34), np.full(32, 10)
    counts = SharingCounts(PROFILES, n_yes, n_no, np.full(32, 1000))
    found = predict_ratios(answers_at(BITS), counts, **FEW)  # type: ignore[arg-type]
    assert_allclose(found.ratio, n_yes / (n_yes + 10))


PART = tuple(range(3, 32))


@pytest.mark.parametrize(
    ("answers", "counts", "words"),
    [
        (
            answers_at(BITS[3:], PROFILES[3:], run="a"),
            shared(np.full(32, 0.5)),
            "a has no answers of profiles 00000, 00001, 00010, which the other run has",
        ),
        (
            answers_at(BITS),
            SharingCounts(PROFILES[:31], np.arange(31), np.ones(31, int), np.zeros(31, int), run="b"),
            "b has no decisions of profile 11111,",
        ),
        (
            answers_at(BITS[:1], PROFILES[:1]),
            shared(np.full(32, 0.5)),
            "the perspectives has no answers of profiles 00001, 00010, 00011, 00100, 00101 and 26 more",
        ),
        (answers_at(BITS), shared(np.zeros(32), run="b"), "all profiles of b share with the same ratio, 0"),
        (answers_at(np.ones((32, 4))), shared(np.full(32, 0.5)), "answered alike: they have no perspectives"),
        (
            answers_at(BITS),
            SharingCounts(PROFILES, np.ones(32, int), np.array([0, *[1] * 31]), np.zeros(32, int)),
            "profile 00000 of the ratios made fewer than 2 decisions",
        ),
    ],
)
def test_what_cannot_be_joined_or_predicted_is_refused(
    answers: ProfileAnswers, counts: SharingCounts, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        predict_ratios(answers, counts)


def test_impossible_numbers_are_refused() -> None:
    answers, counts = answers_at(BITS), shared(0.2 + 0.5 * BITS[:, 0])
    with pytest.raises(DesignError, match="n_permutations is 0"):
        predict_ratios(answers, counts, n_permutations=0)
    with pytest.raises(DesignError, match="n_dims must be at least 1"):
        predict_ratios(answers, counts, n_dims=0)
    with pytest.raises(DesignError, match="33 folds"):
        predict_ratios(answers, counts, n_folds=33)


@pytest.mark.parametrize("profiles", [("00001", "00000"), ("00000", "00000"), ("00000",), ("00000", "1")])
def test_rows_that_are_not_of_ascending_profiles_are_refused(profiles: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="a row for each profile"):
        ProfileAnswers(profiles, np.zeros((2, 1, 1), dtype=np.float32))
    with pytest.raises(InputError, match="n_yes must have a row for each profile"):
        SharingCounts(profiles, *np.zeros((3, 2), dtype=np.int64))
