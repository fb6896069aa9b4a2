"""A probe finds what is planted in a backend, passes one in which nothing is, and says what it does not know."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentnet import CascadeExperiment
from agentnet.backend import Backend, Reply, Request, Wrapper, make_backend
from agentnet.config import Settings
from agentnet.errors import BackendUnusable, InputError, RequestRejected
from agentnet.experiment import Source
from agentnet.probe.asking import Asker, find_probabilities
from agentnet.probe.card import Card, Finding, read_card
from agentnet.probe.contract import CHECKS, look, make_card
from agentnet.probe.judging import Spread, exact, logit, mean_of, of_sizes, sigma
from agentnet.probe.subject import Pair, Subject
from agentnet.runner import prepare
from agentnet.streams import mix, unit

Shift = Callable[[Request], float]


class Biased(Wrapper):
    """The mock, with what is planted in it: a shift of the logit of sharing, of probabilities and of texts."""

    def __init__(self, listed: Shift = lambda _: 0.0, said: Shift | None = None, *, lists: bool = True) -> None:
        super().__init__(make_backend("mock", {}))
        self._listed, self._said, self._lists = listed, said or listed, lists

    async def complete(self, request: Request) -> Reply:
        """Answer as the mock would with the shift; the first of the answers is that of sharing."""
        # A question whose reply is free is answered by a word, too.
        answers = request.answers or ("yes", "no")
        if request.schema is not None or '"share"' in request.messages[-1][1]:
            return await self._inner.complete(request._replace(logprobs=False))
        asked = request._replace(answers=answers, logprobs=True)
        found = (await self._inner.complete(asked)).logprobs
        assert found is not None
        p = math.exp(found[answers[0]])
        texts = tuple(
            answers[unit(mix(request.seed, i)) >= _moved(p, self._said(request))] for i in range(request.n)
        )
        q = _moved(p, self._listed(request))
        logprobs = dict(zip(answers, (math.log(q), math.log1p(-q)), strict=True))
        return Reply(texts, 300, request.n, "biased", (), logprobs if request.logprobs and self._lists else None)


def _moved(p: float, by: float) -> float:
    return sigma(logit(p) + by)


def towards_the_first(request: Request) -> float:
    """Favour sharing where the answer that stands for it is named first."""
    last = request.messages[-1][1].splitlines()[-1]
    answers = request.answers or ("yes", "no")
    places = [last.rfind(each) for each in answers]
    return 1.5 if places[0] < places[1] else -1.5


def towards_yes(request: Request) -> float:
    """Favour the word yes, whatever is asked."""
    return 2.0 if "yes" in request.answers else 0.0


def towards_a(request: Request) -> float:
    """Favour the letter A, whatever it stands for."""
    return {("A", "B"): 1.5, ("B", "A"): -1.5}.get(request.answers, 0.0)


def subject_of(**knobs: Any) -> Subject:
    """The questions of a cascade."""
    source = Source(Path("default.py"), "", held=CascadeExperiment(**knobs))
    composer = prepare(source, Settings(), Path("/dev/null")).stage.composer(0)
    assert not isinstance(composer, str)
    return Subject(composer)


@pytest.fixture(scope="module")
def subject() -> Subject:
    """The questions of the default cascade."""
    return subject_of()


def probed(
    backend: Backend, subject: Subject, *names: str, seed: int = 0, n_texts: int = 32
) -> dict[str, Finding]:
    """Probe a backend: check -> what it found."""

    async def probing() -> Card:
        asker = Asker(backend, subject, seed, n_texts, 64)
        await find_probabilities(asker)
        return await make_card(asker, names or tuple(CHECKS), asked="questions", answer_format="a word")

    return {finding.check: finding for finding in asyncio.run(probing()).findings}


def verdicts(found: dict[str, Finding]) -> dict[str, str]:
    """Check -> its verdict."""
    return {name: finding.verdict for name, finding in found.items()}


def figures(finding: Finding) -> dict[str, float | None]:
    """Name -> value of each figure."""
    return {figure.name: figure.value for figure in finding.figures}
