"""How the update rule ``finetune`` loads a model, and what its tokenizer says of how it is asked."""

from __future__ import annotations

import hashlib
import inspect
import os
import struct
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partialmethod
from importlib import import_module
from pathlib import Path
from typing import Any

from agentnet.errors import BackendUnusable
from agentnet_backends.finetune_learner import INSTRUCTION_FORM, MARKS, FinetuneOptions, Framing
from agentnet_backends.local_weights import known_models, weights

_OF_BROKEN_FILES = (AssertionError, LookupError, struct.error)
_NO_CLOCK = "{% macro strftime_now(format) %}1 January 2026{% endmacro %}"
_QUESTION, _ANSWER = "Which question was asked?", "This was answered."


@contextmanager
def loading(options: FinetuneOptions) -> Iterator[None]:
    """Set PyTorch up for `options`, and say what to do where a model cannot be loaded in the body.

    Raises:
        BackendUnusable: There is no such model, device or memory.
    """
    import torch
    from jinja2 import TemplateError

    if options.device.startswith("cuda"):
        # Read when cuBLAS starts; without it deterministic algorithms refuse to multiply matrices.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if options.threads is not None:
        torch.set_num_threads(options.threads)  # of the calling thread, which is the rule's own
    try:
        torch.device(options.device)
        with quiet():
            yield
    except (OSError, RuntimeError, ValueError, *_OF_BROKEN_FILES, ImportError, TemplateError) as error:
        raise BackendUnusable(
            f"the model {options.model!r} cannot be loaded on device {options.device!r}: "
            f"{' '.join(str(error).split())}; set "
            f"finetune.model to a causal language model with safetensors or GGUF, and finetune.device",
            kind="not_loaded",
        ) from error


def pretrained(options: FinetuneOptions) -> tuple[Any, Any]:
    """Load a model and its tokenizer, whole and in float32; Any, because transformers is an extra."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"pretrained_model_name_or_path": options.model, "revision": options.revision}
    gguf = _gguf(weights(options.model) if options.model in known_models() else Path(options.model))
    if gguf is not None:
        where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer: Any = AutoTokenizer.from_pretrained(**where)
    net: Any = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.float32, use_safetensors=True, attn_implementation="eager"
    )
    if gguf is not None:
        _forget_the_quantizer(net)
    return net, tokenizer


def _gguf(path: Path) -> Path | None:
    """Find the GGUF file that is meant by a path: itself, or the one of a folder that is no other model."""
    if path.is_file():
        return path
    found = [] if (path / "config.json").exists() else sorted(path.glob("*.gguf"))
    if len(found) > 1:
        raise ValueError(f"it holds several GGUF files ({', '.join(p.name for p in found)}); name one")
    return found[0] if found else None


def _forget_the_quantizer(net: Any) -> None:  # noqa: ANN401 - an extra's
    """Treat a model whose weights were dequantized as what it is: it is not saved or adapted otherwise."""
    net.hf_quantizer, net.is_quantized = None, False
    for config in (net, net.config):
        for name in ("quantization_method", "quantization_config"):
            if hasattr(config, name):
                delattr(config, name)


def framing_of(tokenizer: Any, options: FinetuneOptions) -> Framing:  # noqa: ANN401 - an extra's
    """Tell how questions are put to a model.

    Raises:
        BackendUnusable: It is a raw base, or has no chat template that could be used.
    """
    has_marks = all(mark in tokenizer.get_vocab() for mark in MARKS)
    if options.form == "marks" or (options.form is None and has_marks):
        return INSTRUCTION_FORM
    if tokenizer.chat_template:
        return _chat_form(tokenizer, options)
    raise BackendUnusable(
        f"the model {options.model!r} is a raw base: its tokenizer has no chat template, and "
        f"{', '.join(MARKS)} are no tokens of it, so it continues texts and answers no question. Teach it to "
        f"(agentnet prepare {options.model} --data databricks-dolly-15k.jsonl --out FOLDER, and then "
        f"finetune.model = FOLDER), take a chat model, or have it asked as it is: finetune.form = 'marks'",
        kind="not_prepared",
    )


def _chat_form(tokenizer: Any, options: FinetuneOptions) -> Framing:  # noqa: ANN401 - an extra's
    """Read off from an example what a chat template puts around a question and after an answer."""
    # Templates that write down today's date would ask otherwise tomorrow, and reasoning is no answer.
    template = f"{_NO_CLOCK}{tokenizer.get_chat_template()}"

    def written(*turns: tuple[str, str], is_open: bool) -> str:
        text: str = tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in turns],
            chat_template=template,
            add_generation_prompt=is_open,
            tokenize=False,
            enable_thinking=False,
        )
        return text

    asked = written(("user", _QUESTION), is_open=True)
    told = written(("user", _QUESTION), ("assistant", _ANSWER), is_open=False)
    close = told.partition(_ANSWER)[2].rstrip() or tokenizer.eos_token
    if asked.count(_QUESTION) != 1 or told.count(_ANSWER) != 1 or not close:
        raise BackendUnusable(
            f"the chat template of {options.model!r} does not write a question and its answer once "
            f"each, with an end that can be told; take another model, or set finetune.form = 'marks'",
            kind="not_loaded",
        )
    before, _, between = asked.partition(_QUESTION)
    return Framing(before, between, "", close)


def adapted(net: Any, options: FinetuneOptions) -> Any:  # noqa: ANN401 - an extra's
    """Put adapters into all linear layers of a model."""
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=options.rank, lora_alpha=options.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(devices=[]):  # what peft draws is not used
        return get_peft_model(net, config)


def cache_word(net: Any) -> str:  # noqa: ANN401 - an extra's
    """Tell what a model calls the keys and values that it has computed already.

    transformers renames ``past_key_values`` to ``cache``, which is the only name from 5.40 on.
    """
    base = net.get_base_model() if hasattr(net, "get_base_model") else net
    return "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"


def fingerprint(tokenizer: Any, weights: Iterable[tuple[str, Any]]) -> str:  # noqa: ANN401 - an extra's
    """Hash a vocabulary and weights, given by name."""
    digest = hashlib.blake2b(repr(sorted(tokenizer.get_vocab().items())).encode(), digest_size=16)
    for name, parameter in sorted(weights, key=lambda named: named[0]):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().numpy())
    return digest.hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing bars, and peft from warnings about what it calls there."""
    # Any: whether its functions have types depends on whether the extra is installed.
    bars: Any = import_module("transformers.utils.logging")
    were_shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    # Its reader of GGUF draws one by itself, whatever it is told.
    bar: Any = import_module("tqdm.auto").tqdm
    begin, bar.__init__ = bar.__init__, partialmethod(bar.__init__, disable=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        bar.__init__ = begin
        if were_shown:
            bars.enable_progress_bar()
