"""Whether a model's perspective changed between two steps, or its replies were only sampled anew.

If nothing changed, the replies of both steps to a prompt could as well stand the other way round. So the
change from one to the other is compared with what it would be under all swaps, prompt by prompt or draw by
draw: a permutation test whose level is exact whatever the replies are like (Fisher 1935, "The design of
experiments"; Hemerik & Goeman 2018, "Exact testing with random permutations", TEST 27).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from agentnet.analysis.given import numbers
from agentnet.analysis.perspectives.blocks import Array, slices
from agentnet.errors import DesignError, InputError
from agentnet.given import Count
from agentnet.streams import Streams

Kind = Literal["shift", "replies"]

_ROUNDING = 1e-9


_bad = partial(InputError, field="before, after")


@dataclass(frozen=True, slots=True)
class ChangeTest:
    """Whether something changed, and how much.

    Attributes:
        p_value: The chance of a change at least as large if nothing had changed. If nothing did, it is at
            most a with a chance of at most a, for every a.
        change: Estimated squared change, without what sampling adds and so below 0 now and then: for
            ``"shift"`` that of the mean over prompts, for ``"replies"`` the mean over prompts of each one's.
        kind: Which change was looked for.
        n_swaps: Number of ways to swap that were compared, the observed one among them.
        complete: Whether these were all ways, and not a sample of them.
    """

    p_value: float
    change: float
    kind: Kind
    n_swaps: int
    complete: bool


def change_test(
    before: ArrayLike,
    after: ArrayLike,
    *,
    kind: Kind | None = None,
    n_swaps: int = 1_000,
    seed: int = 0,
    n_at_once: Count = 2_000_000,
) -> ChangeTest:
    """Test whether one model's perspective changed between two steps.

    With one draw of each reply, only a change that replies to different prompts share can be told from
    sampling (``"shift"``). With several draws, changes of single replies in any direction can
    (``"replies"``); draws must then be independent of each other. Prompts are taken as they are: others may
    tell otherwise. Greedy replies need no test, as any difference is a change. To test a whole system, lay
    the replies of all models side by side along the last axis. Who tests many models or steps should hold the
    levels together (Holm 1979, "A simple sequentially rejective multiple test procedure", say).

    Args:
        before: Embedded replies at the earlier step, shape ``(n_prompts, n_dims)``, or ``(n_draws, n_prompts,
            n_dims)`` for several draws of each.
        after: Those of the later step, same shape.
        kind: What change to look for; by default ``"replies"`` with several draws, else ``"shift"``.
        n_swaps: How many ways to swap are compared. If there are no more, all are, and the test has no chance
            in it. The least p-value is 1 over this.
        seed: Fixes which are drawn.
        n_at_once: Ways to swap are compared together until they have so many signs.

    Raises:
        InputError: The shapes differ or are wrong, a value is not finite, there is one prompt for a test of
            ``"shift"``, or one draw for a test of ``"replies"``.
        DesignError: An option is out of range.
    """
    change = _changes(before, after)
    chosen = kind or ("replies" if len(change) > 1 else "shift")
    _check_options(chosen, n_swaps)
    products = _products(change, chosen)
    n_sets, n_places, _ = products.shape
    n_free = n_sets * (n_places - 1)
    complete = n_free < 60 and 2**n_free <= n_swaps
    observed = float(_statistics(products, np.ones((n_sets, 1, n_places)))[0])
    # Rounding must not decide between ways to swap that are equally large.
    least = observed - _ROUNDING * float(np.abs(products).sum())
    together, n_drawn = n_at_once // (n_sets * n_places), n_swaps - 1
    ways = (
        _all_ways(n_sets, n_places, together)
        if complete
        else _some_ways(n_sets, n_places, n_drawn, seed, together)
    )
    as_large = sum(int((_statistics(products, signs) >= least).sum()) for signs in ways)
    n_compared = 2**n_free if complete else n_swaps
    scale = n_sets * n_places * (n_places - 1)
    return ChangeTest(
        (as_large + (not complete)) / n_compared, observed / scale, chosen, n_compared, complete
    )


def _changes(before: ArrayLike, after: ArrayLike) -> Array:
    """Subtract paired draws, shape ``(n_draws, n_prompts, n_dims)``."""
    arrays = [numbers(before, "before"), numbers(after, "after")]
    if arrays[0].shape != arrays[1].shape or arrays[0].ndim not in {2, 3} or not arrays[0].size:
        raise _bad(
            "both steps need the same shape, (n_prompts, n_dims) or (n_draws, n_prompts, n_dims); "
            f"got {arrays[0].shape} and {arrays[1].shape}"
        )
    change: Array = arrays[1] - arrays[0]
    if not np.isfinite(change).all():
        raise _bad("a number in them is not finite")
    return change if change.ndim == 3 else change[None]


def _check_options(kind: str, n_swaps: int) -> None:
    if kind not in get_args(Kind):
        raise DesignError(f"kind must be one of {', '.join(get_args(Kind))}; got {kind!r}")
    if n_swaps < 2:
        raise DesignError(f"n_swaps must be at least 2; got {n_swaps}")


def _products(change: Array, kind: Kind) -> Array:
    """Compute the inner products of changes that are swapped independently, without those with themselves.

    Returns:
        Shape ``(n_sets, n_places, n_places)``: one set of all prompts, or a set of the draws of each prompt.
    """
    sets = change.mean(axis=0)[None] if kind == "shift" else change.transpose(1, 0, 2)
    n_places = sets.shape[1]
    if n_places < 2:
        what = "prompt" if kind == "shift" else "draw of each reply"
        raise _bad(f"there is 1 {what}; a test of {kind!r} needs at least 2")
    products: Array = sets @ sets.transpose(0, 2, 1)
    products[:, np.arange(n_places), np.arange(n_places)] = 0.0
    return products


def _statistics(products: Array, signs: Array) -> Array:
    """Sum inner products of changes with signs, shape ``(n_sets, n_ways, n_places)``; shape ``(n_ways,)``."""
    total: Array = np.einsum("swp,swp->w", signs @ products, signs)
    return total


def _all_ways(n_sets: int, n_places: int, together: int) -> Iterator[Array]:
    """List all ways to swap; the first place of each set stays, as swapping all changes nothing."""
    n_free = n_sets * (n_places - 1)
    for part in slices(2**n_free, together):
        bits = (np.arange(part.start, part.stop)[:, None] >> np.arange(n_free)) & 1
        yield _signs(bits.reshape(-1, n_sets, n_places - 1).transpose(1, 0, 2))


def _some_ways(n_sets: int, n_places: int, count: int, seed: int, together: int) -> Iterator[Array]:
    """Draw ways to swap."""
    rng = Streams(seed).generator("perspectives", "swaps")
    for part in slices(count, together):
        yield _signs(rng.integers(0, 2, (n_sets, part.stop - part.start, n_places - 1)))


def _signs(swapped: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Array:
    return np.pad(1.0 - 2.0 * swapped, ((0, 0), (0, 0), (1, 0)), constant_values=1.0)
