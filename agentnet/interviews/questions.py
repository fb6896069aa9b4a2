"""Questions with answers: what models are taught, interviewed about and evaluated on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from agentnet.errors import InputError


class Question(NamedTuple):
    """One question of a bank. Frozen.

    Attributes:
        id: Its own identifier, unique in its bank.
        topic: What it is about; classes of models are taught topics.
        text: The question, as it is asked.
        answer: The bank's own answer, from which models are taught at the start. Questions that an experiment
            makes itself may have none (``""``) where nothing is taught: not all have a right one.
    """

    id: str
    topic: str
    text: str
    answer: str


def check_questions(questions: Iterable[Question], *, answered: bool = True) -> tuple[Question, ...]:
    """Make sure that questions can be used: each a `Question`, none empty, no identifier twice.

    Args:
        questions: The questions.
        answered: Whether each needs an answer; only what is taught does.

    Raises:
        InputError: Names the question and what is wrong.
    """
    checked = tuple(questions)
    if not checked:
        raise InputError("a question bank needs at least one question")
    for question in checked:
        if not isinstance(question, Question):
            raise InputError(
                f"{question!r:.80} stands among the questions; each is a Question(id, topic, text, answer)"
            )
        for field, text in zip(question._fields, question, strict=True):
            needed = answered or field != "answer"
            if not isinstance(text, str) or (needed and not text.strip()):
                raise InputError(f"question {question.id!r} has an empty {field}", field=field)
    (first, count) = Counter(question.id for question in checked).most_common(1)[0]
    if count > 1:
        raise InputError(f"{count} questions have the id {first!r}; ids are unique", field="id")
    return checked


def topics_of(questions: Sequence[Question]) -> tuple[str, ...]:
    """List the topics of `questions`, as they first appear."""
    return tuple(dict.fromkeys(question.topic for question in questions))
