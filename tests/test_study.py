"""Studies of interacting models: the same in and outside an event loop, by a call or by awaiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentnet import CascadeExperiment, InterviewExperiment
from agentnet.analysis import embed_run, study_run
from agentnet.analysis.study import Study
from agentnet.errors import DesignError, RequestRejected, UserError
from agentnet.events import Run
from agentnet.report import Options, make_report

FEW: dict[str, Any] = {"n_bootstrap": 8, "seed": 2}


class Camps(InterviewExperiment):
    """Two classes of models."""

    models: dict[str, int] = {"society": 2, "science": 2}  # noqa: RUF012 - an attribute of a design
    n_evaluation = 4
    n_questions = 1
    n_taught = 3
    steps = 2
    repeats = 2


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    """Play two topologies."""
    return play(*(Camps(topology=name) for name in ("full", "intra_class")), seed=6)


class Letters:
    """Embeds by the number of each letter, and remembers where it was asked."""

    name, dim = "letters", 26

    def __init__(self) -> None:
        self.places: list[tuple[object, int]] = []
        self.is_closed = False

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Count letters, after others had their turn."""
        await asyncio.sleep(0)
        self.places.append((asyncio.get_running_loop(), threading.get_ident()))
        return np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], dtype=np.float32)

    async def aclose(self) -> None:
        """Remember it."""
        self.is_closed = True


def gaps(study: Study) -> list[Any]:
    """List what a study says of two classes, in all its numbers."""
    found = [each.gap.series for each in study.conditions]
    return [
        (each.value.tolist(), each.low.tolist(), each.high.tolist()) for each in found if each is not None
    ]


def inside_a_loop(work: Callable[[], Any]) -> Any:
    """Call something from within a running event loop, as a notebook does."""

    async def cell() -> Any:
        return work()

    return asyncio.run(cell())


def test_a_study_is_the_same_in_a_loop_outside_of_one_and_awaited(run: Run) -> None:
    async def awaited() -> Study:
        return study_run(await embed_run(run), **FEW)

    outside = study_run(run, **FEW)
    assert len(gaps(outside)) == 2
    assert gaps(inside_a_loop(lambda: study_run(run.folder, **FEW))) == gaps(outside)
    assert gaps(asyncio.run(awaited())) == gaps(outside)
    assert [each.name for each in outside.conditions] == ["topology full", "topology intra_class"]
    assert outside.condition("topology intra_class").number == 1
    with pytest.raises(DesignError, match=r"condition 'topology ful'; did you mean 'topology full'"):
        outside.condition("topology ful")


def test_a_running_loop_is_left_alone_and_the_embedder_is_closed(run: Run) -> None:
    embedder = Letters()

    async def cell() -> tuple[object, Study]:
        return asyncio.get_running_loop(), study_run(run, make_embedder=lambda *_: embedder, **FEW)

    loop, study = asyncio.run(cell())
    assert embedder.places
    assert all(own is not loop and at != threading.get_ident() for own, at in embedder.places)
    assert embedder.is_closed
    assert study.embedder == "letters"
    assert any("letters" in note for note in study.notes)


def test_awaited_embedding_leaves_the_loop_to_others(run: Run) -> None:
    embedder = Letters()

    async def cell() -> object:
        await embed_run(run, lambda *_: embedder)
        return asyncio.get_running_loop()

    loop = asyncio.run(cell())
    assert {own for own, _ in embedder.places} == {loop}


@pytest.mark.parametrize("call", [inside_a_loop, lambda work: work()], ids=["inside", "outside"])
def test_a_report_can_be_made_in_and_outside_a_loop(run: Run, call: Callable[..., Any]) -> None:
    options = Options(figures=False, n_bootstrap=8, n_decisions=0, seed=2)
    (part,) = call(lambda: make_report([run], options)).parts
    assert gaps(part.study) == gaps(study_run(run, **FEW))


def test_what_an_embedder_raises_comes_out_of_the_loop_of_its_own(run: Run) -> None:
    class Refusing(Letters):
        async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            raise RequestRejected(f"{len(texts)} texts are too many")

    embedder = Refusing()
    with pytest.raises(RequestRejected, match="texts are too many"):
        inside_a_loop(lambda: study_run(run, make_embedder=lambda *_: embedder))
    assert embedder.is_closed


def test_runs_of_another_family_and_impossible_levels_are_refused(run: Run, play: Callable[..., Run]) -> None:
    cascades = play(CascadeExperiment(n_agents=16, degree=3, steps=2, repeats=1, items_per_severity=1))
    with pytest.raises(UserError, match="it has no perspectives"):
        study_run(cascades)
    with pytest.raises(DesignError, match="a confidence level lies between 0 and 1"):
        study_run(run, level=1.0)
