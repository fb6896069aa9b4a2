"""What prompts say beyond what they ask: words of a study in them, of other agents, of earlier questions.

Some prompts are looked at, not all: each figure says how many. Texts shorter than a few words are in any
prompt by chance, and are not looked for.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

_BETRAYING: Final = (
    *("simulation", "simulate", "experiment", "hypothesis", "participant", "researcher", "this study"),
    *("language model", "role-play", "roleplay", "agent-based", "as an ai"),
)
_LEAST_LETTERS: Final = 5
_LEAST_CHARACTERS: Final = 20
_MOST_PROMPTS: Final = 400
_MOST_QUESTIONS: Final = 60
_OTHER_SCRIPT: Final = re.compile(r"[^\W\d_\u0000-\u036f\u1e00-\u1eff]")
"""A letter that is not of the Latin script."""

_PROMPT = "SELECT messages FROM prompts WHERE prompt = ?"
_LAST_ASKED = """
SELECT e.realization, e.agent, e.step, h.message, p.messages
FROM (SELECT * FROM exposures
      WHERE realization = (SELECT realization FROM messages ORDER BY author < 0, realization LIMIT 1)
      ORDER BY step DESC, agent LIMIT ?) h
JOIN events e USING (realization, kind, step, agent, source, repeat) JOIN prompts p USING (prompt)
"""
_WRITTEN = "SELECT message, author, text FROM messages WHERE realization = ? AND author >= 0"
_SAID = """
SELECT text FROM events JOIN replies USING (reply)
WHERE realization = ? AND agent = ? AND step < ? AND LENGTH(text) >= ?
"""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was found in prompts.

    Attributes:
        n_prompts: Prompts that were looked at for words of a study.
        betraying: Word that speaks of a simulation or study -> prompts that hold it.
        named: The same of words of the experiment's name and file.
        n_questions: Of how many of the last questions of a realization the prompts were looked at for texts.
        n_with_others: Those that hold what another agent wrote.
        n_with_memory: Those that hold what the agent said, or was told of other messages, before.
        n_short: Messages of that realization that are too short to be looked for.
        n_other_script: Prompts, of those looked at for words of a study, with letters of another script than
            the Latin one: such words are looked for in English alone.
    """

    n_prompts: int = 0
    betraying: Mapping[str, int] | None = None
    named: Mapping[str, int] | None = None
    n_questions: int = 0
    n_with_others: int = 0
    n_with_memory: int = 0
    n_short: int = 0
    n_other_script: int = 0


def read_spoken(connection: sqlite3.Connection, meta: Mapping[str, Any]) -> Spoken:
    """Look through some prompts of a run."""
    every = connection.execute("SELECT prompt FROM prompts ORDER BY prompt").fetchall()
    chosen = every[:: -(-len(every) // _MOST_PROMPTS) or 1]
    texts = [_text(connection.execute(_PROMPT, number).fetchone()[0]) for number in chosen]
    recorded = meta["experiment"]
    names = f"{PurePath(str(recorded['path'])).stem} {recorded['class_name']}"
    asked = connection.execute(_LAST_ASKED, (_MOST_QUESTIONS,)).fetchall()
    found = [_texts_in(connection, row) for row in asked]
    return Spoken(
        len(texts),
        _held(_BETRAYING, texts),
        _held(_words(names), texts),
        len(asked),
        sum(others for others, _ in found),
        sum(memory for _, memory in found),
        sum(len(text) < _LEAST_CHARACTERS for *_, text in connection.execute(_WRITTEN, (asked[0][0],)))
        if asked
        else 0,
        sum(map(bool, map(_OTHER_SCRIPT.search, texts))),
    )


def _text(messages: str) -> str:
    return "\n".join(str(content) for _, content in json.loads(messages))


def _words(names: str) -> list[str]:
    """Split names into words: ``social_proof SocialProof`` is ``social`` and ``proof``."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", names)
    return list(dict.fromkeys(word.lower() for word in words if len(word) >= _LEAST_LETTERS))


def _held(words: Iterable[str], texts: Iterable[str]) -> dict[str, int]:
    lowered = [text.lower() for text in texts]
    counts = {
        # That a text holds the word at all is known a hundred times sooner than that a word begins with it.
        word: sum(word in text and bool(re.search(rf"\b{re.escape(word)}", text)) for text in lowered)
        for word in words
    }
    return {word: n for word, n in counts.items() if n}


def _texts_in(connection: sqlite3.Connection, row: tuple[Any, ...]) -> tuple[bool, bool]:
    """Say whether a prompt holds another agent's words, and what is of earlier questions."""
    realization, agent, step, message, messages = row
    prompt = _text(messages)
    written = connection.execute(_WRITTEN, (realization,))
    held = [
        (number, author)
        for number, author, text in written
        if len(text) >= _LEAST_CHARACTERS and text in prompt
    ]
    said = connection.execute(_SAID, (realization, agent, step, _LEAST_CHARACTERS))
    others = any(author != agent for _, author in held)
    earlier = any(number != message for number, _ in held)
    return others, earlier or any(text in prompt for (text,) in said)
