"""Columns of exposures, for laws of decisions that are laws of more than profile and severity.

What the log records of an exposure is taken as it stands: a fact of its context by its key, a field of a
declared answer by its name. Else, at the start of the step:

- ``n_engaged``: engaged neighbours of the agent that was asked;
- ``n_neighbours``: all of them;
- ``n_asked``: how often it was asked at earlier steps;
- any numeric column of the node table, as an attribute of the agent;
- any numeric column of the log's view `decisions`.

What is no number is a column by one of its values, such as ``model=gpt-4o``: 1 where it reads so, else 0.
What came with the answer, fields of a declared one and texts, is no column where it settles the decision. A
missing answer has no such values; it counts as missing, with NaN in the column.
Always there are ``step``, ``profile``, the five traits (0 low, 1 high), ``severity`` and ``news``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.columns import NOTHING
from agentnet.analysis.tables import N_ASKED, ExposureCounts, Questions
from agentnet.errors import DesignError, UserError, near_miss
from agentnet.events.graphs import recorded_network
from agentnet.vocabulary import EXPOSURE, NO, TRAITS, YES

if TYPE_CHECKING:
    from agentnet.analysis.reading import OpenLog

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

ALWAYS: Final = ("step", "profile", *TRAITS, "severity", "news")
"""Columns that tables have however they were read."""

_TOLD_BY_ANSWER: Final = ("decision", "missing", "value")
"""Columns of the view `decisions` that no law of decisions may read: they are the answer itself."""

_KEY: Final = "realization, kind, step, agent, source, repeat"

_OF_VIEW = f"SELECT {{}} FROM decisions WHERE kind = ?1 ORDER BY {_KEY}"  # noqa: S608 - our own
_OF_CONTEXT = f"""
SELECT COALESCE(json_extract(told.context, ?2), json_extract(asked.context, ?2),
                CASE WHEN asked.value LIKE '{{%' THEN json_extract(asked.value, ?2) END)
FROM events asked LEFT JOIN exposures told USING ({_KEY}) WHERE kind = ?1 ORDER BY {_KEY}
"""  # noqa: S608 - our own
_KEYS_OF_CONTEXTS = """
SELECT DISTINCT key FROM (
    SELECT context FROM exposures WHERE kind = ?1
    UNION ALL SELECT context FROM events WHERE kind = ?1
), json_each(context) WHERE json_type(context) = 'object'
"""
_KEYS_OF_ANSWERS = """
SELECT DISTINCT key FROM (
    SELECT value AS answer FROM events WHERE kind = ?1 AND value LIKE '{%'
), json_each(answer) WHERE json_type(answer) = 'object'
"""
_DRAWN_FROM = f"""
SELECT CASE WHEN missing IS NULL THEN IFNULL(reply, {NOTHING}) ELSE {NOTHING} END, temperature
FROM events WHERE kind = ? ORDER BY {_KEY}
"""  # noqa: S608 - our own
_DRAWN_TOGETHER = """
SELECT MIN(realization), agent, prompt, reply, temperature, COUNT(*) FROM events
WHERE kind = ? AND missing IS NULL AND reply IS NOT NULL AND realization IN (SELECT value FROM json_each(?))
GROUP BY prompt, temperature, reply
"""
_REPLIES = """
SELECT reply, text FROM replies
WHERE reply IN (SELECT reply FROM events WHERE mass IS NOT NULL AND missing IS NULL)
"""
_CERTAIN: Final = 2.0**-53
_TEXTS_OF_ANSWERS: Final = ("text", "rationale")
"""Columns of the view `decisions` that came with the answer."""


class _Asked(NamedTuple):
    """The exposures of one realization, in the order of the log; arrays of shape ``(n_exposures,)``."""

    realization: int
    agent: Ints
    step: Ints


class _Played(NamedTuple):
    """A realization's network, as pairs (who hears, who is heard), and when its agents engaged."""

    heard: NDArray[np.int32]
    engaged_step: Ints


def count_exposures(
    log: OpenLog,
    realization: Ints,
    names: Iterable[str],
    kind: str = EXPOSURE,
    judged: Ints | None = None,
) -> ExposureCounts:
    """Count decisions of exposures by realization, step, profile and the columns named.

    Args:
        log: The event log.
        realization: Numbers of the realizations wanted, rising.
        names: Names of columns that are not there always.
        kind: The kind of questions, where they are no exposures.
        judged: What counts as decided, 1 yes, 0 no, -1 missing, of all questions of the kind in the order of
            the log; None: what the log says.

    Raises:
        DesignError: There is no such column, or it holds something else than numbers, or the answer itself.
        UserError: It is empty for some exposures, as a context is that one condition alone records.
    """
    # How often an agent was asked before tells whether a law of a column is one of who is left to be asked.
    names = dict.fromkeys([*names, *([N_ASKED] if names and kind == EXPOSURE else [])])
    asked = _asked(log, realization, names, kind, judged)
    row = np.searchsorted(realization, asked.number)
    if kind == EXPOSURE:
        profile = log.asked(asked.number, asked.agent, asked.prompt)[0]
    else:
        profile = log.profiles_of(asked.number, asked.agent)
    keys = np.column_stack([row, asked.step, profile, *asked.columns.values()])
    different, place = np.unique(keys, axis=0, return_inverse=True)
    n_no, n_yes, n_missing = (
        np.bincount(place.ravel(), asked.decision == answer, len(different)).astype(np.int64)
        for answer in (0, 1, NOTHING)
    )
    row, at, profile = different[:, :3].T.astype(np.int64)
    of_counts = dict(zip(asked.columns, different[:, 3:].T, strict=True))
    return ExposureCounts(row, at, profile, n_yes, n_no, n_missing, of_counts)


class _Exposures(NamedTuple):
    """All exposures of some realizations, in the order of the log; arrays of shape ``(n_exposures,)``."""

    wanted: NDArray[np.bool_]
    number: Ints
    step: Ints
    agent: Ints
    prompt: Ints
    decision: Ints
    columns: dict[str, Array]


def _asked(
    log: OpenLog, realization: Ints, names: Iterable[str], kind: str, judged: Ints | None = None
) -> _Exposures:
    number, step, agent, _, prompt, answered, _ = log.decisions(kind, ())
    wanted = np.isin(number, realization)
    rows = tuple(each[wanted] for each in (number, agent, step, answered if judged is None else judged))
    found = _Columns(log, kind, realization, wanted, rows)
    columns = {name: found.column(name) for name in names}
    return _Exposures(wanted, rows[0], rows[2], rows[1], prompt[wanted], rows[3], columns)


def count_questions(
    log: OpenLog, kind: str, realization: Ints, names: Sequence[str] = ()
) -> Questions | None:
    """List the different questions of some realizations whose probability of a yes the log has.

    Args:
        log: The event log.
        kind: ``exposure`` or ``ratio``.
        realization: Numbers of the realizations wanted, rising.
        names: Columns of exposures that tell questions apart, besides prompt and profile.

    Returns:
        None where no probability is known: decisions were not drawn from probabilities.
    """
    of_reply = _chances(log)
    if not of_reply:
        return None
    if kind == EXPOSURE and (names or log.is_told):
        asked = _asked(log, realization, names, kind)
        rows = [*zip(*log.connection.execute(_DRAWN_FROM, (kind,)), strict=True)]
        reply, temperature = (np.array(each, np.float64)[asked.wanted] for each in rows)
        number, agent, prompt, columns = asked.number, asked.agent, asked.prompt, asked.columns
        n_drawn = np.ones(reply.size)
    else:
        these = json.dumps(realization.tolist())
        rows = [*zip(*log.connection.execute(_DRAWN_TOGETHER, (kind, these)), strict=True)]
        number, agent, prompt = (np.array(each, np.int64) for each in rows[:3])
        reply, temperature, n_drawn = (np.array(each, np.float64) for each in rows[3:])
        columns = {}
    known = np.isin(reply, list(of_reply))
    if not known.any():
        return None
    profile, news = log.asked(number, agent, prompt)
    asked_at = np.column_stack([prompt, profile, news, *columns.values(), temperature, reply])
    each, place = np.unique(asked_at[known], axis=0, return_inverse=True)
    n = np.bincount(place.ravel(), n_drawn[known])
    question, of = np.unique(each[:, :-2], axis=0, return_inverse=True)
    chance = np.bincount(of.ravel(), [of_reply[number] for number in each[:, -1].tolist()])
    return Questions(
        profile=question[:, 1].astype(np.int64),
        news=question[:, 2].astype(np.int64),
        chance=chance / np.bincount(of.ravel()),
        n_drawn=np.bincount(of.ravel(), n).astype(np.int64),
        temperatures=tuple(np.unique(each[:, -2]).tolist()),
        columns=dict(zip(columns, question[:, 3:].T, strict=True)),
    )


def _chances(log: OpenLog) -> dict[float, float]:
    """Read the probability of a yes from each reply that has one, by the reply's number."""
    settings = log.meta.get("settings")
    if not isinstance(settings, dict) or settings.get("sampler", {}).get("mode") != "logprobs":
        return {}
    found = {}
    for reply, text in log.connection.execute(_REPLIES):
        odds = _odds(text)
        yes, no = (odds.get(answer, -math.inf) for answer in (YES, NO))
        if max(yes, no) > -math.inf:
            chance = 1.0 / (1.0 + math.exp(min(no - yes, 700.0)))
            # What is as near to 1 is 1 in floating point: fitters take both ends as certain.
            found[float(reply)] = chance if chance > _CERTAIN else 0.0
    return found


def _odds(text: str) -> dict[str, float]:
    """Read what a reply lists. SQLite does not: the logarithm of a probability of 0 is no JSON."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found.get("logprobs", {}) if isinstance(found, dict) else {}


class _Columns:
    """Makes columns of the exposures of some realizations."""

    def __init__(
        self,
        log: OpenLog,
        kind: str,
        realization: Ints,
        wanted: NDArray[np.bool_],
        rows: tuple[Ints, ...],
    ) -> None:
        self._number, self._agent, self._step, self._decision = rows
        self._log, self._kind, self._realization, self._wanted = log, kind, realization, wanted
        self._heard: dict[str, NDArray[np.int32]] = {}

    def column(self, name: str) -> Array:
        """Make a column, shape ``(n_exposures,)``."""
        base, _, wanted = name.partition("=")
        if name in _COMPUTED and name not in self._recorded:
            return self._computed(name)
        if name in self._known:
            return _numbers(name, self._values(name))
        if wanted and base in self._known:
            return _indicator(base, wanted, self._values(base))
        every = (*ALWAYS, *_COMPUTED, *self._attributes, *self._recorded)
        raise DesignError(
            f"exposures have no column {name!r}{near_miss(name, every)}; the view decisions has "
            f"{', '.join(self._of_view)}"
        )

    @property
    def _known(self) -> tuple[str, ...]:
        """Name the columns whose values stand in the log."""
        return (*self._recorded, *self._attributes, *self._of_view)

    def _values(self, name: str) -> list[Any]:
        """Read what stands in the log, of each exposure; NaN where nothing does, for the answer is missing.

        Raises:
            DesignError: It came with the answer, and settles the decision.
        """
        values = [
            math.nan if value is None and gone else value
            for value, gone in zip(self._read(name), self._decision == NOTHING, strict=True)
        ]
        if name in (*self._of_answers, *_TEXTS_OF_ANSWERS) and name not in self._of_contexts:
            self._check_told(name, values)
        return values

    def _check_told(self, name: str, values: list[Any]) -> None:
        """See that a value that came with the answer does not say by itself what was decided."""
        pairs = {
            (value, each)
            for value, each in zip(values, self._decision.tolist(), strict=True)
            if each != NOTHING
        }
        both = len({each for _, each in pairs}) == 2
        if both and len({value for value, _ in pairs}) == len(pairs):
            raise DesignError(
                f"the column {name!r} came with the answer and settles the decision: each of its values goes "
                "with yes alone or with no alone, so that a law of it would explain the answer by itself"
            )

    def _read(self, name: str) -> list[Any]:
        if name in self._recorded:
            return self._rows(_OF_CONTEXT, f'$."{name}"')
        if name not in self._attributes:
            return self._rows(_OF_VIEW.format(f'"{name}"'))
        of = {number: _attribute(self._log, number, name) for number in self._realization.tolist()}
        return [of[number][agent] for number, agent in zip(self._number, self._agent, strict=True)]

    def _rows(self, query: str, *parameters: str) -> list[Any]:
        rows = self._log.connection.execute(query, (self._kind, *parameters))
        return [value for (value,), kept in zip(rows, self._wanted, strict=True) if kept]

    def _computed(self, name: str) -> Array:
        made = np.zeros(self._number.size)
        for number in self._realization.tolist():
            mine = np.flatnonzero(self._number == number)
            asked = _Asked(number, self._agent[mine], self._step[mine])
            made[mine] = _COMPUTED[name](asked, self._played(number))
        return made

    @cached_property
    def _attributes(self) -> tuple[str, ...]:
        return attributes_known(self._log)

    @cached_property
    def _of_view(self) -> tuple[str, ...]:
        """Name the columns of the view `decisions`, less the answer."""
        query = "SELECT name FROM pragma_table_info('decisions')"
        names = [str(name) for (name,) in self._log.connection.execute(query)]
        return tuple(name for name in names if name not in _TOLD_BY_ANSWER)

    @cached_property
    def _of_contexts(self) -> tuple[str, ...]:
        """Name the facts of contexts."""
        return tuple(str(key) for (key,) in self._log.connection.execute(_KEYS_OF_CONTEXTS, (self._kind,)))

    @cached_property
    def _of_answers(self) -> tuple[str, ...]:
        """Name the fields of declared answers."""
        return tuple(str(key) for (key,) in self._log.connection.execute(_KEYS_OF_ANSWERS, (self._kind,)))

    @property
    def _recorded(self) -> tuple[str, ...]:
        """Name what the log records of exposures: facts of contexts, and fields of declared answers."""
        return tuple(dict.fromkeys((*self._of_contexts, *self._of_answers)))

    def _played(self, number: int) -> _Played:
        query = "SELECT network FROM realizations WHERE realization = ?"
        (digest,) = self._log.connection.execute(query, (number,)).fetchone()
        if digest not in self._heard:
            network = recorded_network(self._log.run, digest)
            pairs = np.column_stack((network.listener, network.indices))
            again = np.append(False, (np.diff(pairs, axis=0) == 0).all(axis=1))[: len(pairs)]
            self._heard[digest] = pairs[~again]  # whom agents hear in several layers, once
        query = f"SELECT IFNULL(engaged_step, {NOTHING}) FROM agents WHERE realization = ? ORDER BY agent"  # noqa: S608 - our own number
        return _Played(self._heard[digest], self._log.integers(query, 1, number)[0])


def _n_engaged(asked: _Asked, played: _Played) -> Array:
    """Count the neighbours that had engaged before the step."""
    heard = played.heard
    when = played.engaged_step[heard[:, 1]]
    heard, when = heard[when != NOTHING], when[when != NOTHING]
    n_steps = int(max(asked.step.max(initial=0), when.max(initial=0))) + 2
    counts = np.zeros((played.engaged_step.size, n_steps), dtype=np.int64)
    np.add.at(counts, (heard[:, 0], when + 1), 1)
    found: Array = counts.cumsum(axis=1)[asked.agent, asked.step].astype(np.float64)
    return found


def _n_neighbours(asked: _Asked, played: _Played) -> Array:
    n_heard = np.bincount(played.heard[:, 0], minlength=played.engaged_step.size)
    return n_heard[asked.agent].astype(np.float64)


def _n_asked(asked: _Asked, played: _Played) -> Array:
    """Count the questions of earlier steps."""
    counts = np.zeros((played.engaged_step.size, int(asked.step.max(initial=0)) + 2), dtype=np.int64)
    np.add.at(counts, (asked.agent, asked.step + 1), 1)
    found: Array = counts.cumsum(axis=1)[asked.agent, asked.step].astype(np.float64)
    return found


_COMPUTED: Final[Mapping[str, Callable[[_Asked, _Played], Array]]] = {
    "n_engaged": _n_engaged,
    "n_neighbours": _n_neighbours,
    N_ASKED: _n_asked,
}


def attributes_known(log: OpenLog) -> tuple[str, ...]:
    """Name the columns of the node table that agents have."""
    query = "SELECT DISTINCT key FROM agents, json_each(attributes) WHERE attributes IS NOT NULL"
    return tuple(str(key) for (key,) in log.connection.execute(query))


def agent_attribute(log: OpenLog, realization: int, name: str) -> Array:
    """Read a numeric attribute of all agents of a realization, shape ``(n_agents,)``.

    Raises:
        UserError: It is no number.
    """
    return _numbers(name, _attribute(log, realization, name))


def _attribute(log: OpenLog, realization: int, name: str) -> list[Any]:
    query = "SELECT json_extract(attributes, ?) FROM agents WHERE realization = ? ORDER BY agent"
    return [value for (value,) in log.connection.execute(query, (f'$."{name}"', realization))]


def _indicator(name: str, wanted: str, values: list[Any]) -> Array:
    """Say where a column reads as wanted; what is not known is no "no"."""
    found = {str(value) for value in values}
    if wanted not in found or None in values:
        what = "nothing for some exposures" if None in values else f"no {wanted!r}{near_miss(wanted, found)}"
        raise DesignError(f"the column {name!r} holds {what}")
    return np.array([value if _is_nan(value) else str(value) == wanted for value in values], dtype=np.float64)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _numbers(name: str, values: list[object]) -> Array:
    try:
        return np.array([float(value) for value in values], dtype=np.float64)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        others = [value for value in values if not _is_number(value)]
        text = next((value for value in others if value is not None), None)
        raise (UserError if text is None else DesignError)(
            f"the column {name!r} holds {'nothing' if text is None else repr(text)} for some exposures: a "
            f"law of decisions takes numbers{'' if text is None else f', or whether it reads {name}={text}'}"
        ) from None


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True
