"""The part of a report on free worlds: what was measured, by condition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from agentnet.report.part import Part, Reading
from agentnet.report.plain_part import PlainPart

_WORLDS: Final = "worlds"


def world_parts(reading: Reading, family: str) -> Iterable[Part]:
    """Make a part of each run of free worlds."""
    return [WorldPart(facts, run) for run, facts in reading.of(family)]


class WorldPart(PlainPart):
    """What a run of free worlds says."""

    name, subject, headline = _WORLDS, "free worlds", "Free worlds: what agents said, and what was measured"

    def findings(self, level: float) -> Iterator[str]:  # noqa: ARG002
        """Say which measures there are."""
        query = "SELECT name, COUNT(DISTINCT step) FROM measures GROUP BY name ORDER BY name"
        for name, n_steps in self.run.rows(query)[1]:
            yield f"{name} was measured at {n_steps} steps"
