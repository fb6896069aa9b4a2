"""Models with memories over HTTP against the double: their prompts, faults and kills."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agentnet import Run
from agentnet.backend import Messages, make_backend
from agentnet.cli.serve import read_metadata
from agentnet.config import Settings
from agentnet.errors import AgentnetError
from agentnet.experiment import Source
from agentnet.interviews import load_bank
from agentnet.runner import Runner, create, prepare, reopen
from agentnet.testing.faults import FaultPlan
from agentnet.testing.server import LIKE_VLLM, ServerDouble, start_server

# Faults that another try cures, together in 30% of calls; none that holds until a time-out.
CURABLE = {
    **dict.fromkeys(("rate_limit", "rate_limit_bare", "http_500", "http_502", "http_503", "http_529"), 0.03),
    **dict.fromkeys(("reset", "disconnect", "half_body", "malformed_json"), 0.02),
    **dict.fromkeys(("wrong_schema", "error_body"), 0.01),
    "no_choices": 0.02,
}
STUDY = """
from agentnet import InterviewExperiment

class Small(InterviewExperiment):
    models = {"society": 3, "science": 3}
    n_evaluation, n_questions, n_taught, steps = 3, 2, 4, 3
    conditions = ({"topology": "full"}, {"topology": "intra_class"})
    update_options = {"memory": {"k": 3}}
"""
N_EVALUATED = 2 * 4 * 6 * 6
N_HEARD = 2 * 3 * 6 * 2
ANSWERS = (
    "SELECT realization, kind, step, model, asker, id, answer, context FROM answers ORDER BY 1, 2, 3, 4, 5, 6"
)


class Double(ServerDouble):
    """Answers by what the prompt holds, as the mock does, and keeps the prompts."""

    def __init__(self, **options: Any) -> None:
        self.seen: Counter[Messages] = Counter()
        super().__init__(make_backend("mock", {}), manners=LIKE_VLLM, metadata_of=self._read, **options)

    def _read(self, messages: Messages) -> Any:
        self.seen[messages] += 1
        return read_metadata(messages)


def settings(url: str, runs: Path, **stack: Any) -> Settings:
    """Make settings for backend ``openai`` on the double, patient and quick."""
    return Settings.model_validate(
        {
            "seed": 5,
            "runs": runs,
            "backend": {"name": "openai", "model": "double", "base_url": url, "timeout_s": 5},
            "engine": {"workers": 16},
            "log": {"parquet": False, "group_s": 0.01},
            "stack": {"max_attempts": 30, "max_wait_s": 0.02, "min_in_flight": 8, "cache": False, **stack},
        }
    )


async def play(folder: Path, chosen: Settings) -> Run:
    """Play the study to its end, or resume it."""
    backend = make_backend(chosen.backend.name, chosen.backend.options)
    if folder.exists():  # noqa: ASYNC240 - a test may block
        prepared = reopen(folder, chosen)
    else:
        source = Source(Path("small.py"), STUDY)
        prepared = prepare(source, chosen, folder)
        create(prepared, source, backend=backend.name, model_name=backend.model_name)
    await Runner(prepared, backend).play()
    return Run(folder)


def rows(run: Run, sql: str) -> list[tuple[Any, ...]]:
    return run.rows(sql)[1]


class Clean(NamedTuple):
    run: Run
    seen: Counter[Messages]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Clean:
    """The study, played on a double without faults, and the prompts that reached it."""
    folder = tmp_path_factory.mktemp("clean")

    async def main() -> Clean:
        async with start_server(Double()) as server:
            run = await play(folder / "run", settings(server.base_url, folder))
            return Clean(run, server.seen)

    return asyncio.run(main())


def test_every_answer_is_recorded_and_greedy_ones_are_asked_once(clean: Clean) -> None:
    kinds = rows(clean.run, "SELECT kind, COUNT(*), SUM(attempts), COUNT(missing) FROM events GROUP BY 1")
    assert kinds == [("evaluation", N_EVALUATED, N_EVALUATED, 0), ("interview", N_HEARD, 0, 0)]
    assert clean.seen.total() == N_EVALUATED
    assert rows(clean.run, "SELECT DISTINCT n_pairs FROM updates ORDER BY 1") == [(2,), (4,)]


def test_prompts_hold_the_retrieved_pairs_with_the_answers_that_the_model_heard(clean: Clean) -> None:
    """What reached the server is made anew from the log: who asked whom, what was said, what was taken."""
    bank = {question.id: question for question in load_bank()}
    heard = {
        (number, asker, step, name): answer
        for number, asker, step, name, answer in rows(
            clean.run, "SELECT realization, asker, step, id, answer FROM answers WHERE kind = 'interview'"
        )
    }
    expected: Counter[Messages] = Counter()
    from_interviews = 0
    for number, model, name, context in rows(
        clean.run, "SELECT realization, model, id, context FROM answers WHERE kind = 'evaluation'"
    ):
        turns: list[tuple[str, str]] = []
        for step, remembered in json.loads(context):
            answer = heard[number, model, step, remembered] if step else bank[remembered].answer
            turns += [("user", bank[remembered].text), ("assistant", answer)]
            from_interviews += step > 0
        assert len(turns) == 2 * 3
        expected[*turns, ("user", bank[name].text)] += 1
    assert from_interviews > N_EVALUATED / 4
    instructions = {messages[0] for messages in clean.seen}
    assert len(instructions) == 1
    assert {messages[1:]: n for messages, n in clean.seen.items()} == expected


def test_answers_over_http_are_those_of_the_same_law_without_a_wire(clean: Clean, tmp_path: Path) -> None:
    chosen = settings("http://127.0.0.1:9/v1", tmp_path)
    mock = chosen.model_copy(update={"backend": Settings().backend})
    source = Source(
        Path("small.py"), STUDY.replace("update_options", 'update = "memory"\n    update_options')
    )
    prepared = prepare(source, mock, tmp_path / "run")
    create(prepared, source, backend="mock", model_name="mock")
    asyncio.run(Runner(prepared, make_backend("mock", {})).play())
    assert rows(Run(tmp_path / "run"), ANSWERS) == rows(clean.run, ANSWERS)


def test_a_run_under_curable_faults_ends_as_the_clean_one_and_both_sides_count_alike(
    clean: Clean, tmp_path: Path
) -> None:
    assert sum(CURABLE.values()) == pytest.approx(0.3)

    async def main() -> None:
        async with start_server(Double(faults=FaultPlan(rates=CURABLE, seed=1))) as server:
            run = await play(tmp_path / "run", settings(server.base_url, tmp_path))
            n_served = server.ledger.calls
        assert rows(run, ANSWERS) == rows(clean.run, ANSWERS)
        assert run.digest() == clean.run.digest()
        n_calls, n_troubled = rows(run, "SELECT SUM(attempts), SUM(attempts > 1) FROM events")[0]
        assert n_calls == n_served
        assert n_troubled > 0.2 * N_EVALUATED
        assert n_calls - N_EVALUATED == rows(run, "SELECT COUNT(*) FROM troubles")[0][0]
        assert len(rows(run, "SELECT DISTINCT trouble_kind FROM troubles")) >= 6

    asyncio.run(main())


def recorded(folder: Path) -> int:
    """Count the recorded answers that were asked for; 0 while there is no log."""
    with suppress(AgentnetError):
        return int(rows(Run(folder), "SELECT COUNT(*) FROM events WHERE attempts > 0")[0][0])
    return 0


def start(folder: Path, url: str) -> subprocess.Popen[str]:
    """Start the run as a process of its own."""
    path = folder.with_suffix(".py")
    path.write_text(STUDY)
    words = [
        "run",
        str(path),
        "--out",
        str(folder),
        "--backend",
        "openai",
        "--model",
        "double",
        "--seed",
        "5",
    ]
    for setting in (
        *(f"backend.base_url={url}", f"runs={folder.parent}", "log.parquet=false", "log.group_s=0.01"),
        *("stack.max_attempts=30", "stack.max_wait_s=0.02", "stack.cache=false", "engine.workers=4"),
    ):
        words += ["-S", setting]
    command = [sys.executable, "-c", "from agentnet.cli import main; main()", *words]
    return subprocess.Popen(
        command, env=dict(os.environ), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def test_a_run_that_was_killed_under_faults_and_resumed_under_faults_ends_as_the_clean_one(
    clean: Clean, tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    async def main() -> None:
        plan = FaultPlan(rates=CURABLE, seed=2)
        async with start_server(Double(faults=plan, latency_s=0.004)) as server:
            process = start(folder, server.base_url)
            while recorded(folder) < N_EVALUATED // 4 and process.poll() is None:  # noqa: ASYNC110 - the log tells nobody
                await asyncio.sleep(0.04)
            process.send_signal(signal.SIGKILL)
            _, err = await asyncio.to_thread(process.communicate)
            while server.ledger.in_flight:  # noqa: ASYNC110 - nor does the double
                await asyncio.sleep(0.01)
            n_kept = recorded(folder)
            assert process.returncode == -signal.SIGKILL, err
            assert N_EVALUATED // 4 <= n_kept < N_EVALUATED
            n_answered = sum(server.ledger.answered.values())
            run = await play(folder, settings(server.base_url, tmp_path))
            # Only what was on its way to the log when the process died is asked for again.
            assert sum(server.ledger.answered.values()) == N_EVALUATED + n_answered - n_kept
        assert rows(run, ANSWERS) == rows(clean.run, ANSWERS)
        assert run.digest() == clean.run.digest()

    asyncio.run(main())
