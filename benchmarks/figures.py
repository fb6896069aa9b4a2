"""What a benchmark tells by ``--json``: an object {figure: [value in each turn]} in the last line printed.

A figure that was measured once is a list of one value. `benchmarks/all.py` reads it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence

Figures = Mapping[str, Sequence[float]]


def tell(figures: Figures) -> None:
    """Print figures for `read`."""
    print(json.dumps(figures))


def read(printed: str) -> dict[str, list[float]]:
    """Take the figures from what a benchmark printed; refuse a last line that holds none."""
    last = printed.rstrip().rpartition("\n")[2]
    figures: dict[str, list[float]] = json.loads(last)
    for name, values in figures.items():
        if not values or not all(math.isfinite(value) for value in values):
            raise ValueError(f"figure {name!r} has no finite value in each turn: {values}")
    return figures


def by_turn(turns: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Gather what each turn measured into lists."""
    found: dict[str, list[float]] = {}
    for turn in turns:
        for name, value in turn.items():
            found.setdefault(name, []).append(value)
    return found
