"""The pages of people over real HTTP: what they show, what they take, and whom they let in."""

import asyncio
import json
import re
from contextlib import asynccontextmanager
from io import BytesIO
from typing import NamedTuple

import aiohttp
import pytest
from pydantic import BaseModel, Field

from agentnet.backend import Request
from agentnet.errors import ConfigurationError, RequestRejected
from agentnet.people import HumanBackend, HumanOptions
from agentnet.people.hosting import LINKS_NAME
from agentnet.people.ledger import LEDGER_NAME
from agentnet.people.robots import Page
from agentnet.people.words import words_of
from agentnet.prompts.declared import declared

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Site(NamedTuple):
    """The pages of a run while it is played."""

    backend: HumanBackend
    links: dict[str, str]
    http: aiohttp.ClientSession
    origin: str

    async def get(self, link: str) -> tuple[int, str]:
        async with self.http.get(link) as reply:
            assert "Set-Cookie" not in reply.headers
            return reply.status, await reply.text()

    async def post(self, link: str, origin: str | None = "", **fields: str) -> tuple[int, str]:
        """Send a form; give the status, and where it leads to or what is shown."""
        headers = {} if origin is None else {"Origin": origin or self.origin}
        async with self.http.post(link, data=fields, headers=headers, allow_redirects=False) as reply:
            return reply.status, reply.headers.get("Location", "") or await reply.text()

    def ask(self, agent: int, text: str = "News.\n\nShare it?", **what) -> asyncio.Task:
        """Ask the person who answers for an agent."""
        draw = ((7, 0, "exposure", 1), agent, 0, 0, 0)
        return asyncio.create_task(self.backend.complete(Request((("user", text),), draw=draw, **what)))

    async def put(self, link: str) -> Page:
        """Wait until a question is put at a link."""
        while not (page := Page((await self.get(link))[1])).hidden:
            await self.get(f"{link}/news?state={page.state}")
        return page


@asynccontextmanager
async def served(folder, **options):
    """Serve the pages of a run, whose lobby somebody may have to fill."""
    folder.mkdir(exist_ok=True)
    (folder / "events.sqlite").touch()
    backend = HumanBackend(HumanOptions(stays_s=0, **options))
    opened = asyncio.get_running_loop().create_future()
    backend.opened = opened.set_result
    left = asyncio.Event()

    async def attend() -> None:
        async with backend.attend(folder, lambda _: None):
            await left.wait()
            raise asyncio.CancelledError

    attending = asyncio.create_task(attend())
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        links = await opened
        yield Site(backend, links, http, links["panel"].partition("/join")[0])
    attending.cancel()
    await asyncio.gather(attending, return_exceptions=True)


async def until(holds) -> None:
    """Let others go on until something holds."""
    for _ in range(100_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never holds")


async def enter(site: Site, number: int = 1) -> str:
    """Come to the lobby, and wait until the run begins."""
    link = site.links[f"person {number}"]
    await site.get(link)
    await until(lambda: site.backend.room is not None)
    return link


def test_an_answer_is_taken_once_whether_it_is_clicked_twice_or_sent_again_from_an_old_page(tmp_path):
    async def play():
        async with served(tmp_path) as site:
            link = await enter(site)
            asked = site.ask(3, answers=("yes", "no"))
            page = await site.put(link)
            sent = [site.post(link, do="answer", answer="1", **page.hidden) for _ in range(2)]
            told = [where.partition("said=")[2] for _, where in await asyncio.gather(*sent)]
            assert sorted(told) == ["already", "thanks"]
            assert (await asked).texts == ("no",)
            assert "said=already" in (await site.post(link, do="answer", answer="0", **page.hidden))[1]
            shown = (await site.get(f"{link}?said=already"))[1]
            assert words_of("en", {})["said_already"] in shown
            assert "Please wait" in shown

    asyncio.run(play())


def test_a_late_answer_is_refused_in_words(tmp_path):
    async def play():
        async with served(tmp_path, deadline_s=0.3) as site:
            link = await enter(site)
            asked = site.ask(3, answers=("yes", "no"))
            page = await site.put(link)
            with pytest.raises(RequestRejected):
                await asked
            status, where = await site.post(link, do="answer", answer="1", **page.hidden)
            assert (status, where.partition("said=")[2]) == (303, "late")
            assert "after the time was over" in (await site.get(f"{link}?said=late"))[1]

    asyncio.run(play())


def test_hostile_texts_run_no_script_and_nothing_is_asked_of_another_host(tmp_path):
    class Told(BaseModel):
        text: str = Field(max_length=200, description=EVIL)

    async def play():
        async with served(tmp_path, consent=EVIL, words={"title": EVIL}) as site:
            link = site.links["person 1"]
            shown = [(await site.get(link))[1]]
            await site.post(link, do="consent")
            await enter(site)
            asked = site.ask(3, f"{EVIL}\n\nWell?", schema=declared(Told).schema)
            page = await site.put(link)
            shown.append((await site.get(f"{link}?said={EVIL}"))[1])
            status, text = await site.post(link, do="answer", **page.hidden, **{"answer.text": EVIL * 10})
            assert (status, words_of("en", {})["fault_too_long"] in text) == (422, True)
            shown.append(text)
            await site.post(link, do="answer", **page.hidden, **{"answer.text": EVIL})
            assert EVIL.replace('"', '\\"') in (await asked).texts[0]
            shown.append((await site.get(site.links["experimenter"]))[1])
        for text in shown:
            assert "<img" not in text
            assert re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL) in ([], [""])
            assert "http" not in re.sub(r"http-equiv|http://127\.0\.0\.1:\d+/", "", text)

    asyncio.run(play())


def test_a_key_opens_its_own_page_and_nothing_else(tmp_path):
    async def play():
        async with served(tmp_path, people=2) as site:
            ann, bob = site.links["person 1"], site.links["person 2"]
            await site.get(ann)
            await enter(site, 2)
            key = ann.rpartition("/")[2]
            for path in (
                f"/desk/{key}",
                f"/join/{key}",
                f"/person/{'x' * 32}",
                f"/person/{site.links['experimenter'][-32:]}",
            ):
                assert (await site.get(site.origin + path))[0] == 403
            assert (await site.get(site.links["experimenter"]))[0] == 200
            asked = [site.ask(agent, answers=("yes", "no")) for agent in (3, 4)]
            of_ann, of_bob = await site.put(ann), await site.put(bob)
            assert "said=unknown" in (await site.post(ann, do="answer", answer="1", **of_bob.hidden))[1]
            for link, page in ((ann, of_ann), (bob, of_bob)):
                await site.post(link, do="answer", answer="0", **page.hidden)
            assert [(await each).texts for each in asked] == [("yes",)] * 2

    asyncio.run(play())


@pytest.mark.parametrize("origin", [None, "https://elsewhere.example", "null"])
def test_what_is_sent_from_another_address_is_not_taken(tmp_path, origin):
    async def play():
        async with served(tmp_path, consent="Agree?") as site:
            link = site.links["person 1"]
            assert (await site.post(link, origin, do="consent"))[0] == 403
            assert Page((await site.get(link))[1]).state == "consent"

    asyncio.run(play())


def test_who_comes_by_a_panel_has_a_page_of_their_own_and_finds_it_again(tmp_path):
    async def play():
        async with served(tmp_path, people=2, links=0) as site:
            sent = [
                site.http.get(f"{site.links['panel']}?PROLIFIC_PID={pid}", allow_redirects=False)
                for pid in "aab"
            ]
            pages = [(await each).headers["Location"] for each in sent]
            assert pages[0] == pages[1] != pages[2]
            assert (await site.get(site.origin + pages[0]))[0] == 200
            assert "person" not in site.links

    asyncio.run(play())
    assert '"a"' not in (tmp_path / LEDGER_NAME).read_text()


def test_nothing_is_kept_of_whence_or_with_what_somebody_came(tmp_path):
    async def play():
        async with served(tmp_path, consent="Agree?") as site:
            (await site.http.get(site.links["person 1"], headers={"User-Agent": "my-own-browser"})).close()

    asyncio.run(play())
    kept = (tmp_path / LEDGER_NAME).read_text()
    assert "127.0.0.1" not in kept
    assert "my-own-browser" not in kept
    assert [path.name for path in tmp_path.iterdir() if path.stat().st_mode & 0o077] == ["events.sqlite"]
    assert (tmp_path / LINKS_NAME).is_file()


def test_consent_and_understanding_come_before_the_lobby_and_every_end_has_its_code(tmp_path):
    asks = [{"ask": "Who is there?", "choices": ["people", "agents, too"], "right": "agents, too"}]
    options = {"people": 5, "consent": "What you write is kept.", "comprehension": asks, "tries": 1}
    codes = {
        "codes": {"screened_out": "C&2"},
        "return_to": "https://panel.example/?cc={code}",
        "language": "de",
    }

    async def play():
        async with served(tmp_path, **options, **codes) as site:
            ann, bob, cat = (site.links[f"person {n}"] for n in (1, 2, 3))
            assert "What you write is kept." in (await site.get(ann))[1]
            await site.post(ann, do="decline")
            assert words_of("de", {})["end_declined"] in (await site.get(ann))[1]
            for link, choice in ((bob, "0"), (cat, "1")):
                await site.post(link, do="consent")
                assert "Who is there?" in (await site.get(link))[1]
                await site.post(link, do="comprehend", choice0=choice)
            text = (await site.get(bob))[1]
            assert "C&amp;2" in text
            assert 'href="https://panel.example/?cc=C%262"' in text
            assert "sobald 5 Personen da sind" in (await site.get(cat))[1]
            assert (await site.post(cat, do="dance"))[0] == 400

    asyncio.run(play())


def test_a_wrong_answer_on_what_the_study_is_that_is_sent_twice_is_one_try(tmp_path):
    asks = [{"ask": "Who is there?", "choices": ["people", "agents, too"], "right": "agents, too"}]

    async def play():
        async with served(tmp_path, comprehension=asks, tries=2) as site:
            link = site.links["person 1"]
            page = Page((await site.get(link))[1])
            sent = [site.post(link, do="comprehend", choice0="0", **page.hidden) for _ in range(5)]
            assert {where.partition("said=")[2] for _, where in await asyncio.gather(*sent)} == {"not_right"}
            again = Page((await site.get(link))[1])
            # From the older page even what is right is no further try.
            await site.post(link, do="comprehend", choice0="1", **page.hidden)
            assert Page((await site.get(link))[1]).state == "comprehension"
            await site.post(link, do="comprehend", choice0="1", **again.hidden)
            assert Page((await site.get(link))[1]).state != "comprehension"

    asyncio.run(play())


def test_who_withdraws_is_told_so_and_asked_nothing_more(tmp_path):
    async def play():
        async with served(tmp_path) as site:
            link = await enter(site)
            asked = site.ask(3)
            await site.put(link)
            await site.post(link, do="withdraw")
            with pytest.raises(RequestRejected):
                await asked
            assert words_of("en", {})["end_withdrawn"] in (await site.get(link))[1]

    asyncio.run(play())


def test_people_see_the_news_without_the_sentence_that_tells_models_how_to_answer(tmp_path):
    form = declared(bool)

    async def play():
        async with served(tmp_path) as site:
            link = await enter(site)
            asked = site.ask(3, f"The bridge is closed.\n\n{form.instruction}", answers=form.answers)
            await site.put(link)
            shown = (await site.get(link))[1]
            assert "The bridge is closed." in shown
            assert form.instruction not in shown
            asked.cancel()

    asyncio.run(play())


def test_an_answer_sent_while_the_server_is_started_again_is_taken_once_its_question_is_put(tmp_path):
    async def before():
        async with served(tmp_path) as site:
            link = await enter(site)
            asked = site.ask(3, answers=("yes", "no"))
            page = await site.put(link)
            asked.cancel()
            return link.partition("/person")[2], page.hidden

    async def after(path, hidden):
        async with served(tmp_path) as site:
            link = f"{site.origin}/person{path}"
            assert link == site.links["person 1"]
            await until(lambda: site.backend.room is not None)
            sent = [asyncio.create_task(site.post(link, do="answer", answer="1", **hidden)) for _ in range(2)]
            await until(lambda: len(site.backend.room.people[1].waiting) == 2)
            asked = site.ask(3, answers=("yes", "no"))
            assert (await asked).texts == ("no",)
            told = sorted([(await each)[1].partition("said=")[2] for each in sent])
            assert told == ["already", "thanks"]

    asyncio.run(after(*asyncio.run(before())))


def test_languages_have_the_same_texts_and_an_experiment_may_have_others():
    assert words_of("en", {}).keys() == words_of("de", {}).keys()
    assert words_of("en", {"send": "Go"})["send"] == "Go"
    for language, words, told in (("xx", {}, "no 'xx'"), ("en", {"sende": "x"}, "did you mean 'send'")):
        with pytest.raises(ConfigurationError, match=told):
            words_of(language, words)


class Long(BaseModel):
    share: bool
    number: int
    text: str = Field(max_length=10_000)


RIGHT_TO_LEFT = "\u200fשלום، سلام\u200c \u202babc\u202c \U0001f469\u200d\U0001f4bb"


def test_long_texts_and_those_from_right_to_left_come_back_and_are_taken_as_they_were_written(tmp_path):
    long = (RIGHT_TO_LEFT + "漢" * 10_000)[:10_000]

    async def play():
        async with served(tmp_path) as site:
            link = await enter(site)
            asked = site.ask(3, f"{RIGHT_TO_LEFT}\x00\n\nWell?", schema=declared(Long).schema)
            page = await site.put(link)
            assert RIGHT_TO_LEFT in (await site.get(link))[1]
            filled = {
                "answer.share": "0",
                "answer.number": "x",
                "answer.text": f"\x00{long}\x1b",
                **page.hidden,
            }
            status, text = await site.post(link, do="answer", **filled)
            assert (status, f"\n{long}</textarea>" in text) == (422, True)
            assert (await site.post(link, do="answer", **filled | {"answer.number": "3"}))[0] == 303
            assert json.loads((await asked).texts[0]) == {"share": True, "number": 3, "text": long}

    asyncio.run(play())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("answer.share", "0000000009"),
        ("answer.share", "²"),
        ("answer.number", "9" * 400),
        ("answer.number", "1e4"),
    ],
)
def test_what_no_page_of_ours_sends_is_no_answer_and_no_error(tmp_path, name, text):
    async def play():
        async with served(tmp_path) as site:
            link = await enter(site)
            asked = site.ask(3, schema=declared(Long).schema)
            page = await site.put(link)
            filled = {
                "answer.share": "0",
                "answer.number": "3",
                "answer.text": "x",
                **page.hidden,
                name: text,
            }
            assert (await site.post(link, do="answer", **filled))[0] == 422
            asked.cancel()

    asyncio.run(play())


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nbroken", 400),
        ("application/x-www-form-urlencoded; charset=nonsense", b"do=answer", 400),
        ("application/json", b"{}", 400),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="do"; filename="f"\r\n\r\nwithdraw\r\n--x--\r\n',
            400,
        ),
        ("application/x-www-form-urlencoded", b"a=" + b"a" * (1 << 21), 413),
    ],
)
def test_a_broken_form_is_refused_and_is_no_error_of_ours(tmp_path, kind, body, status):
    async def play():
        async with served(tmp_path) as site:
            headers = {"Origin": site.origin, "Content-Type": kind}
            async with site.http.post(site.links["person 1"], data=BytesIO(body), headers=headers) as reply:
                assert reply.status == status

    asyncio.run(play())


def test_who_only_looks_whether_a_link_works_has_not_come(tmp_path):
    async def play():
        async with served(tmp_path, people=2) as site:
            for name in ("person 1", "panel"):
                async with site.http.head(site.links[name], allow_redirects=False) as reply:
                    assert reply.status == 405
            assert (await site.get(site.links["experimenter"]))[1].count("has not come") == 2

    asyncio.run(play())
