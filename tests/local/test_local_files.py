"""The same model in other files says the same; one that cannot be computed is refused, with the way out."""

from __future__ import annotations

import asyncio
import json
import math

import numpy as np
import pytest

from agentnet.backend import Request, make_backend
from agentnet.errors import BackendUnusable, ConfigurationError
from agentnet_backends.local_chat import Speaker
from agentnet_backends.local_files import Folder, Gguf, Unsupported, open_model
from agentnet_backends.local_model import LocalModel, digest_of, make_runtime
from agentnet_backends.local_numpy import NumpyRuntime

ASKED = (("system", "You are Ann."), ("user", "Do you share it?"))


def logits(path):
    model = LocalModel(path, "auto", 1, 64)
    return model.logits(model.prompt(ASKED))


@pytest.fixture(scope="module")
def said(folder):
    return logits(folder)


def test_it_computes_what_the_reference_computes(tiny, made, folder):
    model = LocalModel(folder, "numpy", 1, 64)
    prompt = model.prompt(ASKED)
    assert np.allclose(model.logits(prompt), tiny.reference(list(prompt.tokens), made), atol=1e-4)


def test_going_on_from_a_beginning_is_the_same(folder):
    files = open_model(folder)
    runtime = NumpyRuntime(files.shape(), files.weights())
    tokens = list(range(3, 43))
    whole = runtime.extend(None, tokens)[1]
    past, _ = runtime.extend(None, tokens[:17])
    kept = [part.copy() for layer in past.layers for part in layer]
    assert np.allclose(runtime.extend(past, tokens[17:])[1], whole, atol=1e-5)
    assert all(
        np.array_equal(a, b) for a, b in zip(kept, [p for layer in past.layers for p in layer], strict=True)
    )


@pytest.mark.parametrize("n_past", [0, 9])
def test_ways_that_go_on_side_by_side_are_each_what_it_is_alone(folder, n_past):
    files = open_model(folder)
    runtime = NumpyRuntime(files.shape(), files.weights())
    begin, ways = list(range(3, 3 + n_past)), [[5, 6], [9], [30, 31, 32, 33], [9]]
    past = runtime.extend(None, begin)[0] if begin else None
    said = runtime.go_on(past, [None] * 4, ways)
    further = [[7], [40, 41, 42, 43, 44], [8, 8], [11]]
    made = runtime.go_on(past, [each for each, _ in said], further)
    for way, more, (_, first), (_, second) in zip(ways, further, said, made, strict=True):
        assert np.allclose(first, runtime.extend(None, begin + way)[1], atol=1e-5)
        assert np.allclose(second, runtime.extend(None, begin + way + more)[1], atol=1e-5)


def test_a_gguf_is_the_same_model(tiny, made, said, tmp_path):
    assert np.allclose(logits(tiny.write_gguf(tmp_path / "tiny.gguf", made)), said, atol=1e-5)


def test_bfloat16_is_read(tiny, made, said, tmp_path):
    near = logits(tiny.write_folder(tmp_path, made, dtype="BF16"))
    rounded = {name: ((values.view("<u4") >> 16) << 16).view("<f4").copy() for name, values in made.items()}
    assert np.allclose(near, logits(tiny.write_folder(tmp_path / "again", rounded)), atol=1e-6)
    assert not np.allclose(near, said, atol=1e-4)


def test_positions_of_llama_3_turn_slower_where_they_turn_least(tiny, made, tmp_path):
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    plain = Folder(tiny.write_folder(tmp_path / "plain", made)).shape().frequencies
    slow = Folder(tiny.write_folder(tmp_path / "slow", made, rope_scaling=scaling)).shape().frequencies
    turns = 64 * plain / (2 * math.pi)
    assert slow[turns > 4.0] == pytest.approx(plain[turns > 4.0])
    assert slow[turns < 1.0] == pytest.approx(plain[turns < 1.0] / 8)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "gpt_neox"}, "gpt_neox"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"rope_scaling": {"type": "yarn"}}, "yarn"),
    ],
)
def test_what_numpy_cannot_compute_is_refused_with_what_it_can(tiny, made, tmp_path, config, why):
    files = Folder(tiny.write_folder(tmp_path, made, **config))
    with pytest.raises(Unsupported, match=why) as told:
        make_runtime("numpy", files, 1)
    assert "qwen2" in str(told.value)
    assert "torch" in str(told.value)


def test_a_weight_without_a_place_is_refused(tiny, made, tmp_path):
    folder = tiny.write_folder(tmp_path, made | {"model.layers.0.mlp.experts.weight": np.ones(3, np.float32)})
    with pytest.raises(Unsupported, match="experts"):
        logits(folder)


def test_another_runtime_is_none(folder):
    with pytest.raises(ConfigurationError, match="auto, numpy, torch"):
        make_runtime("jax", open_model(folder), 1)


def test_a_raw_model_is_told_apart(tiny, made, tmp_path):
    with pytest.raises(ConfigurationError, match="raw model"):
        logits(tiny.write_gguf(tmp_path / "raw.gguf", made, template=""))


def test_an_unknown_tokenizer_of_a_gguf_names_the_way_out(tiny, made, tmp_path):
    files = Gguf(tiny.write_gguf(tmp_path / "tiny.gguf", made))
    files._fact = lambda key, default=None: "llama"
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json"):
        files.tokenizer()


def test_a_conversation_is_cut_where_its_messages_end(folder):
    files = open_model(folder)
    speaker = Speaker(files.chat(), files.tokenizer(), "tiny")
    one, other = (speaker.prompt((ASKED[0], ("user", text))) for text in ("Do you share it?", "Is it so?"))
    assert one.cuts == other.cuts
    assert one.tokens[: one.cuts[0]] == other.tokens[: one.cuts[0]]
    assert speaker.text(one.tokens[: one.cuts[0]]) == "system\nYou are Ann.\n"


def test_templates_may_refuse_and_have_no_clock(tiny, folder):
    files = open_model(folder)
    chat = files.chat()._replace(template="{{ strftime_now('%d') }}{{ raise_exception('no system role') }}")
    speaker = Speaker(chat, files.tokenizer(), "tiny")
    with pytest.raises(Exception, match="no system role"):
        speaker.prompt(ASKED)
    dated = Speaker(chat._replace(template="{{ strftime_now('%d') }}"), files.tokenizer(), "tiny")
    assert dated.text(dated.prompt(ASKED).tokens) == "26 Jul 2024"


def test_a_template_reaches_nothing_of_the_program(folder):
    files = open_model(folder)
    chat = files.chat()._replace(template="{{ ''.__class__.__mro__ }}")
    with pytest.raises(Exception, match="unsafe"):
        Speaker(chat, files.tokenizer(), "tiny").prompt(ASKED)


def broken(folder, **settings):
    for name, about in settings.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | about), "utf-8")
    return folder


def cut_off(tiny, made, place):
    path = tiny.write_gguf(place / "cut.gguf", made)
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def no_number(tiny, made, place):
    return tiny.write_folder(place, made | {"model.norm.weight": np.full(tiny.WIDTH, np.nan, np.float32)})


def no_fit(tiny, made, place):
    return tiny.write_folder(place, made | {"model.layers.1.mlp.down_proj.weight": np.ones((3, 3), "f4")})


def no_tokenizer(tiny, made, place):
    folder = tiny.write_folder(place, made)
    (folder / "tokenizer.json").write_text('{"a": 1}', "utf-8")
    return folder


def no_end(tiny, made, place):
    return broken(
        tiny.write_folder(place, made), config={"eos_token_id": None}, tokenizer_config={"eos_token": None}
    )


def no_program(tiny, made, place):
    template = "{{ messages[0]['content'] + 1 }}"
    return broken(tiny.write_folder(place, made), tokenizer_config={"chat_template": template})


@pytest.mark.parametrize("damaged", [cut_off, no_number, no_fit, no_tokenizer, no_end, no_program])
def test_a_model_whose_files_are_damaged_is_unusable_and_answers_nothing(tiny, made, tmp_path, damaged):
    backend = make_backend("local", {"model": str(damaged(tiny, made, tmp_path))})
    request = Request(ASKED, 1.0, 1, 8, ("yes", "no"), logprobs=True)
    with pytest.raises(BackendUnusable, match=r"damaged|ends a turn|does not take"):
        asyncio.run(backend.complete(request))
    asyncio.run(backend.aclose())


@pytest.mark.parametrize("name", ["chat_template.jinja", "generation_config.json"])
def test_what_decides_a_prompt_or_its_end_is_part_of_the_models_name(tiny, made, tmp_path, name):
    folder = tiny.write_folder(tmp_path, made)
    before = digest_of(folder)
    (folder / name).write_text("{}", "utf-8")
    assert digest_of(folder) != before
