"""`check` plays what an experiment's own methods ask twice, and shows what they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from agentnet import Ask, CascadeExperiment, Exposure, Play, Setting, WorldExperiment
from agentnet.errors import DesignError
from agentnet.families import Estimate
from agentnet.runner.estimate import estimate, rehearse

SMALL: dict[str, Any] = {"n_agents": 32, "degree": 4, "steps": 3, "repeats": 1, "items_per_severity": 1}
TICKS = count()


class Shown(CascadeExperiment):
    rationale = "none"
    shown: bool = True

    def context(self, exposure: Exposure) -> dict[str, Any]:
        return {"n_shared": exposure.n_engaged} if self.shown else {}

    def remark(self, context: Any) -> str:
        return f"{context['n_shared']} shared it." if context else ""


class Ticking(CascadeExperiment):
    rationale = "none"

    def context(self, exposure: Exposure) -> dict[str, Any]:
        return {"tick": next(TICKS)} if exposure.step else {}


class Steady(WorldExperiment):
    n_agents = 3
    repeats = 1

    def play(self, s: Setting) -> Play:
        heard = yield [Ask(agent, "Say something.", answer=str, kind="post") for agent in s.agents]
        yield [Ask(agent, f"{agent} reads {heard}", kind="like", context={"n": 1}) for agent in s.agents]


class Unsteady(Steady):
    def play(self, s: Setting) -> Play:
        yield [Ask(0, "Hello?")]
        yield [Ask(1, "Hello?")]
        yield [Ask(1, f"Hello, number {next(TICKS)}?")]


class Counting(Steady):
    repeats = 3

    def play(self, s: Setting) -> Play:
        self._n_played = getattr(self, "_n_played", 0) + 1
        yield [Ask(0, "Hello?")]
        s.record(7, n_played=self._n_played)


@pytest.fixture
def checked(new_run: Callable[..., Any]) -> Callable[..., Estimate]:
    def checked(*experiments: Any, **how: Any) -> Estimate:
        return asyncio.run(estimate(new_run(*experiments, **how)))

    return checked


@pytest.mark.parametrize(
    ("experiment", "where"),
    [
        (Unsteady(), "step 2 of realization 0 on, who is asked what differs. Its own play"),
        (Counting(), "step 7 of realization 0 on, what is measured differs"),
        (Ticking(**SMALL), "step 1 of realization 0 on, which facts prompts use differs. Its own context"),
    ],
)
def test_what_differs_when_it_is_played_again_is_refused_where_it_parts(
    checked: Callable[..., Estimate], experiment: Any, where: str
) -> None:
    with pytest.raises(DesignError, match=where):
        checked(experiment)


def test_one_prompt_is_shown_of_each_kind_of_question_and_facts(checked: Callable[..., Estimate]) -> None:
    found = checked(Shown(**SMALL), Shown(**SMALL, shown=False))
    other = " of condition 1: shown false"
    assert set(found.prompts) == {
        "seed (n_shared)",
        "exposure (n_shared)",
        f"seed{other}",
        f"exposure{other}",
    }
    assert "shared it." in found.prompts["exposure (n_shared)"][-1][1]
    assert "shared it." not in found.prompts[f"exposure{other}"][-1][1]
    assert set(checked(Steady()).prompts) == {"post", "like (n)"}


class Framed(CascadeExperiment):
    rationale = "none"
    frame: str = "win"

    def messages(self, prompts: Any, exposure: Exposure) -> Any:
        return (("user", f"With it we {self.frame}. Do you share it? Answer yes or no."),)


def test_of_each_condition_the_prompts_that_the_first_one_does_not_have_are_shown_by_its_name(
    checked: Callable[..., Estimate],
) -> None:
    framed = Framed(**SMALL), Framed(**SMALL, frame="lose")
    found = {name: messages[0][1][:15] for name, messages in checked(*framed).prompts.items()}
    other = " of condition 1: frame lose"
    assert found == {
        **dict.fromkeys(("seed", "exposure"), "With it we win."),
        **dict.fromkeys((f"seed{other}", f"exposure{other}"), "With it we lose"),
    }


@pytest.mark.parametrize("mode", ["call", "choices"])
def test_designs_in_which_pooled_sampling_saves_little_are_told(
    new_run: Callable[..., Any], mode: str
) -> None:
    prepared = new_run(Steady())
    sampler = prepared.settings.sampler.model_copy(update={"mode": mode})
    settings = prepared.settings.model_copy(update={"sampler": sampler})
    notes = asyncio.run(estimate(replace(prepared, settings=settings))).notes
    assert notes is not None
    assert notes[0] == "the trial asked 6 questions by 4 different prompts"
    assert any("most questions have a prompt of their own" in note for note in notes) == (mode == "choices")


def test_a_cascade_that_is_told_news_alone_is_played_once_and_told_nothing_of(
    checked: Callable[..., Estimate],
) -> None:
    assert checked(CascadeExperiment(**SMALL)).notes is None


def test_a_run_is_rehearsed_before_there_is_a_folder(command: Callable[..., Any], tmp_path: Any) -> None:
    text = (
        "from agentnet import Ask, WorldExperiment\nN = []\nclass Odd(WorldExperiment):\n    n_agents = 3\n"
    )
    text += (
        "    def play(self, s):\n        N.append(0)\n        yield [Ask(0, f'Hello, number {len(N)}?')]\n"
    )
    (tmp_path / "odd.py").write_text(text)
    done = command("run", tmp_path / "odd.py", "--out", tmp_path / "run")
    assert done.code == 2
    assert "is another experiment when it is played again" in done.err
    assert not (tmp_path / "run").exists()


def test_a_rehearsal_that_takes_too_long_is_given_up(new_run: Callable[..., Any]) -> None:
    assert asyncio.run(rehearse(new_run(Steady())))
    assert not asyncio.run(rehearse(new_run(Steady()), patience_s=0.0))
