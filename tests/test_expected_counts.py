"""What `check` announces against what a run on the mock makes, in each sampler mode and family."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from agentnet import (
    Ask,
    CascadeExperiment,
    Exposure,
    InterviewExperiment,
    Play,
    ResponseRatioExperiment,
    Run,
    Setting,
    WorldExperiment,
)
from agentnet.backend import make_backend
from agentnet.config import BackendSettings
from agentnet.runner import Runner
from agentnet.runner.estimate import estimate
from agentnet.sampler.choices import locate
from agentnet.sampler.expected import EXPECTED, Load
from agentnet.voices import OWN

FACTOR = 1.5
"""What is announced and what is made differ by less than this."""


class Cascade(CascadeExperiment):
    n_agents = 32
    degree = 4
    steps = 8
    repeats = 2
    items_per_severity = 2
    rationale = "none"
    temperature = (0.7, 1.3)


class Told(Cascade):
    def context(self, exposure: Exposure) -> dict[str, Any]:
        return {"n_shared": min(exposure.n_engaged, 3)}

    def remark(self, context: Any) -> str:
        return f"{context['n_shared']} shared it."


class Ratios(ResponseRatioExperiment):
    items_per_severity = 2
    repeats = 6
    rationale = "none"
    temperature = (0.7, 1.3)


class Free(WorldExperiment):
    n_agents = 8
    repeats = 6

    def play(self, s: Setting) -> Play:
        for step in range(4):
            yield [Ask(agent, f"Step {step}: yes or no?", answer=bool, kind="say") for agent in s.agents]


MODES = [
    *((design, mode) for design in (Cascade, Told, Ratios) for mode in EXPECTED),
    *((Free, mode) for mode in ("call", "choices")),
]


def play(prepared: Any, law: Any = MappingProxyType({})) -> tuple[Any, ...]:
    asyncio.run(Runner(prepared, make_backend("mock", law)).play())
    sums = "SELECT SUM(attempts), SUM(prompt_tokens), SUM(completion_tokens) FROM events"
    return tuple(Run(prepared.folder).rows(sums)[1][0])


@pytest.mark.parametrize(("design", "mode"), MODES)
def test_calls_and_tokens_that_are_announced_are_about_those_that_are_made(
    new_run: Callable[..., Any], design: Any, mode: str
) -> None:
    prepared = new_run(design(), sampler={"mode": mode})
    found = asyncio.run(estimate(prepared))
    announced = found.counts["calls"], found.prompt_tokens, found.completion_tokens
    made = play(prepared)
    for expected, counted in zip(announced, made, strict=True):
        assert counted / FACTOR < expected < counted * FACTOR
    assert made[0] < found.counts["decisions"] or mode == "call"


def test_what_is_announced_is_by_the_law_that_the_mock_was_given(new_run: Callable[..., Any]) -> None:
    law: dict[str, Any] = {"law": "constant", "probability": 0.03}
    prepared = new_run(Told())
    own = BackendSettings(name="mock", **law, latency_s=60.0, transient_rate=0.5)
    prepared = replace(prepared, settings=prepared.settings.model_copy(update={"backend": own}))
    announced = asyncio.run(estimate(prepared)).counts["calls"]
    (made, *_) = play(prepared, law)
    assert made / FACTOR < announced < made * FACTOR


def test_what_is_announced_of_a_voice_is_by_its_own_law(new_run: Callable[..., Any]) -> None:
    law: dict[str, Any] = {"law": "constant", "probability": 0.03}
    told = {"shy": {"name": "mock", **law, "transient_rate": 0.5, "max_in_flight": 3}}

    class Spoken(Told):
        voices = told

    announced = asyncio.run(estimate(new_run(Spoken()))).counts["calls"]
    (made, *_) = play(new_run(Spoken()), law)
    assert made / FACTOR < announced < made * FACTOR


@pytest.mark.parametrize("mode", ["call", "choices"])
@pytest.mark.parametrize("n_repeats", [1, 5, 150])
@pytest.mark.parametrize("each", [0.3, 12.0])
def test_expected_requests_are_those_of_draws_that_fall_at_random(
    mode: str, n_repeats: int, each: float
) -> None:
    n, n_at_most = 40, 64
    generator = np.random.default_rng(7)
    trial = Counter(generator.poisson(20, size=n).tolist())
    load = Load(
        sum(met * n for met, n in trial.items()), n, trial[1], trial[2], 1, n_repeats, n * each, n_at_most
    )
    sent = [
        _sent(mode, generator.poisson(each, size=(n_repeats, n)), n_at_most)
        for _ in range(400 // n_repeats + 2)
    ]
    assert EXPECTED[mode](load) == pytest.approx(np.mean(sent, axis=0), rel=0.05)


def _sent(mode: str, drawn: Any, n_at_most: int) -> tuple[int, int]:
    """Count requests and samples for so many draws of each question (columns) by each repeat (rows)."""
    if mode == "call":
        return drawn.sum(), drawn.sum()
    n_repeats, n = drawn.shape
    blocks = {
        (question, locate(draw, repeat, n_repeats, n_at_most)[0])
        for repeat in range(n_repeats)
        for question in range(n)
        for draw in range(drawn[repeat, question])
    }
    return len(blocks), sum(block.n for _, block in blocks)


@pytest.mark.parametrize("times", [1, 3, 10])
def test_questions_of_more_draws_are_foretold_where_some_are_rare(times: int) -> None:
    generator = np.random.default_rng(3)
    weights = generator.lognormal(sigma=1.0, size=300)
    few, many = (generator.poisson(600 * n * weights / weights.sum()) for n in (1, times))
    met = Counter(few[few > 0].tolist())
    load = Load(int(few.sum()), met.total(), met[1], met[2], 1, 1, 0.0)
    assert load.n_distinct(600 * times) == pytest.approx((many > 0).sum(), rel=0.1)


def test_where_no_two_of_many_draws_are_alike_each_takes_a_request() -> None:
    for mode, n_samples in (("call", 3000), ("logprobs", 3000), ("choices", 9000)):
        found = EXPECTED[mode](Load(2000, 2000, 2000, 0, 2, 3, 1000.0, 64))
        assert found == pytest.approx((3000, n_samples), rel=0.01)


def test_where_one_list_tells_all_temperatures_conditions_with_the_same_prompts_share_it(
    new_run: Callable[..., Any],
) -> None:
    prepared = new_run(*(Ratios(repeats=repeats) for repeats in (20, 30)), sampler={"mode": "logprobs"})
    by_temperature = asyncio.run(estimate(prepared)).counts["calls"]
    assert by_temperature == pytest.approx(2 * 4 * 32 * 4, rel=0.05)
    assert asyncio.run(estimate(prepared, listing=[OWN])).counts["calls"] == pytest.approx(4 * 32, rel=0.01)


def test_answers_of_interviews_are_counted_as_calls(new_run: Callable[..., Any]) -> None:
    small = {"n_evaluation": 3, "n_questions": 2, "n_taught": 4, "steps": 4, "repeats": 2}
    design = InterviewExperiment(models={"society": 3, "science": 3}, update="memory", **small)
    prepared = new_run(design)
    found = asyncio.run(estimate(prepared))
    n_calls, tokens_in, tokens_out = play(prepared)
    assert found.counts["calls"] == n_calls
    assert tokens_in / FACTOR < found.prompt_tokens < tokens_in * FACTOR
    assert found.completion_tokens >= tokens_out


def test_check_says_which_bound_a_run_is_expected_to_reach(command: Callable[..., Any]) -> None:
    file = Path(__file__).parent.parent / "experiments" / "response_ratios.py"
    prices = ("-S", 'stack.prices."mock-main_effects"={input=1.0,output=1.0}', "--max-cost", "0.5")
    told = json.loads(command("check", file, "--json", *prices, "-S", "stack.max_calls=16000").out)
    assert told["stops"] == [
        f"the run is expected to stop, resumable, at stack.max_cost 0.5: it takes {told['dollars']:.6g}"
    ]
    assert "stack.max_cost 0.5" in command("check", file, *prices).out
    assert "stops" not in json.loads(command("check", file, "--json").out)
