"""What callers give in the place of numbers is taken as numbers, or refused by the name of the argument."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import inspect
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import agentnet
from agentnet import CascadeExperiment, Run, analysis, network, news
from agentnet.analysis import perspectives
from agentnet.analysis.given import numbers
from agentnet.errors import AgentnetError, DesignError, InputError, UserError

NO_NUMBERS: dict[str, Any] = {
    "words": ["a", "b", "c"],
    "rows of unlike length": [[0.1, 0.2], [0.1]],
    "dates": [dt.date(2021, 2, 24)] * 3,
    "a mapping": {"a": 1},
    "complex numbers": np.array([0.1, 0.2j]),
}
TAKE: dict[str, Callable[[Any], object]] = {
    "engaged_fraction": lambda given: analysis.fit_mean_field(given, degree=5),
    "group_share": lambda given: analysis.fit_mean_field([0.1, 0.3, 0.6], degree=5, group_share=given),
    "degree": lambda given: analysis.fit_mean_field([0.1, 0.3, 0.6], degree=given),
    "curves": analysis.noise_floor,
    "ratios": analysis.group_profiles,
    "values": analysis.gini,
    "message": lambda given: analysis.reach(given, [0, 1, 2], 3),
    "stances": analysis.agreed,
    "share": lambda given: analysis.tipping_share(given, [0, 1, 1]),
    "squared": perspectives.classical_scaling,
    "coordinates": perspectives.iso_mirror,
    "before": lambda given: perspectives.change_test(given, np.ones((2, 2))),
    "paths": lambda given: perspectives.polarization(given, [0], [1]),
}


@pytest.mark.parametrize("argument", TAKE)
@pytest.mark.parametrize("given", NO_NUMBERS)
def test_what_are_no_numbers_is_refused_by_the_name_of_the_argument(argument: str, given: str) -> None:
    with pytest.raises(InputError, match=f"field '{argument}'"):
        TAKE[argument](NO_NUMBERS[given])


def test_numbers_of_any_kind_count_alike_and_what_is_masked_is_missing() -> None:
    stances = [[0.0, 1.0, 0.5]]
    expected = analysis.opinion_measures(stances)
    for given in (np.array(stances, dtype=object), pd.DataFrame(stances), np.array(stances, np.float32)):
        assert analysis.opinion_measures(given) == expected
    masked = np.ma.masked_array([[0.0, 1.0, 0.5, 9.0]], mask=[[False, False, False, True]])
    for given in (masked, [[0.0, 1.0, 0.5, None]], pd.DataFrame([[0, 1, 0.5, pd.NA]]).convert_dtypes()):
        assert analysis.opinion_measures(given) == expected
    curve = np.ma.masked_array([0.1, 0.2, 0.4], mask=[False, True, False])
    with pytest.raises(InputError, match="nan"):
        analysis.fit_mean_field(curve, degree=5)
    block = np.ma.masked_array(np.ones((2, 3, 2)), mask=np.arange(12).reshape(2, 3, 2) == 5)
    with pytest.raises(InputError, match="model 0, prompt 2"):
        perspectives.squared_distances([block])


@pytest.mark.parametrize("dtype", ["category", "Int64", "int64[pyarrow]", "boolean"])
def test_columns_of_pandas_are_the_numbers_that_they_hold(dtype: str) -> None:
    for given in (pd.Series([1, 0, None], dtype="Int64").astype(dtype), pd.array([1, 0, None], "Int64")):
        np.testing.assert_equal(numbers(given, "values"), [1.0, 0.0, np.nan])
    np.testing.assert_equal(numbers(pd.Categorical([1, 0, None]), "values"), [1.0, 0.0, np.nan])


def test_a_column_without_gaps_is_not_copied() -> None:
    column = pd.Series(np.arange(9.0))
    assert np.shares_memory(numbers(column, "values"), column.to_numpy())


def test_whole_numbers_keep_all_their_digits_or_are_refused() -> None:
    first = 2**60
    assert analysis.reach([first, first + 1], [0, 1], 2) == {first: 0.5, first + 1: 0.5}
    for given in ([float(first)], [2**70], np.array([2**63 + 1], np.uint64), np.array([1], "M8[s]")):
        with pytest.raises(InputError, match="field 'message': must be"):
            analysis.reach(given, [0], 1)


def test_distances_of_single_precision_are_the_same_both_ways() -> None:
    exact = perspectives.squared_distances([np.random.default_rng(1).normal(size=(5, 2, 3))])
    rounded = np.tril(exact) * (1 + 1e-7) + np.triu(exact, 1)
    np.testing.assert_allclose(
        perspectives.gaps(rounded, [0, 1], [2, 3]), perspectives.gaps(exact, [0, 1], [2, 3]), atol=1e-5
    )


def test_a_share_without_an_outcome_may_be_missing_too() -> None:
    share, adopted = [0.1, 0.2, 0.3, np.nan], [0, 0, 1, np.nan]
    assert analysis.tipping_share(share, adopted).n_missing == 1


def test_one_column_may_be_named_alone(play: Callable[..., Run]) -> None:
    run = play(CascadeExperiment(n_agents=16, degree=3, steps=2, repeats=1, items_per_severity=1))
    assert "n_engaged" in analysis.read_tables(run, columns="n_engaged").exposures.columns


@pytest.mark.parametrize("given", [5, None, int, [CascadeExperiment]])
def test_what_is_no_experiment_is_not_played_and_it_is_said_what_is(given: Any) -> None:
    with pytest.raises(UserError, match=r"play takes an experiment .* not "):
        agentnet.play(given)


def test_numbers_and_arrays_of_numpy_are_taken_where_python_ones_are(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    design: dict[str, Any] = {"n_agents": np.int64(16), "degree": 3, "steps": 1, "items_per_severity": 1}
    made = CascadeExperiment(**design, repeats=1, rationale="none", temperature=np.array([0.5, 0.9]))
    settings = {"engine.workers": np.int32(8), "log.parquet": np.bool_(False)}
    run = agentnet.play(made, seed=np.int64(3), settings=settings, progress=False)
    assert run.meta["seed"] == 3
    assert run.meta["experiment"]["design"][0]["temperature"] == [0.5, 0.9]
    with pytest.raises(UserError, match="network"):
        agentnet.play(CascadeExperiment(**design, network=np.eye(16)), progress=False)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: analysis.fit_run("runs/first"), r"not to str: fit_run\(read_tables\(RUN\)\)"),
        (lambda: analysis.fit_run(pd.DataFrame()), "not to DataFrame"),
        (lambda: analysis.noise_floor([0.1, 0.2]), r"shape \(n_curves, n_steps\); got \(2,\)"),
        (lambda: analysis.agreed(np.zeros((2, 2, 2))), r"got \(2, 2, 2\)"),
        (lambda: analysis.agreed(pd.DataFrame()), "no stance is known"),
        (lambda: analysis.agreed([[1, 1]], tolerance=-1), "at least 0; got -1"),
        (lambda: analysis.opinion_measures(np.zeros((2, 2, 2))), r"got \(2, 2, 2\)"),
        (lambda: analysis.tipping_share([0.1, 0.2], [0]), r"shape of share, \(2,\); got \(1,\)"),
        (lambda: analysis.tipping_share([0.1, 0.2, 0.3], [0, 2, 1]), "must be 1 or 0"),
        (lambda: analysis.tipping_share([0.1, np.inf], [0, 1]), "a share is not finite"),
        (lambda: analysis.reach([0, 1], [5], 6), r"as long as message, \(2,\); got \(1,\)"),
        (lambda: analysis.reach([0], [5], 3), "from 0 to n_agents - 1 = 2"),
        (lambda: analysis.reach([np.nan], [0], 3), "whole numbers, none of them missing"),
        (lambda: analysis.gini([1, np.inf]), "values"),
        (lambda: perspectives.gaps([[0, 1], [2, 0]], [0], [1]), "the same both ways"),
        (lambda: analysis.fit_cavity([0.1, 0.3, 0.6], degree=np.nan), "whole number of at least 1"),
    ],
)
def test_what_would_give_a_wrong_number_or_an_error_of_numpy_is_refused(
    call: Callable[[], object], error: str
) -> None:
    with pytest.raises(AgentnetError, match=error) as refused:
        call()
    assert isinstance(refused.value, InputError | DesignError)


WRONG: dict[str, list[Any]] = {
    "int": [
        "x",
        "2",
        2.5,
        -1,
        None,
        True,
        math.nan,
        math.inf,
        [1],
        1j,
        pd.NA,
        decimal.Decimal(1),
        np.array([1]),
    ],
    "float": [
        "x",
        "0.5",
        None,
        True,
        math.nan,
        math.inf,
        [0.5],
        1j,
        pd.NA,
        decimal.Decimal(1),
        np.array("x"),
    ],
    "bool": ["x", None, 1, 0.0, math.nan, [True]],
    "str": [None, 5, math.nan, b"x", ["x"], True],
}
OPTIONS = [
    (name, public, option, "int" if each.annotation.startswith("Count") else each.annotation.split(" | ")[0])
    for room in (analysis, perspectives, network, news)
    for name, public in ((name, getattr(room, name)) for name in room.__all__)
    if inspect.isfunction(public) and name not in network.GENERATORS
    for option, each in inspect.signature(public).parameters.items()
    if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    if {*each.annotation.split(" | ")} <= {*WRONG, "Count", "None"}
]
"""Each option of each public function that takes a single value."""


@pytest.mark.parametrize(("public", "option", "kind"), [each[1:] for each in OPTIONS])
def test_a_single_value_of_another_kind_is_refused_by_its_name(
    public: Callable[..., Any], option: str, kind: str
) -> None:
    parameters = inspect.signature(public).parameters
    may_be_none = parameters[option].annotation.endswith("None")
    # No array comes so far: what is asked first is the option. The others are whatever is needed.
    others = {
        name: [[0.1, 0.2], [0.3, 0.4]] if "ArrayLike" in each.annotation else _GOOD.get(each.annotation)
        for name, each in parameters.items()
        if each.default is each.empty and each.kind is not each.VAR_KEYWORD
    }
    for wrong in WRONG[kind]:
        if (wrong is None and may_be_none) or (option == "seed" and wrong is WRONG["int"][3]):
            continue
        with pytest.raises(DesignError, match=rf"`{option}` must be .*, not "):
            public(**{**others, option: wrong})


_GOOD = {"int": 3, "float": 0.5, "str": "x", "bool": True, "Count": 3}


def test_the_functions_of_all_public_rooms_are_walked() -> None:
    assert {"group_profiles", "bootstrap", "read_network", "synthesize"} <= {each[0] for each in OPTIONS}
    assert len(OPTIONS) > 80


@pytest.mark.parametrize("level", [95, 0, 1, -0.5, 1.5, np.array(2.5)])
def test_a_level_beyond_its_range_is_refused_wherever_intervals_are_made(
    level: Any, play: Callable[..., Run]
) -> None:
    run = play(CascadeExperiment(n_agents=8, degree=3, steps=1, repeats=1, items_per_severity=1))
    for made in (analysis.answers_by_context, analysis.answers_by_voice):
        with pytest.raises(DesignError, match="level"):
            made(run, level)


def test_single_numbers_of_numpy_are_the_numbers_that_they_hold() -> None:
    ratios = np.random.default_rng(1).uniform(size=(6, 32))
    plain = analysis.group_profiles(ratios, alpha=0.5, n_groups=2, seed=3)
    for alpha in (np.array(0.5), np.float32(0.5), fractions.Fraction(1, 2)):
        found = analysis.group_profiles(ratios, alpha=alpha, n_groups=np.array(2), seed=np.int64(3))  # type: ignore[arg-type] # as the test says
        assert found.frame().equals(plain.frame())


@pytest.mark.parametrize("condition", [95, 1])
def test_a_condition_that_is_not_there_has_no_empty_results(condition: int, play: Callable[..., Run]) -> None:
    run = play(CascadeExperiment(n_agents=8, degree=3, steps=1, repeats=1, items_per_severity=1))
    for read in (analysis.trees_of, analysis.answers_by_voice, analysis.message_drift):
        with pytest.raises(UserError, match=f"no condition {condition}"):
            read(run, condition=condition)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: analysis.answers_by_context("runs/first"), "run"),  # type: ignore[arg-type] # as the name says
        (lambda: analysis.wald(None, ["openness"]), "fit"),  # type: ignore[arg-type] # as the name says
        (lambda: analysis.response_ratios({"kind": [1]}), "decisions"),  # type: ignore[arg-type] # as the name says
        (lambda: news.check_items(iter([1, 2])), "items"),  # type: ignore[list-item] # as the name says
        (lambda: news.facts_of_news([]), "items"),
        (lambda: network.facts_of({"a": 1}), "network"),  # type: ignore[arg-type] # as the name says
        (lambda: analysis.tukey_test({1, 2}), "observations"),  # type: ignore[arg-type] # as the name says
        (lambda: analysis.noise_floor([[0.1, 0.2]] * 3, severity=[0, 1]), "severity"),
        (lambda: perspectives.beside_own_class([0.5], ["a"]), "coordinates"),
        (lambda: perspectives.beside_own_class(np.zeros((1, 3, 2)), ["a", "b"]), "coordinates"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_argument(call: Callable[[], object], argument: str) -> None:
    with pytest.raises(InputError, match=f"field '{argument}': "):
        call()


def test_public_functions_can_be_pickled() -> None:
    for function in (analysis.gini, perspectives.gaps, network.read_network, news.choose):
        assert pickle.loads(pickle.dumps(function)) is function
