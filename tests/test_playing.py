"""Experiments played from Python: in scripts, and in notebooks, whose event loop runs."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import indent
from types import ModuleType

import networkx as nx
import pytest

import agentnet
from agentnet import CascadeExperiment, Run
from agentnet.backend import make_backend
from agentnet.config import Settings
from agentnet.errors import ConfigurationError, DesignError, MissingAnswers, RunStopped, UserError
from agentnet.events.read import shards_in
from agentnet.experiment import held
from agentnet.runner.begin import begin_shards

HEAD = "import agentnet\nfrom agentnet import CascadeExperiment"
KNOBS = "    n_agents, degree, steps, repeats, items_per_severity = 24, 3, 3, 1, 1\n    rationale = 'none'\n"
STUDY = f"class Study(CascadeExperiment):\n    '''About <b>it</b>.'''\n{KNOBS}"
ASKING = """\
    def messages(self, prompts, kind, profile, item):
        out = ask(item.text)
        return (('user', out),)
"""
QUIET = {"progress": False, "seed": 7}


class Main:
    """What runs as ``__main__``: a script, or the cells of a notebook."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def __getattr__(self, name: str):
        return vars(self.module)[name]

    def cell(self, text: str) -> None:
        vars(self.module).setdefault("In", []).append(text)
        exec(compile(text, "<cell>", "exec"), vars(self.module))

    def script(self, path: Path, text: str) -> None:
        path.write_text(text)
        self.module.__file__ = str(path)
        exec(compile(text, str(path), "exec"), vars(self.module))


@pytest.fixture
def main(command, monkeypatch) -> Main:
    """Stand in for the notebook, or the script, in an empty working folder."""
    Path("agentnet.toml").write_text("[log]\nparquet = false\n")
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return Main(module)


@pytest.fixture
def study(main) -> Main:
    main.cell(HEAD)
    main.cell(f"{STUDY}")
    return main


def digest_by_command(command, path: Path, *options: object) -> str:
    return json.loads(command("run", path, "--seed", 7, "--json", "--quiet", *options).out)["digest"]


def stop_early(experiment, out: str) -> None:
    with pytest.raises(RunStopped) as stopped:
        agentnet.play(experiment, out=out, max_calls=20, settings={"stack.cache": False}, **QUIET)
    assert "go on with: agentnet.play(" in stopped.value.__notes__[0]


MORE = {"stack.max_calls": 100_000, "stack.cache": False}


def test_a_notebook_plays_what_the_command_line_plays(command, main):
    for cell in (
        HEAD,
        "def ask(text):\n    return f'{WORD} {text}'",
        "WORD = 'Old'",
        STUDY + ASKING,
        "WORD = 'So'",
    ):
        main.cell(cell)
    run = agentnet.play(main.Study(repeats=2, temperature=(0.5, 0.9)), backend="mock", **QUIET)
    recorded = run.meta["experiment"]
    assert recorded["path"] == "<Study of a notebook>"
    assert recorded["text"].startswith("from agentnet import CascadeExperiment\n\nWORD = 'So'\n\ndef ask")
    assert "Old" not in recorded["text"]
    path = Path("study.py")
    path.write_text(recorded["text"])
    assert digest_by_command(command, path, "-S", "repeats=2", "-S", "temperature=[0.5, 0.9]") == run.digest()
    assert run.folder.parent == Path("runs")
    assert run.folder.name.startswith("Study-of-a-notebook-2")


def test_a_cell_that_is_run_again_or_did_not_run_changes_nothing(study):
    agentnet.play(study.Study(), out="a", **QUIET)
    study.module.In += ["Study = = 3"]
    study.cell("unused = 3")
    study.cell(STUDY)
    agentnet.play(study.Study(), out="a", resume=True, **QUIET)
    study.cell(STUDY.replace("'none'", "'inline'"))
    with pytest.raises(UserError, match="is something else; give it another folder"):
        agentnet.play(study.Study(), out="a", resume=True, **QUIET)


def test_a_script_that_plays_is_recorded_without_what_plays(command, main):
    Path("sizes.py").write_text("STEPS = 3\n")
    playing = "out = agentnet.play(Study, progress=False, seed=7, out='a')\n"
    needed = f"from sizes import STEPS\n\ndef ask(text): return text\n\n{STUDY}    steps = STEPS\n{ASKING}"
    text = f"{HEAD}\n{needed}\n{playing}"
    sys.modules.pop("sizes", None)
    sys.path.insert(0, "")
    try:
        main.script(Path("study.py"), text)
    finally:
        sys.path.remove("")
        sys.modules.pop("sizes", None)
    recorded = Run("a").meta["experiment"]
    assert recorded["path"] == "study.py"
    rest = text.replace(playing, "").replace("import agentnet", "", 1)
    assert recorded["text"] == f"{rest.rstrip()}\n"
    assert list(recorded["siblings"]) == ["sizes.py"]


def test_a_file_is_played_as_by_the_command(command, small):
    run = agentnet.play(f"{small}:Small", **QUIET)
    assert run.digest() == digest_by_command(command, small)
    assert run.meta["experiment"]["text"] == small.read_text()


def test_a_class_of_agentnet_is_played_and_gone_on_with_by_the_command(command, main):
    made = CascadeExperiment(n_agents=24, degree=3, steps=3, repeats=1, items_per_severity=1)
    stop_early(made, "a")
    assert command("run", "--resume", "a", "--quiet", "--max-calls", 100_000).code == 0
    assert Run("a").digest() == agentnet.play(made, **QUIET).digest()


def test_what_a_notebook_takes_in_by_name_is_recorded_with_the_class(command, study):
    study.cell(
        "from agentnet.asking_rules import asking_rule\n"
        "@asking_rule('of this notebook', says='nobody was asked twice')\n"
        "def rule(exposures):\n    return exposures\n"
    )
    study.cell(STUDY + "    asking_rule = 'of this notebook'")
    stop_early(study.Study, "a")
    assert "def rule(exposures)" in Run("a").meta["experiment"]["text"]
    assert command("run", "--resume", "a", "--quiet", "--max-calls", 100_000).code == 0


def test_play_in_a_running_loop_names_the_way_out(study):
    async def cell() -> None:
        agentnet.play(study.Study())

    with pytest.raises(UserError, match=r"write `await agentnet.aplay\(...\)`"):
        asyncio.run(cell())
    assert not Path("runs").exists()


def test_runs_that_are_played_side_by_side_share_nothing(study):
    alone = [agentnet.play(study.Study(steps=n), **QUIET).digest() for n in (2, 3)]
    thresholds = gc.get_threshold()

    async def both() -> list[Run]:
        return await asyncio.gather(*(agentnet.aplay(study.Study(steps=n), **QUIET) for n in (2, 3)))

    assert [run.digest() for run in asyncio.run(both())] == alone
    assert gc.get_threshold() == thresholds


class Cancelling:
    """Cancels who plays at a call."""

    def __init__(self, at: int) -> None:
        self.inner = make_backend("mock", {})
        self.name, self.model_name = self.inner.name, self.inner.model_name
        self.left, self.n_answered = at, 0

    async def complete(self, request):
        self.left -= 1
        if not self.left:
            self.task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        self.n_answered += 1
        return await self.inner.complete(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


def test_who_is_cancelled_leaves_a_run_that_ends_with_the_unbroken_digest(study, monkeypatch, capsys):
    unbroken = agentnet.play(study.Study(repeats=2), **QUIET).digest()
    backend = Cancelling(at=30)

    async def play() -> None:
        backend.task = asyncio.current_task()
        with pytest.raises(asyncio.CancelledError):
            await agentnet.aplay(study.Study(repeats=2), seed=7, out="a", settings={"stack.cache": False})

    with monkeypatch.context() as patch:
        patch.setattr("agentnet.voices.make_backend", lambda *_: backend)
        asyncio.run(play())
    said = capsys.readouterr().err
    assert "finishing what is in flight" in said
    assert "resume with: agentnet.play(agentnet.Run('a'))" in said
    assert Run("a").meta["status"] == "running"
    assert Run("a").rows("SELECT COUNT(*) FROM events")[1] == [(backend.n_answered,)]
    assert backend.n_answered >= 30
    assert agentnet.play(Run("a"), progress=False).digest() == unbroken


def test_the_same_call_begins_goes_on_and_gives_what_is_finished(study):
    how = {"out": "a", "resume": True, **QUIET}
    stop_early(study.Study(), "a")
    run = agentnet.play(study.Study(), settings=MORE, **how)
    assert run.meta["status"] == "finished"
    n_sittings = "SELECT COUNT(*) FROM incidents WHERE kind IN ('started', 'resumed')"
    assert agentnet.play(study.Study(), settings=MORE, **how).rows(n_sittings)[1] == [(2,)]
    with pytest.raises(ConfigurationError, match=r"experiment.steps was not set .* cannot become 5"):
        agentnet.play(study.Study(steps=5), settings=MORE, **how)
    with pytest.raises(ConfigurationError, match="seed was 7"):
        agentnet.play(study.Study(), settings=MORE, **how | {"seed": 8})


def test_a_knob_that_the_run_was_begun_with_may_not_be_left_out(study):
    agentnet.play(study.Study(steps=2), out="a", **QUIET)
    with pytest.raises(ConfigurationError, match=r"steps was 2 .* cannot become not set"):
        agentnet.play(study.Study(), out="a", resume=True, **QUIET)


def test_what_no_file_can_hold_is_played_and_only_python_goes_on_with_it(command, study):
    graph = nx.random_regular_graph(3, 24, seed=1)
    stop_early(study.Study(network=graph), "a")
    refused = command("run", "--resume", "a")
    assert refused.code == 2
    assert "experiment Study was made in Python" in refused.err
    assert "agentnet.play(Study(...), out=FOLDER, resume=True)" in refused.err
    run = agentnet.play(study.Study(network=graph), out="a", resume=True, settings=MORE, **QUIET)
    assert run.digest() == agentnet.play(study.Study(network=graph), **QUIET).digest()
    shown = command("report", "a", "--no-figures", "--law", "main_effects", "--bootstraps", 0, "--runs", 2)
    assert shown.code == 0


def test_a_class_that_a_function_made_is_played_as_it_is(study, capsys):
    study.cell(f"def make():\n{indent(STUDY + ASKING, '    ')}\n    return Study\ndef ask(text): return text")
    run = agentnet.play(study.make(), seed=7)
    assert run.meta["experiment"]["text"] == ""
    assert run.meta["experiment"]["overridden"] == ["messages"]
    assert "only Python can go on with the run" in capsys.readouterr().err


def test_a_knob_that_is_set_afterwards_is_refused(study):
    made = study.Study()
    made.steps = 9
    with pytest.raises(DesignError, match=r"give it when you make it: Study\(steps=...\)"):
        agentnet.play(made, **QUIET)


def test_a_hook_that_the_recorded_text_would_answer_otherwise_is_refused(study):
    study.cell("WORDS = []\ndef ask(text):\n    return text + ' '.join(WORDS)")
    study.cell(STUDY + ASKING)
    study.cell("WORDS.append('changed in place')")
    with pytest.raises(DesignError, match=r"Study\.messages gives one thing and then another"):
        agentnet.play(study.Study(), **QUIET)


def test_settings_are_those_of_the_command_and_arguments_go_before_them(study):
    Path("agentnet.toml").write_text(
        "seed = 3\n[engine]\nworkers = 5\n[experiment]\nsteps = 2\nrepeats = 2\n"
    )
    run = agentnet.play(study.Study(repeats=1), seed=7, settings={"log": {"parquet": False}}, progress=False)
    settings = run.meta["settings"]
    assert (settings["seed"], settings["engine"]["workers"], settings["log"]["parquet"]) == (7, 5, False)
    design = run.meta["experiment"]["design"][0]
    assert (design["steps"], design["repeats"]) == (2, 1)
    assert not (run.folder / "parquet").exists()
    with pytest.raises(ConfigurationError, match=r"engine\.wrkers is no setting; did you mean 'workers'"):
        agentnet.play(study.Study, settings={"engine.wrkers": 5})


@pytest.mark.parametrize(
    ("how", "words"),
    [({"resume": True}, "name it by out="), ({"out": "b", "of": "run"}, "goes with a new run")],
)
def test_ways_to_go_on_that_make_no_sense_are_refused(study, small, how, words):
    played = agentnet.play(study.Study, out="a", **QUIET) if how.pop("of", "") else study.Study
    with pytest.raises(UserError, match=words):
        agentnet.play(played, **how)


def test_a_run_that_lacks_too_much_says_so_each_time_until_it_is_asked_again(study):
    mock = {"backend.invalid_rate": 0.9, "engine.brake_after": 10_000, "stack.cache": False}
    with pytest.raises(MissingAnswers, match=r"agentnet.play\(agentnet.Run\('a'\), ask_missing=True\)"):
        agentnet.play(study.Study, out="a", settings=mock, **QUIET)
    with pytest.raises(MissingAnswers):
        agentnet.play(Run("a"), progress=False)
    assert agentnet.play(Run("a"), settings={"engine.max_missing": 1.0}, progress=False).folder == Path("a")


def test_a_sweep_makes_a_condition_of_each_combination_and_its_run_compares_them(study):
    swept = agentnet.sweep(study.Study(repeats=2, degree=4), degree=[3, 5], temperature=iter([0.5, 1.0]))
    assert len(swept.conditions) == 4
    run = agentnet.play(swept, **QUIET)
    assert [c["degree"] for c in run.meta["experiment"]["conditions"]] == [3, 3, 5, 5]
    found = run.compare("final_engagement", level=0.9)
    assert len(found) == 4
    assert {"compared", "value", "low", "high"} <= set(found.columns)


def test_a_sweep_goes_over_the_conditions_that_there_are(study):
    conditions = agentnet.sweep(
        study.Study(conditions=({"steps": 1}, {"steps": 2})), degree=[3, 5]
    ).conditions
    assert conditions[1] == {"steps": 1, "degree": 5}
    assert len(conditions) == 4


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"degre": [3]}, "did you mean 'degree'"),
        ({"degree": []}, "is no list of values"),
        ({"rationale": "none"}, "is no list of values"),
        ({"degree": 3}, "is no list of values"),
        ({"steps": [0]}, "steps is 0"),
    ],
)
def test_a_sweep_of_what_is_no_knob_is_refused_at_once(study, knobs, words):
    with pytest.raises(UserError, match=words):
        agentnet.sweep(study.Study, **knobs)


def test_runs_and_experiments_show_themselves_and_nothing_in_them_is_markup(study):
    html = study.Study(news_columns={"text": "<script>\u202e"})._repr_html_()
    assert "<th>steps</th><td>3</td>" in html
    assert "About &lt;b&gt;it&lt;/b&gt;." in html
    assert "&lt;script&gt;" in html
    assert "profiles = &#x27;equal&#x27;" in html
    run = agentnet.play(study.Study, out="<i>", **QUIET)
    html = run._repr_html_()
    assert "Study in &lt;i&gt;" in html
    assert f"<td>{run.digest()}</td>" in html
    assert "<td>finished</td>" in html
    assert "simulated" not in html


@pytest.mark.parametrize("in_shards", [False, True])
def test_runs_that_begin_in_the_same_second_each_find_a_folder(command, in_shards):
    # Both have chosen their folders by the time that either makes its own.
    chosen = threading.Barrier(2)
    waited: set[int] = set()

    class Together(CascadeExperiment):
        n_agents, degree, steps, repeats, items_per_severity, rationale = 8, 3, 2, 2, 1, "none"

        def choose_news(self, seed):
            if threading.get_ident() not in waited:
                waited.add(threading.get_ident())
                chosen.wait(30)
            return super().choose_news(seed)

    def begun(_):
        if not in_shards:
            return agentnet.play(Together, **QUIET).folder
        source = held(Together())
        return begin_shards(source, Settings(seed=7), {}, None, 2, say=print).folder

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(begun, range(2))
    assert one != other
    for folder in one, other:
        logs = [Run(each) for each in shards_in(folder)] or [Run(folder)]
        assert [run.meta["run"] for run in logs] == [run.folder.name for run in logs]
        assert len(logs) == (4 if in_shards else 1)
    if not in_shards:
        assert Run(one).digest() == Run(other).digest()
