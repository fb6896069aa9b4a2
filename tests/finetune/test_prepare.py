"""How a raw base is taught to answer, and which models need it not; ``make test-finetune`` runs this."""

from __future__ import annotations

import json
import os
import shutil

import pytest

if not os.environ.get("AGENTNET_TEST_FINETUNE"):
    pytest.skip(
        "AGENTNET_TEST_FINETUNE is not set: no base model is prepared with PyTorch here; see make "
        "test-finetune",
        allow_module_level=True,
    )

import torch

from agentnet.errors import BackendUnusable, StorageError
from agentnet.interviews.bank import load_bank
from agentnet.interviews.instructions import Instruction, Tuning
from agentnet_backends.finetune_learner import (
    INSTRUCTION_FORM,
    MARKS,
    Example,
    FinetuneOptions,
    Framing,
    Training,
    WantedAnswer,
)
from agentnet_backends.finetune_torch import TorchLearner
from agentnet_backends.finetune_torch_load import framing_of, pretrained
from agentnet_backends.finetune_torch_prepare import add_marks, prepare

BANK = load_bank()[:12]
TAUGHT = [Instruction(question.text, question.answer) for question in BANK]
TUNING = Tuning(epochs=4, lr=3e-3, batch=4, seed=2, checkpoint_every=5)  # 12 steps
FACTS = {"data": "bank", "data_sha256": "0"}
CHATML = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def options(folder, **chosen):
    return FinetuneOptions(model=str(folder), threads=1, **chosen)


def asked(learner, state, n_tokens=40):
    wanted = [WantedAnswer(learner.form.prompt(each.text), 0.0, 1) for each in TAUGHT]
    return [(answer.text, answer.ended) for answer in learner.answer(state, wanted, n_tokens)]


@pytest.fixture(scope="module")
def base(make_tiny):
    return make_tiny("base", marks_are_tokens=False)


@pytest.fixture
def prepared(base, tmp_path):
    """Give the function that prepares a model, and what it told."""

    def call(name="model", *, model=base, tuning=TUNING, taught=TAUGHT, stop_at=None):
        told = []

        def tell(step, n_steps, loss):
            told.append(step)
            if step == stop_at:
                raise KeyboardInterrupt

        card = prepare(options(model), taught, tuning, tmp_path / name, FACTS, tell)
        return tmp_path / name, card, told

    return call


# Which models answer questions.


def test_a_raw_base_is_refused_with_the_way_out_unless_it_is_wanted_as_it_is(base):
    with pytest.raises(BackendUnusable, match=r"is a raw base: .* Teach it to \(agentnet prepare ") as caught:
        TorchLearner.load(options(base))
    assert caught.value.kind == "not_prepared"
    with pytest.raises(BackendUnusable, match="is a raw base"):
        TorchLearner.load(options(base, form="chat"))
    assert TorchLearner.load(options(base, form="marks")).form == INSTRUCTION_FORM


def with_template(tokenizer, template):
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer(base):
    return pretrained(options(base))[1]


def test_a_chat_model_is_asked_by_its_template(tokenizer, base):
    form = framing_of(with_template(tokenizer, CHATML), options(base))
    assert form == Framing("<|start|>user\n", "<|end|>\n<|start|>assistant\n", "", "<|end|>")
    assert form.prompt("Why?") + form.response("So.") == (
        "<|start|>user\nWhy?<|end|>\n<|start|>assistant\nSo.<|end|>"
    )
    assert framing_of(tokenizer, options(base, form="marks")) == INSTRUCTION_FORM


def test_a_template_that_marks_no_end_ends_with_the_end_of_text(tokenizer, base):
    plain = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }} {% endfor %}"
    assert framing_of(with_template(tokenizer, plain), options(base)).end == "<|endoftext|>"


def test_a_template_writes_no_date_of_today_and_wants_no_reasoning(tokenizer, base):
    dated = "{{ strftime_now('%d %b %Y') }}{% if not enable_thinking %} /no_think{% endif %}\n" + CHATML
    form = framing_of(with_template(tokenizer, dated), options(base))
    assert form.before == "1 January 2026 /no_think<|start|>user\n"


@pytest.mark.parametrize("template", ["{{ messages | length }}", "{{ raise_exception('no users') }}"])
def test_a_template_that_cannot_be_used_is_named(base, tmp_path, template):
    folder = tmp_path / "odd"
    shutil.copytree(base, folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    with pytest.raises(BackendUnusable, match=r"odd.* (does not write a question|no users)"):
        TorchLearner.load(options(folder))


def test_a_chat_model_learns_answers_that_end_as_its_turns_do(base, tmp_path):
    folder = tmp_path / "chat"
    shutil.copytree(base, folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": CHATML}))
    learner = TorchLearner.load(options(folder, method="full"))
    pairs = [Example(learner.form.prompt(each.text), learner.form.response(each.response)) for each in TAUGHT]
    state, _ = learner.train(learner.fresh(1), pairs, Training(3e-3, 60, 4, 1))
    assert asked(learner, state, 60) == [(each.response, True) for each in TAUGHT]


# GGUF.


@pytest.fixture
def gguf(base, tiny_model, tmp_path):
    (tmp_path / "gguf").mkdir()
    tiny_model.make_gguf(tmp_path / "gguf" / "one.gguf", base)
    return tmp_path / "gguf"


def test_a_gguf_file_and_the_folder_of_one_are_the_same_model(gguf, capfd):
    by_file, by_folder = (TorchLearner.load(options(p, form="marks")) for p in (gguf / "one.gguf", gguf))
    assert capfd.readouterr().err == ""  # no bars are drawn
    assert by_file.fingerprint == by_folder.fingerprint
    assert asked(by_file, by_file.fresh(1)) == asked(by_folder, by_folder.fresh(1))
    shutil.copy(gguf / "one.gguf", gguf / "two.gguf")
    with pytest.raises(BackendUnusable, match=r"several GGUF files \(one\.gguf, two\.gguf\); name one"):
        TorchLearner.load(options(gguf, form="marks"))


def test_a_gguf_file_that_is_none_is_named(gguf):
    (gguf / "one.gguf").write_bytes(b"GGUF of another kind")
    with pytest.raises(BackendUnusable, match=r"one\.gguf' cannot be loaded"):
        TorchLearner.load(options(gguf / "one.gguf"))


def test_a_prepared_gguf_model_is_a_folder_like_any_other(gguf, prepared):
    folder, _, _ = prepared(model=gguf)
    assert (folder / "model.safetensors").exists()
    assert TorchLearner.load(options(folder)).form == INSTRUCTION_FORM


# The preparation.


def test_a_prepared_base_answers_what_it_was_taught(prepared):
    folder, card, told = prepared(tuning=TUNING._replace(epochs=40))
    learner = TorchLearner.load(options(folder))
    assert learner.form == INSTRUCTION_FORM
    assert all(len(learner._tokens(mark)) == 1 for mark in MARKS)
    assert asked(learner, learner.fresh(1)) == [(each.response, True) for each in TAUGHT]
    assert told == list(range(121))
    assert card["loss"] == card["losses"][-1] < 0.1 < card["losses"][0]
    assert card == json.loads((folder / "agentnet.json").read_text())
    assert card.items() >= {**FACTS, "pairs": 12, "epochs": 40, "lr": 3e-3, "batch": 4, "seed": 2}.items()
    assert not folder.with_name("model.unfinished").exists()


def test_the_losses_are_those_of_training_by_the_same_course(prepared, base):
    _, card, _ = prepared()
    net, tokenizer = pretrained(options(base))
    add_marks(net, tokenizer)
    learner = TorchLearner(net.eval(), tokenizer, options(base, method="full"), INSTRUCTION_FORM)
    form = INSTRUCTION_FORM
    pairs = [Example(form.prompt(each.text), form.response(each.response)) for each in TAUGHT]
    _, measures = learner.train(learner.fresh(0), pairs, Training(3e-3, 4, 4, 2))
    assert (card["loss"], card["tokens"]) == (measures["loss"], measures["tokens"])


@pytest.mark.parametrize("room", [0, 10], ids=["grown", "padded"])
def test_a_mark_begins_as_the_mean_of_what_spelled_it(base, room):
    net, tokenizer = pretrained(options(base))
    net.resize_token_embeddings(len(tokenizer) + room, mean_resizing=False)
    tables = (net.get_input_embeddings, net.get_output_embeddings)
    before = [table().weight.detach().clone() for table in tables]
    parts = {mark: tokenizer(mark)["input_ids"] for mark in MARKS}
    add_marks(net, tokenizer)
    assert tables[0]().weight.shape[0] == max(len(tokenizer), len(before[0]))
    for table, old in zip(tables, before, strict=True):
        for mark in MARKS:
            mean = old[parts[mark]].mean(0)
            assert torch.equal(table().weight[tokenizer.convert_tokens_to_ids(mark)], mean), mark
        assert torch.equal(table().weight[: len(tokenizer) - 3], old[: len(tokenizer) - 3])


def test_broken_off_and_begun_again_it_ends_in_the_same_bits(prepared):
    whole, _, _ = prepared("whole")
    for stop_at in (3, 7, 11):
        with pytest.raises(KeyboardInterrupt):
            prepared(stop_at=stop_at)
    folder, _, told = prepared()
    assert told == [10, 11, 12]  # from the last checkpoint on
    for path in whole.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


def test_another_preparation_does_not_go_on_from_there(prepared, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        prepared(stop_at=6)
    with pytest.raises(
        StorageError, match=r"of another preparation.*: its batch, lr differ; .*--out, or remo"
    ):
        prepared(tuning=TUNING._replace(lr=1e-3, batch=3))
    assert (tmp_path / "model.unfinished").exists()


@pytest.mark.parametrize("name", ["training.json", "training.safetensors"])
def test_a_damaged_checkpoint_is_named(prepared, tmp_path, name):
    with pytest.raises(KeyboardInterrupt):
        prepared(stop_at=6)
    damaged = tmp_path / "model.unfinished" / name
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(StorageError, match=r"model\.unfinished.* cannot be read"):
        prepared()
