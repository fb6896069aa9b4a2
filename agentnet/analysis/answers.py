"""What interacting models answered: read from a run's event log, and embedded, a step at a time.

Models say the same again and again, so every distinct text is embedded once. The array of embedded answers of
a realization, E of shape (n_steps, n_models, n_questions, dim), is never held whole unless it is asked for:
`Embedded.load` makes the block of a step as often as the functions of `agentnet.analysis.perspectives` like.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentnet.embedder import Embedder
from agentnet.embedder import make_embedder as make_own_embedder
from agentnet.errors import InputError, UserError
from agentnet.events import Run, check_unchanged
from agentnet.events.conditions import condition_of
from agentnet.families.lookup import family_of
from agentnet.vocabulary import AWAY, JOINS, LEAVES

T = TypeVar("T")
Codes = NDArray[np.int32]
Block = NDArray[np.float32]
Mask = NDArray[np.bool_]

MISSING = -1
"""The code of an answer that is missing."""

_TEXTS_AT_ONCE = 10_000
_IN_MEMORY_BYTES = 512 * 2**20

_EVALUATIONS = """
SELECT step, agent, repeat, missing, text FROM events LEFT JOIN replies USING (reply)
WHERE realization = ? AND kind = 'evaluation' ORDER BY step, agent, repeat
"""
_TARGETS = """
SELECT DISTINCT model FROM interviews WHERE realization = ? AND interviewed IN (
    SELECT model FROM interviews WHERE realization = ? GROUP BY model HAVING MAX(n_candidates) = 0
)
"""
_COMINGS = """
SELECT step, what, agent FROM changes WHERE realization = ? AND what IN (?, ?, ?) ORDER BY change
"""
_REALIZATIONS = """
SELECT realization, repeat, condition, status FROM realizations ORDER BY realization
"""


MakeEmbedder = Callable[[str, dict[str, Any]], Embedder]
"""From the name and options of the embedder that a run itself used, to the one that is to be used."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one realization's models to the evaluation set.

    Attributes:
        realization: Its number.
        repeat: Number of the repetition: realizations of equal number share chance across conditions.
        condition: The overrides of its condition.
        classes: Class of each model.
        questions: Identifiers of the questions that are kept, in order.
        topics: Their topics.
        codes: Which text each model answered to each question at each step, shape ``(n_steps, n_models,
            n_questions)``; step 0 first. `MISSING` for all of a model that is not there.
        texts: The distinct texts.
        left_out: Identifier -> why: questions of which an answer is missing. They are left out at all steps,
            for a missing answer is no answer.
        present: Which models are there after each step, shape ``(n_steps, n_models)``.
        targets: Models that interviewed one that never had anybody to interview, as an adversary has not.
        finished: Whether the realization is; else the steps are those that are complete so far.
        label: What the results have to be called; ``""`` if a language model answered.
    """

    realization: int
    repeat: int
    condition: Mapping[str, Any]
    classes: tuple[str, ...]
    questions: tuple[str, ...]
    topics: tuple[str, ...]
    codes: Codes
    texts: tuple[str, ...]
    left_out: Mapping[str, str]
    present: Mask
    targets: frozenset[int]
    finished: bool
    label: str

    @property
    def n_steps(self) -> int:
        """Number of steps, step 0 included."""
        return int(self.codes.shape[0])

    def text(self, step: int, model: int, question: int) -> str:
        """Give what `model` answered to the `question`-th question after `step`."""
        return self.texts[int(self.codes[step, model, question])]


def interview_realizations(run: Run) -> list[tuple[int, int, dict[str, Any], bool]]:
    """List the realizations of a run of interacting models: number, repeat, condition, whether finished.

    Raises:
        RunFolderError: The log is damaged.
        UserError: Its models do not interview each other.
    """
    check_unchanged(run)
    if "interviews" not in family_of(run.meta).read_as:
        raise UserError(
            f"{run.folder} is a run of {run.meta['experiment']['class_name']}, in which no models interview "
            "each other: it has no perspectives"
        )
    return [
        (number, repeat, json.loads(condition), status == "finished")
        for number, repeat, condition, status in run.rows(_REALIZATIONS)[1]
    ]


def read_answers(run: Run, realization: int) -> Answers:
    """Read the answers of one realization to the evaluation set.

    Raises:
        UserError: There is no such realization, or no models interview each other.
        InputError: No step is complete, or an answer is missing to every question.
    """
    known = {row[0]: row for row in interview_realizations(run)}
    if realization not in known:
        raise UserError(f"{run.folder} holds no realization {realization}; table realizations lists them")
    _, repeat, condition, finished = known[realization]
    classes = _classes(run, realization)
    codes, present, texts, asked, missing = _codes(run, realization, len(classes))
    left_out = {asked[place][0]: why for place, why in missing.items()}
    kept = [place for place in range(len(asked)) if place not in missing]
    if not kept:
        raise InputError(
            f"realization {realization}: an answer is missing to each of the {len(asked)} questions "
            f"({', '.join(sorted(set(missing.values())))}): nothing can be compared; see table troubles"
        )
    return Answers(
        realization,
        repeat,
        condition,
        classes,
        tuple(asked[place][0] for place in kept),
        tuple(asked[place][1] for place in kept),
        codes[:, :, kept],
        texts,
        left_out,
        present,
        frozenset(model for (model,) in run.rows(_TARGETS, (realization, realization))[1]),
        finished,
        str(run.meta.get("label", "")),
    )


def _classes(run: Run, realization: int) -> tuple[str, ...]:
    query = "SELECT class FROM models WHERE realization = ? ORDER BY model"
    return tuple(name for (name,) in run.rows(query, (realization,))[1])


def _codes(
    run: Run, realization: int, n_models: int
) -> tuple[Codes, Mask, tuple[str, ...], list[tuple[str, str]], dict[int, str]]:
    """Number the texts.

    Returns:
        Codes, which models are there, texts, (id, topic) of each question, and where answers are missing.
    """
    rows = run.rows(_EVALUATIONS, (realization,))[1]
    numbers = sorted({number for _, _, number, _, _ in rows})
    present = _complete_steps(rows, len(numbers), _presence(run, realization, n_models))
    n_steps = len(present)
    if not n_steps:
        raise InputError(
            f"realization {realization}: not even the evaluation at step 0 is complete; resume the run"
        )
    texts: dict[str, int] = {}
    known = np.repeat(present.ravel(), len(numbers))
    codes = np.full(len(known), MISSING, dtype=np.int32)
    places = np.flatnonzero(known)
    missing: dict[int, str] = {}
    for place, (_, _, _, why, text) in zip(places.tolist(), rows, strict=False):
        if why is None:
            codes[place] = texts.setdefault(text, len(texts))
        else:
            missing.setdefault(place % len(numbers), why)
    facts = dict(run.rows("SELECT question, id || char(10) || topic FROM questions")[1])
    asked = [(name, topic) for name, _, topic in (facts[number].partition("\n") for number in numbers)]
    return codes.reshape(n_steps, n_models, len(numbers)), present, tuple(texts), asked, missing


def _presence(run: Run, realization: int, n_models: int) -> Iterator[Mask]:
    """Say of each step, 0 first and without end, which models are there after it."""
    changes: dict[int, list[tuple[str, int]]] = {}
    for step, what, model in run.rows(_COMINGS, (realization, AWAY, JOINS, LEAVES))[1]:
        changes.setdefault(step, []).append((what, model))
    there = np.ones(n_models, dtype=np.bool_)
    for step in count():
        for what, model in changes.get(step, ()):
            there[model] = what == JOINS
        yield there.copy()


def _complete_steps(rows: Sequence[tuple[Any, ...]], n_questions: int, presence: Iterator[Mask]) -> Mask:
    """Give which models are there after the steps, from 0 on, whose evaluation is complete."""
    found: list[Mask] = []
    end = 0
    for step, there in enumerate(presence):
        end += int(there.sum()) * n_questions
        if not n_questions or len(rows) < end or rows[end - 1][0] != step:
            break
        found.append(there)
    return np.array(found, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Embedded:
    """Answers and their vectors.

    Attributes:
        answers: The answers.
        embedder: Name of the embedder.
        vectors: Of the distinct texts of all realizations that were embedded together, ``(n_texts, dim)``.
        rows: Row of `vectors` of each of the answers' own texts.
    """

    answers: Answers
    embedder: str
    vectors: NDArray[np.float32]
    rows: NDArray[np.intp]

    @property
    def n_steps(self) -> int:
        """Number of steps, step 0 included."""
        return self.answers.n_steps

    def load(self, step: int) -> Block:
        """Make the block of a step: embedded answers, shape ``(n_models, n_questions, dim)``.

        The answers of a model that is not there are zeros.
        """
        block: Block = self.vectors[self.rows[self.answers.codes[step]]]
        block[~self.answers.present[step]] = 0.0
        return block

    def array(self) -> NDArray[np.float32]:
        """Make all of E, shape ``(n_steps, n_models, n_questions, dim)``; mind the memory."""
        return np.stack([self.load(step) for step in range(self.n_steps)])


async def embed_answers(
    run: Run,
    embedder: Embedder,
    realizations: Iterable[int] | None = None,
    *,
    other_embedder: bool = False,
) -> list[Embedded]:
    """Read and embed the answers of several realizations, every distinct text once.

    Vectors of more than 512 MiB are kept in a temporary file.

    Args:
        run: The run.
        embedder: From texts to vectors; closed by the caller.
        realizations: Which; all that are finished unless given.
        other_embedder: Whether the vectors may be of another dimension than those that the run itself used
            for its topologies and memories.

    Raises:
        UserError: No models interview each other in it, or no realization is finished.
        InputError: The embedder has another dimension than the run's, or the answers cannot be used.
        BackendError: The embedder failed.
    """
    if realizations is None:
        realizations = [number for number, *_, finished in interview_realizations(run) if finished]
        if not realizations:
            raise UserError(f"{run.folder}: no realization is finished yet; resume the run, or name them")
    if not other_embedder:
        check_dimension(run, embedder)
    return await embed_read([read_answers(run, number) for number in realizations], embedder)


async def embed_read(read: Sequence[Answers], embedder: Embedder) -> list[Embedded]:
    """Embed answers that were read already; see `embed_answers`.

    Raises:
        BackendError: The embedder failed.
    """
    places: dict[str, int] = {}
    rows = [
        np.array([places.setdefault(text, len(places)) for text in answers.texts], dtype=np.intp)
        for answers in read
    ]
    vectors = await _vectors(list(places), embedder)
    return [Embedded(answers, embedder.name, vectors, own) for answers, own in zip(read, rows, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedRun:
    """What the models of a run answered, embedded.

    Attributes:
        run: Name of the run.
        meta: Table ``meta``.
        embedder: Name of the embedder.
        conditions: Condition -> its realizations of which something can be said; rising.
        notes: Why nothing, or not everything, can be said of others.
    """

    run: str
    meta: Mapping[str, Any]
    embedder: str
    conditions: Mapping[int, tuple[Embedded, ...]]
    notes: tuple[str, ...]


async def embed_run(run: Run | str | Path, make_embedder: MakeEmbedder | None = None) -> EmbeddedRun:
    """Read and embed the answers of all realizations of which a step is complete.

    Args:
        run: The run, or its folder.
        make_embedder: Makes the embedder, which is closed afterwards, from name and options of the one that
            the run itself used; None for that one.

    Raises:
        RunFolderError: The log is damaged.
        UserError: Its models do not interview each other.
        BackendError: The embedder failed.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    usable, notes = _usable(run)
    embedder = (make_embedder or make_own_embedder)(*own_embedder(run.meta))
    try:
        name, embedded = embedder.name, await embed_read(usable, embedder)
    finally:
        await embedder.aclose()
    used = run.meta["interviews"]["embedder"]["name"]
    if used != name:
        notes.append(f"the run itself measured how near its models are by {used}, this report by {name}")
    with run.connection() as connection:
        of = condition_of(connection)
    conditions = sorted({number for each in embedded if (number := of[each.answers.realization]) is not None})
    return EmbeddedRun(
        run.folder.resolve().name,
        run.meta,
        name,
        {
            number: tuple(each for each in embedded if of[each.answers.realization] == number)
            for number in conditions
        },
        tuple(notes),
    )


def _usable(run: Run) -> tuple[list[Answers], list[str]]:
    """Read the realizations of which something can be said, and say why not of the others."""
    usable, notes = [], []
    for number, _, _, is_finished in interview_realizations(run):
        try:
            usable.append(read_answers(run, number))
        except InputError as error:
            notes.append(str(error))
            continue
        if not is_finished:
            notes.append(
                f"realization {number} is not finished: its complete steps are used, but in no mean with "
                "finished ones"
            )
    if not usable and not notes:
        notes.append("no realization has begun yet")
    return usable, notes


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from code that cannot await, whether or not an event loop runs already.

    Where one runs, as in a notebook, the work has a loop of its own in another thread, and the running one
    stands still until it is done: await the coroutine there instead, if others are to go on meanwhile.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1, "embedding") as thread:
        return thread.submit(copy_context().run, asyncio.run, work).result()


def own_embedder(meta: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Look up which embedder the run itself used: its name, and its options.

    Args:
        meta: The run's.
    """
    options = dict(meta["settings"].get("embedder", {}))
    return str(options.pop("name", "hash")), options


def check_dimension(run: Run, embedder: Embedder) -> None:
    """Make sure that `embedder` gives vectors as long as those that the run itself used.

    Raises:
        InputError: It does not.
    """
    used = run.meta["interviews"]["embedder"]
    if used["dim"] != embedder.dim:
        raise InputError(
            f"embedder {embedder.name} gives {embedder.dim} dimensions, but {run.folder} was played with "
            f"{used['name']} of {used['dim']}, in which its models were near or far; take that one, or say "
            "that another is meant (other_embedder)",
            field="embedder",
        )


async def _vectors(texts: Sequence[str], embedder: Embedder) -> NDArray[np.float32]:
    shape = (len(texts), embedder.dim)
    vectors: NDArray[np.float32]
    if 4 * shape[0] * shape[1] <= _IN_MEMORY_BYTES:
        vectors = np.empty(shape, dtype=np.float32)
    else:
        with tempfile.TemporaryFile() as file:
            vectors = np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        some = texts[start : start + _TEXTS_AT_ONCE]
        vectors[start : start + len(some)] = await embedder.embed(some)
    return vectors
