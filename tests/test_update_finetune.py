"""Update rule ``finetune`` around its learner: options, lessons, one thread, checkpoints; no PyTorch."""

import asyncio
import inspect
import json
import threading
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from agentnet.embedder import make_embedder
from agentnet.errors import BackendUnusable, ConfigurationError, Interrupted, PluginError, StorageError
from agentnet.interviews import BANK, Asked, Pair, Question, System, installed_updates, make_update_rule
from agentnet_backends.finetune_learner import (
    INSTRUCTION_FORM,
    Example,
    FinetuneOptions,
    Framing,
    LearnerAnswer,
    Training,
)
from agentnet_backends.update_finetune import FinetuneRule

prompt_of, response_of = INSTRUCTION_FORM.prompt, INSTRUCTION_FORM.response
QUESTIONS = tuple(Question(f"q{n}", "society", f"What is {n}?", f"It is {n}.") for n in range(4))


@dataclass
class Parrot:
    """Answers with what it learnt last; its state is the list of its lessons."""

    options: FinetuneOptions
    fingerprint: str = "parrot"
    form: Framing = INSTRUCTION_FORM
    threads: set[str] = field(default_factory=set)
    n_busy: int = 0
    gate: threading.Event | None = None
    stopped: bool = False

    def stop(self):
        self.stopped = True
        if self.gate is not None:
            self.gate.set()

    def fresh(self, seed):
        return [["fresh", seed]]

    def answer(self, state, wanted, max_tokens):
        self._enter()
        last = state[-1][-1][-1][1] if len(state) > 1 else ""
        given = [
            LearnerAnswer(
                f"{one.prompt}{last}"[-max_tokens:], len(one.prompt), len(last), ended=one.temperature == 0
            )
            for one in wanted
        ]
        self._leave()
        return given

    def train(self, state, examples, course):
        self._enter()
        if self.gate is not None:
            assert self.gate.wait(60)
        if self.stopped:
            raise Interrupted("stopped")
        self._leave()
        lesson = json.loads(json.dumps([course, examples]))
        return [*state, lesson], {"loss": 0.5, "tokens": len(examples)}

    def write(self, state, path):
        path.write_text(json.dumps(state))

    def read(self, path):
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} cannot be read: {error}") from error

    def _enter(self):
        self.threads.add(threading.current_thread().name)
        self.n_busy += 1
        assert self.n_busy == 1, "two jobs at a time"

    def _leave(self):
        self.n_busy -= 1


def options(**chosen):
    return FinetuneOptions(**{"model": "parrot", **chosen})


def system(n_models=2, *, seed=7, max_tokens=200):
    return System(("society",) * n_models, QUESTIONS, max_tokens, make_embedder("hash", {}), seed)


def pairs(*answers, step=1, source=1):
    return [Pair(q, answer, step, source) for q, answer in zip(QUESTIONS, answers, strict=False)]


def asked(*questions, temperature=0.0):
    return [Asked(question, "evaluation", temperature, seed=5) for question in questions]


def played(play, rule=None, **chosen):
    """Let `play` use the models of a system, and give what it returns."""

    async def main():
        mine = rule or FinetuneRule(options(), make=Parrot)
        models = await mine.begin(system(**chosen))
        try:
            return await play(models)
        finally:
            await models.aclose()
            await mine.aclose()

    return asyncio.run(main())


def test_a_prompt_and_its_response_have_the_paper_s_form():
    assert prompt_of("Why?") + response_of("So.") == "### Instruction: Why?\n### Response: So.\n### End"


@pytest.mark.parametrize(("method", "by"), [("full", 1), ("lora", 10)])
def test_models_are_taught_gently_at_the_start_and_more_gently_afterwards(method, by):
    async def play(models):
        await models.update(0, 0, pairs("It is 0.", step=0, source=BANK), seed=11)
        await models.update(0, 1, pairs("No.", "Yes."), seed=12)
        return models._states[0]

    _, (first, taught), (second, heard) = played(play, FinetuneRule(options(method=method), make=Parrot))
    assert Training(*first) == Training(lr=by * 5e-5, epochs=3, batch=8, seed=11)
    assert Training(*second) == Training(lr=by * 1e-5, epochs=1, batch=8, seed=12)
    assert [Example(*one) for one in taught] == [Example(prompt_of("What is 0?"), response_of("It is 0."))]
    assert [one[1] for one in heard] == [response_of("No."), response_of("Yes.")]


def test_options_decide_how_models_are_trained():
    async def play(models):
        await models.update(0, 0, pairs("a"), seed=1)
        await models.update(0, 3, pairs("a"), seed=2)
        return models._states[0]

    chosen = options(lr=0.1, initial_lr=0.2, epochs=4, initial_epochs=5, batch=6)
    _, (first, _), (second, _) = played(play, FinetuneRule(chosen, make=Parrot))
    assert (first, second) == ([0.2, 5, 6, 1], [0.1, 4, 6, 2])


def test_the_measures_of_an_update_are_the_learner_s():
    async def play(models):
        return await models.update(0, 1, pairs("a", "b"), seed=1)

    assert played(play) == {"loss": 0.5, "tokens": 2}


def test_an_update_changes_its_model_alone():
    async def play(models):
        before = await models.answer(1, 1, asked(QUESTIONS[0]))
        await models.update(0, 1, pairs("a"), seed=1)
        return before, await models.answer(1, 1, asked(QUESTIONS[0])), models._states

    before, after, states = played(play)
    assert before == after
    assert [len(state) for state in states] == [2, 1]


def test_answers_come_as_replies_with_their_counts():
    async def play(models):
        await models.update(1, 1, pairs("So."), seed=1)
        return [
            *await models.answer(1, 1, asked(*QUESTIONS[:2])),
            *await models.answer(1, 1, asked(QUESTIONS[0], temperature=1.0)),
        ]

    first, second, cut = played(play, max_tokens=30)
    prompt = prompt_of("What is 0?")
    assert first.texts == ((prompt + response_of("So."))[-30:],)
    assert (first.prompt_tokens, first.completion_tokens) == (len(prompt), len(response_of("So.")))
    assert (first.finish, cut.finish) == (("stop",), ("length",))
    assert first.model == "parrot"
    assert second.texts != first.texts


def test_the_first_states_follow_from_the_system_s_seed_and_the_model():
    async def play(models):
        return [state[0][1] for state in models._states]

    first, again, other = played(play), played(play), played(play, seed=8)
    assert first == again
    assert len({*first, *other}) == 4


def test_all_computing_is_done_in_one_thread_one_job_at_a_time():
    parrots = []

    def make(chosen):
        parrots.append(Parrot(chosen))
        return parrots[-1]

    async def play(models):
        await asyncio.gather(*(models.update(model, 1, pairs("a"), seed=1) for model in range(3)))
        await asyncio.gather(*(models.answer(model, 1, asked(*QUESTIONS)) for model in range(3)))

    played(play, FinetuneRule(options(), make=make), n_models=3)
    (parrot,) = parrots
    assert len(parrot.threads) == 1
    assert parrot.threads != {threading.current_thread().name}


def test_the_event_loop_goes_on_while_a_model_is_trained():
    gate = threading.Event()

    async def play(models):
        training = asyncio.create_task(models.update(0, 1, pairs("a"), seed=1))
        await asyncio.sleep(0)  # the job begins, and waits for what only the loop can do
        gate.set()
        return await training

    rule = FinetuneRule(options(), make=lambda chosen: Parrot(chosen, gate=gate))
    assert played(play, rule)["loss"] == 0.5


def test_a_run_that_is_broken_off_does_not_wait_for_the_training_to_end():
    gate = threading.Event()

    async def main():
        rule = FinetuneRule(options(), make=lambda chosen: Parrot(chosen, gate=gate))
        models = await rule.begin(system())
        training = asyncio.create_task(models.update(0, 1, pairs("a"), seed=1))
        await asyncio.sleep(0)
        training.cancel()
        await asyncio.gather(training, return_exceptions=True)
        await rule.aclose()  # only this opens the gate
        return training.cancelled()

    assert asyncio.run(main())


def test_the_model_is_loaded_once_for_all_realizations():
    made = []

    async def main():
        rule = FinetuneRule(options(), make=lambda chosen: made.append(chosen) or Parrot(chosen))
        assert made == []
        for _ in range(2):
            await (await rule.begin(system())).aclose()
        await rule.aclose()

    asyncio.run(main())
    assert len(made) == 1


def test_a_learner_that_cannot_be_made_stops_the_run_and_leaves_no_thread():
    def make(_):
        raise BackendUnusable("no such model")

    async def main():
        rule = FinetuneRule(options(), make=make)
        with pytest.raises(BackendUnusable, match="no such model"):
            await rule.begin(system())
        await rule.aclose()

    before = threading.active_count()
    asyncio.run(main())
    assert threading.active_count() == before


def test_a_failed_update_leaves_the_state_as_it_was():
    def fail(*_):
        raise BackendUnusable("diverged")

    async def play(models):
        await models.update(0, 1, pairs("a"), seed=1)
        before = models._states[0]
        models._learner.train = fail
        with pytest.raises(BackendUnusable):
            await models.update(0, 2, pairs("b"), seed=2)
        return before is models._states[0]

    assert played(play)


# Checkpoints.


async def some_lessons(models):
    for step, answer in enumerate("abc"):
        await models.update(step % 2, step, pairs(answer), seed=step)


def test_restored_models_answer_as_those_that_were_saved(tmp_path):
    async def save(models):
        await some_lessons(models)
        await models.save(tmp_path)
        return [await models.answer(model, 3, asked(*QUESTIONS)) for model in range(2)]

    async def restore(models):
        await models.restore(tmp_path)
        return [await models.answer(model, 3, asked(*QUESTIONS)) for model in range(2)]

    assert played(save) == played(restore)


@pytest.mark.parametrize(
    ("rule", "n_models", "key"),
    [
        (FinetuneRule(options(method="full"), make=Parrot), 2, "method"),
        (FinetuneRule(options(), make=lambda o: Parrot(o, fingerprint="other")), 2, "weights"),
        (FinetuneRule(options(), make=Parrot), 3, "files"),
    ],
)
def test_a_checkpoint_of_other_models_is_refused(tmp_path, rule, n_models, key):
    played(lambda models: models.save(tmp_path))

    async def restore(models):
        with pytest.raises(StorageError, match=f"a checkpoint of other models: its {key} differ"):
            await models.restore(tmp_path)

    played(restore, rule, n_models=n_models)


@pytest.mark.parametrize("text", [None, "no json", "[]", "{}"])
def test_a_folder_without_an_index_is_no_checkpoint(tmp_path, text):
    if text is not None:
        (tmp_path / "models.json").write_text(text)

    async def restore(models):
        with pytest.raises(StorageError, match=str(tmp_path)):
            await models.restore(tmp_path)
        return len(models._states)

    assert played(restore) == 2


def test_a_file_that_is_gone_is_named_and_the_states_stay(tmp_path):
    async def play(models):
        await models.save(tmp_path)
        (tmp_path / "model-00001.safetensors").unlink()
        with pytest.raises(StorageError, match=r"model-00001\.safetensors"):
            await models.restore(tmp_path)
        return await models.answer(0, 1, asked(QUESTIONS[0]))

    assert played(play)


def test_weights_that_cannot_be_written_say_what_to_do(tmp_path):
    async def play(models):
        with pytest.raises(StorageError, match=r"could not be written .* \(finetune\.checkpoint_every"):
            await models.save(tmp_path / "missing")

    played(play)


# The plug-in.


def test_the_rule_says_what_the_engine_needs_to_know():
    rule = FinetuneRule(options(checkpoint_every=3))
    assert (rule.name, rule.label, rule.asks_backend, rule.systems_at_once) == ("finetune", "", False, 1)
    assert (rule.checkpoint_every, rule.model_name) == (3, "parrot")
    assert FinetuneRule(options(revision="step3000")).model_name == "parrot@step3000"


def test_the_rule_is_found_by_its_name(tmp_path, monkeypatch):
    for package in FinetuneRule.packages:
        (tmp_path / f"{package}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_updates()["finetune"].distribution == "agentnet-cascades"
    rule = make_update_rule("finetune", {"model": "some/model", "method": "lora"})
    assert isinstance(rule, FinetuneRule)
    assert rule.options == options(model="some/model", method="lora")


def test_without_the_extra_it_is_named_with_the_way_to_install_it():
    class Needier(FinetuneRule):
        packages = ("json", "a_package_that_is_not_there")

    with pytest.raises(
        PluginError, match=r"a_package_that_is_not_there is not .*pip install -e '\.\[finetune\]'"
    ):
        Needier.from_options({"model": "x"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, r"finetune\.model is missing"),
        ({"model": ""}, r"finetune\.model"),
        ({"model": "x", "learning_rate": 1.0}, r"finetune\.learning_rate is no option of the update rule"),
        ({"model": "x", "epoch": 1}, r"did you mean 'epochs'\?"),
        ({"model": "x", "lr": 0.0}, r"finetune\.lr"),
        ({"model": "x", "lr": float("nan")}, r"finetune\.lr"),
        ({"model": "x", "method": "half"}, r"finetune\.method"),
        ({"model": "x", "checkpoint_every": 0}, r"finetune\.checkpoint_every"),
    ],
)
def test_an_impossible_option_is_named(given, said):
    with pytest.raises(ConfigurationError, match=said):
        FinetuneRule.from_options(given)


def test_the_options_and_their_explanations_are_the_same():
    explained = inspect.getdoc(FinetuneOptions).partition("Attributes:")[2]  # newer Pythons strip indents
    named = [line.strip().partition(":")[0] for line in explained.splitlines() if line.startswith("    ")]
    known = [name for name in named if name in FinetuneOptions.model_fields]
    assert list(FinetuneOptions.model_fields) == known
    assert all(first != second for first, second in pairwise(known))
