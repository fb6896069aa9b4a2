"""Chat models as files: GGUF, or a folder as Hugging Face's libraries write it. Read with NumPy.

What the NumPy runtime cannot compute is not read past: a family of models that is not in `FAMILIES`, a weight
that has no place, an activation or a scaling of positions that is another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np

from agentnet.errors import ConfigurationError
from agentnet_backends.local_numpy import Floats, ModelShape

FAMILIES: Final = ("llama", "mistral", "qwen2", "qwen3")
"""Families of models that the NumPy runtime knows, by Hugging Face's names; a GGUF calls mistral llama."""

_TYPES: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}

# Which part of a GGUF is which of Hugging Face's.
_PARTS: Final = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}

_LLAMA_3: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
# How a GGUF's byte-pair tokenizer first splits a text; None: as GPT-2's does. Digits apart, or by a pattern.
_SPLITS: Final[Mapping[str, str | None]] = {
    "gpt-2": None,
    "default": None,
    "smollm": r"\p{N}",
    "llama-bpe": _LLAMA_3,
    "qwen2": _LLAMA_3.replace("{1,3}", ""),
}
_CONTROL, _USER_DEFINED = 3, 4
_SETTINGS: Final = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
)
"""Files of a folder, beside its weights, that decide what the model is asked and where a turn ends."""


class Unsupported(ConfigurationError):
    """The NumPy runtime cannot compute this model; another runtime may."""


class Chat(NamedTuple):
    """How a chat model is talked to.

    Attributes:
        template: The Jinja template that makes a text of a conversation; "" if it has none.
        marks: Texts of marks that templates name: ``bos_token``, ``eos_token``.
        ends: Tokens that end a turn.
        files: What the model's files are, for a fingerprint.
    """

    template: str
    marks: Mapping[str, str]
    ends: frozenset[int]


def model_files(path: Path) -> list[Path]:
    """List the files that decide what a model says, weights last."""
    if path.is_file():
        return [path]
    return [each for name in _SETTINGS if (each := path / name).is_file()] + sorted(
        path.glob("*.safetensors")
    )


class Gguf:
    """A model in one GGUF file, whose weights are brought to float32."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _reader(self) -> Any:  # noqa: ANN401 - of an extra
        from gguf import GGUFReader

        return GGUFReader(self.path)

    @cached_property
    def _family(self) -> str:
        return str(self._fact("general.architecture"))

    def _fact(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever stands there
        found = self._reader.fields.get(key)
        return default if found is None else found.contents()

    def _of_family(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever stands there
        return self._fact(f"{self._family}.{key}", default)

    def shape(self) -> ModelShape:
        """Read the sizes.

        Raises:
            Unsupported: The NumPy runtime does not know such a model.
        """
        _check_family(self._family, self.path)
        n_heads, width = self._of_family("attention.head_count"), self._of_family("embedding_length")
        head_dim = self._of_family("attention.key_length", width // n_heads)
        scaling = self._of_family("rope.scaling.type", "none")
        if scaling != "none":
            raise _unsupported(self.path, f"its positions are scaled by {scaling!r}")
        frequencies = _frequencies(self._of_family("rope.freq_base", 10_000.0), head_dim)
        factors = [tensor for tensor in self._reader.tensors if tensor.name == "rope_freqs.weight"]
        return ModelShape(
            self._of_family("block_count"),
            n_heads,
            self._of_family("attention.head_count_kv", n_heads),
            head_dim,
            min(self._of_family("context_length"), self._of_family("attention.sliding_window", 2**31)),
            self._of_family("attention.layer_norm_rms_epsilon"),
            (frequencies / np.asarray(factors[0].data)).astype(np.float32) if factors else frequencies,
        )

    def weights(self) -> dict[str, Floats]:
        """Read the weights, by the names that `NumpyRuntime` takes."""
        from gguf import dequantize

        shape, made = self.shape(), {}
        for tensor in self._reader.tensors:
            if tensor.name == "rope_freqs.weight":
                continue
            name = _named(tensor.name, self.path)
            values = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
            part = name.rpartition("self_attn.")[2].partition(".")[0]
            n_heads = {"q_proj": shape.n_heads, "k_proj": shape.n_kv_heads}.get(part)
            made[name] = _halves(values, n_heads) if n_heads and self._family == "llama" else values
        return made

    def tokenizer(self) -> Any:  # noqa: ANN401 - of an extra
        """Make the tokenizer from vocabulary and merges."""
        from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

        kind, split = self._fact("tokenizer.ggml.model"), self._fact("tokenizer.ggml.pre", "default")
        if kind != "gpt2" or split not in _SPLITS:
            raise ConfigurationError(
                f"{self.path}: its tokenizer is {kind!r} with {split!r}, and only 'gpt2' with "
                f"{', '.join(_SPLITS)} can be made of a GGUF; give the model's folder, which has a "
                "tokenizer.json"
            )
        texts, kinds = self._fact("tokenizer.ggml.tokens"), self._fact("tokenizer.ggml.token_type")
        merges = [tuple(merge.split(" ", 1)) for merge in self._fact("tokenizer.ggml.merges")]
        vocabulary = {text: i for i, text in enumerate(texts)}
        tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=split == "llama-bpe"))
        tokenizer.pre_tokenizer = _splitter(split)
        tokenizer.decoder = decoders.ByteLevel()
        if split == "qwen2":
            tokenizer.normalizer = normalizers.NFC()
        marks = [text for text, kind in zip(texts, kinds, strict=True) if kind in {_CONTROL, _USER_DEFINED}]
        tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in marks])
        return tokenizer

    def chat(self) -> Chat:
        """Read how it is talked to."""
        ids = {name: self._fact(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos", "eot")}
        texts = self._fact("tokenizer.ggml.tokens")
        marks = {f"{name}_token": texts[i] for name, i in ids.items() if i is not None}
        ends = frozenset(ids[name] for name in ("eos", "eot") if ids[name] is not None)
        return Chat(self._fact("tokenizer.chat_template", ""), marks, ends)


class Folder:
    """A model in a folder as Hugging Face's libraries write it."""

    # Settings that are the default, or have a meaning here; another value is another model.
    _PLAIN: ClassVar[Mapping[str, object]] = {"hidden_act": "silu", "mlp_bias": False}

    def __init__(self, path: Path) -> None:
        self.path = path

    def _json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path} cannot be read: {error}") from error
        return found if isinstance(found, dict) else {}

    def shape(self) -> ModelShape:
        """Read the sizes.

        Raises:
            Unsupported: The NumPy runtime does not know such a model.
        """
        config = self._json("config.json")
        _check_family(str(config.get("model_type")), self.path)
        for key, plain in self._PLAIN.items():
            if config.get(key, plain) != plain:
                raise _unsupported(self.path, f"its {key} is {config[key]!r}")
        n_heads, width = config["num_attention_heads"], config["hidden_size"]
        head_dim = config.get("head_dim") or width // n_heads
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        base = rope.get("rope_theta", config.get("rope_theta", 10_000.0))
        window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
        return ModelShape(
            config["num_hidden_layers"],
            n_heads,
            config.get("num_key_value_heads") or n_heads,
            head_dim,
            # A window as long as the conversation hides nothing.
            min(config["max_position_embeddings"], window or 2**31),
            config["rms_norm_eps"],
            self._scaled(_frequencies(base, head_dim), rope),
        )

    def _scaled(self, frequencies: Floats, rope: Mapping[str, Any]) -> Floats:
        """Slow down what turns least, as Llama 3 does (Grattafiori et al. 2024, 2407.21783)."""
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind == "default":
            return frequencies
        if kind != "llama3":
            raise _unsupported(self.path, f"its positions are scaled by {kind!r}")
        low, high, factor = (rope[key] for key in ("low_freq_factor", "high_freq_factor", "factor"))
        turns = rope["original_max_position_embeddings"] * frequencies / (2 * np.pi)
        share = np.clip((turns - low) / (high - low), 0.0, 1.0)
        scaled: Floats = ((1 - share) * frequencies / factor + share * frequencies).astype(np.float32)
        return scaled

    def weights(self) -> dict[str, Floats]:
        """Read the weights, by the names that `NumpyRuntime` takes."""
        files = sorted(self.path.glob("*.safetensors"))
        if not files:
            raise ConfigurationError(f"{self.path} holds no *.safetensors; save the model's weights as such")
        found = {name.removeprefix("model."): each for file in files for name, each in read_safetensors(file)}
        for name in found:
            _check_place(name, self.path)
        if self._json("config.json").get("tie_word_embeddings"):
            found.pop("lm_head.weight", None)
        return found

    def tokenizer(self) -> Any:  # noqa: ANN401 - of an extra
        """Read the tokenizer."""
        from tokenizers import Tokenizer

        path = self.path / "tokenizer.json"
        if not path.is_file():
            raise ConfigurationError(
                f"{self.path} holds no tokenizer.json; save the model's fast tokenizer there"
            )
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def chat(self) -> Chat:
        """Read how it is talked to."""
        settings = self._json("tokenizer_config.json")
        file = self.path / "chat_template.jinja"
        template = file.read_text("utf-8") if file.is_file() else settings.get("chat_template") or ""
        if isinstance(template, list):
            template = next((each["template"] for each in template if each["name"] == "default"), "")
        marks = {name: _text(settings.get(name)) for name in ("bos_token", "eos_token")}
        made = {**self._json("config.json"), **self._json("generation_config.json")}.get("eos_token_id")
        ends = made if isinstance(made, list) else [] if made is None else [made]
        named = self.tokenizer().token_to_id(marks["eos_token"])
        return Chat(template, marks, frozenset([*ends, *([] if named is None else [named])]))


ModelFiles = Gguf | Folder
"""One model on disk."""


def open_model(path: Path) -> ModelFiles:
    """Give the files at `path`, which is as `agentnet_backends.local_weights.weights` gives it."""
    return Folder(path) if path.is_dir() else Gguf(path)


def read_safetensors(path: Path) -> Iterator[tuple[str, Floats]]:
    """Read every array of a file in float32: of bfloat16, too, which NumPy does not know."""
    whole = np.memmap(path, np.uint8, "r")
    start = 8 + int(whole[:8].view("<u8")[0])
    header = json.loads(whole[8:start].tobytes())
    for name, about in header.items():
        if name == "__metadata__":
            continue
        if about["dtype"] not in _TYPES:
            raise ConfigurationError(
                f"{path}: {name} has numbers of type {about['dtype']}; known: {', '.join(_TYPES)}"
            )
        begin, end = about["data_offsets"]
        numbers = whole[start + begin : start + end].view(_TYPES[about["dtype"]]).reshape(about["shape"])
        if about["dtype"] == "BF16":
            numbers = (numbers.astype("<u4") << 16).view("<f4")
        yield name, np.array(numbers, np.float32)


def _text(mark: object) -> str:
    return str(mark.get("content", "")) if isinstance(mark, dict) else str(mark or "")


def _check_family(family: str, path: Path) -> None:
    if family not in FAMILIES:
        raise _unsupported(path, f"it is of family {family!r}")


def _unsupported(path: Path, why: str) -> Unsupported:
    return Unsupported(
        f"{path}: {why}, which the NumPy runtime does not compute; it knows {', '.join(FAMILIES)} as they "
        "usually are. Others are played by PyTorch: install torch and transformers (extra finetune), or "
        "choose another model"
    )


def _named(part: str, path: Path) -> str:
    """Translate a GGUF's name of a weight."""
    *layer, name, kind = part.removeprefix("blk.").split(".")
    if name not in _PARTS:
        raise _unsupported(path, f"it has weights called {part}")
    called = ".".join([*(["layers", *layer] if layer else []), _PARTS[name], kind])
    _check_place(called, path)
    return called


def _check_place(name: str, path: Path) -> None:
    part = name.rpartition(".")[0]
    part = part.split(".", 2)[2] if part.startswith("layers.") else part
    has_bias = name.endswith(".bias") and not part.endswith(("q_proj", "k_proj", "v_proj"))
    if has_bias or part not in _PARTS.values():
        raise _unsupported(path, f"it has weights called {name}")


def _halves(values: Floats, n_heads: int) -> Floats:
    """Put the numbers that turn together a half apart; a GGUF of this family has them side by side."""
    shape = (n_heads, len(values) // n_heads // 2, 2, *values.shape[1:])
    return np.ascontiguousarray(values.reshape(shape).swapaxes(1, 2).reshape(values.shape))


def _frequencies(base: float, head_dim: int) -> Floats:
    return np.power(float(base), -np.arange(0, head_dim, 2) / head_dim).astype(np.float32)


def _splitter(name: str) -> Any:  # noqa: ANN401 - of an extra
    from tokenizers import Regex, pre_tokenizers

    pattern = _SPLITS[name]
    # Llama's and Qwen's patterns say all; the others go on as GPT-2 does.
    bytes_too = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=len(pattern or "") < len(_LLAMA_3) // 2
    )
    if pattern is None:
        return bytes_too
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), bytes_too])
