"""Groups of profiles that share alike: Tukey's test of all pairs, cut into groups (Tian et al. 2026, 2.4.1).

The paper says that Tukey's test yields two groups, not how a test of pairs yields groups. The rule here:

    Sort the profiles by their mean ratio. A cut between two neighbours is as wide as the least studentized
    difference between any profile below and any profile above it. Cut wherever that is significant.

With as many ratios for each profile, the least difference across a cut is that of the two neighbours. So
profiles of different groups differ significantly, whatever the pair, and where two groups are clear they are
found: a false significance splits a group only if neighbours have it, while most often the outermost do.

The test of pairs need not give a partition: inside of a group there may be significant differences, where
profiles pass into each other by small steps. Then the result says that the groups are not clean, with the
number of such pairs, and letters show what the test says (profiles with a letter in common don't differ). A
wanted number of groups takes the widest cuts, significant or not; that is said, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product
from string import ascii_lowercase
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.given import numbers
from agentnet.analysis.tukey import TukeyTest, pooled_variance, studentized_differences, tukey_test
from agentnet.errors import InputError
from agentnet.vocabulary import N_PROFILES, PROFILES

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Groups = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stability:
    """What becomes of the groups if other items had been asked about: a bootstrap over items.

    Attributes:
        n_resamples: Resamples that could be grouped.
        n_groups: How many of them have how many groups: (groups, resamples) pairs, by number of groups.
        n_same: How many of them have exactly the same groups.
        agreement: For each profile the share of (resample, other profile) pairs in which it is together with
            the other, or apart from it, as in the result; in [0, 1].
    """

    n_resamples: int
    n_groups: tuple[tuple[int, int], ...]
    n_same: int
    agreement: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ProfileGroups:
    """Profiles in groups.

    Attributes:
        group: Group of each profile, numbered from 1 by ascending means; shape ``(n_profiles,)``.
        rates: Mean ratio of each group over its profiles and all items, shape ``(n_groups,)``.
        rate_errors: Their standard errors, items being the independent units; NaN with one item. A design
            that fixes the items of each severity has smaller ones: these count the severities' difference
            as chance.
        letters: For each profile the letters of the sets it belongs to: two profiles have a letter in common
            if and only if they do not differ significantly. Beyond 26 sets, words of letters with blanks
            between them.
        is_clean: Whether profiles differ significantly if and only if their groups differ.
        test: The test of all pairs.
        stability: The bootstrap, if one was asked for.
        notes: What the reader should know, one sentence each: how the groups are not clean, above all.
    """

    group: Groups
    rates: Array
    rate_errors: Array
    letters: tuple[str, ...]
    is_clean: bool
    test: TukeyTest
    stability: Stability | None
    notes: tuple[str, ...]

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.rates)

    @property
    def sizes(self) -> Groups:
        """Profiles of each group, shape ``(n_groups,)``."""
        sizes: Groups = np.bincount(self.group)[1:].astype(np.int64)
        return sizes

    def frame(self) -> pd.DataFrame:
        """Give one row for each profile, in the order of the ratios' columns.

        Returns:
            Columns ``profile`` (five bits if there are 32 of them, else the column's number), ``ratio`` (its
            mean), ``group``, ``letters``.
        """
        import pandas as pd

        n = len(self.group)
        profile = PROFILES if n == N_PROFILES else range(n)
        return pd.DataFrame(
            {"profile": profile, "ratio": self.test.means, "group": self.group, "letters": self.letters}
        )

    def summary(self) -> pd.DataFrame:
        """Give one row for each group: columns ``group``, ``n_profiles``, ``rate``, ``rate_error``."""
        import pandas as pd

        number = np.arange(1, self.n_groups + 1)
        return pd.DataFrame(
            {"group": number, "n_profiles": self.sizes, "rate": self.rates, "rate_error": self.rate_errors}
        )


def group_profiles(
    ratios: ArrayLike,
    *,
    alpha: float = 0.05,
    n_groups: int | None = None,
    n_resamples: int = 0,
    seed: int = 0,
) -> ProfileGroups:
    """Put profiles into groups by their yes-ratios: cut their order by mean wherever all pairs differ.

    Args:
        ratios: Yes-ratio of each item and profile, such as `ResponseRatios.counts.ratio`, in [0, 1]; shape
            ``(n_items, n_profiles)``; NaN where no decision came.
        alpha: Level of significance for all pairs together, in (0, 1).
        n_groups: Number of groups wanted; None leaves it to the test.
        n_resamples: Resamples of a bootstrap over items, >= 0; 0 makes none. Its tests use the critical value
            of the whole sample.
        seed: Fixes the bootstrap.

    Raises:
        InputError: A profile has no ratio, there are too few of them, or an argument is out of range.
    """
    table = numbers(ratios, "ratios")
    if table.ndim == 2 and ((table < 0.0) | (table > 1.0)).any():
        raise InputError("a yes-ratio is out of range; ratios lie between 0 and 1", field="ratios")
    if n_resamples < 0:
        raise InputError(f"{n_resamples} resamples cannot be drawn; 0 draws none", field="n_resamples")
    test = tukey_test(table, alpha=alpha)
    n_profiles = len(test.means)
    if n_groups is not None and not 1 <= n_groups <= n_profiles:
        raise InputError(
            f"{n_groups} groups cannot be made of {n_profiles} profiles; choose 1 to {n_profiles}",
            field="n_groups",
        )
    group = _cut(test.means, test.q, test.critical, n_groups)
    apart = group[:, None] != group
    rates, errors = _rates(table, group)
    stability = _stability(table, group, test.critical, n_groups, n_resamples, seed) if n_resamples else None
    return ProfileGroups(
        group=group,
        rates=rates,
        rate_errors=errors,
        letters=_letters(test),
        is_clean=bool((apart == test.significant).all()),
        test=test,
        stability=stability,
        notes=tuple(_notes(test, group, apart, n_groups)),
    )


def _cut(means: Array, q: Array, critical: float, n_groups: int | None) -> Groups:
    """Cut the profiles, sorted by mean, into groups.

    Returns:
        The group of each profile, from 1 by ascending mean.
    """
    order = np.argsort(means, kind="stable")
    width = _widths(q[np.ix_(order, order)])
    if n_groups is None:
        is_cut = width > critical
    else:
        is_cut = np.zeros(width.shape, dtype=bool)
        is_cut[np.argsort(-width, kind="stable")[: n_groups - 1]] = True
    group = np.empty(len(means), dtype=np.int64)
    group[order] = 1 + np.concatenate([[0], np.cumsum(is_cut)])
    return group


def _widths(q: Array) -> Array:
    """Find the least difference across each cut of sorted profiles, shape ``(n_profiles - 1,)``."""
    # The least of all pairs (i, j) with i <= c < j: minima from below along i, from above along j.
    least = np.minimum.accumulate(np.minimum.accumulate(q, axis=0)[:, ::-1], axis=1)[:, ::-1]
    widths: Array = np.diagonal(least, offset=1).copy()
    return widths


def _rates(table: Array, group: Groups) -> tuple[Array, Array]:
    rates, errors = [], []
    for number in range(1, int(group.max()) + 1):
        members = table[:, group == number]
        rates.append(float(np.nanmean(members)))
        has_any = ~np.isnan(members).all(axis=1)
        by_item = np.nanmean(members[has_any], axis=1)
        errors.append(float(by_item.std(ddof=1)) / by_item.size**0.5 if by_item.size > 1 else np.nan)
    return np.array(rates), np.array(errors)


def _letters(test: TukeyTest) -> tuple[str, ...]:
    """Give each maximal set of profiles without significant difference a letter, from low to high means."""
    found = maximal_sets(~test.significant)
    sets = sorted(sorted(each, key=lambda i: (test.means[i], i)) for each in found)
    sets.sort(key=lambda each: (test.means[each[0]], test.means[each[-1]]))
    names = ("".join(word) for length in count(1) for word in product(ascii_lowercase, repeat=length))
    letters: list[list[str]] = [[] for _ in test.means]
    for name, members in zip(names, sets, strict=False):
        for profile in members:
            letters[profile].append(name)
    # Beyond 26 sets a letter is a word of two: blanks keep them apart.
    return tuple(("" if len(sets) <= len(ascii_lowercase) else " ").join(each) for each in letters)


def maximal_sets(alike: NDArray[np.bool_]) -> Iterator[set[int]]:
    """List the largest sets within which all are alike (Bron & Kerbosch 1973, Commun. ACM 16, 575-577).

    Args:
        alike: Which are alike, symmetric, shape ``(n, n)``.
    """
    near = [set(np.flatnonzero(row).tolist()) - {i} for i, row in enumerate(alike)]

    def grown(held: set[int], free: set[int], done: set[int]) -> Iterator[set[int]]:
        if not free | done:
            yield held
            return
        pivot = max(free | done, key=lambda i: len(near[i] & free))
        for each in free - near[pivot]:
            yield from grown(held | {each}, free & near[each], done & near[each])
            free, done = free - {each}, done | {each}

    return grown(set(), set(range(len(near))), set())


def _notes(test: TukeyTest, group: Groups, apart: NDArray[np.bool_], wanted: int | None) -> Iterator[str]:
    n_groups = int(group.max())
    free = int(_cut(test.means, test.q, test.critical, None).max())
    if wanted is not None and wanted != free:
        yield f"{wanted} groups were wanted; left alone, the test makes {free}"
    if n_groups == 1 and wanted is None and test.mean_square > 0.0:
        yield "no cut between the profiles is significant throughout: they are one group"
    n_within = int((test.significant & ~apart).sum()) // 2
    n_across = int((~test.significant & apart).sum()) // 2
    if n_within:
        said = _pairs(n_within, "differs", "differ")
        yield f"the groups are not clean: {said} significantly within a group; see their letters"
    if n_across:
        said = _pairs(n_across, "of different groups does", "of different groups do")
        yield f"the groups are not clean: {said} not differ significantly"
    if test.mean_square == 0.0:
        so = (
            "every difference counts as significant"
            if test.significant.any()
            else "there is nothing to test by"
        )
        yield f"no profile's ratio varies between items, so that {so}"


def _pairs(count: int, one: str, several: str) -> str:
    return f"1 pair of profiles {one}" if count == 1 else f"{count} pairs of profiles {several}"


def _stability(
    table: Array, group: Groups, critical: float, n_groups: int | None, n_resamples: int, seed: int
) -> Stability:
    rng = np.random.default_rng(seed)
    together = group[:, None] == group
    agreeing = np.zeros(len(group))
    numbers: Counter[int] = Counter()
    n_same = 0
    for _ in range(n_resamples):
        resample = table[rng.integers(len(table), size=len(table))]
        try:
            means, n, mean_square, _ = pooled_variance(resample)
        except InputError:
            continue  # a profile with few ratios may be left without any
        other = _cut(means, studentized_differences(means, n, mean_square), critical, n_groups)
        is_same = (other[:, None] == other) == together
        agreeing += is_same.sum(axis=1) - 1
        numbers[int(other.max())] += 1
        n_same += bool(is_same.all())
    n_usable = sum(numbers.values())
    share = agreeing / (n_usable * (len(group) - 1)) if n_usable else np.full(len(group), np.nan)
    return Stability(n_usable, tuple(sorted(numbers.items())), n_same, tuple(share.tolist()))
