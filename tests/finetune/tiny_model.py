"""GPT-NeoX models with random weights and a tokenizer of their own; what they say at first is noise.

    python tiny_model.py FOLDER [tiny|410m]     # writes the model; the same on every machine

The architecture is Pythia's. The byte-pair tokenizer is trained on the bundled question bank; the marks of
the instruction format are tokens of their own, as in the model of Helm et al. (2024). Nothing is downloaded.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agentnet.interviews.bank import load_bank
from agentnet_backends.finetune_learner import INSTRUCTION_FORM, MARKS

PAD, END = "<|padding|>", "<|endoftext|>"


class Size(NamedTuple):
    """How large a model is."""

    n_tokens: int
    width: int
    n_layers: int
    n_heads: int
    n_positions: int
    rotary: float


SIZES = {"tiny": Size(2048, 64, 2, 4, 256, 0.25), "410m": Size(50304, 1024, 24, 16, 2048, 0.25)}


def make_model(
    folder: Path, *, size: Size = SIZES["tiny"], seed: int = 7, marks_are_tokens: bool = True
) -> None:
    """Write the model.

    Args:
        folder: Where; made if it is not there.
        size: How large.
        seed: Fixes its weights.
        marks_are_tokens: Whether each mark of the format is one token.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _make_tokenizer(folder, size, marks_are_tokens=marks_are_tokens)
    _make_weights(folder / "model.safetensors", size, seed)
    config = {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "dtype": "float32",
        "vocab_size": size.n_tokens,
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_hidden_layers": size.n_layers,
        "num_attention_heads": size.n_heads,
        "max_position_embeddings": size.n_positions,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": size.rotary,
        },
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
        "hidden_act": "gelu",
        "bos_token_id": 1,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))


def make_gguf(path: Path, like: Path) -> None:
    """Write a tiny model of the Llama architecture as a GGUF file, with random weights in float16.

    Args:
        path: The file.
        like: A folder with the tokenizer that it has.
    """
    import gguf

    size, rng = SIZES["tiny"], np.random.default_rng(3)
    found = json.loads((like / "tokenizer.json").read_text())["model"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(size.n_positions)
    writer.add_embedding_length(size.width)
    writer.add_block_count(size.n_layers)
    writer.add_feed_forward_length(2 * size.width)
    writer.add_head_count(size.n_heads)
    writer.add_head_count_kv(size.n_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(found["vocab"]))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(found["vocab"], key=found["vocab"].__getitem__))
    writer.add_token_types([3, 3, *[1] * (len(found["vocab"]) - 2)])
    writer.add_token_merges([" ".join(merge) for merge in found["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    shapes = {
        **dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (size.width, size.width)),
        **dict.fromkeys(("ffn_gate", "ffn_up"), (2 * size.width, size.width)),
        "ffn_down": (size.width, 2 * size.width),
    }
    for name in ("token_embd", "output"):
        rows = (len(found["vocab"]), size.width)
        writer.add_tensor(f"{name}.weight", (0.02 * rng.standard_normal(rows)).astype(np.float16))
    for layer in range(size.n_layers):
        for name, shape in shapes.items():
            drawn = 0.4 / size.width**0.5 * rng.standard_normal(shape)
            writer.add_tensor(f"blk.{layer}.{name}.weight", drawn.astype(np.float16))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(size.width, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(size.width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _make_tokenizer(folder: Path, size: Size, *, marks_are_tokens: bool) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = MARKS if marks_are_tokens else ()
    trainer = trainers.BpeTrainer(
        vocab_size=size.n_tokens,
        special_tokens=[PAD, END, *marks],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    form = INSTRUCTION_FORM
    texts = [form.prompt(question.text) + form.response(question.answer) for question in load_bank()]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": size.n_positions,
        "pad_token": PAD,
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _make_weights(path: Path, size: Size, seed: int) -> None:
    from safetensors.numpy import save_file

    rng, width = np.random.default_rng(seed), size.width
    shapes = {
        "attention.query_key_value": (3 * width, width),
        "attention.dense": (width, width),
        "mlp.dense_h_to_4h": (4 * width, width),
        "mlp.dense_4h_to_h": (width, 4 * width),
    }

    def drawn(shape: tuple[int, int], scale: float) -> np.ndarray:
        return rng.standard_normal(shape, np.float32) * np.float32(scale)

    names = ("gpt_neox.embed_in", "embed_out")
    weights = {f"{name}.weight": drawn((size.n_tokens, width), 0.02) for name in names}
    norms = ["gpt_neox.final_layer_norm"]
    for layer in range(size.n_layers):
        here = f"gpt_neox.layers.{layer}"
        norms += [f"{here}.input_layernorm", f"{here}.post_attention_layernorm"]
        for name, shape in shapes.items():
            weights[f"{here}.{name}.weight"] = drawn(shape, 0.4 / width**0.5)
            weights[f"{here}.{name}.bias"] = np.zeros(shape[0], np.float32)
    for name in norms:
        weights[f"{name}.weight"] = np.ones(width, np.float32)
        weights[f"{name}.bias"] = np.zeros(width, np.float32)
    save_file(weights, path, {"format": "pt"})


if __name__ == "__main__":
    make_model(Path(sys.argv[1]), size=SIZES[(sys.argv[2:] or ["tiny"])[0]])
