"""Backend ``openai`` against llama.cpp's own server with a real small model.

``make test-servers`` runs these tests and no other command does. They need LLAMA_MODEL, the path of the
GGUF file of a chat model, and the package xllamacpp in this environment.
"""

from __future__ import annotations

import asyncio
import math
import os
from importlib.util import find_spec

import pytest

from agentnet.backend import Request, make_backend
from agentnet.config import StackSettings
from agentnet.stack import build_stack

if not os.environ.get("LLAMA_MODEL") or find_spec("xllamacpp") is None:
    pytest.skip(
        "LLAMA_MODEL is not set, or xllamacpp is not installed: backend openai is NOT tested against "
        "llama.cpp's server here; see make test-servers",
        allow_module_level=True,
    )

OWN = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
ASKED = [
    Request(
        (
            ("system", f"You are a {who} person."),
            ("user", f"{what} Do you share this news with your friends? Answer yes or no."),
        ),
        answers=("yes", "no"),
    )
    for who in ("curious", "shy")
    for what in ("The town fair opens tomorrow.", "A bank was robbed.")
]
N_DRAWS = 160


def ask_all(url, requests, *, in_flight=1, **options):
    """Ask by the whole stack; give the replies and what was said."""
    said = []

    async def main():
        backend = make_backend("openai", {"model": "m", "base_url": url, "constrain": "grammar", **options})
        settings = StackSettings(cache=False, max_wait_s=0.5)
        stack = build_stack(
            backend, settings, scope="", cache_folder=None, in_flight=in_flight, adapted=said.extend
        )
        replies = await asyncio.gather(*(stack.backend.complete(request) for request in requests))
        await stack.backend.aclose()
        return replies

    return asyncio.run(main()), said


def p_yes(reply):
    yes, no = (math.exp(reply.logprobs[answer]) for answer in ("yes", "no"))
    return yes / (yes + no)


def odds(url, temperature, seeds=(0,), requests=ASKED, **options):
    asked = [
        request._replace(temperature=temperature, logprobs=True, seed=seed)
        for request in requests
        for seed in seeds
    ]
    replies, said = ask_all(url, asked, **options)
    assert [reply.doubt for reply in replies] == [""] * len(asked)
    return [p_yes(reply) for reply in replies], said


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_probabilities_are_those_of_the_texts_that_are_drawn(llama, say, temperature):
    (known, *_), said = odds(llama, temperature, requests=ASKED[:1], **OWN)
    drawn = [ASKED[0]._replace(temperature=temperature, seed=seed) for seed in range(N_DRAWS)]
    replies, _ = ask_all(llama, drawn, in_flight=4, **OWN)
    share = sum(reply.texts == ("yes",) for reply in replies) / N_DRAWS
    z = (share - known) / math.sqrt(known * (1.0 - known) / N_DRAWS)
    say(f"T = {temperature}: P(yes) {known:.4f}, {share:.4f} of {N_DRAWS} texts, z = {z:.2f}; {said[0]}")
    assert abs(z) < 4.0
    assert "post_sampling_probs" in said[0]


def test_without_the_prompt_cache_and_one_at_a_time_a_probability_is_one_number(llama, say):
    kept = {"extra": {"cache_prompt": False}}
    alone, _ = odds(llama, 1.0, seeds=range(4), **OWN, **kept)
    by_question = [alone[i : i + 4] for i in range(0, len(alone), 4)]
    assert [max(each) - min(each) for each in by_question] == pytest.approx([0.0] * len(ASKED), abs=1e-9)
    together, _ = odds(llama, 1.0, seeds=range(4), in_flight=4, **OWN)
    moved = max(abs(a - b) for a, b in zip(alone, together, strict=True))
    say(f"P moves by up to {moved:.4f} with the prompt cache and 4 in flight")


def test_more_samples_than_slots_are_asked_for_as_many_as_there_are(llama, say):
    replies, said = ask_all(llama, [ASKED[0]._replace(n=10)])
    say(said)
    assert len(replies[0].texts) == 4


def test_answers_inside_json_have_odds_only_where_one_way_to_begin_it_is_near_certain(llama, say):
    asked = [request._replace(logprobs=True, max_tokens=64) for request in ASKED]
    replies, said = ask_all(llama, asked, constrain="response_format", **OWN)
    doubts = [reply.doubt for reply in replies if reply.logprobs is None]
    say(f"{len(doubts)} of {len(asked)} have none: {doubts[:1]}; {said}")
    assert all("inside JSON" in doubt or "spell" in doubt for doubt in doubts)
    assert doubts
