"""Ridge regression judged on rows that it has not seen: nested cross-validation, of many targets at once.

Outside, rows are held out; inside, the penalty is chosen by the leave-one-out errors of the rows that are
left (Hoerl & Kennard 1970, "Ridge regression", Technometrics 12; Allen 1974, "The relationship between
variable selection and data augmentation", Technometrics 16). Features are scaled by the rows that are left.
A permutation test has a thousand targets, which scikit-learn fits by one decomposition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import DesignError, InputError
from agentnet.streams import Streams

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

PENALTIES: Final = tuple(10.0 ** (power / 2) for power in range(-6, 13))
"""The penalties to choose from, 0.001 to 1,000,000: from hardly any shrinkage to nothing but the mean."""

LEAST_TRAINING: Final = 3
"""Rows that must be left beside held-out ones: two to learn from, and one to judge the penalty by."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What was predicted of rows that were held out, each as often as there are repeats.

    Attributes:
        predicted: Mean prediction, shape ``(n_rows, n_targets)``.
        errors: Mean squared error, same shape.
        baseline: Mean squared error of the mean of the rows that were left, same shape.
    """

    predicted: Array
    errors: Array
    baseline: Array

    @property
    def r_squared(self) -> Array:
        """1 less the errors over those of the mean, shape ``(n_targets,)``: 0 is no better than the mean."""
        share: Array = 1.0 - self.errors.sum(axis=0) / self.baseline.sum(axis=0)
        return share


def make_folds(
    n_rows: int, n_folds: int | None = None, n_repeats: int = 10, *, seed: int = 0
) -> tuple[Rows, ...]:
    """Say which rows are held out together.

    Args:
        n_rows: Number of rows.
        n_folds: Folds, >= 2, whose sizes differ by one at most; None holds out one row at a time.
        n_repeats: How often all rows are dealt to folds anew, >= 1; leaving one out needs no repeats.
        seed: Fixes how they are dealt.

    Raises:
        DesignError: There are too few rows, folds or repeats.
    """
    chosen = n_rows if n_folds is None else n_folds
    if n_repeats < 1 or chosen < 2 or chosen > n_rows:
        raise DesignError(
            f"{n_rows} profiles cannot be dealt {n_repeats} times to {chosen} folds; folds are 2 at least, "
            "and at most as many as there are profiles"
        )
    n_left = n_rows - -(-n_rows // chosen)
    if n_left < LEAST_TRAINING:
        raise DesignError(
            f"{n_rows} profiles in {chosen} folds leave {n_left} to learn from; at least {LEAST_TRAINING} "
            "are needed"
        )
    if n_folds is None:
        return tuple(np.array([row]) for row in range(n_rows))
    rng = Streams(seed).generator("folds")
    return tuple(
        np.sort(fold) for _ in range(n_repeats) for fold in np.array_split(rng.permutation(n_rows), chosen)
    )


def held_out(
    features: ArrayLike, targets: ArrayLike, folds: Sequence[Rows], penalties: Sequence[float] = PENALTIES
) -> HeldOut:
    """Predict each fold from all other rows.

    Args:
        features: Shape ``(n_rows, n_features)``; one that does not vary among rows has no effect.
        targets: Shape ``(n_rows, n_targets)``, each predicted on its own.
        folds: Rows that are held out together; every row in equally many of them (see `make_folds`).
        penalties: What the penalty is chosen from, > 0; the first of the best. They are added to the squared
            singular values of the scaled features.

    Raises:
        InputError: The shapes do not fit, or a value is not finite.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise InputError(f"features {x.shape} and targets {y.shape} must be tables of the same rows")
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise InputError("features and targets must be finite")
    predicted, errors, baseline = np.zeros_like(y), np.zeros_like(y), np.zeros_like(y)
    times = np.zeros(len(y))
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(y)), fold)
        guess = _predict(x[rest], y[rest], x[fold], penalties)
        predicted[fold] += guess
        errors[fold] += (y[fold] - guess) ** 2
        baseline[fold] += (y[fold] - y[rest].mean(axis=0)) ** 2
        times[fold] += 1
    return HeldOut(*(total / times[:, None] for total in (predicted, errors, baseline)))


def _predict(x: Array, y: Array, new: Array, penalties: Sequence[float]) -> Array:
    """Learn from `x` and `y`, with the penalty that suits each target; predict for `new`."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    ridge = RidgeCV(alphas=np.array(penalties, dtype=np.float64), alpha_per_target=True)
    guess: Array = make_pipeline(StandardScaler(), ridge).fit(x, y).predict(new)
    return guess.reshape(len(new), y.shape[1])
