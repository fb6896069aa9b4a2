"""What models answer and learn, with PyTorch on a tiny random GPT-NeoX; ``make test-finetune`` runs this."""

from __future__ import annotations

import os
import pickle
import shutil

import numpy as np
import pytest
from scipy import stats

if not os.environ.get("AGENTNET_TEST_FINETUNE"):
    pytest.skip(
        "AGENTNET_TEST_FINETUNE is not set: update rule finetune is NOT tested with PyTorch here; see make "
        "test-finetune",
        allow_module_level=True,
    )

import torch

from agentnet.errors import BackendUnusable, Interrupted, RequestRejected, StorageError
from agentnet.interviews.bank import load_bank
from agentnet_backends.finetune_learner import (
    INSTRUCTION_FORM,
    Example,
    FinetuneOptions,
    Training,
    WantedAnswer,
)
from agentnet_backends.finetune_torch import TorchLearner

prompt_of, response_of = INSTRUCTION_FORM.prompt, INSTRUCTION_FORM.response
BANK = load_bank()[:48]
EXAMPLES = [Example(prompt_of(question.text), response_of(question.answer)) for question in BANK]
WANTED = [WantedAnswer(prompt_of(question.text), 0.0, seed) for seed, question in enumerate(BANK)]
HOT = [one._replace(temperature=1.0) for one in WANTED]
COURSE = Training(lr=3e-3, epochs=8, batch=8, seed=5)
N_TOKENS = 24


def learner(folder, **chosen):
    return TorchLearner.load(
        FinetuneOptions(**{"model": str(folder), "threads": 1, "method": "full", **chosen})
    )


@pytest.fixture(scope="module", params=["full", "lora"])
def method(request):
    return request.param


@pytest.fixture(scope="module")
def mine(tiny, method):
    return learner(tiny, method=method, rank=16, answer_batch=16)


@pytest.fixture(scope="module")
def taught(mine):
    """Give a state after teaching, and its measures."""
    return mine.train(mine.fresh(1), EXAMPLES, COURSE)


def same_bits(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def loss_of(one, state):
    """Measure the loss before any training: that of the first step, with one batch."""
    return one.train(state, EXAMPLES, Training(1e-9, 1, len(EXAMPLES), 0))[1]["loss"]


def test_what_is_taught_becomes_likelier(mine, taught):
    before, after = loss_of(mine, mine.fresh(1)), loss_of(mine, taught[0])
    assert before == pytest.approx(np.log(2000), abs=0.6)  # random weights know nothing
    assert after < before - 0.5


def test_training_twice_ends_in_the_same_bits_and_another_order_in_others(mine, taught):
    again, measures = mine.train(mine.fresh(1), EXAMPLES, COURSE)
    assert same_bits(again, taught[0])
    assert measures == taught[1]
    other, _ = mine.train(mine.fresh(1), EXAMPLES, COURSE._replace(seed=6))
    assert not same_bits(other, taught[0])


def test_a_second_process_ends_in_the_same_bits(tiny, method, mine, taught):
    other = learner(tiny, method=method, rank=16, answer_batch=16)
    assert other.fingerprint == mine.fingerprint
    assert same_bits(other.train(other.fresh(1), EXAMPLES, COURSE)[0], taught[0])


def test_states_are_never_changed_in_place(mine, taught):
    fresh = mine.fresh(1)
    copy = {name: tensor.clone() for name, tensor in fresh.items()}
    kept = {name: tensor.clone() for name, tensor in taught[0].items()}
    mine.train(fresh, EXAMPLES[:8], COURSE._replace(epochs=1))
    mine.train(taught[0], EXAMPLES[:8], COURSE._replace(epochs=1))
    mine.answer(fresh, WANTED[:2], 2)
    assert same_bits(fresh, copy)
    assert same_bits(taught[0], kept)


@pytest.mark.parametrize("wanted", [WANTED, HOT], ids=["greedy", "sampled"])
def test_an_answer_does_not_depend_on_what_else_is_asked(mine, taught, wanted):
    whole = mine.answer(taught[0], wanted, N_TOKENS)
    assert len({answer.text for answer in whole}) >= 3
    for trial in range(4):
        rng = np.random.default_rng(trial)
        chosen = rng.permutation(len(wanted))[: rng.integers(1, 20)]
        assert mine.answer(taught[0], [wanted[row] for row in chosen], N_TOKENS) == [
            whole[row] for row in chosen
        ]


def test_an_answer_depends_on_its_state_alone(mine, taught):
    mine.answer(mine.fresh(2), WANTED[:3], N_TOKENS)
    first = mine.answer(taught[0], WANTED[:3], N_TOKENS)
    mine.train(mine.fresh(3), EXAMPLES[:8], COURSE)
    assert mine.answer(taught[0], WANTED[:3], N_TOKENS) == first


def test_another_seed_gives_another_answer_where_there_is_chance(mine, taught):
    (first,), (same,), (other,) = (
        mine.answer(taught[0], [HOT[0]._replace(seed=seed)], N_TOKENS) for seed in (1, 1, 2)
    )
    assert first == same != other


def test_greedy_answers_are_those_of_transformers_without_padding(mine, taught):
    mine._bind(taught[0])
    for one, answer in zip(WANTED[:12], mine.answer(taught[0], WANTED[:12], N_TOKENS), strict=True):
        prompt = torch.tensor([mine._tokens(one.prompt)])
        end = mine._tokenizer.convert_tokens_to_ids("### End")
        with torch.inference_mode():
            told = mine._net.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=N_TOKENS,
                do_sample=False,
                eos_token_id=end,
            )[0, prompt.shape[1] :]
        assert answer.completion_tokens == len(told)
        assert answer.prompt_tokens == prompt.shape[1]
        assert answer.ended == (told[-1] == end)
        assert answer.text == mine._tokenizer.decode(told).partition("### End")[0].strip()


def test_draws_follow_the_model_s_distribution(mine, taught):
    n_draws = 1500
    wanted = [WANTED[0]._replace(temperature=0.8, seed=seed) for seed in range(n_draws)]
    seen = [answer.text for answer in mine.answer(taught[0], wanted, 1)]
    mine._bind(taught[0])
    with torch.inference_mode():
        logits = mine._net(input_ids=torch.tensor([mine._tokens(wanted[0].prompt)])).logits[0, -1]
    odds = torch.softmax(logits.double() / 0.8, 0).numpy()
    likeliest = np.argsort(odds)[::-1][:6]
    texts = [mine._tokenizer.decode([token]).partition("### End")[0].strip() for token in likeliest]
    expected = dict.fromkeys(texts, 0.0)
    for token, chance in enumerate(odds):
        text = mine._tokenizer.decode([token]).partition("### End")[0].strip()
        if text in expected:
            expected[text] += chance
    for text, chance in expected.items():
        assert stats.binomtest(seen.count(text), n_draws, chance).pvalue > 1e-5, text


def test_only_the_response_is_learnt(mine):
    pairs, fresh = EXAMPLES[:5], mine.fresh(1)
    _, measures = mine.train(fresh, pairs, Training(1e-9, 1, 8, 0))
    mine._bind(fresh)
    losses = []
    for example in pairs:
        prompt, response = mine._tokens(example.prompt), mine._tokens(example.response)
        with torch.inference_mode():
            logits = mine._net(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        losses += torch.nn.functional.cross_entropy(logits, torch.tensor(response), reduction="none").tolist()
    assert measures["tokens"] == len(losses)
    assert measures["loss"] == pytest.approx(np.mean(losses), abs=1e-5)


def test_one_step_of_adam_moves_no_weight_by_more_than_the_learning_rate(mine):
    lr = 1e-3
    before = mine.fresh(1)
    after, _ = mine.train(before, EXAMPLES[:8], Training(lr, 1, 8, 0))
    moved = torch.cat([(after[name] - before[name]).abs().flatten() for name in after])
    assert float(moved.max()) == pytest.approx(lr, rel=1e-3)
    assert float((moved > 0.9 * lr).float().mean()) > 0.05


def test_a_state_is_what_was_written_and_answers_alike(mine, taught, tmp_path):
    mine.write(taught[0], tmp_path / "state.safetensors")
    state = mine.read(tmp_path / "state.safetensors")
    assert same_bits(state, taught[0])
    assert mine.answer(state, WANTED, N_TOKENS) == mine.answer(taught[0], WANTED, N_TOKENS)
    course = COURSE._replace(epochs=1)
    assert same_bits(mine.train(state, EXAMPLES, course)[0], mine.train(taught[0], EXAMPLES, course)[0])


def test_what_is_no_state_of_this_network_is_refused(mine, taught, tmp_path):
    path = tmp_path / "state.safetensors"
    mine.write(dict(list(taught[0].items())[1:]), path)
    with pytest.raises(StorageError, match="holds the weights of another network"):
        mine.read(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError, match=r"state\.safetensors cannot be read"):
        mine.read(path)
    path.write_bytes(pickle.dumps(dict(taught[0])))
    with pytest.raises(StorageError, match=r"state\.safetensors cannot be read"):
        mine.read(path)
    with pytest.raises(StorageError, match=r"none\.safetensors cannot be read"):
        mine.read(tmp_path / "none.safetensors")


def test_a_state_that_cannot_be_written_is_an_error_of_the_system(mine, tmp_path):
    with pytest.raises(OSError, match="No such file"):
        mine.write(mine.fresh(1), tmp_path / "none" / "state.safetensors")


def test_nobody_else_s_settings_or_draws_are_touched(mine, taught):
    torch.manual_seed(3)
    before = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    mine.answer(taught[0], HOT[:2], 3)
    mine.train(taught[0], EXAMPLES[:8], COURSE._replace(epochs=1))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == torch.are_deterministic_algorithms_enabled()


def test_a_question_longer_than_the_model_reads_is_rejected(mine):
    long = WantedAnswer(prompt_of("Why? " * 200), 0.0, 1)
    with pytest.raises(
        RequestRejected, match=r"'### Instruction: Why.* tokens; with an answer of 24 it exc"
    ) as e:
        mine.answer(mine.fresh(1), [WANTED[0], long], N_TOKENS)
    assert e.value.kind == "context_overflow"


def test_a_pair_longer_than_the_model_reads_stops_the_run(mine):
    with pytest.raises(BackendUnusable, match=r"but the model reads 256; leave it out of the question bank"):
        mine.train(mine.fresh(1), [Example(prompt_of("Why?"), response_of("so " * 300))], COURSE)


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_no_trace(mine, taught):
    first = mine.answer(taught[0], WANTED[:2], N_TOKENS)
    broken = {name: tensor * float("nan") for name, tensor in taught[0].items()}
    with pytest.raises(BackendUnusable, match=r"diverged: the loss is nan; lower finetune\.lr"):
        mine.train(broken, EXAMPLES, COURSE)
    assert mine.answer(taught[0], WANTED[:2], N_TOKENS) == first


def test_where_memory_ends_the_way_out_is_said(mine):
    said = r"not enough memory on device 'cpu' .* lower finetune\.batch, or"
    with pytest.raises(BackendUnusable, match=said), mine.exact("finetune.batch"):
        torch.empty(1 << 55)
    with pytest.raises(BackendUnusable, match="not enough memory"), mine.exact("finetune.batch"):
        raise MemoryError
    with pytest.raises(RuntimeError, match="of another kind"), mine.exact("finetune.batch"):
        raise RuntimeError("of another kind")
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_learner_that_is_stopped_ends_what_it_does(tiny):
    one = learner(tiny)
    one.stop()
    with pytest.raises(Interrupted):
        one.answer(one.fresh(1), WANTED[:1], N_TOKENS)
    with pytest.raises(Interrupted):
        one.train(one.fresh(1), EXAMPLES[:1], COURSE)


# Adapters.


def test_an_adapter_changes_nothing_before_it_is_trained(tiny):
    full, lora = learner(tiny), learner(tiny, method="lora")
    answers = full.answer(full.fresh(1), WANTED[:8], N_TOKENS)
    assert lora.answer(lora.fresh(1), WANTED[:8], N_TOKENS) == answers
    assert loss_of(lora, lora.fresh(1)) == pytest.approx(loss_of(full, full.fresh(1)), abs=1e-5)


def test_adapters_are_small_and_begin_with_their_own_draws(tiny):
    full, lora = learner(tiny), learner(tiny, method="lora", rank=4)
    sizes = [sum(tensor.numel() for tensor in one.fresh(1).values()) for one in (full, lora)]
    assert sizes[1] < sizes[0] / 20
    assert all("lora_" in name for name in lora.fresh(1))
    assert same_bits(lora.fresh(1), lora.fresh(1))
    assert not same_bits(lora.fresh(1), lora.fresh(2))
    assert same_bits(full.fresh(1), full.fresh(2))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_the_first_factors_of_adapters_are_drawn_as_peft_does(tiny):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    lora = learner(tiny, method="lora", rank=16)
    torch.manual_seed(1)
    config = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
    theirs = dict(get_peft_model(AutoModelForCausalLM.from_pretrained(tiny), config).named_parameters())
    for name, tensor in lora.fresh(1).items():
        own = theirs[name].detach()
        assert torch.allclose(tensor.std(), own.std(), rtol=0.1), name
        assert torch.allclose(tensor.abs().max(), own.abs().max(), rtol=0.05), name


def test_the_fingerprint_is_of_what_no_state_holds(tiny, make_tiny):
    other = make_tiny("other", seed=8)
    assert learner(tiny).fingerprint == learner(other).fingerprint
    assert learner(tiny, method="lora").fingerprint != learner(other, method="lora").fingerprint
    assert (
        learner(tiny).fingerprint
        != learner(make_tiny("words", marks_are_tokens=False), form="marks").fingerprint
    )


# Ends of answers, precision, loading.


def test_an_end_mark_of_several_tokens_ends_an_answer(make_tiny):
    wordy = learner(make_tiny("wordy", marks_are_tokens=False), form="marks")
    assert len(wordy._tokens("### End")) > 1
    state, _ = wordy.train(wordy.fresh(1), EXAMPLES[:8], Training(3e-3, 60, 8, 1))
    answers = wordy.answer(state, WANTED[:8], 60)
    assert [answer.text for answer in answers] == [question.answer for question in BANK[:8]]
    assert all(answer.ended for answer in answers)


def test_an_answer_ends_at_the_end_of_text_and_at_the_bound(tiny):
    one = learner(tiny)
    end = one._tokenizer.eos_token
    state, _ = one.train(
        one.fresh(1), [Example(prompt_of("Why?"), f" So.{end}")] * 8, Training(3e-3, 40, 8, 1)
    )
    (answer,) = one.answer(state, [WantedAnswer(prompt_of("Why?"), 0.0, 1)], 20)
    assert (answer.text, answer.ended) == ("So.", True)
    (cut,) = one.answer(state, [WantedAnswer(prompt_of("Why?"), 0.0, 1)], 1)
    assert (cut.text, cut.ended, cut.completion_tokens) == ("So."[: len(cut.text)], False, 1)
    assert cut.text


def test_half_precision_computes_nearly_the_same_loss(tiny):
    exact, rough = learner(tiny), learner(tiny, precision="bfloat16")
    losses = [loss_of(one, one.fresh(1)) for one in (exact, rough)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert all(tensor.dtype == torch.float32 for tensor in rough.fresh(1).values())


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"model": "nowhere/no-such-model"}, "'nowhere/no-such-model' cannot be loaded"),
        ({"device": "cuda:7"}, "cannot be loaded on device 'cuda:7'"),
        ({"device": "abacus"}, "cannot be loaded on device 'abacus'"),
    ],
)
def test_what_cannot_be_loaded_is_named_with_its_option(tiny, monkeypatch, chosen, said):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with pytest.raises(BackendUnusable, match=f"{said}.* set finetune.model") as caught:
        learner(**{"folder": tiny, **chosen})
    assert caught.value.kind == "not_loaded"


def test_pickled_weights_are_never_opened(tiny, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(BackendUnusable, match="cannot be loaded"):
        learner(folder)


@pytest.mark.parametrize("are_shown", [True, False])
def test_no_bars_are_drawn_and_those_of_others_come_back(tiny, capfd, are_shown):
    from transformers.utils import logging

    (logging.enable_progress_bar if are_shown else logging.disable_progress_bar)()
    learner(tiny)
    assert logging.is_progress_bar_enabled() is are_shown
    logging.enable_progress_bar()
    assert capfd.readouterr().err == ""
