"""What a load says: quantiles, money, the knee of a sweep, plots; and what is asked."""

import asyncio
import json
import math
from itertools import count, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet import CascadeExperiment
from agentnet.backend import Reply, Request
from agentnet.bench import (
    Bound,
    Call,
    MeasuredLoad,
    closed_loop,
    exposure_requests,
    knee,
    measure,
    sweep_load,
)
from agentnet.bench.figures import latency_quantiles
from agentnet.bench.load import UNANSWERED
from agentnet.bench.plot import check_plot_file, draw_levels
from agentnet.bench.sweep import doublings
from agentnet.errors import BackendUnusable, StorageError, TransientError, UserError
from agentnet.profiles import all_profiles
from agentnet.streams import Streams
from agentnet.testing import ScriptedBackend, run_in_virtual_time

latencies = st.lists(st.integers(1, 20).map(float), max_size=12)
QUANTILES = (0.1, 0.5, 0.9, 0.95, 0.99)


def requests():
    return (Request((("user", "Do you share it?"),), seed=number) for number in count())


def load(*calls, n_warm_up=0, from_s=0.0, to_s=10.0, in_flight=2, rate=None):
    return MeasuredLoad(in_flight, rate, calls, n_warm_up, from_s, to_s, False, None)


def reply(number, ended_s=1.0, **changes):
    return Call(number, 0.0, 0.0, ended_s, "", 1, 1, 100, 10)._replace(**changes)


# Latencies


@given(answered=latencies.filter(bool))
def test_if_all_calls_were_answered_the_quantiles_are_those_of_their_latencies(answered):
    expected = np.quantile(answered, QUANTILES, method="inverted_cdf")
    assert latency_quantiles(answered, [], QUANTILES) == expected.tolist()


def redistributed_to_the_right(answered, unanswered, quantile):
    """Efron (1967): the weight of a censored time goes, in equal parts, to all later ones."""
    # Of equal times, the answered come first: an unanswered call took longer than its time.
    marks = sorted([(time, 0) for time in answered] + [(time, 1) for time in unanswered])
    weights = [1.0 / len(marks)] * len(marks)
    total = 0.0
    for i, (time, is_unanswered) in enumerate(marks):
        later = len(marks) - i - 1
        if is_unanswered:
            for j in range(i + 1, len(marks)):
                weights[j] += weights[i] / later
        else:
            total += weights[i]
            following = marks[i + 1] if later else None
            if total >= quantile - 1e-9 and following != (time, 0):
                return time
    return math.inf


@given(answered=latencies, unanswered=latencies)
def test_unanswered_calls_took_longer_than_they_waited(answered, unanswered):
    if answered or unanswered:
        found = latency_quantiles(answered, unanswered, QUANTILES)
        assert found == [redistributed_to_the_right(answered, unanswered, q) for q in QUANTILES]


def test_a_worked_example_of_the_product_limit_estimator():
    # Survival falls to 5/6 at 1, to 5/6 * 3/4 at 3 and to 5/6 * 3/4 * 1/2 at 5.
    answered, unanswered = [1.0, 3.0, 5.0], [2.0, 4.0, 6.0]
    for share, expected in (
        (0.16, 1.0),
        (0.17, 3.0),
        (0.37, 3.0),
        (0.38, 5.0),
        (0.68, 5.0),
        (0.69, math.inf),
    ):
        assert latency_quantiles(answered, unanswered, [share]) == [expected]


def test_without_calls_there_are_no_latencies():
    found = measure(load())
    assert all(math.isnan(value) for value in (found.latency.p50, found.latency.max, found.latency.mean))
    assert all(math.isnan(value) for value in found.wait_s)


def test_failed_calls_have_no_latency():
    found = measure(load(reply(0, 2.0), reply(1, 9.0, trouble="timeout", n_samples=0), reply(2, 4.0)))
    assert (found.latency.mean, found.latency.max) == (3.0, 4.0)


def test_an_unanswered_call_may_be_the_longest():
    found = measure(load(reply(0, 2.0), reply(1, 9.0, trouble=UNANSWERED)))
    assert (found.latency.p50, found.latency.p99, found.latency.max) == (2.0, math.inf, 9.0)


# Counts


def test_throughput_counts_what_came_in_the_window_to_whichever_call():
    calls = [
        reply(0, 3.0),
        reply(1, 4.0),
        reply(2, 6.0),
        reply(3, 9.0, n_samples=4, n_usable=3),
        reply(4, 9.5),
    ]
    found = measure(load(*calls, n_warm_up=2, from_s=3.0, to_s=9.0))
    assert found.seconds == 6.0
    assert found.requests_per_s == 3 / 6
    assert found.decisions_per_s == (1 + 1 + 3) / 6
    assert (found.prompt_tokens_per_s, found.completion_tokens_per_s) == (300 / 6, 30 / 6)
    assert len(found.calls) == 3
    assert found.usable_share == 5 / 6


def test_tokens_that_are_not_counted_are_unknown():
    found = measure(load(reply(0), reply(1, prompt_tokens=None)), price=(1.0, 1.0))
    assert found.prompt_tokens_per_s is None
    assert found.completion_tokens_per_s == 2.0
    assert (found.dollars, found.dollars_per_1000_decisions) == (None, None)


def test_money_is_counted_from_the_first_call_on():
    found = measure(
        load(reply(0), reply(1), reply(2, trouble="timeout", n_usable=0), n_warm_up=1), price=(0.15, 0.6)
    )
    assert found.dollars == pytest.approx((200 * 0.15 + 20 * 0.6) / 1e6)
    assert found.dollars_per_1000_decisions == pytest.approx(1000 * (100 * 0.15 + 10 * 0.6) / 1e6)
    assert measure(found.load).dollars is None


def test_nothing_usable_has_no_price():
    found = measure(load(reply(0, n_usable=0)), price=(1.0, 1.0))
    assert found.dollars > 0
    assert found.dollars_per_1000_decisions is None


def test_calls_in_the_system_are_counted_only_in_the_window():
    calls = [Call(0, 0.0, 0.0, 5.0), Call(1, 1.0, 2.0, 3.0), Call(2, 3.0, 3.0, 20.0), Call(3, 8.0, 8.0, 9.0)]
    found = measure(load(*calls, from_s=2.0, to_s=10.0, rate=1.0))
    assert found.in_system == ((3 + 1 + 7 + 1) / 8, 2)
    assert found.wait_s == (1 / 4, 1.0)


def test_json_is_strict_json_and_holds_what_was_measured():
    found = measure(load(reply(0, 2.0), reply(1, 9.0, trouble=UNANSWERED), reply(2, 1.0, trouble="timeout")))
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["load"] == "closed"
    assert (told["calls"], told["replies"], told["unanswered"], told["errors"]) == (3, 1, 1, {"timeout": 1})
    assert told["latency_s"] == {"mean": 2.0, "p50": 2.0, "p95": None, "p99": None, "max": 9.0}
    assert json.loads(json.dumps(measure(load()).as_dict(), allow_nan=False))["wait_s"] == {
        "mean": None,
        "max": None,
    }
    assert measure(load(rate=3.0)).as_dict()["load"] == "open"


# Sweeps


def servers(n_servers, service_s=1.0):
    free = asyncio.Semaphore(n_servers)

    async def answer(_):
        async with free:
            await asyncio.sleep(service_s)
        return Reply(("yes",), 100, 10)

    return ScriptedBackend(answer)


def swept(n_servers, most, *, calls=64, make=servers, **how):
    async def main():
        return await sweep_load(make(n_servers), requests(), most=most, bound=Bound(calls=calls), **how)

    return run_in_virtual_time(main())


@pytest.mark.parametrize("n_servers", [1, 2, 4, 8])
def test_the_knee_is_where_all_servers_are_busy_and_nobody_waits(n_servers):
    levels = swept(n_servers, 64)
    assert knee(levels) == n_servers
    for level in levels:
        in_flight = level.load.in_flight
        assert level.requests_per_s == pytest.approx(min(in_flight, n_servers), rel=0.1)
        assert level.latency.p50 == pytest.approx(max(1.0, in_flight / n_servers))


def test_a_sweep_ends_after_two_doublings_in_vain():
    assert [level.load.in_flight for level in swept(4, 1024)] == [1, 2, 4, 8, 16]


def test_a_sweep_ends_at_its_bound():
    told = []
    levels = swept(100, 12, tell=told.append)
    assert [level.load.in_flight for level in levels] == [1, 2, 4, 8, 12]
    assert told == levels


@pytest.mark.parametrize(("most", "expected"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8])])
def test_levels_double_up_to_the_bound(most, expected):
    assert doublings(most) == expected


def test_a_stopped_sweep_keeps_what_it_has():
    async def main():
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(100, stop.set)
        return await sweep_load(
            servers(99), requests(), most=64, bound=Bound(calls=64), stop=stop, price=(1.0, 2.0)
        )

    levels = run_in_virtual_time(main())
    assert [level.load.in_flight for level in levels] == [1, 2, 4]
    assert [level.load.is_stopped for level in levels] == [False, False, True]
    assert levels[0].dollars == pytest.approx(65 * (100 + 20) / 1e6)


def test_a_sweep_ends_when_the_backend_cannot_be_asked_any_more():
    levels = swept(0, 64, make=lambda _: ScriptedBackend(lambda _: BackendUnusable("wrong key")))
    assert len(levels) == 1
    assert isinstance(levels[0].load.error, BackendUnusable)
    assert knee(levels) is None
    assert knee([]) is None


# Plots


@pytest.fixture(scope="module")
def levels():
    return swept(2, 16)


@pytest.mark.parametrize(("name", "head"), [("a.svg", b"<?xml"), ("a.PNG", b"\x89PNG")])
def test_a_plot_is_written_as_its_name_says(tmp_path, levels, name, head):
    draw_levels(levels[:1], tmp_path / name, title="mock: a model")
    assert (tmp_path / name).read_bytes().startswith(head)


def test_a_plot_says_what_it_shows(tmp_path, levels):
    draw_levels(levels, tmp_path / "sweep.svg", title="mock: a model")
    text = (tmp_path / "sweep.svg").read_text("utf-8")
    for words in (
        "mock: a model",
        "requests/s",
        "requests in flight",
        "knee",
        "p50",
        "p95",
        "p99",
        "latency in seconds",
    ):
        assert words in text
    # Okabe & Ito's blue, vermilion and green.
    assert all(color in text for color in ("#0072b2", "#d55e00", "#009e73"))


def test_equal_measurements_make_equal_plots(tmp_path, levels):
    for name in ("a.svg", "b.svg"):
        draw_levels(levels[:1], tmp_path / name, title="mock")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_plot_of_an_open_load_with_unanswered_calls(tmp_path):
    calls = [reply(i, 1.0 + i) for i in range(5)] + [reply(5, 9.0, trouble=UNANSWERED)]
    draw_levels([measure(load(*calls, rate=2.5))], tmp_path / "open.svg", title="mock")
    text = (tmp_path / "open.svg").read_text("utf-8")
    assert "replies at 2.5 requests/s" in text
    assert "p99" not in text, "it lies beyond what was seen"


def test_a_sweep_whose_levels_failed_can_be_drawn(tmp_path, levels):
    failing = swept(0, 4, make=lambda _: ScriptedBackend(lambda _: TransientError("down")), calls=3)
    draw_levels([*failing, *levels], tmp_path / "failing.svg", title="mock")
    assert (tmp_path / "failing.svg").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("name", "words"), [("a.pdf", "svg"), ("a", "svg"), ("missing/a.svg", "does not exist")]
)
def test_a_plot_that_cannot_be_is_refused_beforehand(tmp_path, name, words):
    with pytest.raises(UserError, match=words):
        check_plot_file(tmp_path / name)


def test_a_plot_that_cannot_be_written_is_said(tmp_path, levels):
    (tmp_path / "a.svg").mkdir()
    check_plot_file(tmp_path / "a.svg")
    with pytest.raises(StorageError, match="cannot be written"):
        draw_levels(levels, tmp_path / "a.svg", title="mock")


# What is asked


@pytest.mark.parametrize("rationale", ["none", "inline"])
def test_the_prompts_are_the_exposures_of_the_papers_design(rationale):
    design = CascadeExperiment(rationale=rationale)
    prompts = design.load_prompts()
    expected = {
        (design.messages(prompts, "exposure", profile, item), profile.bits, item.id, item.severity)
        for item in design.choose_news(Streams(7).integer("news"))
        for profile in all_profiles()
    }
    found = list(islice(exposure_requests(rationale, seed=7, n=3), 4000))
    facts = ("profile", "news", "severity")
    assert {(r.messages, *(r.metadata[fact] for fact in facts)) for r in found} == expected
    assert len(expected) == 320
    for request in found[:50]:
        assert (request.answers, request.schema) == design.constraint()
        assert (request.n, request.max_tokens, request.logprobs) == (3, design.max_tokens, False)
        assert (request.metadata["kind"], request.metadata["rationale"]) == ("exposure", rationale)


def test_no_two_requests_are_the_same_draw():
    found = list(islice(exposure_requests(), 2000))
    assert len({request.draw for request in found}) == len({request.seed for request in found}) == 2000
    assert all(0 <= request.seed < 2**63 for request in found)
    temperatures = [request.temperature for request in found]
    assert 0.7 <= min(temperatures) < 0.71 < 1.29 < max(temperatures) <= 1.3


def test_a_seed_fixes_what_is_asked():
    first, second, other = (list(islice(exposure_requests(seed=seed), 600)) for seed in (1, 1, 2))
    assert first == second
    assert first[:20] != other[:20]


def test_the_mock_can_be_measured():
    from agentnet.backend import make_backend

    async def main():
        mock = make_backend("mock", {"latency_s": 0.5, "invalid_rate": 0.2})
        return await closed_loop(mock, exposure_requests("inline"), in_flight=4, bound=Bound(calls=200))

    found = measure(run_in_virtual_time(main()))
    assert found.requests_per_s == pytest.approx(8.0)
    assert found.usable_share == pytest.approx(0.8, abs=0.1)
