"""A study with people is rehearsed from end to end: the runner, the pages, the log, and robots over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from agentnet import Run
from agentnet.cli.rehearse import compared
from agentnet.people.ledger import LEDGER_NAME
from agentnet.people.options import Comprehension
from agentnet.people.robots import Account, Habits, faults_of, send_robots

STUDY = """
from typing import Literal

from pydantic import BaseModel, Field

from agentnet import CascadeExperiment


class Told(BaseModel):
    share: bool
    mood: Literal["calm", "worried"]
    text: str = Field(max_length=200, description="the news in your own words")


class Study(CascadeExperiment):
    answer, decides, passes_on, asking_rule = Told, "share", "text", "once_per_edge"
    n_agents, degree, steps, items_per_severity, repeats = 16, 4, 3, 1, 1
    share: float = 0.5
    voices = {
        "model": {},
        "person": {
            "name": "human", "people": 8, "deadline_s": 20.0, "idle_after": 1, "stays_s": 5.0,
            "consent": "Do you agree?", "codes": {"completed": "C1"},
            "comprehension": [{"ask": "Who?", "choices": ["people", "agents, too"], "right": "agents, too"}],
        },
    }

    def deal_voices(self, population, seed):
        return population.deal({"person": self.share, "model": 1.0 - self.share}, seed)
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Write the file of a study with people."""
    path = tmp_path / "study.py"
    path.write_text(STUDY)
    return path


def test_a_study_is_rehearsed_and_its_log_is_what_robots_were_told(command, study):
    done = command(
        *("rehearse", study, "--people", 8, "--dropouts", 0.2, "--latency", 0.01, "--deadline", 1),
        *("--late", 0.2, "--json", "--out", "run"),
    )
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["faults"], told["lost or doubled"]) == ([], 0)
    assert told["answered"] == told["told thanks"] > 0
    assert told["questions"] == told["answered"] + told["dropped"]
    run = Run("run")
    assert run.meta["status"] == "finished"
    assert run.meta["voices"]["person"]["model_name"] == "people"
    by_people = "SELECT COUNT(*) FROM decisions WHERE voice = 'person' AND model = 'people'"
    assert run.rows(by_people)[1][0][0] == told["answered"]
    assert {missing for (missing,) in run.rows("SELECT DISTINCT missing FROM events")[1]} <= {None, "dropped"}
    assert not run.rows("SELECT 1 FROM events WHERE missing = 'dropped' AND decision IS NOT NULL")[1]
    assert {cached for (cached,) in run.rows("SELECT DISTINCT cached FROM events")[1]} == {0}
    secret = (Path("run") / LEDGER_NAME).read_text()
    token = json.loads(secret.splitlines()[0])["secret"]
    assert token.encode() not in Path("run/events.sqlite").read_bytes()
    _forget_one(command, run)


def _forget_one(command, run: Run) -> None:
    """Have one who wrote be forgotten, and all texts of people left out of an export."""
    realization, agent, text = run.rows(
        "SELECT realization, agent, json_extract(value, '$.text') FROM events JOIN replies USING (reply) "
        "WHERE model = 'people' AND value IS NOT NULL ORDER BY 1, 2 LIMIT 1"
    )[1][0]
    out = command("export", "run", "--format", "csv", "--out", "open", "--without-people")
    assert out.code == 0, out.err
    assert text not in "".join(path.read_text() for path in Path("open").iterdir())
    lines = [json.loads(line) for line in (Path("run") / LEDGER_NAME).read_text().splitlines()]
    number = next(
        line["person"] for line in lines if line["what"] == "seated" and line["seat"] == [realization, agent]
    )
    assert command("forget", "run", number).code == 0
    assert command("verify", "run").code == 0
    query = (
        "SELECT json_extract(value, '$.text') FROM events WHERE realization = ? AND agent = ? AND value > ''"
    )
    assert {each for (each,) in Run("run").rows(query, (realization, agent))[1]} == {"[forgotten]"}


def test_a_study_without_people_is_not_rehearsed(command, small):
    done = command("rehearse", small)
    assert done.code == 2
    assert "0 voices of people" in done.err


def test_what_robots_were_told_and_the_log_lacks_is_a_fault():
    account = Account(
        {"a": Counter(thanks=1), "b": Counter(thanks=2), "c": Counter(late=1), "d": Counter(already=1)}
    )
    faults = faults_of(account, {"a": None, "b": "x", "c": "x", "e": "x"})
    assert len(faults) == 5
    for words in (
        "question a was taken, and is not",
        "b was answered 2 times",
        "c is in the log",
        "d was taken",
        "e has",
    ):
        assert [fault for fault in faults if words in fault]


def _killed(
    study: Path, folder: Path, moments: Sequence[float], habits: Habits
) -> tuple[Run, Account, list[str], int]:
    """Play the study by robots in this process; kill it after pauses (float), or so many questions (int)."""
    words = [sys.executable, "-c", "from agentnet.cli import main; main()", "run"]
    first = [*words, str(study), "--out", str(folder), "--seed", "5", "--quiet"]
    again = [*words, "--resume", str(folder), "--quiet"]

    async def play() -> tuple[Account, int]:
        def start(command: list[str]) -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, env={**os.environ, "AGENTNET_ENGINE__MAX_MISSING": "1"})

        process = start(first)
        links = folder / "people-links.txt"
        for _ in range(2_000):
            if links.exists():
                break
            await asyncio.sleep(0.05)
        named = dict(line.split("\t") for line in links.read_text().splitlines())
        people = [link for name, link in named.items() if name.startswith("person")]
        questions = (Comprehension(ask="Who?", choices=["people", "agents, too"], right="agents, too"),)
        robots = asyncio.create_task(send_robots(people, habits, questions))
        n_kills = 0
        for moment in moments:
            if isinstance(moment, float):
                await asyncio.sleep(moment)
            while isinstance(moment, int) and _n_settled(folder) < moment and process.poll() is None:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.01)
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = start(again)
            n_kills += 1
        code = await asyncio.to_thread(process.wait)
        assert code == 0
        return await robots, n_kills

    account, n_kills = asyncio.run(play())
    return Run(folder), account, compared(folder, account)[1], n_kills


def _n_settled(folder: Path) -> int:
    """Count the questions that have an answer, or had none in time, as most have on a busy machine."""
    ledger = folder / LEDGER_NAME
    lines = ledger.read_bytes() if ledger.is_file() else b""
    return lines.count(b'"what": "answered"') + lines.count(b'"what": "dropped"')


@pytest.mark.slow
def test_a_run_with_people_that_is_killed_again_and_again_ends_with_the_log_of_an_unbroken_one(
    study, tmp_path
):
    longer = STUDY.replace('"deadline_s": 20.0', '"deadline_s": 3.0').replace('"people": 8', '"people": 16')
    study.write_text(longer.replace("4, 3, 1, 1", "4, 5, 1, 1"))
    habits = Habits(latency_s=0.5, dropouts=0.05, late=0.0, seed=5)
    whole, _, faults, _ = _killed(study, tmp_path / "whole", [], habits)
    assert faults == []
    chance = random.Random(7)
    pauses_s = [chance.uniform(1.0, 4.0) for _ in range(10)]
    broken, _, faults, n_kills = _killed(study, tmp_path / "broken", pauses_s, habits)
    assert faults == []
    assert n_kills >= 5
    assert broken.digest() == whole.digest()


MANY = """
from agentnet import Ask, WorldExperiment


class Many(WorldExperiment):
    network, n_agents, repeats = None, 128, 1
    voices = {
        "person": {"name": "human", "people": 128, "deadline_s": 1.0, "idle_after": 100, "stays_s": 5.0}
    }

    def play(self, s):
        for number in range(4):
            yield [Ask(a, f"Round {number} of {a}: what is new?", answer=str, kind="word") for a in s.agents]
"""


@pytest.mark.slow
def test_of_128_people_with_a_second_each_no_answer_is_lost_or_doubled_though_the_server_is_killed_twice(
    tmp_path,
):
    study = tmp_path / "many.py"
    study.write_text(MANY)
    run, account, faults, n_kills = _killed(
        study, tmp_path / "run", [100, 250], Habits(latency_s=0.3, late=0.2)
    )
    assert faults == []
    assert n_kills == 2
    told = sum(account.said.values(), Counter())
    assert told.keys() <= {"thanks", "already", "late"}
    assert told["late"] > 0
    ends = dict(run.rows("SELECT COALESCE(missing, 'answered'), COUNT(*) FROM events GROUP BY 1")[1])
    assert ends.keys() == {"answered", "dropped"}
    assert sum(ends.values()) == 4 * 128


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shard", "1/2"), "people wait in one lobby"),
        (("--processes", 2), "without --shard, --processes and --on"),
        (("-S", "engine.on_missing=stop"), "leave it at 'keep going'"),
        (("-S", "sampler.mode=choices"), "leave it at 'call'"),
    ],
)
def test_what_people_could_never_end_is_refused_before_there_is_a_run_or_anybody_is_asked(
    command, study, options, words
):
    refused = command("run", study, "--backend", "mock", "--out", study.parent / "run", *options)
    assert refused.code == 2, refused.err
    assert words in refused.err
    assert not (study.parent / "run").exists()
