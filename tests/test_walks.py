"""The walks that the documentation describes lead through the files that they name.

`python tests/test_walks.py` prints how many files each of them names.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from agentnet import CascadeExperiment, InterviewExperiment
from agentnet.backend import make_backend
from agentnet.report import Options, make_report
from agentnet.report.drawings import rendered
from agentnet.report.write import files_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "walks.md"
DECISION, ANSWER = "A decision, from", "An answer, from"


def stations(walk: str) -> list[str]:
    """List the files that the stations of a walk name."""
    text = PAGE.read_text("utf-8").split(f"## {walk}")[1].split("\n## ")[0]
    stations = re.findall(r"^\d+\. (?:.+\n(?: +.+\n)*)", text, re.MULTILINE)
    return [
        name for station in stations for name in re.findall(r"`((?:agentnet|backends)/[\w/]+\.py)`", station)
    ]


@contextmanager
def entered() -> Iterator[set[str]]:
    """Note the files of which a function is called meanwhile, in any thread that begins meanwhile."""
    codes: set[Any] = set()
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        files |= {code.co_filename for code in codes}


@pytest.mark.parametrize(
    ("walk", "most", "figure", "design", "knobs"),
    [
        (
            DECISION,
            20,
            "figure08_population_full_logistic",
            CascadeExperiment,
            {"n_agents": 32, "degree": 3, "steps": 4, "repeats": 2, "items_per_severity": 1},
        ),
        (
            ANSWER,
            15,
            "perspective_space",
            InterviewExperiment,
            {
                "steps": 3,
                "repeats": 1,
                "n_evaluation": 3,
                "n_questions": 2,
                "n_taught": 4,
                "update": "memory",
            },
        ),
    ],
)
def test_a_walk_leads_through_the_files_that_it_names(
    walk: str,
    most: int,
    figure: str,
    design: Callable[..., Any],
    knobs: dict[str, Any],
    play: Callable[..., Any],
) -> None:
    options = Options(laws=("full_logistic",), n_runs=4, n_bootstrap=0, n_decisions=1, figures=False)
    with entered() as files:
        report = make_report([play(design(**knobs), backend=make_backend("mock", {}))], options)
        drawn = rendered(each for each in report.parts[0].figures(options) if each.name == figure)
        assert [each.name for each in drawn if each.svg] == [figure]
        files_of(replace(report, drawings=(drawn,)), made_at=0.0)
    named = stations(walk)
    assert len(set(named)) == len(named)
    assert 9 < len(named) <= most
    assert [name for name in named if str(ROOT / name) not in files] == []


if __name__ == "__main__":
    for walk in (DECISION, ANSWER):
        print(f"{len(stations(walk))} files: {walk} ...")
