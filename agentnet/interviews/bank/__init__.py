"""Question banks: the project's own, and a user's.

The bundled bank is made from tables of facts when it is wanted; `load_bank` also reads CSV, JSON Lines and
the public file of Yahoo! Answers, from which Helm et al. (2024) drew theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agentnet.errors import ConfigurationError
from agentnet.interviews.bank.files import BankScan, scan_bank
from agentnet.interviews.questions import Question, check_questions

__all__ = ["BUNDLED", "BankScan", "load_bank", "scan_bank"]

BUNDLED: Final = "bundled"
"""The source that stands for the project's own bank."""


def load_bank(
    source: str | Path = BUNDLED,
    *,
    kind: str | None = None,
    columns: Mapping[str, str] = {},
    encoding: str | None = None,
) -> tuple[Question, ...]:
    """Load a question bank.

    Args:
        source: ``"bundled"``, or a file: delimited text or JSON Lines with the columns ``topic``,
            ``question``, ``answer`` and, if they are not to be the line numbers, ``id``; or Yahoo! Answers
            (class index, question title, question content, best answer, without a header), of which the rows
            are taken whose title is one question and whose best answer is one sentence of less than 200
            characters. A file of the name ``bundled`` is ``./bundled``.
        kind: ``table`` or ``yahoo``; by default the first line says.
        columns: The column of a field of `Question` (id, topic, text, answer), where it is not the usual one:
            ``{"text": "title"}``.
        encoding: How the file is written; by default UTF-8, or what its byte-order mark says.

    Returns:
        The questions, in the order of the file, with unique ids.

    Raises:
        InputError: Anything is wrong with the file: names row and field; `scan_bank` lists all problems
            instead of the first.
        ConfigurationError: `kind` or a key of `columns` is unknown, or given for the bundled bank.
    """
    if source != BUNDLED:
        return _sound(scan_bank(source, kind=kind, columns=columns, encoding=encoding))
    if kind is not None or columns:
        raise ConfigurationError("the bundled question bank takes neither kind nor columns; leave them out")
    from agentnet.interviews.bank.bundled import bundled_questions

    return bundled_questions()


def _sound(found: BankScan) -> tuple[Question, ...]:
    if found.problems:
        first, *more = found.problems
        if more:
            first.args = (f"{first}; {len(more)} more {'rows are' if len(more) > 1 else 'row is'} wrong",)
        raise first
    return check_questions(found.questions)
