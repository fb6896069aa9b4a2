"""The one reader of delimited text: news, labels, question banks, node tables and edge lists.

Made on the csv module's parser, strict, with RFC 4180's dialect. What it adds: encodings by their mark, the
line at which a record starts, the byte that is no text, R's row names, and the quotation mark that would
swallow lines. Nothing is guessed in silence: what cannot be told is an `InputError` with file and row.
"""

from agentnet.delimited.records import Record, records, rows_of_lines
from agentnet.delimited.tables import (
    DELIMITER_NAMES,
    DELIMITERS,
    SUFFIX_DELIMITERS,
    Delimited,
    known_columns,
    read_delimited,
)
from agentnet.delimited.text import (
    MISSING,
    REMARK_SIGNS,
    is_blank,
    is_missing,
    is_remark,
    open_bytes,
    text_lines,
    visible,
)

__all__ = [
    "DELIMITERS",
    "DELIMITER_NAMES",
    "MISSING",
    "REMARK_SIGNS",
    "SUFFIX_DELIMITERS",
    "Delimited",
    "Record",
    "is_blank",
    "is_missing",
    "is_remark",
    "known_columns",
    "open_bytes",
    "read_delimited",
    "records",
    "rows_of_lines",
    "text_lines",
    "visible",
]
