"""The live page: runs side by side, as far as their logs have come.

One task follows the logs, whoever watches, and sleeps while nobody does. What changed goes to every watcher
as server-sent events; the rest (decisions, networks) is asked for. Nothing here writes to a log.

Long, because what a page shows of a run and what it is asked for stand on the same few things.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from agentnet.errors import AgentnetError, InputError, UserError
from agentnet.events import LOG_NAME, Run, is_played
from agentnet.events.cells import blaming_cells
from agentnet.events.conditions import Condition
from agentnet.events.read import EmptyLog, shards_in
from agentnet.events.spent import SpentSoFar, spent_so_far
from agentnet.html import shown
from agentnet.view.decisions import ANSWERS, Wanted, read_in_full, read_page, read_rows
from agentnet.view.outlook import Guess, Outlook
from agentnet.view.scene import Ground, read_ground, read_moves
from agentnet.view.serving import LOOPBACK, Keys, Site, page
from agentnet.view.tail import Board, Key, Tail

if TYPE_CHECKING:
    from aiohttp import web

T = TypeVar("T")

Standing = Callable[[Run, int], str]
"""(run, missing answers) -> where a run stands, in words."""

Pricing = Callable[[Run, SpentSoFar, int], float | str]
"""(run, what it spent) -> US dollars, or why nobody knows."""

_LOOK_S: Final = 0.02
_REST: Final = 4.0
_AGAIN_S: Final = 1.0
_PING_S: Final = 5.0
_N_GROUNDS: Final = 8
_NO_NUMBER: Final = 1 << 63
_COLUMNS: Final = ("where", "who", "answer", "in words", "in full")
_STATIC: Final = (
    ("agentnet.report", "report.css"),
    ("agentnet.report", "network.js"),
    ("agentnet.view", "view.css"),
    ("agentnet.view", "view.js"),
)


class _Sent(NamedTuple):
    """What a watcher has got of a run: `Watched.parts` and `Watched.newest`."""

    parts: Mapping[str, str]
    newest: Mapping[tuple[int, Key], str]


@dataclass(slots=True)
class _Counts:
    """What is counted of a run, as `Outlook` reads it."""

    n_decisions: int = 0
    n_settled: int = 0
    n_calls: int = 0
    realizations: int = 0


@dataclass(slots=True)
class Watched:
    """One run on the page, with a log or with one log a shard.

    Attributes:
        folder: Its folder.
        standing: Says where a run stands.
        pricing: Says what it cost.
        guess: What the run is guessed to take, if whoever plays it told.
        parts: Name of what the page shows -> what, as JSON, as of the last look.
        newest: Which log and where in it -> a decision that came lately, as JSON; newest first.
    """

    folder: Path
    standing: Standing
    pricing: Pricing
    guess: Guess | None = None
    parts: dict[str, str] = field(default_factory=dict)
    newest: dict[tuple[int, Key], str] = field(default_factory=dict)
    _board: Board = field(default_factory=Board)
    _tails: list[Tail] = field(default_factory=list)
    _status: str = ""
    _cost: list[float | str] = field(default_factory=list)
    _is_played: bool = False
    _outlook: Outlook[_Counts] = field(default_factory=lambda: Outlook(_Counts(), 0))
    _grounds: dict[int, tuple[int, Ground]] = field(default_factory=dict)
    _looked_around_at: float = -math.inf
    _was_over: bool = False

    @property
    def is_behind(self) -> bool:
        """Whether there is more to be counted than the last look had time for."""
        return any(tail.n_uncounted for tail in self._tails)

    @property
    def title(self) -> str:
        """Name it for people."""
        return self.folder.resolve().name

    def logs(self) -> list[Run]:
        """List its logs, as of the last look."""
        return [tail.run for tail in self._tails]

    def look(self, *, is_last: bool = False) -> bool:
        """Read what is new, and say whether there was anything, or it was time to tell how fast it goes.

        Args:
            is_last: Whether nobody looks again, so that it is time in any case.

        Raises:
            RunFolderError: The log is gone or damaged.
        """
        now = time.monotonic()
        # Of shards one log is made yet.
        is_over = [(tail.run.folder, tail.status) for tail in self._tails] == [(self.folder, "finished")]
        is_due = now - self._looked_around_at >= _AGAIN_S and not (is_over and self._was_over)
        is_time = is_due or is_last
        if is_time:
            self._looked_around_at = now
            self._look_around()
        changed = [tail for tail in self._tails if tail.changed() or tail.n_uncounted or is_time]
        for tail in changed:
            tail.look()
        if self._board.rewound:
            self._begin([tail.run.folder for tail in self._tails])
            for tail in self._tails:
                tail.look()
        if changed:
            self._show(is_time=is_time)
        self._was_over = is_over and not self.is_behind
        return bool(changed)

    def _look_around(self) -> None:
        """Take up the shards that were begun, or the one log that was made of them."""
        whole = [self.folder] if (self.folder / LOG_NAME).is_file() else shards_in(self.folder)
        there = [tail.run.folder for tail in self._tails]
        if whole != there:
            self._begin(whole)

    def _begin(self, folders: list[Path]) -> None:
        self._board, self._tails = Board(), []
        self.newest = {}
        for folder in folders:
            # A log in which nothing stands yet is looked for again.
            with suppress(EmptyLog):
                self._tails.append(Tail(Run(folder), self._board, len(self._tails)))
        if self._tails:
            meta = self._tails[0].meta
            self._outlook = Outlook(
                _Counts(),
                meta["n_realizations"],
                meta.get("n_fixed"),
                share_calls=meta.get("settings", {}).get("sampler", {}).get("mode", "call") != "call",
            )

    def _show(self, *, is_time: bool) -> None:
        """Spell what the page shows."""
        if not self._tails:
            return
        board, meta = self._board, self._tails[0].meta
        counted = board.counted()
        if not self.is_behind:
            ended = sum(n for state, n in board.states.items() if state != "running")
            self._outlook.tally = _Counts(counted["n"], board.n_settled, counted["calls"], ended)
            self._outlook.guess = self.guess
            self._outlook.look()
        if is_time or not self._status:
            self._status = self._stands(counted["missing"])
            self._cost = [self._cost_of(tail) for tail in self._tails]
            self._is_played = any(is_played(tail.run.folder) for tail in self._tails)
        names = [each.name for each in Condition.all_of(meta)]
        found = {
            "progress": self._progress(meta, counted),
            "conditions": {"names": names, "counts": board.by_condition()},
            "curves": [
                {"name": name, "condition": condition, "means": curve.means()}
                for (name, condition), curve in sorted(board.curves.items(), key=_by_name)
            ],
            "incidents": [{"at": at, "kind": kind, "detail": detail} for at, kind, detail in board.incidents],
        }
        self.newest = self._newest()
        self.parts = {name: _spelled(value) for name, value in found.items()}

    def _stands(self, n_missing: int) -> str:
        words = [self.standing(tail.run, n_missing) for tail in self._tails]
        if len(words) == 1:
            return words[0]
        counts = {word: words.count(word) for word in dict.fromkeys(words)}
        return f"{self._tails[0].meta['shard'][1]} shards: " + ", ".join(
            f"{n} {w}" for w, n in counts.items()
        )

    def _cost_of(self, tail: Tail) -> float | str:
        if self.is_behind:
            return "unknown until all is counted"
        run = tail.run
        with tail.connection() as connection:
            spent = spent_so_far(connection, recorded=tail.recorded, is_played=is_played(run.folder))
        return self.pricing(run, spent, tail.n_without_tokens)

    def _progress(self, meta: Mapping[str, Any], counted: Mapping[str, int]) -> dict[str, Any]:
        board, outlook = self._board, self._outlook
        ended = sum(n for state, n in board.states.items() if state != "running")
        n_uncounted = sum(tail.n_uncounted for tail in self._tails)
        is_over = all(tail.status == "finished" for tail in self._tails)
        unknown = [each for each in self._cost if isinstance(each, str)]
        return {
            "run": self.title,
            "status": self._status,
            "is_over": is_over,
            "experiment": meta["experiment"]["class_name"],
            "model": meta["model_name"],
            "label": meta.get("label", ""),
            "began_at": meta["created_at"],
            "n_realizations": meta["n_realizations"],
            "ended": ended,
            "playing": board.states["running"],
            "uncounted": n_uncounted,
            "rate": outlook.rate(),
            "left_s": None if is_over else outlook.left_s(),
            "left_unknown": outlook.why_unknown() if self._is_played and not is_over else "",
            "dollars": unknown[0] if unknown else sum(self._cost),
            "troubles": dict(board.troubles.most_common()),
            **counted,
        }

    def _newest(self) -> dict[tuple[int, Key], str]:
        """Spell the decisions that came last; what was spelled before is not read again."""
        keys = [(came.log, came.key) for came in self._board.newest]
        # Watchers hold on to the last ones, so as to know what they were sent.
        found = dict(self.newest)
        for log, tail in enumerate(self._tails):
            new = [key for of, key in keys if of == log and (of, key) not in found]
            if not new:
                continue
            with tail.connection() as connection:
                for key, row in zip(new, read_rows(connection, new), strict=True):
                    found[log, key] = _spelled({**row, "log": log})
        return {key: found[key] for key in keys}

    def decisions(self, query: Mapping[str, str]) -> str:
        """Answer which decisions are looked for, from one place on."""
        wanted = Wanted.read(query)
        log, after = self._place(query["after"]) if query.get("after") else (0, None)
        found = read_page(self._run(log), wanted, after)
        for row in found["rows"]:
            row["log"] = log
        following = (log, found["after"]) if found["after"] else (log + 1, None)
        found["after"] = following if following[0] < len(self._tails) else None
        return _spelled(found)

    def decision(self, query: Mapping[str, str]) -> str:
        """Answer what stands in the log of one decision."""
        log, key = self._place(query.get("key", ""))
        if key is None:
            raise UserError("a decision has a key")
        return _spelled(read_in_full(self._run(log), key))

    def network(self, query: Mapping[str, str]) -> str:
        """Answer where the agents of a realization stand and what became of them, or the latter alone."""
        text = query.get("realization", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise UserError("realization is a number from 0 on")
        number = int(text)
        if number not in self._grounds:
            found = next(filter(None, map(partial(_ground, number=number), enumerate(self._tails))), None)
            if found is None:
                return "null"
            self._grounds = dict([*self._grounds.items(), (number, found)][-_N_GROUNDS:])
        log, ground = self._grounds[number]
        moves = read_moves(self._run(log), number, ground)
        return _spelled(moves if query.get("moves") else {**ground.for_page(), **moves})

    def _run(self, log: int) -> Run:
        if not 0 <= log < len(self._tails):
            raise UserError(f"the run has {len(self._tails)} logs")
        return self._tails[log].run

    @staticmethod
    def _place(text: str) -> tuple[int, Key | None]:
        """Read which log and where in it, as pages were given it."""
        try:
            log, key = json.loads(text)
            if key is None:
                return int(log), None
            realization, kind, *rest = key
            numbers = [int(each) for each in (realization, *rest)]
            if max(map(abs, numbers)) >= _NO_NUMBER:
                raise OverflowError("no number of a log is as large")
            realization, step, agent, source, repeat = numbers
            return int(log), (realization, str(kind), step, agent, source, repeat)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise UserError(f"{text[:60]!r} is no place in a log") from error


def _ground(numbered: tuple[int, Tail], number: int) -> tuple[int, Ground] | None:
    log, tail = numbered
    try:
        found = read_ground(tail.run, number)
    except InputError:
        # Of another shard.
        return None
    return None if found is None else (log, found)


def _by_name(curve: tuple[tuple[str, int | None], object]) -> tuple[str, int]:
    (name, condition), _ = curve
    return name, -1 if condition is None else condition


def _spelled(value: object) -> str:
    """Spell a value as JSON on one line; what cannot be seen in a text is spelled, too."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: object) -> object:
    match value:
        case str():
            return shown(value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value


class Watch:
    """Some runs, and those who watch them.

    Args:
        folders: The run folders.
        standing: Says where a run stands.
        pricing: Says what it cost.
        told: Told of what goes wrong, in words.
    """

    def __init__(
        self, folders: list[Path], standing: Standing, pricing: Pricing, told: Callable[[str], None]
    ) -> None:
        self.runs = [Watched(folder, standing, pricing) for folder in folders]
        self.keys: Keys[str] = Keys()
        self.token = self.keys.admit("who watches")
        self._told = told
        self._error, self._took_s = "", 0.0
        self._watchers: set[asyncio.Event] = set()
        self._awake = asyncio.Event()
        self._reading = ThreadPoolExecutor(1, "agentnet-view")
        self._asked = ThreadPoolExecutor(2, "agentnet-view-asked")

    @asynccontextmanager
    async def serving(self, *, host: str = LOOPBACK, port: int = 0) -> AsyncIterator[str]:
        """Serve the page while the body runs; gives its address.

        Raises:
            StorageError: It cannot listen there.
            RunFolderError: A log is gone or damaged.
        """
        await self._in(self._reading, self._look)
        self.site = Site(
            self.keys, _static(), told=lambda error: self._told(f"{type(error).__name__}: {error}")
        )
        async with self.site.serving(self.app(), host=host, port=port) as origin:
            following = asyncio.create_task(self._follow())
            try:
                yield f"{origin}/{self.token}/"
            finally:
                following.cancel()
                with suppress(AgentnetError):
                    # How it ended is the last that watchers see.
                    await self._in(self._reading, partial(self._look, is_last=True))
                self.site.stopping.set()
                self._wake_all()
                self._reading.shutdown(wait=False)
                self._asked.shutdown(wait=False, cancel_futures=True)

    def app(self) -> web.Application:
        """Make the application."""
        from aiohttp import web

        asked = {"decisions": Watched.decisions, "decision": Watched.decision, "network": Watched.network}
        return self.site.app(
            [
                web.get("/{token}/", self._page),
                web.get("/{token}/stream", self._stream),
                *(
                    web.get(f"/{{token}}/{{run}}/{name}", partial(self._answer, answer))
                    for name, answer in asked.items()
                ),
            ]
        )

    async def _page(self, _: web.Request) -> web.Response:
        return page("view.j2", runs=[run.title for run in self.runs], answers=ANSWERS, columns=_COLUMNS)

    async def _answer(
        self, answer: Callable[[Watched, Mapping[str, str]], str], request: web.Request
    ) -> web.Response:
        """Answer from a log, in a thread of its own."""
        from aiohttp import web

        number = request.match_info["run"]
        if number not in map(str, range(len(self.runs))):
            raise web.HTTPNotFound
        run = self.runs[int(number)]
        try:
            with blaming_cells(run.logs):
                text = await self._in(self._asked, partial(answer, run, request.query))
        except AgentnetError as error:
            return web.Response(status=400, text=shown(str(error)))
        return web.Response(text=text, content_type="application/json")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send what changes, until the watcher leaves or the server stops."""
        from aiohttp import web

        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        news, sent = asyncio.Event(), [_Sent({}, {}) for _ in self.runs]
        news.set()
        self._watchers.add(news)
        self._awake.set()
        try:
            while not self.site.stopping.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), _PING_S)
                news.clear()
                # Who left unseen is found by what is sent for nothing.
                await response.write(self._unsent(sent).encode() or b":\n\n")
        except ConnectionError:
            # The watcher left.
            pass
        finally:
            self._watchers.discard(news)
        return response

    def _unsent(self, sent: list[_Sent]) -> str:
        """Spell what a watcher has not got yet; who is slow gets the last state of it alone."""
        lines = []
        for number, run in enumerate(self.runs):
            (had, had_newest), sent[number] = sent[number], _Sent(run.parts, run.newest)
            parts, newest = sent[number]
            changed = {name: text for name, text in parts.items() if had.get(name) != text}
            if new := [text for key, text in newest.items() if key not in had_newest]:
                changed["newest"] = f"[{','.join(new)}]"
            lines += [
                f'data: {{"run":{number},"part":"{name}","is":{text}}}\n\n' for name, text in changed.items()
            ]
        return "".join(lines)

    async def _follow(self) -> None:
        """Look while somebody watches or not all is counted; rest the longer the longer it took."""
        while not self.site.stopping.is_set():
            if not self._watchers and not any(run.is_behind for run in self.runs):
                self._awake.clear()
                await self._awake.wait()
            try:
                is_news = await self._in(self._reading, self._look)
                if is_news:
                    self._wake_all()
            except AgentnetError as error:
                if str(error) != self._error:
                    self._error = str(error)
                    self._told(self._error)
                await asyncio.sleep(_AGAIN_S)
            await asyncio.sleep(max(_LOOK_S, _REST * self._took_s))

    def _look(self, *, is_last: bool = False) -> bool:
        begun = time.thread_time()
        looks = []
        for run in self.runs:
            with blaming_cells(run.logs):
                looks.append(run.look(is_last=is_last))
        # What waiting for the processor takes calls for no rest.
        self._took_s = time.thread_time() - begun
        return any(looks)

    def _wake_all(self) -> None:
        self._awake.set()
        for news in self._watchers:
            news.set()

    async def _in(self, threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, call)


def _static() -> dict[str, bytes]:
    return {name: files(room).joinpath(name).read_bytes() for room, name in _STATIC}
