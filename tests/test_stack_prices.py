"""Prices: a table that the user overrides, dated snapshots, and nothing guessed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.stack import Price, Prices


@pytest.fixture(scope="module")
def prices():
    return Prices.load()


def test_the_table_is_whole(prices):
    assert len(prices.table) > 20
    for name, price in prices.table.items():
        # What is computed in this process is named by its weights; people are paid by who invites them.
        if name.startswith("mock-") or "@" in name or name == "people":
            assert price == Price(0.0, 0.0), name
            continue
        assert 0 < price.input < 1000, name
        assert (
            price.output == 0 if name.startswith("text-embedding") else price.input <= price.output < 1000
        ), name


def test_the_model_of_the_paper_and_the_cheap_ones_are_listed(prices):
    assert prices.of("gpt-3.5-turbo-1106") == Price(1.0, 2.0)
    assert prices.of("gpt-4o-mini") == Price(0.15, 0.6)


@pytest.mark.parametrize("name", ["gpt-4o-mini", "gpt-4.1", "gpt-5"])
def test_a_dated_snapshot_costs_what_its_model_costs(prices, name):
    assert prices.of(f"{name}-2025-01-31") == prices.of(name)


def test_a_snapshot_with_a_price_of_its_own_has_that(prices):
    assert prices.of("gpt-4o-2024-05-13") == Price(5.0, 15.0) != prices.of("gpt-4o")


@pytest.mark.parametrize(
    "name",
    [
        *("", "gpt", "gpt-4o-", "gpt-4o-audio-preview", "gpt-4o-mini-2024", "gpt-4o-mini-2024-07-18-tuned"),
        *(
            "gpt-3.5-turbo-16k",
            "gpt-4-32k",
            "ft:gpt-4o-mini-2024-07-18:me",
            "GPT-4o",
            "llama-3",
            "mock-paper",
        ),
    ],
)
def test_no_price_is_guessed(prices, name):
    assert prices.of(name) is None


def test_the_users_prices_come_first():
    mine = Prices.load({"gpt-4o-mini": Price(1.0, 2.0), "local": Price(0.0, 0.0)})
    assert mine.of("gpt-4o-mini") == mine.of("gpt-4o-mini-2024-07-18") == Price(1.0, 2.0)
    assert mine.of("local") == Price(0.0, 0.0)
    assert mine.of("gpt-4o") == Price(2.5, 10.0)


tokens = st.integers(0, 10**12)


@given(price=st.builds(Price, st.floats(0, 1e3), st.floats(0, 1e3)), few=tokens, more=tokens, out=tokens)
def test_more_tokens_never_cost_less(price, few, more, out):
    """Rounding included: the budget's bound relies on it."""
    few, more = sorted((few, more))
    assert price.cost(few, out) <= price.cost(more, out)
    assert price.cost(out, few) <= price.cost(out, more)


def test_prices_are_for_a_million_tokens():
    assert Price(0.15, 0.6).cost(2_000_000, 1_000_000) == pytest.approx(0.9)
    assert math.copysign(1, Price(0.0, 0.0).cost(5, 5)) == 1
