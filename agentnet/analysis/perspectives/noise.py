"""What sampling adds to distances, and taking it away again.

A reply that is drawn anew each time scatters around its mean. Between two rows, that adds the variances of
both to the expected squared distance, so that models which agree seem apart and ones that rest seem to move.
From two or more draws of each reply the variances are estimated without bias, and subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.perspectives.blocks import Array, Floats, checked_block
from agentnet.errors import InputError


@dataclass(frozen=True, slots=True)
class Averaged:
    """The mean of several draws of every reply of one step.

    Attributes:
        block: Mean embedded replies, shape ``(n_models, n_prompts, n_dims)``, to be used as a step's block.
        noise: Estimated variance of each mean, summed over dimensions: what it adds to squared distances,
            shape ``(n_models, n_prompts)``.
    """

    block: Floats
    noise: Array

    @property
    def row_noise(self) -> Array:
        """What each model's noise adds to the squared distances of its row, shape ``(n_models,)``."""
        total: Array = self.noise.sum(axis=1)
        return total


def averaged(draws: ArrayLike) -> Averaged:
    """Average draws of the same replies and estimate what is left of their noise.

    Args:
        draws: Embedded replies of one step, shape ``(n_draws, n_models, n_prompts, n_dims)``, at least two
            independent draws.

    Raises:
        InputError: There are fewer than 2 draws, the shape is wrong, or a value is not finite.
    """
    every: NDArray[Any] = np.asarray(draws)
    if every.ndim != 4 or len(every) < 2:
        raise InputError(
            f"must have shape (n_draws, n_models, n_prompts, n_dims) with at least 2 draws; got "
            f"{every.shape}",
            field="draws",
        )
    checked = [checked_block(block, number) for number, block in enumerate(every)]
    mean = np.zeros(checked[0].shape)
    for block in checked:
        mean += block
    mean /= len(checked)
    scatter = np.zeros(mean.shape[:2])
    for block in checked:
        apart = block - mean
        scatter += np.einsum("ixp,ixp->ix", apart, apart)
    noise = scatter / (len(checked) - 1) / len(checked)
    return Averaged(mean.astype(checked[0].dtype), noise)


def without_noise(squared: ArrayLike, row_noise: ArrayLike) -> Array:
    """Take away what sampling added to squared distances between rows.

    Args:
        squared: Squared distances, shape ``(n_rows, n_rows)``, or those of each step,
            ``(n_steps, n_rows, n_rows)``.
        row_noise: What each row's noise adds, shape ``(n_rows,)`` or ``(n_steps, n_rows)``: 0 for replies
            that were not sampled. In the unit of `squared`: divided by the number of prompts if that is.

    Returns:
        Same shape: without bias, and so below 0 now and then where rows are alike; the diagonal stays 0.

    Raises:
        InputError: The shapes do not fit, or the noise is negative or not finite.
    """
    table, noise = np.asarray(squared, dtype=np.float64), np.asarray(row_noise, dtype=np.float64)
    if table.ndim < 2 or table.shape[-1] != table.shape[-2] or noise.shape != table.shape[:-1]:
        raise InputError(
            f"{noise.shape} does not fit squared distances of shape {table.shape}", field="row_noise"
        )
    if not (noise >= 0).all() or not np.isfinite(noise).all():
        raise InputError("must be finite and at least 0", field="row_noise")
    left = table - noise[..., :, None] - noise[..., None, :]
    rows = np.arange(table.shape[-1])
    left[..., rows, rows] = 0.0
    return left
