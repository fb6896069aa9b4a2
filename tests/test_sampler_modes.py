"""Sampler modes in whole runs: the same results however a run is played, exact sums, what a prompt costs."""

import asyncio
import json
import math
from collections import Counter
from functools import cache
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from scipy import stats

from agentnet.backend import make_backend
from agentnet.config import EngineSettings, LogSettings, SamplerSettings, Settings, StackSettings
from agentnet.errors import BackendUnusable, Interrupted, RequestRejected, RunStopped
from agentnet.events import Run
from agentnet.experiment import Source
from agentnet.profiles import Profile
from agentnet.runner import Runner, create, prepare, reopen
from agentnet.runner.journal import Tally
from agentnet.streams import mix

NEWS_CASCADE = Path(__file__).parent.parent / "experiments" / "news_cascade.py"
MODES = ("call", "choices", "logprobs")

SMALL = """
from agentnet import CascadeExperiment, ResponseRatioExperiment

class Small(CascadeExperiment):
    n_agents = 32
    degree = 3
    steps = 6
    repeats = 3
    items_per_severity = 1
    rationale = "none"

class Ratio(ResponseRatioExperiment):
    items_per_severity = 1
    repeats = 12
    rationale = "none"
"""


class Meter:
    """Counts what a backend is asked and takes; waits some turns before each call; may interrupt the run."""

    def __init__(self, inner, *, salt=None, interrupt_after=None, slots=None, reply=None):
        self.inner = inner
        self.name, self.model_name = inner.name, inner.model_name
        self.salt = salt
        self.interrupt_after = interrupt_after
        self.interrupt = None
        self.slots, self.reply = slots, reply
        self.asked = []
        self.prompt_tokens = self.completion_tokens = 0

    async def complete(self, request):
        self.asked.append(request)
        if len(self.asked) == self.interrupt_after:
            self.interrupt()
        for _ in range(0 if self.salt is None else mix(self.salt, len(self.asked)) % 5):
            await asyncio.sleep(0)
        if self.slots is not None and request.n > self.slots:
            raise RequestRejected(f"n is at most {self.slots}", kind="bad_request")
        reply = await self.inner.complete(request)
        if self.reply is not None:
            reply = self.reply(request, reply)
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        return reply

    async def aclose(self):
        await self.inner.aclose()

    @property
    def paid(self):
        return len(self.asked), self.prompt_tokens, self.completion_tokens


class Played(NamedTuple):
    """A run after a sitting."""

    run: Run
    tally: Tally
    meter: Meter
    settings: Settings

    def rows(self, sql):
        return self.run.rows(sql)[1]

    @property
    def logged(self):
        """Calls, tokens in and tokens out, as the log sums them."""
        return self.rows(
            "SELECT SUM(attempts), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), 0) "
            "FROM events WHERE cached = 0"
        )[0]

    @property
    def digest(self):
        return self.run.digest()


@pytest.fixture(scope="module")
def sit(tmp_path_factory):
    """Play an experiment file in a mode, to its end or to its interruption."""
    root, numbers = tmp_path_factory.mktemp("modes"), count()
    (root / "small.py").write_text(SMALL)

    def sit(
        mode,
        target="small.py:Small",
        *,
        mock=None,
        meter=None,
        engine=None,
        sampler=None,
        experiment=None,
        stack=None,
        resume=None,
    ):
        meter = meter or {}
        if resume is None:
            settings = Settings(
                runs=root / f"runs-{next(numbers)}",
                engine=EngineSettings(**(engine or {})),
                sampler=SamplerSettings(mode=mode, **(sampler or {})),
                stack=StackSettings(**{"max_attempts": 1, "cache": False, **(stack or {})}),
                log=LogSettings(parquet=False),
                experiment=experiment or {},
            )
            source = Source.read(str(target if isinstance(target, Path) else root / target))
            prepared = prepare(source, settings, settings.runs / "run")
            create(prepared, source, backend="mock", model_name="mock")
        else:
            settings = resume.settings.model_copy(update={"engine": EngineSettings(**(engine or {}))})
            prepared = reopen(resume.run.folder, settings)
        backend = Meter(make_backend("mock", mock or {}), **meter)
        runner = Runner(prepared, backend)
        backend.interrupt = runner.interrupt
        if backend.interrupt_after is None:
            asyncio.run(runner.play())
        else:
            with pytest.raises(Interrupted):
                asyncio.run(runner.play())
        return Played(Run(prepared.folder), runner.tally, backend, settings)

    return sit


@pytest.fixture(scope="module")
def unbroken(sit):
    """Play the small experiment to its end, once a mode."""
    return cache(sit)


# The same results, however they are played


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("workers", "at_once", "salt"), [(1, 64, 1), (3, 2, 2), (64, 64, 3)])
def test_results_do_not_depend_on_workers_order_or_latency(sit, unbroken, mode, workers, at_once, salt):
    reference = unbroken(mode)
    other = sit(mode, meter={"salt": salt}, engine={"workers": workers, "realizations_at_once": at_once})
    assert other.digest == reference.digest
    assert other.logged == other.meter.paid == reference.meter.paid


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interrupt_after", [1, 20])
def test_an_interrupted_run_goes_on_to_the_same_results(sit, unbroken, mode, interrupt_after):
    whole = unbroken(mode)
    broken = sit(
        mode,
        meter={"interrupt_after": interrupt_after, "salt": interrupt_after},
        engine={"workers": 3, "realizations_at_once": 5},
    )
    assert len(broken.meter.asked) < len(whole.meter.asked)
    assert broken.logged == broken.meter.paid, "what was in flight is recorded"
    resumed = sit(mode, resume=broken, engine={"workers": 8, "realizations_at_once": 2})
    assert resumed.digest == whole.digest
    assert resumed.logged[0] == len(broken.meter.asked) + len(resumed.meter.asked)


@pytest.mark.parametrize("mode", MODES)
def test_with_the_cache_an_interruption_costs_no_call(sit, unbroken, mode):
    whole = unbroken(mode)
    meter = {"salt": 5, "interrupt_after": 15}
    broken = sit(mode, meter=meter, engine={"workers": 3}, stack={"cache": True})
    resumed = sit(mode, meter={"salt": 6}, resume=broken)
    assert resumed.digest == whole.digest
    together = Counter(request.draw for played in (broken, resumed) for request in played.meter.asked)
    assert together == Counter(request.draw for request in whole.meter.asked)
    assert resumed.logged == whole.logged


def test_a_prompt_served_for_all_repeats_is_the_prompt_served_for_one(unbroken):
    played = unbroken("choices")
    texts = {number: json.loads(text) for number, text in played.rows("SELECT prompt, messages FROM prompts")}
    for request in played.meter.asked:
        assert [list(message) for message in request.messages] == texts[request.draw[0][1]]


# What is recorded


@pytest.mark.parametrize("mode", ["call", "choices"])
def test_the_log_adds_up_to_what_was_paid_whatever_went_wrong(sit, mode):
    # What fails once is asked again: only what fails twice is missing. A block of many samples fails often.
    transient_rate = 0.2 if mode == "call" else 0.02
    troubles = {"invalid_rate": 0.1, "refusal_rate": 0.05, "rejected_rate": 0.01}
    troubles["transient_rate"] = transient_rate
    played = sit(mode, mock=troubles, experiment={"rationale": "inline"})
    found = Counter(kind for (kind,) in played.rows("SELECT missing FROM events"))
    assert {"refused", "rejected", "failed", None} <= set(found)
    assert played.logged == played.meter.paid
    tally = played.tally
    assert (tally.n_calls, tally.prompt_tokens, tally.completion_tokens) == played.meter.paid
    assert tally.n_missing == sum(n for kind, n in found.items() if kind is not None)
    assert tally.n_decisions == sum(found.values())


@pytest.mark.parametrize("mode", ["call", "choices"])
def test_each_draw_has_its_own_rationale(sit, mode):
    played = sit(mode, experiment={"rationale": "inline"})
    rows = played.rows("SELECT decision, rationale FROM decisions")
    assert all(rationale for _, rationale in rows)
    assert all(("unshared" in rationale) == (decision == 0) for decision, rationale in rows)


def test_the_mass_on_the_answers_stands_beside_each_decision(sit, unbroken):
    def some_mass(request, reply):
        little = 0.5 if request.metadata["profile"] == Profile.from_index(3).bits else 0.96
        return reply._replace(logprobs={a: each + math.log(little) for a, each in reply.logprobs.items()})

    played = sit("logprobs", "small.py:Ratio", meter={"reply": some_mass})
    rows = played.rows(
        "SELECT missing, decision IS NULL, ROUND(mass, 9), COUNT(*) FROM decisions GROUP BY 1, 2, 3"
    )
    assert sorted(rows, key=str) == [("low_mass", 1, 0.5, 2 * 12), (None, 0, 0.96, 2 * 31 * 12)]
    assert unbroken("call").rows("SELECT COUNT(mass) FROM events") == [(0,)]


@pytest.mark.parametrize("finish", ["thought_only", "thought_cut_off"])
@pytest.mark.parametrize("mode", MODES)
def test_a_model_that_only_thinks_stops_the_run_with_the_remedy(sit, mode, finish):
    def thinks(request, reply):
        return reply._replace(texts=("",) * request.n, finish=(finish,) * request.n, logprobs=None)

    with pytest.raises(BackendUnusable, match="switch thinking off"):
        sit(mode, meter={"reply": thinks})


def test_a_server_with_few_slots_loses_nothing_and_results_do_not_depend_on_the_order(sit):
    whole = sit("choices", meter={"slots": 5})
    assert whole.rows("SELECT COUNT(*), COUNT(decision) FROM events")[0][0] > 0
    assert whole.rows("SELECT COUNT(*) FROM events WHERE missing IS NOT NULL") == [(0,)]
    ((told,),) = whole.rows("SELECT detail FROM incidents WHERE kind = 'samples'")
    assert "samples at once were refused" in told
    other = sit("choices", meter={"slots": 5, "salt": 4}, engine={"workers": 2, "realizations_at_once": 1})
    assert other.digest == whole.digest
    broken = sit("choices", meter={"slots": 5, "interrupt_after": 30}, engine={"workers": 3})
    assert sit("choices", meter={"slots": 5}, resume=broken).digest == whole.digest


def test_reasons_afterwards_are_asked_one_by_one(sit):
    played = sit("choices", experiment={"rationale": "afterwards"})
    ((n_reasons,),) = played.rows("SELECT COUNT(*) FROM events WHERE kind = 'reason'")
    ((n_answered,),) = played.rows("SELECT COUNT(*) FROM events WHERE kind <> 'reason' AND missing IS NULL")
    singles = [request for request in played.meter.asked if request.metadata["kind"] == "reason"]
    assert n_reasons == n_answered == len(singles)
    assert {request.n for request in singles} == {1}
    assert all(rationale for (rationale,) in played.rows("SELECT rationale FROM decisions"))


def test_no_request_asks_for_more_than_the_bound(sit):
    played = sit("choices", sampler={"n_at_most": 4})
    assert max(request.n for request in played.meter.asked) <= 4


@pytest.mark.parametrize("mode", MODES)
def test_temperatures_are_of_as_many_levels_as_were_set(sit, mode):
    played = sit(mode, sampler={"temperature_levels": 3})
    temperatures = sorted({t for (t,) in played.rows("SELECT temperature FROM events")})
    assert temperatures == pytest.approx([0.8, 1.0, 1.2])


def test_mode_and_levels_stand_in_the_log(sit):
    played = sit("choices", sampler={"n_at_most": 16})
    settings = Settings.from_json(json.dumps(played.run.meta["settings"]))
    assert (settings.sampler.mode, settings.sampler.n_at_most, settings.sampler.levels) == ("choices", 16, 4)


@pytest.mark.parametrize("mode", MODES)
def test_the_response_ratio_experiment_can_be_played_in_every_mode(sit, mode):
    played = sit(mode, "small.py:Ratio", sampler={"temperature_levels": 1})
    assert played.rows("SELECT COUNT(*), COUNT(decision) FROM events") == [(2 * 32 * 12, 2 * 32 * 12)]
    assert played.logged == played.meter.paid
    calls = {"call": 2 * 32 * 12, "choices": 2 * 32 * 4, "logprobs": 2 * 32}
    assert len(played.meter.asked) == calls[mode]


def test_a_budget_ends_a_run_that_waits_for_shared_samples(sit):
    with pytest.raises(RunStopped, match="budget"):
        sit("choices", stack={"max_calls": 9}, engine={"workers": 2})


# What it costs, in the paper's design


@pytest.fixture(scope="module")
def paper(sit):
    """Play the paper's design on the mock, once a mode: without rationale, at one temperature."""

    @cache
    def paper(mode):
        how = {"sampler": {"temperature_levels": 1}, "experiment": {"rationale": "none"}}
        return sit(mode, NEWS_CASCADE, **how)

    return paper


def test_choices_pays_an_eighth_of_the_prompt_tokens_at_most(paper):
    call, choices = paper("call"), paper("choices")
    assert call.logged == call.meter.paid
    assert choices.logged == choices.meter.paid
    assert 0.9 < choices.tally.n_decisions / call.tally.n_decisions < 1.1
    assert call.meter.prompt_tokens >= 8 * choices.meter.prompt_tokens


def test_odds_cost_a_call_for_each_distinct_prompt_and_give_the_cascades_of_mode_call(paper):
    call, odds = paper("call"), paper("logprobs")
    (distinct,) = odds.rows("SELECT COUNT(DISTINCT prompt) FROM events")[0]
    assert len(odds.meter.asked) == distinct <= 2 * 10 * 32
    assert odds.digest == call.digest
    assert odds.logged == odds.meter.paid


@pytest.mark.parametrize("mode", MODES)
def test_decisions_follow_the_law_whatever_the_mode(paper, mode):
    mock = make_backend("mock", {})
    rows = paper(mode).rows(
        "SELECT profile, severity, COUNT(*), SUM(decision) FROM decisions GROUP BY profile, severity"
    )
    squares = n_cells = 0
    for profile, severity, n, n_yes in rows:
        p = mock.probability(profile, severity)
        if n * p * (1 - p) > 5:
            squares += (n_yes - n * p) ** 2 / (n * p * (1 - p))
            n_cells += 1
    assert n_cells > 30
    assert stats.chi2.sf(squares, n_cells) > 0.01
