"""Response ratios as a heat map: profiles by news items, side by side for each severity (figure 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.decisions import RatioTables
from agentnet.analysis.groups import ProfileGroups
from agentnet.analysis.tables import SEVERITY_NAMES
from agentnet.errors import DesignError
from agentnet.report.figures.sketch import Drawn, figure
from agentnet.report.figures.style import BLACK, SMALL, new_figure, write_beside
from agentnet.report.figures.words import cleaned, counted, drawable, percent, spelled
from agentnet.vocabulary import PROFILES, TRAITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_IDS: Final = 60
"""With more news items than these their ids would be too small to read."""
_ID_LENGTH: Final = 16
_PIXELS: Final = 12


@dataclass(frozen=True, slots=True, eq=False)
class Arranged:
    """The heat map's rows and columns.

    Attributes:
        profiles: Profiles from the top row down, shape ``(32,)``.
        mean: Mean ratio of each profile over the items that it has answers to, by profile number; NaN where
            there are none.
        columns: Places of the news items for each severity that occurs.
        cuts: Rows before which another group begins.
    """

    profiles: Ints
    mean: Array
    columns: dict[int, Ints]
    cuts: tuple[int, ...]

    @classmethod
    def of(cls, ratios: RatioTables, groups: ProfileGroups | None) -> Arranged:
        """Sort profiles by group, if there are groups, then by mean ratio; keep the order of the items."""
        ratio = ratios.yes_ratio
        known = (~np.isnan(ratio)).sum(axis=0)
        total = np.nansum(ratio, axis=0)
        mean = np.divide(total, known, out=np.full(total.shape, np.nan), where=known > 0)
        group = np.ones(mean.size, dtype=np.int64) if groups is None else groups.group
        if group.shape != mean.shape:
            raise DesignError(f"the groups are of {group.size} profiles and the ratios of {mean.size}")
        order = np.lexsort((np.arange(mean.size), np.nan_to_num(mean, nan=-1.0), group))
        cuts = np.flatnonzero(np.diff(group[order])) + 1
        columns = {
            severity: np.flatnonzero(ratios.severity == severity).astype(np.int64)
            for severity in (0, 1, -1)
            if (ratios.severity == severity).any()
        }
        return cls(order, mean, columns, tuple(cuts.tolist()))


@figure(
    "figure05_response_ratios",
    of="cascades",
    title="Response ratios: share of yes by profile and news item",
    number="5",
    rank=5,
    takes="ratios ratio_groups n_groups_wanted",
)
def ratio_sketch(
    ratios: RatioTables, groups: ProfileGroups | None, n_wanted: int | None = None
) -> Drawn | str:
    """Draw the heat map.

    Args:
        ratios: The response ratios.
        groups: Groups of profiles by Tukey's test of these; their borders are drawn.
        n_wanted: How many groups the author chose to make; None if the test was left alone.

    Raises:
        DesignError: The groups are not of 32 profiles.
    """
    if not (ratios.n_yes + ratios.n_no).any():
        n_missing = counted(int(ratios.n_missing.sum()), "answer")
        return f"None of {n_missing} of {cleaned(ratios.run)} can be used."
    arranged = Arranged.of(ratios, groups)
    words = _in_words(ratios, arranged, groups)
    return Drawn(_drawn(ratios, arranged), _caption(ratios, arranged, groups, n_wanted), words)


def _drawn(ratios: RatioTables, arranged: Arranged) -> Figure:
    n_items = len(ratios.news_ids)
    figure = new_figure(8.4, 6.4 if n_items <= _MOST_IDS else 5.6)
    widths = [max(columns.size, 0.15 * n_items) for columns in arranged.columns.values()]
    every = figure.subplots(1, len(widths), squeeze=False, sharey=True, width_ratios=widths)[0]
    images = [
        _draw_items(axes, ratios, arranged, severity)
        for axes, severity in zip(every, arranged.columns, strict=True)
    ]
    every[0].set_yticks(range(arranged.profiles.size), [PROFILES[each] for each in arranged.profiles])
    every[0].set_ylabel("profile")
    bar = figure.colorbar(images[0], ax=list(every), location="bottom", shrink=0.5, aspect=30, pad=0.02)
    has_empty = bool(np.isnan(ratios.yes_ratio).any())
    bar.set_label(f"share of yes{'; hatched: no answer' if has_empty else ''}", fontsize=SMALL)
    _name_groups(every[-1], arranged)
    return figure


def _draw_items(axes: Axes, ratios: RatioTables, arranged: Arranged, severity: int) -> AxesImage:
    columns = arranged.columns[severity]
    ratio = ratios.yes_ratio[np.ix_(columns, arranged.profiles)].T
    axes.set_facecolor("white")
    axes.patch.set(hatch="////", edgecolor=BLACK)
    # An image: as paths, 500 items would take megabytes. A cell has many pixels: some viewers blur them.
    pixels = np.repeat(np.repeat(ratio, _PIXELS, axis=0), max(_PIXELS * 50 // columns.size, 1), axis=1)
    image = axes.imshow(
        np.ma.masked_invalid(pixels),
        extent=(-0.5, columns.size - 0.5, len(ratio) - 0.5, -0.5),
        cmap="cividis",
        vmin=0.0,
        vmax=1.0,
        aspect="auto",
        interpolation="none",
    )
    for cut in arranged.cuts:
        axes.axhline(cut - 0.5, color="white", linewidth=2.4)
        axes.axhline(cut - 0.5, color=BLACK, linewidth=1.0)
    axes.grid(visible=False)
    axes.tick_params("y", labelsize=SMALL, length=0)
    axes.set_title(SEVERITY_NAMES[severity].capitalize(), fontsize=9.0)
    if len(ratios.news_ids) <= _MOST_IDS:
        ids = [drawable(ratios.news_ids[column], _ID_LENGTH) for column in columns]
        axes.set_xticks(range(columns.size), ids, rotation=90, fontsize=6.5)
        axes.tick_params("x", length=0)
    else:
        axes.set_xticks([])
        axes.set_xlabel(counted(columns.size, "news item"), fontsize=SMALL)
    return image


def _name_groups(axes: Axes, arranged: Arranged) -> None:
    if not arranged.cuts:
        return
    edges = (0, *arranged.cuts, arranged.profiles.size)
    for number, (first, end) in enumerate(pairwise(edges), 1):
        middle = (1.0, (first + end - 1) / 2)
        along = axes.get_yaxis_transform()
        write_beside(axes, f"group {number}", middle, (5, 0), xycoords=along, va="center")


def _caption(
    ratios: RatioTables, arranged: Arranged, groups: ProfileGroups | None, n_wanted: int | None
) -> Iterator[str]:
    n_missing, n_asked = int(ratios.n_missing.sum()), _n_asked(ratios)
    yield (
        f"Share of yes among the answers of each of {arranged.mean.size} profiles to each of "
        f"{counted(len(ratios.news_ids), 'news item')}: {counted(n_asked, 'question')} of "
        f"{cleaned(ratios.run)} to the language model {cleaned(ratios.model_name)}"
    )
    order = "group and mean ratio" if arranged.cuts else "mean ratio"
    yield f"Profiles, five bits for {', '.join(TRAITS)}, are sorted by {order}"
    yield _group_words(groups, n_wanted)
    if n_missing:
        yield f"{n_missing:,} of the questions have no answer and are left out"
    else:
        yield "No answer is missing"
    if n_empty := int(np.isnan(ratios.yes_ratio).sum()):
        yield f"Hatched: {counted(n_empty, 'cell')} without any answer"
    yield from ratios.notes


def _n_asked(ratios: RatioTables) -> int:
    return int((ratios.n_yes + ratios.n_no + ratios.n_missing).sum())


def _group_words(groups: ProfileGroups | None, n_wanted: int | None) -> str:
    if groups is None:
        return ""
    if n_wanted is not None:
        return f"Lines part {counted(n_wanted, 'group')}, as many as the author chose to make"
    level = f"at level {groups.test.alpha:g}"
    if groups.n_groups == 1:
        return f"Tukey's test of all pairs, {level}, makes one group of all profiles"
    return f"Lines part the {groups.n_groups} groups made of Tukey's test of all pairs, {level}"


def _in_words(ratios: RatioTables, arranged: Arranged, groups: ProfileGroups | None) -> Iterator[str]:
    for severity, columns in arranged.columns.items():
        yes, no = int(ratios.n_yes[columns].sum()), int(ratios.n_no[columns].sum())
        share = spelled(yes / (yes + no)) if yes + no else "unknown"
        yield (
            f"{SEVERITY_NAMES[severity].capitalize()}, {counted(columns.size, 'news item')}: the share of "
            f"yes over all profiles is {share}"
        )
    means = [f"{PROFILES[each]} {spelled(float(arranged.mean[each]))}" for each in arranged.profiles]
    yield f"Mean ratios of the profiles: {', '.join(means)}"
    if arranged.cuts and groups is not None:
        sizes = [
            f"group {number} has {counted(int(size), 'profile')} and a mean of {spelled(float(rate))}"
            for number, (size, rate) in enumerate(zip(groups.sizes, groups.rates, strict=True), 1)
        ]
        yield f"Groups: {'; '.join(sizes)}"
    if n_missing := int(ratios.n_missing.sum()):
        yield f"{percent(n_missing / _n_asked(ratios))} of the answers are missing"
