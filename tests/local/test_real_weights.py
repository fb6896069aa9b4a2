"""Real weights, and PyTorch as the oracle: `make test-local` (fetches SmolLM2 unless it is here; minutes)."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from agentnet.news import sample_news
from agentnet.profiles import all_profiles
from agentnet.prompts import PromptSet
from agentnet_backends.local_answers import odds, ways_to_say
from agentnet_backends.local_files import open_model
from agentnet_backends.local_model import LocalModel, make_runtime
from agentnet_backends.local_weights import weights

pytestmark = [pytest.mark.real_weights, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def questions():
    """Two of each of the 32 profiles' questions: 64 prompts, all different."""
    items, prompts = sample_news().items, PromptSet.load()
    return [
        prompts.messages(kind, profile, items[(i + shift) % len(items)], rationale="none")
        for i, profile in enumerate(all_profiles())
        for shift, kind in enumerate(("seed", "exposure"))
    ]


def test_numpy_and_torch_agree_on_64_questions(questions):
    path = weights("smollm2")
    ours, theirs = (LocalModel(path, runtime, 1, 512) for runtime in ("numpy", "torch"))
    ways = ways_to_say(("yes", "no"), ("given", "capital"), ours.speaker.tokens)
    apart = []
    for messages in questions:
        prompt = ours.prompt(messages)
        found = [
            odds(ways, ours.chat.ends, partial(model.logits, prompt), 1.0)[0].logprobs
            for model in (ours, theirs)
        ]
        p, q = (np.exp(each["yes"]) / (np.exp(each["yes"]) + np.exp(each["no"])) for each in found)
        apart.append(abs(p - q))
    assert len(apart) == 64
    assert max(apart) < 1e-3


FAMILIES = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {"use_sliding_window": False},
    "qwen3": {"use_sliding_window": False},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_computed_as_transformers_does(tiny, tmp_path, family):
    import torch
    import transformers

    # transformers decides which weights there are, and draws them.
    tiny.write_folder(tmp_path, tiny.weights(), model_type=family, architectures=None, **FAMILIES[family])
    torch.manual_seed(1)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path)
    files = open_model(tmp_path)
    tokens = list(range(3, 80))
    ours, theirs = (make_runtime(name, files, 1) for name in ("numpy", "torch"))
    past, _ = ours.extend(None, tokens[:40])
    past_of_theirs, _ = theirs.extend(None, tokens[:40])
    found, wanted = ours.extend(past, tokens[40:])[1], theirs.extend(past_of_theirs, tokens[40:])[1]
    assert np.allclose(found, wanted, atol=2e-4)
    assert np.allclose(theirs.extend(None, tokens)[1], wanted, atol=2e-4)


def test_a_family_that_numpy_does_not_know_is_played_by_torch(tiny, tmp_path):
    import transformers

    config = transformers.GPTNeoXConfig(
        vocab_size=300, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    tiny.write_folder(tmp_path, tiny.weights())
    transformers.GPTNeoXForCausalLM(config).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "gpt_neox"
    assert make_runtime("auto", open_model(tmp_path), 1).name == "torch"
