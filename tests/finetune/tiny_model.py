"""A tiny GPT-NeoX with random weights and a tokenizer of its own; what it says at first is noise.

    python tiny_model.py FOLDER     # writes the model; the same on every machine

The architecture is Pythia's. The byte-pair tokenizer is trained on the bundled question bank; the marks of
the instruction format are tokens of their own, as in the model of Helm et al. (2024). Nothing is downloaded.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from agentnet.interviews.bank import load_bank
from agentnet_backends.finetune_learner import ANSWER_MARK, END_MARK, QUESTION_MARK, prompt_of

N_TOKENS, WIDTH, INNER_WIDTH, N_LAYERS, N_HEADS, N_POSITIONS = 2048, 64, 256, 2, 4, 256
PAD, END = "<|padding|>", "<|endoftext|>"


def make_model(folder: Path, *, seed: int = 7, marks_are_tokens: bool = True) -> None:
    """Write the model.

    Args:
        folder: Where; made if it is not there.
        seed: Fixes its weights.
        marks_are_tokens: Whether each mark of the format is one token.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_tokens = _make_tokenizer(folder, marks_are_tokens=marks_are_tokens)
    _make_weights(folder / "model.safetensors", n_tokens, seed)
    config = {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "dtype": "float32",
        "vocab_size": n_tokens,
        "hidden_size": WIDTH,
        "intermediate_size": INNER_WIDTH,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": N_HEADS,
        "max_position_embeddings": N_POSITIONS,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
        "hidden_act": "gelu",
        "bos_token_id": 1,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))


def _make_tokenizer(folder: Path, *, marks_are_tokens: bool) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = [QUESTION_MARK, ANSWER_MARK, END_MARK] if marks_are_tokens else []
    trainer = trainers.BpeTrainer(
        vocab_size=N_TOKENS,
        special_tokens=[PAD, END, *marks],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = [f"{prompt_of(question.text)} {question.answer}\n{END_MARK}" for question in load_bank()]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": N_POSITIONS,
        "pad_token": PAD,
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return tokenizer.get_vocab_size()


def _make_weights(path: Path, n_tokens: int, seed: int) -> None:
    from safetensors.numpy import save_file

    rng = np.random.default_rng(seed)
    shapes = {
        "attention.query_key_value": (3 * WIDTH, WIDTH),
        "attention.dense": (WIDTH, WIDTH),
        "mlp.dense_h_to_4h": (INNER_WIDTH, WIDTH),
        "mlp.dense_4h_to_h": (WIDTH, INNER_WIDTH),
    }
    weights = {
        f"{name}.weight": rng.normal(0.0, 0.02, (n_tokens, WIDTH))
        for name in ("gpt_neox.embed_in", "embed_out")
    }
    norms = ["gpt_neox.final_layer_norm"]
    for layer in range(N_LAYERS):
        here = f"gpt_neox.layers.{layer}"
        norms += [f"{here}.input_layernorm", f"{here}.post_attention_layernorm"]
        for name, shape in shapes.items():
            weights[f"{here}.{name}.weight"] = rng.normal(0.0, 0.05, shape)
            weights[f"{here}.{name}.bias"] = np.zeros(shape[0])
    for name in norms:
        weights |= {f"{name}.weight": np.ones(WIDTH), f"{name}.bias": np.zeros(WIDTH)}
    save_file({name: tensor.astype(np.float32) for name, tensor in weights.items()}, path, {"format": "pt"})


if __name__ == "__main__":
    make_model(Path(sys.argv[1]))
