"""Voices: several backends, and rules, answer in one run."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from agentnet import Run
from agentnet.backend import Reply, Request
from agentnet.config import BackendSettings, Settings, StackSettings
from agentnet.config.sections import PriceSettings
from agentnet.errors import (
    BackendUnusable,
    ConfigurationError,
    DesignError,
    PluginError,
    RequestRejected,
    RunStopped,
    TransientError,
)
from agentnet.experiment import Source
from agentnet.families import FAMILIES
from agentnet.report.log_facts import read_facts
from agentnet.report.words import asked_sentences, backends_of, model_sentence, put_otherwise
from agentnet.runner import Runner
from agentnet.stack import LimitChange, PromptTokens, Spent, build_stack
from agentnet.testing import ScriptedBackend, run_in_virtual_time
from agentnet.voices import (
    OWN,
    VoicePart,
    VoicesBackend,
    laid_over,
    make_voices,
    voices_of,
)

PANEL = """\
from agentnet.experiment import NewsExperiment
from agentnet.families import NewsFamily
from agentnet.worlds import Ask, End
import numpy as np

DEALT = ("", "keen", "shy", "stubborn")

class Panel(NewsExperiment):
    family = "panel"
    items_per_severity, repeats, rationale = 1, 2, "none"
    rounds: int = 3
    voices: dict = {
        "keen": {"name": "mock", "law": "constant", "probability": 1.0},
        "shy": {"name": "mock", "law": "constant", "probability": 0.0},
        "stubborn": "rule",
    }

    def messages(self, prompts, kind, profile, item):
        return (("user", f"You are {profile.label}. Do you share it? {item.text}"),)

    def rule(self, step):
        return "yes" if step % 2 else "no"

class Panels(NewsFamily):
    name, what, answers, experiment = "panel", "panels", "answers", Panel
    kinds = ("opinion",)

    def world(self, setting):
        people = list(range(12))
        for step in range(setting.experiment.rounds):
            asked = [self.asked(setting, person, step) for person in people]
            draws = setting.chance.draws("opinion", step, np.array(people, dtype=int))
            sources, repeats = [-1] * len(people), [0] * len(people)
            yield Ask("opinion", step, people, sources, repeats, asked, *draws, setting.voice.judge)
        return End("finished", step)

    def asked(self, setting, person, step):
        question, voice = setting.voice.question("opinion", person), DEALT[person % 4]
        facts = {"voice": voice} if voice else {}
        if voice == "stubborn":
            facts["says"] = setting.experiment.rule(step)
        return question._replace(metadata={**question.metadata, **facts})
"""

PLAIN = ("--json", "--quiet", "-S", "log.parquet=false")
DECIDED = """
SELECT step % 2, agent % 4, MIN(decision), MAX(decision), COUNT(*), COUNT(decision), SUM(attempts),
       SUM(prompt_tokens) FROM events GROUP BY 1, 2 ORDER BY 1, 2
"""
MODELS = """
SELECT DISTINCT agent % 4, r.model FROM events JOIN replies r USING (reply) ORDER BY 1
"""


@pytest.fixture(autouse=True)
def forget():
    """What a test's file defines is gone with the test."""
    yield
    for name in [name for name, each in FAMILIES._defined.items() if each.is_fleeting]:
        del FAMILIES._defined[name]


@pytest.fixture
def panel(tmp_path):
    """Write the file of an experiment in which agents have four voices, one of them a rule."""
    path = tmp_path / "panel.py"
    path.write_text(PANEL)
    return path


def digest(command, *arguments):
    done = command("run", *arguments, *PLAIN)
    assert done.code == 0, done.err
    return json.loads(done.out)["digest"]


MODES = pytest.mark.parametrize("mode", ["call", "choices", "logprobs"])


@MODES
def test_each_agent_is_answered_by_its_voice(command, panel, tmp_path, mode):
    digest(command, panel, "--out", "run", "-S", f"sampler.mode={mode}")
    run = Run(tmp_path / "run")
    for odd, voice, least, most, n, n_answered, n_calls, n_tokens in run.rows(DECIDED)[1]:
        assert n == n_answered
        match voice:
            case 0:
                assert (least, most) == (0, 1)
            case 1 | 2:
                assert (least, most) == (2 - voice, 2 - voice)
            case _:
                assert (least, most, n_calls, n_tokens) == (odd, odd, 0, 0)
    models = ["mock-main_effects", "mock-constant", "mock-constant", "rule:stubborn"]
    assert run.rows(MODELS)[1] == list(enumerate(models))


def test_the_log_says_which_voices_there_are(command, panel, tmp_path):
    digest(command, panel, "--out", "run", "-S", "voices.shy.max_in_flight=2")
    meta = Run(tmp_path / "run").meta
    law = {"law": "constant", "probability": 1.0}
    assert meta["voices"] == {
        "": {"backend": "mock", "model_name": "mock-main_effects", "options": {}},
        "keen": {"backend": "mock", "model_name": "mock-constant", "options": law},
        "shy": {
            "backend": "mock",
            "model_name": "mock-constant",
            "options": {"law": "constant", "probability": 0.0, "max_in_flight": 2},
        },
        "stubborn": {"backend": "rule", "model_name": "rule:stubborn", "options": {}},
    }
    assert (meta["backend"], meta["model_name"]) == ("mock", "mock-main_effects + mock-constant")


def test_workers_do_not_change_what_voices_say(command, panel):
    found = {digest(command, panel, "--out", f"run-{n}", "-S", f"engine.workers={n}") for n in (1, 256)}
    assert len(found) == 1


def test_a_run_that_is_cut_off_goes_on_with_its_voices(command, panel):
    whole = digest(command, panel, "--out", "whole")
    cut = command("run", panel, "--out", "cut", *PLAIN, "-S", "stack.max_calls=40")
    assert cut.code == 3
    panel.unlink()
    assert digest(command, "--resume", "cut", "-S", "stack.max_calls=1000") == whole


@pytest.mark.parametrize("trouble", ["rejected_rate", "invalid_rate"])
def test_a_voice_that_answers_nothing_stops_the_run_though_others_answer(command, panel, tmp_path, trouble):
    dead = (f"voices.shy.{trouble}=1.0", "engine.brake_after=3", "rounds=12")
    stopped = command("run", panel, "--out", "run", *PLAIN, *(part for each in dead for part in ("-S", each)))
    assert stopped.code == 3
    run = Run(tmp_path / "run")
    assert run.rows("SELECT COUNT(missing), COUNT(*) > 0 FROM events")[1] == [(0, 1)]
    assert "voice 'shy': " in stopped.err


def test_requests_that_a_voice_refuses_are_held_though_others_are_answered(new_run, panel):
    def answer(request):
        refused = request.metadata.get("voice") == "shy"
        return RequestRejected("no such field", is_sure=False) if refused else "Yes"

    parts = {voice: VoicePart(ScriptedBackend(answer), BackendSettings()) for voice in (OWN, "keen", "shy")}
    prepared = new_run(Source.read(str(panel)).load()(), brake_after=3)
    said = r"voice 'shy': \d+ requests failed in a row .*none was answered before"
    with pytest.raises(BackendUnusable, match=said):
        asyncio.run(Runner(prepared, VoicesBackend(parts)).play())


@pytest.mark.parametrize("kept", [("stubborn",), ("keen", "stubborn")])
def test_what_a_rule_says_is_no_sign_that_a_server_answers(command, panel, tmp_path, kept):
    text = PANEL.replace('DEALT = ("", "keen", "shy", "stubborn")', 'DEALT = ("", "stubborn") * 2')
    for voice in ("keen", "shy"):
        if voice not in kept:
            text = "".join(each for each in text.splitlines(True) if f'"{voice}": {{' not in each)
    panel.write_text(text)
    # More draws in a row than one step has, between which the rule's answers come.
    dead = ("-S", "backend.invalid_rate=1.0", "-S", "engine.brake_after=60", "-S", "rounds=12")
    assert command("run", panel, "--out", "run", *PLAIN, *dead).code == 3
    counts = "SELECT COUNT(missing), COUNT(*) > 0, SUM(attempts) FROM events"
    assert Run(tmp_path / "run").rows(counts)[1] == [(0, 1, 0)]


def test_what_a_rule_says_must_be_an_answer(command, panel):
    panel.write_text(PANEL.replace('"yes" if step % 2 else "no"', '"perhaps" if step else "no"'))
    refused = command("run", panel, "--out", "run", *PLAIN)
    assert refused.code == 2
    assert "the rule of voice 'stubborn' says 'perhaps' for agent 3, which is no answer" in refused.err


def test_a_run_of_rules_alone_asks_nobody(command, panel, tmp_path):
    panel.write_text(PANEL.replace('DEALT = ("", "keen", "shy", "stubborn")', 'DEALT = ("stubborn",) * 4'))
    done = command("run", panel, "--out", "run", *PLAIN, "-S", "backend.rejected_rate=1.0")
    assert done.code == 0, done.err
    assert [json.loads(done.out)[name] for name in ("calls", "answers", "missing")] == [0, 144, 0]


# What there is


def made(voices, backend=None, environ=None, **stack):
    settings = Settings(backend=BackendSettings(**(backend or {})), stack=StackSettings(**stack))
    return make_voices(settings, voices, environ or {})


def test_without_voices_a_run_has_its_own_backend_and_with_rules_alone_too():
    assert not isinstance(made({}), VoicesBackend)
    assert list(made({"stubborn": "rule"}).parts) == [OWN]


def test_a_voice_is_a_table_a_name_or_other_options_of_the_runs_backend():
    own = {"law": "constant", "probability": 0.25}
    backend = made({"a": {"name": "mock"}, "b": "mock", "c": {"probability": 0.5}}, own)
    laws = {voice: part.backend.probability("01101") for voice, part in backend.parts.items()}
    default = made({}).probability("01101")
    assert laws == {OWN: 0.25, "a": default, "b": default, "c": 0.5}


@pytest.mark.parametrize(
    ("table", "kind", "why"),
    [
        ({"name": "mok"}, PluginError, "voice 'small': there is no backend 'mok'; did you mean 'mock'"),
        ("mok", PluginError, "voice 'small': there is no backend 'mok'"),
        ({"name": "mock", "p": 0.5}, ConfigurationError, r"voice 'small': .*voices\.small\.p"),
        ({"name": "openai", "model": "m"}, ConfigurationError, "voice 'small': .*OPENAI_API_KEY"),
        ({"name": "mock", "api_key": "s"}, ConfigurationError, "voice 'small': .*looks like a secret"),
        ({"max_in_flight": 0}, ConfigurationError, "voice 'small': max_in_flight: .*greater than"),
        (7, ConfigurationError, "voice 'small' is 7; it is a backend's table"),
    ],
)
def test_a_voice_that_cannot_be_made_is_named(table, kind, why):
    with pytest.raises(kind, match=why):
        made({"small": table})


def test_a_voice_that_cannot_be_made_is_refused_before_a_run_begins(command, panel, tmp_path):
    for what in ("run", "check"):
        refused = command(what, panel, "-S", "voices.shy.law=no_law")
        assert refused.code == 2
        assert "voice 'shy': voices.shy.law" in refused.err
    assert not (tmp_path / "runs").exists()


def test_an_override_changes_one_option_of_a_voice_and_another_backend_all():
    voices = {"a": {"name": "openai", "model": "x", "omit": ["seed"]}, "b": "rule"}
    changed = laid_over(voices, {"a": {"model": "y"}, "c": "mock"})
    assert changed == {"a": {"name": "openai", "model": "y", "omit": ["seed"]}, "b": "rule", "c": "mock"}
    assert laid_over(voices, {"a": {"name": "mock"}})["a"] == {"name": "mock"}
    assert laid_over({"a": "openai"}, {"a": {"model": "y"}})["a"] == {"name": "openai", "model": "y"}


class Design(BaseModel):
    voices: dict


def test_conditions_may_add_voices_but_a_name_stands_for_one():
    one, two, other = Design(voices={"a": "mock"}), Design(voices={"b": "rule"}), Design(voices={"a": "rule"})
    assert voices_of([one, two, object()]) == {"a": "mock", "b": "rule"}
    with pytest.raises(DesignError, match="voice 'a' is 'mock' in one condition and 'rule' in another"):
        voices_of([one, other])


# The stack

ASK = Request((("user", "Do you share it?"),), max_tokens=10)


def of(voice):
    return ASK._replace(metadata={"voice": voice} if voice else {})


def stacked(scripts, tmp_path=None, limits=None, **settings):
    """Put the stack around a scripted backend a voice."""
    spent = settings.pop("spent", None)
    parts = {
        voice: VoicePart(ScriptedBackend(script), BackendSettings(law=voice), (limits or {}).get(voice, {}))
        for voice, script in scripts.items()
    }
    return build_stack(
        VoicesBackend(parts),
        StackSettings(**{"cache": tmp_path is not None, **settings}),
        scope="",
        cache_folder=tmp_path or Path("/nonexistent"),
        in_flight=8,
        spent=spent,
    )


def test_voices_with_equal_messages_share_no_entry_of_the_cache(tmp_path):
    async def ask(scripts):
        stack = stacked(scripts, tmp_path)
        replies = [await stack.backend.complete(of(voice)) for voice in (OWN, "a")]
        await stack.backend.aclose()
        return [(*reply.texts, reply.cached) for reply in replies]

    assert asyncio.run(ask({OWN: ["own"], "a": ["a"]})) == [("own", False), ("a", False)]
    assert asyncio.run(ask({OWN: [], "a": []})) == [("own", True), ("a", True)]


def test_a_voice_finds_what_it_was_told_as_the_backend_of_a_run_of_its_own(tmp_path):
    async def ask(backend, request):
        settings = StackSettings()
        stack = build_stack(backend, settings, scope="{}", cache_folder=tmp_path, in_flight=8)
        reply = await stack.backend.complete(request)
        await stack.backend.aclose()
        return reply.cached

    table = BackendSettings(name="x")
    mixed = {
        OWN: VoicePart(ScriptedBackend(["own"], name="y"), table),
        "a": VoicePart(ScriptedBackend(["a"]), table),
    }
    assert not asyncio.run(ask(VoicesBackend(mixed), of("a")))
    assert asyncio.run(ask(ScriptedBackend([]), ASK))


def test_an_unknown_voice_is_refused_and_asked_of_nobody():
    async def main():
        stack = stacked({OWN: [], "small": []})
        with pytest.raises(PluginError, match="there is no voice 'smal'; did you mean 'small'"):
            await stack.backend.complete(of("smal"))

    run_in_virtual_time(main())


def test_each_voice_is_closed_once(tmp_path):
    class Once(ScriptedBackend):
        async def aclose(self):
            assert not self.closed
            self.closed = True

    parts = {voice: VoicePart(Once([]), BackendSettings()) for voice in (OWN, "a", "b")}
    stack = build_stack(VoicesBackend(parts), StackSettings(), scope="", cache_folder=tmp_path, in_flight=1)
    asyncio.run(stack.backend.aclose())
    assert all(part.backend.closed for part in parts.values())


def test_a_voice_that_is_unusable_is_named_once():
    async def main():
        stop = BackendUnusable("no key: set backend.key_env")
        stack = stacked({OWN: ["Yes"], "a": lambda _: stop, "b": lambda _: stop})
        for voice in ("a", "b"):
            # As when the one who waits is told why the run stops.
            with pytest.raises(BackendUnusable) as failed:
                await stack.backend.complete(of(voice))
        return str(failed.value), (await stack.backend.complete(of(OWN))).texts

    assert run_in_virtual_time(main()) == ("voice 'a': no key: set voices.a.key_env", ("Yes",))


def test_a_voice_has_limits_of_its_own_and_holds_up_nobody_else():
    times = {OWN: [], "slow": []}

    def script(voice):
        async def answer(_):
            times[voice].append(asyncio.get_running_loop().time())
            await asyncio.sleep(1.0)
            return "Yes"

        return answer

    async def main():
        limits = {"slow": {"requests_per_minute": 6, "max_in_flight": 2}}
        stack = stacked({voice: script(voice) for voice in times}, limits=limits)
        await asyncio.gather(*(stack.backend.complete(of(voice)) for voice in times for _ in range(4)))
        return {voice: limit._highest for voice, limit in stack.limits.items()}

    assert run_in_virtual_time(main()) == {OWN: 8, "slow": 2}
    assert times[OWN] == pytest.approx([0.0] * 4, abs=0.1)
    assert times["slow"] == pytest.approx([0.0, 10.0, 20.0, 30.0], abs=0.1)


def test_changes_of_a_limit_say_whose_it_is():
    told = []
    parts = {voice: VoicePart(ScriptedBackend([]), BackendSettings()) for voice in (OWN, "a")}
    stack = build_stack(
        VoicesBackend(parts),
        StackSettings(cache=False),
        scope="",
        cache_folder=Path(),
        in_flight=1,
        tell=told.append,
    )
    for limit in stack.limits.values():
        limit._tell(LimitChange(3, "grown"))
    assert told == [LimitChange(3, "grown", OWN), LimitChange(3, "grown", "a")]


def test_a_run_is_paused_while_no_voice_may_be_asked_and_no_longer():
    async def main():
        stack = stacked({OWN: [], "a": []})
        known = []
        for pause, wait_s in zip(stack.pauses.values(), (60.0, 30.0), strict=True):
            pause.heed(TransientError("busy", kind="rate_limit", retry_after_s=wait_s))
            known.append(stack.paused_until())
        return known, min(pause.ends_at() for pause in stack.pauses.values())

    (first, both), earliest = run_in_virtual_time(main())
    assert (first, both) == (None, earliest)


def test_what_one_model_counts_in_a_prompt_says_nothing_of_another():
    tokens = PromptTokens()
    tokens.learn(of("a"), 7)
    assert (tokens.most(of("a")), tokens.is_known(of(OWN))) == (7, False)


# Money

CHEAP, DEAR = PriceSettings(input=1.0, output=2.0), PriceSettings(input=100.0, output=200.0)


def priced(models, spent=None, spent_tokens=None, **settings):
    """Put the stack around voices of these models, each reply of which takes 10 tokens in and 5 out."""
    script = lambda _: Reply(("Yes",), 10, 5)  # noqa: E731
    parts = {
        voice: VoicePart(ScriptedBackend(script, model_name=model), BackendSettings())
        for voice, model in models.items()
    }
    prices = {"cheap": CHEAP, "dear": DEAR}
    return build_stack(
        VoicesBackend(parts),
        StackSettings(cache=False, prices=prices, **settings),
        scope="",
        cache_folder=Path(),
        in_flight=8,
        spent=spent,
        spent_tokens=spent_tokens,
    )


def test_each_voice_costs_what_its_model_costs():
    async def main():
        stack = priced({OWN: "cheap", "a": "dear"})
        for voice in (OWN, "a", OWN):
            await stack.backend.complete(of(voice))
        return stack.budget.spent

    spent = run_in_virtual_time(main())
    assert spent.dollars == pytest.approx((2 * (10 * 1 + 5 * 2) + 10 * 100 + 5 * 200) / 1e6)
    assert spent[:3] == (3, 30, 15)


def test_money_is_bounded_by_what_each_voice_costs():
    async def main(order):
        stack = priced({OWN: "cheap", "a": "dear"}, max_cost=0.0135)
        done = []
        for voice in order:
            try:
                await stack.backend.complete(of(voice))
                done.append(voice)
            except RunStopped:
                break
        return done, stack.budget.spent.dollars

    done, dollars = run_in_virtual_time(main(["a"] * 50))
    # The seventh call's worst case, 10 tokens in and 10 out, would end at 0.015 dollars.
    assert (done, dollars) == (["a"] * 6, pytest.approx(0.012))
    done, dollars = run_in_virtual_time(main([OWN] * 50))
    assert (len(done), dollars) == (50, pytest.approx(0.001))


def test_the_price_of_one_voice_is_no_other_voices():
    async def main():
        stack = priced({OWN: "cheap", "a": "unlisted"})
        await stack.backend.complete(of(OWN))
        return stack.budget.spent.dollars

    assert run_in_virtual_time(main()) is None
    with pytest.raises(ConfigurationError, match="the price of model 'unlisted' is unknown"):
        priced({OWN: "cheap", "a": "unlisted"}, max_cost=1.0)


def test_what_a_killed_sitting_of_several_prices_cost_is_unknown_and_bounded_by_the_dearest():
    killed = Spent(3, 30, 15, None)
    mixed = priced({OWN: "cheap", "a": "dear"}, spent=killed, max_cost=0.01)
    assert mixed.budget.spent.dollars is None
    assert mixed.budget._dollars(mixed.budget._money) == pytest.approx(0.006)
    alike = priced({OWN: "dear", "a": "dear"}, spent=killed)
    assert alike.budget.spent.dollars == pytest.approx(0.006)
    told = {OWN: (20, 10), "a": (10, 5)}
    known = priced({OWN: "cheap", "a": "dear"}, spent=killed, spent_tokens=told)
    assert known.budget.spent.dollars == pytest.approx((20 * 1 + 10 * 2 + 10 * 100 + 5 * 200) / 1e6)
    assert priced({"a": "dear", "b": "cheap"}, spent=killed, spent_tokens=told).budget.spent.dollars is None
    noted = priced({OWN: "cheap", "a": "dear"}, spent=killed._replace(dollars=0.5), spent_tokens=told)
    assert noted.budget.spent.dollars == 0.5


# Cascades

MIXED = """
from agentnet import CascadeExperiment

class Mixed(CascadeExperiment):
    n_agents, degree, steps, repeats, items_per_severity, rationale = 32, 4, 4, 1, 1, "none"
    asking_rule = "once_per_edge"
    share: float = 0.25
    conditions = ({"share": 0.25}, {"share": 0.5})
    voices = {
        "keen": {"name": "mock", "law": "constant", "probability": 1.0},
        "shy": {"name": "mock", "law": "constant", "probability": 0.0},
        "stubborn": "rule",
    }

    def deal_voices(self, population, seed):
        rest = 0.75 - self.share
        return population.deal({"keen": self.share, "shy": rest, "stubborn": 0.25}, seed)

    def rule(self, exposure):
        return exposure.step == 2
"""
BY_VOICE = """
SELECT a.voice, e.step = 2, MIN(e.decision), MAX(e.decision), COUNT(*) - COUNT(e.decision),
       SUM(e.attempts) > 0
FROM events e JOIN agents a USING (realization, agent) GROUP BY 1, 2 ORDER BY 1, 2
"""


@MODES
def test_a_cascade_of_several_voices_is_played_and_resumed(command, tmp_path, mode):
    path = tmp_path / "mixed.py"
    path.write_text(MIXED)
    how = ("-S", f"sampler.mode={mode}", "-S", "backend.rejected_rate=1.0")
    whole = digest(command, path, "--out", "whole", *how)
    found = Run(tmp_path / "whole")
    for voice, at_two, least, most, n_missing, was_asked in found.rows(BY_VOICE)[1]:
        expected = {"keen": 1, "shy": 0, "stubborn": at_two}[voice]
        assert (least, most, n_missing, was_asked) == (expected, expected, 0, voice != "stubborn")
    # All agents have a voice, so that the run's own backend is neither made nor named.
    assert list(found.meta["voices"]) == ["keen", "shy", "stubborn"]
    assert found.meta["model_name"] == "mock-constant"
    cut = command("run", path, "--out", "cut", *PLAIN, *how, "-S", "stack.max_calls=30")
    assert cut.code == 3
    assert digest(command, "--resume", "cut", "-S", "stack.max_calls=100000") == whole


@pytest.fixture
def mixed(command, tmp_path):
    """Write the file of a cascade in which agents have three voices."""
    path = tmp_path / "mixed.py"
    path.write_text(MIXED)
    return path


def test_a_check_says_which_voices_there_are_what_they_need_and_what_each_costs(command, mixed):
    prices = ("-S", "stack.prices.mock-constant={input=100.0,output=0.0}")
    told = json.loads(command("check", mixed, "--json", *prices, "-S", "voices.shy=mock").out)
    assert {voice: each["model_name"] for voice, each in told["voices"].items()} == {
        "keen": "mock-constant",
        "shy": "mock-main_effects",
        "stubborn": "rule:stubborn",
    }
    tokens = told["tokens_by_voice"]
    assert tokens.keys() == {"keen", "shy"}
    assert sum(n for n, _ in tokens.values()) == pytest.approx(told["prompt_tokens"], abs=1)
    assert told["dollars"] == pytest.approx(tokens["keen"][0] * 100.0 / 1e6)
    assert 0 < told["calls"] < told["decisions"]
    shown = command("check", mixed).out
    assert "who answers" in shown
    assert "stubborn" in shown


def test_a_price_that_is_unknown_for_one_voice_leaves_the_cost_unknown(command, mixed):
    model = ("-S", "voices.shy.name=openai", "-S", "voices.shy.model=secret", "-S")
    told = json.loads(
        command("check", mixed, "--json", *model, "voices.shy.base_url=http://127.0.0.1:9/v1").out
    )
    assert told["dollars"] == "unknown: state stack.prices"


def test_a_voice_may_have_another_server_when_a_run_is_resumed_and_no_other_law(command, panel):
    assert command("run", panel, "--out", "run", *PLAIN, "-S", "stack.max_calls=20").code == 3
    refused = command("run", "--resume", "run", "-S", "voices.shy.probability=0.5")
    assert refused.code == 2
    assert "experiment.voices.shy.probability was not set when this run began" in refused.err
    on = ("-S", "voices.shy.latency_s=0.001", "-S", "voices.shy.max_in_flight=3", "-S", "stack.max_calls=900")
    digest(command, "--resume", "run", *on)


def test_a_report_says_how_many_agents_each_voice_answered_for(command, mixed, tmp_path):
    digest(command, mixed, "--out", "run")
    shown = json.loads(command("show", "run", "--json").out)
    assert shown["voices"]["keen"] == "mock-constant through mock"
    facts = read_facts(Run(tmp_path / "run"))
    mock = "from mock-constant through the backend mock"
    for condition, keen, shy, n in ((0, 16, 32, 64), (1, 32, 16, 64), (None, 48, 48, 128)):
        said = model_sentence(facts, condition)
        assert said.startswith(
            f"Of {n} agents over all realizations, answers came for {keen} {mock} (voice keen), for {shy} "
            f"{mock} (voice shy) and for {n // 4} from a rule of the experiment (voice stubborn), models as "
            "returned: mock-constant, at "
        )
    told = [f"{whose}: {name}" for whose, name, _ in backends_of(facts)]
    assert told == ["voice keen: mock", "voice shy: mock", "voice stubborn: rule"]


def test_what_rules_answered_was_asked_of_nobody(command, mixed, tmp_path):
    digest(
        command, mixed, "--out", "run", "-S", "voices.keen.latency_s=0.01", "-S", "voices.shy.latency_s=0.01"
    )
    run = Run(tmp_path / "run")
    ((n, by_rules, mean_s),) = run.rows(
        "SELECT COUNT(*), SUM(model GLOB 'rule:*'), AVG(latency_s) FILTER (WHERE model NOT GLOB 'rule:*') "
        "FROM events JOIN replies USING (reply)"
    )[1]
    assert 0 < by_rules < n
    facts = read_facts(run)
    assert facts.n_by_rules == sum(each.n_by_rules for each in facts.begun) == by_rules
    assert facts.spending.mean_latency_s == pytest.approx(mean_s)
    asked, missing, ruled, _ = asked_sentences(facts)
    assert asked == f"Run run asked mock-constant through the backend mock for {n - by_rules} decisions"
    assert missing == "None of them is missing"
    assert ruled == f"{by_rules} more decisions came from rules of the experiment, at no call"
    assert [name for name, _, _ in facts.models] == ["mock-constant"]
    assert json.loads(command("show", "run", "--json").out)["answered_by_rules"] == by_rules


def test_a_report_says_what_was_left_out_for_which_voice(command, mixed, tmp_path):
    digest(command, mixed, "--out", "run")
    facts = read_facts(Run(tmp_path / "run"))
    facts.meta["voices"]["shy"]["options"] = {"omit": ["seed"], "system_role": "developer"}
    left_out, role = put_otherwise(facts)
    assert left_out.startswith("Left out of every request of voice shy, ")
    assert role == "System messages of voice shy were sent under the role developer"


TALK = """
from agentnet import Ask, WorldExperiment

class Talk(WorldExperiment):
    n_agents, degree, repeats = 8, 3, 2
    voices = {
        "keen": {"name": "mock", "law": "constant", "probability": 1.0},
        "shy": {"name": "mock", "law": "constant", "probability": 0.0},
    }

    def play(self, s):
        for step in range(3):
            yield [Ask(who, f"Agent {who}, step {step}: do you agree?", answer=bool) for who in range(8)]
"""


def test_a_free_world_of_several_voices_is_played_and_resumed(command, tmp_path):
    path = tmp_path / "talk.py"
    path.write_text(TALK)
    whole = digest(command, path, "--out", "whole")
    rows = Run(tmp_path / "whole").rows(BY_VOICE)[1]
    assert Run(tmp_path / "whole").meta["model_name"] == "mock-constant"
    assert {row[0]: row[2:5] for row in rows} == {"keen": (1, 1, 0), "shy": (0, 0, 0)}
    assert command("run", path, "--out", "cut", *PLAIN, "-S", "stack.max_calls=10").code == 3
    assert digest(command, "--resume", "cut", "-S", "stack.max_calls=100") == whole


def test_a_killed_run_of_several_voices_goes_on_and_knows_what_it_cost(command, mixed, tmp_path):
    prices = ("-S", "stack.prices.mock-constant={input=100.0,output=0.0}", "-S", "voices.shy=mock")
    done = command("run", mixed, "--out", "whole", *PLAIN, *prices)
    program = [
        Path(sys.executable).with_name("agentnet"),
        "run",
        str(mixed),
        "--out",
        "killed",
        *PLAIN,
        *prices,
    ]
    text = MIXED.replace(
        "        return exposure",
        "        if exposure.step == 2:\n            import os\n"
        "            os.environ.get('DIES') and os.kill(os.getpid(), 9)\n        return exposure",
    )
    mixed.write_text(text)
    played = subprocess.run(
        program, cwd=tmp_path, env={**os.environ, "DIES": "1"}, capture_output=True, check=False
    )
    assert played.returncode == -signal.SIGKILL
    on = command("run", "--resume", "killed", *PLAIN)
    assert on.code == 0, on.err
    digests, dollars = zip(
        *(map(json.loads(o.out).get, ("digest", "dollars")) for o in (done, on)), strict=True
    )
    assert digests[0] == digests[1]
    assert dollars[0] > 0
    assert dollars[1] == pytest.approx(dollars[0])


def test_a_rule_that_has_not_said_its_answer_is_asked_of_nobody(command, panel):
    text = PANEL.replace('DEALT = ("", "keen", "shy", "stubborn")', 'DEALT = ("stubborn",) * 4')
    panel.write_text(text.replace('facts["says"] =', "said ="))
    refused = command("run", panel, "--out", "run", *PLAIN)
    assert refused.code == 2
    assert "voice 'stubborn' is a rule: nobody can be asked" in refused.err
