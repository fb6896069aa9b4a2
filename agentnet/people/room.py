"""The room that holds people for a run: who came, who sits where, what is put to whom and until when.

A seat is one agent of one realization. It is dealt by lot, when the agent is first asked, to somebody who
waits in the lobby, and to nobody else after that. Every change is a line of the ledger before anybody is
told; a room that is made of a ledger is as the last one was, but for questions that were open: they are asked
for anew, of the same person, with the whole time.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from agentnet.backend import Messages, Request
from agentnet.errors import RequestRejected, RunStopped, StorageError
from agentnet.people.forms import Form, form_of
from agentnet.people.ledger import Ledger, Line
from agentnet.people.options import COMPLETED, SCREENED_OUT, TIMED_OUT, HumanOptions

DROPPED: Final = "dropped"
"""Why an answer of a person's is missing: the deadline passed, or they had left. Never a no."""

CONSENT, COMPREHENSION, LOBBY, SEATED, ENDED = ("consent", "comprehension", "lobby", "seated", "ended")
"""How far people are."""

DECLINED, WITHDRAWN, OVER = ("declined", "withdrawn", "over")
"""How people may end beside `agentnet.people.options.CODES` and `DROPPED`; over: came when all had ended."""

THANKS, ALREADY, LATE, UNKNOWN = ("thanks", "already", "late", "unknown")
"""What becomes of an answer that is sent; the words of a page say it."""

AWAY_AFTER_S: Final = 20.0
"""Who was not seen for so long is not there: pages ask for news more often."""

_PUT_AGAIN_WITHIN_S: Final = 10.0
_LOOKS: Final = 5

Seat = tuple[int, int]


@dataclass(slots=True, eq=False)
class Person:
    """One person.

    Attributes:
        number: From 1; what the experimenter calls them.
        stage: How far they are.
        end: How they ended; ``""`` before.
        seat: Realization and agent; None as long as nothing was asked.
        tries: How often they answered the questions on what the study is.
        n_answered: Their answers.
        n_missed: Questions without an answer of theirs, those since they left included.
        n_missed_in_row: Those since their last answer.
        entered_at: When they came to the lobby, by the event loop's clock.
        seen_at: When their page last asked, likewise.
        knows_end: Whether their page has shown them how they ended.
    """

    number: int
    stage: str
    end: str = ""
    seat: Seat | None = None
    tries: int = 0
    n_answered: int = 0
    n_missed: int = 0
    n_missed_in_row: int = 0
    entered_at: float = 0.0
    seen_at: float = float("-inf")
    knows_end: bool = False
    waiting: set[asyncio.Future[None]] = field(default_factory=set)

    def touch(self) -> None:
        """Have their page look whether it shows what it should."""
        for each in self.waiting:
            if not each.done():
                each.set_result(None)


@dataclass(slots=True, eq=False)
class Question:
    """A question that waits for an answer.

    Attributes:
        name: Names the draw in the ledger and on the page.
        seat: Who is asked.
        messages: What is asked, as a model would be.
        form: What may be answered.
        answered: The reply; ends by `RequestRejected` where there is none.
        due: Until when, by the event loop's clock; None as long as others of the seat come first.
        put_at: Since when.
    """

    name: str
    seat: Seat
    messages: Messages
    form: Form
    answered: asyncio.Future[Given]
    due: float | None = None
    put_at: float = 0.0
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class _Place:
    """A seat: who sits there, and what they are to be asked, in order."""

    person: Person | None = None
    is_closed: bool = False
    line: deque[Question] = field(default_factory=deque)


class Given(NamedTuple):
    """What became of a question.

    Attributes:
        text: The reply; None where nothing came in time, or it was forgotten.
        person: Whose question it was; None where nobody sat there.
        took_s: How long they took from when it was first put to them; None where they gave none.
    """

    text: str | None
    person: int | None
    took_s: float | None = None


class Room:
    """People and their questions.

    Args:
        options: What the experiment says of its people.
        ledger: Where everything is noted; what stands there has happened.
        say: Tells the experimenter a line.

    Attributes:
        people: Everybody who came, by number.
        has_begun: Whether the lobby was left.
    """

    def __init__(self, options: HumanOptions, ledger: Ledger, say: Callable[[str], None]) -> None:
        self.options = options
        self.ledger = ledger
        self.people: dict[int, Person] = {}
        self.has_begun = False
        self.n_links = options.people if options.links is None else options.links
        self._say = say
        self._by_token = {self.token(number): number for number in range(1, self.n_links + 1)}
        self._by_panel: dict[str, int] = {}
        self._places: dict[Seat, _Place] = {}
        self._outcomes: dict[str, Given] = {}
        self._asked: dict[str, int] = {}
        self._first_asked_at: dict[str, float] = {}
        self._news = asyncio.Event()
        self._left: Exception | None = None
        self._is_over = False
        for line in ledger.lines:
            self._apply(line)

    # Who is who.

    def token(self, number: int) -> str:
        """Give the key to a person's page."""
        return self.ledger.token(f"person {number}")

    def person(self, token: str) -> Person | None:
        """Find whose key it is; who uses a link for the first time has come."""
        number = self._by_token.get(token)
        if number is None:
            return None
        return self.people[number] if number in self.people else self._new(number, {})

    def come(self, panel: Mapping[str, str]) -> Person:
        """Take in somebody who has no link of their own, or find them again by what a panel calls them.

        Args:
            panel: What the panel's address says; hashes of it are noted.
        """
        hashed = {name: self.hashed(panel[name]) for name in self.options.panel if panel.get(name)}
        name = next(iter(hashed.values()), "")
        number = self._by_panel.get(name)
        if number is not None:
            return self.people[number]
        return self._new(max(self.n_links, *self.people, 0) + 1, hashed)

    def _new(self, number: int, panel: Mapping[str, str]) -> Person:
        self._note("came", person=number, **({"panel": panel} if panel else {}))
        if self._is_over:
            self._note("ended", person=number, end=OVER)
        return self.people[number]

    def named(self, name: str) -> int | None:
        """Find the number of somebody by what a panel calls them; None where nobody is called so."""
        return self._by_panel.get(self.hashed(name))

    def hashed(self, name: str) -> str:
        """Hash what a panel calls somebody, so that nobody can look it up who has not this run's secret."""
        key = self.ledger.token("panel").encode()
        return hmac.digest(key, name.encode("utf-8", "replace"), hashlib.sha256).hex()[:32]

    # The way to a seat.

    def consent(self, person: Person, *, agrees: bool) -> None:
        """Let somebody agree to take part, or decline."""
        if person.stage == CONSENT and agrees:
            self._note("consented", person=person.number)
        elif person.stage == CONSENT:
            self._note("ended", person=person.number, end=DECLINED)

    def comprehend(self, person: Person, chosen: Sequence[str]) -> bool:
        """Take the answers to the questions on what the study is.

        Returns:
            Whether all are right; who has no try left is not let in.
        """
        if person.stage != COMPREHENSION:
            return True
        is_right = list(chosen) == [each.right for each in self.options.comprehension]
        self._note("tried", person=person.number, right=is_right)
        if not is_right and person.tries >= self.options.tries:
            self._note("ended", person=person.number, end=SCREENED_OUT)
        return is_right

    async def ready(self) -> None:
        """Return once enough people are in the lobby; those who waited in vain are sent away with a code."""
        loop = asyncio.get_running_loop()
        n_told = -1
        while not self.has_begun:
            here, wait_s = self.in_lobby(), None
            if len(here) != n_told:
                n_told = len(here)
                self._say(f"lobby: {n_told} of {self.options.people} people are here")
            if here:
                wait_s = min(each.entered_at for each in here) + self.options.lobby_s - loop.time()
            is_late = wait_s is not None and wait_s <= 0
            if n_told >= (self._least if is_late else self.options.people):
                self._note("begun")
                return
            if is_late:
                self._say(f"lobby: {n_told} of {self.options.people} came in time; they are sent away")
                for each in here:
                    self._note("ended", person=each.number, end=TIMED_OUT)
                continue
            self._news.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    @property
    def _least(self) -> int:
        return self.options.people if self.options.least is None else self.options.least

    def in_lobby(self) -> list[Person]:
        """List who waits in the lobby, and is there."""
        return [each for each in self._of_lobby() if self.is_here(each)]

    def _of_lobby(self) -> list[Person]:
        return [each for each in self.people.values() if each.stage == LOBBY]

    def is_here(self, person: Person) -> bool:
        """Say whether somebody's page was seen lately."""
        return bool(person.waiting) or asyncio.get_running_loop().time() - person.seen_at < AWAY_AFTER_S

    def see(self, person: Person) -> None:
        """Take note that somebody's page is there."""
        person.seen_at = asyncio.get_running_loop().time()
        if person.stage == LOBBY:
            self._news.set()

    def state(self, person: Person) -> str:
        """Name what somebody's page is to show now: the same name for the same, also after a crash."""
        question = self.put_to(person)
        return " ".join(filter(None, (person.stage, person.end, question.name if question else "")))

    async def changed(self, person: Person, state: str, patience_s: float) -> str:
        """Wait until a page that shows `state` is out of date, or for as long as `patience_s`."""
        wait: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        person.waiting.add(wait)
        self.see(person)
        try:
            async with asyncio.timeout(patience_s):
                while self.state(person) == state:
                    await wait
                    person.waiting.discard(wait)
                    wait = asyncio.get_running_loop().create_future()
                    person.waiting.add(wait)
        except TimeoutError:
            pass
        finally:
            person.waiting.discard(wait)
            self.see(person)
        return self.state(person)

    # Questions.

    async def ask(self, request: Request) -> Given:
        """Put a question to whoever sits in its agent's seat, and wait for the answer.

        One that was answered at an earlier sitting is answered by what was said then.

        Raises:
            RequestRejected: There is none, by `DROPPED`.
            BackendUnusable: What is declared cannot be shown.
            RunStopped: The run was interrupted.
        """
        if self._left is not None:
            raise self._left
        prefix, agent, source, repeat, _ = request.draw
        (_, realization, kind, step) = prefix
        name = question_name(int(realization), str(kind), int(step), agent, source, repeat)
        question = Question(
            name,
            (int(realization), agent),
            request.messages,
            form_of(request),
            asyncio.get_running_loop().create_future(),
        )
        if name in self._outcomes:
            return self._told(question)
        place = self._places.setdefault(question.seat, _Place())
        place.line.append(question)
        try:
            self._go_on(question.seat)
            return await question.answered
        finally:
            # Also where whoever asks is cancelled.
            if question in place.line:
                self._take_out(question)
                self._go_on(question.seat)

    def put_to(self, person: Person) -> Question | None:
        """Give the question that a person is to answer now."""
        place = self._places.get(person.seat) if person.seat and person.stage == SEATED else None
        return place.line[0] if place and place.line and place.line[0].due is not None else None

    def answer(self, person: Person, name: str, fields: Mapping[str, Sequence[str]]) -> str:
        """Take what a person sends as the answer to the question of that name.

        Returns:
            `THANKS`, or why it does not count.

        Raises:
            Unusable: It is no answer to it; they may try again.
        """
        question = self.put_to(person)
        if question is None or question.name != name:
            given = self._outcomes.get(name, Given(None, None))
            return UNKNOWN if given.person != person.number else LATE if given.text is None else ALREADY
        now = asyncio.get_running_loop().time()
        if question.due is not None and now >= question.due:
            return LATE
        text = question.form.read(fields)
        try:
            self._note(
                "answered",
                question=name,
                seat=question.seat,
                person=person.number,
                text=text,
                free=question.form.free,
                took_s=round(self._took_s(question), 3),
            )
        except StorageError as error:
            # Their time would run out, and they would have given no answer.
            self._fail(question, error)
            raise
        self._close(question)
        self._go_on(question.seat)
        return THANKS

    def _took_s(self, question: Question) -> float:
        """Tell since when somebody has had a question: also where the program was killed meanwhile."""
        since_put_s = asyncio.get_running_loop().time() - question.put_at
        now = time.time()
        return max(since_put_s, now - self._first_asked_at.get(question.name, now))

    async def take(self, person: Person, name: str, fields: Mapping[str, Sequence[str]]) -> str:
        """Take an answer as `answer` does; one that a server started again has not asked for yet is kept.

        Raises:
            Unusable: It is no answer to the question.
        """
        said = self.answer(person, name, fields)
        for _ in range(_LOOKS if self._asked.get(name) == person.number else 0):
            if said != UNKNOWN:
                break
            await self.changed(person, self.state(person), _PUT_AGAIN_WITHIN_S / _LOOKS)
            said = self.answer(person, name, fields)
        return said

    def withdraw(self, person: Person) -> None:
        """Let somebody leave for good; nothing that they said stays in the ledger."""
        if person.end == WITHDRAWN:
            return
        self._note("ended", person=person.number, end=WITHDRAWN)
        self.forget(person)
        if person.seat is not None:
            self._shut(person.seat)

    def forget(self, person: Person) -> None:
        """Take out of the ledger what a person said, and what a panel called them."""
        self.ledger.rewrite(partial(forgotten, number=person.number))
        gone = [name for name, given in self._outcomes.items() if given.person == person.number]
        self._outcomes |= dict.fromkeys(gone, Given(None, person.number))

    def end_realization(self, realization: int) -> None:
        """Let those go who sat in a realization that has ended."""
        for each in self.people.values():
            if each.seat is not None and each.seat[0] == realization and each.stage == SEATED:
                self._note("ended", person=each.number, end=COMPLETED)

    def finish(self) -> None:
        """Let everybody go: the run has ended. What they said stands in its log, and here no more."""
        self._is_over = True
        for each in self.people.values():
            if each.stage != ENDED:
                is_in = each.stage in {LOBBY, SEATED}
                self._note("ended", person=each.number, end=COMPLETED if is_in else OVER)
        self.ledger.rewrite(lambda line: {key: value for key, value in line.items() if key != "text"})

    def leave(self, reason: RunStopped) -> None:
        """Wait for nobody any more: what is open is asked again when the run is resumed."""
        self._left = reason
        for place in self._places.values():
            for question in [*place.line]:
                self._take_out(question)
                self._fail(question, reason)

    def saw_end(self, person: Person) -> None:
        """Take note that somebody's page has shown them how they ended."""
        person.knows_end = True
        self._news.set()

    async def all_know(self) -> None:
        """Return once everybody who is there has seen how they ended."""
        while not all(each.knows_end for each in self.people.values() if self.is_here(each)):
            self._news.clear()
            await self._news.wait()

    def open_questions(self) -> Iterator[Question]:
        """List the questions that are put to somebody now."""
        for place in self._places.values():
            yield from (each for each in place.line if each.due is not None)

    # How it is done.

    def _note(self, what: str, **facts: object) -> None:
        self.ledger.add(what, **facts)
        self._apply({"what": what, **facts})

    def _apply(self, line: Line) -> None:
        """Let happen what a line of the ledger says."""
        match line:
            case {"what": "came", "person": number}:
                stage = CONSENT if self.options.consent else self._next(CONSENT)
                self.people[number] = Person(number, stage)
                self._by_token[self.token(number)] = number
                self._by_panel |= dict.fromkeys([*line.get("panel", {}).values()][:1], number)
                self._enter(self.people[number])
            case {"what": "consented" | "tried" as what, "person": number}:
                self._advance(self.people[number], is_passed=line.get("right", True), tries=what == "tried")
            case {"what": "ended", "person": number, "end": end}:
                self.people[number].stage, self.people[number].end = ENDED, end
                self.people[number].touch()
            case {"what": "seated", "person": number, "seat": [realization, agent]}:
                person, seat = self.people[number], (realization, agent)
                person.stage, person.seat = SEATED, seat
                self._places.setdefault(seat, _Place()).person = person
            case {"what": "closed", "seat": [realization, agent]}:
                self._places.setdefault((realization, agent), _Place()).is_closed = True
            case {"what": "asked", "question": name, "person": number}:
                self._asked[name] = number
                if "at" in line:
                    self._first_asked_at.setdefault(name, line["at"])
            case {"what": "answered" | "dropped", "question": name, "person": number}:
                self._outcomes[name] = Given(line.get("text"), number, line.get("took_s"))
                self._count(number, is_answer=line["what"] == "answered")
            case {"what": "begun"}:
                self.has_begun = True
            case _:
                pass

    def _next(self, stage: str) -> str:
        return COMPREHENSION if stage == CONSENT and self.options.comprehension else LOBBY

    def _advance(self, person: Person, *, is_passed: bool, tries: bool) -> None:
        person.tries += tries
        if is_passed:
            person.stage = self._next(person.stage)
            self._enter(person)
        person.touch()

    def _enter(self, person: Person) -> None:
        """Let somebody into the lobby, and to a seat that waits for somebody."""
        if person.stage != LOBBY:
            return
        try:
            person.entered_at = asyncio.get_running_loop().time()
        except RuntimeError:
            return
        self._news.set()
        for seat in [seat for seat, place in self._places.items() if place.line and place.person is None]:
            self._go_on(seat)

    def _count(self, number: int | None, *, is_answer: bool) -> None:
        person = None if number is None else self.people[number]
        if person is not None:
            person.n_answered += is_answer
            person.n_missed += not is_answer
            person.n_missed_in_row = 0 if is_answer else person.n_missed_in_row + 1

    def _go_on(self, seat: Seat) -> None:
        """Put the next question of a seat, if it is time."""
        place = self._places[seat]
        if place.is_closed:
            while place.line:
                self._drop(place.line[0])
            return
        if place.person is None and place.line:
            self._deal(seat, place)
        if place.line and place.line[0].due is None:
            question, loop = place.line[0], asyncio.get_running_loop()
            question.put_at = loop.time()
            question.due = question.put_at + self.options.deadline_s
            question.timer = loop.call_at(question.due, self._miss, question)
            if place.person is not None:
                self._note("asked", question=question.name, seat=seat, person=place.person.number)
        if place.person is not None:
            place.person.touch()

    def _deal(self, seat: Seat, place: _Place) -> None:
        """Deal a seat by lot; one for which nobody can come any more is closed."""
        some = self.in_lobby() or self._of_lobby()
        if some:
            self._note("seated", person=secrets.choice(some).number, seat=seat)
            question = place.line[0]
            if question.timer is not None:
                # Nobody was there to answer so far: whoever comes has the whole time.
                question.timer.cancel()
                question.due = None
        elif self.has_begun and not any(self.is_here(each) for each in self._on_their_way()):
            realization, agent = seat
            self._say(f"nobody is left to answer for agent {agent} of realization {realization}")
            self._shut(seat)

    def _on_their_way(self) -> list[Person]:
        return [each for each in self.people.values() if each.stage in {CONSENT, COMPREHENSION}]

    def _miss(self, question: Question) -> None:
        """Record that a deadline has passed; whoever misses several in a row is not waited for again."""
        place = self._places[question.seat]
        person = place.person
        try:
            self._drop(question)
            if person is None or person.n_missed_in_row >= self.options.idle_after:
                if person is not None and person.stage == SEATED:
                    self._note("ended", person=person.number, end=DROPPED)
                self._shut(question.seat)
            self._go_on(question.seat)
        except StorageError as error:
            self._fail(question, error)

    @staticmethod
    def _fail(question: Question, error: Exception) -> None:
        if not question.answered.done():
            question.answered.set_exception(error)

    def _shut(self, seat: Seat) -> None:
        self._note("closed", seat=seat)
        if seat in self._places:
            self._go_on(seat)

    def _drop(self, question: Question) -> None:
        person = self._places[question.seat].person
        over_s = 0.0 if question.due is None else max(asyncio.get_running_loop().time() - question.due, 0.0)
        number = None if person is None else person.number
        self._note(
            "dropped", question=question.name, seat=question.seat, person=number, over_s=round(over_s, 4)
        )
        self._close(question)

    def _close(self, question: Question) -> None:
        """Hand the outcome of a question over to whoever asked."""
        self._take_out(question)
        if not question.answered.done():
            try:
                question.answered.set_result(self._told(question))
            except RequestRejected as error:
                question.answered.set_exception(error)

    def _take_out(self, question: Question) -> None:
        if question.timer is not None:
            question.timer.cancel()
        self._places[question.seat].line.remove(question)

    def _told(self, question: Question) -> Given:
        given = self._outcomes[question.name]
        if given.text is None:
            realization, agent = question.seat
            raise RequestRejected(
                f"the person who answers for agent {agent} of realization {realization} gave no answer "
                f"within {self.options.deadline_s:g} s, or had left",
                kind=DROPPED,
            )
        return given


def question_name(realization: int, kind: str, step: int, agent: int, source: int, repeat: int) -> str:
    """Name the question of a draw, as ledger and pages do: the same at every sitting."""
    key = json.dumps([realization, kind, step, agent, source, repeat])
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def forgotten(line: Line, *, number: int) -> Line:
    """Give a line of the ledger without what person `number` said, and without what a panel called them."""
    if line.get("person") != number:
        return line
    return {key: value for key, value in line.items() if key not in {"text", "panel"}}
