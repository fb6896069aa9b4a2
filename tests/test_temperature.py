"""Temperatures: a whole range, or a few levels of it that many draws share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agentnet.config import SamplerSettings
from agentnet.streams import Streams
from agentnet.worlds import Temperature, draw_parameters

ALMOST_ONE = 1.0 - 2.0**-53
levels = st.integers(1, 5000)
quantiles = st.lists(st.floats(0.0, 1.0, exclude_max=True) | st.just(ALMOST_ONE), min_size=1).map(np.array)


def middles(low, high, levels):
    """The middles of `levels` equal parts."""
    edges = np.linspace(low, high, levels + 1)
    return (edges[:-1] + edges[1:]) / 2


@given(quantiles=quantiles)
def test_without_levels_the_quantiles_are_stretched_over_the_range(quantiles):
    found = Temperature(0.7, 1.3).at(quantiles)
    assert found == pytest.approx(0.7 + 0.6 * quantiles)
    assert ((found >= 0.7) & (found <= 1.3)).all()


@given(levels=levels, quantiles=quantiles)
def test_with_levels_every_temperature_is_the_middle_of_its_part_of_the_range(levels, quantiles):
    found = Temperature(0.7, 1.3, levels).at(quantiles)
    expected = middles(0.7, 1.3, levels)[(quantiles * levels).astype(int)]
    assert found == pytest.approx(expected, rel=1e-12)


@given(levels=levels)
def test_the_largest_quantile_stays_in_the_last_level(levels):
    (found,) = Temperature(0.0, 1.0, levels).at(np.array([ALMOST_ONE]))
    assert found == pytest.approx(1.0 - 0.5 / levels, rel=1e-12)


def test_draws_of_a_level_have_the_very_same_temperature():
    found = Temperature(0.7, 1.3, 4).at(np.linspace(0.0, ALMOST_ONE, 1001))
    assert sorted(set(found.tolist())) == pytest.approx([0.775, 0.925, 1.075, 1.225])


def test_one_level_is_the_middle_of_the_range():
    found = Temperature(0.7, 1.3, 1).at(np.array([0.0, 0.5, ALMOST_ONE]))
    assert set(found.tolist()) == {0.7 + (1.3 - 0.7) * 0.5}


@given(value=st.floats(0.0, 2.0), levels=st.none() | levels)
def test_a_constant_temperature_is_constant(value, levels):
    found = Temperature(value, value, levels).at(np.array([0.0, 0.3, ALMOST_ONE]))
    assert set(found.tolist()) == {value}


@given(shape=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_the_shape_is_kept(shape):
    assert Temperature(0.7, 1.3, 4).at(np.zeros(shape)).shape == shape


def test_levels_are_equally_likely_and_leave_the_seeds_alone():
    positions, key = np.arange(20_000), ("exposure", 3, 1)
    streams = Streams(5)
    coarse, seeds = draw_parameters(streams, key, positions, Temperature(0.7, 1.3, 4))
    fine, seeds_of_fine = draw_parameters(streams, key, positions, Temperature(0.7, 1.3))
    _, counts = np.unique(coarse, return_counts=True)
    assert len(counts) == 4
    assert stats.chisquare(counts).pvalue > 0.01
    assert seeds == seeds_of_fine
    # The same quantile, only rounded: each is within half a part of the other.
    assert np.abs(np.array(coarse) - np.array(fine)).max() <= 0.6 / 4 / 2 + 1e-12


@pytest.mark.parametrize(
    ("mode", "given", "in_force"),
    [
        ("call", None, None),
        ("call", 3, 3),
        ("choices", None, 4),
        ("choices", 1, 1),
        ("logprobs", None, 4),
        ("logprobs", 9, 9),
    ],
)
def test_modes_that_share_samples_have_four_levels_unless_told_otherwise(mode, given, in_force):
    assert SamplerSettings(mode=mode, temperature_levels=given).levels == in_force


def test_there_is_no_range_of_no_levels():
    with pytest.raises(ValueError, match="temperature_levels"):
        SamplerSettings(temperature_levels=0)
