"""Whole runs over HTTP against the double: faults, kills and money."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest

from agentnet import Run
from agentnet.backend import make_backend
from agentnet.cli.processes import play_one
from agentnet.cli.serve import read_metadata
from agentnet.config import SamplerSettings, Settings
from agentnet.errors import AgentnetError, BackendUnusable, RunFolderError, RunStopped
from agentnet.events.read import shards_in
from agentnet.experiment import Source
from agentnet.runner import Runner, create, prepare, reopen
from agentnet.runner.begin import begin_shards
from agentnet.runner.play import spent_before
from agentnet.runner.shards import merge
from agentnet.testing.faults import FaultPlan
from agentnet.testing.server import LIKE_VLLM, ServerDouble, start_server

# Every fault that another try of the same request cures; a hanging socket costs a time-out, so fewer of them.
CURABLE = {
    **dict.fromkeys(("rate_limit", "rate_limit_bare", "http_500", "http_502", "http_503", "http_529"), 0.03),
    **dict.fromkeys(("reset", "disconnect", "half_body", "malformed_json"), 0.02),
    **dict.fromkeys(("wrong_schema", "error_body", "no_choices"), 0.01),
    **dict.fromkeys(("hang", "drip"), 0.002),
}
KEY = "sk-double-0123456789-do-not-tell"

SMALL = """
from agentnet import CascadeExperiment

class Small(CascadeExperiment):
    n_agents = 24
    degree = 3
    steps = 5
"""

RATIOS = """
from agentnet import ResponseRatioExperiment

class Ratios(ResponseRatioExperiment):
    items_per_severity = 1
    repeats = 8
    rationale = "none"
    conditions = ({}, {"repeats": 4})

    def choose_news(self, seed):
        return super().choose_news(0)
"""


def double(**options: object) -> ServerDouble:
    """Make a double that answers the package's prompts by the mock's law."""
    return ServerDouble(
        make_backend("mock", {}), key=KEY, manners=LIKE_VLLM, metadata_of=read_metadata, drip_s=0.2, **options
    )


def settings(
    url: str, runs: Path, *, stack: Mapping[str, object] | None = None, **experiment: object
) -> Settings:
    """Make settings for backend ``openai`` on the double, patient and quick."""
    return Settings.model_validate(
        {
            "runs": runs,
            "backend": {"name": "openai", "model": "double", "base_url": url, "timeout_s": 1.5},
            "engine": {"workers": 32},
            "log": {"parquet": False},
            "stack": {"max_attempts": 30, "max_wait_s": 0.1, "min_in_flight": 16, **(stack or {})},
            "experiment": experiment,
        }
    )


async def play(folder: Path, chosen: Settings, text: str = SMALL) -> Run:
    """Play the small experiment to its end, or resume it."""
    backend = make_backend(chosen.backend.name, chosen.backend.options, {"OPENAI_API_KEY": KEY})
    if folder.exists():  # noqa: ASYNC240 - a test may block
        prepared = reopen(folder, chosen)
    else:
        source = Source(Path("small.py"), text)
        prepared = prepare(source, chosen, folder)
        create(prepared, source, backend=backend.name, model_name=backend.model_name)
    await Runner(prepared, backend).play()
    return Run(folder)


def test_a_run_with_every_curable_fault_ends_like_one_without_and_both_sides_count_alike(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with start_server(double()) as server:
            clean = await play(tmp_path / "clean", settings(server.base_url, tmp_path / "a"))
        async with start_server(double(faults=FaultPlan(rates=CURABLE, seed=1))) as server:
            faulty = await play(tmp_path / "faulty", settings(server.base_url, tmp_path / "b"))
            n_served = server.ledger.calls
        assert faulty.rows("SELECT COUNT(*) FROM realizations")[1] == [(50,)]
        assert faulty.digest() == clean.digest()
        n_calls, n_troubled = faulty.rows("SELECT SUM(attempts), SUM(attempts > 1) FROM events")[1][0]
        assert n_calls == n_served
        n_events = faulty.rows("SELECT COUNT(*) FROM events")[1][0][0]
        assert n_troubled > 0.2 * n_events
        kinds = {kind for (kind,) in faulty.rows("SELECT DISTINCT trouble_kind FROM troubles")[1]}
        assert len(kinds) >= 6
        assert n_calls - n_events == faulty.rows("SELECT COUNT(*) FROM troubles")[1][0][0]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "missing"),
    [("refusal", "refused"), ("content_filter", "content_filter"), ("context_overflow", "context_overflow")],
)
def test_what_no_try_can_cure_ends_as_a_missing_decision_with_its_reason(
    tmp_path: Path, fault: str, missing: str
) -> None:
    async def main() -> None:
        async with start_server(double(faults=FaultPlan(rates={fault: 0.2}))) as server:
            chosen = settings(server.base_url, tmp_path / "runs", repeats=1, items_per_severity=1)
            run = await play(tmp_path / "run", chosen)
            assert run.rows("SELECT SUM(attempts) FROM events")[1] == [(server.ledger.calls,)]
        reasons = run.rows(
            "SELECT missing, COUNT(*), SUM(decision) FROM events WHERE missing <> '' GROUP BY 1"
        )[1]
        assert [row[0] for row in reasons] == [missing]
        assert reasons[0][1] > 0
        assert reasons[0][2] is None

    asyncio.run(main())


def test_a_server_that_gives_up_for_good_stops_the_run_and_leaves_it_resumable(tmp_path: Path) -> None:
    async def main() -> None:
        script = (*[None] * 40, "insufficient_quota")
        plan = FaultPlan(script=script, rates={"insufficient_quota": 1.0})
        async with start_server(double(faults=plan)) as server:
            chosen = settings(server.base_url, tmp_path / "runs", repeats=1)
            with pytest.raises(BackendUnusable, match="quota"):
                await play(tmp_path / "run", chosen)
            n_asked = server.ledger.calls
        assert n_asked <= 40 + 2 * 32
        async with start_server(double()) as server:
            resumed = await play(tmp_path / "run", settings(server.base_url, tmp_path / "runs", repeats=1))
            unbroken = await play(tmp_path / "other", settings(server.base_url, tmp_path / "more", repeats=1))
        assert resumed.digest() == unbroken.digest()

    asyncio.run(main())


def test_a_bound_on_calls_is_hard_with_retries_and_many_in_flight(tmp_path: Path) -> None:
    async def main() -> None:
        faults = FaultPlan(rates={"http_500": 0.3})
        async with start_server(double(faults=faults)) as server:
            bounded = settings(server.base_url, tmp_path / "runs", stack={"max_calls": 300}, repeats=1)
            with pytest.raises(RunStopped, match="max_calls"):
                await play(tmp_path / "run", bounded)
            assert server.ledger.calls <= 300
            more = settings(server.base_url, tmp_path / "runs", stack={"max_calls": 400}, repeats=1)
            with pytest.raises(RunStopped, match="max_calls"):
                await play(tmp_path / "run", more)
            assert 300 < server.ledger.calls <= 400

    asyncio.run(main())


def test_a_server_that_is_not_there_stops_the_run_instead_of_leaving_all_answers_missing(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with start_server(double()) as server:
            chosen = settings(server.base_url, tmp_path / "runs", stack={"max_attempts": 1}, repeats=1)
        with pytest.raises(BackendUnusable, match="is the server running"):
            await play(tmp_path / "run", chosen)
        assert Run(tmp_path / "run").rows("SELECT COUNT(*) FROM events")[1] == [(0,)]

    asyncio.run(main())


def test_what_a_run_spent_is_summed_over_sittings_that_ended_and_one_that_was_killed(tmp_path: Path) -> None:
    async def main() -> None:
        async with start_server(double(faults=FaultPlan(rates={"http_500": 0.3}))) as server:
            for max_calls in (200, 300):
                bounded = settings(
                    server.base_url, tmp_path / "runs", stack={"max_calls": max_calls}, repeats=1
                )
                with pytest.raises(RunStopped, match="max_calls"):
                    await play(tmp_path / "run", bounded)
                run = Run(tmp_path / "run")
                assert spent_before(run).calls == server.ledger.calls
        spent = spent_before(run)
        with closing(sqlite3.connect(run.path)) as connection, connection:
            # As if the second sitting had been killed: what its decisions tell stands in for what it noted.
            connection.execute(
                "DELETE FROM incidents WHERE incident IN (SELECT MAX(incident) FROM incidents "
                "WHERE kind = 'spent')"
            )
        less = spent_before(run)
        assert 200 < less.calls < spent.calls
        assert (less.prompt_tokens, less.completion_tokens) == spent[1:3]
        assert less.dollars is None

    asyncio.run(main())


def test_a_bound_on_money_is_kept_and_the_spent_money_is_what_the_server_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with start_server(double()) as server:
            prices = {"double": {"input": 1.0, "output": 10.0}}
            stack = {"max_cost": 0.05, "prices": prices}
            with pytest.raises(RunStopped, match="max_cost"):
                await play(tmp_path / "run", settings(server.base_url, tmp_path / "runs", stack=stack))
            ledger = server.ledger
            spent = (ledger.prompt_tokens * 1.0 + ledger.completion_tokens * 10.0) / 1e6
        assert 0.04 < spent <= 0.05

    asyncio.run(main())


def test_the_key_is_in_no_file_that_a_run_leaves(tmp_path: Path) -> None:
    async def main() -> None:
        async with start_server(
            double(faults=FaultPlan(rates={"http_500": 0.2, "wrong_schema": 0.1}))
        ) as server:
            await play(tmp_path / "run", settings(server.base_url, tmp_path / "runs", repeats=1))
            wrong = ServerDouble(key="sk-another-key-9876543210")
            async with start_server(wrong) as other:
                with pytest.raises(BackendUnusable) as refused:
                    await play(tmp_path / "refused", settings(other.base_url, tmp_path / "more", repeats=1))
        assert "OPENAI_API_KEY" in str(refused.value)
        assert KEY not in "".join(map(str, (refused.value, repr(refused.value), refused.value.__cause__)))

    asyncio.run(main())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("cache.db" in path.name for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_second_run_of_the_same_seed_costs_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with start_server(double()) as server:
            chosen = settings(server.base_url, tmp_path / "runs", repeats=1)
            first = await play(tmp_path / "first", chosen)
            n_calls = server.ledger.calls
            second = await play(tmp_path / "second", chosen)
            assert server.ledger.calls == n_calls
        assert second.digest() == first.digest()
        assert second.rows("SELECT SUM(attempts), MIN(cached) FROM events")[1] == [(0, 1)]

    asyncio.run(main())


def start(folder: Path, url: str, runs: Path) -> subprocess.Popen[str]:
    """Start or resume the run as a process of its own."""
    command = [sys.executable, "-c", "from agentnet.cli import main; main()", "run"]
    if folder.exists():
        command += ["--resume", str(folder)]
    else:
        (runs.parent / "small.py").write_text(SMALL)
        command += [
            str(runs.parent / "small.py"),
            "--out",
            str(folder),
            "--backend",
            "openai",
            "--model",
            "double",
        ]
        for setting in (f"backend.base_url={url}", f"runs={runs}", "repeats=2", "log.parquet=false"):
            command += ["-S", setting]
    environ = {**os.environ, "OPENAI_API_KEY": KEY}
    return subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def recorded(folder: Path) -> int:
    """Count the recorded events; 0 while there is no log."""
    with suppress(RunFolderError, AgentnetError):
        return int(Run(folder).rows("SELECT COUNT(*) FROM events")[1][0][0])
    return 0


def test_after_kills_no_call_that_was_recorded_is_made_again(tmp_path: Path) -> None:
    folder, runs = tmp_path / "run", tmp_path / "runs"

    async def main() -> None:
        async with start_server(double(latency_s=0.02)) as server:
            answered = server.ledger.answered
            n_again = 0
            for target in (30, 150, 400, None):
                process = start(folder, server.base_url, runs)
                while target is not None and recorded(folder) < target and process.poll() is None:  # noqa: ASYNC110 - the log tells nobody
                    await asyncio.sleep(0.02)
                n_seen = recorded(folder)
                if target is not None:
                    process.send_signal(signal.SIGKILL)
                _, err = await asyncio.to_thread(process.communicate)
                assert target is not None or process.returncode == 0, err
                assert recorded(folder) >= n_seen
                # What was answered twice by now was on its way to the log, unrecorded, when the process died.
                assert sum(n - 1 for n in answered.values()) <= n_again
                n_again += sum(answered.values()) - recorded(folder)
            run = Run(folder)
            assert len(answered) == recorded(folder)
            assert 0 < recorded(folder) < sum(answered.values()) + 1
            clean = await play(tmp_path / "clean", settings(server.base_url, tmp_path / "other", repeats=2))
        assert run.digest() == clean.digest()

    asyncio.run(main())


def test_shards_ask_the_server_what_the_run_asks_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.py").write_text(SMALL)
    environ, cut = {"OPENAI_API_KEY": KEY}, Path("cut")
    small = {"repeats": 1, "items_per_severity": 2}

    async def main() -> None:
        async with start_server(double()) as server:
            whole = await play(Path("whole"), settings(server.base_url, Path("a"), **small))
            asked = dict(server.ledger.answered)
            chosen = settings(server.base_url, Path("b"), **small)
            begin_shards(Source.read("small.py:Small"), chosen, environ, cut, 2, say=print)
            for shard in shards_in(cut):
                await play_one(shard, chosen, environ, asyncio.Event().wait(), lambda *_: None)
            assert server.ledger.answered == {request: 2 * n for request, n in asked.items()}
        merge(cut)
        assert Run(cut).digest() == whole.digest()

    asyncio.run(main())


def test_odds_are_paid_once_a_prompt_whatever_temperature_condition_seed_or_folder(tmp_path: Path) -> None:
    async def main() -> None:
        async with start_server(double()) as server:
            odds = settings(server.base_url, tmp_path / "runs", temperature=[0.7, 1.3]).model_copy(
                update={"sampler": SamplerSettings(mode="logprobs")}
            )
            first = await play(tmp_path / "first", odds, RATIOS)
            assert server.ledger.calls == 2 * 32
            assert first.rows(
                "SELECT SUM(attempts), COUNT(DISTINCT temperature), COUNT(missing) FROM events"
            )[1] == [(2 * 32, 4, 0)]
            again = await play(tmp_path / "again", odds.model_copy(update={"seed": 5}), RATIOS)
            levels = odds.model_copy(
                update={"sampler": SamplerSettings(mode="logprobs", temperature_levels=7)}
            )
            others = await play(tmp_path / "others", levels, RATIOS)
            assert server.ledger.calls == 2 * 32
            assert again.rows("SELECT SUM(attempts), MIN(cached) FROM events")[1] == [(0, 1)]
            assert others.rows("SELECT SUM(attempts), COUNT(DISTINCT temperature) FROM events")[1] == [(0, 7)]
        assert first.digest() != again.digest()

    asyncio.run(main())
