"""The studies of Helm et al. (2024) on real weights: what each finds, how sure it is, and what it takes.

The experiment files of `agentnet` are played as they stand, by update rule ``finetune``, at the sizes below,
each in a run folder of its own: whoever ends this and calls it again goes on. Every study prints its seconds
when it ends, and what it found goes to ``results.json`` beside the runs; ``--page`` writes the page of the
documentation from that file, whatever it shows, and plays nothing.

    python benchmarks/real_studies.py --model MODEL.gguf [--size small] [--device cpu] [STUDY ...]
    python benchmarks/real_studies.py --page docs/real_studies.md

Needs the extra finetune. Sizes: ``tiny`` tries everything out in minutes on a CPU; ``small`` is meant for
three CPU-hours with a model of 135 million parameters; ``paper`` has the paper's numbers of models, steps and
questions as far as the bundled bank has them, and wants a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

import agentnet
from agentnet.analysis.contrasts import mean_interval
from agentnet.analysis.study import OUTCOMES, ConditionStudy, Measured, Study, study_run

EXPERIMENTS: Final = Path(__file__).parent.parent / "experiments"
STUDIES: Final[Mapping[str, str]] = {
    "three_classes": "figure 2, relevant questions tell three classes apart, orthogonal ones less.",
    "polarization": "study 3, classes that hear only themselves drift apart, those that hear all do not.",
    "adversary": "study 2, the more targets an adversary has, the nearer the system comes to it.",
    "disruption": "study 1, after the disruption clusters last, and the system moves less.",
}
"""Study -> what the paper finds."""

SIZES: Final[Mapping[str, Mapping[str, str]]] = {
    "tiny": {
        "three_classes": 'models={"society":2,"science":2,"works":2} n_evaluation=3 n_taught=6',
        "polarization": ('models={"society":2,"science":2} n_evaluation=3 n_questions=3 n_taught=8 steps=3'),
        "adversary": (
            'models={"society":3,"science":1} targets=[0,3] attack_every=[2] n_evaluation=4 n_questions=3 '
            "n_taught=8 steps=3"
        ),
        "disruption": ('models={"society":4} disrupted_at=2 n_evaluation=4 n_questions=2 n_taught=4 steps=4'),
    },
    "small": {
        "three_classes": 'models={"society":3,"science":3,"works":3} n_evaluation=6 n_taught=16',
        "polarization": ('models={"society":3,"science":3} n_evaluation=6 n_questions=6 n_taught=24 steps=8'),
        "adversary": (
            'models={"society":4,"science":1} targets=[0,1,2,4] attack_every=[2] n_evaluation=10 '
            "n_questions=6 n_taught=24 steps=8"
        ),
        "disruption": (
            'models={"society":8} disrupted_at=6 n_evaluation=10 n_questions=3 n_taught=6 steps=12'
        ),
    },
    "paper": {
        "three_classes": "n_evaluation=40 n_taught=60",
        "polarization": "n_evaluation=200 n_questions=100 n_taught=900",
        "adversary": "n_evaluation=200 n_questions=100 n_taught=900",
        "disruption": "n_evaluation=400 n_questions=50 n_taught=200",
    },
}
"""Size -> study -> its knobs, as ``-S`` takes them."""

_ABOUT: Final = """\
Written by `benchmarks/real_studies.py --page` from what was measured: models that share one base are taught
by update rule `finetune` with LoRA adapters. Intervals are of 95%, over repeats; p values are of sign-flip
tests, which are at least 2 over 2 to the number of repeats. The gap is the squared distance between
classes, or between a system and its adversary, in perspective space. Seconds of sittings that were killed
are not counted. Where sizes are far below the paper's, what points its way is a hint, and what does not is
no refutation."""

MAX_TOKENS: Final = 24
"""Answers of the bank have one short sentence."""


def main() -> None:
    """Play the studies that are named, all unless some are; or write the page."""
    chosen = arguments()
    results = chosen.out / "results.json"
    if chosen.page:
        chosen.page.write_text(page(read(results)), encoding="utf-8")
        return
    for name in chosen.studies or STUDIES:
        found = played(name, chosen)
        write(results, {**read(results), name: found})
        print(f"{name}: {found['cpu_s']:.0f} s of CPU, {found['wall_s']:.0f} s by the clock, in all sittings")


def played(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Play a study, or go on with it; tell what it found."""
    knobs, folder = SIZES[chosen.size][name], chosen.out / f"{name}-{chosen.size}"
    settings = {
        **dict(pair(word) for word in knobs.split()),
        "repeats": chosen.repeats,
        "max_tokens": MAX_TOKENS,
        **of_finetune(chosen),
    }
    with Clock(chosen.out / f"{name}-{chosen.size}.seconds.json") as clock:
        file = EXPERIMENTS / f"{name}.py"
        agentnet.play(file, update="finetune", settings=settings, out=folder, resume=True)
    about = {"model": Path(chosen.model).name, "device": chosen.device, "size": chosen.size}
    return {**about, **clock.seconds, "knobs": knobs, **found_in(study_run(folder, n_bootstrap=2000))}


def pair(word: str) -> tuple[str, Any]:
    """Part a setting from its value, which is JSON or a text."""
    key, _, value = word.partition("=")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def of_finetune(chosen: argparse.Namespace) -> dict[str, Any]:
    """Give the settings that say what is fine-tuned, and where."""
    settings = {"finetune.model": chosen.model, "finetune.device": chosen.device, **dict(chosen.set or ())}
    if chosen.device == "cpu":
        settings["finetune.threads"] = int(os.environ.get("OMP_NUM_THREADS", "1"))
    return settings | {"embedder.name": chosen.embedder, "log.parquet": False, "stack.cache": False}


class Clock:
    """Adds the seconds of a sitting to those of earlier ones, kept in a file; not those of a killed one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.seconds = read(file) or {"cpu_s": 0.0, "wall_s": 0.0}

    def __enter__(self) -> Clock:
        self._began = time.process_time(), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        for key, now, began in zip(
            self.seconds, (time.process_time(), time.monotonic()), self._began, strict=True
        ):
            self.seconds[key] += now - began
        write(self._file, self.seconds)


def found_in(study: Study) -> dict[str, Any]:
    """Tell what a study found: each condition at its end, and what conditions differ in."""
    return {
        "label": study.label,
        "embedder": study.embedder,
        "notes": study.notes,
        "conditions": [_end(each) for each in study.conditions],
        "contrasts": [
            {"compared": each.compared, "outcome": OUTCOMES[each.outcome][0], **asdict(each.contrast)}
            for each in study.contrasts
        ],
    }


def _end(condition: ConditionStudy) -> dict[str, Any]:
    beside = [each.beside_own[-1] for each in condition.whole if each.beside_own is not None]
    own_class = (
        [float(each[0]) for each in mean_interval(np.array(beside)[:, None], 0.95, (0.0, 1.0))]
        if beside
        else None
    )
    return {
        "name": condition.name,
        "n_repeats": len(condition.whole),
        "gap_at_start": _first(condition.gap),
        "gap": _last(condition.gap),
        "polarization": _last(condition.ratio),
        "own_class": own_class,
    }


def _first(measured: Measured) -> float | None:
    return None if measured.series is None else float(measured.series.value[0])


def _last(measured: Measured) -> list[float] | None:
    """Give value, low and high at the last step."""
    series = measured.series
    return None if series is None else [float(each[-1]) for each in (series.value, series.low, series.high)]


def read(file: Path) -> dict[str, Any]:
    """Read JSON; nothing where there is none."""
    return dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}


def write(file: Path, value: Mapping[str, Any]) -> None:
    """Write JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=1) + "\n", "utf-8")


def page(results: Mapping[str, Any]) -> str:
    """Write the page of the documentation."""
    return "\n".join(_page(results)) + "\n"


def _page(results: Mapping[str, Any]) -> Iterator[str]:
    yield "# The studies on real weights\n"
    yield f"{_ABOUT}\n"
    for name, found in results.items():
        yield f"## {name.replace('_', ' ').capitalize()}\n\nThe paper: {STUDIES[name]}\n"
        yield (
            f"`experiments/{name}.py` on {found['model']} ({found['device']}, size {found['size']}: "
            f"`{found['knobs']}`), {found['cpu_s']:.0f} s of CPU, {found['wall_s']:.0f} s by the clock; "
            f"answers embedded by {found['embedder']}.\n"
        )
        yield "| condition | repeats | gap at the start | at the end | polarization | beside own class |"
        yield "| --- | --- | --- | --- | --- | --- |"
        for each in found["conditions"]:
            start = "" if each["gap_at_start"] is None else f"{each['gap_at_start']:.3f}"
            ends = " | ".join(_spelled(each[key]) for key in ("gap", "polarization", "own_class"))
            yield f"| {each['name']} | {each['n_repeats']} | {start} | {ends} |"
        yield "\n| compared | in | value | p | repeats |\n| --- | --- | --- | --- | --- |"
        for each in found["contrasts"]:
            value = _spelled([each["value"], each["low"], each["high"]])
            told = f"{each['compared']} | {each['outcome']} | {value}"
            yield f"| {told} | {each['p_value']:.3f} | {each['n_repeats']} |"
        yield ""


def _spelled(value: list[float] | None) -> str:
    return "" if value is None else "{:.3f} ({:.3f} to {:.3f})".format(*value)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"{', '.join(STUDIES)}; all unless named")
    parser.add_argument("--model", default="smollm2", help="folder, GGUF file or name of a causal model")
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--embedder", default="hash", help="hash, minilm")
    parser.add_argument(
        "--set", action="append", type=pair, metavar="KEY=VALUE",
        help="a further setting, such as finetune.precision=bfloat16",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs/real-studies"))
    parser.add_argument("--page", type=Path, help="write this page from results.json, and play nothing")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.studies if name not in STUDIES]
    if unknown:
        parser.error(f"there is no study {unknown[0]!r}; the studies are {', '.join(STUDIES)}")
    return chosen


if __name__ == "__main__":
    main()
