"""The figures of a run of interacting models, in the order of Helm et al. (2024), one beyond them last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentnet.report.figures.places import paths_sketch, space_sketch
from agentnet.report.figures.sketch import Sketch
from agentnet.report.figures.system import chart_sketch, cluster_sketch, mirror_sketch
from agentnet.report.figures.two_classes import gap_sketch, ratio_of_classes_sketch

if TYPE_CHECKING:
    from agentnet.report.interviews_part import InterviewPart


def interview_sketches(part: InterviewPart) -> Iterator[Sketch]:
    """Make the figures without rendering them; to be used under `house_style`."""
    yield space_sketch(part)
    yield paths_sketch(part)
    yield mirror_sketch(part)
    yield cluster_sketch(part)
    yield ratio_of_classes_sketch(part)
    yield gap_sketch(part)
    yield chart_sketch(part)
