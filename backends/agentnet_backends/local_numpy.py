"""The language model itself, in NumPy: what a decoder of the Llama family computes, in float32.

One conversation is evaluated at a time, so that no result depends on what else is asked. What was computed of
its beginning can be gone on from: a `Past` is never changed, so many continuations share one.

Sources: Touvron et al. 2023 (2302.13971); Su et al. 2021 (2104.09864) for rotary positions, Ainslie et al.
2023 (2305.13245) for grouped queries, Shazeer 2020 (2002.05202) for SwiGLU, Zhang and Sennrich 2019
(1910.07467) for RMSNorm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Floats = NDArray[np.floating[Any]]
"""Of 32 bits; type checkers lose that in products."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the weights alone do not say of a model.

    Attributes:
        n_layers: Layers.
        n_heads: Heads of queries.
        n_kv_heads: Heads of keys and values; queries share them in groups.
        head_dim: Numbers in a head.
        n_positions: Longest conversation, in tokens.
        epsilon: Of the norms.
        frequencies: Turns of the rotary positions, in radians a token, shape ``(head_dim / 2,)``.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    n_positions: int
    epsilon: float
    frequencies: Floats


class Past(NamedTuple):
    """What has to be known of the tokens so far to go on from them.

    Attributes:
        n_tokens: How many there are.
        layers: Keys and values of each layer, shape ``(n_kv_heads, n_tokens, head_dim)`` each.
    """

    n_tokens: int
    layers: tuple[tuple[Floats, Floats], ...]

    @property
    def n_bytes(self) -> int:
        """The memory that it takes."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)


class _Layer(NamedTuple):
    qkv: Floats
    bias: Floats | None
    q_norm: Floats | None
    k_norm: Floats | None
    out: Floats
    gate_up: Floats
    down: Floats
    norm_in: Floats
    norm_mlp: Floats


class NumpyRuntime:
    """Evaluates a decoder of the Llama family.

    Args:
        shape: Its sizes.
        weights: Its weights by Hugging Face's names, less ``model.``.
        threads: Threads of linear algebra; one is the fastest where cores are shared.
    """

    name = "numpy"

    def __init__(self, shape: Shape, weights: Mapping[str, Floats], threads: int = 1) -> None:
        self.shape = shape
        self.n_positions = shape.n_positions
        self._pools = ThreadpoolController()
        self._threads = threads
        self._embedding = weights["embed_tokens.weight"]
        self._norm = weights["norm.weight"]
        self._head = weights.get("lm_head.weight", self._embedding)
        self.n_vocabulary = len(self._head)
        self._layers = [_layer(weights, f"layers.{i}.") for i in range(shape.n_layers)]

    def extend(self, past: Past | None, tokens: Sequence[int]) -> tuple[Past, Floats]:
        """Go on from `past` by some tokens.

        Args:
            past: What went before; None at the beginning. Stays as it is.
            tokens: At least one.

        Returns:
            What to go on from, and the logits of what follows the last token, shape ``(n_vocabulary,)``.
        """
        with self._pools.limit(limits=self._threads, user_api="blas"):
            start = past.n_tokens if past else 0
            turns = np.outer(np.arange(start, start + len(tokens), dtype=np.float32), self.shape.frequencies)
            cos, sin = np.cos(turns), np.sin(turns)
            x = self._embedding[list(tokens)]
            layers = []
            for i, layer in enumerate(self._layers):
                kept = past.layers[i] if past else None
                heard, kept = self._attention(layer, self._normed(x, layer.norm_in), kept, cos, sin)
                x = x + heard
                x = x + _mlp(layer, self._normed(x, layer.norm_mlp))
                layers.append(kept)
            last = self._normed(x[-1], self._norm)
            return Past(start + len(tokens), tuple(layers)), self._head @ last

    def _normed(self, x: Floats, weight: Floats) -> Floats:
        mean_square = np.mean(x * x, axis=-1, keepdims=True)
        normed: Floats = x / np.sqrt(mean_square + np.float32(self.shape.epsilon)) * weight
        return normed

    def _attention(
        self, layer: _Layer, x: Floats, kept: tuple[Floats, Floats] | None, cos: Floats, sin: Floats
    ) -> tuple[Floats, tuple[Floats, Floats]]:
        shape, n = self.shape, len(x)
        made: Floats = x @ layer.qkv.T
        if layer.bias is not None:
            made += layer.bias
        heads = made.reshape(n, -1, shape.head_dim).transpose(1, 0, 2)
        n_asking = shape.n_heads + shape.n_kv_heads
        q: Floats = heads[: shape.n_heads]
        k: Floats = heads[shape.n_heads : n_asking]
        v: Floats = heads[n_asking:]
        if layer.q_norm is not None and layer.k_norm is not None:
            q, k = self._normed(q, layer.q_norm), self._normed(k, layer.k_norm)
        q, k, v = _turned(q, cos, sin), _turned(k, cos, sin), np.ascontiguousarray(v)
        if kept is not None:
            k, v = np.concatenate((kept[0], k), axis=1), np.concatenate((kept[1], v), axis=1)
        # The queries that share keys stand below each other, so that one product serves them.
        q = q.reshape(shape.n_kv_heads, -1, shape.head_dim) * np.float32(shape.head_dim**-0.5)
        scores = (q @ k.transpose(0, 2, 1)).reshape(shape.n_heads, n, -1)
        if n > 1:
            scores[..., -n:] += np.triu(np.full((n, n), -np.inf, np.float32), 1)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        total = scores.sum(axis=-1, keepdims=True)
        mixed = scores.reshape(shape.n_kv_heads, -1, scores.shape[-1]) @ v
        mixed = mixed.reshape(shape.n_heads, n, -1) / total
        return mixed.transpose(1, 0, 2).reshape(n, -1) @ layer.out.T, (k, v)


def _turned(heads: Floats, cos: Floats, sin: Floats) -> Floats:
    """Turn each pair of numbers by its position's angle; a pair is one number of either half."""
    one, two = np.split(heads, 2, axis=-1)
    return np.concatenate((one * cos - two * sin, two * cos + one * sin), axis=-1)


def _mlp(layer: _Layer, x: Floats) -> Floats:
    gate, up = np.split(x @ layer.gate_up.T, 2, axis=-1)
    # Written so that no exponential overflows into a warning: the logistic function by its tangent.
    return (gate * (0.5 + 0.5 * np.tanh(0.5 * gate)) * up) @ layer.down.T


def _layer(weights: Mapping[str, Floats], at: str) -> _Layer:
    def joined(*names: str) -> Floats:
        return np.concatenate([weights[f"{at}{name}"] for name in names])

    projections = [f"self_attn.{part}_proj." for part in "qkv"]
    has_bias = f"{at}{projections[0]}bias" in weights
    return _Layer(
        joined(*(f"{name}weight" for name in projections)),
        joined(*(f"{name}bias" for name in projections)) if has_bias else None,
        weights.get(f"{at}self_attn.q_norm.weight"),
        weights.get(f"{at}self_attn.k_norm.weight"),
        weights[f"{at}self_attn.o_proj.weight"],
        joined("mlp.gate_proj.weight", "mlp.up_proj.weight"),
        weights[f"{at}mlp.down_proj.weight"],
        weights[f"{at}input_layernorm.weight"],
        weights[f"{at}post_attention_layernorm.weight"],
    )
