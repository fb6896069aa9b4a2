"""Take what somebody wrote out of a run for good: out of its log, and out of the tables exported beside it.

The rule, which the log keeps a record of and `agentnet verify` looks after: wherever such a text stood,
`MARK` stands now; answers that were chosen stay as they were, and so does everything else. The incident
``forgotten`` says whose texts they were, how many cells changed, and what the digest was before and is now.
What others made of a text in their own words is theirs, and stays; and so does what stood in the log before
somebody wrote it: a sentence of the prompts, a word that everybody uses.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from agentnet.errors import RunFolderError
from agentnet.events.checksums import check_unchanged, keep_hash, sealed_by
from agentnet.events.digest import digest
from agentnet.events.export import export_csv, write_parquet
from agentnet.events.opening import close_for_good, connect, locked, storage_error
from agentnet.events.read import LOG_NAME, Run

MARK: Final = "[forgotten]"
"""What stands where a text was taken out."""

FORGOTTEN: Final = "forgotten"
"""Kind of the incident."""

_COLUMNS: Final = {
    "prompts": ("messages",),
    "replies": ("text", "rationale"),
    "events": ("value", "context"),
    "exposures": ("context",),
    "messages": ("text",),
    "changes": ("detail",),
    "troubles": ("detail", "text"),
}
"""Where a text may be quoted."""

_SHORTEST_TOLD: Final = {"prompts": 4, "exposures": 4}
"""Characters of a text that is looked for in what others were told, by table."""
_SHORTEST_SAID: Final = 12
"""And in what they said: whoever answers "because" and withdraws does not take the word from everybody."""

_ASKED = """
SELECT e.realization, MIN(e.step), p.messages FROM events e JOIN prompts p USING (prompt)
GROUP BY e.realization, e.prompt
"""
_PROMPT = """
SELECT p.messages FROM events e JOIN prompts p USING (prompt) WHERE e.realization = ? AND e.kind = ?
AND e.step = ? AND e.agent = ? AND e.source = ? AND e.repeat = ?
"""
_SAID = """
SELECT e.realization, MIN(e.step), r.text FROM events e JOIN replies r USING (reply)
WHERE (e.realization, e.agent) NOT IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)
)
GROUP BY e.realization, e.reply
"""

Seat = tuple[int, int]
Key = tuple[int, str, int, int, int, int]
"""Realization, kind, step, agent, source, repeat."""


class Forgotten(NamedTuple):
    """What was taken out.

    Attributes:
        n_texts: Different texts.
        n_cells: Places where they stood, in the log.
        left_in: Files of the run folder that hold one of them still: reports, say, which can be made anew.
    """

    n_texts: int
    n_cells: int
    left_in: Sequence[Path]


def own_answers(run: Run, seats: Collection[Seat]) -> Iterator[tuple[Key, str, str | None, str]]:
    """List the answers of some agents: the draw, the reply, the declared answer as JSON, and the prompt."""
    query = (
        "SELECT e.realization, e.kind, e.step, e.agent, e.source, e.repeat, r.text, e.value, "
        "COALESCE(json_extract(p.messages, '$[#-1][1]'), '') "
        "FROM events e JOIN replies r USING (reply) LEFT JOIN prompts p USING (prompt) "
        "WHERE e.realization = ? AND e.agent = ?"
    )
    for seat in seats:
        for *key, text, value, prompt in run.rows(query, seat)[1]:
            yield tuple(key), text, value, prompt


def unended(run: Run, realizations: Collection[int]) -> list[int]:
    """List which of some realizations have not ended."""
    rows = run.rows("SELECT realization FROM realizations WHERE status = 'running' ORDER BY realization")[1]
    return [number for (number,) in rows if number in realizations]


def check_can_go_on(run: Run) -> None:
    """Make sure that a run can be gone on with: of a realization that has not ended nothing was forgotten.

    Raises:
        RunFolderError: Something was.
    """
    for detail in _forgettings(run):
        if open_ := unended(run, {realization for realization, _ in detail["agents"] if detail["n_texts"]}):
            raise RunFolderError(
                f"{run.folder} cannot be gone on with: texts of realization {open_[0]} were forgotten before "
                f"it ended, and whoever is asked next would be told {MARK} in their place. What there is can "
                "be reported and exported; to have the rest, play the experiment anew"
            )


def _forgettings(run: Run) -> list[dict[str, Any]]:
    """Read what the log notes of texts that were taken out."""
    rows = run.rows("SELECT detail FROM incidents WHERE kind = ? ORDER BY incident", (FORGOTTEN,))[1]
    return [json.loads(detail) for (detail,) in rows]


def strings_in(node: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """List the texts that stand in JSON, but for the names of fields."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, list | dict):
        for each in node.values() if isinstance(node, dict) else node:
            yield from strings_in(each)


def forget(folder: Path, texts: Mapping[Key, Collection[str]], seats: Collection[Seat]) -> Forgotten:
    """Take texts out of a run.

    Args:
        folder: The run folder.
        texts: Draw -> what in its answer is to be forgotten.
        seats: Whose answers they are: realization and agent.

    Raises:
        RunFolderError: The log is damaged, or another process is playing the run.
        StorageError: It cannot be written.
    """
    path = folder / LOG_NAME
    with locked(folder):
        check_unchanged(Run(folder))
        is_finished = Run(folder).meta["status"] == "finished"
        every = {text for of_one in texts.values() for text in of_one if text and text != MARK}
        with closing(connect(path)) as connection:
            try:
                theirs = _theirs(connection, texts, seats, every)
                n_cells = _rewrite(connection, texts, seats, every, theirs)
                # What was deleted lies about in free pages, and in the write-ahead log.
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                raise storage_error(path, error) from error
        run = Run(folder)
        if is_finished and close_for_good(path):
            keep_hash(path)
        for name, write in (("parquet", write_parquet), ("csv", export_csv)):
            if (folder / name).is_dir():
                write(run, folder / name)
    return Forgotten(len(every), n_cells, _still_in(folder, theirs))


def _rewrite(
    connection: sqlite3.Connection,
    texts: Mapping[Key, Collection[str]],
    seats: Collection[Seat],
    every: Collection[str],
    theirs: Collection[str],
) -> int:
    """Do it in one transaction, so that a kill leaves the log as it was or as it is to be."""
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("BEGIN IMMEDIATE")
    rows = connection.execute("SELECT key, value FROM meta WHERE key IN ('digest', 'checksums')").fetchall()
    seals = {key: json.loads(value) for key, value in rows}
    cells = _in_own_answers(connection, texts)
    for realization, agent in seats:
        of_it = {
            text for key, some in texts.items() if (key[0], key[3]) == (realization, agent) for text in some
        }
        for text in sorted(of_it - {MARK}):
            query = "UPDATE messages SET text = ? WHERE realization = ? AND author = ? AND text = ?"
            cells["messages"] += connection.execute(query, (MARK, realization, agent, text)).rowcount
    cells += _where_quoted(connection, theirs)
    facts = {"agents": sorted(seats), "n_texts": len(every), "cells": dict(cells)}
    _seal(connection, seals, facts)
    connection.execute("COMMIT")
    return cells.total()


def _in_own_answers(connection: sqlite3.Connection, texts: Mapping[Key, Collection[str]]) -> Counter[str]:
    """Replace the texts in the answers themselves; replies that others gave, too, stay theirs."""
    cells: Counter[str] = Counter()
    where = "WHERE realization = ? AND kind = ? AND step = ? AND agent = ? AND source = ? AND repeat = ?"
    (last,) = connection.execute("SELECT COALESCE(MAX(reply), 0) FROM replies").fetchone()
    for key, some in texts.items():
        query = f"SELECT value, reply FROM events {where}"  # noqa: S608 - our own
        for value, reply in connection.execute(query, key).fetchall():
            new_value, last = _marked(value, some), last + 1
            (text,) = connection.execute("SELECT text FROM replies WHERE reply = ?", (reply,)).fetchone()
            copy = (
                "INSERT INTO replies SELECT ?, ?, rationale, model, fingerprint FROM replies WHERE reply = ?"
            )
            connection.execute(copy, (last, _marked(text, some), reply))
            update = f"UPDATE events SET value = ?, reply = ? {where}"  # noqa: S608 - our own
            connection.execute(update, (new_value, last, *key))
            alone = (
                "DELETE FROM replies WHERE reply = ?1 AND NOT EXISTS (SELECT 1 FROM events WHERE reply = ?1)"
            )
            connection.execute(alone, (reply,))
            cells["events"] += new_value != value
            cells["replies"] += _marked(text, some) != text
        trouble = f"UPDATE troubles SET text = ? {where} AND text IS NOT NULL"  # noqa: S608 - our own
        cells["troubles"] += connection.execute(trouble, (MARK, *key)).rowcount
    return cells


def _marked(spelled: str | None, texts: Collection[str]) -> str | None:
    """Replace texts in an answer: the whole of it, or what stands in its JSON."""
    if spelled is None or spelled in texts:
        return None if spelled is None else MARK
    try:
        node = json.loads(spelled)
    except ValueError:
        return spelled
    marked = _replaced(node, texts)
    return spelled if marked == node else json.dumps(marked, ensure_ascii=False)


def _replaced(node: Any, texts: Collection[str]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(node, str):
        return MARK if node in texts else node
    if isinstance(node, list):
        return [_replaced(each, texts) for each in node]
    return {key: _replaced(each, texts) for key, each in node.items()} if isinstance(node, dict) else node


def _theirs(
    connection: sqlite3.Connection,
    texts: Mapping[Key, Collection[str]],
    seats: Collection[Seat],
    every: Collection[str],
) -> list[str]:
    """List the texts that were new when they were written: no news, nothing asked, no answer of others."""
    first: dict[tuple[int, str], int] = {}
    for (realization, _, step, *_), some in texts.items():
        for text in some:
            first[realization, text] = min(step, first.get((realization, text), step))
    before = [(-1, -1, text) for (text,) in connection.execute("SELECT text FROM news")]
    before += connection.execute(_ASKED).fetchall()
    before += connection.execute(_SAID, (json.dumps(sorted(seats)),)).fetchall()
    known = {
        text
        for text in every
        for realization, step, where in before
        if step < first.get((realization, text), 0 if realization < 0 else -1) and _is_in(text, where)
    }
    for key, some in texts.items():
        # Who repeats themselves may be reminded of it by the prompt.
        begun = [text for text in some if first[key[0], text] == key[2]]
        for (where,) in connection.execute(_PROMPT, key) if begun else ():
            known |= {text for text in begun if _is_in(text, where)}
    return [text for text in every if text not in known]


def _is_in(text: str, where: str) -> bool:
    return any(each in where for each in _spellings(text))


def _where_quoted(connection: sqlite3.Connection, texts: Iterable[str]) -> Counter[str]:
    """Replace texts wherever they are quoted: in prompts, in what others say, in what is passed on."""
    cells: Counter[str] = Counter()
    for table, columns in _COLUMNS.items():
        shortest = _SHORTEST_TOLD.get(table, _SHORTEST_SAID)
        quoted = sorted((text for text in texts if len(text) >= shortest), key=len, reverse=True)
        if not quoted:
            continue
        spellings = "|".join(re.escape(each) for text in quoted for each in _spellings(text))
        # In JSON a line feed is a letter n behind a stroke.
        pattern = re.compile(rf"(?:(?<!\w)|(?<=\\[nrt]))(?:{spellings})(?!\w)")
        connection.create_function("forgotten", 1, partial(pattern.sub, MARK), deterministic=True)
        for column in columns:
            update = (
                f"UPDATE {table} SET {column} = forgotten({column}) "  # noqa: S608 - our own names
                f"WHERE {column} IS NOT NULL AND forgotten({column}) <> {column}"
            )
            cells[table] += connection.execute(update).rowcount
    return +cells


def _spellings(text: str) -> list[str]:
    """List how a text is spelled in plain text, in JSON, and in JSON within JSON."""
    found = {text: None}
    for _ in range(2):
        for each in [*found]:
            found |= {json.dumps(each, ensure_ascii=is_ascii)[1:-1]: None for is_ascii in (False, True)}
    return sorted(found, key=len, reverse=True)


def _seal(connection: sqlite3.Connection, seals: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Note what was done, and seal the log again if it was."""
    end = seals.get("checksums", {}).get("end", {})
    detail = {**facts, "digest_before": seals.get("digest"), "digest": digest(connection) if end else None}
    row = (FORGOTTEN, json.dumps(detail), time.time())
    connection.execute("INSERT INTO incidents (kind, detail, at) VALUES (?, ?, ?)", row)
    if end:
        made = sealed_by(connection, {key: end[key] for key in end if key != "digest"})
        rows = [(key, json.dumps(value, ensure_ascii=False)) for key, value in made.items()]
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)


def _still_in(folder: Path, texts: Iterable[str]) -> list[Path]:
    """List the files of a run folder in which one of the texts can be read all the same."""
    wanted = [text.encode() for text in texts if len(text) >= _SHORTEST_SAID]
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path for path in files if any(text in path.read_bytes() for text in wanted)]


def look_at_forgotten(run: Run) -> str:
    """Say what was taken out of a log, and whether as much is marked in it; ``""`` where nothing was."""
    details = _forgettings(run)
    if not details:
        return ""
    recorded = max(sum(detail["cells"].values()) for detail in details)
    marked = sum(
        run.rows(f"SELECT COUNT(*) FROM {table} WHERE instr({column}, ?)", (MARK,))[1][0][0]  # noqa: S608
        for table, columns in _COLUMNS.items()
        for column in columns
    )
    n_texts = sum(detail["n_texts"] for detail in details)
    told = f"{n_texts} texts of {sum(len(detail['agents']) for detail in details)} agents were forgotten"
    if marked < recorded:
        return f"damaged: {told} in {recorded} places, and {marked} are marked: somebody put some back"
    before = details[0]["digest_before"]
    return f"ok: {told}" + (f"; the digest was {before} before" if before else ", before the run had ended")
