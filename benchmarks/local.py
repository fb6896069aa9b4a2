"""CPU of backend ``local`` by probabilities, against its runtime's own evaluation of the same prompts.

The prompts are distinct questions of the paper's design: so many profiles are asked about so many
news items. The bare loop renders nothing and remembers nothing but each profile's beginning: it goes on from
that, and reads P(yes) off the logits. The backend is asked through `complete`, all at once, for two
temperatures each. Both are given in CPU-seconds of the whole process a question, turn by turn, so that other
programs burden both.

    python benchmarks/local.py [--profiles 8] [--items 5] [--turns 3] [--model smollm2] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable

import numpy as np
from figures import tell

from agentnet.backend import Messages, Request, make_backend
from agentnet.news import sample_news
from agentnet.profiles import all_profiles
from agentnet.prompts import PromptSet
from agentnet_backends.local_answers import ways_to_say
from agentnet_backends.local_model import LocalModel
from agentnet_backends.local_weights import weights

AT_MOST = 1.5
CACHE_MB = 512.0


def questions(n_profiles: int, n_items: int) -> list[Messages]:
    """Render the design's questions, item by item, as a cascade comes to them."""
    prompts, profiles = PromptSet.load(), list(all_profiles())
    return [
        prompts.messages("exposure", profile, item, rationale="none")
        for item in sample_news().items[:n_items]
        for profile in profiles[:: len(profiles) // n_profiles][:n_profiles]
    ]


def bare(path: str, asked: list[Messages]) -> Callable[[], list[float]]:
    """Prepare the bare loop; it gives P(yes) of each question."""
    model = LocalModel(weights(path), "auto", 1, 0.0)
    prompts = [model.prompt(messages) for messages in asked]
    ways = ways_to_say(("yes", "no"), ("given", "capital"), model.speaker.tokens)
    first = [way.tokens[0] for way in ways]
    is_yes = np.array([way.answer == "yes" for way in ways])

    def play() -> list[float]:
        pasts = {}
        found = []
        for tokens, (cut, *_) in prompts:
            begin = tokens[:cut]
            if begin not in pasts:
                pasts[begin], _ = model.runtime.extend(None, begin)
            _, logits = model.runtime.extend(pasts[begin], tokens[cut:])
            shares = np.exp(logits[first] - logits.max())
            found.append(float(shares[is_yes].sum() / shares.sum()))
        return found

    return play


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
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    asked = questions(args.profiles, args.items)
    play = bare(args.model, asked)
    bare_s, backend_s, apart = [], [], 0.0
    for _ in range(args.turns):
        started = time.process_time()
        truth = play()
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
