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

_ROWS = 4
"""Of which linear algebra takes as many at once."""


@dataclass(frozen=True, slots=True)
class ModelShape:
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

    def __init__(self, shape: ModelShape, weights: Mapping[str, Floats], threads: int = 1) -> None:
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
        ((more, logits),) = self.go_on(past, (None,), (tokens,))
        if past is None:
            return more, logits
        layers = tuple(_joined(*both) for both in zip(past.layers, more.layers, strict=True))
        return Past(past.n_tokens + more.n_tokens, layers), logits

    def go_on(
        self, past: Past | None, said: Sequence[Past | None], tokens: Sequence[Sequence[int]]
    ) -> list[tuple[Past, Floats]]:
        """Go on from `past` in several ways at once.

        Args:
            past: What went before all; None at the beginning.
            said: What followed it in each way; None: nothing.
            tokens: What follows that, at least one token each.

        Returns:
            What now follows `past` in each way, and the logits of what comes next.
        """
        n_ways, n_rows = len(said), sum(map(len, tokens))
        # Products of a few rows more are faster than those with a remainder: of a way that nobody asked for.
        more = [0] * (-n_rows % _ROWS if n_rows > 1 else 0)
        ways = [*zip(said, tokens, strict=True), *([(None, more)] if more else [])]
        turns, parts = self._places(past, ways)
        x = self._embedding[[token for _, each in ways for token in each]]
        layers: list[list[tuple[Floats, Floats]]] = []
        with self._pools.limit(limits=self._threads, user_api="blas"), np.errstate(over="ignore"):
            for i, layer in enumerate(self._layers):
                q, k, v = self._heard(layer, self._normed(x, layer.norm_in), *turns)
                heard = [
                    _joined(before and before.layers[i], (k[:, rows], v[:, rows]))
                    for (before, _), rows in zip(ways, parts, strict=True)
                ]
                layers.append(heard)
                if i == len(self._layers) - 1:
                    # What comes next is asked of the last token of each way alone.
                    last = [rows.stop - 1 for rows in parts[:n_ways]]
                    x, q, heard = x[last], q[:, last], heard[:n_ways]
                    parts = [slice(row, row + 1) for row in range(n_ways)]
                x = x + self._attention(q, past and past.layers[i], parts, heard) @ layer.out
                x = x + _mlp(layer, self._normed(x, layer.norm_mlp))
            logits = self._normed(x, self._norm) @ self._head.T
        made = [tuple(layer[way] for layer in layers) for way in range(n_ways)]
        return [(Past(each[0][0].shape[1], each), found) for each, found in zip(made, logits, strict=True)]

    def _places(
        self, past: Past | None, ways: Sequence[tuple[Past | None, Sequence[int]]]
    ) -> tuple[tuple[Floats, Floats], list[slice]]:
        """Give cosine and sine of all tokens' positions, and where each way's tokens stand among them."""
        at: list[int] = []
        parts = []
        for said, tokens in ways:
            start = sum(each.n_tokens for each in (past, said) if each)
            parts.append(slice(len(at), len(at) + len(tokens)))
            at += range(start, start + len(tokens))
        turns = np.outer(np.array(at, np.float32), self.shape.frequencies)
        return (np.cos(turns), np.sin(turns)), parts

    def _normed(self, x: Floats, weight: Floats) -> Floats:
        mean_square = np.vecdot(x, x)[..., None] / np.float32(x.shape[-1])
        normed: Floats = x / np.sqrt(mean_square + np.float32(self.shape.epsilon))
        normed *= weight
        return normed

    def _heard(self, layer: _Layer, x: Floats, cos: Floats, sin: Floats) -> tuple[Floats, Floats, Floats]:
        """Give queries, keys and values, by heads."""
        shape = self.shape
        made: Floats = x @ layer.qkv
        if layer.bias is not None:
            made += layer.bias
        heads = made.reshape(len(x), -1, shape.head_dim).transpose(1, 0, 2)
        n_asking = shape.n_heads + shape.n_kv_heads
        q: Floats = heads[: shape.n_heads]
        k: Floats = heads[shape.n_heads : n_asking]
        if layer.q_norm is not None and layer.k_norm is not None:
            q, k = self._normed(q, layer.q_norm), self._normed(k, layer.k_norm)
        return _turned(q, cos, sin), _turned(k, cos, sin), np.ascontiguousarray(heads[n_asking:])

    def _attention(
        self,
        q: Floats,
        past: tuple[Floats, Floats] | None,
        parts: Sequence[slice],
        heard: Sequence[tuple[Floats, Floats]],
    ) -> Floats:
        """Mix values by what queries find in keys: in those of the past, and of their own part up to them."""
        q = q * np.float32(self.shape.head_dim**-0.5)
        mixed, total = np.empty_like(q), np.empty((*q.shape[:2], 1), np.float32)
        far = None if past is None else self._grouped(q, past[0].transpose(0, 2, 1))
        for rows, (k, v) in zip(parts, heard, strict=True):
            near = self._grouped(q[:, rows], k.transpose(0, 2, 1))
            if (n := near.shape[1]) > 1:
                near[..., -n:] += np.triu(np.full((n, n), -np.inf, np.float32), 1)
            highest = near.max(axis=-1, keepdims=True)
            if far is not None:
                np.maximum(highest, far[:, rows].max(axis=-1, keepdims=True), out=highest)
                far[:, rows] -= highest
            near -= highest
            np.exp(near, out=near)
            near.sum(axis=-1, keepdims=True, out=total[:, rows])
            mixed[:, rows] = self._grouped(near, v)
        if far is not None and past is not None:
            np.exp(far, out=far)
            total += far.sum(axis=-1, keepdims=True)
            mixed += self._grouped(far, past[1])
        mixed /= total
        return mixed.transpose(1, 0, 2).reshape(q.shape[1], -1)

    def _grouped(self, of_queries: Floats, of_keys: Floats) -> Floats:
        """Multiply by what groups of heads share: they stand below each other, so that one product does."""
        n_heads, n, width = of_queries.shape
        made: Floats = of_queries.reshape(self.shape.n_kv_heads, -1, width) @ of_keys
        return made.reshape(n_heads, n, -1)


def _joined(before: tuple[Floats, Floats] | None, more: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Put keys and values behind those before."""
    if before is None:
        return more
    return np.concatenate((before[0], more[0]), axis=1), np.concatenate((before[1], more[1]), axis=1)


def _turned(heads: Floats, cos: Floats, sin: Floats) -> Floats:
    """Turn each pair of numbers by its position's angle; a pair is one number of either half."""
    one, two = np.split(heads, 2, axis=-1)
    return np.concatenate((one * cos - two * sin, two * cos + one * sin), axis=-1)


def _mlp(layer: _Layer, x: Floats) -> Floats:
    gate, up = np.split(x @ layer.gate_up, 2, axis=-1)
    # Where the exponential overflows, the logistic function is 0, as it should be.
    swish = np.exp(-gate)
    swish += 1.0
    np.divide(gate, swish, out=swish)
    swish *= up
    return swish @ layer.down


def _layer(weights: Mapping[str, Floats], at: str) -> _Layer:
    def joined(*names: str) -> Floats:
        parts = [weights[f"{at}{name}"] for name in names]
        # Products with rows of inputs are faster from here than from the outputs' rows.
        made = np.empty((parts[0].shape[1], sum(map(len, parts))), np.float32)
        return np.concatenate([part.T for part in parts], axis=1, out=made)

    projections = [f"self_attn.{part}_proj." for part in "qkv"]
    has_bias = f"{at}{projections[0]}bias" in weights
    return _Layer(
        joined(*(f"{name}weight" for name in projections)),
        np.concatenate([weights[f"{at}{name}bias"] for name in projections]) if has_bias else None,
        weights.get(f"{at}self_attn.q_norm.weight"),
        weights.get(f"{at}self_attn.k_norm.weight"),
        joined("self_attn.o_proj.weight"),
        joined("mlp.gate_proj.weight", "mlp.up_proj.weight"),
        joined("mlp.down_proj.weight"),
        weights[f"{at}input_layernorm.weight"],
        weights[f"{at}post_attention_layernorm.weight"],
    )
