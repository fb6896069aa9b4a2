"""The command `serve`: a model server that is none, for trying things out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache

import click

from agentnet.backend import Messages, make_backend
from agentnet.cli.common import Chosen, Finite, setting_options
from agentnet.cli.terminal import echo
from agentnet.errors import StorageError
from agentnet.news import sample_news
from agentnet.probe.subject import OPPOSITE
from agentnet.prompts import PromptSet
from agentnet.testing.faults import FAULTS, FaultPlan
from agentnet.testing.server import LIKE_VLLM, ServerDouble, ServerLimits
from agentnet.testing.server import serve as serve_double
from agentnet.vocabulary import EVALUATION, INLINE

_CURABLE = (
    *("rate_limit", "rate_limit_bare", "http_500", "http_502", "http_503", "reset", "half_body"),
    *("malformed_json", "wrong_schema", "no_choices"),
)


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port on loopback; 0 takes a free one.",
)
@click.option("--latency", type=Finite(0), default=0.0, help="Mean time to an answer, in seconds.")
@click.option(
    "--faults", type=Finite(0, 1), default=0.0, help="Share of calls that fail in a way that a retry cures."
)
@click.option(
    "--fault",
    "named",
    multiple=True,
    metavar="KIND=RATE",
    help=f"A fault at a rate. Kinds: {', '.join(FAULTS)}.",
)
@click.option("--requests-per-minute", type=int, help="Rate limit, with the headers real servers send.")
@click.option("--tokens-per-minute", type=int, help="Rate limit on tokens.")
@click.option("--model", default="double", show_default=True, help="Name of the model it serves.")
@click.option("--seed", type=int, default=0, help="Fixes which calls fail.")
@setting_options
def serve(
    port: int,
    latency: float,
    faults: float,
    named: tuple[str, ...],
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    model: str,
    seed: int,
    chosen: Chosen,
) -> None:
    """Serve OpenAI's protocol on loopback, answered by the mock's law; no model and no key.

    \b
      agentnet serve --port 8000 --latency 0.2 --faults 0.1
      agentnet run experiments/news_cascade.py --backend openai --model double \\
          -S backend.base_url=http://127.0.0.1:8000/v1
    """
    chosen.load()
    rates = {kind: faults / len(_CURABLE) for kind in _CURABLE} if faults else {}
    for text in named:
        kind, _, rate = text.partition("=")
        rates[kind] = _rate(text, rate)
    law = make_backend("mock", {}, os.environ)

    def make() -> ServerDouble:
        limits = ServerLimits(requests_per_minute, tokens_per_minute)
        plan = FaultPlan(rates=rates, seed=seed)
        return ServerDouble(
            law,
            models=(model,),
            faults=plan,
            limits=limits,
            latency_s=latency,
            manners=LIKE_VLLM,
            metadata_of=read_metadata,
        )

    try:
        serve_double(make, host="127.0.0.1", port=port, announce=lambda url: echo(f"serving {url}"))
    except OSError as error:
        raise StorageError(
            f"port {port} cannot be served on ({error.strerror}); choose another by --port"
        ) from error


@lru_cache(4096)
def read_metadata(messages: Messages) -> Mapping[str, str | int]:
    """Read profile, severity and form of answer back from a prompt of the package's templates.

    The mock's law needs them, and a wire carries only the prompt. What cannot be read is left out. A
    question that follows on answers, to nobody's profile, is one of a question bank to a model with a memory.
    """
    system = "\n".join(content for role, content in messages if role == "system")
    asked = "\n".join(content for role, content in messages if role == "user")
    found: dict[str, str | int] = {}
    wording = _wording()
    bits = ["1" if high in system else "0" if low in system else "?" for low, high in wording]
    if "?" not in bits:
        found["profile"] = "".join(bits)
    elif messages[-2:-1] and messages[-2][0] == "assistant" and messages[-1][1].endswith("?"):
        found["kind"] = EVALUATION
    for text, severity in _sample_texts():
        if text in asked:
            found["severity"] = severity
    if OPPOSITE in asked:
        found["opposite"] = 1
    if '"share"' in asked:
        found["rationale"] = INLINE
    return found


@lru_cache(1)
def _wording() -> list[tuple[str, str]]:
    wording = PromptSet.load().wording
    return list(zip(wording.low, wording.high, strict=True))


@lru_cache(1)
def _sample_texts() -> list[tuple[str, int]]:
    return [(item.text, item.severity) for item in sample_news().items if item.severity is not None]


def _rate(text: str, rate: str) -> float:
    try:
        return float(rate)
    except ValueError:
        raise click.UsageError(f"--fault {text}: write KIND=RATE, such as http_500=0.1") from None
