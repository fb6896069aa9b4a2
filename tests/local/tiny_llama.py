"""A Llama of a few thousand random weights, its tokenizer and template, as a folder and as a GGUF.

Its truth is known: `reference` computes what it says in the plainest way, one head and one position at a time
in float64, and shares no code with the backend.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

WIDTH, LAYERS, HEADS, KV_HEADS, DIM, MLP = 24, 2, 4, 2, 6, 40
THETA, EPSILON, POSITIONS = 1000.0, 1e-5, 4096
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END = 2
MERGES = (("y", "e"), ("ye", "s"), ("n", "o"), ("Ġ", "t"), ("t", "h"), ("i", "n"), ("Ġ", "a"))
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def vocabulary() -> list[str]:
    """List the tokens: marks, bytes, merges ("yes" is one token, "Yes" and "nope" are more)."""
    from tokenizers import pre_tokenizers

    return [*MARKS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in MERGES)]


def weights(seed: int = 7, scale: float = 1.0) -> dict[str, np.ndarray]:
    """Draw the weights, by Hugging Face's names."""
    rng, n = np.random.default_rng(seed), len(vocabulary())

    def drawn(rows: int, columns: int) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) * scale / columns**0.5).astype(np.float32)

    made = {
        "model.embed_tokens.weight": drawn(n, WIDTH) * 3,
        "lm_head.weight": drawn(n, WIDTH) * 2,
        "model.norm.weight": 1 + drawn(1, WIDTH)[0],
    }
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        for part, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            made[f"{at}self_attn.{part}_proj.weight"] = drawn(heads * DIM, WIDTH)
        made[f"{at}self_attn.o_proj.weight"] = drawn(WIDTH, HEADS * DIM)
        made[f"{at}mlp.gate_proj.weight"], made[f"{at}mlp.up_proj.weight"] = (
            drawn(MLP, WIDTH),
            drawn(MLP, WIDTH),
        )
        made[f"{at}mlp.down_proj.weight"] = drawn(WIDTH, MLP)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            made[f"{at}{norm}.weight"] = 1 + drawn(1, WIDTH)[0]
    return made


def reference(tokens: list[int], made: dict[str, np.ndarray]) -> np.ndarray:
    """Compute the logits of what follows `tokens`."""
    w = {name: values.astype(np.float64) for name, values in made.items()}
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        h = _norm(x, w[f"{at}input_layernorm.weight"])
        q, k, v = (h @ w[f"{at}self_attn.{part}_proj.weight"].T for part in "qkv")
        heard = np.zeros((len(tokens), HEADS * DIM))
        for head in range(HEADS):
            its, shared = slice(head * DIM, (head + 1) * DIM), head // (HEADS // KV_HEADS)
            theirs = slice(shared * DIM, (shared + 1) * DIM)
            turned = np.array([_turned(k[then, theirs], then) for then in range(len(tokens))])
            for now in range(len(tokens)):
                scores = turned[: now + 1] @ _turned(q[now, its], now) / DIM**0.5
                share = np.exp(scores - scores.max())
                heard[now, its] = share / share.sum() @ v[: now + 1, theirs]
        x = x + heard @ w[f"{at}self_attn.o_proj.weight"].T
        h = _norm(x, w[f"{at}post_attention_layernorm.weight"])
        gate = h @ w[f"{at}mlp.gate_proj.weight"].T
        x = (
            x
            + (gate / (1 + np.exp(-gate)) * (h @ w[f"{at}mlp.up_proj.weight"].T))
            @ w[f"{at}mlp.down_proj.weight"].T
        )
    return _norm(x[-1], w["model.norm.weight"]) @ w["lm_head.weight"].T


def _norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + EPSILON) * weight


def _turned(head: np.ndarray, position: int) -> np.ndarray:
    pairs = head[: DIM // 2] + 1j * head[DIM // 2 :]
    pairs = pairs * np.exp(1j * position * THETA ** (-np.arange(DIM // 2) / (DIM // 2)))
    return np.concatenate((pairs.real, pairs.imag))


def tokenizer():
    """Make the byte-pair tokenizer."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    made = Tokenizer(models.BPE({text: i for i, text in enumerate(vocabulary())}, list(MERGES)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS])
    return made


def write_folder(folder: Path, made: dict[str, np.ndarray], *, dtype: str = "F32", **config: object) -> Path:
    """Write the model as Hugging Face's libraries do."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer().save(str(folder / "tokenizer.json"))
    sizes = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": WIDTH,
        "intermediate_size": MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": DIM,
        "vocab_size": len(vocabulary()),
        "max_position_embeddings": POSITIONS,
        "rms_norm_eps": EPSILON,
        "rope_theta": THETA,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": END,
    }
    (folder / "config.json").write_text(json.dumps({**sizes, **config}))
    settings = {"chat_template": TEMPLATE, "eos_token": MARKS[END], "bos_token": MARKS[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    write_safetensors(folder / "model.safetensors", made, dtype)
    return folder


def write_safetensors(path: Path, made: dict[str, np.ndarray], dtype: str) -> None:
    """Write arrays as F32 or BF16, which keeps the upper half of each number."""
    header, parts, at = {}, [], 0
    for name, values in made.items():
        words = values.astype("<f4").view("<u4")
        parts.append((words if dtype == "F32" else (words >> 16).astype("<u2")).tobytes())
        header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": [at, at + len(parts[-1])]}
        at += len(parts[-1])
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


_GGUF = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(
    path: Path, made: dict[str, np.ndarray], *, family: str = "llama", template: str = TEMPLATE
) -> Path:
    """Write the model as llama.cpp's converter does: what turns together stands side by side."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, family)
    writer.add_block_count(LAYERS)
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(THETA)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary())
    writer.add_token_types([3] * len(MARKS) + [1] * (len(vocabulary()) - len(MARKS)))
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(END)
    if template:
        writer.add_chat_template(template)
    for name, values in made.items():
        part = name.rpartition(".")[0]
        at = part.split(".", 3) if part.startswith("model.layers.") else None
        called = f"blk.{at[2]}.{_GGUF[at[3]]}" if at else _GGUF[part]
        if called.endswith(("attn_q", "attn_k")):
            values = values.reshape(-1, 2, DIM // 2, WIDTH).swapaxes(1, 2).reshape(values.shape)  # noqa: PLW2901
        writer.add_tensor(f"{called}.weight", np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
