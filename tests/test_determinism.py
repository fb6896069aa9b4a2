"""How a run is played, broken off and resumed never changes what it decides."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentnet import CascadeExperiment, ResponseRatioExperiment, Run
from agentnet.asking_rules import ASKING_RULES
from agentnet.backend import make_backend
from agentnet.config import EngineSettings, LogSettings, Settings
from agentnet.errors import BackendUnusable, Interrupted, RunFolderError, RunStopped, StorageError
from agentnet.events import LOG_NAME
from agentnet.experiment import Source
from agentnet.profiles import assign
from agentnet.runner import Runner, create, prepare
from agentnet.runner.journal import Tally
from agentnet.streams import mix

# Every kind of answer, so that each way through the sampler is taken.
TROUBLES = {"invalid_rate": 0.2, "refusal_rate": 0.05, "rejected_rate": 0.05}
DESIGN = {"items_per_severity": 1, "n_agents": 16, "degree": 3, "steps": 5, "rationale": "afterwards"}

COMMAND = "from agentnet.cli import main; main()"
KEYS = "realization, kind, step, agent, source, repeat"


class Whole(NamedTuple):
    """A run that was played without a break."""

    digest: str
    asked: Counter
    tally: Tally


class Mock:
    """The mock with troubles; answers after so many turns of the event loop as `number` has it.

    At the `cut`-th request it calls `then`.
    """

    def __init__(self, number=0, *, cut=None, then=None):
        self.inner = make_backend("mock", TROUBLES)
        self.name, self.model_name = self.inner.name, self.inner.model_name
        self.number, self.cut, self.then = number, cut, then
        self.asked = []

    async def complete(self, request):
        (_, realization, kind, step), *place = request.draw
        self.asked.append((realization, kind, step, *place))
        n_asked = len(self.asked)
        if n_asked == self.cut:
            self.then()
        if self.number:
            for _ in range(mix(self.number, n_asked) % 7):
                await asyncio.sleep(0)
        return await self.inner.complete(request)

    async def aclose(self):
        await self.inner.aclose()


@pytest.fixture(scope="module")
def blank(new_run):
    """Runs that were made and not yet played: a cascade under each asking rule, and response ratios."""
    cascades = [CascadeExperiment(**DESIGN, repeats=1, asking_rule=rule) for rule in tuple(ASKING_RULES)]
    ratios = ResponseRatioExperiment(items_per_severity=1, repeats=2)
    return {"cascade": new_run(*cascades, seed=3, max_asks=2), "ratio": new_run(ratios, seed=3, max_asks=2)}


@pytest.fixture(scope="module")
def copied(blank, tmp_path_factory):
    """Make a blank run again, in a folder of its own, to be played with other settings."""

    def copied(family="cascade", *, log=None, **engine):
        prepared = blank[family]
        settings = prepared.settings.model_copy(
            update={
                "engine": EngineSettings(max_asks=2, **engine),
                "log": LogSettings(parquet=False, **(log or {})),
            }
        )
        folder = tmp_path_factory.mktemp("copied") / "run"
        again = replace(prepared, folder=folder, settings=settings)
        create(again, Source(Path("made_by_a_test.py"), ""), backend="test", model_name="test-1")
        return again

    return copied


@pytest.fixture(scope="module")
def whole(copied):
    """Each family's run, played by one worker without a break: its digest, its requests and its tally."""
    found = {}
    for family in ("cascade", "ratio"):
        prepared = copied(family, workers=1, realizations_at_once=1)
        backend = Mock()
        runner = Runner(prepared, backend)
        asyncio.run(runner.play())
        found[family] = Whole(Run(prepared.folder).digest(), Counter(backend.asked), runner.tally)
    return found


def test_another_seed_is_another_run(copied, whole, new_run):
    other = new_run(*copied().experiments, seed=4, max_asks=2)
    asyncio.run(Runner(other, Mock()).play())
    assert Run(other.folder).digest() != whole["cascade"].digest


# How it is played


ways = st.fixed_dictionaries(
    {
        "workers": st.sampled_from([1, 2, 7, 256]),
        "realizations_at_once": st.integers(1, 9),
        "run_ahead": st.booleans(),
        "log": st.fixed_dictionaries(
            {"group_rows": st.sampled_from([1, 2, 13, 1000]), "group_s": st.sampled_from([0.0, 0.001, 10.0])}
        ),
    }
)


@settings(max_examples=8)
@given(way=ways, number=st.integers(0, 10**6), family=st.sampled_from(["cascade", "ratio"]))
@example(way={"workers": 256, "realizations_at_once": 64, "log": {}}, number=1, family="cascade")
@example(way={"workers": 7, "realizations_at_once": 2, "run_ahead": True}, number=1, family="cascade")
def test_workers_latency_order_and_log_groups_never_change_the_run(copied, whole, way, number, family):
    prepared, backend = copied(family, **way), Mock(number)
    asyncio.run(Runner(prepared, backend).play())
    assert (Run(prepared.folder).digest(), Counter(backend.asked)) == whole[family][:2]


STRINGS = """
import networkx as nx
from agentnet import CascadeExperiment

class Strings(CascadeExperiment):
    network = nx.Graph([("Ana", "Ben"), ("Ben", "Cai"), ("Cai", "Dee"), ("Dee", "Ana"), ("Ana", "Eli")])
    repeats = 3
    items_per_severity = 1
    profiles = {"10000": 1.0, "01101": 2.0, "11111": 0.5}
"""


def test_the_hash_seed_of_python_never_changes_the_run(command, tmp_path):
    experiment = tmp_path / "strings.py"
    experiment.write_text(STRINGS)
    digests = {json.loads(command("run", experiment, "--json", "--out", "here").out)["digest"]}
    arguments = ["run", str(experiment), "--json", "--quiet", "-S", "log.parquet=false"]
    for hash_seed in ("1", "77"):
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments, "--out", f"there-{hash_seed}"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(json.loads(done.stdout)["digest"])
    assert len(digests) == 1


# How it is broken off


def rows_of(folder):
    """The recorded events by their keys, with what an answer that came twice would change."""
    rows = Run(folder).rows(f"SELECT {KEYS}, decision, missing, reply, latency_s, at FROM events")[1]
    return {row[:6]: row[6:] for row in rows}


def sittings(prepared, cuts, break_off):
    """Play, broken off at the cuts' requests, until the run is finished.

    Args:
        break_off: (runner, task that plays it) -> what a backend calls to break the sitting off.

    Returns:
        The requests of each sitting, and the tally of the last.
    """
    found, kept = [], {}
    for number, cut in enumerate([*cuts, None]):
        backend = Mock(number, cut=cut)
        runner = Runner(prepared, backend)

        async def sit(runner=runner, backend=backend):
            playing = asyncio.ensure_future(runner.play())
            backend.then = break_off(runner, playing)
            await playing

        with suppress(Interrupted, BackendUnusable, RunStopped, asyncio.CancelledError):
            asyncio.run(sit())
        assert not {key[:6] for key in backend.asked} & kept.keys(), "asked for what was recorded"
        recorded = rows_of(prepared.folder)
        assert kept.items() <= recorded.items(), "lost or changed what was recorded"
        kept = recorded
        found.append(backend.asked)
        if Run(prepared.folder).meta["status"] == "finished":
            return found, runner.tally
    raise AssertionError("the last sitting did not finish the run")


def interrupt(runner, _):
    return runner.interrupt


def cancel(_, playing):
    return playing.cancel


def interrupt_then_cancel(runner, playing):
    def both():
        runner.interrupt()
        asyncio.get_running_loop().call_soon(playing.cancel)

    return both


def cancel_again_and_again(_, playing):
    def several():
        playing.cancel()
        if len(turns) < 6:
            turns.append(asyncio.get_running_loop().call_soon(several))

    turns = []
    return several


def fail(*_):
    def unusable():
        raise BackendUnusable("quota exhausted")

    return unusable


cuts = st.lists(st.integers(1, 150), min_size=1, max_size=8)


@settings(max_examples=4)
@given(cuts=cuts, way=ways)
@example(cuts=[1, 1, 2, 3, 5, 8, 13, 21, 34, 55], way={"workers": 3})
@example(cuts=[1, 1, 2, 3, 5, 8, 13, 21, 34, 55], way={"workers": 9, "run_ahead": True})
def test_an_interrupted_run_asks_each_draw_once_over_all_its_sittings(copied, whole, cuts, way):
    prepared = copied(**way)
    asked, tally = sittings(prepared, cuts, interrupt)
    assert Run(prepared.folder).digest() == whole["cascade"].digest
    assert sum(map(Counter, asked), Counter()) == whole["cascade"].asked
    spent = {"n_calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "dollars": None, "paused_until": None}
    assert replace(tally, **spent) == replace(whole["cascade"].tally, **spent)


@settings(max_examples=3)
@given(cuts=cuts, way=ways, family=st.sampled_from(["cascade", "ratio"]))
@pytest.mark.parametrize("break_off", [cancel, cancel_again_and_again, interrupt_then_cancel, fail])
def test_a_run_that_is_broken_off_anywhere_ends_as_the_whole(copied, whole, break_off, cuts, way, family):
    prepared = copied(family, **way)
    asked, _ = sittings(prepared, cuts, break_off)
    assert Run(prepared.folder).digest() == whole[family].digest
    assert set().union(*asked) == whole[family].asked.keys()


def test_a_policy_that_stops_at_missing_answers_records_none_of_them(copied):
    prepared = copied(on_missing="stop", workers=4)
    for _ in range(3):
        with pytest.raises(RunStopped, match="no usable answer"):
            asyncio.run(Runner(prepared, Mock()).play())
    run = Run(prepared.folder)
    assert run.rows("SELECT COUNT(*) FROM events WHERE missing IS NOT NULL")[1] == [(0,)]
    assert run.rows("SELECT COUNT(*) FROM troubles")[1] > [(0,)]


def test_a_run_stopped_at_missing_answers_and_gone_on_without_the_policy_ends_as_the_whole(copied, whole):
    prepared = copied(on_missing="stop", workers=4)
    with pytest.raises(RunStopped):
        asyncio.run(Runner(prepared, Mock()).play())
    keep_going = copied(workers=4).settings
    asyncio.run(Runner(replace(prepared, settings=keep_going), Mock()).play())
    assert Run(prepared.folder).digest() == whole["cascade"].digest


class Breaks(CascadeExperiment):
    """An experiment with a bug in one of its methods, which shows at the method's n-th call."""

    items_per_severity = 1
    repeats = 2
    n_agents = 16
    degree = 3
    steps = 4

    broken: ClassVar[str] = ""
    n_calls: ClassVar[int] = 0

    def _may_break(self, method):
        Breaks.n_calls += method == Breaks.broken
        if method == Breaks.broken and Breaks.n_calls == 3:
            raise ZeroDivisionError(method)

    def make_network(self, seed):
        self._may_break("make_network")
        return super().make_network(seed)

    def assign_profiles(self, network, seed):
        self._may_break("assign_profiles")
        return super().assign_profiles(network, seed)

    def messages(self, prompts, kind, profile, item):
        self._may_break("messages")
        return super().messages(prompts, kind, profile, item)

    def judge(self, text):
        self._may_break("judge")
        return super().judge(text)


@pytest.mark.parametrize("method", ["make_network", "assign_profiles", "messages", "judge"])
def test_an_error_of_the_experiments_own_ends_the_sitting_and_is_all_that_is_lost(
    new_run, monkeypatch, method
):
    prepared, unbroken = new_run(Breaks(), seed=6), new_run(Breaks(), seed=6)
    asyncio.run(Runner(unbroken, Mock()).play())
    monkeypatch.setattr(Breaks, "n_calls", 0)
    monkeypatch.setattr(Breaks, "broken", method)
    broken = Mock(1)
    with pytest.raises(ZeroDivisionError, match=method):
        asyncio.run(Runner(prepared, broken).play())
    lost = {key[:6] for key in broken.asked} - rows_of(prepared.folder).keys()
    assert len(lost) == (method == "judge")
    (reason,) = Run(prepared.folder).rows("SELECT detail FROM incidents WHERE kind = 'stopped'")[1]
    assert json.loads(reason[0]) == {"reason": method}
    mended = Mock()
    asyncio.run(Runner(prepared, mended).play())
    assert Run(prepared.folder).digest() == Run(unbroken.folder).digest()
    assert {key[:6] for key in mended.asked} & {key[:6] for key in broken.asked} == lost


def test_a_log_that_breaks_while_realizations_are_played_side_by_side_ends_them_all(copied):
    prepared = copied(workers=4)

    def drop_events():
        with closing(sqlite3.connect(prepared.folder / LOG_NAME)) as connection:
            connection.execute("DROP TABLE events")

    backend = Mock(1, cut=40, then=drop_events)
    with pytest.raises(StorageError, match="no such table: events"):
        asyncio.run(Runner(prepared, backend).play())


class Depends(CascadeExperiment):
    """An experiment that does not keep its promise: what it makes depends on a class attribute."""

    items_per_severity = 1
    repeats = 1
    n_agents = 8
    degree = 3
    network_seed: int | None = None
    profile: str = "equal"
    greeting: str = ""

    def make_network(self, seed):
        return super().make_network(seed if Depends.network_seed is None else Depends.network_seed)

    def assign_profiles(self, network, seed):
        return assign(Depends.profile, network.n_agents, seed=seed)

    def messages(self, prompts, kind, profile, item):
        return (("system", Depends.greeting), *super().messages(prompts, kind, profile, item))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("network_seed", 5, "was begun on another network"),
        ("profile", "00000", "was begun with other profiles"),
        ("greeting", "Hello!", "was begun with another (seed|exposure) prompt to profile [01]{5} about '"),
    ],
)
def test_a_run_is_not_gone_on_with_on_what_it_did_not_begin_with(new_run, monkeypatch, name, value, words):
    prepared = new_run(Depends(), workers=1)

    def play(cut=None):
        backend = Mock(cut=cut)
        runner = Runner(prepared, backend)
        backend.then = runner.interrupt
        asyncio.run(runner.play())

    with pytest.raises(Interrupted):
        play(cut=12)
    before = rows_of(prepared.folder)
    with monkeypatch.context() as changed:
        changed.setattr(Depends, name, value)
        with pytest.raises(RunFolderError, match=words):
            play()
    assert rows_of(prepared.folder) == before
    play()
    assert Run(prepared.folder).meta["status"] == "finished"


# Killing the process


SMALL = """
from agentnet import CascadeExperiment

class Small(CascadeExperiment):
    items_per_severity = 1
    repeats = 2
    n_agents = 32
    degree = 4
    steps = 10
    rationale = "afterwards"
"""

# Plays a run in children that it kills: a fork takes milliseconds, a new interpreter a second. A kill comes
# when the log has grown by a random number of rows. Where that is more than there are, it comes while the run
# is finished, turned into one file and exported.
KILLER = """
import asyncio, json, os, random, signal, sys
from pathlib import Path
from agentnet import Run
from agentnet.backend import make_backend
from agentnet.config import Settings
from agentnet.events import LOG_NAME
from agentnet.events.read import reading
from agentnet.experiment import Source
from agentnet.runner.journal import Tally
from agentnet.profiles import assign
from agentnet.runner import Runner, create, prepare, reopen

folder, n_events, n_kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
settings = Settings.model_validate(json.loads(sys.argv[4]))
rng = random.Random(5)
QUERY = "SELECT realization, kind, step, agent, source, repeat, decision, missing, reply, at FROM events"

def begin():
    source = Source(Path("small.py"), sys.argv[5])
    create(prepare(source, settings, folder), source, backend="mock", model_name="mock")

def play():
    backend = make_backend("mock", settings.backend.options)
    asyncio.run(Runner(reopen(folder, settings), backend).play())

def look(query):
    with reading(folder / LOG_NAME) as connection:
        return connection.execute(query).fetchall()

def count():
    return look("SELECT COUNT(*) FROM events")[0][0]

def is_finishing():
    status = look("SELECT value FROM meta WHERE key = 'status'")
    return status == [('"finished"',)]

def sit(is_time):
    child = os.fork()
    if child == 0:
        play()
        os._exit(0)
    while not is_time():
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]

def recorded():
    return {row[:6]: row[6:] for row in look(QUERY)}

begin()
kept, phases = {}, []
while len(phases) < n_kills:
    most = 4 if len(phases) < 4 else 2 * n_events // n_kills
    target = count() + rng.randrange(1, most) if len(phases) < n_kills - 4 else n_events
    delay = rng.randrange(60)

    def is_time():
        global delay
        if target < n_events:
            return count() >= target
        delay -= is_finishing()
        return delay < 0

    killed = os.WIFSIGNALED(sit(is_time))
    rows = recorded()
    assert kept.items() <= rows.items(), "lost or changed what was recorded"
    kept = rows
    last = look("SELECT kind FROM events ORDER BY at DESC LIMIT 1") if target < n_events else [("end",)]
    phases += [kind for (kind,) in last or [("none",)]] if killed else []
assert os.waitstatus_to_exitcode(sit(lambda: False)) == 0
assert kept.items() <= recorded().items(), "lost or changed what was recorded"
print(json.dumps({"digest": Run(folder).digest(), "phases": phases}))
"""


def mock_settings(**changes):
    backend = {"name": "mock", "latency_s": 0.001, "latency_spread": 1.0, **TROUBLES}
    engine = {"workers": 6, "realizations_at_once": 2}
    # Small groups, so that a kill finds steps of which a part is on the disk.
    log = {"group_rows": 3}
    return Settings.model_validate({"seed": 2, "backend": backend, "engine": engine, "log": log} | changes)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Play the small experiment without latency and without a break."""
    source = Source(Path("small.py"), SMALL)
    prepared = prepare(
        source, mock_settings(log={"parquet": False}), tmp_path_factory.mktemp("unbroken") / "run"
    )
    create(prepared, source, backend="mock", model_name="mock")
    asyncio.run(Runner(prepared, make_backend("mock", TROUBLES)).play())
    return Run(prepared.folder)


def test_a_run_whose_process_is_killed_over_and_over_ends_as_the_whole(unbroken, tmp_path):
    n_events = unbroken.rows("SELECT COUNT(*) FROM events")[1][0][0]
    folder, n_kills = tmp_path / "run", 25
    done = subprocess.run(
        [sys.executable, "-c", KILLER, folder, str(n_events), str(n_kills), mock_settings().to_json(), SMALL],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["digest"] == unbroken.digest()
    phases = Counter(told["phases"])
    assert phases.total() == n_kills
    assert phases.keys() >= {"exposure", "reason", "end"}
    assert [path.name for path in folder.glob("events*")] == ["events.sqlite"]
    assert (folder / "parquet" / "events.parquet").is_file()
    assert Run(folder).meta["status"] == "finished"


def n_recorded(folder):
    """Count the events of a run that may not have been made yet."""
    with suppress(RunFolderError):
        return Run(folder).rows("SELECT COUNT(*) FROM events")[1][0][0]
    return 0


def test_a_command_that_was_killed_is_resumed_to_the_whole(unbroken, command, tmp_path):
    experiment = tmp_path / "small.py"
    experiment.write_text(SMALL)
    rates = "".join(f"{name} = {rate}\n" for name, rate in TROUBLES.items())
    (tmp_path / "agentnet.toml").write_text(f"seed = 2\n[backend]\nlatency_s = 0.005\n{rates}")
    arguments = ["run", str(experiment), "--out", "run", "--quiet"]
    playing = subprocess.Popen([sys.executable, "-c", COMMAND, *arguments])
    while n_recorded(tmp_path / "run") < 100:
        assert playing.poll() is None
    playing.kill()
    assert playing.wait() == -signal.SIGKILL
    assert Run(tmp_path / "run").meta["status"] == "running"
    resumed = command("run", "--resume", "run", "--json", "-S", "backend.latency_s=0")
    assert json.loads(resumed.out)["digest"] == unbroken.digest()


def test_a_run_that_was_killed_after_its_last_answer_is_resumed_to_be_exported(command, tmp_path):
    experiment = tmp_path / "small.py"
    experiment.write_text(SMALL)
    whole = json.loads(command("run", experiment, "--out", "run", "--json", "-S", "repeats=1").out)
    exported = tmp_path / "run" / "parquet"
    shutil.rmtree(exported)
    resumed = json.loads(command("run", "--resume", "run", "--json").out)
    assert (resumed["digest"], resumed["calls_of_this_sitting"]) == (whole["digest"], 0)
    assert exported.is_dir()
    assert command("run", "--resume", "run").code == 2
