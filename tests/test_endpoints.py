"""Whom to ask next among several servers, and who is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet_backends.endpoints import Endpoint, Endpoints
from agentnet_backends.failures import Peer


def made(n):
    return Endpoints([Peer("openai", f"http://127.0.0.1:{i}/v1") for i in range(n)])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_nobody_open_has_fewer_unanswered_requests_than_the_one_picked(outstanding):
    endpoints = made(len(outstanding))
    for endpoint, n in zip(endpoints.all, outstanding, strict=True):
        endpoint.outstanding = n
    assert endpoints.pick(0.0).outstanding == min(outstanding)


def test_servers_with_equally_much_to_do_take_turns():
    endpoints = made(3)
    picked = [endpoints.pick(0.0) for _ in range(6)]
    assert picked[:3] == picked[3:]
    assert set(picked) == set(endpoints.all)


@given(
    prefixes=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=200),
    n=st.integers(1, 6),
    n_tokens=st.integers(1, 500),
)
def test_no_server_has_more_to_do_than_a_quarter_above_its_share_and_one_request(prefixes, n, n_tokens):
    endpoints = made(n)
    for prefix in prefixes:
        picked = endpoints.pick(0.0, prefix=prefix, n_tokens=n_tokens)
        picked.tokens += n_tokens
    total = n_tokens * len(prefixes)
    assert max(each.tokens for each in endpoints.all) <= 1.25 * total / n + n_tokens


def test_requests_that_begin_alike_go_to_one_server_while_it_has_no_more_than_its_share():
    endpoints = made(4)
    homes = [endpoints.pick(0.0, prefix=prefix) for prefix in range(64)]
    for each in endpoints.all:
        each.tokens = 100
    assert [endpoints.pick(0.0, prefix=prefix) for prefix in range(64)] == homes
    assert set(homes) == set(endpoints.all)
    homes[0].tokens = 200
    assert endpoints.pick(0.0, prefix=0) is not homes[0]


def test_where_a_server_is_left_out_only_its_own_requests_go_elsewhere():
    endpoints = made(4)
    for each in endpoints.all:
        each.tokens = 100
    before = [endpoints.pick(0.0, prefix=prefix) for prefix in range(64)]
    before[0].failed("refused", 0.0)
    after = [endpoints.pick(0.5, prefix=prefix) for prefix in range(64)]
    moved = [was for was, is_ in zip(before, after, strict=True) if was is not is_]
    assert set(moved) == {before[0]}


def test_a_server_out_of_reach_is_left_out_at_once_and_tried_again_later():
    endpoints = made(2)
    dead, alive = endpoints.all
    dead.failed("refused", 0.0)
    assert {endpoints.pick(0.9) for _ in range(4)} == {alive}
    assert dead in {endpoints.pick(1.1) for _ in range(4)}


def test_after_a_pause_one_request_at_a_time_is_the_trial():
    endpoints = made(2)
    dead, alive = endpoints.all
    dead.failed("refused", 0.0)
    alive.outstanding = 5
    assert endpoints.pick(2.0) is dead
    dead.outstanding = 1
    assert endpoints.pick(2.0) is alive


@pytest.mark.parametrize("kind", ["server_error", "disconnected", "timeout"])
def test_other_failures_count_only_when_they_come_in_a_row(kind):
    endpoint = made(1).all[0]
    for _ in range(2):
        endpoint.failed(kind, 0.0)
    assert endpoint.is_open(0.0)
    endpoint.worked()
    for _ in range(2):
        endpoint.failed(kind, 0.0)
    assert endpoint.is_open(0.0)
    endpoint.failed(kind, 0.0)
    assert not endpoint.is_open(0.0)


def test_a_server_that_says_slow_down_is_a_healthy_one():
    endpoint = made(1).all[0]
    for _ in range(10):
        endpoint.failed("rate_limit", 0.0)
    assert endpoint.is_open(0.0)


def test_pauses_double_up_to_a_minute_and_end_with_the_first_answer():
    endpoint = made(1).all[0]
    now, pauses = 0.0, []
    for _ in range(9):
        endpoint.failed("refused", now)
        pauses.append(endpoint.out_until - now)
        now = endpoint.out_until
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    endpoint.worked()
    assert endpoint.is_open(now)
    endpoint.failed("refused", now)
    assert endpoint.out_until - now == 1.0


def test_calls_that_fail_during_a_pause_do_not_lengthen_it():
    endpoint = made(1).all[0]
    for _ in range(50):
        endpoint.failed("refused", 0.0)
    assert endpoint.out_until == 1.0


def test_where_all_are_left_out_the_one_that_comes_back_first_is_asked():
    endpoints = made(3)
    for now, endpoint in zip((5.0, 1.0, 3.0), endpoints.all, strict=True):
        endpoint.failed("refused", now)
    assert endpoints.pick(5.5).peer.url == "http://127.0.0.1:1/v1"
    assert endpoints.pick(1.5) is endpoints.all[1]
    assert not endpoints.others_open(endpoints.all[1], 1.5)


def test_a_lone_server_is_asked_whatever_happened_to_it():
    endpoints = made(1)
    endpoints.all[0].failed("refused", 0.0)
    assert endpoints.pick(0.0) is endpoints.all[0]


def test_two_servers_of_one_name_are_still_two():
    assert Endpoint(Peer("a", "u")) != Endpoint(Peer("a", "u"))
