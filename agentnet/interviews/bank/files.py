"""Question banks from a user's own files: a table with a header, or the public file of Yahoo! Answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agentnet.errors import ConfigurationError, InputError, near_miss
from agentnet.interviews.questions import Question
from agentnet.news.table import BadCell, Cells, FileTable, Row, open_table

COLUMNS: Final = {"id": "id", "topic": "topic", "text": "question", "answer": "answer"}
"""The column that each field of a question is read from, unless the caller says otherwise."""

YAHOO_COLUMNS: Final = ("class index", "question title", "question content", "best answer")
"""The columns of Yahoo! Answers, whose public file has no header."""

YAHOO_TOPICS: Final = (
    *("society", "science", "health", "education", "computers"),
    *("sports", "business", "entertainment", "family", "politics"),
)
"""The topics of its class indices, 1 to 10."""

LONGEST_ANSWER: Final = 199
"""Characters of the longest best answer that is taken."""

_YAHOO_START: Final = re.compile(rb'(?:\xef\xbb\xbf)?"(?:[1-9]|10)",\s*"')
_SENTENCE_END: Final = re.compile(r"[.!?]+(?=\s|$)")


@dataclass(slots=True)
class BankScan:
    """Everything that one reading of a file found.

    Attributes:
        path: The file.
        questions: Those of the usable rows, in the order of the file.
        problems: What is wrong with the others.
        n_left_out: Rows of Yahoo! Answers that are sound, but not short and single (see `one_sentence`).
    """

    path: Path
    questions: list[Question] = field(default_factory=list)
    problems: list[InputError] = field(default_factory=list)
    n_left_out: int = 0


Make = Callable[[Cells], Question | None]


def scan_bank(
    path: Path | str,
    *,
    kind: str | None = None,
    columns: Mapping[str, str] = {},
    encoding: str | None = None,
) -> BankScan:
    """Read a whole file and find every problem in it.

    Args:
        path: Delimited text or JSON Lines.
        kind: ``table`` or ``yahoo``; by default the first line says.
        columns: The column of a field of `Question`, where it is not that of `COLUMNS`.
        encoding: How it is written; by default UTF-8, or what its byte-order mark says.

    Raises:
        InputError: The file cannot be read, has no rows, or lacks a column: names it.
        ConfigurationError: `kind` or a key of `columns` is unknown.
    """
    path = Path(path)
    known: dict[str, Callable[[Path, Mapping[str, str], str | None], BankScan]] = {
        "table": _scan_table,
        "yahoo": _scan_yahoo,
    }
    if kind is not None and kind not in known:
        raise ConfigurationError(f"there is no kind of question bank {kind!r}{near_miss(kind, known)}")
    found = known[kind or ("yahoo" if _looks_like_yahoo(path) else "table")](path, columns, encoding)
    if not found.questions and not found.problems:
        raise InputError(_nothing(found), path=path)
    return found


def _nothing(found: BankScan) -> str:
    if found.n_left_out:
        return (
            f"none of its {found.n_left_out} rows has a title of one question and a best answer of one "
            f"sentence below {LONGEST_ANSWER + 1} characters"
        )
    return "has a header and no rows; nothing to read"


def one_sentence(text: str) -> bool:
    """Tell whether `text` is one sentence: nothing but blanks after the first end of a sentence."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return bool(text) and "\n" not in text and all(end == len(text) for end in ends)


def _scan_table(path: Path, columns: Mapping[str, str], encoding: str | None) -> BankScan:
    with open_table(path, encoding=encoding) as table:
        chosen = table.settle(COLUMNS, columns, required=("topic", "text", "answer"), what="a question bank")
        return _read(table, chosen, _make_plain)


def _scan_yahoo(path: Path, columns: Mapping[str, str], encoding: str | None) -> BankScan:
    if columns:
        raise ConfigurationError(
            f"columns ({', '.join(columns)}) cannot be named for a question bank of kind 'yahoo', whose "
            f"columns are known; leave them out, or give kind 'table'"
        )
    with open_table(path, columns=YAHOO_COLUMNS, encoding=encoding) as table:
        return _read(table, {name: name for name in YAHOO_COLUMNS}, _make_yahoo)


def _read(table: FileTable, columns: Mapping[str, str], make: Make) -> BankScan:
    found, first_row = BankScan(table.path), dict[str, int]()

    def once(cells: Cells) -> Question | None:
        question = make(cells)
        if question is not None:
            row = first_row.setdefault(question.id, cells.row.number)
            if row != cells.row.number:
                raise BadCell(
                    columns["id"], f"id {question.id!r} stands in row {row} already; give each row its own id"
                )
        return question

    # "None" may be the answer to a question.
    for question in table.each(columns, once, problems=found.problems, missing=()):
        if question is None:
            found.n_left_out += 1
        else:
            found.questions.append(question)
    return found


def _make_plain(cells: Cells) -> Question:
    return Question(
        id=cells.filled("id") if "id" in cells.columns else str(cells.row.number),
        topic=cells.filled("topic"),
        text=cells.filled("text"),
        answer=cells.filled("answer"),
    )


def _make_yahoo(cells: Cells) -> Question | None:
    """Take a row as Helm et al. (2024) did: a title of one question, an answer of one short sentence."""
    index = cells.field("class index")
    if not index.isdecimal() or not 1 <= int(index) <= len(YAHOO_TOPICS):
        raise BadCell(
            "class index",
            f"{index[:40]!r} is no class of Yahoo! Answers, which are 1 to {len(YAHOO_TOPICS)}; another file "
            f"needs a header and kind 'table'",
        )
    title, answer = (
        cells.field(name).replace("\\n", "\n").strip() for name in ("question title", "best answer")
    )
    is_single = title.endswith("?") and title.count("?") == 1 and one_sentence(title)
    if not is_single or not one_sentence(answer) or len(answer) > LONGEST_ANSWER:
        return None
    return Question(f"yahoo-{cells.row.number}", YAHOO_TOPICS[int(index) - 1], title, answer)


def _looks_like_yahoo(path: Path) -> bool:
    """Tell whether the first line is a row of Yahoo! Answers instead of a header."""
    try:
        with path.open("rb") as file:
            return _YAHOO_START.match(file.read(64)) is not None
    except OSError:
        return False  # whoever reads the file says what is wrong


__all__ = ["COLUMNS", "YAHOO_TOPICS", "BankScan", "Row", "one_sentence", "scan_bank"]
