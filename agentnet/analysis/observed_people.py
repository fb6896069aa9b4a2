"""People who heard of something from others, and did it or not: tables of human diffusion experiments.

A row says who heard, when, from whom, and what they did then. Rows become decisions, so that laws of
decisions are fitted to people as to agents, and their parameters stand beside each other. As in cascades of
agents, who has said yes is asked no more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.networks import NetworkDesign
from agentnet.analysis.observed import instant, refuse_mixed
from agentnet.analysis.tables import N_ASKED, ExposureCounts, RunTables
from agentnet.errors import DesignError, InputError, near_miss
from agentnet.news.table import Cells, open_table
from agentnet.vocabulary import N_PROFILES

Array = NDArray[np.float64]

USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "who": ("who", "person", "person_id", "participant", "participant_id", "subject", "ego", "user"),
    "when": ("when", "time", "timestamp", "at", "date", "day", "round", "step"),
    "source": ("source", "heard_from", "from", "sender", "alter", "neighbour", "neighbor"),
    "did": ("did", "decision", "answer", "action", "adopted", "shared", "behaviour", "behavior"),
    "group": ("group", "session", "trial", "network", "realization", "community"),
}
"""Field -> what its column may be called; where its own name stands, the others are not looked at."""

N_HEARD: Final = "n_heard"
"""Column: from how many others the person has heard by then, this time included."""

_WHAT: Final = "a table of what people heard and did"
_YES: Final = ("yes", "true", "1", "1.0", "y", "t")
_NO: Final = ("no", "false", "0", "0.0", "n", "f")


class _Heard(NamedTuple):
    """A row.

    Attributes:
        row: Its number in the file.
        group: Empty where the file has no groups.
        who: The person.
        source: From whom; empty for nobody, as of who tells of oneself.
        time: None where the file has no times.
        unit: `SECONDS`, or empty for a plain number.
        did: As it is written; empty for missing.
        others: The cells of the columns that are wanted.
    """

    row: int
    group: str
    who: str
    source: str
    time: float | None
    unit: str
    did: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Decision:
    """A decision of a person who had not said yes: its step, and what is known of it."""

    group: int
    step: int
    n_heard: int
    n_asked: int
    is_yes: bool | None
    others: tuple[str, ...]


def read_people(
    path: Path | str,
    of: str = "",
    *,
    columns: Iterable[str] = (),
    named: Mapping[str, str] | None = None,
    encoding: str | None = None,
) -> RunTables:
    """Read what people heard from others and did.

    The fields are ``who`` and ``did``, and, where the file has them, ``when`` (else rows stand in their
    order), ``source`` (from whom) and ``group`` (people of one group are one realization). An empty ``did``
    is missing, no "no".

    Args:
        path: Delimited text with a header, JSON Lines (``.jsonl``) or a spreadsheet; also gzipped.
        of: What counts as a yes: a value of ``did``. Empty where it is written as yes and no, true and false,
            or 1 and 0.
        columns: Columns of decisions: ``n_heard``, from how many others the person has heard by then, this
            time included; ``n_asked``, how often it had heard before; a column of the file that holds
            numbers; ``NAME=VALUE``, 1 where a column reads so, else 0.
        named: The column of a field that has none of its usual names.
        encoding: How a text is written; by default UTF-8, or what its byte-order mark says.

    Returns:
        Tables without curves, for `agentnet.analysis.fit_run`. A step is the place of a time in its group's.

    Raises:
        InputError: The file cannot be used; names row and column.
        DesignError: There is no such column, or it is no number.
        ConfigurationError: `named` names an unknown field, or `encoding` is unknown.
    """
    path = Path(path)
    computed = {N_HEARD, N_ASKED}
    wanted = [each for each in dict.fromkeys(columns) if each not in computed]
    with open_table(path, encoding=encoding) as table:
        of_field = table.settle(USUAL, named or {}, required=("who", "did"), what=_WHAT)
        read = [_column(path, each, table.columns, computed) for each in wanted]
        every = list(table.each(of_field, partial(_row, others=read)))
    if not every:
        raise InputError("there is no row below the header", path=path)
    refuse_mixed(path, of_field.get("when", ""), {each.row: each.unit for each in every})
    once = {each[1:]: each for each in reversed(every)} if every[0].time is not None else None
    rows = every if once is None else sorted(once.values())
    groups = {name: number for number, name in enumerate(dict.fromkeys(each.group for each in rows))}
    said = _said(path, of_field["did"], rows, of)
    decisions, n_later = _decisions(rows, said, groups)
    found = {name: _numbers(path, name, decisions, place) for place, name in enumerate(wanted)}
    people = Counter(group for group, _ in {(each.group, each.who) for each in rows})
    notes = _notes(path, of, len(every) - len(rows), n_later, "source" in of_field)
    return _tables(path, decisions, found, [people[name] for name in groups], _sources(rows), tuple(notes))


def _column(path: Path, name: str, columns: Sequence[str], computed: Iterable[str]) -> str:
    """Say which column of the file a column of decisions is read from."""
    base = name if name.lower() in columns else name.partition("=")[0]
    if base.lower() not in columns:
        raise DesignError(f"{path} has no column {name!r}{near_miss(name, (*columns, *computed))}")
    return base.lower()


def _row(cells: Cells, others: Sequence[str]) -> _Heard:
    when = cells.columns.get("when")
    time, unit = (None, "") if when is None else instant(cells.filled("when"), when)
    who, group, source, did = (
        cells.filled("who"),
        *(cells.field(each) for each in ("group", "source", "did")),
    )
    found = tuple(map(cells.column, others))
    return _Heard(cells.row.number, group, who, source, time, unit, did, found)


def _said(path: Path, column: str, rows: Sequence[_Heard], of: str) -> Mapping[str, bool | None]:
    """Say what each text of column ``did`` counts as."""
    different = dict.fromkeys(each.did for each in rows)
    if of:
        if of not in different:
            raise InputError(
                f"nobody did {of!r}{near_miss(of, [*filter(None, different)])}", path=path, field=column
            )
        return {text: text == of if text else None for text in different}
    said = {text: _plain(text) for text in different}
    odd = next((each for each in rows if each.did and said[each.did] is None), None)
    if odd is not None:
        raise InputError(
            f"{odd.did[:40]!r} is neither yes nor no (yes, no, true, false, 1, 0; empty is missing); say "
            f"which value is a yes (--of VALUE)",
            path=path,
            row=odd.row,
            field=column,
        )
    return said


def _plain(text: str) -> bool | None:
    return True if text.lower() in _YES else False if text.lower() in _NO else None


def _decisions(
    rows: Sequence[_Heard], said: Mapping[str, bool | None], groups: Mapping[str, int]
) -> tuple[list[_Decision], int]:
    """Follow each person until it says yes; count the rows afterwards, too."""
    sources: dict[tuple[str, str], set[str]] = defaultdict(set)
    n_asked: Counter[tuple[str, str]] = Counter()
    engaged: set[tuple[str, str]] = set()
    times: dict[str, dict[object, int]] = defaultdict(dict)
    found: list[_Decision] = []
    in_time = rows if rows[0].time is None else sorted(rows, key=lambda each: (each.time or 0.0, each.row))
    for each in in_time:
        person = (each.group, each.who)
        at = times[each.group]
        step = at.setdefault(each.row if each.time is None else each.time, len(at) + 1)
        if person in engaged:
            continue
        if each.source:
            sources[person].add(each.source)
        yes = said[each.did]
        place = groups[each.group]
        found.append(_Decision(place, step, len(sources[person]), n_asked[person], yes, each.others))
        n_asked[person] += 1
        if yes:
            engaged.add(person)
    return found, len(rows) - len(found)


def _numbers(path: Path, name: str, decisions: Sequence[_Decision], place: int) -> Array:
    """Make a column of decisions of a column of the file."""
    texts = [each.others[place] for each in decisions]
    base, equals, value = name.partition("=")
    if equals and value in texts:
        if "" in texts:
            raise DesignError(f"the column {base!r} of {path} holds nothing for some rows")
        return np.array([text == value for text in texts], np.float64)
    try:
        return np.array([float(text) for text in texts], np.float64)
    except ValueError:
        text = next(text for text in texts if not _is_number(text))
        way = f", or whether it reads {name}={text}" if text else ""
        raise DesignError(
            f"the column {name!r} of {path} holds {text!r} for some rows: a law of decisions takes "
            f"numbers{way}"
        ) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sources(rows: Iterable[_Heard]) -> list[int]:
    """Count from how many others each person heard at all."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in rows:
        found[each.group, each.who] |= {each.source} - {""}
    return [len(each) for each in found.values()]


def _notes(path: Path, of: str, n_twice: int, n_later: int, has_sources: bool) -> Iterator[str]:
    yes = f"; a yes is {of!r}" if of else ""
    yield f"decisions are those of people in {path.name}{yes}"
    if n_twice:
        yield f"standing twice, and counted once: {n_twice:,} rows"
    if n_later:
        yield f"left out: {n_later:,} rows of people after their first yes"
    if not has_sources:
        yield f"nobody is said to have been heard from: {N_HEARD} is 0 throughout"


def _tables(
    path: Path,
    decisions: Sequence[_Decision],
    columns: Mapping[str, Array],
    n_people: Sequence[int],
    n_sources: Sequence[int],
    notes: tuple[str, ...],
) -> RunTables:
    n, n_groups = len(decisions), len(n_people)
    answers = np.array([-1 if each.is_yes is None else int(each.is_yes) for each in decisions])
    row, step, heard, asked = np.array(
        [(each.group, each.step, each.n_heard, each.n_asked) for each in decisions], np.int64
    ).T
    n_yes, n_no, n_none = ((answers == each).astype(np.int64) for each in (1, 0, -1))
    counts = ExposureCounts(
        row,
        step,
        np.zeros(n, np.int64),
        n_yes,
        n_no,
        n_none,
        columns={**columns, N_HEARD: heard.astype(np.float64), N_ASKED: asked.astype(np.float64)},
    )
    agents = np.zeros((n_groups, N_PROFILES), np.int64)
    agents[:, 0] = n_people
    degrees, n_agents = np.unique(n_sources, return_counts=True)
    return RunTables.of_decisions(
        path.name,
        counts,
        realization=np.arange(n_groups, dtype=np.int64),
        profile_agents=agents,
        model_name="people",
        networks=NetworkDesign(
            ("as heard",), n_groups, fresh=False, degrees=degrees, n_agents=n_agents, is_directed=True
        ),
        notes=notes,
        profiled=False,
    )
