"""The pages of a run, served while it is played, in the same process and the same event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agentnet.events import LOG_NAME, Run, close_for_good
from agentnet.files import storage_errors
from agentnet.people.forgetting import forget_seats
from agentnet.people.ledger import Ledger, write_privately
from agentnet.people.options import HumanOptions
from agentnet.people.pages import Pages, Who
from agentnet.people.room import SEATED, WITHDRAWN, Room, Seat
from agentnet.view.serving import Keys, Site

LINKS_NAME: Final = "people-links.txt"
_LOOKS_EVERY_S: Final = 1.0

_LOADS_FOR_S: Final = 1.0
"""How long pages stay once all were shown their end: a browser fetches style and script after the page."""


@asynccontextmanager
async def hosted(
    options: HumanOptions,
    folder: Path,
    say: Callable[[str], None],
    opened: Callable[[Mapping[str, str]], None] | None = None,
) -> AsyncIterator[Room]:
    """Serve the pages of a run's people; give the room once enough of them are in the lobby.

    After the run's end the texts of who withdrew are taken out of the log, and the pages stay for
    `HumanOptions.stays_s`, or until everybody there has seen how it ended.

    Args:
        options: What the experiment says of its people.
        folder: The run folder.
        say: Tells the experimenter a line.
        opened: Called with the addresses of all pages, by name, once they are served.

    Raises:
        StorageError: The port is taken, or the ledger cannot be written.
    """
    ledger = Ledger(folder)
    room = Room(options, ledger, say)
    outside = urlsplit(options.address).hostname
    site: Site[Who] = Site(
        Keys(),
        _static(),
        told=lambda error: say(f"a page of people failed: {error!r}"),
        hosts=[outside] if outside else (),
    )
    pages = Pages(room, site, folder.name)
    bases: list[str] = []
    app = site.app(pages.routes(lambda: bases[0]))
    try:
        # That of the last sitting, whose links people have.
        ports = [int(line["port"]) for line in ledger.lines if line["what"] == "served"]
        port = options.port or (ports[-1] if ports else 0)
        async with site.serving(app, host=options.host, port=port) as base:
            ledger.add("served", port=urlsplit(base).port)
            bases.append(options.address or base)
            links = pages.links(bases[0])
            _write_links(folder / LINKS_NAME, links)
            say(f"people: links are in {folder / LINKS_NAME}; who is there: {links['experimenter']}")
            if opened is not None:
                opened(links)
            async with _watching(room, folder):
                await room.ready()
                yield room
                room.finish()
            # Whoever read it at that very moment kept it from being closed for good.
            await asyncio.to_thread(close_for_good, folder / LOG_NAME)
            # At once: who ends the program while pages stay does not keep what was to be forgotten.
            done = await _forget_withdrawn(room, folder, say)
            with suppress(TimeoutError):
                async with asyncio.timeout(options.stays_s):
                    await room.all_know()
                    await asyncio.sleep(_LOADS_FOR_S)
        await _forget_withdrawn(room, folder, say, done)
    finally:
        ledger.close()


@asynccontextmanager
async def _watching(room: Room, folder: Path) -> AsyncIterator[None]:
    """Meanwhile, put on the disk what is noted, and let people go whose realization has ended."""
    watch = asyncio.create_task(_watch(room, folder), name="agentnet-people")
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def _watch(room: Room, folder: Path) -> None:
    while True:
        await asyncio.sleep(_LOOKS_EVERY_S)
        await asyncio.to_thread(room.ledger.sync)
        seated = {each.seat[0] for each in room.people.values() if each.seat and each.stage == SEATED}
        for realization in seated & await asyncio.to_thread(_ended, folder) if seated else ():
            room.end_realization(realization)


def _ended(folder: Path) -> set[int]:
    rows = Run(folder).rows("SELECT realization FROM realizations WHERE status <> 'running'")[1]
    return {number for (number,) in rows}


async def _forget_withdrawn(
    room: Room, folder: Path, say: Callable[[str], None], done: Collection[Seat] = ()
) -> set[Seat]:
    """Take out of the log what was written by who withdrew, but for the seats that are `done`."""
    seats = {each.seat for each in room.people.values() if each.end == WITHDRAWN and each.seat is not None}
    if left := seats.difference(done):
        found = await asyncio.to_thread(forget_seats, folder, left)
        say(f"{len(left)} people withdrew: {found.n_texts} texts of theirs were taken out of the log")
    return seats


def _static() -> dict[str, bytes]:
    folder = files("agentnet.people") / "static"
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def _write_links(path: Path, links: Mapping[str, str]) -> None:
    with storage_errors(path, "the links cannot be written", "free space"):
        write_privately(path, (f"{name}\t{link}\n" for name, link in links.items()))
