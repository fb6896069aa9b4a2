"""The project's own question bank: facts as tables, made into questions by templates, all in ``facts/``.

Two topics: ``society`` asks about countries, their capitals, money, languages and neighbours, about rivers,
mountains and other places; ``science`` asks about the elements, about compounds and ideas of chemistry. A
fact that is disputed, or about to change, is left blank in its table, and no question is asked about it.
"""

from __future__ import annotations

import csv
import hashlib
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple

from agentnet.interviews.questions import Question, check_questions

SOCIETY: Final = "society"
SCIENCE: Final = "science"

Fact = Mapping[str, str]
"""One row of a table: its cells by column."""


class Template(NamedTuple):
    """How the rows of a table become questions of one kind.

    Attributes:
        kind: What is asked about: the middle of the questions' ids.
        table: The table.
        subject: The column of what is asked about: the end of the questions' ids.
        needs: The columns that are filled in every row that is asked about.
        wordings: Pairs of question and answer, of which a question's id picks one: answers of one wording
            throughout would hardly differ where texts are embedded.
    """

    kind: str
    table: str
    subject: str
    needs: tuple[str, ...]
    wordings: tuple[tuple[str, str], ...]


def _templates() -> dict[str, tuple[Template, ...]]:
    rows = tomllib.loads(files(__package__).joinpath("facts", "templates.toml").read_text("utf-8"))
    return {
        topic: tuple(
            Template(**{name: _frozen(value) for name, value in template.items()}) for template in of_topic
        )
        for topic, of_topic in rows.items()
    }


def _frozen(value: object) -> Any:  # noqa: ANN401 - texts, or tuples of them to any depth
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


TEMPLATES: Final[Mapping[str, tuple[Template, ...]]] = _templates()

_LAST_OF_PERIOD: Final = (2, 10, 18, 36, 54, 86, 118)


def bundled_questions() -> tuple[Question, ...]:
    """Make the questions of the project's own bank.

    Returns:
        All questions of ``society``, then all of ``science``. Within a topic their order is that of a hash of
        their ids: so the first ones are of every kind, and a fact that is added changes nothing else.
    """
    return check_questions(
        question for topic in TEMPLATES for question in sorted(_of_topic(topic), key=_place_in_bank)
    )


def facts(table: str) -> tuple[Fact, ...]:
    """Read one table of facts.

    Returns:
        Its rows; a column that follows from others is added (an element's ``place``, ``a_family``).
    """
    text = files(__package__).joinpath("facts", f"{table}.csv").read_text("utf-8")
    return tuple({**row, **_derived(row)} for row in csv.DictReader(text.splitlines()))


def _of_topic(topic: str) -> Iterator[Question]:
    for template in TEMPLATES[topic]:
        rows = [row for row in facts(template.table) if all(row[name] for name in template.needs)]
        for row in rows:
            name = f"{topic}-{template.kind}-{_slug(row[template.subject])}"
            ask, say = template.wordings[_hash(name)[-1] % len(template.wordings)]
            yield Question(name, topic, _sentence(ask, row), _sentence(say, row))


def _place_in_bank(question: Question) -> bytes:
    return _hash(question.id)


def _hash(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


def _sentence(wording: str, row: Fact) -> str:
    text = wording.format(**row)
    return text[0].upper() + text[1:]


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = plain.lower().replace("(", "-").replace(")", "").replace("'", "").split()
    return "-".join(words).removeprefix("the-").replace("--", "-")


def _derived(row: Fact) -> dict[str, str]:
    added: dict[str, str] = {}
    if "neighbours" in row:
        added["neighbours"] = _listed(row["neighbours"].split("/"))
    if "family" in row:
        added["place"] = _place(int(row["number"]))
        added["a_family"] = f"{'an' if row['family'][:1] in 'aeiou' else 'a'} {row['family']}"
    return added


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _place(number: int) -> str:
    """Say where element `number` stands, with the lanthanides (57 to 71) and actinides below the table."""
    period = next(index for index, last in enumerate(_LAST_OF_PERIOD, 1) if number <= last)
    if 57 <= number <= 71 or 89 <= number <= 103:
        return f"period {period} among the {'lanthanides' if period == 6 else 'actinides'}"
    before_end = _LAST_OF_PERIOD[period - 1] - number
    from_start = number - ((0, *_LAST_OF_PERIOD)[period - 1])
    is_left = from_start <= 2 and number != 2
    return f"period {period} and group {from_start if is_left else 18 - before_end}"
