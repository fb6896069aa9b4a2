"""Databases that models read, and models that joined or left: as the log has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from agentnet.events import Run
from agentnet.events.conditions import condition_of
from agentnet.report.figures.words import counted
from agentnet.report.tables import Table
from agentnet.vocabulary import AWAY, JOINS, LEAVES, READS

if TYPE_CHECKING:
    from agentnet.report.interviews_part import InterviewPart

_CHANGES = "SELECT realization, step, what, agent, other FROM changes ORDER BY realization, change"


class Vertex(NamedTuple):
    """What a condition's log says of one vertex that is no model throughout.

    Attributes:
        condition: Number of the condition.
        vertex: The database, or the model with its class.
        what: ``reads`` of a database, else what happened to the model.
        step: When; None of a database.
        n_questions: Questions that a database holds; None of a model.
        times: In how many realizations it happened, or how often the database was read.
    """

    condition: int
    vertex: str
    what: str
    step: int | None
    n_questions: int | None
    times: int


def read_vertices(run: Run) -> tuple[Vertex, ...]:
    """Read which databases there are and how often they were read, and which models joined or left."""
    with run.snapshot() as connection:
        of = condition_of(connection)
        rows = connection.execute(_CHANGES).fetchall()
        models = dict(connection.execute("SELECT realization || '/' || model, class FROM models").fetchall())
        sizes: dict[int, int] = dict(
            connection.execute("SELECT realization, COUNT(*) FROM models GROUP BY 1").fetchall()
        )
    found: Counter[tuple[int, str, str, int | None]] = Counter()
    for realization, step, what, model, other in rows:
        condition = of[realization] or 0
        if what == READS:
            name = _names(run.meta["interviews"], condition)[other - sizes[realization]]
            found[condition, name, what, None] += 1
        else:
            found[condition, f"model {model} ({models[f'{realization}/{model}']})", what, step] += 1
    databases = run.meta["interviews"].get("databases", ())
    held = {(n, name): len(numbers) for n, each in enumerate(databases) for name, numbers in each.items()}
    of_databases = (Vertex(*key, READS, None, n, found[*key, READS, None]) for key, n in held.items())
    of_models = (
        Vertex(*key, None, times) for key, times in sorted(found.items(), key=_in_order) if key[3] is not None
    )
    return (*of_databases, *of_models)


def _in_order(item: tuple[tuple[int, str, str, int | None], int]) -> tuple[int, int, str]:
    (condition, vertex, _, step), _ = item
    return condition, step or 0, vertex


def _names(recorded: Mapping[str, Sequence[Mapping[str, object]]], condition: int) -> list[str]:
    return list(recorded["databases"][condition])


def vertices_table(part: InterviewPart) -> Table | None:
    """List databases, and models that joined or left; None where there are none."""
    if not part.vertices:
        return None
    return Table(
        "vertices",
        "Databases, and models that joined or left",
        {
            "condition": "condition",
            "vertex": "vertex",
            "what": "what the log says of it",
            "step": "at step",
            "n_questions": "questions that it holds",
            "times": "times read, or realizations",
        },
        tuple(
            (part.study.designs[each.condition].name, each.vertex, _what(each), *each[3:])
            for each in part.vertices
        ),
        notes=(
            "A database is read and never updated; it answers nothing, and has no perspective.",
            "A model has a perspective after the steps at which it is there, and misses nothing at others.",
        ),
    )


def _what(each: Vertex) -> str:
    return "is read" if each.what == READS else each.what


def vertices_words(part: InterviewPart) -> Iterator[str]:
    """Say in sentences which databases there were, and which models joined or left."""
    several = len(part.study.designs) > 1
    for each in part.vertices:
        at = f"under {part.study.designs[each.condition].name} " if several else ""
        if each.what == READS:
            held = counted(each.n_questions or 0, "question")
            yield (
                f"{at}database {each.vertex} held {held} with the bank's answers; it was read "
                f"{counted(each.times, 'time')} and never changed"
            )
        elif each.what != AWAY:
            verb = {JOINS: "joined", LEAVES: "left"}[each.what]
            where = counted(each.times, "realization")
            yield f"{at}{each.vertex} {verb} at step {each.step} in {where}"
