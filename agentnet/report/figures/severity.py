"""News items along the first principal component of their embeddings, by cluster (figure 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.severity_clusters import SeverityClusters
from agentnet.report.figures.absent import NO_CLUSTERS
from agentnet.report.figures.sketch import Sketch, figure
from agentnet.report.figures.style import BLACK, MARKERS, PALETTE, SMALL, legend_above, new_figure
from agentnet.report.figures.words import counted, drawable, percent, sentences, spelled
from agentnet.vocabulary import SEVERITIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_NAME, _NUMBER = "figure02_news_clusters", "2"
_TITLE: Final = "News items along the first principal component of their texts, by cluster"
_MANY: Final = 1500
"""From so many items on, points are drawn as one image, which stays small."""
_WORTH_BINS: Final = 30
_GOLDEN: Final = (math.sqrt(5) - 1) / 2


def severity_sketch(clusters: SeverityClusters | None) -> Sketch:
    """Draw each cluster's items in a row, above all of them as a histogram if there are enough.

    Args:
        clusters: The clusters of news items.
    """
    if clusters is None:
        return Sketch(_NAME, _NUMBER, _TITLE, caption="", alternative="", unavailable=NO_CLUSTERS)
    return Sketch(
        name=_NAME,
        number=_NUMBER,
        title=_TITLE,
        caption=sentences(_caption(clusters)),
        alternative=sentences(_in_words(clusters)),
        figure=_drawn(clusters),
    )


def cluster_name(clusters: SeverityClusters, number: int) -> str:
    """Name a cluster, counted from 0: ``cluster 1, peaceful``."""
    severity = clusters.names[number]
    return f"cluster {number + 1}{'' if severity is None else f', {SEVERITIES[severity]}'}"


def doubted(clusters: SeverityClusters) -> Flags:
    """Say which items the taxonomy calls otherwise than their cluster, shape ``(n_items,)``."""
    by_cluster = clusters.severity.values()
    pairs = zip(clusters.taxonomy, by_cluster, strict=True)
    return np.array([None not in pair and pair[0] != pair[1] for pair in pairs], dtype=np.bool_)


def _drawn(clusters: SeverityClusters) -> Figure:
    many = len(clusters.ids) >= _WORTH_BINS
    figure = new_figure(8.4, 1.6 + 0.75 * clusters.n_clusters + (1.6 if many else 0.0))
    ratios = [1.6, 0.75 * clusters.n_clusters] if many else [1.0]
    every = figure.subplots(len(ratios), 1, squeeze=False, sharex=True, height_ratios=ratios)[:, 0]
    if many:
        _draw_histogram(every[0], clusters)
    _draw_rows(every[-1], clusters)
    legend_above(figure, [every[-1]], n_columns=4)
    return figure


def _draw_histogram(axes: Axes, clusters: SeverityClusters) -> None:
    edges = np.histogram_bin_edges(clusters.first_component, bins=min(60, 2 * math.isqrt(len(clusters.ids))))
    for number in range(clusters.n_clusters):
        colour, _ = _look(number)
        members = clusters.first_component[clusters.cluster == number]
        hatch = ("", "////", "....", "xxxx")[number % 4]
        axes.hist(
            members,
            edges.tolist(),
            histtype="stepfilled",
            facecolor=colour,
            alpha=0.6,
            edgecolor=BLACK,
            hatch=hatch,
        )
    axes.set_ylabel("news items")
    axes.grid(visible=False, axis="x")


def _draw_rows(axes: Axes, clusters: SeverityClusters) -> None:
    doubt = doubted(clusters)
    # Spread evenly, and the same each time: multiples of the golden section never bunch.
    shift = 0.5 * (np.arange(len(clusters.ids)) * _GOLDEN % 1.0 - 0.5)
    for number in range(clusters.n_clusters):
        colour, marker = _look(number)
        member = clusters.cluster == number
        for chosen, face in ((member & ~doubt, colour), (member & doubt, "white")):
            axes.plot(
                clusters.first_component[chosen],
                number + shift[chosen],
                linestyle="none",
                marker=marker,
                color=colour,
                markerfacecolor=face,
                markeredgecolor=BLACK,
                markeredgewidth=0.5,
                markersize=6.0 if len(clusters.ids) <= 200 else 3.5,
                rasterized=len(clusters.ids) > _MANY,
                label="the taxonomy calls it otherwise" if face == "white" and chosen.any() else None,
            )
    axes.set_yticks(
        range(clusters.n_clusters), [_row_label(clusters, number) for number in range(clusters.n_clusters)]
    )
    axes.tick_params("y", labelsize=SMALL, length=0)
    axes.set_ylim(clusters.n_clusters - 0.5, -0.5)
    axes.set_xlabel(f"first principal component ({percent(float(clusters.explained[0]))} of the variance)")


def _look(number: int) -> tuple[str, str]:
    return PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]


def _row_label(clusters: SeverityClusters, number: int) -> str:
    n_items = int((clusters.cluster == number).sum())
    labels = [drawable(label, 30) for label in clusters.commonest[number] if label]
    return "\n".join([f"{cluster_name(clusters, number)}: {counted(n_items, 'item')}", *labels])


def _caption(clusters: SeverityClusters) -> Iterator[str]:
    agreement = clusters.agreement
    yield (
        f"{counted(len(clusters.ids), 'news item')} by the first principal component of their embeddings, in "
        f"{counted(clusters.n_clusters, 'cluster')} of {counted(clusters.n_components, 'component')}; the "
        f"silhouette score, {spelled(clusters.score)}, is the highest of those tried (samples without "
        f"clusters reach {spelled(clusters.noise_score)})"
    )
    yield "Beside each cluster stand its commonest labels; height within a row means nothing"
    if agreement.n_items:
        yield (
            f"The clusters give {percent(agreement.accuracy)} of {counted(agreement.n_items, 'item')} the "
            f"severity that the taxonomy gives (kappa {spelled(agreement.kappa, 2)})"
        )
    if n_doubted := int(doubted(clusters).sum()):
        yield f"Hollow: {counted(n_doubted, 'item')} that the taxonomy calls otherwise"
    yield from clusters.notes


def _in_words(clusters: SeverityClusters) -> Iterator[str]:
    for number in range(clusters.n_clusters):
        members = clusters.first_component[clusters.cluster == number]
        labels = ", ".join(drawable(label, 60) for label in clusters.commonest[number] if label)
        yield (
            f"{cluster_name(clusters, number).capitalize()}: {counted(members.size, 'item')} between "
            f"{spelled(float(members.min()))} and {spelled(float(members.max()))}, median "
            f"{spelled(float(np.median(members)))}{f', commonest labels {labels}' if labels else ''}"
        )


figure(_NAME, of="cascades", rank=2)(lambda values: severity_sketch(values.severity_clusters))
