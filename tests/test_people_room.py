"""People in a room: an answer counts once, none comes too late, and a room made anew goes on as the last."""

import asyncio
import json
import os
import random
import resource
import stat
from collections import Counter

import pytest

from agentnet.backend import Request
from agentnet.errors import BackendUnusable, ConfigurationError, RequestRejected, RunStopped, StorageError
from agentnet.people import HumanBackend, HumanOptions
from agentnet.people.forms import Unusable, form_of
from agentnet.people.ledger import LEDGER_NAME, Ledger
from agentnet.people.room import ALREADY, AWAY_AFTER_S, DROPPED, LATE, THANKS, UNKNOWN, Room
from agentnet.prompts.declared import declared
from agentnet.prompts.reply import Verdict
from agentnet.sampler.call import usable
from agentnet.testing import run_in_virtual_time


def about(
    agent: int, step: int = 1, *, realization: int = 0, answers: tuple[str, ...] = ("yes", "no"), ask: int = 0
) -> Request:
    """Make the request that asks an agent."""
    draw = ((7, realization, "exposure", step), agent, 0, 0, ask)
    return Request((("system", "You are calm."), ("user", "News.\n\nShare it?")), answers=answers, draw=draw)


def opened(folder, **options) -> tuple[HumanBackend, Room]:
    """Open a room as a sitting of a run does."""
    backend = HumanBackend(HumanOptions(**options))
    backend.room = Room(backend.options, Ledger(folder), lambda _: None)
    return backend, backend.room


def come(room: Room, number: int):
    """Have somebody come by their link."""
    person = room.person(room.token(number))
    assert person is not None
    room.see(person)
    return person


async def put(room: Room, person, *, turns: int = 20):
    """Give the question that is put to somebody, once it is."""
    for _ in range(turns):
        if (question := room.put_to(person)) is not None:
            return question
        await asyncio.sleep(0)
    raise AssertionError("no question is put")


def test_what_somebody_fills_in_is_the_reply_and_counts_once(tmp_path):
    async def play():
        backend, room = opened(tmp_path)
        asked = asyncio.create_task(backend.complete(about(3)))
        ann = come(room, 1)
        question = await put(room, ann)
        assert room.answer(ann, question.name, {"answer": ["1"]}) == THANKS
        assert room.answer(ann, question.name, {"answer": ["0"]}) == ALREADY
        assert (await asked).texts == ("no",)
        assert room.put_to(ann) is None
        assert (ann.n_answered, ann.seat) == (1, (0, 3))

    run_in_virtual_time(play())


def test_an_answer_after_the_deadline_is_refused_and_the_draw_is_dropped(tmp_path):
    async def play():
        backend, room = opened(tmp_path, deadline_s=10)
        ann = come(room, 1)
        asked = asyncio.create_task(backend.complete(about(3)))
        question = await put(room, ann)
        await asyncio.sleep(9.999)
        assert not asked.done()
        await asyncio.sleep(0.001)
        with pytest.raises(RequestRejected, match="agent 3") as caught:
            await asked
        assert (caught.value.kind, caught.value.is_sure) == (DROPPED, True)
        assert asyncio.get_running_loop().time() == pytest.approx(10)
        assert room.answer(ann, question.name, {"answer": ["0"]}) == LATE

    run_in_virtual_time(play())


def test_an_answer_that_a_busy_program_reads_after_the_deadline_is_late_before_the_deadline_is_noticed(
    tmp_path,
):
    async def play():
        backend, room = opened(tmp_path)
        ann = come(room, 1)
        asked = asyncio.create_task(backend.complete(about(3)))
        question = await put(room, ann)
        question.due = asyncio.get_running_loop().time()
        assert room.answer(ann, question.name, {"answer": ["0"]}) == LATE
        assert not asked.done()
        asked.cancel()

    run_in_virtual_time(play())


def test_several_questions_of_one_agent_are_put_one_by_one_each_with_the_whole_time(tmp_path):
    async def play():
        backend, room = opened(tmp_path, deadline_s=10)
        ann = come(room, 1)
        asked = [asyncio.create_task(backend.complete(about(3, step))) for step in (1, 2)]
        first = await put(room, ann)
        await asyncio.sleep(8)
        room.answer(ann, first.name, {"answer": ["0"]})
        await asyncio.sleep(8)
        second = await put(room, ann)
        assert room.answer(ann, second.name, {"answer": ["0"]}) == THANKS
        replies = [await each for each in asked]
        assert [each.texts for each in replies] == [("yes",), ("yes",)]
        # The wait for the others is none of theirs.
        assert [each.took_s for each in replies] == [8, 8]

    run_in_virtual_time(play())


def test_who_misses_several_deadlines_in_a_row_is_not_waited_for_again(tmp_path):
    async def play():
        backend, room = opened(tmp_path, deadline_s=10, idle_after=2)
        ann = come(room, 1)
        asked = [backend.complete(about(3, step)) for step in range(5)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [each.kind for each in outcomes] == [DROPPED] * 5
        assert asyncio.get_running_loop().time() == pytest.approx(20)
        assert (ann.stage, ann.end, ann.n_missed) == ("ended", DROPPED, 5)

    run_in_virtual_time(play())


def test_a_seat_is_one_persons_and_nobody_answers_for_another(tmp_path):
    async def play():
        backend, room = opened(tmp_path, people=2)
        ann, bob = come(room, 1), come(room, 2)
        asked = [asyncio.create_task(backend.complete(about(agent))) for agent in (3, 4)]
        of_ann, of_bob = await put(room, ann), await put(room, bob)
        assert {ann.seat, bob.seat} == {(0, 3), (0, 4)}
        assert room.answer(ann, of_bob.name, {"answer": ["0"]}) == UNKNOWN
        room.answer(bob, of_bob.name, {"answer": ["0"]})
        assert room.answer(ann, of_bob.name, {"answer": ["0"]}) == UNKNOWN
        room.answer(ann, of_ann.name, {"answer": ["1"]})
        assert {(await each).texts for each in asked} == {("yes",), ("no",)}

    run_in_virtual_time(play())


def test_a_room_that_is_made_anew_answers_from_what_was_noted_and_asks_the_same_person_the_rest(tmp_path):
    async def before():
        backend, room = opened(tmp_path, people=2)
        come(room, 1), come(room, 2)
        asked = [asyncio.create_task(backend.complete(about(3, step))) for step in (1, 2)]
        await asyncio.sleep(0)
        person = next(each for each in room.people.values() if each.seat is not None)
        question = await put(room, person)
        await asyncio.sleep(2.5)
        room.answer(person, question.name, {"answer": ["0"]})
        for each in asked:
            each.cancel()
        return person.number

    async def after(number):
        backend, room = opened(tmp_path, people=2)
        reply = await backend.complete(about(3, 1))
        assert (reply.texts, reply.took_s) == (("yes",), 2.5)
        assert usable(reply, Verdict(True, ""), 0.0).latency_s == 2.5
        asked = asyncio.create_task(backend.complete(about(3, 2)))
        person = come(room, number)
        question = await put(room, person)
        assert person.seat == (0, 3)
        assert room.answer(person, question.name, {"answer": ["1"]}) == THANKS
        assert (await asked).texts == ("no",)

    run_in_virtual_time(after(run_in_virtual_time(before())))


def test_who_has_a_question_when_the_program_is_killed_took_as_long_as_they_had_it(tmp_path):
    async def asked(folder):
        backend, room = opened(folder)
        reply = asyncio.create_task(backend.complete(about(3)))
        ann = come(room, 1)
        return reply, room, ann, await put(room, ann)

    async def before():
        (await asked(tmp_path))[0].cancel()

    async def after():
        reply, room, ann, question = await asked(tmp_path)
        room.answer(ann, question.name, {"answer": ["0"]})
        assert 90.0 < (await reply).took_s < 120.0

    run_in_virtual_time(before())
    path = tmp_path / LEDGER_NAME
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["at"] -= 91.0 * (line["what"] == "asked")
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run_in_virtual_time(after())


def test_what_was_dropped_stays_dropped_when_the_room_is_made_anew(tmp_path):
    async def play():
        backend, _ = opened(tmp_path, deadline_s=1)
        with pytest.raises(RequestRejected):
            await backend.complete(about(3))
        again, _ = opened(tmp_path, deadline_s=1000)
        with pytest.raises(RequestRejected):
            await again.complete(about(3))
        assert asyncio.get_running_loop().time() == pytest.approx(1)

    run_in_virtual_time(play())


def test_an_interrupted_question_is_no_missing_answer_and_is_put_again(tmp_path):
    async def play():
        backend, room = opened(tmp_path)
        ann = come(room, 1)
        asked = asyncio.create_task(backend.complete(about(3)))
        await put(room, ann)
        room.leave(RunStopped("enough"))
        with pytest.raises(RunStopped, match="enough"):
            await asked
        with pytest.raises(RunStopped):
            await backend.complete(about(3))
        again, room = opened(tmp_path)
        asked = asyncio.create_task(again.complete(about(3)))
        question = await put(room, room.people[1])
        room.answer(room.people[1], question.name, {"answer": ["0"]})
        assert (await asked).texts == ("yes",)

    run_in_virtual_time(play())


def test_the_lobby_is_left_when_enough_are_there_and_not_by_people_who_went_away(tmp_path):
    async def play():
        _, room = opened(tmp_path, people=2)
        ready = asyncio.create_task(room.ready())
        come(room, 1)
        await asyncio.sleep(AWAY_AFTER_S + 1)
        come(room, 2)
        await asyncio.sleep(1)
        assert not ready.done()
        come(room, 1)
        await asyncio.wait_for(ready, 0.1)

    run_in_virtual_time(play())


@pytest.mark.parametrize("least", [None, 1])
def test_who_waits_too_long_in_the_lobby_goes_unless_that_many_are_enough(tmp_path, least):
    async def play():
        _, room = opened(tmp_path, people=3, least=least, lobby_s=15)
        ready = asyncio.create_task(room.ready())
        ann = come(room, 1)
        await asyncio.sleep(15.1)
        assert ready.done() == (least == 1)
        assert ann.end == ("" if least == 1 else "timed_out")
        ready.cancel()

    run_in_virtual_time(play())


def test_only_who_agrees_and_understands_comes_to_the_lobby(tmp_path):
    asks = [
        {"ask": "Who is there?", "choices": ["people", "people and agents"], "right": "people and agents"}
    ]
    _, room = opened(tmp_path, people=3, consent="Agree?", comprehension=asks, tries=2)

    async def play():
        ann, bob, cat = (come(room, number) for number in (1, 2, 3))
        room.consent(ann, agrees=False)
        for person in (bob, cat):
            room.consent(person, agrees=True)
        assert not room.comprehend(bob, ["people"])
        assert bob.stage == "comprehension"
        assert not room.comprehend(bob, ["people"])
        assert room.comprehend(cat, ["people and agents"])
        assert [(each.stage, each.end) for each in (ann, bob, cat)] == [
            ("ended", "declined"),
            ("ended", "screened_out"),
            ("lobby", ""),
        ]

    run_in_virtual_time(play())


def test_who_comes_from_a_panel_twice_is_one_person_and_only_a_hash_is_noted(tmp_path):
    _, room = opened(tmp_path, people=1)
    ann = room.come({"PROLIFIC_PID": "5f0c", "STUDY_ID": "s", "other": "x"})
    assert room.come({"PROLIFIC_PID": "5f0c", "STUDY_ID": "other"}) is ann
    assert room.come({"PROLIFIC_PID": "77aa"}) is not ann
    again = Room(HumanOptions(people=1), Ledger(tmp_path), lambda _: None)
    assert again.come({"PROLIFIC_PID": "5f0c"}).number == ann.number
    assert again.person(again.token(ann.number)) is again.people[ann.number]
    assert "5f0c" not in (tmp_path / LEDGER_NAME).read_text()


def test_who_withdraws_leaves_no_text_and_is_not_asked_again(tmp_path):
    async def play():
        backend, room = opened(tmp_path)
        ann = come(room, 1)
        asked = asyncio.create_task(backend.complete(about(3, answers=())))
        question = await put(room, ann)
        room.answer(ann, question.name, {"answer": ["my secret"]})
        assert (await asked).texts == ("my secret",)
        rest = asyncio.create_task(backend.complete(about(3, 2)))
        await put(room, ann)
        room.withdraw(ann)
        with pytest.raises(RequestRejected):
            await rest
        with pytest.raises(RequestRejected):
            await backend.complete(about(3, 3))
        assert asyncio.get_running_loop().time() == 0
        assert "secret" not in (tmp_path / LEDGER_NAME).read_text().replace('"secret": ', "")
        return room

    room = run_in_virtual_time(play())
    assert "my secret" not in json.dumps(Ledger(tmp_path).lines)
    assert room.people[1].end == "withdrawn"


def test_a_person_is_not_asked_for_more_samples_odds_or_a_second_time(tmp_path):
    async def play():
        backend, _ = opened(tmp_path)
        for request in (about(3)._replace(n=2), about(3)._replace(logprobs=True)):
            with pytest.raises(BackendUnusable, match=r"sampler\.mode=call"):
                await backend.complete(request)
        with pytest.raises(RequestRejected) as caught:
            await backend.complete(about(3, ask=1))
        assert caught.value.kind == "invalid"
        with pytest.raises(BackendUnusable, match="agentnet run"):
            await HumanBackend().complete(about(3))

    run_in_virtual_time(play())


def test_a_ledger_is_its_owners_alone_and_a_torn_line_is_as_if_never_begun(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add("came", person=1)
    path = tmp_path / LEDGER_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"what": "came", "per')
    again = Ledger(tmp_path)
    assert [line["what"] for line in again.lines] == ["opened", "came"]
    assert path.read_bytes() == whole
    assert again.token("x") == ledger.token("x") != again.token("y")
    path.write_bytes(b"{]\n" + whole)
    with pytest.raises(StorageError, match="damaged"):
        Ledger(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="files there have no such modes")
def test_options_that_are_wrong_are_named():
    for options, words in (
        ({"peple": 3}, "backend.peple is unknown to the backend 'human'; did you mean 'people'"),
        ({"people": 0}, "backend.people"),
        ({"codes": {"finished": "C"}}, "nobody ends 'finished'"),
        ({"people": 2, "least": 3}, "least is 3"),
        ({"comprehension": [{"ask": "?", "choices": ["a", "b"], "right": "c"}]}, "none of its choices"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            HumanBackend.from_options(options)


def test_what_is_filled_in_reads_back_as_what_was_declared():
    from typing import Annotated, Literal

    from pydantic import BaseModel, Field

    class Inner(BaseModel):
        sure: bool

    class Reply(BaseModel):
        stance: Literal[-1, 0, 1]
        share: bool
        weight: float = Field(ge=0, le=1)
        text: str = Field(max_length=20)
        tags: list[str] = Field(max_length=2)
        inner: Inner
        note: str | None

    form = declared(Reply)
    made = form_of(Request((("user", "?"),), schema=form.schema))
    filled = {
        "answer.stance": ["0"],
        "answer.share": ["1"],
        "answer.weight": ["0,25"],
        "answer.text": ["a\r\nb"],
        "answer.tags": ["x\r\n\r\ny"],
        "answer.inner.sure": ["0"],
    }
    reply = made.read(filled)
    assert form.judge(reply).value == {
        "stance": -1,
        "share": False,
        "weight": 0.25,
        "text": "a\nb",
        "tags": ["x", "y"],
        "inner": {"sure": True},
        "note": None,
    }
    assert made.free == [("text",), ("tags",), ("note",)]
    for name, value, fault in (
        ("answer.stance", "3", "no_choice"),
        ("answer.stance", "", "missing"),
        ("answer.weight", "2", "out_of_range"),
        ("answer.weight", "nan", "no_number"),
        ("answer.text", "x" * 21, "too_long"),
        ("answer.tags", "a\nb\nc", "out_of_range"),
    ):
        with pytest.raises(Unusable) as caught:
            made.read({**filled, name: [value]})
        assert (caught.value.control, caught.value.fault) == (name, fault)
    for answer, fields, said in (
        (Annotated[int, Field(ge=0)], {"answer.answer": ["12"]}, 12),
        (str, {"answer": ["Hello"]}, "Hello"),
        (Literal["like", "share"], {"answer": ["1"]}, "share"),
    ):
        form = declared(answer)
        made = form_of(Request((("user", "?"),), answers=form.answers, schema=form.schema))
        verdict = form.judge(made.read(fields))
        assert (verdict.value, verdict.problem) == (said, "")


def test_what_no_control_can_ask_for_is_named():
    schema = {"type": "object", "properties": {"odd": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}}
    with pytest.raises(BackendUnusable, match="asked for odd"):
        form_of(Request((("user", "?"),), schema=json.dumps(schema)))


def test_with_128_people_and_a_second_each_no_deadline_is_overrun_and_no_answer_lost_or_doubled(tmp_path):
    n, steps, clock = 128, 6, random.Random(7)
    told: dict[tuple[int, str], list[str]] = {}
    replies: dict[tuple[int, int], str] = {}

    async def live(room, person):
        """Answer what is put, often late, twice, or not at all."""
        while True:
            question = room.put_to(person)
            if question is None or (person.number, question.name) in told:
                await room.changed(person, room.state(person), 5)
                continue
            said = told.setdefault((person.number, question.name), [])
            await asyncio.sleep(clock.choice((0.2, 0.5, 0.9, 0.999, 1.0, 1.3)))
            said += [
                room.answer(person, question.name, {"answer": [str(clock.randrange(2))]}) for _ in range(2)
            ]

    async def sit(until_s):
        """Play on until the process is killed."""
        backend, room = opened(tmp_path, people=n, idle_after=100, deadline_s=1)
        people = [come(room, number) for number in range(1, n + 1)]
        robots = [asyncio.create_task(live(room, person)) for person in people]

        async def ask(agent):
            for step in range(steps):
                try:
                    replies[agent, step] = (await backend.complete(about(agent, step))).texts[0]
                except RequestRejected as error:
                    replies[agent, step] = error.kind

        asking = [asyncio.create_task(ask(agent)) for agent in range(n)]
        done, _ = await asyncio.wait(asking, timeout=until_s)
        for task in (*robots, *asking):
            task.cancel()
        await asyncio.gather(*robots, *asking, return_exceptions=True)
        return len(done) == n

    assert [run_in_virtual_time(sit(until_s)) for until_s in (1.7, 2.2, None)] == [False, False, True]
    lines = Ledger(tmp_path).lines
    assert {line["over_s"] for line in lines if line["what"] == DROPPED} == {0.0}
    outcomes = Counter(line["question"] for line in lines if line["what"] in {"answered", DROPPED})
    assert set(outcomes.values()) == {1}
    assert len(outcomes) == len(replies) == n * steps
    answered = {line["question"]: line for line in lines if line["what"] == "answered"}
    assert Counter(replies.values()) == Counter(line["text"] for line in answered.values()) + Counter(
        {DROPPED: n * steps - len(answered)}
    )
    for (number, name), said in told.items():
        taken = said.count(THANKS)
        assert taken == (name in answered and answered[name]["person"] == number and bool(said))
        assert set(said) <= ({THANKS, ALREADY} if taken else {LATE, UNKNOWN})
    assert any(LATE in said for said in told.values())


def test_a_seat_for_which_nobody_is_left_waits_for_nobody_unless_somebody_is_on_their_way(tmp_path):
    async def play(folder, *, somebody_comes):
        folder.mkdir()
        backend, room = opened(folder, people=2, least=1, lobby_s=1, consent="Agree?", deadline_s=10)
        ready = asyncio.create_task(room.ready())
        ann = come(room, 1)
        room.consent(ann, agrees=True)
        await ready
        bob = come(room, 2) if somebody_comes else None
        asked = [asyncio.create_task(backend.complete(about(agent))) for agent in (3, 4)]
        room.answer(ann, (await put(room, ann)).name, {"answer": ["0"]})
        if bob is not None:
            await asyncio.sleep(9)
            room.consent(bob, agrees=True)
            question = await put(room, bob)
            await asyncio.sleep(9)
            assert room.answer(bob, question.name, {"answer": ["0"]}) == THANKS
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        return asyncio.get_running_loop().time(), sorted(
            getattr(each, "kind", "answered") for each in outcomes
        )

    assert run_in_virtual_time(play(tmp_path / "a", somebody_comes=False)) == (1, ["answered", DROPPED])
    assert run_in_virtual_time(play(tmp_path / "b", somebody_comes=True)) == (19, ["answered", "answered"])


def test_who_comes_when_the_run_has_ended_is_told_so_and_no_text_stays_in_the_ledger(tmp_path):
    async def play():
        backend, room = opened(tmp_path, people=2)
        ann = come(room, 1)
        asked = asyncio.create_task(backend.complete(about(3, answers=())))
        room.answer(ann, (await put(room, ann)).name, {"answer": ["my own words"]})
        await asked
        assert "my own words" in (tmp_path / LEDGER_NAME).read_text()
        room.finish()
        assert (ann.end, come(room, 2).end) == ("completed", "over")
        assert "my own words" not in (tmp_path / LEDGER_NAME).read_text()

    run_in_virtual_time(play())


def test_people_go_when_their_realization_has_ended(tmp_path):
    async def play():
        backend, room = opened(tmp_path, people=2)
        people = [come(room, number) for number in (1, 2)]
        asked = [asyncio.create_task(backend.complete(about(3, realization=number))) for number in (0, 1)]
        for person in people:
            await put(room, person)
        room.end_realization(1)
        assert sorted((each.seat, each.end) for each in people) == [((0, 3), ""), ((1, 3), "completed")]
        for each in asked:
            each.cancel()

    run_in_virtual_time(play())


def test_a_line_that_does_not_fit_leaves_nothing_of_itself_behind(tmp_path):
    ledger = Ledger(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / LEDGER_NAME).stat().st_size + 10, hard))
    try:
        with pytest.raises(StorageError, match="File too large"):
            ledger.add("came", person=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    ledger.add("came", person=2)
    assert [line.get("person") for line in Ledger(tmp_path).lines] == [None, 2]


def test_an_answer_for_which_the_disk_has_no_room_stops_the_run_and_is_not_held_against_who_gave_it(tmp_path):
    async def play():
        backend, room = opened(tmp_path, deadline_s=10)
        asked = asyncio.create_task(backend.complete(about(3, answers=())))
        ann = come(room, 1)
        question = await put(room, ann)
        # A long answer does not fit, where the short line that they gave none would.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        n_bytes = (tmp_path / LEDGER_NAME).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes + 1000, hard))
        try:
            with pytest.raises(StorageError):
                room.answer(ann, question.name, {"answer": ["my own words " * 100]})
            with pytest.raises(StorageError, match="free space, then resume the run"):
                await asked
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        _, again = opened(tmp_path, deadline_s=10)
        assert again.people[1].n_missed == 0

    run_in_virtual_time(play())
