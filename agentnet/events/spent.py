"""What the sittings of a run spent, as its log knows: by the order of what it holds, never by a clock.

A sitting that ends notes what the run has spent up to then, failed calls included. One that goes on notes
what it counts on from, beside what the recorded answers add up to then: if it is killed, those recorded since
tell what it spent, and what it had pledged tells what it may have spent beyond them. A bounded run pledges
calls before it makes them, so that those in flight at a kill count as made.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, NamedTuple

PLEDGED = "pledged"
"""The row of ``meta`` with calls and tokens that the run may have spent in all; null once it has noted."""

_RECORDED = (
    "SELECT COALESCE(SUM(attempts), 0), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), 0) "
    "FROM events WHERE cached = 0"
)
UNCOUNTED = (
    "SELECT COUNT(*) FROM events WHERE cached = 0 AND attempts > 0 "
    "AND (prompt_tokens IS NULL OR completion_tokens IS NULL)"
)
"""How many recorded answers cost tokens that no server counted: sums of tokens are without them."""

_BY_VOICE = (
    "SELECT COALESCE(a.voice, ''), COALESCE(SUM(e.prompt_tokens), 0), COALESCE(SUM(e.completion_tokens), 0) "
    "FROM events e LEFT JOIN agents a USING (realization, agent) "
    "WHERE e.cached = 0 AND e.attempts > 0 GROUP BY 1"
)
_NOTES = (
    "SELECT kind, detail, at FROM incidents WHERE kind IN ('started', 'resumed', 'spent') ORDER BY incident"
)


class Use(NamedTuple):
    """Calls made and tokens used.

    Attributes:
        calls: Calls made, failed ones included.
        prompt_tokens: Tokens in.
        completion_tokens: Tokens out.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int

    def plus(self, other: Use) -> Use:
        """Add."""
        return Use(*(mine + its for mine, its in zip(self, other, strict=True)))

    def minus(self, other: Use) -> Use:
        """Subtract."""
        return Use(*(mine - its for mine, its in zip(self, other, strict=True)))

    def or_more(self, other: Use) -> Use:
        """Take the larger one of each."""
        return Use(*map(max, self, other))


NOTHING = Use(0, 0, 0)


class SpentSoFar(NamedTuple):
    """What a run has spent.

    Attributes:
        use: Calls and tokens.
        dollars: US dollars; None if unknown.
        unmetered: Calls whose tokens are estimated, as far as noted.
        recorded: What the recorded answers add up to.
        is_noted: Whether the last sitting noted it as it ended; else it was killed, or is still played.
        unpriced: Answers whose tokens no server counted, of sittings that were killed before they noted an
            estimate, and had pledged nothing: no sum has them.
    """

    use: Use
    dollars: float | None
    unmetered: int
    recorded: Use
    is_noted: bool
    unpriced: int = 0


def spent_so_far(
    connection: sqlite3.Connection,
    *,
    recorded: Use | None = None,
    is_played: bool = False,
    is_over: bool = False,
) -> SpentSoFar:
    """Read what a run has spent from a connection to its log.

    Args:
        connection: To its log.
        recorded: What the recorded answers add up to, where that is known; else they are looked through.
        is_played: Whether it is played meanwhile, so that nothing of what was pledged is lost to a kill.
        is_over: Nobody asks what the answers add up to: they are looked through only where nothing is noted.
    """
    notes = [(kind, json.loads(detail), at) for kind, detail, at in connection.execute(_NOTES)]
    kind, detail, _ = notes[-1] if notes else ("started", {}, 0.0)
    if recorded is None and is_over and kind == "spent":
        recorded = NOTHING
    elif recorded is None:
        recorded = Use(*connection.execute(_RECORDED).fetchone())
    if kind == "spent" and "calls" in detail:
        return _of_note(detail, recorded, is_noted=True)
    if kind == "resumed" and "spent" not in detail:
        return _by_the_clock(connection, notes, recorded)
    known = _of_note(detail.get("spent", NOTHING._asdict()), recorded, is_noted=False)
    since = recorded.minus(Use(*detail.get("recorded", NOTHING)))
    use, pledged, unpriced = known.use.plus(since), _pledged(connection), known.unpriced
    if not is_played:
        use = use.or_more(pledged)
    if since.calls and pledged == NOTHING:
        ((n_uncounted,),) = connection.execute(UNCOUNTED)
        unpriced += n_uncounted - detail.get("uncounted", 0)
    return known._replace(use=use, dollars=known.dollars if use == known.use else None, unpriced=unpriced)


def tokens_by_voice(connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Add up the tokens in and out of the recorded answers, by voice; "" is the run's own."""
    return {voice: (n_in, n_out) for voice, n_in, n_out in connection.execute(_BY_VOICE)}


def _pledged(connection: sqlite3.Connection) -> Use:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (PLEDGED,)).fetchone()
    return Use(*(json.loads(row[0]) or NOTHING)) if row else NOTHING


def _of_note(noted: dict[str, Any], recorded: Use, *, is_noted: bool) -> SpentSoFar:
    use = Use(noted["calls"], noted["prompt_tokens"], noted["completion_tokens"])
    counts = (noted.get("unmetered", 0), recorded, is_noted, noted.get("unpriced", 0))
    return SpentSoFar(use, noted.get("dollars"), *counts)


def _by_the_clock(
    connection: sqlite3.Connection, notes: list[tuple[str, dict[str, Any], float]], recorded: Use
) -> SpentSoFar:
    """Read a log of an older version, whose last sitting says nothing else of what it counted on from."""
    noted, at = next(((detail, at) for kind, detail, at in reversed(notes) if kind == "spent"), (None, 0.0))
    known = _of_note(noted or NOTHING._asdict(), recorded, is_noted=False)
    since = Use(*connection.execute(f"{_RECORDED} AND at > ?", (at,)).fetchone())
    return known._replace(use=known.use.plus(since), dollars=None if any(since) else known.dollars)
