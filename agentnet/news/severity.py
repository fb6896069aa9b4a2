"""Severity by ACLED's taxonomy: which kinds of event are peaceful (0) and which severe (1).

The 25 sub-event types are those of ACLED's codebook (2024). Where the codebook leaves room, this page
decides, by what a reader would take the news to be about:

- *Protest with intervention* is peaceful: the demonstrators used no violence, and whoever intervened did
  no serious harm (the codebook files anything worse under *Excessive force against protesters*).
- *Excessive force against protesters* is severe: people who did no violence were badly hurt or killed,
  and ACLED itself counts it as political violence as well.
- *Violent demonstration* and *Mob violence* are severe: the crowd itself is violent.
- *Strategic developments* are of unknown severity: the type joins peace agreements, arrests and looting.

The paper that this program follows finds the same two groups by clustering text embeddings; a user's own
labels can take the place of this table (a column map with ``severity``).
"""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import Final, NamedTuple


class SubEventType(NamedTuple):
    """One line of ACLED's taxonomy with its severity."""

    disorder_type: str
    event_type: str
    sub_event_type: str
    severity: int | None


def _read() -> tuple[SubEventType, ...]:
    text = (files("agentnet.news") / "data" / "acled_taxonomy.csv").read_text("utf-8")
    _, *rows = csv.reader(text.splitlines())
    return tuple(
        SubEventType(disorder, event, sub, int(severity) if severity else None)
        for disorder, event, sub, severity in rows
    )


TAXONOMY: Final = _read()
"""All 25 sub-event types (``data/acled_taxonomy.csv``); a pair (event type, sub-event type) stands once."""


def _plain(label: str) -> str:
    # Older exports write "protestors".
    return label.strip().casefold().replace("protestors", "protesters")


def _parts(disorder_type: str) -> frozenset[str]:
    return frozenset(_plain(part) for part in disorder_type.split(";")) - {""}


_PLAIN = tuple((_parts(line.disorder_type), _plain(line.event_type), line) for line in TAXONOMY)
_BY_SUB_EVENT = {"": _PLAIN} | {
    sub: tuple(entry for entry in _PLAIN if _plain(entry[2].sub_event_type) == sub)
    for sub in (_plain(line.sub_event_type) for line in TAXONOMY)
}
_KNOWN = {
    "disorder_type": frozenset[str]().union(*(disorders for disorders, _, _ in _PLAIN)),
    "event_type": frozenset(event for _, event, _ in _PLAIN),
    "sub_event_type": frozenset(_BY_SUB_EVENT) - {""},
}


def severity_of(disorder_type: str, event_type: str, sub_event_type: str) -> int | None:
    """Derive the severity from ACLED's three labels; letter case and outer blanks don't matter.

    An empty label says nothing. The lines of `TAXONOMY` that agree with all labels given decide, if they
    agree among themselves.

    Returns:
        0 peaceful, 1 severe; None if a label is not ACLED's, labels contradict each other, or the rule
        leaves the severity open.

    Examples:
        >>> severity_of("Demonstrations", "Protests", "Peaceful protest")
        0
        >>> severity_of("", "Battles", "")
        1
        >>> severity_of("", "Protests", "") is None  # peaceful or not: the sub-event type would say
        True
    """
    found = {line.severity for line in _matches(disorder_type, event_type, sub_event_type)}
    return found.pop() if len(found) == 1 else None


def disorder_type_of(event_type: str, sub_event_type: str) -> str:
    """Derive the disorder type, which older exports lack; "" if the labels leave it open."""
    found = {line.disorder_type for line in _matches("", event_type, sub_event_type)}
    return found.pop() if len(found) == 1 else ""


def is_known(column: str, label: str) -> bool:
    """Say whether `label` is ACLED's for ``disorder_type``, ``event_type`` or ``sub_event_type``.

    A disorder type may join several by semicolons.
    """
    if column == "disorder_type":
        return _parts(label) <= _KNOWN[column]
    return _plain(label) in _KNOWN[column]


def _matches(disorder_type: str, event_type: str, sub_event_type: str) -> list[SubEventType]:
    given, event, sub = _parts(disorder_type), _plain(event_type), _plain(sub_event_type)
    if not (given or event or sub):
        return []
    return [
        line
        for disorders, its_event, line in _BY_SUB_EVENT.get(sub, ())
        if event in ("", its_event) and given <= disorders
    ]
