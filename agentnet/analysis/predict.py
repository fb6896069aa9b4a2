"""Whether what profiles say predicts how often they share news.

Perspectives are the classical-scaling coordinates of the profiles' embedded answers (Helm et al. 2024);
sharing ratios are those of Tian et al. (2026), section 2.4.1. Ridge regressions predict the ratio of a
profile that they have not seen, from perspectives, from the five traits, and from both.

Coordinates are found from the answers of all profiles, held-out ones included, whose ratios are never looked
at. An answer depends on nothing but the profile and chance, so that perspectives can add to the traits only
what a sum of the traits' effects leaves out: how traits act together.

Ridge regressions are judged by nested cross-validation. Outside, rows are held out; inside, the penalty is
chosen by the leave-one-out errors of the rows that are left (Hoerl & Kennard 1970, "Ridge regression",
Technometrics 12; Allen 1974, "The relationship between variable selection and data augmentation",
Technometrics 16). Features are scaled by the rows that are left. A permutation test has a thousand targets,
which scikit-learn fits by one decomposition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.algebra import least_squares_fit, singular_vectors
from agentnet.analysis.given import numbers
from agentnet.analysis.perspectives import classical_scaling, squared_distances
from agentnet.analysis.profile_runs import ProfileAnswers, SharingCounts
from agentnet.errors import DesignError, InputError
from agentnet.streams import Streams

Rows = NDArray[np.intp]
Array = NDArray[np.float64]

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
    x, y = numbers(features, "features"), numbers(targets, "targets")
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
    """Learn from `x` and `y`, with the penalty that suits each target; predict for `new`.

    That is the penalty with the least squared errors of single rows left out, which follow from the leverages
    (Golub, Heath & Wahba 1979, Technometrics 21). By hand, as scikit-learn's checks take ten times as long as
    the few rows; a test holds it to scikit-learn's.
    """
    spread = np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1.0)
    centre, mean = x.mean(axis=0), y.mean(axis=0)
    left, values, right = singular_vectors((x - centre) / spread)
    left, right = left[:, : values.size], right[: values.size]
    turned, squared = left.T @ (y - mean), values[:, None] ** 2
    errors = []
    for penalty in penalties:
        shrinkage = squared / (squared + penalty)
        leverage = left**2 @ shrinkage + 1 / len(x)
        errors.append((((y - mean - left @ (shrinkage * turned)) / (1 - leverage)) ** 2).sum(axis=0))
    chosen = np.array(penalties, dtype=np.float64)[np.argmin(errors, axis=0)]
    guess: Array = mean + (new - centre) / spread @ (
        right.T @ (values[:, None] * turned / (squared + chosen))
    )
    return guess


_LEAST_DECISIONS: Final = 2
_ROUNDING: Final = 1e-9
_NEGLIGIBLE: Final = 1e-3
"""Distances have single precision, so that coordinates smaller than this share of the first are rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutScore:
    """How well ratios are predicted from one set of features.

    Attributes:
        name: The features: ``perspectives``, ``traits`` or ``both``.
        n_features: How many there are.
        r_squared: 1 less the squared errors of held-out profiles over those of the mean of the profiles
            learnt from; 0 is no better than that mean, and less is worse.
        p_value: How often ratios that are dealt to the profiles at random are predicted as well, itself
            counted: (1 + as good) / (1 + permutations).
        predicted: Predicted ratio of each profile, held out, shape ``(n_profiles,)``.
    """

    name: str
    n_features: int
    r_squared: float
    p_value: float
    predicted: Array


@dataclass(frozen=True, slots=True, eq=False)
class RatioPrediction:
    """Whether perspectives predict sharing ratios.

    Attributes:
        answers: What was said; its `block` gave the perspectives.
        counts: What was shared.
        ratio: Share of yes among the decisions that came, shape ``(n_profiles,)``.
        standard_error: Its binomial standard error, same shape.
        perspectives: From perspectives alone.
        traits: From the five traits alone.
        both: From the traits and from what a sum of their effects leaves of the perspectives.
        gain: R² of both less that of the traits.
        gain_p_value: How often both would gain as much, if what is left of the ratios beside the traits were
            dealt to the profiles at random (Freedman & Lane 1983, "A nonstochastic interpretation of reported
            significance levels", Journal of Business & Economic Statistics 1).
        ceiling: The R² that the true probabilities would be expected to reach: nobody foresees binomial
            noise. All decisions of a profile are taken for equally likely yes, which makes it a little too
            low where news items differ. At or below 0, ratios differ no more than by chance.
        n_dims: Dimensions of the perspectives.
        explained_share: What they express of all distances between answers, in [0, 1].
        n_folds: Folds; None where one profile was held out at a time.
        n_repeats: How often profiles were dealt to folds; 1 without folds.
        n_permutations: Permutations behind each p-value.
        seed: Fixes folds and permutations.
    """

    answers: ProfileAnswers
    counts: SharingCounts
    ratio: Array
    standard_error: Array
    perspectives: HeldOutScore
    traits: HeldOutScore
    both: HeldOutScore
    gain: float
    gain_p_value: float
    ceiling: float
    n_dims: int
    explained_share: float
    n_folds: int | None
    n_repeats: int
    n_permutations: int
    seed: int

    @property
    def scores(self) -> tuple[HeldOutScore, HeldOutScore, HeldOutScore]:
        """The three of them."""
        return self.perspectives, self.traits, self.both

    @property
    def labels(self) -> tuple[str, ...]:
        """What results have to be called; nothing if language models answered and decided."""
        return tuple(dict.fromkeys(filter(None, (self.answers.label, self.counts.label))))

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before believing it."""
        return tuple(_notes(self))

    def as_json(self) -> dict[str, Any]:
        """Spell it in the types of JSON; labels first."""
        return {
            "labels": list(self.labels),
            "perspectives_run": self.answers.run,
            "ratios_run": self.counts.run,
            "models": [self.answers.model_name, self.counts.model_name],
            "embedder": self.answers.embedder,
            "n_profiles": len(self.ratio),
            "n_questions": self.answers.block.shape[1],
            "left_out": dict(self.answers.left_out or {}),
            "n_dims": self.n_dims,
            "explained_share": self.explained_share,
            "scores": {
                each.name: {
                    "n_features": each.n_features,
                    "r_squared": each.r_squared,
                    "p_value": each.p_value,
                }
                for each in self.scores
            },
            "gain": self.gain,
            "gain_p_value": self.gain_p_value,
            "ceiling": self.ceiling,
            "n_folds": self.n_folds,
            "n_repeats": self.n_repeats,
            "n_permutations": self.n_permutations,
            "seed": self.seed,
            "profiles": list(self._rows()),
            "notes": list(self.notes),
        }

    def _rows(self) -> Iterator[dict[str, Any]]:
        for row, bits in enumerate(self.answers.profiles):
            yield {
                "profile": bits,
                **{name: int(getattr(self.counts, name)[row]) for name in ("n_yes", "n_no", "n_missing")},
                "ratio": float(self.ratio[row]),
                "standard_error": float(self.standard_error[row]),
                "predicted": {each.name: float(each.predicted[row]) for each in self.scores},
            }


def predict_ratios(
    answers: ProfileAnswers,
    counts: SharingCounts,
    *,
    n_dims: int = 5,
    n_folds: int | None = None,
    n_repeats: int = 10,
    n_permutations: int = 999,
    seed: int = 0,
) -> RatioPrediction:
    """Predict how often profiles share from what they say.

    Args:
        answers: What each profile says; see `agentnet.analysis.profile_runs`.
        counts: How often each shares.
        n_dims: Dimensions of perspectives, >= 1; fewer where the answers have fewer.
        n_folds: Folds of the cross-validation, >= 2; None holds out one profile at a time.
        n_repeats: How often profiles are dealt to folds; without folds there is nothing to repeat.
        n_permutations: Permutations behind each p-value, >= 1.
        seed: Fixes folds and permutations.

    Raises:
        InputError: The profiles of the two are not the same, a profile has fewer than 2 decisions, or all
            answers, or all ratios, are the same.
        DesignError: There are too few profiles, folds, dimensions or permutations.
    """
    if n_permutations < 1:
        raise DesignError(f"n_permutations is {n_permutations}; it is at least 1")
    ratio, variance = _ratios(answers, counts)
    folds = make_folds(len(ratio), n_folds, n_repeats, seed=seed)
    coordinates, explained_share = _perspectives(answers, n_dims)
    bits = np.array([[int(bit) for bit in profile] for profile in answers.profiles], dtype=np.float64)
    dealt = _Dealt.of(ratio, n_permutations, seed)
    features = {
        "perspectives": coordinates,
        "traits": bits,
        "both": np.hstack([bits, _beside(bits, coordinates)]),
    }
    found = {name: held_out(x, dealt.targets, folds) for name, x in features.items()}
    scores = {name: _score(name, features[name].shape[1], each) for name, each in found.items()}
    gain, gain_p_value = _gain(bits, features["both"], dealt, folds)
    return RatioPrediction(
        answers,
        counts,
        ratio,
        np.sqrt(variance),
        **scores,
        gain=gain,
        gain_p_value=gain_p_value,
        ceiling=1.0 - float(variance.sum() / found["traits"].baseline[:, 0].sum()),
        n_dims=coordinates.shape[1],
        explained_share=explained_share,
        n_folds=n_folds,
        n_repeats=1 if n_folds is None else n_repeats,
        n_permutations=n_permutations,
        seed=seed,
    )


def _ratios(answers: ProfileAnswers, counts: SharingCounts) -> tuple[Array, Array]:
    """Make ratios, and unbiased estimates of their binomial variances."""
    _check_same(answers, counts)
    n_valid = counts.n_yes + counts.n_no
    few = np.flatnonzero(n_valid < _LEAST_DECISIONS)
    if few.size:
        raise InputError(
            f"{_listed([counts.profiles[row] for row in few])} of {counts.run or 'the ratios'} made fewer "
            f"than {_LEAST_DECISIONS} decisions that came; ask more of them, or a model that answers"
        )
    ratio: Array = counts.n_yes / n_valid
    if np.ptp(ratio) == 0.0:
        raise InputError(
            f"all profiles of {counts.run or 'the ratios'} share with the same ratio, {ratio[0]:g}: there "
            "is no difference to predict"
        )
    variance: Array = ratio * (1.0 - ratio) / (n_valid - 1)
    return ratio, variance


def _check_same(answers: ProfileAnswers, counts: SharingCounts) -> None:
    for here, there, run, what in (
        (counts.profiles, answers.profiles, answers.run or "the perspectives", "no answers"),
        (answers.profiles, counts.profiles, counts.run or "the ratios", "no decisions"),
    ):
        missing = [bits for bits in here if bits not in there]
        if missing:
            raise InputError(
                f"{run} has {what} of {_listed(missing)}, which the other run has; both runs need the same "
                "profiles"
            )


def _listed(profiles: list[str]) -> str:
    shown = ", ".join(profiles[:5])
    more = len(profiles) - 5
    return f"profile{'s' if len(profiles) > 1 else ''} {shown}{f' and {more} more' if more > 0 else ''}"


def _perspectives(answers: ProfileAnswers, n_dims: int) -> tuple[Array, float]:
    """Find coordinates, without those that are but rounding, and the share of distances that they express."""
    scaling = classical_scaling(squared_distances([answers.block], per_prompt=True), n_dims)
    if not scaling.coordinates.shape[1]:
        raise InputError(
            f"all profiles of {answers.run or 'the perspectives'} answered alike: they have no perspectives "
            "to predict from"
        )
    coordinates = _above_rounding(scaling.coordinates, scaling.coordinates)
    return coordinates, scaling.explained_share


def _above_rounding(columns: Array, coordinates: Array) -> Array:
    """Keep columns that are not but rounding of `coordinates`: scaled, they would count like any other."""
    sizes, largest = (np.sqrt((each**2).mean(axis=0)) for each in (columns, coordinates))
    return columns[:, sizes > _NEGLIGIBLE * largest.max()]


@dataclass(frozen=True, slots=True, eq=False)
class _Dealt:
    """Ratios as they are, then dealt to the profiles at random.

    Attributes:
        ratio: As they are, shape ``(n_profiles,)``.
        order: Whose ratio a profile has, shape ``(n_profiles, 1 + n_permutations)``: its own in the first
            column.
    """

    ratio: Array
    order: Rows

    @classmethod
    def of(cls, ratio: Array, n_permutations: int, seed: int) -> Self:
        """Deal `n_permutations` times."""
        rng, own = Streams(seed).generator("permutations"), np.arange(len(ratio))
        return cls(ratio, np.stack([own, *(rng.permutation(own) for _ in range(n_permutations))], axis=1))

    @property
    def targets(self) -> Array:
        """The ratios of all columns."""
        return self.ratio[self.order]


def _p_value(reached: Array) -> float:
    """Count how often chance (all but the first) does as well as the first, itself counted."""
    # The same ratios in another order may round otherwise.
    return float((reached >= reached[0] - _ROUNDING).mean())


def _score(name: str, n_features: int, found: HeldOut) -> HeldOutScore:
    reached = found.r_squared
    return HeldOutScore(name, n_features, float(reached[0]), _p_value(reached), found.predicted[:, 0])


def _fit(design: Array, values: Array) -> Array:
    """Fit `values` by a constant and the columns of `design`; give the fitted values."""
    full = np.column_stack([np.ones(len(design)), design])
    return least_squares_fit(full, values)


def _beside(bits: Array, coordinates: Array) -> Array:
    """Take from coordinates what a sum of the traits' effects expresses; leave out what is but rounding.

    The same features twice would be shrunk less than once, and seem to gain by it.
    """
    return _above_rounding(coordinates - _fit(bits, coordinates), coordinates)


def _gain(bits: Array, both: Array, dealt: _Dealt, folds: Sequence[Rows]) -> tuple[float, float]:
    """Measure what R² gains by features beside the traits, and test it."""
    fitted = _fit(bits, dealt.ratio)
    targets = fitted[:, None] + (dealt.ratio - fitted)[dealt.order]
    gains = held_out(both, targets, folds).r_squared - held_out(bits, targets, folds).r_squared
    return float(gains[0]), _p_value(gains)


def _notes(found: RatioPrediction) -> Iterator[str]:
    answers, counts = found.answers, found.counts
    yield from counts.notes
    if answers.model_name != counts.model_name:
        yield f"two models: {answers.model_name} answered, {counts.model_name} decided"
    if answers.left_out:
        yield f"left out, as an answer is missing: {len(answers.left_out)} of the questions"
    n_missing = int(counts.n_missing.sum())
    if n_missing:
        n_asked = n_missing + int((counts.n_yes + counts.n_no).sum())
        yield f"{n_missing:,} of {n_asked:,} decisions are missing, and count for nothing"
    if found.both.n_features == found.traits.n_features:
        yield "the perspectives are a sum of the traits' effects, to which they cannot add anything"
    if found.ceiling <= 0.0:
        yield "the ratios differ no more than by binomial chance: there is nothing to predict"
