"""What a run says of itself while it is played."""

from __future__ import annotations

import asyncio
import errno
import io
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet import CascadeExperiment, InterviewExperiment, ResponseRatioExperiment
from agentnet.backend import make_backend
from agentnet.cli import progress
from agentnet.cli.progress import line
from agentnet.errors import OutputClosed, RunStopped
from agentnet.families.cascade import Cascades as Cascading
from agentnet.runner import Prepared, Runner
from agentnet.runner.estimate import Guess, guess
from agentnet.runner.journal import Tally
from agentnet.view.outlook import Outlook

BUSY = {
    "n_decisions": 1_234,
    "n_settled": 900,
    "realizations": 3,
    "n_missing": 5,
    "counts": Counter(engaged=200, agents=1_280),
    "n_calls": 1_300,
    "dollars": lambda: 1.2345,
}


def outlook(*, n: int = 10, rate: float = 42.0, exact: int | None = None, **counts: Any) -> Outlook:
    """Make what is known of a run that has been playing at this rate."""
    tally, now = Tally(**counts), iter((0.0, 5.0))
    made = Outlook(tally, n, exact, clock=lambda: next(now), told=Cascading().progress)
    end, tally.n_decisions = tally.n_decisions, tally.n_decisions - round(5 * rate)
    made.look()
    tally.n_decisions = end
    made.look()
    return made


def test_a_line_of_80_columns_tells_decisions_of_how_many_time_left_realizations_rate_missing_and_money():
    shown = "1,234/~3,000 decisions · 0:42 left · 3/10 played · 42/s · 5 missing · $1.2345"
    assert line(outlook(**BUSY), 79) == shown
    assert line(outlook(**BUSY, exact=5_000), 79) == shown.replace("~3,000", "5,000").replace("0:42", "1:30")


def test_a_large_run_fits_too_also_while_it_is_paused():
    counts = BUSY | {"n_decisions": 1_234_567, "n_settled": 100_000, "realizations": 100, "n_missing": 12_345}
    told = line(outlook(n=4_000, rate=1_234.0, **counts, paused_until=lambda: 1.8e9), 79)
    until = time.strftime("%H:%M:%S", time.localtime(1.8e9))
    for part in ("1.23M/~4M", f"paused until {until}", "100/4,000", "1,234/s", "$1.2345"):
        assert part in told.split(" · ")


def test_whoever_has_room_reads_more_and_whoever_has_little_reads_what_matters_most():
    assert line(outlook(**BUSY), 200).endswith(" · 5 missing · $1.2345 · engaged 200 (16%) · calls 1,300")
    assert line(outlook(**BUSY), 40) == "1.23k/~3k · 0:42 left · 3/10 · 42/s"
    assert line(outlook(**BUSY), 10) == "1.23k/~3k"
    assert line(outlook(**BUSY), 5) == ""


@given(
    width=st.integers(0, 200),
    n_decisions=st.integers(0, 10**10),
    n_settled=st.integers(0, 10**9),
    realizations=st.integers(0, 10**6),
    counts=st.builds(lambda n: Counter(agents=n), st.integers(0, 10**8)),
    dollars=st.one_of(st.none(), st.floats(0, 1e6)),
    until=st.one_of(st.none(), st.floats(1e9, 2e9)),
)
def test_a_line_is_never_wider_than_the_terminal(width, dollars, until, **counts):
    tally = Tally(**counts, dollars=lambda: dollars, paused_until=lambda: until)
    told = line(Outlook(tally, 10**6, clock=lambda: 0.0, told=Cascading().progress), width)
    assert len(told) <= width
    assert "\n" not in told


def test_nothing_is_foretold_before_anything_is_known_and_nothing_is_left_at_the_end():
    begun = outlook(n_decisions=50)
    assert (begun.expected(), begun.left_s()) == (None, None)
    assert line(begun, 79).startswith("50 decisions · 0/10 realizations · 42/s")
    begun.guess = Guess(100.0, 1_000)
    assert (begun.expected(), begun.left_s()) == (1_000, pytest.approx(950 / 42))
    ended = outlook(n_decisions=700, n_settled=700, realizations=10)
    assert (ended.expected(), ended.left_s()) == (700, None)


def test_where_nobody_knows_how_long_it_takes_there_is_a_reason_and_only_there():
    assert outlook(n_decisions=50).why_unknown() == "no realization has ended"
    assert outlook(n_decisions=50, rate=0.0).why_unknown() == "nothing came lately"
    longer = outlook(n_decisions=9_000, n_settled=90, realizations=1)
    assert longer.why_unknown() == "those that are played are longer than those that ended"
    pooled = seen(*[(n + 5, n) for n in range(9)], n_calls=None)
    assert pooled.why_unknown() == "many answers come of one call"
    known = outlook(n_decisions=50, exact=900), outlook(n_decisions=700, n_settled=700, realizations=10)
    assert [each.why_unknown() for each in known] == ["", ""]


def test_a_guess_gives_way_to_what_realizations_really_took():
    guessed = [
        Outlook(Tally(n_decisions=n * 40, n_settled=n * 40, realizations=n), 100, guess=Guess(400.0, 40_000))
        for n in (0, 1, 9, 99)
    ]
    assert [each.expected() for each in guessed] == [40_000, 22_000, 7_600, 4_360]


def test_a_guess_that_is_overtaken_foretells_nothing_rather_than_that_the_run_is_done():
    overtaken = outlook(n_decisions=900)
    overtaken.guess = Guess(90.0, 900)
    assert (overtaken.expected(), overtaken.left_s()) == (None, None)
    assert line(overtaken, 79).startswith("900 decisions · 0/10 realizations · ")


def test_the_rate_is_that_of_the_last_seconds():
    tally, now = Tally(), iter(range(100))
    seen = Outlook(tally, 1, clock=lambda: float(next(now)))
    for n in (*range(0, 3_000, 100), *range(3_000, 3_015)):
        tally.n_decisions = n
        seen.look()
    assert seen.rate() == pytest.approx(1.0)


def seen(*counts: tuple[int, int], n_calls: int | None) -> Outlook:
    """Make what is known of a run whose calls are shared, by (decisions, calls) second by second."""
    tally, now = Tally(), iter(range(len(counts)))
    made = Outlook(tally, 50, share_calls=True, clock=lambda: float(next(now)))
    made.guess = None if n_calls is None else Guess(700.0, n_calls)
    for tally.n_decisions, tally.n_calls in counts:
        made.look()
    return made


def test_where_decisions_share_calls_the_calls_are_what_takes_time():
    slow = [(n + 5, n) for n in range(0, 140, 2)]
    assert seen(*slow, n_calls=400).left_s() == pytest.approx((400 - 138) / 2)
    assert " · 2:11 left · " in line(seen(*slow, n_calls=400), 200)
    assert " · calls 138/~400" in line(seen(*slow, n_calls=400), 79)
    # More than was guessed, or nobody guessed: the decisions that come by the way foretell nothing.
    assert [seen(*slow, n_calls=n).left_s() for n in (100, None)] == [None, None]
    assert "left" not in line(seen(*slow, n_calls=None), 200)


def test_once_all_is_answered_that_decisions_share_they_foretell_the_rest():
    free = [(n, 380) for n in range(0, 10_000, 500)]
    assert seen(*free, n_calls=400).left_s() == pytest.approx((50 * 700 - 9_500) / 500)


@pytest.mark.parametrize("mode", ["choices", "logprobs"])
def test_in_modes_that_share_calls_their_number_is_guessed(
    new_run: Callable[..., Prepared], mode: str
) -> None:
    prepared = new_run(Cascades(rationale="none"), sampler={"mode": mode})
    guessed = asyncio.run(guess(prepared))
    runner = Runner(prepared, make_backend("mock", {}))
    asyncio.run(runner.play())
    assert guessed is not None
    assert 0.5 < guessed.n_calls / runner.tally.n_calls < 2.0


class Ratio(ResponseRatioExperiment):
    items_per_severity, repeats = 1, 2


class Talk(InterviewExperiment):
    models = MappingProxyType({"society": 3, "science": 2})
    n_evaluation, n_questions, n_taught, steps, repeats = 3, 2, 4, 3, 2


class Cascades(CascadeExperiment):
    n_agents, degree, steps, repeats, items_per_severity = 32, 3, 6, 4, 1


@pytest.mark.parametrize(
    "designs",
    [
        (Ratio(), Ratio(repeats=3)),
        (Talk(), Talk(topology="intra_class")),
        (Talk(temperature=0.7), Talk(topology="nobody", temperature=0.7)),
        (Talk(questions_from="bank", topology=lambda step, state: [[1], [0], [], [], [0]]),),
        (Talk(steps=0),),
    ],
)
def test_where_the_design_fixes_the_decisions_their_number_is_foretold(
    designs: tuple[Any, ...], new_run: Callable[..., Prepared]
) -> None:
    prepared = new_run(*designs)
    foretold = prepared.stage.n_fixed()
    runner = Runner(prepared, make_backend("mock", {}))
    asyncio.run(runner.play())
    assert foretold == runner.tally.n_decisions == runner.tally.n_settled > 0


def test_where_answers_decide_nobody_foretells_but_cascades_can_be_guessed(
    new_run: Callable[..., Prepared],
) -> None:
    assert new_run(Talk(topology="local", reuse=False)).stage.n_fixed() is None
    prepared = new_run(Cascades())
    assert prepared.stage.n_fixed() is None
    guessed = asyncio.run(guess(prepared))
    runner = Runner(prepared, make_backend("mock", {}))
    asyncio.run(runner.play())
    assert runner.tally.n_settled == runner.tally.n_decisions
    assert guessed is not None
    assert 0.5 < guessed.per_realization / (runner.tally.n_decisions / 8) < 2.0
    large = asyncio.run(guess(new_run(Cascades(n_agents=3_200, steps=2))))
    assert large is not None
    assert asyncio.run(guess(new_run(Ratio()))) is None


def test_a_resumed_run_counts_what_earlier_sittings_settled(new_run: Callable[..., Prepared]) -> None:
    prepared = new_run(Ratio(), realizations_at_once=1, stack={"max_calls": 70})
    with pytest.raises(RunStopped):
        asyncio.run(Runner(prepared, make_backend("mock", {})).play())
    runner = Runner(reopen_with(prepared, max_calls=10_000), make_backend("mock", {}))
    asyncio.run(runner.play())
    assert runner.tally.n_settled == runner.tally.n_decisions == prepared.stage.n_fixed() == 128


def reopen_with(prepared: Prepared, **stack: Any) -> Prepared:
    settings = prepared.settings
    return replace(
        prepared,
        settings=settings.model_copy(update={"stack": settings.stack.model_copy(update=stack)}),
    )


def test_without_a_terminal_plain_lines_come_as_often_as_wanted(command, small):
    slow = ("-S", "backend.latency_s=0.02", "-S", "engine.workers=16", "-S", "stack.cache=false")
    done = command("run", small, "--out", "a", *slow, "--progress-every", "0.1")
    assert done.code == 0
    lines = [each for each in done.err.splitlines() if " decisions · " in each]
    assert len(lines) > 1
    # The last may come when more is done than was estimated, which then foretells nothing.
    assert any("/~" in each for each in lines)
    assert not {"\r", "\x1b"} & set(done.err)


def test_who_is_told_that_nobody_reads_is_told_once(monkeypatch, capsys):
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OutputClosed("nobody")

    async def guess() -> float | None:
        return None

    async def main() -> list[str]:
        told: list[str] = []
        seen = asyncio.Event()

        def closed(error: OutputClosed) -> None:
            told.append(str(error))
            seen.set()

        async with progress.progress(Outlook(Tally(), 1), every_s=0.01, guess=guess, closed=closed):
            await seen.wait()
        return told

    monkeypatch.setattr(sys, "stderr", Gone())
    assert asyncio.run(main()) == ["nobody"]


def test_who_cannot_guess_for_want_of_open_files_shows_the_run_all_the_same(monkeypatch):
    class Shown(io.StringIO):
        def write(self, text: str) -> int:
            if guessed.is_set():
                goes_on.set()
            return super().write(text)

    async def guess() -> float | None:
        guessed.set()
        raise OSError(errno.EMFILE, "Too many open files")

    async def main() -> None:
        async with progress.progress(Outlook(Tally(), 1), every_s=0.01, guess=guess, closed=lambda _: None):
            await goes_on.wait()

    guessed, goes_on = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(sys, "stderr", Shown())
    asyncio.run(asyncio.wait_for(main(), 10.0))


def test_lines_that_have_no_room_end_and_what_they_tell_of_goes_on(monkeypatch):
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            tried.set()
            raise OSError(errno.ENOSPC, "No space left on device")

    async def guess() -> float | None:
        return None

    async def main() -> str:
        async with progress.progress(Outlook(Tally(), 1), every_s=0.01, guess=guess, closed=lambda _: None):
            await tried.wait()
        return "played"

    tried = asyncio.Event()
    monkeypatch.setattr(sys, "stderr", Full())
    assert asyncio.run(main()) == "played"
