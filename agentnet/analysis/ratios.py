"""Response ratios: how often each profile says yes to each news item (Tian et al. 2026, section 2.4.1).

A decision that is missing (an unusable reply, a refusal, a failed call) is counted as missing. A ratio is
taken over valid decisions; beside it stand its bounds, as if all missing decisions had been no, or yes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import InputError, near_miss
from agentnet.vocabulary import DECISION_KINDS, N_PROFILES, PROFILES, RATIO

if TYPE_CHECKING:
    import pandas as pd

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]

_BITS: Final = re.compile(r"[01]{5}")
_COLUMNS: Final = ("kind", "profile", "news", "severity", "decision")
_OUTCOMES: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class YesCounts:
    """Decisions counted by outcome; all arrays have one shape.

    Attributes:
        n_yes: Valid decisions for yes.
        n_no: Valid decisions for no.
        n_missing: Decisions asked for that did not come.
    """

    n_yes: Counts
    n_no: Counts
    n_missing: Counts

    @property
    def n_asked(self) -> Counts:
        """Decisions asked for."""
        return self.n_yes + self.n_no + self.n_missing

    @property
    def ratio(self) -> Shares:
        """Share of yes among the valid decisions; NaN where there is none."""
        return _share(self.n_yes, self.n_yes + self.n_no)

    @property
    def lowest(self) -> Shares:
        """The share of yes if all missing decisions had been no; NaN where nobody was asked."""
        return _share(self.n_yes, self.n_asked)

    @property
    def highest(self) -> Shares:
        """The share of yes if all missing decisions had been yes; NaN where nobody was asked."""
        return _share(self.n_yes + self.n_missing, self.n_asked)

    def rows(self, chosen: NDArray[np.intp]) -> YesCounts:
        """Take some rows."""
        return YesCounts(self.n_yes[chosen], self.n_no[chosen], self.n_missing[chosen])

    def sum(self, axis: int) -> YesCounts:
        """Pool along `axis`."""
        return YesCounts(self.n_yes.sum(axis), self.n_no.sum(axis), self.n_missing.sum(axis))


@dataclass(frozen=True, slots=True, eq=False)
class ResponseRatios:
    """The decisions of all profiles on all news items.

    Attributes:
        news: Ids of the items: peaceful ones, then severe ones, then those of unknown severity, each in the
            order in which they first appear; shape ``(n_items,)``.
        severity: 0, 1 or None for each item.
        counts: Decisions by item and profile, shape ``(n_items, 32)``; figure 5 shows their ratios.
    """

    news: tuple[str, ...]
    severity: tuple[int | None, ...]
    counts: YesCounts

    def items_of(self, severity: int | None) -> NDArray[np.intp]:
        """List the rows of the items of one severity."""
        return np.array([i for i, each in enumerate(self.severity) if each == severity], dtype=np.intp)

    def pooled(self, severity: int | None) -> YesCounts:
        """Pool the decisions on all items of one severity, by profile; shape ``(32,)``."""
        return self.counts.rows(self.items_of(severity)).sum(axis=0)

    def frame(self) -> pd.DataFrame:
        """Give one row for each item and profile, in that order.

        Returns:
            Columns ``news``, ``severity``, ``profile`` (five bits), ``n_yes``, ``n_no``, ``n_missing``,
            ``ratio``, ``lowest``, ``highest``.
        """
        n_items = len(self.news)
        where = {
            "news": np.repeat(np.array(self.news, dtype=object), N_PROFILES),
            "severity": _nullable(np.repeat(np.array(self.severity, dtype=object), N_PROFILES)),
            "profile": np.tile(np.array(PROFILES, dtype=object), n_items),
        }
        return _frame(where, self.counts)

    def summary(self) -> pd.DataFrame:
        """Give one row for each severity that has items, and profile; columns as `frame`, less ``news``."""
        import pandas as pd

        found = [severity for severity in (0, 1, None) if severity in self.severity]
        parts = [
            _frame(
                {"severity": _nullable([severity] * N_PROFILES), "profile": PROFILES}, self.pooled(severity)
            )
            for severity in found
        ]
        return pd.concat(parts, ignore_index=True)


def response_ratios(decisions: pd.DataFrame, *, kinds: Sequence[str] = (RATIO,)) -> ResponseRatios:
    """Count the decisions of a run by item and profile.

    Args:
        decisions: Rows of the view ``decisions`` of an event log, with at least the columns ``kind``,
            ``profile``, ``news``, ``severity`` and ``decision``.
        kinds: The kinds of decisions that count: ``ratio``, ``exposure``, ``seed``.

    Raises:
        InputError: A column or a kind is unknown, there are no such decisions, or a value is impossible.
    """
    for column in _COLUMNS:
        if column not in decisions.columns:
            raise InputError(f"there is no such column{near_miss(column, decisions.columns)}", field=column)
    for kind in kinds:
        if kind not in DECISION_KINDS:
            raise InputError(
                f"there is no kind {kind!r} of decisions{near_miss(kind, DECISION_KINDS)}", field="kind"
            )
    chosen = decisions[decisions["kind"].isin(list(kinds))]
    if chosen.empty:
        there = ", ".join(sorted(map(str, decisions["kind"].unique()))) or "none at all"
        raise InputError(
            f"there are no decisions of kind {' or '.join(kinds)}; the kinds there are: {there}", field="kind"
        )
    return count_responses(
        *(chosen[column].to_numpy() for column in ("news", "severity", "profile", "decision"))
    )


def count_responses(
    news: ArrayLike, severity: ArrayLike, profile: ArrayLike, decision: ArrayLike
) -> ResponseRatios:
    """Count decisions by item and profile; all columns have the shape ``(n_decisions,)``.

    Args:
        news: Id of the item.
        severity: Its severity: 0, 1, or None or NaN where unknown.
        profile: Five bits, or their number 0..31.
        decision: 1 yes, 0 no, None or NaN missing.

    Raises:
        InputError: A value is impossible, an item has two severities, or columns differ in length.
    """
    import pandas as pd

    columns = {"news": news, "severity": severity, "profile": profile, "decision": decision}
    sizes = {name: len(np.atleast_1d(np.asarray(values, dtype=object))) for name, values in columns.items()}
    if len(set(sizes.values())) > 1 or not sizes["news"]:
        raise InputError(
            f"columns need one length of at least 1; they have "
            f"{', '.join(f'{name} {size}' for name, size in sizes.items())}"
        )
    item, ids = pd.factorize(np.asarray(news, dtype=object))
    if (item < 0).any():
        raise InputError(f"row {int(np.argmax(item < 0))} (counted from 0) names no item", field="news")
    of_item = _severities(item, [str(name) for name in ids], _zero_one(severity, "severity"))
    number = _profile_numbers(profile)
    outcome = np.nan_to_num(_zero_one(decision, "decision"), nan=2.0).astype(np.int64)
    cells = (item.astype(np.int64) * N_PROFILES + number) * _OUTCOMES + outcome
    tally = np.bincount(cells, minlength=len(ids) * N_PROFILES * _OUTCOMES)
    order = sorted(range(len(ids)), key=lambda row: (of_item[row] is None, of_item[row] or 0))
    table = tally.reshape(len(ids), N_PROFILES, _OUTCOMES)[order].astype(np.int64)
    return ResponseRatios(
        tuple(str(ids[row]) for row in order),
        tuple(of_item[row] for row in order),
        YesCounts(table[..., 1], table[..., 0], table[..., 2]),
    )


def _zero_one(values: ArrayLike, name: str) -> Shares:
    """Read a column of 0, 1 and missing values (as NaN)."""
    import pandas as pd

    column = pd.Series(np.asarray(values, dtype=object))
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    is_bad = np.where(np.isnan(numbers), column.notna().to_numpy(), ~np.isin(numbers, (0.0, 1.0)))
    if is_bad.any():
        row = int(np.argmax(is_bad))
        raise InputError(
            f"row {row} (counted from 0) has {column[row]!r}; it must be 0, 1 or missing", field=name
        )
    return numbers


def _severities(item: NDArray[Any], ids: Sequence[str], severity: Shares) -> list[int | None]:
    codes = item.astype(np.int64) * 3 + np.nan_to_num(severity, nan=2.0).astype(np.int64)
    rows = np.bincount(codes, minlength=3 * len(ids)).reshape(-1, 3)
    several = (rows > 0).sum(axis=1) > 1
    if several.any():
        raise InputError(
            f"item {ids[int(np.argmax(several))]!r} has several severities; give it one", field="severity"
        )
    return [(0, 1, None)[code] for code in rows.argmax(axis=1)]


def _profile_numbers(profile: ArrayLike) -> Counts:
    import pandas as pd

    codes, values = pd.factorize(np.asarray(profile, dtype=object))
    numbers = np.array([_profile_number(value) for value in values], dtype=np.int64)
    if (codes < 0).any():
        raise InputError(f"row {int(np.argmax(codes < 0))} (counted from 0) has no profile", field="profile")
    return numbers[codes]


def _profile_number(value: object) -> int:
    if isinstance(value, str) and _BITS.fullmatch(value):
        return int(value, 2)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= value < N_PROFILES:
        return int(value)
    raise InputError(
        f"{value!r} is no profile; write five bits such as '01101' (as text: a table that was read as "
        f"numbers has lost its zeros), or a number from 0 to {N_PROFILES - 1}",
        field="profile",
    )


def _share(part: Counts, whole: Counts) -> Shares:
    shares: Shares = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def _nullable(severity: Sequence[Any] | NDArray[Any]) -> Any:  # noqa: ANN401 - pandas is imported where used
    import pandas as pd

    return pd.array(severity, dtype="Int64")


def _frame(where: dict[str, Any], counts: YesCounts) -> pd.DataFrame:
    import pandas as pd

    names = ("n_yes", "n_no", "n_missing", "ratio", "lowest", "highest")
    return pd.DataFrame({**where, **{name: np.ravel(getattr(counts, name)) for name in names}})
