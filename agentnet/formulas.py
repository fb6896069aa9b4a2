"""Texts that a spreadsheet program would execute, and the prefix under which it does not.

A cell of a CSV file that begins with ``=``, ``+``, ``-`` or ``@`` is a formula to Excel, LibreOffice and
Google Sheets, also behind blanks, and so is one behind a tab or a carriage return: opening a file of models'
replies may run commands or send its content away. Quoting does not help. As OWASP advises, such a text gets
an apostrophe in front, which spreadsheets take as "this is text". So does a text that is one but for
apostrophes in front of it, so that taking one away gives back every text as it was. Numbers, also those that
stand as texts, are harmless and stay.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX: Final = "'"

# Both expressions mean the same to Python and to RE2, by which Arrow searches.
_BLANK = "[\x00- \x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]*"
_FORMULA: Final = f"^'*({_BLANK}[=+@\uff1d\uff0b\uff0d\uff20-]|[\t\r\n])"
_NUMBER: Final = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_IS_FORMULA, _IS_NUMBER = re.compile(_FORMULA), re.compile(_NUMBER.replace("$", r"\Z"))


def _needs(text: str) -> bool:
    return _IS_FORMULA.match(text) is not None and _IS_NUMBER.match(text) is None


def guarded(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would execute.

    Examples:
        >>> guarded("=1+1"), guarded(" @SUM(A1)"), guarded("'=1+1"), guarded("-1.5"), guarded("It's -1")
        ("'=1+1", "' @SUM(A1)", "''=1+1", '-1.5', "It's -1")
    """
    return PREFIX + text if _needs(text) else text


def unguarded(text: str) -> str:
    """Give the text that `guarded` made.

    Examples:
        >>> [unguarded(guarded(text)) for text in ("=1+1", "'=1+1", "-1.5", "'tis")]
        ['=1+1', "'=1+1", '-1.5', "'tis"]
    """
    return text[1:] if text.startswith(PREFIX) and _needs(text) else text


def guarded_column(column: pa.Array[Any]) -> pa.Array[Any]:
    """Apply `guarded` to a column of texts; those of another type stay."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        return column
    formula = pc.match_substring_regex(column, _FORMULA)
    if not pc.any(formula).as_py():
        return column
    needs = pc.and_not(formula, pc.match_substring_regex(column, _NUMBER))
    return pc.if_else(needs, pc.binary_join_element_wise(PREFIX, column, ""), column)
