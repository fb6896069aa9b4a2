"""An experiment's own code: what it imports from beside it, and what happens when it goes wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from agentnet import Run
from agentnet.analysis import LAWS
from agentnet.errors import DesignError, UserError
from agentnet.experiment import Source

HEAD = "from agentnet import CascadeExperiment, ResponseRatioExperiment\n"
KNOBS = "    n_agents, degree, steps, repeats, items_per_severity = 24, 3, 3, 1, 1\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "study.py"


def study(body: str = "", top: str = "") -> str:
    return f"{HEAD}{top}\nclass Study(CascadeExperiment):\n{KNOBS}{body}\n"


def test_siblings_are_imported_recorded_and_played_from_the_record(command, tmp_path):
    path = write(
        tmp_path / "lab",
        study=study(
            "    def messages(self, prompts, kind, profile, item):\n"
            "        from later import ask\n"
            "        return (('user', ask(item.text)),)\n",
            "import sizes\nfrom parts.inner import N, deep\nsizes.check(N)\n",
        ),
        sizes="def check(n):\n    assert n == 7\n",
        later="def ask(text):\n    return f'Is this true: {text}'\n",
        unused="raise ValueError('nobody imports it')\n",
        parts__inner="from . import deep\nN = deep.N + 1\n",
        parts__deep="N = 6\n",
    )
    uncached = ("--quiet", "-S", "stack.cache=false")
    assert command("run", path, "--out", "a", *uncached).code == 0
    recorded = Run(Path("a")).meta["experiment"]["siblings"]
    assert list(recorded) == ["later.py", "parts/deep.py", "parts/inner.py", "sizes.py"]
    assert recorded["parts/deep.py"]["text"] == "N = 6\n"
    assert len(recorded["parts/deep.py"]["hash"]) == 64
    assert not {"sizes", "later", "parts"} & sys.modules.keys()
    assert str(path.parent) not in sys.path
    assert command("run", path, "--out", "b", "--max-calls", 20, *uncached).code == 3
    write(path.parent, later="def ask(text):\n    return 'Something else'\n", sizes="1 / 0\n")
    again = command("run", path, "--resume", "b").err
    assert "is something else" in again
    assert "to play the file as it is now, leave out --resume" in again
    assert command("run", "--resume", "b", "--quiet", "--max-calls", 2000).code == 0
    assert Run(Path("b")).digest() == Run(Path("a")).digest()


def test_two_experiments_may_have_siblings_of_one_name(tmp_path):
    text = study("    rate: float = R", "from helper import R")
    files = [
        write(tmp_path / name, study=text, helper=f"R = {rate}")
        for name, rate in (("one", 0.25), ("two", 0.5))
    ]
    sources = [Source.read(str(file)) for file in files]
    classes = [source.load() for source in (*sources, *sources)]
    assert [cls().design()["rate"] for cls in classes] == [0.25, 0.5, 0.25, 0.5]
    assert sources[0].hash != sources[1].hash


def test_a_sibling_shadows_neither_the_standard_library_nor_agentnet(tmp_path):
    path = write(
        tmp_path,
        study=study("    rate: float = statistics.mean([1, 2])", "import statistics, agentnet.errors"),
        statistics="1 / 0",
        agentnet__errors="1 / 0",
    )
    source = Source.read(str(path))
    assert source.siblings == {}
    assert source.load()().design()["rate"] == 1.5


def test_what_a_sibling_holds_is_found_however_it_is_imported(tmp_path):
    path = write(
        tmp_path,
        study=study(
            "    rate: float = a.b.R + c.R + R + other",
            "import pack.b as named\nimport pack as a\nimport pack.b\nfrom pack import b as c\n"
            "from pack.b import *\nfrom .relative import other\nassert named is c is pack.b",
        ),
        pack____init__="",
        pack__b="R = 1",
        relative="other = 4",
    )
    assert Source.read(str(path)).load()().design()["rate"] == 7


def test_errors_of_siblings_name_their_own_lines(command, tmp_path):
    path = write(tmp_path, study=study("", "import helper"), helper="x = 1\ny = x.z\n")
    done = command("check", path)
    assert done.code == 2
    assert f"{tmp_path / 'helper.py'}, line 2: AttributeError" in done.err
    write(tmp_path, helper="\n\nx = = 1\n")
    done = command("check", path)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert f"{tmp_path / 'helper.py'}, line 3: SyntaxError: invalid syntax" in done.err


@pytest.mark.parametrize("given", ["study.py", "./study.py", "lab/study.py", "../here/study.py"])
def test_siblings_are_found_beside_a_file_that_is_named_by_a_relative_path(
    command, tmp_path, monkeypatch, given
):
    here = tmp_path / "here"
    text = study("    degree = helper.DEGREE", "import helper")
    path = write(
        (here / given).parent,
        study=text,
        helper="from parts.inner import DEGREE\n",
        parts__inner="DEGREE = 5\n",
    )
    monkeypatch.chdir(here)
    assert Source.read(given).load()().design()["degree"] == 5
    assert command("run", given, "--out", "a", "--quiet").code == 0
    path.with_name("helper.py").write_text("\n1 / 0\n")
    said = command("check", given).err
    assert f"{Path(given).with_name('helper.py')}, line 2: ZeroDivisionError" in said


def test_a_sibling_that_is_no_text_is_refused(tmp_path):
    path = write(tmp_path, study=study("", "import helper"))
    (tmp_path / "helper.py").write_bytes(b"x = '\xff\xfe'\n")
    with pytest.raises(UserError, match=r"helper.py: the experiment file is not UTF-8 text"):
        Source.read(str(path))


BROKEN = {
    "messages": "    def messages(self, prompts, kind, profile, item):\n        return itme.text",
    "judge": "    def judge(self, text):\n        return {}['verdict']",
    "choose_news": "    def choose_news(self, seed):\n        return super().choose_news(seed)[99].nothing",
    "make_network": "    def make_network(self, seed):\n        raise RuntimeError('no\\nnetwork')",
    "assign_profiles": "    def assign_profiles(self, network, seed):\n        return network.profiles",
    "make_conditions": "    def make_conditions(self):\n        return 1 / 0",
    "load_prompts": "    def load_prompts(self):\n        return open('/nowhere/at/all')",
    "check": "    def check(self):\n        assert self.n_agents > 100",
    "constraint": "    def constraint(self):\n        raise SystemExit('enough')",
    "__init__": "    def __init__(self, **overrides):\n        super().__init__(**overrides, **self.more)",
}


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("hook", list(BROKEN))
def test_an_error_in_a_hook_is_one_line_that_names_the_line_of_the_file(command, tmp_path, hook, verb):
    path = write(tmp_path, study=study(BROKEN[hook]))
    done = command(verb, path)
    assert done.code == 2
    (said,) = done.err.splitlines()
    assert f"{path}, line 6, in {hook}: " in said
    assert "--traceback" in said
    assert not Path("runs").exists()
    traced = command(verb, path, "--traceback").err
    assert traced.startswith(said)
    assert f'File "{path}", line 6, in {hook}' in traced


def test_the_environment_asks_for_traces_too_and_is_no_setting(command, tmp_path, monkeypatch):
    path = write(tmp_path, study=study(BROKEN["judge"]))
    monkeypatch.setenv("AGENTNET_TRACEBACK", "1")
    traced = command("check", path).err
    monkeypatch.setenv("AGENTNET_TRACEBACK", "0")
    (said,) = command("check", path).err.splitlines()
    assert f"{path}, line 6, in judge" in said
    assert traced.startswith(f"{said}\nTraceback (most recent call last)")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys\nsys.exit()\n", ", line 2: it ends the program (SystemExit)"),
        ("x = (\n", ", line 1: SyntaxError: '(' was never closed"),
        ("import no_such_module_anywhere\n", ", line 1: ModuleNotFoundError"),
        (
            "def f():\n    g()\n\ndef g():\n    raise OSError('broken')\n\nf()\n",
            ", line 5, in g: OSError: broken",
        ),
        ("raise KeyError from ValueError('x')\n", ", line 1: KeyError"),
        ("raise BaseException('x')\n", ", line 1: BaseException: x"),
    ],
)
def test_an_error_at_import_names_its_line(command, tmp_path, text, words):
    path = write(tmp_path, study=text)
    done = command("check", path)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert f"{path}{words}" in done.err


PRESSED = "import signal\nsignal.raise_signal(signal.SIGINT)\n"
INITS = "    def __init__(self, **knobs):\n        {what}\n        super().__init__(**knobs)\n"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (PRESSED, 130, "interrupted"),
        (study(INITS.format(what="import signal; signal.raise_signal(signal.SIGINT)")), 130, "interrupted"),
        ("raise KeyboardInterrupt\n", 2, ", line 1: it ends the program (KeyboardInterrupt)"),
        (study(INITS.format(what="raise KeyboardInterrupt")), 2, ", line 6, in __init__: it ends the"),
        (study(INITS.format(what="raise EOFError")), 2, ", line 6, in __init__: EOFError"),
    ],
)
def test_keys_that_are_pressed_and_what_an_experiment_raises_are_told_apart(
    command, tmp_path, text, code, words
):
    done = command("check", write(tmp_path, study=text))
    assert done.code == code
    assert words in done.err.splitlines()[-1]


ANSWERING = """
import asyncio
from pathlib import Path
from agentnet.backend import BACKENDS, Reply

class Answers:
    name, model_name, about, needs = "answers", "none", "answers", "nothing"

    @classmethod
    def from_options(cls, options, environ):
        return cls()

    async def complete(self, request):
        await asyncio.sleep(0)
        if Path({trap!r}).exists() and request.draw[1] > 10:
            raise {what}
        return Reply(("yes" if request.seed % 2 else "no",), 1, 1)

    async def aclose(self):
        pass

BACKENDS.register("answers", Answers)
"""


@pytest.mark.parametrize(
    "what",
    ["SystemExit(3)", "KeyboardInterrupt", "asyncio.CancelledError", "GeneratorExit", "BaseException('x')"],
)
def test_whatever_a_backend_raises_is_told_as_its_own_and_leaves_the_run_resumable(command, tmp_path, what):
    trap = tmp_path / "trap"
    top = ANSWERING.format(trap=str(trap), what=what)
    path = write(tmp_path, study=study("    rationale = 'none'\n", top))
    trap.touch()
    done = command("run", path, "--out", "a", "--quiet", "--backend", "answers", "-S", "stack.cache=false")
    assert done.code == 2
    assert f"{path}, line 17, in complete" in done.err.splitlines()[-1]
    assert what.partition("(")[0] in done.err.splitlines()[-1]
    assert "resume with: agentnet run --resume a" in done.err
    trap.unlink()
    assert command("run", "--resume", "a", "--quiet").code == 0


SLOW = """
import asyncio
import signal
from dataclasses import dataclass

from agentnet.backend import BACKENDS

@dataclass
class Slow:
    name: str = "slow"
    model_name: str = "slow"
    about = needs = "nothing"

    @classmethod
    def from_options(cls, options, environ):
        return cls()

    async def complete(self, request):
        {press}
        await asyncio.Event().wait()

    async def aclose(self):
        pass

BACKENDS.register("slow", Slow)
"""


@pytest.mark.parametrize(
    "press", ["signal.raise_signal(signal.SIGINT)", "[signal.raise_signal(2) for _ in 'abc']"]
)
def test_keys_that_are_pressed_while_a_backend_waits_interrupt_a_probe(command, tmp_path, press):
    """Asyncio tells the backend by a `CancelledError`, and whoever waits by a statement."""
    path = write(tmp_path, study=study("", SLOW.format(press=press)))
    done = command("probe", path, "--backend", "slow", "--check", "order", "--quiet")
    assert (done.code, done.err.splitlines()[-1]) == (130, "interrupted")


@pytest.mark.usefixtures("_no_law_left")
def test_what_plug_ins_print_never_mixes_with_the_json_of_a_command(command, tmp_path):
    """Also what the modules print that they import, and whoever writes to standard output himself."""
    noise = "import sys\nprint('heard')\nsys.stdout.write('written')\n"
    (tmp_path / "noise_of_a_law.py").write_text(noise)
    law = tmp_path / "odd_law.py"
    law.write_text(
        f"sys = __import__('sys')\nsys.path.insert(0, {str(tmp_path)!r})\nimport noise_of_a_law\n{LAW}"
    )
    path = write(tmp_path, study=study("    rationale = 'none'\n"))
    assert command("run", path, "--out", "a", "--quiet").code == 0
    done = command("fit", "a", "--law", law, "--json", "--bootstraps", "0", "--runs", "2")
    assert done.code == 0, done.err
    assert json.loads(done.out)
    assert "heard" in done.err
    assert "written" in done.err


@pytest.fixture
def _no_law_left():
    before = {*LAWS}
    yield
    for name in {*LAWS} - before:
        LAWS.remove(name)


LAW = """
from agentnet.analysis.laws import Between, CurveLaw

class Flat(CurveLaw):
    title = "flat"
    parameters = {"level": Between(0.05, 1)}

    def curve(self, steps, start, level):
        print("heard")
        return level + 0 * steps
"""


@pytest.mark.usefixtures("_no_law_left")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('{"level": Between(0.05, 1)}', '["level"]', "has parameters = ['level']; they are a mapping"),
        ("Between(0.05, 1)}", "0.5}", "has parameters = {'level': 0.5}; they are a mapping"),
        ("return level", "level", "the formula of law 'flat' gives None"),
        ("return level", "steps *= 0.5; return level", "in curve: ValueError: output array is read-only"),
    ],
)
def test_a_law_that_says_wrongly_what_it_is_of_is_told_so(command, tmp_path, old, new, words):
    path = write(tmp_path, study=study("    rationale = 'none'\n"))
    assert command("run", path, "--out", "a", "--quiet").code == 0
    law = tmp_path / "odd_law.py"
    law.write_text(LAW.replace(old, new))
    done = command("fit", "a", "--law", law, "--bootstraps", "0", "--runs", "2")
    assert done.code == 2, done.err
    assert words in done.err.splitlines()[-1]


DOSE = """
from agentnet.analysis.laws import Between, DecisionLaw

class Worn(DecisionLaw):
    title = "worn by {by}"
    parameters = {"top": Between(0, 1)}

    def probability(self, columns, top):
        columns[self.by] /= 2
        return top ** columns[self.by]
"""


@pytest.mark.usefixtures("_no_law_left")
def test_a_law_that_writes_into_what_it_reads_is_told_so(command, tmp_path):
    path, law = write(tmp_path, study=study("    rationale = 'none'\n")), tmp_path / "worn_law.py"
    assert command("run", path, "--out", "a", "--quiet").code == 0
    law.write_text(DOSE)
    done = command("fit", "a", "--law", law, "--by", "n_engaged")
    assert done.code == 2, done.err
    assert "line 9, in probability: ValueError: output array is read-only" in done.err.splitlines()[-1]


LATE = """
    def judge(self, text):
        verdict = super().judge(text)
        if {when}:
            {what}
        return verdict
"""


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("raise LookupError('odd reply')", 2, ", line 9, in judge: LookupError: odd reply"),
        ("raise type('Odd', (BaseException,), {})('x')", 2, ", line 9, in judge: Odd: x"),
        ("raise SystemExit(0)", 2, ", line 9, in judge: it ends the program (SystemExit: 0)"),
        ("raise KeyboardInterrupt", 2, ", line 9, in judge: it ends the program (KeyboardInterrupt)"),
        ("return 'yes'", 2, "Study.judge returned 'yes'"),
    ],
)
def test_an_error_in_the_middle_of_a_run_leaves_it_resumable(command, tmp_path, what, code, words):
    """The hook goes wrong on what only a model says, while a file is there."""
    trap = tmp_path / "trap"
    when = f"len(text) > 60 and __import__('pathlib').Path({str(trap)!r}).exists()"
    path = write(tmp_path, study=study(LATE.format(when=when, what=what)))
    trap.touch()
    done = command("run", path, "--out", "a", "--quiet")
    assert done.code == code
    assert words in done.err.splitlines()[-1]
    assert "resume with: agentnet run --resume a" in done.err
    assert "once you mend it, begin a new one" in done.err
    assert Run(Path("a")).meta["status"] != "finished"
    trap.unlink()
    assert command("run", "--resume", "a", "--quiet").code == 0
    assert command("run", path, "--out", "b", "--quiet").code == 0
    assert Run(Path("a")).digest() == Run(Path("b")).digest()


INIT = "    def __init__(self, **overrides):\n        super().__init__(**overrides)\n"
MESSAGES = "    def messages(self, prompts, kind, profile, item):\n        return (('user', str({said})),)"
LEAVING = """
from agentnet import InterviewExperiment

async def leave(step, state):
    if step == 2 and {trap}:
        raise SystemExit
    return [[1], [0]]

class Talk(InterviewExperiment):
    models = {{"society": 2}}
    n_evaluation, n_questions, n_taught, steps = 2, 1, 2, 3
    topology = leave
"""


def test_a_topology_that_ends_the_program_ends_the_run_resumably(command, tmp_path):
    trap = tmp_path / "trap"
    path = write(tmp_path, study=LEAVING.format(trap=f"__import__('pathlib').Path({str(trap)!r}).exists()"))
    trap.touch()
    done = command("run", path, "--out", "a", "--quiet")
    assert done.code == 2
    assert f"{path}, line 6, in leave: it ends the program (SystemExit)" in done.err.splitlines()[-1]
    assert "resume with: agentnet run --resume a" in done.err
    trap.unlink()
    assert command("run", "--resume", "a", "--quiet").code == 0


UNSTEADY = {
    "chance": ("messages", "import random", MESSAGES.format(said="random.random()")),
    "clock": ("messages", "import time", MESSAGES.format(said="time.time_ns()")),
    "count of its own": (
        "messages",
        "import itertools",
        f"    _n = itertools.count()\n{MESSAGES.format(said='next(self._n)')}",
    ),
    "count of each": (
        "messages",
        "import collections",
        (
            f"    _n = None\n{MESSAGES.format(said='self._count(kind, item.id)')}\n"
            "    def _count(self, *key):\n        self._n = self._n or collections.Counter()\n"
            "        self._n[key] += 1\n        return self._n[key]"
        ),
    ),
    "who was first": (
        "messages",
        "",
        (
            f"    _first = None\n{MESSAGES.format(said='self._meet(item.id)')}\n"
            "    def _meet(self, name):\n"
            "        self._first = self._first or name\n        return self._first"
        ),
    ),
    "chance of the object": (
        "messages",
        "import random",
        f"{INIT}        self._n = random.random()\n{MESSAGES.format(said='self._n')}",
    ),
    "chance of the file": (
        "messages",
        "import random\nWORD = random.random()",
        MESSAGES.format(said="WORD"),
    ),
    "order of asking": (
        "messages",
        "",
        (
            f"    _seen = ('',)\n{MESSAGES.format(said='self._before(profile.bits)')}\n"
            "    def _before(self, bits):\n"
            "        self._seen = (*self._seen[-1:], bits)\n        return self._seen[0]"
        ),
    ),
    "chance of one profile": (
        "messages",
        "import random",
        MESSAGES.format(said="profile.bits == '11111' and random.random()"),
    ),
    "judge": (
        "judge",
        "import json, random",
        (
            "    def judge(self, text):\n"
            "        reply = {'share': bool(text), 'reason': str(random.getrandbits(40))}\n"
            "        return super().judge(json.dumps(reply))"
        ),
    ),
    "news": (
        "choose_news",
        "import random",
        "    def choose_news(self, seed):\n        return super().choose_news(random.getrandbits(40))",
    ),
    "network": (
        "make_network",
        "import random",
        "    def make_network(self, seed):\n        return super().make_network(random.getrandbits(40))",
    ),
    "profiles": (
        "assign_profiles",
        "import random",
        (
            "    def assign_profiles(self, network, seed):\n"
            "        return super().assign_profiles(network, random.getrandbits(40))"
        ),
    ),
}


@pytest.mark.parametrize("kind", list(UNSTEADY))
def test_a_hook_that_depends_on_chance_or_state_is_refused_before_anybody_is_asked(command, tmp_path, kind):
    hook, top, body = UNSTEADY[kind]
    path = write(tmp_path, study=study(body, top))
    for verb in "check", "run":
        done = command(verb, path)
        assert done.code == 2
        assert f"Study.{hook} gives one thing and then another" in done.err
    assert not Path("runs").exists()


def test_a_hook_with_a_memory_that_changes_nothing_is_played(command, tmp_path):
    body = (
        f"{INIT}        self._known = {{}}\n"
        "    def messages(self, prompts, kind, profile, item):\n"
        "        made = super().messages(prompts, kind, profile, item)\n"
        "        return self._known.setdefault((kind, profile.bits, item.id), made)"
    )
    assert command("check", write(tmp_path, study=study(body))).code == 0


@pytest.mark.parametrize("given", ["None", "'text'", "[]", "[('user',)]", "[('user', 3)]", "5"])
def test_what_is_no_conversation_is_refused(command, tmp_path, given):
    body = f"    def messages(self, prompts, kind, profile, item):\n        return {given}"
    done = command("check", write(tmp_path, study=study(body)))
    assert done.code == 2
    assert "Study.messages gives" in done.err


def test_a_conversation_of_lists_is_one(command, tmp_path):
    body = "    def messages(self, prompts, kind, profile, item):\n        return [['user', item.text]]"
    found = json.loads(command("check", write(tmp_path, study=study(body)), "--json").out)
    assert found["prompts"]["seed"][0][0] == "user"


def test_an_intended_error_of_an_experiment_keeps_its_words(tmp_path):
    body = "    def check(self):\n        raise DesignError('as I said')"
    path = write(tmp_path, study=study(body, "from agentnet.errors import DesignError"))
    with pytest.raises(DesignError, match=r"^as I said$"):
        Source.read(str(path)).load()()


WRONG = {
    "make_conditions(self)": ("3", "None", "['a']", "()"),
    "choose_news(self, seed)": ("None", "['text']", "[]", "'N1'"),
    "load_prompts(self)": ("None", "{'system.txt': ''}"),
    "constraint(self)": ("None", "()", "(('yes',), 3)", "((1,), None)", "'yes'"),
    "make_network(self, seed)": ("None", "[(0, 1)]", "__import__('networkx').path_graph(5)"),
    "assign_profiles(self, network, seed)": ("None", "[0] * 5", "['00000'] * 24", "[32] * 24", "[0.5] * 24"),
}


@pytest.mark.parametrize("hook", list(WRONG))
def test_what_a_hook_gives_is_held_to_what_is_played(command, tmp_path, hook):
    name = hook.partition("(")[0]
    for given in WRONG[hook]:
        path = write(tmp_path, study=study(f"    def {hook}:\n        return {given}"))
        done = command("check", path)
        (said,) = done.err.splitlines()
        assert done.code == 2
        assert f"Study.{name} gives " in said
        assert "; it gives " in said


def test_profiles_may_come_as_a_list(command, tmp_path):
    body = "    def assign_profiles(self, network, seed):\n        return [seed % 32] * network.n_agents"
    assert command("check", write(tmp_path, study=study(body))).code == 0


@pytest.mark.parametrize(
    "hook", ["load_questions(self)", "system_messages(self)", "choose_taught(self, *asked)"]
)
@pytest.mark.parametrize("given", ["None", "5", "[10**6, 10**6]"])
def test_what_hooks_of_interviews_give_is_held_to_what_is_played(command, tmp_path, hook, given):
    text = f"from agentnet import InterviewExperiment\nclass Talk(InterviewExperiment):\n    def {hook}:\n"
    done = command("check", write(tmp_path, study=f"{text}        return {given}\n"))
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "agentnet itself failed" not in done.err


def test_what_an_experiment_prints_stands_beside_the_result(command, tmp_path):
    body = (
        "    def messages(self, prompts, kind, profile, item):\n        print('asked', kind)\n"
        "        return super().messages(prompts, kind, profile, item)"
    )
    path = write(tmp_path, study=study(body, "print('read')"))
    for verb, *more in ("check",), ("run", "--out", "a"):
        done = command(verb, path, "--json", *more)
        assert json.loads(done.out)
        assert "read" in done.err
        assert "asked seed" in done.err


@pytest.mark.parametrize(
    ("knob", "words"),
    [
        ("steps = True", "Study.steps is True, which is no number; it is int"),
        ("temperature = True", "Study.temperature is True, which is no number"),
        (
            "temperature = float('inf')",
            "Study.temperature is inf; no log tells numbers that are not finite",
        ),
        ("rate: object = float('nan')", "Study.rate is nan; no log tells"),
        ("own: dict = {'a': [1.0, float('-inf')]}", "Study.own is {'a': [1.0, -inf]}; no log tells"),
    ],
)
def test_numbers_that_no_log_can_tell_are_refused(command, tmp_path, knob, words):
    done = command("check", write(tmp_path, study=study(f"    {knob}")))
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert words in done.err


def test_a_truth_that_a_knob_takes_stays_what_it_makes_of_it(command, tmp_path):
    declared = "from enum import Enum\n\n\nclass Shown(Enum):\n    ON = True\n    OFF = False"
    text = study("    shown: Shown = True\n    share: float | bool = True")
    done = command("check", write(tmp_path, study=f"{declared}\n\n\n{text}"))
    assert (done.code, done.err.count("is no number")) == (0, 0)


def test_an_empty_file_is_called_so(command, tmp_path):
    done = command("check", write(tmp_path, study="\n"))
    assert done.code == 2
    assert "study.py is empty" in done.err


def test_what_runs_rely_on_is_no_hook(command, tmp_path):
    done = command("check", write(tmp_path, study=study("    def design(self):\n        return {}")))
    assert done.code == 2
    assert "design is no hook" in done.err
