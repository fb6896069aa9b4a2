"""Other runtimes that could compute backend ``local``'s models, for ``local.py``: each plays its questions.

Each is given ready-made tokens, and reuses what questions begin with alike by its own means. CTranslate2's
weights are filled from the same arrays, in float32; llama.cpp computes with the GGUF's own quantized ones.
Both keep beginnings from one turn to the next, which flatters them: neither has a way to forget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import files, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from agentnet_backends.local_files import ModelFiles, open_model

_LISTED: Final = 500
"""Tokens that llama.cpp lists: more than lie above yes and no."""

Asked = Sequence[tuple[Sequence[int], int]]
"""Tokens of each question, and how many of them are its beginning that others share."""

Play = Callable[[Asked], list[Mapping[int, float]]]
"""Gives for each question the log-probability, or the logit, of each token that may come next."""


def ctranslate2(path: Path) -> Play:
    """Fill CTranslate2 in float32 from the model's arrays; what is static of a prompt is cached."""
    from ctranslate2 import Generator

    with TemporaryDirectory() as folder:
        _write_ctranslate2(open_model(path), folder)
        generator = Generator(folder, compute_type="float32", inter_threads=1, intra_threads=1)

    def play(asked: Asked) -> list[Mapping[int, float]]:
        made = [
            generator.generate_batch(
                [list(map(str, tokens[cut:]))],
                static_prompt=list(map(str, tokens[:cut])),
                cache_static_prompt=True,
                include_prompt_in_result=False,
                max_length=1,
                sampling_topk=1,
                return_logits_vocab=True,
            )[0].logits[0][0]
            for tokens, cut in asked
        ]
        return [dict(enumerate(np.asarray(each).tolist())) for each in made]

    return play


def _write_ctranslate2(model: ModelFiles, folder: str) -> None:
    from ctranslate2.specs import TransformerDecoderModelSpec
    from ctranslate2.specs.common_spec import Activation

    shape, made = model.shape(), model.weights()
    spec = TransformerDecoderModelSpec.from_config(
        shape.n_layers,
        shape.n_heads,
        activation=Activation.SWISH,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,
        rotary_interleave=False,
        rotary_base=float(shape.frequencies[1]) ** (-shape.head_dim / 2),
        num_heads_kv=shape.n_kv_heads,
    )
    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight = made["embed_tokens.weight"]
    decoder.projection.weight = made.get("lm_head.weight", made["embed_tokens.weight"])
    decoder.layer_norm.gamma = made["norm.weight"]
    for i, layer in enumerate(decoder.layer):
        of = {name.removeprefix(f"layers.{i}."): each for name, each in made.items()}
        qkv = [of[f"self_attn.{part}_proj.weight"] for part in "qkv"]
        layer.self_attention.layer_norm.gamma = of["input_layernorm.weight"]
        layer.self_attention.linear[0].weight = np.concatenate(qkv)
        layer.self_attention.linear[1].weight = of["self_attn.o_proj.weight"]
        layer.ffn.layer_norm.gamma = of["post_attention_layernorm.weight"]
        layer.ffn.linear_0.weight = of["mlp.gate_proj.weight"]
        layer.ffn.linear_0_noact.weight = of["mlp.up_proj.weight"]
        layer.ffn.linear_1.weight = of["mlp.down_proj.weight"]
    # Its tokens are texts: here the numbers of ours.
    spec.register_vocabulary(list(map(str, range(len(made["embed_tokens.weight"])))))
    spec.config.unk_token = spec.config.bos_token = spec.config.eos_token = "0"
    spec.config.layer_norm_epsilon = float(shape.epsilon)
    spec.validate()
    spec.save(folder)


def xllamacpp(path: Path) -> Play:
    """Start llama.cpp's server in this process; its prompt cache is on, and one slot serves all."""
    from xllamacpp import CommonParams, Server

    params = CommonParams()
    params.model.path, params.n_parallel, params.n_ctx, params.verbosity = str(path), 1, 2048, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = Server(params)

    def ask(tokens: Sequence[int]) -> Mapping[int, float]:
        body = {"prompt": [*tokens], "max_tokens": 1, "n_probs": _LISTED, "temperature": 1.0, "seed": 1}
        reply = server.handle_completions(body)
        if "choices" not in reply:
            raise SystemExit(f"llama.cpp answers {str(reply)[:300]}")
        listed = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return {each["id"]: each["logprob"] for each in listed}

    # By their beginnings, so that one slot finds them again.
    return lambda asked: [ask(tokens) for tokens, _ in asked]


PEERS: Final[Mapping[str, tuple[Callable[[Path], Play], tuple[str, ...]]]] = {
    "ctranslate2": (ctranslate2, ("ctranslate2",)),
    "xllamacpp": (xllamacpp, ("xllamacpp",)),
}
"""Name -> what prepares it, and the distributions that it needs."""


def megabytes(packages: Sequence[str]) -> float:
    """Add up what distributions take when installed, in megabytes, as their records have it."""
    return sum(each.size or 0 for name in packages for each in files(name) or ()) / 1e6


def versions(packages: Sequence[str]) -> str:
    """Name distributions with their versions."""
    return ", ".join(f"{name} {version(name)}" for name in packages)
