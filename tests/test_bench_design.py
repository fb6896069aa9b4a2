"""A real design under load: which share of the places' time its calls take, and where the rest is lost."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.backend import Reply, Request
from agentnet.bench import Timed, occupancy
from agentnet.errors import TransientError
from agentnet.testing import ScriptedBackend, run_in_virtual_time


def test_two_steps_with_a_straggler_each_are_told_apart_from_ramp_and_tail():
    # Four places. One call alone (ramp), then four of which one takes longer, then four again.
    alone = [(0.0, 1.0)]
    first = [(1.0, 2.0)] * 3 + [(1.0, 4.0)]
    second = [(4.0, 5.0)] * 3 + [(4.0, 6.0)]
    found = occupancy(alone + first + second, 4)
    assert (found.calls, found.most, found.seconds) == (9, 4, 6.0)
    assert found.busy == pytest.approx((1 + 6 + 5) / 24)
    assert found.ramp == pytest.approx(3 / 24)
    assert found.waits == pytest.approx(6 / 24)
    assert found.tail == pytest.approx(3 / 24)
    assert found.latency_s == pytest.approx(12 / 9)


spans = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 20)).map(lambda each: (each[0], sum(each))), max_size=30
)


@given(spans=spans, places=st.integers(1, 8))
def test_the_shares_of_all_places_time_make_one_and_none_is_more(spans, places):
    found = occupancy(spans, places)
    if found is None:
        assert not spans or max(end for _, end in spans) == min(begin for begin, _ in spans)
        return
    shares = (found.busy, found.ramp, found.waits, found.tail)
    assert sum(shares) == pytest.approx(1.0)
    assert all(-1e-12 <= share <= 1 + 1e-12 for share in shares)
    assert found.most <= found.places
    moments = [moment for begin, end in spans for moment in (begin, end) if end > begin]
    seen = max((sum(begin <= moment < end for begin, end in spans) for moment in moments), default=0)
    assert found.most >= seen


def test_calls_are_timed_and_failed_ones_too():
    async def answer(request):
        await asyncio.sleep(2)
        return TransientError("gone") if request.seed else Reply(("yes",), prompt_tokens=7)

    async def main():
        timed = Timed(ScriptedBackend(answer), asyncio.get_running_loop().time)
        ask = Request((("user", "Well?"),))
        await asyncio.gather(
            timed.complete(ask), timed.complete(ask._replace(seed=1)), return_exceptions=True
        )
        return timed

    timed = run_in_virtual_time(main())
    assert [end - begin for begin, end in timed.spans] == [2, 2]
    assert timed.prompt_tokens == 7


def test_tokens_that_a_server_does_not_count_are_unknown():
    async def main():
        timed = Timed(ScriptedBackend(lambda _: Reply(("yes",))))
        await timed.complete(Request((("user", "Well?"),)))
        return timed.prompt_tokens

    assert run_in_virtual_time(main()) is None


def test_a_design_is_played_and_leaves_nothing_behind(command, small, tmp_path):
    options = ("--backend", "mock", "--in-flight", 4, "--sweep", "--plot", "design.svg", "--json")
    told = json.loads(command("bench", "--cascade", small, *options).out)
    levels = told["levels"]
    assert [(level["workers"], level["realizations_at_once"]) for level in levels] == [
        *((1, 1), (2, 1), (4, 1)),
        *((1, 64), (2, 64), (4, 64)),
    ]
    assert len({level["decisions"] for level in levels}) == 1, "the design is the same however it is played"
    assert {level["realizations"] for level in levels} == {4}
    for level in levels:
        shares = [level[name] for name in ("busy", "ramp", "waits", "tail")]
        assert sum(shares) == pytest.approx(1.0)
        assert level["decisions_per_s"] == pytest.approx(level["decisions"] / level["seconds"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["design.svg", "small.py"]


SILENT = """
from agentnet import CascadeExperiment
class Mixed(CascadeExperiment):
    n_agents, repeats, items_per_severity, steps, rationale = 32, 1, 1, 2, "none"
    voices = {voices}
    def deal_voices(self, population, seed):
        return ["one"] * len(population)
    def rule(self, exposure):
        return True
"""


def test_a_design_that_asks_nobody_or_several_measures_nothing(command):
    for voices, code, said in (
        ({"one": "rule"}, 0, "no backend was asked anything"),
        ({"one": {"law": "constant"}}, 2, "measures one backend, and its voices have others (one)"),
    ):
        Path("mixed.py").write_text(SILENT.replace("{voices}", repr(voices)))
        done = command("bench", "--cascade", "mixed.py", "--backend", "mock")
        assert (done.code, said in done.err) == (code, True), done.err


def test_a_bound_on_calls_ends_the_measurement_and_is_told(command, small):
    done = command("bench", "--cascade", small, "--backend", "mock", "--calls", 20)
    assert done.code == 0
    assert "not played to the end: the budget is used up" in done.err
    done = command("bench", "--cascade", small, "--rate", 5)
    assert (done.code, "do not go with it" in done.err) == (2, True)
