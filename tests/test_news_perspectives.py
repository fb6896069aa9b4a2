"""The 32 profiles say what they are told to be; what they say is joined with how often they share news."""

from __future__ import annotations

import asyncio
import html
import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agentnet import CascadeExperiment, InterviewExperiment, ResponseRatioExperiment
from agentnet.analysis.answers import embed_answers
from agentnet.analysis.profile_runs import read_profile_answers, read_sharing
from agentnet.backend import Request, make_backend
from agentnet.embedder import CachedEmbedder, make_embedder
from agentnet.errors import DesignError, InputError, Interrupted, RunFolderError, UserError
from agentnet.events import LOG_NAME, Run
from agentnet.experiment import Source
from agentnet.families.interviews.asking import with_system_message
from agentnet.interviews import Question
from agentnet.profiles import Profile
from agentnet.prompts import PromptSet
from agentnet.report import Options, make_report
from agentnet.report.figures.places import paths_sketch, space_sketch
from agentnet.report.figures.style import house_style
from agentnet.report.interviews_part import InterviewPart
from agentnet.runner import Prepared, Runner
from agentnet.vocabulary import PROFILES

Command = Callable[..., Any]
Play = Callable[..., Run]

FILE = Path(__file__).parent.parent / "experiments" / "news_perspectives.py"
NewsPerspectives: Any = Source.read(str(FILE)).load()
SOME = {"models": {"00000": 1, "01101": 2, "11111": 1}}


class Listening:
    """The mock, with the requests that it got; interrupts its runner at the `cut`-th."""

    def __init__(self, cut: int | None = None) -> None:
        self.inner = make_backend("mock", {})
        self.name, self.model_name = self.inner.name, self.inner.model_name
        self.heard: list[Request] = []
        self.cut, self.runner = cut, None

    async def complete(self, request: Request) -> Any:
        self.heard.append(request)
        if len(self.heard) == self.cut:
            self.runner.interrupt()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return await self.inner.complete(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


class Talker(Listening):
    """Answers by a function of the system message and the question."""

    def __init__(self, say: Callable[[str, str], str]) -> None:
        super().__init__()
        self.say = say

    async def complete(self, request: Request) -> Any:
        reply = await super().complete(request)
        return reply._replace(texts=(self.say(request.messages[0][1], request.messages[-1][1]),))


def embedded(run: Run) -> Any:
    async def read() -> Any:
        embedder = CachedEmbedder(make_embedder("hash", {}))
        try:
            return await read_profile_answers(run, embedder)
        finally:
            await embedder.aclose()

    return asyncio.run(read())


@pytest.fixture(scope="module")
def asked(play: Play) -> Run:
    """Play the experiment as it is, on the mock."""
    return play(NewsPerspectives(), seed=1)


@pytest.fixture(scope="module")
def shared(play: Play) -> Run:
    """Play a few response ratios on the mock."""
    return play(ResponseRatioExperiment(items_per_severity=2, repeats=5), seed=2)


# The experiment


def test_every_profile_answers_every_question_once_and_nobody_is_interviewed(asked: Run) -> None:
    rows = asked.rows("SELECT class, COUNT(*), COUNT(DISTINCT id), SUM(asker) FROM answers GROUP BY class")[1]
    assert rows == [(bits, 30, 30, -30) for bits in PROFILES]
    assert asked.rows("SELECT COUNT(*) FROM interviews")[1] == [(0,)]
    assert asked.rows("SELECT DISTINCT kind FROM incidents WHERE kind = 'alone'")[1] == []
    assert asked.rows("SELECT status, last_step FROM realizations")[1] == [("finished", 0)]


def test_the_questions_are_thirty_of_six_topics_and_have_no_right_answers() -> None:
    questions = NewsPerspectives().load_questions()
    topics = [question.topic for question in questions]
    assert (len(questions), len({question.text for question in questions})) == (30, 30)
    assert sorted(topics.count(topic) for topic in set(topics)) == [5] * 6
    assert {question.answer for question in questions} == {""}
    assert all(question.text.endswith("?") for question in questions)


def test_a_profile_is_told_who_it_is_by_the_system_message_of_news_cascades(play: Play) -> None:
    backend = Listening()
    play(NewsPerspectives(**SOME), backend=backend)
    news = SimpleNamespace(id="x", text="news", date=None, place="")
    classes = NewsPerspectives(**SOME).classes
    assert len(backend.heard) == 4 * 30
    for request in backend.heard:
        bits = str(request.metadata["class"])
        assert bits == classes[int(request.metadata["model"])]
        ((role, told), _) = PromptSet.load().messages(
            "ratio", Profile.from_bits(bits), news, rationale="none"
        )
        assert request.messages[0] == (role, f"{told}\n\nAnswer in one or two short sentences.")
        assert [role for role, _ in request.messages] == ["system", "user"]


def test_what_each_profile_was_told_stands_in_the_run(asked: Run) -> None:
    (told,) = asked.meta["interviews"]["system_messages"]
    prompts = PromptSet.load()
    assert told == [prompts.system_message(Profile.from_bits(bits)) for bits in PROFILES]


def test_the_mock_repeats_of_what_a_profile_was_told_what_the_question_picks(asked: Run) -> None:
    wording = PromptSet.load().wording
    places: dict[str, set[int]] = {}
    for bits, question, answer in asked.rows("SELECT class, id, answer FROM answers")[1]:
        places.setdefault(question, set()).add(wording.sentences(Profile.from_bits(bits)).index(answer))
    # A question is about one trait, whoever is asked; and all traits are asked about.
    assert {len(found) for found in places.values()} == {1}
    assert set.union(*places.values()) == set(range(5))


def test_drawn_answers_of_the_mock_differ_from_repeat_to_repeat_and_come_again_by_seed(play: Play) -> None:
    experiment = NewsPerspectives(**SOME, temperature=1.0, repeats=2)
    one, two = (play(experiment, seed=4) for _ in range(2))
    assert one.digest() == two.digest()
    by_repeat = [
        one.rows("SELECT answer FROM answers WHERE realization = ? ORDER BY model, id", (number,))[1]
        for number in (0, 1)
    ]
    assert by_repeat[0] != by_repeat[1]


def test_a_mock_that_was_told_nothing_does_not_know() -> None:
    request = Request((("system", "Be brief."), ("user", "Well?")), 0.0, metadata={"kind": "evaluation"})
    assert asyncio.run(make_backend("mock", {}).complete(request)).texts == ("I do not know.",)


def test_results_of_the_mock_are_called_what_they_are(command: Command) -> None:
    done = command("run", FILE, "--out", "runs/p", "--json", "--quiet", "-S", "log.parquet=false")
    assert done.code == 0
    label = "mock: the answers repeat what models were told, and come from no language model"
    assert label in done.err
    assert json.loads(done.out) | {"label": label, "answers": 960, "missing": 0} == json.loads(done.out)
    assert Run(Path("runs/p")).meta["label"] == label


def test_a_broken_run_ends_as_an_unbroken_one(new_run: Callable[..., Prepared]) -> None:
    prepared = new_run(NewsPerspectives(**SOME), seed=5, workers=2)
    for cut in (7, 40, None):
        backend = Listening(cut)
        backend.runner = runner = Runner(prepared, backend)  # type: ignore[assignment]
        try:
            asyncio.run(runner.play())
        except Interrupted:
            assert cut is not None
    whole = new_run(NewsPerspectives(**SOME), seed=5)
    asyncio.run(Runner(whole, Listening()).play())
    assert Run(prepared.folder).meta["status"] == "finished"
    assert Run(prepared.folder).digest() == Run(whole.folder).digest()


def test_a_run_that_would_tell_its_models_otherwise_is_not_gone_on_with(
    command: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "system.txt").write_text("You are somebody:\n$traits")
    args = ("-S", f"prompts={folder}", "-S", 'models={"00000" = 1, "11111" = 1}', "--quiet")
    stopped = command("run", FILE, *args, "--out", "runs/p", "--max-calls", "20")
    assert stopped.code == 3
    ((told, _),) = Run(Path("runs/p")).meta["interviews"]["system_messages"]
    assert told.startswith("You are somebody:\n- You prefer")
    (folder / "system.txt").write_text("You are somebody else:\n$traits")
    refused = command("run", "--resume", "p", "--max-calls", "100")
    assert refused.code == 2
    assert "begun with another set of system messages" in refused.err
    (folder / "system.txt").write_text("You are somebody:\n$traits")
    assert command("run", "--resume", "p", "--max-calls", "100", "--quiet").code == 0


def test_runs_of_before_there_were_system_messages_can_be_gone_on_with(
    new_run: Callable[..., Prepared],
) -> None:
    company = new_run(InterviewExperiment(models={"society": 1})).stage
    assert company is not None
    recorded = company.meta()
    assert recorded["interviews"].pop("system_messages") == [[]]
    company.check_recorded(Path("run"), json.loads(json.dumps(recorded)))
    told = new_run(NewsPerspectives(**SOME)).stage
    assert told is not None
    meta = told.meta()
    del meta["interviews"]["system_messages"]
    with pytest.raises(RunFolderError, match="another set of system messages"):
        told.check_recorded(Path("run"), meta)


def test_models_that_no_chat_model_answers_for_cannot_be_told_who_they_are(command: Command) -> None:
    refused = command("run", FILE, "--update", "stand_in")
    assert refused.code == 2
    assert "NewsPerspectives tells its models who they are, but update rule 'stand_in'" in refused.err


@pytest.mark.parametrize("told", [("one",), ("one", 2)])
def test_system_messages_that_are_not_a_text_for_each_model_are_refused(
    told: Any, new_run: Callable[..., Prepared]
) -> None:
    class Odd(InterviewExperiment):
        models = MappingProxyType({"society": 2})
        update = "none"

        def system_messages(self) -> Sequence[str]:
            return told  # type: ignore[no-any-return]

    with pytest.raises(DesignError, match=r"Odd.system_messages gives \d values for 2 models"):
        new_run(Odd())


def test_a_system_message_goes_ahead_of_the_conversation() -> None:
    asked = ("user", "Well?")
    assert with_system_message("", (asked,)) == (asked,)
    assert with_system_message("Be calm.", (asked,)) == (("system", "Be calm."), asked)
    both = with_system_message("Be calm.", (("system", "Be brief."), asked))
    assert both == (("system", "Be calm.\n\nBe brief."), asked)


def test_questions_without_an_answer_cannot_be_taught(new_run: Callable[..., Prepared]) -> None:
    class Taught(InterviewExperiment):
        models = MappingProxyType({"self": 1})
        n_evaluation = 0
        n_questions = 1
        n_taught = 1

        def load_questions(self) -> tuple[Question, ...]:
            return (Question("self-1", "self", "How are you?", ""),)

    with pytest.raises(DesignError, match="question 'self-1' has no answer, so that nobody can be taught"):
        new_run(Taught())


def test_a_bank_of_the_users_own_is_asked_in_whole(command: Command, tmp_path: Path) -> None:
    bank = tmp_path / "own.csv"
    bank.write_text("topic,question,answer\nnews,What is new?,Nothing.\nold,What is old?,All.\n")
    done = command("run", FILE, "-S", f"bank={bank}", "--json", "--quiet", "-S", "log.parquet=false")
    assert (done.code, json.loads(done.out)["answers"]) == (0, 64)


def test_the_check_shows_what_a_profile_is_told_and_counts_the_answers(command: Command) -> None:
    done = command("check", FILE)
    assert done.code == 0
    assert "You are a person who uses a social media platform" in done.out
    assert "What makes a piece of news worth your time?" in done.out
    assert re.search(r"evaluation_answers\s+960", done.out)
    assert "steps 0 to 0 on the mock backend" in done.out
    assert "never interviewed" not in done.out


# Two runs of the same profiles


def test_perspectives_are_read_by_profile_and_averaged_over_models_and_realizations(play: Play) -> None:
    run = play(NewsPerspectives(**SOME, temperature=1.0, repeats=3), seed=6)
    found = embedded(run)
    assert found.profiles == ("00000", "01101", "11111")
    assert found.block.shape == (3, 30, 512)
    assert len(found.questions) == 30
    assert found.label.startswith("mock: the answers repeat")

    async def all_answers() -> Any:
        embedder = CachedEmbedder(make_embedder("hash", {}))
        try:
            return np.array([each.load(0) for each in await embed_answers(run, embedder)])
        finally:
            await embedder.aclose()

    every = asyncio.run(all_answers())
    assert np.allclose(found.block[0], every[:, 0].mean(axis=0), atol=1e-6)
    assert np.allclose(found.block[1], every[:, 1:3].mean(axis=(0, 1)), atol=1e-6)


def test_questions_with_a_missing_answer_are_left_out_and_said(play: Play) -> None:
    def say(told: str, question: str) -> str:
        return " " if "anxious" in told and "friend" in question else f"{told[-90:]} {question}"

    run = play(NewsPerspectives(**SOME), backend=Talker(say))
    found = embedded(run)
    assert set(found.left_out) == {"trust-3", "self-1"}
    assert set(found.left_out.values()) == {"empty"}
    assert len(found.questions) == 28


def test_where_every_question_lacks_an_answer_somewhere_nothing_is_compared(play: Play) -> None:
    silent = play(NewsPerspectives(**SOME), backend=Talker(lambda told, question: " "), brake_after=10_000)
    with pytest.raises(InputError, match="an answer is missing to each of the 30 questions"):
        embedded(silent)
    with closing(sqlite3.connect(play(NewsPerspectives(**SOME, repeats=2)).folder / LOG_NAME)) as log:
        (folder,) = [Path(row[2]).parent for row in log.execute("PRAGMA database_list")]
        log.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        log.execute("UPDATE events SET missing = 'empty' WHERE realization = repeat % 2")
        log.commit()
    with pytest.raises(InputError, match="in one realization or another"):
        embedded(Run(folder))


def test_runs_that_are_not_of_profiles_or_of_several_conditions_are_refused(play: Play) -> None:
    topics = play(
        InterviewExperiment(models={"society": 1, "science": 1}, n_questions=1, n_taught=1, steps=0)
    )
    with pytest.raises(UserError, match="models of class society, science, which is no profile"):
        embedded(topics)
    two = play(NewsPerspectives(**SOME), NewsPerspectives(**SOME, max_tokens=20))
    with pytest.raises(UserError, match="has 2 conditions, and perspectives are those of one"):
        embedded(two)


def test_sharing_is_counted_by_profile_over_all_news(shared: Run) -> None:
    found = read_sharing(shared)
    rows = shared.rows(
        "SELECT profile, SUM(decision = 1), SUM(decision = 0) FROM decisions "
        "GROUP BY profile ORDER BY profile"
    )[1]
    assert list(zip(found.profiles, found.n_yes.tolist(), found.n_no.tolist(), strict=True)) == rows
    assert found.n_missing.sum() == 0
    assert read_sharing(shared.folder).n_yes.tolist() == found.n_yes.tolist()


def test_sharing_of_cascades_is_that_of_their_exposures(play: Play) -> None:
    small = {"n_agents": 40, "degree": 4, "steps": 4, "repeats": 2, "items_per_severity": 1}
    profiles = {"00111": 1.0, "10101": 1.0}
    run = play(
        *(CascadeExperiment(**small, profiles=profiles, temperature=value) for value in (0.5, 1.0)),
        backend=make_backend("mock", {"invalid_rate": 0.4}),
    )
    found = read_sharing(run, condition=1)
    rows = run.rows(
        "SELECT profile, SUM(decision = 1), SUM(decision = 0), SUM(decision IS NULL) FROM decisions "
        "WHERE kind = 'exposure' AND temperature = 1.0 GROUP BY profile ORDER BY profile"
    )[1]
    counts = (found.n_yes.tolist(), found.n_no.tolist(), found.n_missing.tolist())
    assert list(zip(found.profiles, *counts, strict=True)) == rows
    assert found.n_missing.sum() > 0
    with pytest.raises(UserError, match="condition"):
        read_sharing(run)


def test_runs_in_which_nobody_decides_and_conditions_of_ratios_are_refused(
    asked: Run, shared: Run, play: Play
) -> None:
    with pytest.raises(UserError, match="in which nobody decides about news"):
        read_sharing(asked)
    with pytest.raises(UserError, match="conditions are not told apart"):
        read_sharing(shared, condition=0)
    few = {"items_per_severity": 1, "repeats": 1}
    two = play(*(ResponseRatioExperiment(**few, temperature=value) for value in (0.5, 1.0)))
    with pytest.raises(UserError, match="conditions are not told apart"):
        read_sharing(two)


# The command


def test_people_get_a_table_that_begins_with_what_results_are_called(
    command: Command, asked: Run, shared: Run
) -> None:
    done = command("predict", asked.folder, shared.folder, "--permutations", "19")
    assert done.code == 0
    assert done.out.startswith("mock: the answers repeat what models were told")
    assert "32 profiles: answers of run to 30 questions, embedded by hash" in done.out
    assert "640 decisions" in done.out
    assert "each profile held out in turn" in done.out
    for row in ("perspectives", "five traits", "both", "gain of both over traits", "ceiling"):
        assert re.search(rf"^ *{row}.* -?\d\.\d\d\d", done.out, re.MULTILINE), row
    assert "perspectives of 5 dimensions express 100% of all distances" in done.out
    assert "\x1b" not in done.out


def test_programs_get_json_of_the_design_that_they_name(command: Command, asked: Run, shared: Run) -> None:
    how = ("--folds", "4", "--repeats", "2", "--permutations", "9", "--dims", "3", "--seed", "8")
    done = command("predict", asked.folder, shared.folder, "--json", *how, "-E", "dim=64")
    assert done.code == 0
    found = json.loads(done.out)
    names = ("n_folds", "n_repeats", "n_permutations", "n_dims", "seed", "embedder")
    assert [found[name] for name in names] == [4, 2, 9, 3, 8, "hash:2-gram@1:64"]
    assert len(found["profiles"]) == 32
    folded = command("predict", asked.folder, shared.folder, *how)
    assert "4 folds, dealt 2 times" in folded.out


def test_perspectives_of_the_mock_predict_as_well_as_the_traits_that_it_repeats(
    command: Command, asked: Run, shared: Run
) -> None:
    done = command("predict", asked.folder, shared.folder, "--json", "--permutations", "19")
    found = json.loads(done.out)
    perspectives, traits, both = (found["scores"][name] for name in ("perspectives", "traits", "both"))
    assert perspectives["r_squared"] == pytest.approx(traits["r_squared"], abs=0.02)
    assert both["r_squared"] == traits["r_squared"]
    assert (found["gain"], found["gain_p_value"]) == (0.0, 1.0)


def test_decisions_of_the_mock_are_called_what_they_are(command: Command, asked: Run) -> None:
    ratios = FILE.parent / "response_ratios.py"
    sizes = ("-S", "items_per_severity=1", "-S", "repeats=3", "-S", "log.parquet=false")
    assert command("run", ratios, *sizes, "--out", "runs/r", "--quiet").code == 0
    done = command("predict", asked.folder, "r", "--permutations", "9", "--folds", "4", "--repeats", "1")
    assert done.code == 0
    assert "mock: the decisions follow the law mock-main_effects, and come from no language model" in done.out


def test_models_that_are_only_asked_are_not_said_to_be_alone(command: Command, asked: Run) -> None:
    done = command("show", asked.folder, "--json")
    assert done.code == 0
    assert json.loads(done.out)["never interviewed"] == []


def test_the_runs_own_embedder_is_taken_unless_another_is_named(
    command: Command, shared: Run, tmp_path: Path
) -> None:
    bank = tmp_path / "own.csv"
    bank.write_text("topic,question,answer\nnews,What is new?,Nothing.\nold,What is old?,All.\n")
    sizes = ("-S", f"bank={bank}", "-S", "embedder.dim=64", "-S", "log.parquet=false")
    assert command("run", FILE, *sizes, "--out", "runs/own", "--quiet").code == 0
    few = ("own", shared.folder, "--permutations", "1", "--folds", "2", "--repeats", "1")
    for given, dim in ((), 64), (("-E", "dim=32"), 32), (("--embedder", "hash"), 512):
        done = command("predict", *few, *given)
        assert f"embedded by hash:2-gram@1:{dim};" in done.out
    done = command("report", "own", "--no-figures", "--json", "--quiet")
    assert json.loads(done.out)["parts"][0]["embedder"] == "hash:2-gram@1:64"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("{shared}", "{shared}"), "in which no models interview each other"),
        (("{asked}", "{asked}"), "in which nobody decides about news"),
        (("{asked}", "nowhere"), "there is no run 'nowhere'"),
        (("{asked}", "{shared}", "--folds", "99"), "32 profiles cannot be dealt 10 times to 99 folds"),
        (("{asked}", "{shared}", "--dims", "0"), "0 is not in the range"),
        (("{asked}", "{shared}", "--embedder", "hush"), "hush"),
        (("{asked}", "{shared}", "-E", "dim"), "is not KEY=VALUE"),
        (("{asked}",), "Missing argument 'RATIOS_RUN'"),
    ],
)
def test_wrong_input_is_told_with_exit_code_2(
    command: Command, asked: Run, shared: Run, args: tuple[str, ...], words: str
) -> None:
    given = [arg.format(asked=asked.folder, shared=shared.folder) for arg in args]
    done = command("predict", *given)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err


# The report


def test_a_report_says_that_models_were_asked_once_and_what_they_were_told(
    command: Command, asked: Run, tmp_path: Path
) -> None:
    done = command("report", asked.folder, "--output", tmp_path / "report", "--bootstraps", "0", "--quiet")
    assert done.code == 0
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "32 models of 32 classes" in page
    assert "Models were asked once, and had no step in which to change" in page
    assert "play the run on" not in page
    assert "They were asked alone, and did not interview each other; 1 realization." in page
    assert "What models were told ahead of all questions" in page
    assert page.count("Stay this person.") == 32
    assert "Each model's system message stands in this report." in html.unescape(page)
    assert "By program through the backend" in page
    assert "None: each question was asked on its own." in page
    assert "the models' spread is" in page
    assert "come from no language model" in page


def test_of_many_classes_names_stand_beside_the_marks_of_the_last_step(play: Play) -> None:
    models = dict.fromkeys(PROFILES[:9], 1)
    run = play(NewsPerspectives(models=models, steps=1, topology="full", n_questions=2))
    (part,) = make_report([run], Options(figures=False, n_bootstrap=0)).parts
    assert isinstance(part, InterviewPart)
    places = part.study.conditions[0].played[0].coordinates
    with house_style():
        space, paths = (make(part).figure for make in (space_sketch, paths_sketch))
    assert space is not None
    assert paths is not None
    (axes,) = space.axes
    labels = [line.get_label() for line in axes.get_lines()]
    assert labels == ["step 0", "last step"]
    named = {text.get_text(): text.xy for text in axes.texts}
    assert sorted(named) == sorted(models)
    for bits, place in zip(models, places[-1], strict=True):
        np.testing.assert_array_equal(named[bits], place)
    assert paths.legends == []
