"""Take what people wrote out of a run: of one of them, who wants it, or of all, before others read it."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from agentnet.errors import RunFolderError, UserError
from agentnet.events import LOG_NAME, Run
from agentnet.events.cells import blaming_cells
from agentnet.events.forget import MARK, Forgotten, Key, Seat, forget, own_answers, strings_in, unended
from agentnet.people.ledger import LEDGER_NAME, Ledger
from agentnet.people.options import MODEL_NAME, HumanOptions
from agentnet.people.room import WITHDRAWN, Room, question_name


def forget_person(folder: Path, name: str, *, anyway: bool = False) -> Forgotten:
    """Take what one person wrote out of a run, and what a panel calls them.

    Args:
        folder: The run folder.
        name: Their number; what the panel calls them; or ``REALIZATION:AGENT``.
        anyway: As of `forget_seats`.

    Raises:
        UserError: There is no such person; or as `forget_seats`.
        RunFolderError: The log is damaged, or another process is playing the run.
    """
    realization, _, agent = name.partition(":")
    if realization.isdigit() and agent.isdigit():
        return forget_seats(folder, [(int(realization), int(agent))], anyway=anyway)
    if not (folder / LEDGER_NAME).is_file():
        raise UserError(f"{folder} keeps no {LEDGER_NAME}: name the person by REALIZATION:AGENT")
    with closing(Ledger(folder)) as ledger:
        room = Room(HumanOptions(), ledger, lambda _: None)
        number = int(name) if name.isdigit() and int(name) in room.people else room.named(name)
        if number is None:
            raise UserError(
                f"nobody in {folder} is {name!r}: give a person's number, what the panel calls them, or "
                "REALIZATION:AGENT"
            )
        seat = room.people[number].seat
        found = forget_seats(folder, [seat], anyway=anyway) if seat is not None else Forgotten(0, 0, ())
        ledger.add("ended", person=number, end=WITHDRAWN)
        room.forget(room.people[number])
    return found


def forget_seats(folder: Path, seats: Collection[Seat], *, anyway: bool = False) -> Forgotten:
    """Take out what was written by who sat in some seats.

    Args:
        folder: The run folder.
        seats: Realization and agent of each.
        anyway: Whether a run may be left that can never be gone on with.

    Raises:
        UserError: They wrote something in a realization that has not ended. Nothing was taken out.
        RunFolderError: The log is damaged, or another process is playing the run.
    """
    free, run = _free(folder), Run(folder)
    with blaming_cells(lambda: [run]):
        texts = {
            key: _written(key, text, value, prompt, free)
            for key, text, value, prompt in own_answers(run, seats)
        }
    open_ = unended(run, {key[0] for key, some in texts.items() if some})
    if open_ and not anyway:
        raise UserError(
            f"realization {open_[0]} of {folder} has not ended: whoever is asked next in it would be told "
            f"{MARK} in place of these texts, so that it could not be gone on with. Nothing was taken out. "
            f"Finish the run first (agentnet run --resume {shlex.quote(str(folder))}), or give up what is "
            "left of it: --anyway"
        )
    return forget(folder, texts, seats)


def _free(folder: Path) -> dict[str, Any]:
    """Read which parts of each answer were written, and not chosen."""
    path = folder / LEDGER_NAME
    # A line without an end was being written by somebody who was killed.
    whole = path.read_bytes().rpartition(b"\n")[0] if path.is_file() else b""
    try:
        lines = [dict(json.loads(line)) for line in whole.splitlines()]
        return {line["question"]: line["free"] for line in lines if "free" in line}
    except (ValueError, TypeError, KeyError) as error:
        raise RunFolderError(
            f"{path} is damaged ({error}), and what of the answers was chosen stands there; mend the line"
        ) from error


def _written(key: Key, text: str, value: str | None, prompt: str, free: dict[str, Any]) -> set[str]:
    """List what of an answer was written: where nobody knows, all texts in it that were not offered."""
    paths = free.get(question_name(*key))
    if paths is None:
        offered = prompt.rpartition("\n\n")[2]
        said = strings_in(json.loads(value)) if value is not None else [text]
        return {each for each in said if each not in offered}
    found: list[str] = []
    for path in paths:
        node: Any = json.loads(text) if path else text
        for name in path:
            node = node[name]
        found += strings_in(node)
    return set(found)


@contextmanager
def without_texts(folders: Sequence[Path], *, drop: bool = True) -> Iterator[list[Path]]:
    """Give copies of runs in which nothing stands that people wrote, for as long as the body runs.

    Args:
        folders: The run folders.
        drop: Whether it is wanted; if not, these are given themselves.
    """
    if not drop:
        yield [*folders]
        return
    with tempfile.TemporaryDirectory() as place:
        yield [
            _copied(folder, Path(place) / str(number) / folder.name) for number, folder in enumerate(folders)
        ]


def _copied(folder: Path, copy: Path) -> Path:
    copy.mkdir(parents=True)
    run = Run(folder)
    with run.connection() as connection:
        connection.execute("VACUUM INTO ?", (str(copy / LOG_NAME),))
    if (folder / LEDGER_NAME).is_file():
        shutil.copy(folder / LEDGER_NAME, copy)
    query = "SELECT DISTINCT realization, agent FROM events JOIN replies USING (reply) WHERE model = ?"
    forget_seats(copy, [(r, agent) for r, agent in run.rows(query, (MODEL_NAME,))[1]], anyway=True)
    return copy
