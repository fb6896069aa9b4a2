"""Interacting models: wrong input is told in words with the way out, before anything is asked or lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from agentnet import InterviewExperiment
from agentnet.analysis.answers import embed_answers, read_answers
from agentnet.analysis.decisions import read_decisions, read_ratios
from agentnet.embedder import make_embedder
from agentnet.errors import DesignError, InputError, RunFolderError, UserError
from agentnet.events import Run
from agentnet.interviews import Question, Vulnerable
from agentnet.testing import ScriptedBackend

Command = Callable[..., Any]
Play = Callable[..., Run]

DESIGN = """
import networkx as nx
from agentnet import InterviewExperiment
from agentnet.interviews import Question

class Design(InterviewExperiment):
    models = {"society": 2, "science": 2}
    n_evaluation, n_questions, n_taught, steps = 2, 2, 3, 8
"""
AT_STEP_7 = f"""{DESIGN}
    def topology(self, step, state):
        return [[], [], [], []] if step < 7 else GIVEN
"""

TOPICS = ("a", "b")
QUESTIONS = tuple(
    Question(f"{topic}{n}", topic, f"What is {topic}{n}?", f"It is {topic * 4}{'klmnop'[n]}.")
    for topic in TOPICS
    for n in range(6)
)


class Small(InterviewExperiment):
    """Four models of two classes, and a bank of 12 questions."""

    models = {"a": 2, "b": 2}  # noqa: RUF012 - a design
    n_evaluation, n_questions, n_taught, steps = 3, 2, 2, 2

    def load_questions(self) -> tuple[Question, ...]:
        """Give the bank."""
        return QUESTIONS


@pytest.fixture
def refused(command: Command, tmp_path: Path) -> Callable[..., str]:
    """Run an experiment file that is refused; give the message."""

    def refused(text: str, *arguments: str, out: str = "run") -> str:
        path = tmp_path / "design.py"
        path.write_text(text)
        done = command("run", path, "--quiet", "--out", tmp_path / out, *arguments)
        (line,) = done.err.splitlines()
        assert (done.code, done.out) == (2, "")
        assert not (tmp_path / out).exists(), "nothing is begun"
        return str(line)

    return refused


# Who may interview whom


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{0: [-1]}", "step 7: the topology names model -1, but there are models 0 to 3"),
        ("{0: [4]}", "step 7: the topology names model 4, but there are models 0 to 3"),
        ("{4: [0]}", "step 7: the topology names model 4"),
        ("{0: ['science']}", "names model 'science', but there are models 0 to 3, which are named by their"),
        ("{0: [True]}", "step 7: the topology names model True"),
        ("{0: [1.0]}", "step 7: the topology names model 1.0"),
        ("{2: [2]}", "step 7: the topology lets model 2 interview itself"),
        ("[[1], [0]]", "step 7: the topology gives candidates of 2 models, but there are 4"),
        ("{0: 1}", "step 7: the topology gives 1 as candidates of model 0; they are a list of models"),
        ("[[], None, [], []]", "gives None as candidates of model 1; they are a list of models, empty if"),
        ("{0: 'science'}", "step 7: the topology gives 'science' as candidates of model 0"),
        ("None", "step 7: the topology gives None; it gives the candidates of each model as a list of lists"),
        ("nx.DiGraph([('ana', 'ben')])", "step 7: the topology names model 'ana'"),
        ("state.nobody", "design.py, line 11: AttributeError: "),
    ],
)
def test_a_function_that_names_unknown_models_at_a_late_step_is_refused_before_anything_is_asked(
    refused: Callable[..., str], given: str, words: str
) -> None:
    assert words in refused(AT_STEP_7.replace("GIVEN", given))


@pytest.mark.parametrize("where", ["topology = ", "def make_topology(self):\n        return "])
def test_a_graph_of_other_labels_is_refused_before_anything_is_asked(
    refused: Callable[..., str], where: str
) -> None:
    said = refused(f"{DESIGN}    {where}nx.DiGraph([('ana', 'ben')])\n")
    assert "names model 'ana', but there are models 0 to 3, which are named by their numbers" in said


def test_a_method_may_give_a_graph_or_a_name(play: Play) -> None:
    class Named(Small):
        def make_topology(self) -> Any:
            return nx.DiGraph([(0, 1)]) if self.repeats == 1 else "nobody"

    asked = "SELECT DISTINCT model FROM interviews WHERE interviewed IS NOT NULL"
    assert play(Named()).rows(asked)[1] == [(1,)]
    assert play(Named(repeats=2)).rows(asked)[1] == []


@pytest.mark.parametrize(
    ("topology", "words"),
    [
        (Vulnerable(4, 1, every=2), "the adversary is model 4, but there are models 0 to 3"),
        (Vulnerable(3, 4, every=9), "4 targets of 3 non-adversaries cannot be chosen"),
        (Vulnerable(3, (0, 3), every=9), "target 3 is the adversary or no model"),
    ],
)
def test_an_adversary_that_does_not_fit_is_refused_even_if_it_never_attacks(
    new_run: Callable[..., Any], topology: Vulnerable, words: str
) -> None:
    with pytest.raises(DesignError, match=words):
        new_run(Small(topology=topology))


def test_attacks_that_never_come_are_refused() -> None:
    with pytest.raises(DesignError, match="attacks come every 0 steps; every 1 at least"):
        Vulnerable(3, 1, every=0)


def test_targets_may_be_named(play: Play) -> None:
    run = play(Small(topology=Vulnerable(3, (2,), every=1)))
    asked = run.rows("SELECT DISTINCT model FROM interviews WHERE interviewed = 3")[1]
    assert asked == [(2,)]


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("evaluation", "evaluation set"),
        ("bank", "bank of interviews"),
        ("rules", "update rules"),
        ("embedder", "embedder"),
    ],
)
def test_a_run_goes_on_only_with_what_it_was_begun_with(
    new_run: Callable[..., Any], key: str, what: str
) -> None:
    prepared = new_run(Small())
    recorded = json.loads(json.dumps(prepared.stage.meta()))
    prepared.stage.check_recorded(prepared.folder, recorded)
    recorded["interviews"][key] = ["other"] * 40
    with pytest.raises(RunFolderError, match=rf"was begun with another {what} than") as refused:
        prepared.stage.check_recorded(prepared.folder, recorded)
    assert str(refused.value).endswith("go on with what it began with")


LATE = """
async def late(step, state):
    apart = await state.distances()
    return {0: [9 if step == 3 else 1]}

class Late(Design):
    topology = staticmethod(late)
"""


def test_a_function_that_looks_at_answers_breaks_off_where_it_goes_wrong_and_all_before_is_kept(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "late.py").write_text(DESIGN + LATE)
    folder = tmp_path / "run"
    done = command("run", f"{tmp_path / 'late.py'}:Late", "--quiet", "--out", folder)
    assert done.code == 2
    kept, error = done.err.splitlines()[-2:]
    assert kept.endswith(f"what was recorded is kept in {folder}")
    assert error.startswith("error: step 3: the topology names model 9, but there are models 0 to 3")
    counted = Run(folder).rows("SELECT step, COUNT(*) FROM events WHERE kind = 'evaluation' GROUP BY 1")[1]
    assert counted == [(step, 4 * 4) for step in range(3)]
    assert read_answers(Run(folder), 0).n_steps == 3


async def waiting(step: int, state: Any) -> Any:
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
    return [[1], [0], [], []]


class Once:
    """An awaitable that is no coroutine."""

    def __init__(self, step: int, state: Any) -> None:
        self.of = (step, state)

    def __await__(self) -> Any:
        return waiting(*self.of).__await__()


@pytest.mark.parametrize("topology", [waiting, Once])
def test_a_function_that_waits_is_left_to_the_run(play: Play, topology: Any) -> None:
    run = play(Small(topology=topology))
    assert run.rows("SELECT DISTINCT model, interviewed FROM interviews ORDER BY 1")[1] == [
        (0, 1),
        (1, 0),
        (2, None),
        (3, None),
    ]


# Models that nobody interviews


def test_models_that_nobody_interviews_are_noted_and_no_error(command: Command, tmp_path: Path) -> None:
    (tmp_path / "design.py").write_text(DESIGN)
    folder = tmp_path / "run"
    arguments = ("run", tmp_path / "design.py", "--quiet", "--out", folder, "-S", "steps=2")
    done = command(*arguments, "-S", "topology=nobody")
    assert done.code == 0
    (note,) = [line for line in done.err.splitlines() if line.startswith("note")]
    assert note == "note: nobody interviewed models 0 (society), 1 (society), 2 (science), 3 (science)"
    shown = json.loads(command("show", folder, "--json").out)
    assert shown["never interviewed"] == [note.removeprefix("note: ")]


def test_of_many_models_that_nobody_interviews_the_first_are_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "design.py").write_text(DESIGN)
    many = ("-S", "topology=nobody", "-S", "models={society = 14}", "-S", "steps=1")
    done = command("run", tmp_path / "design.py", "--quiet", "--out", tmp_path / "run", *many)
    (note,) = [line for line in done.err.splitlines() if line.startswith("note")]
    assert note.endswith("8 (society), 9 (society) and 4 more")


def test_a_model_is_noted_with_the_realizations_in_which_it_was_alone(command: Command, play: Play) -> None:
    graphs = nx.DiGraph([(0, 1), (2, 1), (1, 2)]), nx.DiGraph([(0, 1), (1, 2), (2, 0)])
    shown = json.loads(
        command("show", play(*(Small(topology=g, steps=9) for g in graphs)).folder, "--json").out
    )
    assert shown["never interviewed"] == ["nobody interviewed model 3 (b)"]
    adversary = Vulnerable(adversary=3, targets=1, every=2), Vulnerable(adversary=3, targets=0, every=2)
    shown = json.loads(
        command("show", play(*(Small(topology=t, steps=9) for t in adversary)).folder, "--json").out
    )
    assert shown["never interviewed"] == ["nobody interviewed model 3 (b) in 1 of 2 realizations"]


# Questions


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["n_questions=5"], "n_questions is 5, but interviews draw from 4 questions; lower it, or raise"),
        (["topics.society=scence"], "topics, class 'society': the question bank has no topic 'scence'; did"),
        (
            ["models.socety=1"],
            "class 'socety' (see topics): the question bank has no topic 'socety'; did you",
        ),
        (['evaluation_topics=["scince"]'], "evaluation_topics: the question bank has no topic 'scince'"),
        (
            ['evaluation_topics=["science", "science"]'],
            "evaluation_topics names 'science' 2 times; once is enough",
        ),
        (["n_taught=5000"], "n_taught, of topic 'society', is 5000, but there are 969 questions; lower it"),
        (["topology=ful"], "there is no topology 'ful'; did you mean 'full'?"),
        (["embedder.name=hsh"], "there is no embedder 'hsh'; did you mean 'hash'?"),
        (["memory.kk=1", "update=memory"], "memory.kk is no option of the update rule 'memory'; did you"),
        (["memory=1"], "memory is 1; the options of an update rule come one by one: -S memory.KEY=VALUE"),
        (["sampler.mode=choices"], "that interview each other answer in words: add -S sampler.mode=call"),
        (
            ["topology=3"],
            "topology is 3; it is one of full, local, intra_class, nobody, a networkx graph, or",
        ),
    ],
)
def test_a_knob_that_does_not_fit_is_named(
    refused: Callable[..., str], arguments: Sequence[str], words: str
) -> None:
    given = [word for argument in arguments for word in ("-S", argument)]
    assert words in refused(DESIGN, *given)


BANKS = {
    "bad_rows": (
        b"topic,question,answer\nsociety,Why?,\nsociety,,So.\nsociety\n",
        "row 2, field 'answer': is empty; every row needs its answer; 2 more rows are wrong",
    ),
    "two_bad_rows": (
        b"topic,question,answer\nsociety,Why?,\nsociety,,So.\n",
        "row 2, field 'answer': is empty; every row needs its answer; 1 more row is wrong",
    ),
    "no_row": (b"topic,question,answer\n", "has a header and no rows; nothing to read"),
    "empty": (b"", "the file is empty"),
    "twice": (
        b"id,topic,question,answer\n1,society,Why?,So.\n1,science,How?,So.\n",
        "row 3, field 'id': id '1' stands in row 2 already; give each row its own id",
    ),
    "latin_1": (
        "topic,question,answer\nsociety,Köln?,Am Rhein.\n".encode("latin-1"),
        "row 2: byte 10 of this line (0xf6) is not UTF-8",
    ),
    "utf_16": ("topic,question,answer\n".encode("utf-16"), "has a header and no rows"),
    "utf_16_without_a_mark": ("topic,question,answer\n".encode("utf-16-le"), "row 1: "),
}


@pytest.mark.parametrize("name", BANKS)
def test_a_question_bank_that_cannot_be_used_is_named_with_its_row(
    refused: Callable[..., str], tmp_path: Path, name: str
) -> None:
    content, words = BANKS[name]
    path = tmp_path / f"{name}.csv"
    path.write_bytes(content)
    said = refused(DESIGN, "-S", f"bank={path}")
    assert said.startswith(f"error: {path}")
    assert words in said


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("load_questions(self):\n        return ()", "a question bank needs at least one question"),
        (
            "load_questions(self):\n        return [{'id': 1}]",
            "{'id': 1} stands among the questions; each is",
        ),
        (
            "load_questions(self):\n        return [Question('x', 'society', ' ', 'So.')]",
            "field 'text': question 'x' has an empty text",
        ),
        (
            "load_questions(self):\n        return [Question('x', 'society', 'Why?', 'So.')] * 2",
            "2 questions have the id 'x'; ids are unique",
        ),
        (
            "choose_evaluation(self, questions, seed):\n        return (0, 5000)",
            "choose_evaluation gives 5000; it gives numbers of questions, 0 to 1935, each once",
        ),
        (
            "choose_evaluation(self, questions, seed):\n        return (3, 3)",
            "choose_evaluation gives 3 twice",
        ),
        ("choose_evaluation(self, questions, seed):\n        return ()", "gives no question at all"),
        ("choose_bank(self, questions, evaluation):\n        return ('x', 1)", "choose_bank gives 'x'; it"),
        (
            "choose_bank(self, questions, evaluation):\n        return (1,)",
            "n_questions is 2, but choose_bank gives 1 questions; lower it",
        ),
    ],
)
def test_methods_of_an_experiment_that_give_no_questions_are_blamed(
    refused: Callable[..., str], method: str, words: str
) -> None:
    assert words in refused(f"{DESIGN}    def {method}\n")


# Empty answers, and embedders


class Listening:
    """The hash embedder, with all texts that it was given."""

    def __init__(self, dim: int = 512) -> None:
        self.inner = make_embedder("hash", {"dim": dim})
        self.name, self.dim, self.texts = self.inner.name, self.inner.dim, list[str]()

    async def embed(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return await self.inner.embed(list(texts))


@pytest.fixture(scope="module")
def partly_empty(play: Play) -> Run:
    """A run on chat models of which model 1 says nothing to questions on a."""

    def say(request: Any) -> str:
        about = str(request.metadata["question"])
        return " \n" if request.metadata["model"] == 1 and about[0] == "a" else f"{about} it is."

    design = Small(update="memory", reuse=False, topology="local", steps=3)
    return play(design, backend=ScriptedBackend(say), max_asks=1)


def test_an_empty_answer_is_recorded_as_what_it_is_and_never_taught(partly_empty: Run) -> None:
    found = partly_empty.rows("SELECT DISTINCT model, topic, missing, answer FROM answers")[1]
    assert {row[:2] for row in found if row[2]} == {(1, "a")}
    assert {row[2:] for row in found if row[:2] == (1, "a")} == {("empty", " \n")}
    asked = partly_empty.rows(
        "SELECT asker, step, COUNT(*) - COUNT(missing) FROM answers WHERE kind = 'interview' GROUP BY 1, 2"
    )[1]
    taught = partly_empty.rows("SELECT model, step, n_pairs FROM updates WHERE step > 0 ORDER BY 1, 2")[1]
    assert sorted(asked) == taught
    assert min(n for _, _, n in taught) < 2, "somebody heard nothing of something"


def test_an_empty_answer_is_never_embedded_and_its_question_left_out_with_the_reason(
    partly_empty: Run,
) -> None:
    listening = Listening()
    (found,) = asyncio.run(embed_answers(partly_empty, listening))
    assert listening.texts
    assert all(text.strip() for text in listening.texts)
    assert set(found.answers.left_out.values()) == {"empty"}
    assert {name[0] for name in found.answers.left_out} == {"a"}
    assert found.array().shape == (4, 4, 3, 512)


def test_a_run_of_empty_answers_alone_says_that_nothing_can_be_compared(command: Command, play: Play) -> None:
    run = play(Small(update="memory"), backend=ScriptedBackend(lambda _: ""), max_asks=1, brake_after=10_000)
    assert run.rows("SELECT DISTINCT missing FROM events")[1] == [("empty",)]
    assert run.rows("SELECT SUM(n_pairs) FROM updates WHERE step > 0")[1] == [(0,)]
    with pytest.raises(InputError, match=r"an answer is missing to each of the 6 questions \(empty\)"):
        read_answers(run, 0)
    done = command("report", run.folder, "--quiet", "--no-figures")
    assert done.code == 0, done.err
    assert "an answer is missing to each of the 6 questions" in Path(done.out.strip()).read_text()


def test_an_embedder_of_another_dimension_than_the_runs_is_refused_unless_it_is_meant(
    partly_empty: Run,
) -> None:
    other = Listening(dim=64)
    with pytest.raises(InputError) as refused:
        asyncio.run(embed_answers(partly_empty, other))
    assert str(refused.value).startswith(
        "field 'embedder': embedder hash:2-gram@1:64 gives 64 dimensions, but"
    )
    assert "was played with hash:2-gram@1:512 of 512" in str(refused.value)
    assert not other.texts
    (found,) = asyncio.run(embed_answers(partly_empty, other, other_embedder=True))
    assert found.array().shape[-1] == 64
    assert np.allclose(np.linalg.norm(found.array(), axis=-1), 1.0, atol=1e-5)


def test_a_run_is_not_resumed_with_an_embedder_of_another_dimension(command: Command, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(DESIGN + LATE)
    folder = tmp_path / "run"
    assert command("run", f"{tmp_path / 'late.py'}:Late", "--quiet", "--out", folder).code == 2
    before = Run(folder).digest()
    done = command("run", "--resume", folder, "-S", "embedder.dim=64")
    assert done.code == 2
    assert "embedder.dim" in done.err
    assert "cannot become 64; start a new run for that" in done.err
    assert Run(folder).digest() == before


def test_a_bank_without_words_for_the_stand_in_is_the_banks_fault(play: Play) -> None:
    class Wordless(Small):
        def load_questions(self) -> tuple[Question, ...]:
            return tuple(question._replace(answer="So.") for question in QUESTIONS)

    with pytest.raises(InputError, match="fewer than two words of four letters in the bank's answers"):
        play(Wordless())


# Commands that are for other runs


@pytest.fixture(scope="module")
def small_run(play: Play) -> Path:
    return play(Small()).folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("fit", "RUN"),
            "RUN is a run of interacting models, not of cascades; see their perspectives with: agentnet rep",
        ),
        (
            ("export", "RUN", "--format", "gexf"),
            "RUN is a run of interacting models, which have no network; who",
        ),
        (("export", "RUN", "--format", "graphml"), "is table interviews of: agentnet export --format csv"),
        (
            ("news", "cluster", "RUN", "--out", "c.json"),
            "RUN is a run of interacting models, which are asked a",
        ),
        (("run", "--resume", "RUN"), "RUN is finished; look at it with: agentnet show RUN"),
    ],
)
def test_commands_for_other_runs_say_what_this_one_is_and_the_way_out(
    command: Command, small_run: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = command(*(small_run if word == "RUN" else word for word in arguments))
    assert (done.code, done.out) == (2, "")
    assert words.replace("RUN", str(small_run)) in done.err
    assert len(done.err.splitlines()) == 1


def test_readers_of_decisions_say_what_a_run_of_interacting_models_is(small_run: Path) -> None:
    with pytest.raises(UserError, match="is a run of interacting models, not of response ratios; see their"):
        read_ratios(small_run)
    with pytest.raises(UserError, match="is a run of interacting models, not of decisions"):
        read_decisions(small_run)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("stand_in", "; the models answer by themselves, no backend is asked"),
        ("memory", "; tokens in are estimated from steps 0 to 2 on the mock backend, tokens out are a bound"),
    ],
)
def test_check_says_how_it_counted(command: Command, tmp_path: Path, rule: str, words: str) -> None:
    (tmp_path / "design.py").write_text(DESIGN)
    done = command("check", tmp_path / "design.py", "--update", rule, "--json", "-S", "topology=local")
    assert json.loads(done.out)["how"] == f"answers are counted from who may interview whom{words}"
