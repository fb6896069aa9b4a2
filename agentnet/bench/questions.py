"""What a benchmark asks: the exposure prompts of the paper's design, on the synthetic news."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import NamedTuple

from agentnet.backend import Messages, Request
from agentnet.news import NewsItem, choose, sample_news
from agentnet.profiles import Profile, all_profiles
from agentnet.prompts import PromptSet, Rationale, answer_choices, answer_schema
from agentnet.streams import Streams
from agentnet.vocabulary import EXPOSURE, INLINE

ITEMS_PER_SEVERITY = 5
TEMPERATURES = (0.7, 1.3)
MAX_TOKENS = 256

_BATCH = 512


class _Prompt(NamedTuple):
    messages: Messages
    metadata: Mapping[str, str | int]


def exposure_requests(rationale: Rationale = "none", *, seed: int = 0, n: int = 1) -> Iterator[Request]:
    """Make requests without end: 10 news items x 32 profiles, in random order, at random temperatures.

    No two of them are the same draw, so a cache answers none.

    Args:
        rationale: Whether a reason is asked for (``inline``) or not (``none``).
        seed: Fixes news, order, temperatures and seeds.
        n: Samples asked for by each request, >= 1.
    """
    prompts = _prompts(rationale, seed)
    answers, schema = ((), answer_schema(rationale)) if rationale == INLINE else (answer_choices(), None)
    numbers = count()
    for batch in count():
        chance = Streams(seed).generator("bench", batch)
        which = chance.integers(len(prompts), size=_BATCH).tolist()
        temperatures = chance.uniform(*TEMPERATURES, size=_BATCH).tolist()
        seeds = chance.integers(2**63, size=_BATCH).tolist()
        for place, temperature, of_request in zip(which, temperatures, seeds, strict=True):
            messages, metadata = prompts[place]
            key = ((seed, "bench"), next(numbers), -1, 0, 0)
            yield Request(
                messages, temperature, n, MAX_TOKENS, answers, schema, False, of_request, key, metadata
            )


def _prompts(rationale: Rationale, seed: int) -> list[_Prompt]:
    texts = PromptSet.load()
    items = choose(sample_news().items, ITEMS_PER_SEVERITY, Streams(seed).integer("news"))
    return [_prompt(texts, profile, item, rationale) for item in items for profile in all_profiles()]


def _prompt(texts: PromptSet, profile: Profile, item: NewsItem, rationale: Rationale) -> _Prompt:
    messages = texts.messages(EXPOSURE, profile, item, rationale=rationale)
    severity = -1 if item.severity is None else item.severity
    facts: dict[str, str | int] = {"kind": EXPOSURE, "profile": profile.bits, "news": item.id}
    return _Prompt(messages, {**facts, "severity": severity, "rationale": rationale})
