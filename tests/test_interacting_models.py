"""Runs of interacting models: who interviews whom, what is recorded; a broken run ends as the whole."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet import InterviewExperiment, Run
from agentnet.backend import make_backend
from agentnet.config import EngineSettings, LogSettings, Settings, StackSettings
from agentnet.errors import DesignError, Interrupted
from agentnet.events import LOG_NAME
from agentnet.experiment import Source
from agentnet.interviews import Disruption, Local, Reading, Vertices, Vulnerable, full, intra_class
from agentnet.interviews.topology import candidates_at
from agentnet.runner import Runner, assemble, create, prepare

# Who may interview whom


@dataclass(frozen=True)
class Stand:
    """A state with the given distances."""

    classes: tuple[str, ...]
    apart: Any = None

    async def distances(self) -> Any:
        return np.array(self.apart, dtype=float)


FOUR = Stand(("a", "a", "b", "b"))


def candidates(topology: Any, step: int = 1, state: Stand = FOUR) -> Any:
    return asyncio.run(candidates_at(topology, step, state))


def test_everybody_hears_all_others_or_those_of_the_own_class() -> None:
    assert candidates(full) == ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2))
    assert candidates(intra_class) == ((1,), (0,), (3,), (2,))


def test_the_nearest_in_perspective_space_are_heard_and_of_equal_ones_the_first() -> None:
    state = Stand(("a",) * 4, [[0, 5, 1, 9], [5, 0, 2, 2], [1, 2, 0, 7], [9, 2, 7, 0]])
    assert candidates(Local(), state=state) == ((2,), (2,), (0,), (1,))
    assert candidates(Local(2), state=state) == ((1, 2), (2, 3), (0, 1), (1, 2))


def test_a_disruption_begins_at_its_step() -> None:
    topology = Disruption(3, full, intra_class)
    assert candidates(topology, 2) == candidates(full)
    assert candidates(topology, 3) == candidates(topology, 4) == candidates(intra_class)


@given(n_targets=st.integers(0, 3), every=st.integers(1, 5), step=st.integers(1, 20))
def test_targets_hear_only_the_adversary_when_it_attacks(n_targets: int, every: int, step: int) -> None:
    found = candidates(Vulnerable(3, n_targets, every), step)
    targets = range(n_targets) if step % every == 0 else ()
    assert found[3] == ()
    for model in range(3):
        others = tuple(other for other in range(3) if other != model)
        assert found[model] == ((3,) if model in targets else others)


@pytest.mark.parametrize(
    "given",
    [nx.DiGraph([(0, 1), (2, 1)]), {1: [2, 0]}, [[], [0, 2, 2], [], ()]],
)
def test_graphs_mappings_and_lists_say_the_same(given: Any) -> None:
    assert candidates(lambda step, state: given) == ((), (0, 2), (), ())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({0: [4]}, "names model 4, but there are models 0 to 3"),
        ({7: [1]}, "names model 7"),
        ([[1], [1], [], []], "model 1 interview itself"),
        ([[1]], "candidates of 1 models, but there are 4"),
        (3, "gives the candidates of each model"),
        (nx.DiGraph([("ana", "ben")]), "names model 'ana'"),
    ],
)
def test_a_topology_that_names_an_unknown_model_is_told_so(given: Any, words: str) -> None:
    with pytest.raises(DesignError, match=words):
        candidates(lambda step, state: given)


WITH_ALMANAC = Vertices(4, ("almanac",), joins={1: 3}, leaves={2: 6})


@pytest.mark.parametrize(
    "given",
    [
        nx.DiGraph([(0, 1), (2, 1), ("almanac", 1)]),
        {1: [2, 0, "almanac"], "almanac": []},
        Reading({"almanac": [1]}, lambda step, state: {1: [0, 2]}),
        Reading({"almanac": [1]}, nx.DiGraph([(0, 1), (2, 1)])),
    ],
)
def test_databases_are_named_and_numbered_after_the_models(given: Any) -> None:
    topology = given if callable(given) else lambda step, state: given
    found = asyncio.run(candidates_at(topology, 5, FOUR, WITH_ALMANAC))
    assert found == ((), (0, 2, 4), (), ())


def test_classes_read_what_they_may_and_edges_of_who_is_not_there_do_not_count() -> None:
    reading = Reading({"almanac": ["a"]}, full)
    at = {step: asyncio.run(candidates_at(reading, step, FOUR, WITH_ALMANAC)) for step in (1, 3, 4, 6)}
    assert at[1] == at[3] == ((2, 3, 4), (), (0, 3), (0, 2))
    assert at[4] == ((1, 2, 3, 4), (0, 2, 3, 4), (0, 1, 3), (0, 1, 2))
    assert at[6] == ((1, 3, 4), (0, 3, 4), (), (0, 1))
    assert [WITH_ALMANAC.present(step) for step in (0, 3, 6)] == [(0, 2, 3), (0, 1, 2, 3), (0, 1, 3)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            nx.DiGraph([(0, "almanac")]),
            "lets database 'almanac' hear 0; databases are read and never updated",
        ),
        (nx.Graph([(0, "almanac")]), "lets database 'almanac' hear 0"),
        ({0: ["almanak"]}, "names 'almanak', which is no database; did you mean 'almanac'"),
        ({0: [4]}, "names model 4, but there are models 0 to 3"),
        (Reading({"almanac": ["c"]}), "names 'c', which is no class and no model; the classes are a, b"),
        (Reading({"atlas": ["a"]}), "names 'atlas', which is no database"),
    ],
)
def test_edges_that_databases_cannot_have_are_refused(given: Any, words: str) -> None:
    topology = given if callable(given) else lambda step, state: given
    with pytest.raises(DesignError, match=re.escape(words)):
        asyncio.run(candidates_at(topology, 4, FOUR, WITH_ALMANAC))


# Runs


class Small(InterviewExperiment):
    models = MappingProxyType({"society": 2, "science": 2})
    n_evaluation = 3
    n_questions = 2
    n_taught = 4
    steps = 4
    reuse = False


def new_run(folder: Path, experiment: InterviewExperiment, seed: int = 3, workers: int = 4) -> Any:
    chosen = Settings(
        seed=seed,
        runs=folder.parent,
        stack=StackSettings(cache=False),
        engine=EngineSettings(workers=workers),
        log=LogSettings(parquet=False),
    )
    prepared = assemble((experiment,), chosen, folder)
    create(prepared, Source(Path("made_by_a_test.py"), ""), backend="test", model_name="test-1")
    return prepared


class Recorder:
    """The mock, with the draws that it was asked for; interrupts its runner at the `cut`-th request."""

    def __init__(self, cut: int | None = None) -> None:
        self.inner = make_backend("mock", {})
        self.name, self.model_name = self.inner.name, self.inner.model_name
        self.draws: Counter[Any] = Counter()
        self.cut, self.runner = cut, None

    async def complete(self, request: Any) -> Any:
        self.draws[request.draw] += 1
        if self.cut is not None and self.draws.total() == self.cut:
            self.runner.interrupt()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return await self.inner.complete(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


def played(prepared: Any, cut: int | None = None) -> Recorder:
    backend = Recorder(cut)
    backend.runner = Runner(prepared, backend)  # type: ignore[assignment]
    try:
        asyncio.run(backend.runner.play())  # type: ignore[attr-defined]
    except Interrupted:
        assert cut is not None
    return backend


@pytest.fixture(scope="module", params=["memory", "stand_in"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of each rule, played without a break."""
    prepared = new_run(tmp_path_factory.mktemp("whole") / "run", Small(update=request.param))
    return request.param, prepared, played(prepared), Run(prepared.folder)


def rows(run: Run, sql: str) -> list[tuple[Any, ...]]:
    return run.rows(sql)[1]


def test_every_model_is_evaluated_at_the_start_and_after_each_step(whole: Any) -> None:
    _, _, _, run = whole
    found = rows(run, "SELECT step, agent, COUNT(*) FROM events WHERE kind = 'evaluation' GROUP BY 1, 2")
    assert found == [(step, model, 6) for step in range(5) for model in range(4)]
    assert rows(run, "SELECT COUNT(*) FROM events WHERE missing IS NOT NULL") == [(0,)]


def test_each_interview_has_its_questions_answered_by_one_candidate_and_teaches_its_asker(whole: Any) -> None:
    _, _, _, run = whole
    pairs = rows(run, "SELECT step, model, interviewed FROM interviews ORDER BY 1, 2")
    assert [row[:2] for row in pairs] == [(step, model) for step in range(1, 5) for model in range(4)]
    assert all(asked is not None and asked != model for _, model, asked in pairs)
    answers = rows(
        run, "SELECT step, source, agent, COUNT(*) FROM events WHERE kind = 'interview' GROUP BY 1, 2, 3"
    )
    assert answers == [(*pair, 2) for pair in pairs]
    taught = rows(run, "SELECT step, model, n_pairs FROM updates ORDER BY 1, 2")
    assert taught == [(step, model, 4 if step == 0 else 2) for step in range(5) for model in range(4)]


def test_what_is_no_language_model_is_labelled_as_such(whole: Any) -> None:
    rule, _, _, run = whole
    assert ("stand-in" in json.dumps(run.meta)) or rule == "memory"


def test_decisions_are_not_mixed_with_answers(whole: Any) -> None:
    assert rows(whole[3], "SELECT COUNT(*) FROM decisions") == [(0,)]


@pytest.mark.parametrize("workers", [1, 32])
def test_the_number_of_workers_changes_nothing(whole: Any, tmp_path: Path, workers: int) -> None:
    rule, _, backend, run = whole
    again = new_run(tmp_path / "run", Small(update=rule), workers=workers)
    assert played(again).draws == backend.draws
    assert Run(again.folder).digest() == run.digest()


def test_another_seed_is_another_run(whole: Any, tmp_path: Path) -> None:
    rule, _, _, run = whole
    other = new_run(tmp_path / "run", Small(update=rule), seed=4)
    played(other)
    assert Run(other.folder).digest() != run.digest()


@settings(max_examples=5)
@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=3))
def test_an_interrupted_run_ends_as_the_whole_and_asks_nothing_twice(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    unbroken = new_run(tmp_path_factory.mktemp("unbroken") / "run", Small(update="memory"))
    asked = played(unbroken).draws
    prepared = new_run(tmp_path_factory.mktemp("broken") / "run", Small(update="memory"))
    total: Counter[Any] = Counter()
    for cut in [*cuts, None]:
        total += played(prepared, cut).draws
    assert Run(prepared.folder).digest() == Run(unbroken.folder).digest()
    assert total == asked


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_run_whose_last_steps_were_lost_plays_them_again(whole: Any, tmp_path: Path, kept: int) -> None:
    rule, prepared, _, run = whole
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LOG_NAME).write_bytes((prepared.folder / LOG_NAME).read_bytes())
    with closing(sqlite3.connect(folder / LOG_NAME)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        for table in ("events", "interviews", "updates", "steps"):
            connection.execute(f"DELETE FROM {table} WHERE step > ?", (kept,))
        connection.execute("UPDATE realizations SET status = 'running', last_step = NULL, finished_at = NULL")
        connection.execute("UPDATE meta SET value = '\"running\"' WHERE key = 'status'")
    played(replace(prepared, folder=folder))
    assert Run(folder).meta["status"] == "finished", rule
    assert Run(folder).digest() == run.digest()


def test_greedy_answers_of_the_last_evaluation_are_those_that_interviews_would_get(
    whole: Any, tmp_path: Path
) -> None:
    rule, _, backend, run = whole
    reused = new_run(tmp_path / "run", Small(update=rule, reuse=True))
    fewer = played(reused)
    said = (
        "SELECT step, agent, source, repeat, text FROM events JOIN replies USING (reply) "
        "WHERE kind = 'interview' ORDER BY 1, 2, 3, 4"
    )
    assert rows(Run(reused.folder), said) == rows(run, said)
    assert fewer.draws.total() < backend.draws.total() or rule == "stand_in"


# The three studies


@pytest.mark.parametrize("name", ["disruption", "adversary", "polarization"])
def test_the_sizes_that_a_study_names_can_be_played_with_the_bundled_bank(tmp_path: Path, name: str) -> None:
    path = Path(__file__).parents[1] / "experiments" / f"{name}.py"
    source = Source.read(str(path))
    # Where the paper's number is too large for the bundled bank, the largest possible one is named after it.
    sizes = dict(re.findall(r"(n_\w+) = (\d+)", ast.get_docstring(ast.parse(source.text)) or ""))
    assert sizes.keys() == {"n_evaluation", "n_questions", "n_taught"}
    overrides = {key: int(value) for key, value in sizes.items()}
    prepared = prepare(source, Settings.model_validate({"experiment": overrides}), tmp_path / "run")
    for experiment in prepared.experiments:
        assert {key: getattr(experiment, key) for key in overrides} == overrides


# What cannot be played


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"n_questions": 50}, "n_questions"),
        ({"topology": "ful"}, "full"),
        ({"update": "memry"}, "memory"),
        ({"models": {}}, "models is empty"),
        ({"n_evaluation": 10_000}, "n_evaluation"),
        (
            {"taught_once": ("sience",)},
            "taught_once names class 'sience', which models lacks; did you mean 'science'",
        ),
        ({"databases": {"society": "science"}}, "databases names 'society' like a class or a model"),
        ({"databases": {"2": "science"}}, "databases names '2' like a class or a model"),
        (
            {"databases": {"almanac": "sience"}},
            "databases, 'almanac': the question bank has no topic 'sience'",
        ),
        ({"joins": {4: 1}}, "joins names model 4, but there are models 0 to 3"),
        ({"leaves": {1: 0}}, "leaves has step 0 for model 1; it is a step of the run, 1 to 4"),
        ({"joins": {1: 5}}, "joins has step 5 for model 1; it is a step of the run, 1 to 4"),
        (
            {"joins": {1: 3}, "leaves": {1: 3}},
            "model 1 leaves at step 3 and joins at step 3; it joins before it",
        ),
        ({"joins": dict.fromkeys(range(4), 2)}, "no model is there at step 0; let one stay"),
    ],
)
def test_impossible_designs_are_refused_in_words(tmp_path: Path, how: dict[str, Any], words: str) -> None:
    with pytest.raises(Exception, match=words) as caught:
        new_run(tmp_path / "run", Small(**how))
    assert type(caught.value).__module__ == "agentnet.errors"
