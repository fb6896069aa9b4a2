"""How far two groups of models are apart, over time and relative to the start.

Helm et al. 2024, "Tracking the perspectives of interacting language models", arXiv:2406.11938, take the
difference of the groups' mean 1-d perspectives over that at step 0: with one adversary as the second group,
and with two classes. Where that difference is small at step 0 the ratio is ill-conditioned, so the squared
gap between the groups in the full space stands beside it, without the bias that comes from few models.

Both are sums over prompts, so intervals come from drawing prompts, whole runs, or both anew.

Prompts are a sample of what might have been asked, runs of what might have happened. Both are drawn with
replacement, independently of each other where both are drawn, as every run answers the same prompts: for such
crossed data the variance comes out somewhat too large rather than too small (Owen 2007, "The pigeonhole
bootstrap", Annals of Applied Statistics 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.given import numbers
from agentnet.analysis.perspectives.blocks import Array, Load, bad_blocks, checked_block
from agentnet.errors import DesignError, InputError
from agentnet.streams import Streams

Group = Sequence[int] | NDArray[np.integer]
"""Numbers of models."""


def groups(first: Group, second: Group, n_models: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Check two groups of models, and give their numbers: each of shape ``(n_of_group,)``.

    Raises:
        DesignError: A group is empty, names a model that does not exist or twice, or they share one.
    """
    found = [np.asarray(group) for group in (first, second)]
    for name, group in zip(("first", "second"), found, strict=True):
        if group.ndim != 1 or not group.size or group.dtype.kind not in "iu":
            raise DesignError(f"the {name} group must list numbers of models; got {group.tolist()}")
        if group.min() < 0 or group.max() >= n_models:
            raise DesignError(
                f"the {name} group names model {group.min() if group.min() < 0 else group.max()}; "
                f"there are models 0 to {n_models - 1}"
            )
    names, count = np.unique(np.concatenate(found), return_counts=True)
    if (count > 1).any():
        raise DesignError(f"model {names[count > 1][0]} stands in the groups more than once")
    one, other = (group.astype(np.intp) for group in found)
    return one, other


def differences(paths: ArrayLike, first: Group, second: Group) -> Array:
    """Compute the mean of the first group less that of the second.

    Args:
        paths: 1-d perspectives, shape ``(..., n_steps, n_models)``.
        first: Numbers of the first group's models.
        second: Those of the second group.

    Returns:
        Shape ``(..., n_steps)``.

    Raises:
        InputError: The shape is wrong, or a perspective is not finite.
        DesignError: The groups cannot be used.
    """
    places = numbers(paths, "paths")
    if places.ndim < 2 or not places.size or not np.isfinite(places).all():
        raise InputError(
            f"must be finite, of shape (n_steps, n_models); got shape {places.shape}", field="paths"
        )
    one, other = groups(first, second, places.shape[-1])
    difference: Array = places[..., one].mean(axis=-1) - places[..., other].mean(axis=-1)
    return difference


def polarization(paths: ArrayLike, first: Group, second: Group) -> Array:
    """Compute the difference of two groups' mean perspectives over that at step 0 (the paper's polarization).

    Args:
        paths: 1-d perspectives, shape ``(..., n_steps, n_models)``: of one run, or of several.
        first: Numbers of the first group's models: all but the adversary, or class A.
        second: Those of the second group: the adversary, or class B.

    Returns:
        Shape ``(..., n_steps)``; 1 at step 0. Neither sign nor unit of the perspectives matters.

    Raises:
        InputError: The shape is wrong, a perspective is not finite, or the groups coincide at step 0.
        DesignError: The groups cannot be used.

    Examples:
        >>> polarization([[1, 2, 5], [1, 3, 5], [4, 4, 5], [6, 7, 5]], [0, 1], [2]).round(3)
        array([ 1.   ,  0.857,  0.286, -0.429])
    """
    return relative(differences(paths, first, second))


def relative(series: Array) -> Array:
    """Divide series, shape ``(..., n_steps)``, by their values at step 0.

    Raises:
        InputError: One of them is 0 there.
    """
    start = series[..., :1]
    if (start == 0).any():
        raise InputError(
            "the groups coincide at step 0 (in the data or in a sample drawn from them), so nothing can be "
            "measured relative to it; take the difference or the gap itself",
            field="paths",
        )
    return series / start


def gaps(squared: ArrayLike, first: Group, second: Group) -> Array:
    """Compute the squared distance between two groups' means, without bias from few models.

    gap2 = mean D2_ab - (mean D2_aa + mean D2_bb) / 2, where the means within groups leave out the distance of
    each model to itself (half the energy statistic of Szekely & Rizzo 2013, with exponent 2). Models are seen
    as draws from what their group might have been, so it is below 0 now and then. A group of one stands for
    itself: its D2_bb is 0.

    Args:
        squared: Squared distances between models at each step, shape ``(..., n_models, n_models)``; see
            `within_steps`.
        first: Numbers of the first group's models.
        second: Those of the second group.

    Returns:
        Shape ``(...)``, in the unit of `squared`.

    Raises:
        InputError: The shape is wrong, or a distance is not finite.
        DesignError: The groups cannot be used.
    """
    table = numbers(squared, "squared")
    if table.ndim < 2 or table.shape[-1] != table.shape[-2] or not np.isfinite(table).all():
        raise InputError(
            f"must be finite, of shape (n_steps, n_models, n_models); got shape {table.shape}",
            field="squared",
        )
    # What was computed in single precision is the same to its rounding.
    scale = 1e-5 * float(np.abs(table).max(initial=0.0))
    if (np.abs(table - np.swapaxes(table, -1, -2)) > scale).any():
        raise InputError("squared distances are the same both ways; these are not", field="squared")
    one, other = groups(first, second, table.shape[-1])
    across = table[..., one[:, None], other].mean(axis=(-2, -1))
    gap: Array = across - (_within(table, one) + _within(table, other)) / 2
    return gap


def _within(table: Array, group: NDArray[np.intp]) -> Array:
    part = table[..., group[:, None], group]
    size = len(group)
    total = part.sum(axis=(-2, -1)) - np.trace(part, axis1=-2, axis2=-1)
    mean: Array = total / max(size * (size - 1), 1)
    return mean


def prompt_gaps(block: ArrayLike, first: Group, second: Group, noise: ArrayLike | None = None) -> Array:
    """Compute each prompt's part of the gap at one step; the parts add up to that of `gaps`.

    Args:
        block: Embedded replies, shape ``(n_models, n_prompts, n_dims)``.
        first: Numbers of the first group's models.
        second: Those of the second group.
        noise: What sampling adds to the squared distances of each reply, shape ``(n_models, n_prompts)``; see
            `averaged`. It matters for a group of one alone: within a larger one it is part of the spread.

    Returns:
        Shape ``(n_prompts,)``.

    Raises:
        InputError: The shape is wrong, or a value is not finite.
        DesignError: The groups cannot be used.
    """
    replies = checked_block(block, 0)
    one, other = groups(first, second, len(replies))
    taken = np.zeros(replies.shape[:2]) if noise is None else np.asarray(noise, dtype=np.float64)
    if taken.shape != replies.shape[:2] or not np.isfinite(taken).all():
        raise InputError(f"must be finite, of shape {replies.shape[:2]}; got {taken.shape}", field="noise")
    means, errors = zip(*(_centre(replies[g], taken[g]) for g in (one, other)), strict=True)
    apart = means[0] - means[1]
    gap: Array = np.einsum("xp,xp->x", apart, apart) - errors[0] - errors[1]
    return gap


def _centre(replies: NDArray[np.floating], noise: Array) -> tuple[Array, Array]:
    """Compute a group's mean reply to each prompt, and what its error adds to squared distances."""
    mean = replies.mean(axis=0, dtype=np.float64)
    size = len(replies)
    if size == 1:
        return mean, noise[0]
    spread = np.zeros(len(mean))
    for reply in replies:
        apart = reply - mean
        spread += np.einsum("xp,xp->x", apart, apart)
    return mean, spread / (size - 1) / size


def axis_weights(load: Load, n_steps: int, coordinates: ArrayLike) -> Array:
    """Find the direction in the replies' own space along which a perspective is measured: one pass.

    Args:
        load: Gives the block of a step, shape ``(n_models, n_prompts, n_dims)``.
        n_steps: Number of steps.
        coordinates: One dimension of a scaling of all rows, shape ``(n_rows,)``.

    Returns:
        Shape ``(n_prompts, n_dims)``: a reply's product with it is its part of the perspective.

    Raises:
        InputError: A block cannot be used, or there is not a coordinate for each row.
    """
    line = numbers(coordinates, "coordinates")
    total: Array | None = None
    for step in range(n_steps):
        block = checked_block(load(step), step, None)
        n_models = len(block)
        if line.shape != (n_steps * n_models,):
            raise InputError(
                f"must have shape ({n_steps * n_models},), one for each row; got {line.shape}",
                field="coordinates",
            )
        part = np.tensordot(line[step * n_models :][:n_models], block, axes=1)
        total = part if total is None else total + part
    squared = float(line @ line)
    if total is None or not squared:
        raise bad_blocks("nothing differs along this dimension")
    weights: Array = total / squared
    return weights


def prompt_differences(block: ArrayLike, weights: ArrayLike, first: Group, second: Group) -> Array:
    """Compute each prompt's part of the difference between two groups at one step, along a fixed axis.

    Args:
        block: Embedded replies, shape ``(n_models, n_prompts, n_dims)``.
        weights: The axis, shape ``(n_prompts, n_dims)``; see `axis_weights`.
        first: Numbers of the first group's models.
        second: Those of the second group.

    Returns:
        Shape ``(n_prompts,)``; the sum is what `differences` says of the same scaling.

    Raises:
        InputError: The shapes do not fit, or a value is not finite.
        DesignError: The groups cannot be used.
    """
    replies = checked_block(block, 0)
    axis = numbers(weights, "weights")
    if axis.shape != replies.shape[1:]:
        raise InputError(f"must have shape {replies.shape[1:]}; got {axis.shape}", field="weights")
    one, other = groups(first, second, len(replies))
    apart = replies[one].mean(axis=0, dtype=np.float64) - replies[other].mean(axis=0, dtype=np.float64)
    parts: Array = np.einsum("xp,xp->x", apart, axis)
    return parts


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
    given = numbers(parts, "parts")
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
