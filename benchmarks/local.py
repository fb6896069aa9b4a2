"""CPU of backend ``local`` by probabilities, against its runtime's own evaluation of the same prompts.

The prompts are distinct questions of the paper's design: so many profiles are asked about so many
news items. The bare loop renders nothing and remembers nothing but each profile's beginning: it goes on from
that, and reads P(yes) off the logits. The backend is asked through `complete`, all at once, for two
temperatures each. Both are given in CPU-seconds of the whole process a question, turn by turn, so that other
programs burden both.

    python benchmarks/local.py [--profiles 8] [--items 5] [--turns 3] [--model smollm2] [--peers] [--json]

With ``--peers``, the other runtimes that are installed play them too (PyTorch, and those of
``local_peers.py``): tokens a CPU-second, where the tokens that a profile's questions begin with count once,
and how far P(yes) is from PyTorch's. What is not installed is named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from figures import tell
from local_peers import PEERS, Asked, Play, megabytes, versions

from agentnet.backend import Messages, Request, make_backend
from agentnet.news import sample_news
from agentnet.profiles import all_profiles
from agentnet.prompts import PromptSet
from agentnet_backends.local_answers import ways_to_say
from agentnet_backends.local_files import open_model
from agentnet_backends.local_model import LocalModel, Runtime, make_runtime
from agentnet_backends.local_weights import weights

AT_MOST = 1.5
TORCH = ("torch", "transformers")
NEEDED = {"numpy": ("numpy",), "torch": TORCH, **{name: needed for name, (_, needed) in PEERS.items()}}
CACHE_MB = 512.0


def questions(n_profiles: int, n_items: int) -> list[Messages]:
    """Render the design's questions, item by item, as a cascade comes to them."""
    prompts, profiles = PromptSet.load(), list(all_profiles())
    return [
        prompts.messages("exposure", profile, item, rationale="none")
        for item in sample_news().items[:n_items]
        for profile in profiles[:: len(profiles) // n_profiles][:n_profiles]
    ]


class Questions:
    """The questions in a model's tokens, and how its answers are read.

    Args:
        model: The model.
        asked: The questions.
    """

    def __init__(self, model: LocalModel, asked: list[Messages]) -> None:
        prompts = [model.prompt(messages) for messages in asked]
        self.prompts = [(tokens, cut) for tokens, (cut, *_) in prompts]
        ways = ways_to_say(("yes", "no"), ("given", "capital"), model.speaker.tokens)
        self._first = {way.tokens[0]: way.answer for way in ways}
        begun = {tokens[:cut] for tokens, cut in self.prompts}
        self.n_tokens = sum(map(len, begun)) + sum(len(tokens) - cut for tokens, cut in self.prompts)

    def p_yes(self, of: Mapping[int, float]) -> float:
        """Read P(yes) off logits or log-probabilities, by token."""
        found = {token: of[token] for token in self._first if token in of}
        best = max(found.values())
        shares = {token: math.exp(each - best) for token, each in found.items()}
        yes = sum(share for token, share in shares.items() if self._first[token] == "yes")
        return yes / sum(shares.values())


def bare(runtime: Runtime) -> Play:
    """Prepare the bare loop: it goes on from each beginning, which is evaluated once."""

    def play(asked: Asked) -> list[Mapping[int, float]]:
        pasts: dict[Sequence[int], object] = {}
        found = []
        for tokens, cut in asked:
            begin = tokens[:cut]
            if begin not in pasts:
                pasts[begin], _ = runtime.extend(None, begin)
            found.append(dict(enumerate(runtime.extend(pasts[begin], tokens[cut:])[1].tolist())))
        return found

    return play


def peers(path: Path) -> dict[str, Play]:
    """Prepare the other runtimes that are here, and name those that are not."""
    made = {}
    if all(map(find_spec, TORCH)):
        made["torch"] = bare(make_runtime("torch", open_model(path), 1))
    for name, (prepare, _) in PEERS.items():
        if find_spec(name):
            made[name] = prepare(path)
    for name in {"torch", *PEERS} - made.keys():
        sys.stderr.write(f"NOT MEASURED: {name} is not installed\n")
    return made


def beside(made: Mapping[str, Play], questions: Questions, turns: int) -> dict[str, dict[str, object]]:
    """Play the questions by each runtime, turn by turn; the first, which warms up, does not count."""
    used_s: dict[str, list[float]] = {name: [] for name in made}
    p: dict[str, list[float]] = {}
    for turn in range(-1, turns):
        for name, play in made.items():
            started = time.process_time()
            logits = play(questions.prompts[: 2 if turn < 0 else None])
            if turn >= 0:
                used_s[name].append(time.process_time() - started)
                p[name] = [questions.p_yes(each) for each in logits]
    truth = p.get("torch", p["numpy"])
    rates = {name: [questions.n_tokens / each for each in taken] for name, taken in used_s.items()}
    return {
        name: {
            "tokens_a_cpu_s": [min(of), max(of)],
            "times_numpy": _range([a / b for a, b in zip(of, rates["numpy"], strict=True)]),
            "p_yes_apart": float(np.abs(np.subtract(p[name], truth)).max()),
            "versions": versions(NEEDED[name]),
            "megabytes": round(megabytes(NEEDED[name])),
        }
        for name, of in rates.items()
    }


def _range(ratios: list[float]) -> list[float]:
    return [min(ratios), statistics.median(ratios), max(ratios)]


async def asked_for(
    path: str, asked: list[Messages], temperatures: tuple[float, ...]
) -> tuple[list[float], float]:
    """Ask a fresh backend all questions at once; gives P(yes) at temperature 1, and the CPU-seconds."""
    backend = make_backend("local", {"model": path, "cache_mb": CACHE_MB})
    await backend.complete(Request((("user", "Hello?"),), answers=("yes", "no"), max_tokens=1))
    started = time.process_time()
    found = await asyncio.gather(
        *(
            backend.complete(Request(messages, t, answers=("yes", "no"), logprobs=True, max_tokens=8))
            for messages in asked
            for t in temperatures
        )
    )
    used_s = time.process_time() - started
    await backend.aclose()
    odds = [{answer: np.exp(p) for answer, p in (reply.logprobs or {}).items()} for reply in found]
    return [float(each["yes"] / (each["yes"] + each["no"])) for each in odds[:: len(temperatures)]], used_s


def main() -> None:
    """Measure, print, and fail above `AT_MOST`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profiles", type=int, default=8)
    parser.add_argument("--items", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--peers", action="store_true", help="measure other runtimes instead")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    asked = questions(args.profiles, args.items)
    path = weights(args.model)
    model = LocalModel(path, "auto", 1, 0.0)
    of, play = Questions(model, asked), bare(model.runtime)
    if args.peers:
        for name, row in beside({"numpy": play, **peers(path)}, of, args.turns).items():
            print(json.dumps({"runtime": name, **row}))
        return
    bare_s, backend_s, apart = [], [], 0.0
    for _ in range(args.turns):
        started = time.process_time()
        truth = [of.p_yes(each) for each in play(of.prompts)]
        bare_s.append((time.process_time() - started) / len(asked))
        found, used_s = asyncio.run(asked_for(args.model, asked, (1.0, 0.7)))
        backend_s.append(used_s / len(asked))
        apart = max(apart, float(np.abs(np.subtract(found, truth)).max()))
    ratios = [b / a for a, b in zip(bare_s, backend_s, strict=True)]
    figures = {
        "questions": [len(asked)],
        "bare_cpu_s": bare_s,
        "backend_cpu_s": backend_s,
        "ratio": ratios,
        "p_yes_apart": [apart],
    }
    if args.json:
        tell(figures)
    else:
        print("\n".join(f"{name:14} {statistics.median(of):.6g}" for name, of in figures.items()))
    ratio = statistics.median(ratios)
    if ratio > AT_MOST:
        raise SystemExit(f"the backend takes {ratio:.2f} times the runtime's own time, above {AT_MOST}")


if __name__ == "__main__":
    main()
