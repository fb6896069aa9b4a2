"""Observed beside inferred curves: population, severities, groups (figures 8 to 12 and 14 to 16)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.fits import Fits, LawFit
from agentnet.analysis.goodness import POPULATION, Comparison, Curve
from agentnet.analysis.laws import LAWS, OF_ALL, Law, Sight
from agentnet.analysis.tables import NO_PROFILES, SEVERITY_NAMES, RunTables
from agentnet.report.figures.absent import why_no_law
from agentnet.report.figures.sketch import FIGURES, Drawn, ListedFigure, Sketch
from agentnet.report.figures.style import (
    ALONE,
    BLACK,
    INFERRED,
    OBSERVED,
    SMALL,
    Look,
    draw_line,
    fractions_up,
    grid_of_axes,
    legend_above,
    new_figure,
    steps_along,
)
from agentnet.report.figures.words import capitalized, cleaned, counted, percent, sentences, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_SEVERITY_OF: Final = {name: severity for severity, name in SEVERITY_NAMES.items()}
_N_MARKS: Final = 16


@dataclass(frozen=True, slots=True)
class CurveFigure:
    """One figure of curves.

    Attributes:
        name: File name stem.
        number: Number in the paper.
        law: Name of the law.
        title: What the law is called in titles.
        sight: What is compared.
    """

    name: str
    number: str
    law: str
    title: str
    sight: Sight


def paper_figures(wanted: Sight | None = None) -> list[tuple[str, str, type[Law], Sight]]:
    """List the figures that laws of the paper have, by name, number, law and what they show.

    Args:
        wanted: What they show; curves unless given.
    """
    found = [
        (stem, stem.removeprefix("figure")[:2].lstrip("0") if stem.startswith("figure") else "", law, sight)
        for law in LAWS.bundled_ones()
        for stem, sight in law.figures.items()
        if (sight.whose if wanted is None else sight is wanted)
    ]
    return sorted(found, key=lambda each: (not each[1], each[0]))


CURVE_FIGURES: Final = tuple(
    CurveFigure(stem, number, law.name, law.called, sight) for stem, number, law, sight in paper_figures()
)


def curve_sketch(fits: Fits | None, of: CurveFigure) -> Sketch:
    """Draw observed and inferred curves.

    Args:
        fits: The fitted laws.
        of: Which figure.
    """
    return _listed(of).sketch(fits)


def _listed(of: CurveFigure) -> ListedFigure:
    title = of.sight.title.format(law=of.title)
    rank = float(of.number or 103)
    return ListedFigure(of.name, "cascades", title, of.number, rank, lambda fits: _of_law(fits, of), "fits")


def _of_law(fits: Fits, of: CurveFigure) -> Drawn | str:
    missing = why_no_law(fits, of.law)
    if missing is not None:
        return missing
    law = fits.law(of.law)
    panels = [_panel(fits, law, each) for each in law.comparisons if of.sight.takes(each.view)]
    if not panels:
        return _why_nothing(fits, law, of.sight)
    words = (_in_words(panel, law) for panel in panels)
    return Drawn(_drawn(panels, law), _caption(fits, law, panels, of.sight), words)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """What one pair of axes shows.

    Attributes:
        comparison: The curves.
        share: The group's share of all agents, which its curve cannot exceed; None where it is no group.
        alone: The law fitted to this severity alone, as curve and distance; None where there is none.
    """

    comparison: Comparison
    share: float | None = None
    alone: tuple[Array, float] | None = None

    @property
    def name(self) -> str:
        """What is seen, with a capital."""
        return self.comparison.view.capitalize()


def other_sketches(fits: Fits | None) -> Iterator[Sketch]:
    """Draw the curves of each fitted law from elsewhere: the figures that it names, or one of all views."""
    for law in fits.laws if fits else ():
        if law.comparisons and type(law.of) not in LAWS.bundled_ones():
            for name, sight in (law.of.figures or {f"{law.law}_curves": OF_ALL}).items():
                yield curve_sketch(fits, CurveFigure(name, "", law.law, law.title, sight))


def _why_nothing(fits: Fits, law: LawFit, sight: Sight) -> str:
    if not law.comparisons:
        return sentences(warning for warning in law.warnings if warning.startswith("no cascades"))
    if sight.takes("group 1") and not fits.tables.profiled:
        return capitalized(NO_PROFILES.format("there are no curves of groups of them."))
    if sight.takes("group 1"):
        return (
            "All profiles are in one group, so that its curve is that of the population; fit laws with "
            "several groups."
        )
    names = [SEVERITY_NAMES[severity] for severity in fits.tables.severities]
    if len(names) == 1:
        return (
            f"All news items of this run are {names[0]}, so that this would be the curve of the population; "
            "play news items of both severities."
        )
    return "No cascade was inferred for any of the severities; infer more of them (n_runs)."


def _panel(fits: Fits, law: LawFit, comparison: Comparison) -> Panel:
    severity = _SEVERITY_OF.get(comparison.view)
    if severity is not None:
        fit = law.by_severity.get(severity)
        return Panel(comparison, alone=None if fit is None else (fit.inferred, fit.rmse))
    if comparison.view == POPULATION:
        return Panel(comparison)
    group = int(comparison.view.removeprefix("group ")) - 1
    return Panel(comparison, share=float(fits.tables.group_share(fits.grouping.group)[group]))


def _drawn(panels: list[Panel], law: LawFit) -> Figure:
    n_columns = 1 if len(panels) == 1 else 2 if len(panels) <= 8 else 4
    n_rows = -(-len(panels) // n_columns)
    height = 4.0 if n_rows == 1 else 0.5 + 2.9 * n_rows
    figure = new_figure(6.0 if len(panels) == 1 else 8.4, height)
    every = grid_of_axes(figure, len(panels), n_columns)
    for place, (axes, panel) in enumerate(zip(every, panels, strict=True)):
        _draw_panel(axes, panel, law, brief=n_columns > 2)
        if place % n_columns == 0:
            axes.set_ylabel("engaged fraction" if panel.share is None else "engaged, of all agents")
        if place >= len(panels) - n_columns:
            axes.set_xlabel("step")
    legend_above(figure, every)
    return figure


def _draw_panel(axes: Axes, panel: Panel, law: LawFit, *, brief: bool) -> None:
    comparison = panel.comparison
    draw_curve(axes, comparison.observed, OBSERVED, "observed")
    draw_curve(axes, comparison.inferred, INFERRED, law.title)
    if panel.alone is not None:
        curve = Curve(panel.alone[0])
        draw_curve(axes, curve, ALONE, "fitted to this severity alone")
    if panel.share is not None:
        axes.axhline(panel.share, color=BLACK, linestyle=(0, (1, 2)), linewidth=1.0, label="all of the group")
    steps_along(axes, comparison.observed.mean.size - 1)
    fractions_up(axes, _ceiling(panel))
    axes.set_title(f"{panel.name}\n{_distance(comparison, brief=brief)}", fontsize=SMALL if brief else 9.0)


def draw_curve(axes: Axes, curve: Curve, look: Look, label: str) -> None:
    """Draw a mean curve after steps 0, 1, ... with its band of one standard deviation either side."""
    step = np.arange(curve.mean.size)
    if curve.sd is not None:
        low, high = curve.mean - curve.sd, curve.mean + curve.sd
        axes.fill_between(step, low, high, color=look.colour, alpha=0.2, linewidth=0)
        for edge in (low, high):
            axes.plot(step, edge, color=look.colour, linestyle=look.line, linewidth=0.6, alpha=0.8)
    draw_line(axes, look, curve.mean, marks=_N_MARKS, label=label)


def _ceiling(panel: Panel) -> float:
    """Choose the top of the y axis: 1 for what can reach it, else just above the group's share."""
    return 1.02 if panel.share is None or panel.share > 0.6 else max(1.12 * panel.share, 1e-3)


def _distance(comparison: Comparison, *, brief: bool) -> str:
    said = f"RMSE {spelled(comparison.rmse, 4)}"
    if not brief:
        said += f", NRMSE {spelled(comparison.nrmse, 4)}"
        if comparison.floor is not None:
            said += f"; chance alone {spelled(comparison.floor.mean, 4)}"
    return said


def _caption(fits: Fits, law: LawFit, panels: list[Panel], sight: Sight) -> Iterator[str]:
    tables = fits.tables
    yield (
        f"{sight.whose} after each step of {cleaned(tables.run)}, observed in "
        f"{counted(tables.n_realizations, 'realization')} and inferred by the {law.title} law "
        f"({counted(law.n_parameters, 'parameter')}{_how_inferred(law, fits)})"
    )
    yield _bands(panels)
    yield from _alone_words(panels, law)
    yield _floor_words(panels)
    if sight.takes("group 1"):
        yield from _group_words(fits)
    yield missing_words(tables)
    if not law.of.of_decisions:
        yield from law.warnings


def _how_inferred(law: LawFit, fits: Fits) -> str:
    if not law.of.of_decisions:
        return ", fitted to the mean curve of the population"
    return f", fitted to single decisions; {counted(fits.n_runs, 'inferred cascade')} of the same design"


def _bands(panels: list[Panel]) -> str:
    banded = [
        name
        for name in ("observed", "inferred")
        if any(getattr(panel.comparison, name).sd is not None for panel in panels)
    ]
    if not banded:
        return "There is no band: no curve is the mean of several cascades"
    whose = "Bands are" if len(banded) == 2 else f"The band of the {banded[0]} curve is"
    return f"{whose} one standard deviation of single cascades either side of the mean"


def _alone_words(panels: list[Panel], law: LawFit) -> Iterator[str]:
    alone = [
        f"{panel.comparison.view} {spelled(panel.alone[1], 4)}" for panel in panels if panel.alone is not None
    ]
    if alone:
        yield (
            f"The {law.title} law knows no severity; dotted, it is fitted to each severity's curve alone, "
            f"with an RMSE of: {', '.join(alone)}"
        )


def _floor_words(panels: list[Panel]) -> str:
    floors = [(panel.comparison.view, panel.comparison.floor) for panel in panels]
    named = [f"{view} {spelled(floor.quantile_95, 4)}" for view, floor in floors if floor is not None]
    if not named:
        return "How far chance alone sets such curves apart cannot be told from a single cascade"
    return (
        "Chance alone is the RMSE that a perfect law has on average; in one of twenty cases it has more "
        f"than: {', '.join(named)}"
    )


def _group_words(fits: Fits) -> Iterator[str]:
    share = fits.tables.group_share(fits.grouping.group)
    sizes = [
        f"group {number} has {counted(size, 'profile')}, {percent(float(part))} of the agents"
        for number, (size, part) in enumerate(zip(fits.grouping.sizes, share, strict=True), 1)
    ]
    yield f"Groups: {'; '.join(sizes)}"
    yield fits.grouping.note


def missing_words(tables: RunTables) -> str:
    """Say how many answers a figure of a run does without."""
    if not tables.n_missing:
        return f"None of {counted(tables.n_exposures, 'answer')} to exposures is missing"
    are = "is" if tables.n_missing == 1 else "are"
    return (
        f"{tables.n_missing:,} of {counted(tables.n_exposures, 'answer')} to exposures {are} missing and "
        "engaged nobody"
    )


def _in_words(panel: Panel, law: LawFit) -> str:
    comparison = panel.comparison
    observed, inferred = comparison.observed, comparison.inferred
    gap = np.abs(observed.mean - inferred.mean)
    furthest = int(gap.argmax())
    return (
        f"{panel.name}, {counted(observed.n or 0, 'cascade')}: the mean observed curve has "
        f"{', '.join(_readings(observed))}; the {law.title} law has {', '.join(_readings(inferred))}. "
        f"They are furthest apart at step {furthest}, by {spelled(float(gap[furthest]))}; RMSE "
        f"{spelled(comparison.rmse, 4)}, NRMSE {spelled(comparison.nrmse, 4)}"
    )


def _readings(curve: Curve) -> Iterator[str]:
    """Read a curve at up to four steps."""
    last = curve.mean.size - 1
    for step in sorted({0, last // 3, 2 * last // 3, last}):
        spread = "" if curve.sd is None else f" (standard deviation {spelled(float(curve.sd[step]))})"
        yield f"{spelled(float(curve.mean[step]))}{spread} at step {step}"


for _each in CURVE_FIGURES:
    FIGURES.register(_each.name, _listed(_each), module=__name__)
