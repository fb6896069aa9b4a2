"""What callers give in the place of numbers: taken as numbers, or refused by its name.

NumPy's own errors (``could not convert string to float: 'a'``) name neither the argument nor the way out, and
some values it takes without a word for others: what a masked array hides, and the real part of a complex one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import InputError


def numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Take what a caller gave as real numbers.

    Args:
        values: Whatever NumPy makes an array of; what is missing or masked becomes NaN.
        name: What the argument is called.

    Raises:
        InputError: It holds something else, or its rows differ in length.

    Examples:
        >>> numbers([0.1, None], "curve")
        array([0.1, nan])
        >>> numbers(["a"], "curve")
        Traceback (most recent call last):
        agentnet.errors.InputError: field 'curve': must be numbers (could not convert string to float: 'a')
    """
    given: Any = values
    try:
        if np.ma.isMaskedArray(given):
            given = np.ma.filled(np.ma.asarray(given, dtype=np.float64), np.nan)
        found = np.asarray(given)
        if found.dtype.kind in "cmM":
            raise TypeError("these are complex, or times")
        if found.dtype.kind in "OUS":
            # Of columns that may lack values pandas makes an array of objects, and NumPy no number of its NA.
            found = np.where(given.notna(), found, np.nan) if hasattr(given, "notna") else given
        return np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"must be numbers ({error})", field=name) from error


def whole_numbers(values: ArrayLike, name: str) -> NDArray[np.int64]:
    """Take what a caller gave as whole numbers; see `numbers`.

    Raises:
        InputError: It holds something else, or a value is no whole number.
    """
    found = numbers(values, name)
    exact = np.asarray(values)
    is_exact = exact.dtype.kind in "iu"
    # Beyond 2^53 a float stands for several whole numbers.
    if not ((np.abs(found) < (2.0**63 if is_exact else 2.0**53)) & (found == np.rint(found))).all():
        raise InputError(
            "must be whole numbers, none of them missing or too large to be told apart", field=name
        )
    return (exact if is_exact else found).astype(np.int64, copy=False)
