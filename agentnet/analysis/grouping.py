"""Which group each profile is in, for laws that know groups: as given, or found in the run's exposures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.tables import Cells, checked_groups
from agentnet.errors import DesignError
from agentnet.vocabulary import N_PROFILES

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
GroupSource = Literal["given", "exposures of this run"]
GroupsLike = Mapping[int, int] | Mapping[str, int] | ArrayLike

_BITS = re.compile("[01]{5}")

_ALPHA = 0.05
"""Level at which two groups are told from one."""

CHOSEN_HERE = (
    "the groups were chosen from the same decisions that the laws are fitted to, which makes laws of groups "
    "look better than they are; groups from a response-ratio run do not have this fault"
)


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Profiles in groups.

    Attributes:
        group: Group of each profile, numbered from 0, shape ``(32,)``; group 0 is called "group 1".
        source: Where the groups come from.
        note: What to know about that; empty where they were given.
    """

    group: Ints
    source: GroupSource
    note: str = ""

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """Profiles in each group."""
        return tuple(np.bincount(self.group).tolist())


def as_grouping(groups: GroupsLike) -> Grouping:
    """Take groups that were found elsewhere.

    Args:
        groups: Group of each of the 32 profiles: a mapping from bit strings or profile numbers, or an array
            of shape ``(32,)``. Groups are numbered without gaps, from 0 or from 1.

    Raises:
        DesignError: A profile is missing, unknown or named twice, or the numbers have gaps.

    Examples:
        >>> as_grouping({f"{profile:05b}": 1 + profile // 16 for profile in range(32)}).sizes
        (16, 16)
    """
    group = _from_mapping(groups) if isinstance(groups, Mapping) else np.asarray(groups)
    if group.dtype.kind in "iu" and group.size and group.min() == 1:
        group = group - 1
    return Grouping(checked_groups(group), "given")


def _from_mapping(groups: Mapping[int, int] | Mapping[str, int]) -> Ints:
    found: dict[int, int] = {}
    for key, group in groups.items():
        profile = _profile(key)
        if profile in found:
            raise DesignError(f"groups name profile {profile:05b} twice")
        if isinstance(group, bool) or not isinstance(group, int | np.integer):
            raise DesignError(
                f"the group of profile {profile:05b} is {group!r}; groups are numbered 1, 2, ..."
            )
        found[profile] = int(group)
    missing = [f"{profile:05b}" for profile in range(N_PROFILES) if profile not in found]
    if missing:
        raise DesignError(
            f"groups must name all {N_PROFILES} profiles; there is none for {', '.join(missing)}"
        )
    return np.array([found[profile] for profile in range(N_PROFILES)], dtype=np.int64)


def _profile(key: object) -> int:
    if isinstance(key, str) and _BITS.fullmatch(key):
        return int(key, 2)
    if isinstance(key, int | np.integer) and not isinstance(key, bool) and 0 <= key < N_PROFILES:
        return int(key)
    raise DesignError(
        f"groups name {key!r}, which is no profile: write five bits such as '01101', or a number 0 to 31"
    )


def group_by_exposures(cells: Cells) -> Grouping:
    """Cut the profiles into two groups by their own yes-rates to exposures.

    The rule: sort the profiles by their yes-rates, over both severities; of the cuts between neighbours take
    the one under which two rates, one for each group, make the decisions likeliest. (No other two groups do
    better: the likeliest ones are always separated by a yes-rate.) Group 1 has the lower rate. A profile
    that was never asked joins the group of the profiles whose bits are closest to its own, the larger group
    in a tie.

    Args:
        cells: Decisions of exposures.

    Raises:
        DesignError: All profiles that were asked have the same yes-rate.
    """
    n_yes = cells.n_yes.sum(axis=1)
    n_asked = n_yes + cells.n_no.sum(axis=1)
    asked = np.flatnonzero(n_asked)
    rate = n_yes[asked] / n_asked[asked]
    if np.unique(rate).size < 2:
        raise DesignError(
            "the exposures do not tell two groups of profiles apart: all yes-rates are the same; give groups"
        )
    order = asked[np.argsort(rate, kind="stable")]
    below_yes, below_asked = np.cumsum(n_yes[order])[:-1], np.cumsum(n_asked[order])[:-1]
    likelihood = _log_likelihood(below_yes, below_asked) + _log_likelihood(
        n_yes.sum() - below_yes, n_asked.sum() - below_asked
    )
    cut = int(np.argmax(likelihood)) + 1
    group = np.full(N_PROFILES, -1, dtype=np.int64)
    group[order[:cut]], group[order[cut:]] = 0, 1
    unasked = np.flatnonzero(group < 0)
    note = CHOSEN_HERE
    if unasked.size:
        names = ", ".join(f"{profile:05b}" for profile in unasked.tolist())
        note += f"; profiles that were never asked were put with their likes: {names}"
        group[unasked] = [_like_its_neighbours(profile, group) for profile in unasked.tolist()]
    return Grouping(group, "exposures of this run", note)


def groups_or_one(cells: Cells) -> Grouping:
    """Cut the profiles as `group_by_exposures` does, or leave them together where nothing tells two apart.

    The best cut of profiles that are all alike looks good, too. So it counts only where Scott & Knott's test
    (1974, Biometrics 30, 507-512) tells two groups from one: pi / (2 (pi - 2)) times twice the gain in
    log-likelihood, taken for chi-squared with n / (pi - 2) degrees of freedom for n profiles.
    """
    try:
        found = group_by_exposures(cells)
        _check_two(cells, found)
    except DesignError as error:
        together = np.zeros(N_PROFILES, dtype=np.int64)
        return Grouping(together, "exposures of this run", f"no laws of groups: {error}")
    return found


def _check_two(cells: Cells, cut: Grouping) -> None:
    """Refuse two groups that chance makes of one."""
    gain, rates = _told_apart(cells, cut)
    n = np.count_nonzero((cells.n_yes + cells.n_no).any(axis=1))
    p_value = _chance_of(math.pi / (math.pi - 2) * gain, n / (math.pi - 2))
    if p_value > _ALPHA:
        raise DesignError(
            f"the best cut of {n} profiles into two, at yes-rates of {rates[0]:.3g} and {rates[1]:.3g}, is "
            f"no better than chance makes of one group (Scott & Knott's test, p = {p_value:.2g})"
        )


def why_alike(cells: Cells, grouping: Grouping) -> str:
    """Say that groups do not differ in how often they say yes; empty if they do.

    A likelihood-ratio test of one rate against one for each group, which takes decisions as independent.
    Groups that were chosen from the same decisions pass it.
    """
    gain, _ = _told_apart(cells, grouping)
    p_value = _chance_of(2 * gain, grouping.n_groups - 1)
    return f"the groups say yes alike (likelihood ratio, p = {p_value:.2g})" if p_value > _ALPHA else ""


def _told_apart(cells: Cells, grouping: Grouping) -> tuple[float, list[float]]:
    """Compute by how many nats a rate for each group makes the decisions likelier than one, and the rates."""
    member = np.eye(grouping.n_groups, dtype=np.int64)[grouping.group]
    n_yes, n_no = (each.sum(axis=1) @ member for each in (cells.n_yes, cells.n_no))
    asked = n_yes + n_no
    gain = _log_likelihood(n_yes, np.maximum(asked, 1)).sum() - _log_likelihood(n_yes.sum(), asked.sum())
    return float(gain), (n_yes / np.maximum(asked, 1)).tolist()


def _chance_of(statistic: float, freedom: float) -> float:
    from scipy.special import chdtrc

    return float(chdtrc(freedom, max(statistic, 0.0)))


def _log_likelihood(n_yes: Ints, n_asked: Ints) -> Array:
    """Compute the highest log-likelihood of decisions with one rate."""
    from scipy.special import xlogy

    n_no = n_asked - n_yes
    return np.asarray(xlogy(n_yes, n_yes / n_asked) + xlogy(n_no, n_no / n_asked), dtype=np.float64)


def _like_its_neighbours(profile: int, group: Ints) -> int:
    asked = np.flatnonzero(group >= 0)
    distance = np.bitwise_count(asked ^ profile)
    nearest = group[asked[distance == distance.min()]]
    votes = np.bincount(nearest, minlength=2)
    sizes = np.bincount(group[asked], minlength=2)
    return int(np.lexsort((sizes, votes))[-1])
