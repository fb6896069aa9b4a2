"""Whether a trial is the same when it is played again, with answers that arrive in another order.

What an experiment's own methods ask may hang on their arguments and on answers alone: a run that is resumed
plays them again, and how fast answers come is nobody's choice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final

from agentnet.backend import Backend, Messages, Reply, Request
from agentnet.errors import DesignError
from agentnet.events import Run

_COMPARED: Final = {
    "who is asked what": (
        "SELECT realization, step, kind, agent, source, repeat, prompt FROM events "
        "ORDER BY realization, step, kind, agent, source, repeat"
    ),
    "which facts prompts use": (
        "SELECT realization, step, kind, agent, source, repeat, message, context FROM exposures "
        "ORDER BY realization, step, kind, agent, source, repeat"
    ),
    "what answers do": "SELECT realization, step, n_engaged FROM steps ORDER BY realization, step",
    "which messages are written": "SELECT realization, step, * FROM messages ORDER BY realization, message",
    "what is changed": "SELECT realization, step, * FROM changes ORDER BY realization, change",
    "what is measured": "SELECT realization, step, * FROM measures ORDER BY realization, step, name, agent",
}
"""What is compared -> SQL, realization and step first."""

_ORDERS: Final = 7
_MOSTLY: Final = 0.5
_POOLED: Final = ("choices", "logprobs")


class OtherOrder:
    """A backend whose answers arrive in another order: each waits for some turns of the event loop."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.name, self.model_name = inner.name, inner.model_name
        self._n_asked = 0

    async def complete(self, request: Request) -> Reply:
        """Answer `request`."""
        self._n_asked += 1
        for _ in range(-self._n_asked % _ORDERS):
            await asyncio.sleep(0)
        return await self._inner.complete(request)

    async def aclose(self) -> None:
        """Close the backend asked."""
        await self._inner.aclose()


def check_same(first: Run, again: Run, who: str, hooks: str) -> None:
    """Refuse an experiment that was another one when it was played again.

    Args:
        first: A trial.
        again: The same realizations, played again.
        who: Name of the experiment.
        hooks: Its own methods, in words.

    Raises:
        DesignError: They differ; says where first.
    """
    apart = min(_differences(first, again), default=None)
    if apart is not None:
        (realization, step), what = apart
        raise DesignError(
            f"{who} is another experiment when it is played again: from step {step} of realization "
            f"{realization} on, {what} differs. Its own {hooks} may depend on arguments, knobs and answers, "
            "and on chance that is drawn from them by a seed; on no clock, file, count or random number of "
            "its own, nor on the order in which answers arrive"
        )


def _differences(first: Run, again: Run) -> Iterator[tuple[tuple[int, int], str]]:
    for what, query in _COMPARED.items():
        pairs = zip_longest(first.rows(query)[1], again.rows(query)[1])
        apart = next((pair for pair in pairs if pair[0] != pair[1]), None)
        if apart is not None:
            yield min((row[0], row[1]) for row in apart if row is not None), what


def told_prompts(run: Run, condition_of: Mapping[int, str]) -> dict[str, Messages]:
    """Give one prompt of each kind of question and facts that it used: ``exposure (n_shared)``.

    Args:
        run: A trial.
        condition_of: Realization -> what its prompts are called by behind that; "" for those of the first
            condition. Others have the first prompt that the first condition does not have.
    """
    query = (
        "SELECT e.kind, h.context, e.prompt, MIN(e.realization) FROM events e JOIN exposures h "
        "USING (realization, kind, step, agent, source, repeat) GROUP BY 1, 2, 3, e.realization ORDER BY 3"
    )
    rows = run.rows(query)[1]
    first = {prompt for _, _, prompt, realization in rows if not condition_of[realization]}
    numbers: dict[str, int] = {}
    for kind, context, prompt, realization in sorted(rows, key=lambda row: condition_of[row[3]] != ""):
        facts, of = ", ".join(json.loads(context)), condition_of[realization]
        if not (of and prompt in first):
            numbers.setdefault((f"{kind} ({facts})" if facts else kind) + of, prompt)
    texts = "SELECT messages FROM prompts WHERE prompt = ?"
    return {
        name: tuple((role, content) for role, content in json.loads(run.rows(texts, (number,))[1][0][0]))
        for name, number in numbers.items()
    }


def distinct_notes(run: Run, mode: str) -> tuple[str, ...]:
    """Say how many different prompts a trial made, and what that means for a sampler mode."""
    query = "SELECT COUNT(*), COUNT(DISTINCT prompt) FROM events WHERE kind <> 'reason'"
    row: tuple[Any, ...] = run.rows(query)[1][0]
    n_questions, n_prompts = row
    notes = (f"the trial asked {n_questions:,} questions by {n_prompts:,} different prompts",)
    if mode in _POOLED and n_prompts > _MOSTLY * n_questions:
        why = (
            "most questions have a prompt of their own, as where prompts hold memory or texts of agents: "
            f"sampler mode {mode}, which answers many questions by one request, saves little here"
        )
        return (*notes, why)
    return notes
