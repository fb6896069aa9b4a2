"""Missing answers in a row wait to be recorded until a question that had an answer has one again."""

import asyncio
import json
from functools import partial
from types import MappingProxyType

import pytest

from agentnet import CascadeExperiment, InterviewExperiment, Run
from agentnet.backend import Reply
from agentnet.errors import BackendUnusable, RequestRejected
from agentnet.interviews import Question as Interviewed
from agentnet.prompts import Verdict
from agentnet.runner import Runner
from agentnet.runner.streak import Asked, Streak
from agentnet.sampler import Question
from agentnet.sampler.draws import Answer
from agentnet.streams import mix, unit
from agentnet.testing import ScriptedBackend, run_in_virtual_time


def judge(text):
    return Verdict(True, "") if text == "yes" else Verdict(None, "", "no_answer")


def asked(number, messages=True):
    return Asked(Question(number, (("user", f"item {number}"),) if messages else ()), 1.0, judge)


def answer(missing=None, text="yes"):
    return Answer(None if missing else 1, missing, text, "", "m", None, 5, 1, 1, 1, False, 0.1)


async def play(outcomes, script, *, after=5, messages=True):
    """Hand in `outcomes` one after the other: None for a usable answer, else why there is none.

    Returns:
        What was written, the error that stopped the run, and the backend.
    """
    backend, written, stops = ScriptedBackend(script), [], []
    streak = Streak(after=after, complete=backend.complete, stop=stops.append)
    for number, missing in enumerate(outcomes):
        if missing is None:
            if streak.is_watching:
                streak.answered(asked(number, messages))
            written.append((number, answer()))
        else:
            write = partial(lambda number, given: written.append((number, given)), number)
            streak.missing(asked(number, messages), answer(missing, "hm"), write)
        await asyncio.sleep(0.01)
    [error] = await asyncio.gather(streak.settle(), return_exceptions=True)
    await streak.aclose()
    assert stops == ([] if error is None else [error])
    return written, error, backend


def numbers(written):
    return [number for number, _ in written]


def test_missing_answers_between_usable_ones_are_recorded_and_cost_nothing():
    outcomes = ["invalid", None, "refused", "length", None, "invalid"] * 20
    written, error, backend = run_in_virtual_time(play(outcomes, []))
    assert (numbers(written), error, backend.requests) == (list(range(120)), None, [])


@pytest.mark.parametrize("before", [[], [None] * 3, [None] * 40, ["invalid", None]])
@pytest.mark.parametrize("missing", ["invalid", "length", "refused"])
def test_where_nothing_is_usable_any_more_the_run_stops_and_nothing_of_the_streak_is_recorded(
    before, missing
):
    declined = Reply(("No.",), finish=("refusal",))
    written, error, _ = run_in_virtual_time(
        play([*before, *[missing] * 9], lambda _: declined if missing == "refused" else "hm")
    )
    assert isinstance(error, BackendUnusable)
    assert numbers(written) == list(range(len(before)))
    assert missing in str(error)
    assert "'hm'" in str(error)


def test_a_control_that_is_answered_has_the_streak_recorded_and_its_cost_borne():
    written, error, backend = run_in_virtual_time(play([None, *["refused"] * 5], ["hm", "hm", "yes"]))
    assert (numbers(written), error) == (list(range(6)), None)
    assert sum(given.attempts for _, given in written) == 6 + len(backend.requests) == 9


def test_controls_ask_what_was_answered_before_and_are_never_answered_from_a_cache():
    _, _, backend = run_in_virtual_time(play([None, None, *["invalid"] * 5], lambda _: "hm"))
    assert {request.messages[0][1] for request in backend.requests} == {"item 0", "item 1"}
    assert len({request.draw for request in backend.requests}) == len(backend.requests)
    assert len({request.seed for request in backend.requests}) == len(backend.requests)


def test_a_model_that_declines_much_costs_few_controls():
    _, error, backend = run_in_virtual_time(play([None, *["refused"] * 1000], lambda _: "yes"))
    assert error is None
    assert len(backend.requests) <= 10


def test_a_model_that_declines_all_that_is_asked_is_told_from_one_that_declines_everything():
    def answers_the_harmless(request):
        harmless = "item" not in request.messages[0][1]
        return "yes" if harmless else Reply(("No.",), finish=("refusal",))

    written, error, _ = run_in_virtual_time(play(["refused"] * 12, answers_the_harmless))
    assert (numbers(written), error) == (list(range(12)), None)


def test_requests_that_are_rejected_count_as_well():
    rejected = RequestRejected("too long", kind="context_overflow")
    written, error, _ = run_in_virtual_time(play(["context_overflow"] * 12, lambda _: rejected))
    assert (written, type(error)) == ([], BackendUnusable)


@pytest.mark.parametrize(("before", "stops"), [([], True), ([None], False)])
def test_questions_that_cannot_be_put_again_stop_the_run_only_if_none_was_ever_answered(before, stops):
    written, error, backend = run_in_virtual_time(play([*before, *["empty"] * 9], [], messages=False))
    assert backend.requests == []
    assert isinstance(error, BackendUnusable) == stops
    assert len(written) == (0 if stops else 10)


class Small(CascadeExperiment):
    n_agents = 12
    degree = 3
    steps = 8
    repeats = 4
    items_per_severity = 1


class Fading(ScriptedBackend):
    """Answers by the seed of a request, and from a call on with words that are none."""

    def __init__(self, n_good):
        self.n_calls = 0

        def say(request):
            self.n_calls += 1
            yes = unit(mix(request.seed, 1)) < 0.4
            said = f'{{"share": {json.dumps(yes)}, "reason": "So."}}'
            return said if self.n_calls <= n_good else "Come back tomorrow."

        super().__init__(say)


@pytest.mark.parametrize("n_good", [0, 30, 75, 160])
@pytest.mark.parametrize("at_once", [1, 3, 64])
def test_realizations_that_end_within_a_streak_are_no_results_either(new_run, n_good, at_once):
    how = {"workers": 4, "realizations_at_once": at_once, "max_asks": 1}
    clean, broken = new_run(Small(), **how), new_run(Small(), **how)
    asyncio.run(Runner(clean, Fading(10**6)).play())
    with pytest.raises(BackendUnusable, match="Come back tomorrow"):
        asyncio.run(Runner(broken, Fading(n_good)).play())
    run = Run(broken.folder)
    assert run.rows("SELECT COUNT(*), COUNT(missing) FROM events")[1] == [(n_good, 0)]
    asyncio.run(Runner(broken, Fading(10**6)).play())
    assert run.digest() == Run(clean.folder).digest()
    steps = "SELECT * FROM steps ORDER BY 1, 2"
    assert run.rows(steps) == Run(clean.folder).rows(steps)


class Told(InterviewExperiment):
    n_evaluation, n_questions, n_taught, steps = 3, 2, 2, 3
    models = MappingProxyType({"a": 2, "b": 2})
    update = "memory"

    def load_questions(self):
        return [
            Interviewed(f"{topic}{n}", topic, f"What is {topic}{n}?", f"It is {topic}, number {n}.")
            for topic in "ab"
            for n in range(8)
        ]


def test_models_that_answered_before_and_fall_silent_stop_the_run_and_leave_no_missing_answer(new_run):
    n_good = 7
    silent = ScriptedBackend(lambda _: Reply(("Well." if len(silent.requests) <= n_good else "",)))
    prepared = new_run(Told(), brake_after=5)
    with pytest.raises(BackendUnusable, match="had a usable answer before"):
        asyncio.run(Runner(prepared, silent).play())
    answers = Run(prepared.folder).rows("SELECT COUNT(*), COUNT(missing) FROM events")[1][0]
    assert answers == (n_good, 0)


def test_controls_of_models_may_be_cut_off_as_their_answers_may(new_run):
    def script(asked):
        is_good = "a" in asked.messages[-1][1].partition("What is ")[2][:1]
        return Reply(("Well, it is",), finish=("length",)) if is_good else Reply(("",))

    prepared = new_run(Told(), brake_after=2)
    asyncio.run(Runner(prepared, ScriptedBackend(script)).play())
    n, n_missing = Run(prepared.folder).rows("SELECT COUNT(*), COUNT(missing) FROM events")[1][0]
    assert 2 < n_missing < n
