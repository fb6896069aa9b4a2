"""All figures of a report, from what is known of a run: those that it has data for, and why not the others.

The figures are those of Tian et al. (2026), drawn for the user's own run, and some beyond them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.by_context import ContextShare
from agentnet.analysis.fits import Fits
from agentnet.analysis.groups import ProfileGroups
from agentnet.analysis.severity_clusters import SeverityClusters
from agentnet.analysis.tables import RatioTables, RunTables
from agentnet.analysis.trees import Trees
from agentnet.report.figures.sketch import Described, Sketch, sketches_of


@dataclass(frozen=True, slots=True)
class Drawing(Described):
    """One figure of the report.

    Attributes:
        svg: The image, from ``<svg`` to ``</svg>``, complete in itself; None where there is none.
        png: The same at 150 dots per inch; None where there is none.
        unavailable: In place of an image: why it cannot be drawn from these runs, and what would make it
            possible. Plain text.
    """

    svg: str | None
    png: bytes | None
    unavailable: str | None


@dataclass(frozen=True, slots=True)
class Material:
    """Everything a report draws from; any part may be missing.

    Attributes:
        tables: The cascades of a run.
        fits: The laws fitted to them.
        ratios: The decisions of a response-ratio run.
        ratio_groups: Groups of profiles by Tukey's test of these.
        n_groups_wanted: How many groups the author chose to make; None if the test was left alone.
        severity_clusters: Clusters of news items by their texts.
        trees: Trees of who had the news from whom.
        observed: Trees that were observed elsewhere.
        engaged_now: Share of agents engaged after each step of each realization, where agents stop.
        by_context: Decisions by the facts that prompts used.
    """

    tables: RunTables | None = None
    fits: Fits | None = None
    ratios: RatioTables | None = None
    ratio_groups: ProfileGroups | None = None
    n_groups_wanted: int | None = None
    severity_clusters: SeverityClusters | None = None
    trees: Trees | None = None
    observed: Trees | None = None
    engaged_now: NDArray[np.float64] | None = None
    by_context: tuple[ContextShare, ...] = ()

    @property
    def played(self) -> RunTables | None:
        """The cascades that laws were fitted to, or all that there are."""
        return self.tables if self.fits is None else self.fits.tables


def draw(material: Material) -> tuple[Drawing, ...]:
    """Draw all figures, in the order of the paper, those beyond it last.

    Args:
        material: What to draw from.

    Returns:
        A drawing for each figure, also for one that cannot be drawn: it says why.
    """
    return rendered(sketches_of("cascades", material))


def rendered(made: Iterable[Sketch]) -> tuple[Drawing, ...]:
    """Render sketches as they are made, under the house style.

    Args:
        made: Makes the sketches; nothing is made before this is called.
    """
    from agentnet.report.figures.render import house_style, images_of

    found = []
    with house_style():
        for sketch in made:
            said = (sketch.name, sketch.number, sketch.title, sketch.caption, sketch.alternative)
            svg, png = (None, None) if sketch.figure is None else images_of(sketch)
            found.append(Drawing(*said, svg, png, sketch.unavailable))
    return tuple(found)
