"""The largest eigenvalue of the mean-field law beside the growth that was observed at first (figure 6)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.comparison import EARLY, early_steps
from agentnet.analysis.fits import Fits, LawFit
from agentnet.analysis.laws import GROWTH
from agentnet.report.figures.absent import why_no_law
from agentnet.report.figures.curves import paper_figures
from agentnet.report.figures.sketch import Drawn, figure
from agentnet.report.figures.style import (
    BLACK,
    GREY,
    INFERRED,
    OBSERVED,
    PALE,
    draw_line,
    grid_of_axes,
    legend_above,
    new_figure,
    steps_along,
)
from agentnet.report.figures.words import cleaned, counted, percent, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_FINE: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class Growth:
    """Growth from nearly nothing.

    Attributes:
        law: The law's title.
        observed: Mean engaged fraction of the population after each step, shape ``(n_steps + 1,)``.
        time: Times at which the law is evaluated, in steps, shape ``(n_times,)``.
        inferred: The law's engaged fraction, same shape.
        rate: The eigenvalue lambda, per step.
        interval: Its confidence interval; None where there is none.
        method: How that was made.
        n_early: Steps from 0 on over which growth is early, >= 1.
    """

    law: str
    observed: Array
    time: Array
    inferred: Array
    rate: float
    interval: tuple[float, float] | None
    method: str
    n_early: int

    @classmethod
    def of(cls, fit: LawFit) -> Growth:
        """Take it from a fitted mean-field law."""
        assert fit.growth_rate is not None, "every mean-field law has one"
        observed = fit.fit.observed
        time = np.arange((observed.size - 1) * _FINE + 1) / _FINE
        return cls(
            law=fit.title,
            observed=observed,
            time=time,
            inferred=fit.fit.law.engaged_fraction(time),
            rate=fit.growth_rate.estimate,
            interval=fit.growth_rate.interval,
            method=fit.growth_rate.method,
            n_early=early_steps(observed),
        )

    @property
    def by_step(self) -> Array:
        """Observed growth rate of each step, ln E(t) - ln E(t - 1), shape ``(n_steps,)``."""
        rates: Array = np.diff(np.log(self.observed))
        return rates

    @property
    def inferred_by_step(self) -> Array:
        """The law's growth rate of each step, same shape."""
        rates: Array = np.diff(np.log(self.inferred[::_FINE]))
        return rates

    @property
    def early(self) -> float:
        """Observed growth rate over the early steps, per step."""
        return float(self.by_step[: self.n_early].mean())

    @property
    def inferred_early(self) -> float:
        """The law's growth rate over the same steps."""
        return float(self.inferred_by_step[: self.n_early].mean())

    @property
    def exponential(self) -> tuple[Array, Array]:
        """E(0) exp(lambda t) as long as it is at most 1: times and values."""
        start = float(self.inferred[0])
        end = (
            float(self.time[-1])
            if self.rate <= 0
            else min(-math.log(start) / self.rate, float(self.time[-1]))
        )
        time = np.linspace(0.0, end, 2)
        return time, start * np.exp(self.rate * time)


@figure(
    "figure06_growth",
    of="cascades",
    title=GROWTH.title,
    number="6",
    rank=6,
    takes="fits",
)
def growth_sketch(fits: Fits) -> Drawn | str:
    """Draw growth from nearly nothing on a logarithmic scale, and as rates of single steps."""
    laws = [law.name for *_, law, _ in reversed(paper_figures(GROWTH))]
    fitted = [name for name in laws if why_no_law(fits, name) is None]
    if not fitted:
        return str(why_no_law(fits, laws[0]))
    growth = Growth.of(fits.law(fitted[0]))
    return Drawn(_drawn(growth), _caption(fits, growth), _in_words(growth))


def _drawn(growth: Growth) -> Figure:
    figure = new_figure(8.4, 4.0)
    left, right = grid_of_axes(figure, 2, 2)
    _draw_fractions(left, growth)
    _draw_rates(right, growth)
    legend_above(figure, (left, right), n_columns=5)
    return figure


def _draw_fractions(axes: Axes, growth: Growth) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_yscale("log")
    draw_line(axes, OBSERVED, growth.observed, markevery=None, label="observed")
    axes.plot(growth.time, growth.inferred, color=INFERRED.colour, linestyle=INFERRED.line, label=growth.law)
    axes.plot(*growth.exponential, color=BLACK, linestyle=":", label="growth at λ")
    lowest = float(min(growth.observed.min(), growth.inferred.min()))
    axes.set_ylim(lowest / 1.3, 1.3)
    # The usual labels of such a scale are formulas, which are switched off.
    decades = range(math.floor(math.log10(lowest)), 1)
    axes.yaxis.set_major_locator(
        FixedLocator([m * 10.0**e for e in decades for m in (1, 2, 5) if m * 10.0**e <= 1])
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    steps_along(axes, growth.observed.size - 1)
    axes.set_title("Engaged fraction, logarithmic scale", fontsize=9.0)
    axes.set_xlabel("step")
    axes.set_ylabel("engaged fraction")


def _draw_rates(axes: Axes, growth: Growth) -> None:
    if growth.interval is not None:
        axes.axhspan(*growth.interval, color=PALE, label="interval of λ")
    axes.axvspan(
        0.5,
        growth.n_early + 0.5,
        facecolor="none",
        edgecolor=GREY,
        hatch="\\\\",
        linewidth=0,
        label="early steps",
    )
    axes.axhline(growth.rate, color=BLACK, linestyle=":")
    for look, rates in ((OBSERVED, growth.by_step), (INFERRED, growth.inferred_by_step)):
        draw_line(axes, look, rates, first=1, markevery=None)
    steps_along(axes, growth.by_step.size)
    axes.set_title(f"Growth rate of each step; λ = {spelled(growth.rate)}", fontsize=9.0)
    axes.set_xlabel("step")
    axes.set_ylabel("ln E(t) − ln E(t − 1)")


def _caption(fits: Fits, growth: Growth) -> Iterator[str]:
    yield (
        "How the engaged fraction grows from nearly nothing: the mean of "
        f"{counted(fits.tables.n_realizations, 'realization')} of {cleaned(fits.tables.run)} and "
        f"the {growth.law} law, with E(0) exp(λ t), where λ is its largest eigenvalue at the "
        "state without engaged agents"
    )
    if growth.interval is not None:
        yield f"Grey is the {percent(fits.level)} interval of λ ({growth.method})"
    if float(growth.observed[growth.n_early]) <= EARLY:
        yield f"Hatched are the early steps, over which the observed mean stays within {percent(EARLY)}"
    else:
        yield f"Hatched is the first step, after which more than {percent(EARLY)} are engaged already"
    yield (
        "The law, in continuous time, begins to grow at the rate λ; a cascade moves in whole steps and soon "
        "runs out of unengaged neighbours"
    )


def _in_words(growth: Growth) -> Iterator[str]:
    interval = ""
    if growth.interval is not None:
        interval = f", interval {spelled(growth.interval[0])} to {spelled(growth.interval[1])}"
    yield f"The eigenvalue λ of the {growth.law} law is {spelled(growth.rate)} per step{interval}"
    steps = "step 1" if growth.n_early == 1 else f"steps 1 to {growth.n_early}"
    first, last = growth.observed[0], growth.observed[growth.n_early]
    yield (
        f"Over {steps} the observed engaged fraction grows from {spelled(float(first), 4)} to "
        f"{spelled(float(last), 4)}, by a rate of {spelled(growth.early)} per step; the law's rate "
        f"over the same steps is {spelled(growth.inferred_early)}"
    )
    rates = [f"{spelled(float(each))} at step {step}" for step, each in enumerate(growth.by_step[:6], 1)]
    yield f"Observed rates of single steps: {', '.join(rates)}"
