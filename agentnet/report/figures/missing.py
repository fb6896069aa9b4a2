"""Which answers are missing: their share among the exposures of each profile and severity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.tables import NO_PROFILES, UNKNOWN, RunTables
from agentnet.report.figures.probability import severity_labels
from agentnet.report.figures.sketch import Drawn, figure
from agentnet.report.figures.style import BLACK, SMALL, legend_above, new_figure, of_severity
from agentnet.report.figures.words import capitalized, cleaned, counted, listed, percent
from agentnet.vocabulary import PROFILES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@figure(
    "missing_answers",
    of="cascades",
    title="Missing answers to exposures by profile and severity",
    rank=104,
    takes="played",
)
def missing_sketch(tables: RunTables) -> Drawn | str:
    """Draw the share of missing answers."""
    if not tables.n_missing:
        return f"None of {counted(tables.n_exposures, 'answer')} is missing: there is nothing to draw."
    if not tables.profiled:
        return capitalized(NO_PROFILES.format("there is nothing to draw."))
    cells = by_cell(tables)
    return Drawn(_drawn(tables, *cells), _caption(tables), _in_words(tables, *cells))


def by_cell(tables: RunTables) -> tuple[Ints, Ints]:
    """Count missing answers and exposures by profile and severity, each of shape ``(32, 2)``."""
    cells, missing = tables.cells(), tables.missing_by_cell()
    return missing, cells.n_yes + cells.n_no + missing


def _drawn(tables: RunTables, missing: Ints, asked: Ints) -> Figure:
    from matplotlib.ticker import PercentFormatter

    figure = new_figure(8.4, 3.8)
    axes = figure.add_subplot()
    share = np.divide(missing, asked, out=np.full(asked.shape, np.nan), where=asked > 0)
    labels = severity_labels(tables)
    width = 0.8 / len(labels)
    for place, (severity, label) in enumerate(labels.items()):
        look = of_severity(severity)
        axes.bar(
            np.arange(len(PROFILES)) + (place - (len(labels) - 1) / 2) * width,
            np.nan_to_num(share[:, severity]),
            width,
            color=look.colour,
            hatch=look.hatch,
            edgecolor=BLACK,
            linewidth=0.4,
            label=label,
        )
    axes.set_xticks(range(len(PROFILES)), PROFILES, rotation=90, fontsize=SMALL)
    axes.set_xlim(-0.7, len(PROFILES) - 0.3)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("missing answers")
    axes.set_xlabel("profile")
    axes.grid(visible=False, axis="x")
    legend_above(figure, [axes])
    return figure


def _caption(tables: RunTables) -> Iterator[str]:
    reasons = (f"{cleaned(reason)} {n:,}" for reason, n in tables.missing_reasons.items())
    yield (
        "Share of missing answers among the exposures of each profile and severity, in "
        f"{counted(tables.n_realizations, 'realization')} of {cleaned(tables.run)}: {tables.n_missing:,} of "
        f"{counted(tables.n_exposures, 'answer')} ({percent(tables.n_missing / tables.n_exposures)})"
    )
    yield f"Reasons: {listed(reasons, most=12)}"
    yield "A missing answer engages nobody, and no law counts it"
    if len(tables.severities) > 1 and UNKNOWN in tables.severities:
        yield "News items of unknown severity count as peaceful ones"


def _in_words(tables: RunTables, missing: Ints, asked: Ints) -> Iterator[str]:
    for severity, label in severity_labels(tables).items():
        cells = [
            f"{profile} {n_missing:,} of {n_asked:,}"
            for profile, n_missing, n_asked in zip(
                PROFILES, missing[:, severity], asked[:, severity], strict=True
            )
            if n_missing
        ]
        total = f"{missing[:, severity].sum():,} of {asked[:, severity].sum():,}"
        yield f"News that is {label}: {total} missing{': ' if cells else ''}{', '.join(cells)}"
