"""Confidence intervals of what is measured over prompts and runs, by drawing them anew.

Prompts are a sample of what might have been asked, runs of what might have happened. Both are drawn with
replacement, independently of each other where both are drawn, as every run answers the same prompts: for such
crossed data the variance comes out somewhat too large rather than too small (Owen 2007, "The pigeonhole
bootstrap", Annals of Applied Statistics 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from agentnet.analysis.perspectives.blocks import Array
from agentnet.analysis.perspectives.two_groups import relative
from agentnet.errors import DesignError, InputError
from agentnet.streams import Streams

Over = Literal["prompts", "runs", "both"]


@dataclass(frozen=True, slots=True)
class Series:
    """A measure over time with its interval.

    Attributes:
        value: Mean over runs, shape ``(n_steps,)``.
        low: Lower end at each step, same shape.
        high: Upper end.
        level: The chance with which an interval holds the truth, at one step.
        over: What was drawn anew.
        clear_start: Whether the interval of every run's own value at step 0 leaves out 0. Where it does not,
            nothing can be said relative to the start: a ratio to what may be 0 may be anything.
    """

    value: Array
    low: Array
    high: Array
    level: float
    over: Over
    clear_start: bool


def bootstrap(
    parts: ArrayLike,
    *,
    over: Over = "prompts",
    relative_to_start: bool = False,
    root: bool = False,
    n_bootstrap: int = 2_000,
    level: float = 0.95,
    seed: int = 0,
) -> Series:
    """Sum parts over prompts, average runs, and find percentile intervals.

    With the parts of `prompt_differences` and `relative_to_start` it is the polarization, along an axis that
    is taken as known; with those of `prompt_gaps` it is the gap, with nothing taken as known.

    Args:
        parts: Each prompt's part, shape ``(n_steps, n_prompts)`` of one run or ``(n_runs, n_steps,
            n_prompts)``. For what has no parts (a polarization of each run, say) let there be one prompt.
        over: What is drawn anew: prompts, runs, or both.
        relative_to_start: Divide each run by its value at step 0, in each draw.
        root: Take the square root first, with the sign kept: makes of a squared gap a distance.
        n_bootstrap: Number of draws.
        level: Of the interval, at each step for itself.
        seed: Fixes the draws.

    Raises:
        InputError: The shape is wrong, a part is not finite, there is only one of what is to be drawn, or the
            value at step 0 is 0 and others are to be relative to it.
        DesignError: An option is out of range.
    """
    given = _checked(parts)
    _check_options(over, n_bootstrap, level)
    n_runs, _, n_prompts = given.shape
    for what, count in (("prompts", n_prompts), ("runs", n_runs)):
        if over in (what, "both") and count < 2:
            raise InputError(f"there is 1 of the {what}, so they cannot be drawn anew", field="parts")
    rng = Streams(seed).generator("perspectives", "bootstrap")
    by_prompt = _weights(rng, n_bootstrap, n_prompts, drawn=over != "runs")
    by_run = _weights(rng, n_bootstrap, n_runs, drawn=over != "prompts")

    def measured(sums: Array) -> Array:
        series = np.sign(sums) * np.sqrt(np.abs(sums)) if root else sums
        return relative(series) if relative_to_start else series

    value = measured(given.sum(axis=2)).mean(axis=0)
    # Shape (n_runs, n_bootstrap, n_steps), then weighted over runs: each run is relative to its own start.
    sums = np.stack([by_prompt @ run.T for run in given])
    draws = np.einsum("br,rbt->bt", by_run, measured(sums)) / n_runs
    low, high = _central(draws, level)
    start_low, start_high = _central(sums[:, :, 0].T, level)
    return Series(value, low, high, level, over, bool((start_low * start_high > 0).all()))


def _central(draws: Array, level: float) -> Array:
    """Find the central interval of draws along the first axis; low and high stand first."""
    ends: Array = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return ends


def _checked(parts: ArrayLike) -> Array:
    given = np.asarray(parts, dtype=np.float64)
    if given.ndim == 2:
        given = given[None]
    if given.ndim != 3 or not given.size or not np.isfinite(given).all():
        raise InputError(
            "must be finite, of shape (n_steps, n_prompts) or (n_runs, n_steps, n_prompts); "
            f"got shape {np.shape(parts)}",
            field="parts",
        )
    return given


def _check_options(over: str, n_bootstrap: int, level: float) -> None:
    if over not in get_args(Over):
        raise DesignError(f"over must be one of {', '.join(get_args(Over))}; got {over!r}")
    if n_bootstrap < 1:
        raise DesignError(f"n_bootstrap must be at least 1; got {n_bootstrap}")
    if not 0 < level < 1:
        raise DesignError(f"a confidence level lies between 0 and 1; got {level}")


def _weights(rng: np.random.Generator, n_bootstrap: int, count: int, *, drawn: bool) -> Array:
    """Draw how often each of `count` things stands in each sample, shape ``(n_bootstrap, count)``."""
    if not drawn:
        return np.ones((n_bootstrap, count))
    return rng.multinomial(count, np.full(count, 1 / count), size=n_bootstrap).astype(np.float64)
