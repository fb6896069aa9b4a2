"""The response-ratio experiment: every profile decides on every news item, so often."""

import asyncio
import json
from collections import Counter

import pytest
from scipy import stats

from agentnet import ResponseRatioExperiment
from agentnet.backend import make_backend
from agentnet.errors import DesignError, TransientError
from agentnet.events import Run
from agentnet.profiles import all_profiles
from agentnet.prompts import Verdict
from agentnet.runner import Runner
from agentnet.testing import ScriptedBackend
from agentnet_backends.mock import MockBackend

BITS = [profile.bits for profile in all_profiles()]


class TwoItems(ResponseRatioExperiment):
    items_per_severity = 1
    repeats = 6


@pytest.fixture(scope="module")
def run(play):
    return play(TwoItems(), seed=4)


def test_every_profile_decides_on_every_item_once_for_each_repeat(run):
    rows = run.rows("SELECT realization, kind, step, agent, source, repeat FROM events")[1]
    expected = {(item, "ratio", 0, p, -1, r) for item in range(2) for p in range(32) for r in range(6)}
    assert len(rows) == len(expected)
    assert set(rows) == expected


def test_a_realization_is_one_news_item_without_network_steps_or_agents(run):
    rows = run.rows("SELECT news, repeat, network, status, initial_agent, last_step FROM realizations")[1]
    assert rows == [(0, 0, None, "finished", None, 0), (1, 0, None, "finished", None, 0)]
    for table in ("steps", "agents", "networks"):
        assert run.rows(f"SELECT COUNT(*) FROM {table}")[1] == [(0,)]


def test_the_agent_of_a_decision_is_its_profiles_index(run):
    rows = run.rows("SELECT DISTINCT e.agent, p.profile, p.kind FROM events e JOIN prompts p USING (prompt)")[
        1
    ]
    assert sorted(rows) == [(index, bits, "ratio") for index, bits in enumerate(BITS)]
    messages = run.rows("SELECT messages FROM prompts")[1]
    assert len({text for (text,) in messages}) == 64
    assert all(json.loads(text)[-1][0] == "user" for (text,) in messages)


def test_yes_ratios_are_those_of_the_law(play):
    ratios = TwoItems(repeats=60)
    frame = play(ratios, seed=5).frame("decisions")
    law = MockBackend()
    cells = frame.groupby(["profile", "severity"]).decision.agg(["sum", "count"])
    assert len(cells) == 64
    for (profile, severity), n_yes, n_asked in cells.itertuples():
        assert stats.binomtest(n_yes, n_asked, law.probability(profile, severity)).pvalue > 1e-4


def test_temperatures_are_drawn_uniformly_and_a_repeat_is_a_draw_of_its_own(play):
    asked = []
    backend = ScriptedBackend(lambda request: asked.append(request) or "Yes")
    play(TwoItems(repeats=12), backend=backend, seed=6)
    assert len({request.seed for request in asked}) == len(asked) == 2 * 32 * 12
    drawn = [request.temperature for request in asked]
    assert stats.kstest(drawn, stats.uniform(0.7, 0.6).cdf).pvalue > 0.001


def test_a_missing_answer_is_recorded_as_such_and_takes_nothing_from_the_others(play):
    def script(request):
        return TransientError("gone") if request.draw[1] == 7 else "No"

    run = play(TwoItems(repeats=2), backend=ScriptedBackend(script), max_asks=1, stack={"max_attempts": 1})
    rows = run.rows("SELECT agent, decision, missing, COUNT(*) FROM events GROUP BY 1, 2, 3")[1]
    assert sorted(rows) == [
        (agent, *((None, "failed") if agent == 7 else (0, None)), 4) for agent in range(32)
    ]


# An experiment's own way to understand replies


class Numbers(TwoItems):
    repeats = 1
    constrain = False

    def judge(self, text):
        return Verdict({"1": True, "0": False}.get(text), "because")


def test_a_judge_of_the_users_own_decides(play):
    run = play(Numbers(), backend=ScriptedBackend(lambda r: "1" if r.draw[1] % 2 else "0"))
    assert run.rows("SELECT SUM(decision = agent % 2), COUNT(*) FROM events")[1] == [(64, 64)]


def test_a_verdict_that_is_neither_an_answer_nor_a_problem_is_invalid(play):
    run = play(Numbers(), backend=ScriptedBackend(lambda _: "perhaps"), max_asks=2, brake_after=10_000)
    assert run.rows("SELECT DISTINCT decision, missing, asks FROM events")[1] == [(None, "invalid", 2)]
    kinds = Counter(run.rows("SELECT trouble_kind, detail, text FROM troubles")[1])
    assert kinds == {("invalid", "no_answer", "perhaps"): 128}


class Careless(TwoItems):
    def judge(self, text):
        return text == "1"


def test_a_judge_that_returns_no_verdict_is_a_design_error(new_run):
    prepared = new_run(Careless())
    with pytest.raises(
        DesignError, match=r"Careless.judge returned False; it returns an agentnet.prompts.Verd"
    ):
        asyncio.run(Runner(prepared, make_backend("mock", {})).play())
    assert Run(prepared.folder).meta["status"] == "running"
