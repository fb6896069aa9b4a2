"""The pages: what each person sees at their link and may send from it, and what the experimenter sees."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from markupsafe import escape

from agentnet.backend import Messages
from agentnet.people.forms import Unusable, typed
from agentnet.people.options import HumanOptions
from agentnet.people.room import COMPREHENSION, ENDED, LOBBY, SEATED, Person, Question, Room
from agentnet.people.words import filled_in, words_of
from agentnet.report.html import Html, environment
from agentnet.view.serving import Site

if TYPE_CHECKING:
    from aiohttp import web

    Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]

Who = tuple[str, int]
"""Whose a key is: what it opens, and which person's page it is."""

PERSON, ENTRANCE, DESK = ("person", "join", "desk")
"""What a key opens: a person's page, the way in for whom a panel sends, the experimenter's page."""

NOT_RIGHT: Final = "not_right"
_PATIENCE_S: Final = 15.0

Fields = Mapping[str, Sequence[str]]


class Pages:
    """Shows the room, and takes what people send.

    Args:
        room: The room.
        site: Who is let in.
        run: Name of the run.
    """

    def __init__(self, room: Room, site: Site[Who], run: str) -> None:
        self._room, self._site, self._run = room, site, run
        self._options = room.options
        self._words = words_of(self._options.language, self._options.words)
        # A page a turn of the event loop: many who look at once must not keep deadlines waiting.
        self._turn = asyncio.Lock()
        self._tokens = {role: room.ledger.token(role) for role in (ENTRANCE, DESK)}
        for role, token in self._tokens.items():
            site.keys.admit((role, 0), token)
        for number in {*range(1, room.n_links + 1), *room.people}:
            self._admit(number)

    def _admit(self, number: int) -> str:
        return self._site.keys.admit((PERSON, number), self._room.token(number))

    def links(self, base: str) -> dict[str, str]:
        """Name the addresses of all pages: of the experimenter, of a panel, of each link."""
        people = {
            f"person {n}": self._path(PERSON, self._room.token(n)) for n in range(1, self._room.n_links + 1)
        }
        paths = {
            "experimenter": self._path(DESK, self._tokens[DESK]),
            "panel": self._path(ENTRANCE, self._tokens[ENTRANCE]),
        }
        return {name: base + path for name, path in (paths | people).items()}

    @staticmethod
    def _path(role: str, token: str) -> str:
        return f"/{role}/{token}"

    def routes(self, base: Callable[[], str]) -> list[web.RouteDef]:
        """List what is served; `base` tells what addresses begin with."""
        from aiohttp import web

        async def join(request: web.Request) -> web.StreamResponse:
            self._whose(request, ENTRANCE)
            person = self._room.come(request.query)
            return _look_at(self._path(PERSON, self._admit(person.number)))

        async def look(request: web.Request) -> web.StreamResponse:
            person = self._person(request)
            self._room.see(person)
            async with self._turn:
                return self._page(person, said=request.query.get("said", ""))

        async def desk(request: web.Request) -> web.StreamResponse:
            self._whose(request, DESK)
            return _html("desk.j2", self._overview(base()))

        return [
            # Who only looks whether a link works has not come.
            web.get(f"/{ENTRANCE}/{{token}}", join, allow_head=False),
            web.get(f"/{PERSON}/{{token}}", look, allow_head=False),
            web.post(f"/{PERSON}/{{token}}", self._take),
            web.get(f"/{PERSON}/{{token}}/news", self._tell_news),
            web.get(f"/{DESK}/{{token}}", desk),
        ]

    def _whose(self, request: web.Request, role: str) -> int:
        from aiohttp import web

        of, number = self._site.who(request)
        if of != role:
            raise web.HTTPForbidden
        return number

    def _person(self, request: web.Request) -> Person:
        self._whose(request, PERSON)
        person = self._room.person(request.match_info["token"])
        assert person is not None
        return person

    async def _tell_news(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        person, state = self._person(request), request.query.get("state", "")
        waits = asyncio.ensure_future(self._room.changed(person, state, _PATIENCE_S))
        stops = asyncio.ensure_future(self._site.stopping.wait())
        try:
            await asyncio.wait({waits, stops}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stops.cancel()
            waits.cancel()
        return web.json_response({"state": self._room.state(person), "left_s": self._left_s(person)})

    def _left_s(self, person: Person) -> float | None:
        question = self._room.put_to(person)
        if question is None or question.due is None:
            return None
        return round(max(question.due - asyncio.get_running_loop().time(), 0.0), 3)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        """Take what was sent; then the page is asked for anew, so that no reload sends it again."""
        from aiohttp import web

        person = self._person(request)
        self._room.see(person)
        fields = await _fields(request)
        do = next(iter(fields.get("do", ())), "")
        if do not in _DEEDS:
            raise web.HTTPBadRequest
        try:
            said = await _DEEDS[do](self._room, person, fields)
        except Unusable as error:
            return self._page(person, fault=error, filled=fields)
        return _look_at(f"{request.path}{f'?said={said}' if said else ''}")

    def _page(
        self, person: Person, *, said: str = "", fault: Unusable | None = None, filled: Fields | None = None
    ) -> web.Response:
        room, words = self._room, self._words
        question = room.put_to(person)
        stage = "end" if person.stage == ENDED else person.stage
        if stage == SEATED:
            stage = "question" if question else "wait"
        if stage == "end":
            room.saw_end(person)
        values: dict[str, Any] = {
            "language": self._options.language,
            "title": words["title"],
            "words": {**words, "lobby": filled_in(words["lobby"], people=self._options.people)},
            "options": self._options,
            "consent": _written(self._options.consent),
            "tries": person.tries,
            "here": self._path(PERSON, room.token(person.number)),
            "state": room.state(person),
            "stage": stage,
            "said": words.get(f"said_{said}", ""),
            "waits": stage in {LOBBY, "wait"},
            "may_leave": stage in {LOBBY, "wait", "question"},
            **_ending(person, self._options),
        }
        if question is not None:
            values |= self._asked(question, self._left_s(person) or 0.0, fault, filled or {})
        return _html("person.j2", values, status=200 if fault is None else 422)

    def _asked(
        self, question: Question, left_s: float, fault: Unusable | None, filled: Fields
    ) -> dict[str, Any]:
        words = {**self._words, "time": filled_in(self._words["time"], seconds=round(left_s))}
        return {
            "words": words,
            "question": question.name,
            "told": [
                (heading, _written(text)) for heading, text in _told(question.messages, self._options, words)
            ],
            "controls": question.form.controls,
            "left_s": left_s,
            "faults": {fault.control: fault.fault} if fault else {},
            "filled": {name: [*map(_written, each)] for name, each in filled.items()},
        }

    def _overview(self, base: str) -> dict[str, Any]:
        room, now = self._room, asyncio.get_running_loop().time()
        asked = {each.seat: each for each in room.open_questions()}
        links = self.links(base)
        rows: list[tuple[object, ...]] = []
        for number in sorted({*range(1, room.n_links + 1), *room.people}):
            link = base + self._path(PERSON, room.token(number))
            person = room.people.get(number)
            if person is None:
                rows.append((number, "has not come", "", "", "", "", "", link))
                continue
            open_ = asked.get(person.seat) if person.seat else None
            left = f"{open_.due - now:.0f} s left" if open_ and open_.due else ""
            seen = "here" if room.is_here(person) else "away"
            seat = "" if person.seat is None else f"{person.seat[1]} of realization {person.seat[0]}"
            stage = f"{person.stage}: {person.end}" if person.end else person.stage
            rows.append((number, stage, seat, person.n_answered, person.n_missed, left, seen, link))
        facts = (
            f"{len(room.in_lobby())} of {self._options.people} in the lobby"
            if not room.has_begun
            else "begun",
            f"{len(asked)} asked now",
            f"{len(asked.keys() - {each.seat for each in room.people.values()})} of them of empty seats",
        )
        return {
            "language": "en",
            "title": f"People of {self._run}",
            "run": self._run,
            "facts": facts,
            "entrance": links["panel"],
            "rows": rows,
        }


async def _fields(request: web.Request) -> Fields:
    """Read a form that was sent; files are none of it."""
    from aiohttp import web
    from aiohttp.http import HttpProcessingError

    try:
        posted = await request.post()
    except (ValueError, LookupError, HttpProcessingError) as error:
        raise web.HTTPBadRequest from error
    return {name: [each for each in posted.getall(name) if isinstance(each, str)] for name in posted}


def _written(text: str) -> Html:
    """Escape a text that people are to read or to go on with: what turns its direction is left in it."""
    return Html(escape(typed(text)))


def _told(messages: Messages, options: HumanOptions, words: Mapping[str, str]) -> list[tuple[str, str]]:
    """Give what a person is told: heading and text of each part, without what tells models the form."""
    headings = {"system": words["role"], "assistant": words["you_answered"]}
    parts = [(headings.get(role, ""), text) for role, text in messages if role != "system" or options.role]
    heading, last = parts[-1]
    before, _, end = last.rpartition("\n\n")
    if before and options.instruction and end.startswith(options.instruction):
        parts[-1] = heading, before
    return parts


def _ending(person: Person, options: HumanOptions) -> dict[str, str]:
    code = options.codes.get(person.end, "")
    return {
        "end": person.end,
        "code": code,
        "return_to": options.return_to.replace("{code}", quote(code, safe="")) if code else "",
    }


async def _consent(room: Room, person: Person, _: Fields) -> str:
    room.consent(person, agrees=True)
    return ""


async def _decline(room: Room, person: Person, _: Fields) -> str:
    room.consent(person, agrees=False)
    return ""


async def _comprehend(room: Room, person: Person, fields: Fields) -> str:
    # What is sent twice by a double click, or from an older tab, is no other try.
    if fields.get("tries", ["0"])[:1] != [str(person.tries)]:
        return NOT_RIGHT if person.stage == COMPREHENSION else ""
    chosen = []
    for number, each in enumerate(room.options.comprehension):
        given = next(iter(fields.get(f"choice{number}", ())), "")
        chosen.append(each.choices[int(given)] if given in map(str, range(len(each.choices))) else "")
    return "" if room.comprehend(person, chosen) else NOT_RIGHT


async def _answer(room: Room, person: Person, fields: Fields) -> str:
    return await room.take(person, next(iter(fields.get("question", ())), ""), fields)


async def _withdraw(room: Room, person: Person, _: Fields) -> str:
    room.withdraw(person)
    return ""


_DEEDS: Final[Mapping[str, Callable[[Room, Person, Fields], Awaitable[str]]]] = {
    "consent": _consent,
    "decline": _decline,
    "comprehend": _comprehend,
    "answer": _answer,
    "withdraw": _withdraw,
}
"""What people may do -> how it is done, and what is said of it."""


def _look_at(path: str) -> web.Response:
    """Send a browser to a page."""
    from aiohttp import web

    return web.Response(status=303, headers={"Location": path})


def _html(template: str, values: Mapping[str, Any], *, status: int = 200) -> web.Response:
    from aiohttp import web

    text = environment("agentnet.people").get_template(template).render(values)
    return web.Response(text=text, content_type="text/html", status=status)
