"""Draws the pictures of the gallery: plays each experiment on the mock, and keeps a figure of its report.

`make gallery` runs it, in minutes. The pictures are committed: building the documentation plays nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "experiments" / "figures"

# Experiment -> the figure of its report that says most, and knobs where the whole would take minutes.
GALLERY: dict[str, tuple[str, tuple[str, ...]]] = {
    "news_cascade": ("figure08_population_full_logistic", ()),
    "response_ratios": ("figure05_response_ratios", ()),
    "disruption": ("clusters", ()),
    "adversary": ("gap", ("targets=2", "attack_every=2")),
    "polarization": ("gap", ()),
    "three_classes": ("perspective_space", ("repeats=1",)),
    "news_perspectives": ("perspective_space", ()),
    "social_proof": ("conditions_overlaid", ("backend.slopes.n_shared=0.8",)),
    "retold": ("cascade_trees", ()),
    "labels_and_hubs": (
        "conditions_overlaid",
        ("backend.slopes.labelled=-1.5", "backend.default_probability=0.4"),
    ),
    "beliefs": ("worlds_measures", ()),
    "unfollow": ("worlds_measures", ("repeats=8",)),
    "feed": ("worlds_measures", ("repeats=4",)),
    "mixed_models": ("conditions_swept", ()),
    "mixed_people": ("worlds_measures", ("repeats=6",)),
    "naming_game": ("worlds_measures", ("minimal=true", "rounds=20")),
}


def draw(name: str, folder: Path) -> None:
    """Play one experiment and take its picture."""
    figure, knobs = GALLERY[name]
    settings = [word for knob in knobs for word in ("-S", knob)]
    _agentnet("run", str(ROOT / "experiments" / f"{name}.py"), *settings, "--out", name, folder=folder)
    _agentnet("report", name, folder=folder)
    shutil.copy(folder / name / "report" / "figures" / f"{figure}.svg", PICTURES / f"{name}.svg")


def _agentnet(*words: str, folder: Path) -> None:
    program = Path(sys.executable).with_name("agentnet")
    subprocess.run([program, *words, "--quiet"], cwd=folder, check=True)  # noqa: S603 - our own words


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        for experiment in GALLERY if len(sys.argv) == 1 else sys.argv[1:]:
            draw(experiment, Path(made))
