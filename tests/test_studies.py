"""The three case studies on the stand-in: findings, from the experiment file to the report's contrasts.

The quick ones are small systems with few repeats, for the direction alone; `make test-slow` plays the sizes
of `benchmarks/studies.py` with 20 repeats, and asks that intervals leave out 0.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agentnet.analysis.study import Study
from agentnet.backend import make_backend
from agentnet.config import LogSettings, Settings, StackSettings
from agentnet.events import Run
from agentnet.experiment import Source
from agentnet.report import Options, make_report
from agentnet.report.interviews_part import InterviewPart
from agentnet.runner import Runner, create, prepare

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
SIZES = {
    "disruption": {"n_evaluation": 10, "n_questions": 2, "n_taught": 5},
    "adversary": {"n_evaluation": 6, "n_questions": 4},
    "polarization": {"n_evaluation": 8, "n_questions": 4, "steps": 20},
    "three_classes": {"n_evaluation": 6},
}


def study(folder: Path, name: str, **knobs: Any) -> Study:
    """Play a study and find out what its models did."""
    settings = Settings(
        runs=folder,
        stack=StackSettings(cache=False),
        log=LogSettings(parquet=False),
        experiment={**SIZES[name], **knobs},
    )
    source = Source.read(str(EXPERIMENTS / f"{name}.py"))
    prepared = prepare(source, settings, folder / "run", {})
    create(prepared, source, backend="mock", model_name="mock-1")
    asyncio.run(Runner(prepared, make_backend("mock", {})).play())
    (part,) = make_report([Run(prepared.folder)], Options(figures=False, n_decisions=0)).parts
    assert isinstance(part, InterviewPart)
    assert "not from a language model" in part.label
    return part.study


def contrasts(folder: Path, name: str, **knobs: Any) -> Any:
    """Play a study and compare its conditions: (what is compared, in what) -> contrast."""
    return compared(study(folder, name, **knobs))


def compared(found: Study) -> Any:
    return {(each.compared, each.outcome): each.contrast for each in found.contrasts}


# The direction, with few repeats.


def test_disrupted_models_stay_in_their_clusters_and_the_system_rests(tmp_path: Path) -> None:
    found = contrasts(tmp_path, "disruption", models={"society": 12}, steps=24, disrupted_at=9, repeats=6)
    conditions = "disrupted true less false"
    assert found[conditions, "ari"].value > 0
    assert found[conditions, "n_clusters"].value > 0
    assert found[conditions, "mirror_movement"].high < 0


def test_more_targets_and_more_attacks_bring_models_nearer_to_the_adversary(tmp_path: Path) -> None:
    played = study(tmp_path, "adversary", targets=[1, 2, 5], attack_every=[2, 10], repeats=3)
    found = compared(played)
    for every in (2, 10):
        assert found[f"trend with targets: 1, 2, 5 (attack every {every})", "gap"].value < -0.5
    for targets in (1, 2, 5):
        assert found[f"attack every 10 less 2 (targets {targets})", "gap"].value > 0
    # Whom all hear at every second step is nearly reached, who has one hearer keeps its distance.
    left = {each.name: each.gap.series.value[-1] / each.gap.series.value[0] for each in played.conditions}
    assert left["targets 5, attack every 2"] < 0.4
    assert left["targets 1, attack every 2"] > 0.6


def test_classes_drift_apart_that_hear_only_themselves(tmp_path: Path) -> None:
    found = contrasts(tmp_path, "polarization", repeats=3, steps=12)
    assert found["topology intra_class", "gap_growth"].low > 0
    assert found["topology full", "gap_growth"].high < 0
    assert found["topology intra_class less full", "gap"].low > 0


def test_only_relevant_questions_tell_classes_apart(tmp_path: Path) -> None:
    played = study(tmp_path, "three_classes", repeats=3)
    relevant, others = ([each.beside_own[-1] for each in found.played] for found in played.conditions)
    assert min(relevant) > 0.9
    assert max(others) < 0.7
    (found,) = compared(played).values()
    assert found.high < 0


# What holds with 20 repeats, and how sure it is.


@pytest.mark.slow
def test_disruption_with_20_repeats(tmp_path: Path) -> None:
    found = contrasts(tmp_path, "disruption", repeats=20)
    conditions = "disrupted true less false"
    assert found[conditions, "ari"].low > 0.1
    assert found[conditions, "n_clusters"].low > 1
    assert found[conditions, "mirror_movement"].high < -0.02
    assert all(
        found[conditions, outcome].p_value < 0.001 for outcome in ("ari", "n_clusters", "mirror_movement")
    )


@pytest.mark.slow
def test_adversary_with_20_repeats(tmp_path: Path) -> None:
    found = contrasts(tmp_path, "adversary", repeats=20)
    for every in (2, 5, 10):
        assert found[f"trend with targets: 0, 1, 2, 5 (attack every {every})", "gap"].high < -0.8
    for targets in (1, 2, 5):
        assert found[f"trend with attack every: 2, 5, 10 (targets {targets})", "gap"].low > 0.3
    # Nobody hears the adversary: how often it attacks cannot matter.
    assert found["trend with attack every: 2, 5, 10 (targets 0)", "gap"].value == 0


@pytest.mark.slow
def test_polarization_with_20_repeats(tmp_path: Path) -> None:
    found = contrasts(tmp_path, "polarization", repeats=20)
    grown, shrunk = found["topology intra_class", "gap_growth"], found["topology full", "gap_growth"]
    assert grown.low > 0.5
    assert shrunk.high < -0.6
