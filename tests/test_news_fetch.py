"""Fetching a user's own ACLED data, against a server on loopback.

Above 400 lines, because the server, which all tests here share, would be a file that no other room needs.
"""

import asyncio
import contextlib
import datetime as dt
import json
import signal
import socket
import threading
import traceback

import pytest
from aiohttp import web
from click.testing import CliRunner

from agentnet.cli.news import news
from agentnet.errors import ConfigurationError, InputError, WorldError
from agentnet.news import load_acled, synthesize
from agentnet.news.acled_server import ACLED_LICENCE, FetchError, Login, check_address
from agentnet.news.fetch import fetch_acled, fetch_pages
from agentnet.news.source import Query

PASSWORD, TOKEN = "correct-horse-staple", "token-0123456789"
LOGIN = Login("ana@example.org", PASSWORD)
QUERY = Query("Philippines", dt.date(2021, 2, 24), dt.date(2024, 2, 27))
NEVER = 10**9


class Acled:
    """A small ACLED: its events, how it pages, and what it answers instead when told so."""

    def __init__(self, n_events=0, **traits):
        self.events = (
            [row | {"source": "A Paper", "tags": None} for row in synthesize(n_events, 8)] if n_events else []
        )
        self.cap = traits.pop("cap", 5000)
        self.total = traits.pop("total", None)
        self.envelope = traits.pop("envelope", {})
        self.login = traits.pop("login", None)
        self.read = traits.pop("read", None)
        assert not traits
        self.asked = []

    @property
    def app(self):
        app = web.Application()
        app.router.add_post("/oauth/token", self.give_token)
        app.router.add_get("/api/acled/read", self.give_page)
        return app

    async def give_token(self, request):
        form = await request.post()
        self.asked.append(dict(form))
        if self.login is not None:
            return await answer(self.login, request)
        if form["password"] != PASSWORD:
            return web.json_response(
                {"error": "invalid_grant", "message": f"no {form['password']}"}, status=400
            )
        return web.json_response({"access_token": TOKEN, "expires_in": 86400, "token_type": "Bearer"})

    async def give_page(self, request):
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        self.asked.append(dict(request.query))
        if self.read is not None:
            return await answer(self.read, request)
        size = min(int(request.query["limit"]), self.cap)
        start = (int(request.query["page"]) - 1) * size
        rows = self.events[start : start + size]
        total = {} if self.total is None else {"total_count": self.total}
        return web.json_response(
            {"status": 200, "success": True, "count": len(rows), "messages": [], "data": rows}
            | total
            | self.envelope
        )


async def answer(scripted, request):
    if callable(scripted):
        return await scripted(request)
    status, body, *headers = scripted
    text = body if isinstance(body, str) else json.dumps(body)
    return web.Response(status=status, text=text, headers=dict(headers), content_type="application/json")


@contextlib.asynccontextmanager
async def serving(acled):
    runner = web.AppRunner(acled.app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def serve():
    """Run a server on a thread of its own for code that brings its own event loop."""
    with contextlib.ExitStack() as stack:

        def start(acled):
            return stack.enter_context(serving_on_a_thread(acled))

        yield start


@contextlib.contextmanager
def serving_on_a_thread(acled):
    started, address = threading.Event(), []

    async def main():
        stop = asyncio.Event()
        async with serving(acled) as url:
            address.extend([url, asyncio.get_running_loop(), stop])
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    started.wait()
    url, loop, stop = address
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def pages(acled, **more):
    """Fetch from a server on the same loop; return the rows, the result and the progress told."""
    rows, told = [], []

    async def main():
        async with serving(acled) as url:
            return await fetch_pages(QUERY, LOGIN, rows.extend, base_url=url, progress=told.append, **more)

    return rows, asyncio.run(main()), told


def refusal(acled, **more):
    with pytest.raises((FetchError, ConfigurationError)) as caught:
        pages(acled, **more)
    whole = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in whole
    assert TOKEN not in whole
    return caught.value


def test_login_and_query_are_sent_as_acled_documents_them():
    acled = Acled(3)
    pages(acled)
    login, query = acled.asked
    assert login == {
        "username": "ana@example.org",
        "password": PASSWORD,
        "grant_type": "password",
        "client_id": "acled",
        "scope": "authenticated",
    }
    assert query == {
        "_format": "json",
        "country": "Philippines",
        "event_date": "2021-02-24|2024-02-27",
        "event_date_where": "BETWEEN",
        "limit": "5000",
        "page": "1",
    }


@pytest.mark.parametrize("n_events", [1, 3, 4, 5, 9, 12])
@pytest.mark.parametrize("told", [False, True])
def test_pages_are_asked_for_until_they_end(n_events, told):
    acled = Acled(n_events, total=n_events if told else None)
    rows, fetched, progress = pages(acled, page_rows=4)
    assert [row["event_id_cnty"] for row in rows] == [row["event_id_cnty"] for row in acled.events]
    assert fetched == (n_events, ())
    assert len(progress) == len(acled.asked) - 1 == n_events // 4 + 1
    assert progress[0] == f"page 1: {min(n_events, 4)}{f' of {n_events}' if told else ''} events"


def test_a_server_that_caps_pages_below_the_limit_is_read_to_the_total_it_announces():
    rows, fetched, _ = pages(Acled(10, cap=3, total=10), page_rows=5)
    assert (len(rows), fetched.n_events) == (10, 10)


def test_a_total_that_never_comes_is_an_error():
    assert "announced 12 events and sent 10" in str(refusal(Acled(10, total=12), page_rows=4))


def test_a_server_that_repeats_a_page_is_not_asked_for_ever():
    async def same(request):
        return web.json_response({"data": synthesize(4, 8)})

    assert "page 2 only repeats" in str(refusal(Acled(read=same), page_rows=4))


def test_an_event_that_moves_to_the_next_page_meanwhile_is_kept_once():
    acled = Acled(7)
    acled.events.insert(4, acled.events[3])
    rows, fetched, _ = pages(acled, page_rows=4)
    assert len({row["event_id_cnty"] for row in rows}) == len(rows) == 7
    assert fetched.warnings == (
        "events that came twice, as ACLED was updated meanwhile, and are kept once: 1",
    )


def test_columns_are_those_of_the_export_and_what_differs_is_said():
    acled = Acled(2)
    for row in acled.events:
        row.pop("geo_precision")
        row |= {"population_best": 5, "fatalities": 3}
    rows, fetched, _ = pages(acled)
    assert rows[0]["fatalities"] == "3"
    assert (rows[0]["geo_precision"], rows[0]["tags"]) == ("", "")
    assert "population_best" not in rows[0]
    assert fetched.warnings == (
        "left out, as ACLED's export has no such column: population_best",
        "ACLED sent no geo_precision; these columns are empty",
    )


EMBARGO = {
    "data_query_restrictions": {"date_recency": {"quantity": 12, "unit": "Months", "date": "2023-01-31"}}
}


def test_an_account_kept_from_recent_events_is_told_so():
    _, fetched, _ = pages(Acled(2, envelope=EMBARGO | {"messages": ["Two downloads left.", f"Not {TOKEN}"]}))
    assert fetched.warnings == (
        "ACLED says: Two downloads left.",
        "ACLED says: Not ***",
        "your ACLED account shows events until 2023-01-31 only: later ones are missing",
    )
    late = {"data_query_restrictions": {"date_recency": {"date": "2024-03-01"}}}
    for envelope in (
        late,
        {"data_query_restrictions": None},
        {"data_query_restrictions": {"date_recency": None}},
    ):
        assert pages(Acled(2, envelope=envelope))[1].warnings == ()


def test_no_events_is_an_error_that_says_what_may_be_wrong():
    error = refusal(Acled(0))
    assert isinstance(error, ConfigurationError)
    assert "no event for Philippines, 2021-02-24 to 2024-02-27: check the spelling" in str(error)
    assert "until 2023-01-31 only" in str(refusal(Acled(0, total=0, envelope=EMBARGO)))


@pytest.mark.parametrize(
    "login",
    [
        (401, {"message": "Unauthorized"}),
        (401, "<html>"),
        (400, {"error": "invalid_grant", "error_description": "The user credentials were incorrect."}),
    ],
)
def test_a_wrong_password_is_the_users_to_mend(login):
    error = refusal(Acled(1, login=login))
    assert isinstance(error, ConfigurationError)
    assert "check ACLED_EMAIL and ACLED_PASSWORD" in str(error)
    if "error_description" in login[1]:
        assert "it says: The user credentials were incorrect." in str(error)


@pytest.mark.parametrize("where", ["login", "read"])
@pytest.mark.parametrize(
    ("scripted", "words"),
    [
        (
            (403, {"message": "Access denied"}),
            "it says: Access denied): the account's access level does not allow",
        ),
        ((404, "no"), "HTTP 404): there is no such address; check --base-url"),
        ((429, {}, ("Retry-After", "30")), "HTTP 429): too many requests; try again in 30 s"),
        ((429, {}, ("Retry-After", "Wed, 21 Oct 2026")), "try again in some minutes"),
        ((503, "[]"), "its server is in trouble; try again later"),
        (
            (302, "", ("Location", "https://elsewhere.example")),
            "HTTP 302): this is not what ACLED's API answers",
        ),
        ((400, {"error": "unsupported", "messages": ["a", "b"]}), "it says: a; b): this is not what"),
        ((200, "<html>"), "the answer is no JSON object"),
        ((200, "[" * 100_000), "the answer is no JSON object"),
        (
            (200, "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")),
            "the answer is no JSON object",
        ),
        ((500, {"message": f"{PASSWORD} and more"}), "it says: *** and more"),
    ],
)
def test_what_the_server_refuses_is_said_in_plain_words(where, scripted, words):
    error = refusal(Acled(1, **{where: scripted}))
    assert isinstance(error, WorldError)
    assert words in str(error)


@pytest.mark.parametrize(
    ("scripted", "words"),
    [
        ((401, {}), "HTTP 401): the token it has just given is not accepted"),
        ((200, {"success": False, "error": [f"bad {TOKEN}"]}), "refuses the request, it says: bad ***"),
        ((200, {"status": 403, "messages": ["No."]}), "ACLED refuses the request, it says: No."),
        ((200, {"status": 200}), "no list of events"),
        ((200, {"data": [1]}), "no list of events"),
        ((200, {"data": {"event_id_cnty": "A"}}), "no list of events"),
        ((200, {"data": [{"event_date": "2021-01-01"}]}), "an event on page 1 has no event_id_cnty"),
        ((200, {"data": [{"event_id_cnty": 7}]}), "an event on page 1 has no event_id_cnty"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_page_is_refused(scripted, words):
    error = refusal(Acled(read=scripted))
    assert isinstance(error, FetchError)
    assert words in str(error)


@pytest.mark.parametrize("token", [None, "", 5, "two\nlines", "tökén"])
def test_an_answer_without_a_usable_token_is_refused(token):
    assert "sent no access token" in str(refusal(Acled(login=(200, {"access_token": token}))))


def test_a_connection_that_cannot_be_made_or_breaks_is_said_in_plain_words():
    async def hang_up(request):
        request.transport.close()
        return web.Response()

    error = refusal(Acled(read=hang_up))
    assert "cannot be reached or broke off" in str(error)
    assert isinstance(error, FetchError)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(FetchError, match="cannot be reached or broke off"):
        asyncio.run(fetch_pages(QUERY, LOGIN, list, base_url=f"http://127.0.0.1:{port}"))


def test_a_server_that_falls_silent_is_given_up():
    async def silence(request):
        await asyncio.Event().wait()

    assert "stopped answering" in str(refusal(Acled(read=silence), silence_s=0.02))


@pytest.mark.parametrize(
    "address", ["http://acleddata.com", "ftp://acleddata.com", "acleddata.com", "", "http://[", "https://"]
)
def test_a_password_travels_only_where_it_is_safe(address):
    with pytest.raises(ConfigurationError, match="by https only"):
        check_address(address)
    for safe in ("https://acleddata.com", "http://localhost:80", "http://127.0.0.1:1", "http://[::1]:1"):
        check_address(safe)


def test_a_login_needs_both_variables_and_never_shows_the_password():
    with pytest.raises(ConfigurationError, match="ACLED_EMAIL and ACLED_PASSWORD must be set"):
        Login.from_environment({})
    with pytest.raises(ConfigurationError, match=r"^ACLED_PASSWORD must be set"):
        Login.from_environment({"ACLED_EMAIL": "a", "ACLED_PASSWORD": ""})
    assert Login.from_environment({"ACLED_EMAIL": "ana@example.org", "ACLED_PASSWORD": PASSWORD}) == LOGIN
    assert PASSWORD not in repr(LOGIN)


def test_a_query_needs_a_country_and_days_in_order():
    with pytest.raises(ConfigurationError, match="the country is blank"):
        Query(" ", QUERY.first, QUERY.last)
    with pytest.raises(ConfigurationError, match="--from 2024-02-27 is after --to 2021-02-24"):
        Query("Philippines", QUERY.last, QUERY.first)


def test_a_failure_on_a_later_page_leaves_no_file(serve, tmp_path):
    acled = Acled(10, cap=4, total=12)
    with pytest.raises(FetchError, match="announced 12"):
        fetch_acled(QUERY, tmp_path / "a.csv", LOGIN, base_url=serve(acled))
    assert len(acled.asked) == 1 + 4
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def interruptible():
    """Let Ctrl-C interrupt, as in any program; workers that play tests side by side ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_leaves_no_half_file(serve, tmp_path):
    at_second_page = []

    async def interrupt(request):
        if request.query["page"] == "1":
            return web.json_response({"data": synthesize(3, 8), "total_count": NEVER})
        at_second_page.extend(path.suffix for path in tmp_path.iterdir())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        fetch_acled(QUERY, tmp_path / "a.csv", LOGIN, base_url=serve(Acled(read=interrupt)))
    assert at_second_page == [".partial"]
    assert list(tmp_path.iterdir()) == []


def command(url, out, *more, password=PASSWORD):
    days = ["--from", "2021-02-24", "--to", "2024-02-27"]
    return CliRunner().invoke(
        news,
        ["fetch", "--country", "Philippines", *days, "--out", str(out), "--base-url", url, *more],
        env={"ACLED_EMAIL": "ana@example.org", "ACLED_PASSWORD": password},
    )


def test_the_command_writes_a_file_that_loads_as_acleds_export(serve, tmp_path):
    out = tmp_path / "a.csv"
    acled = Acled(9, envelope=EMBARGO)
    result = command(serve(acled), out)
    assert result.exit_code == 0, result.exception
    assert result.stdout == ""
    assert "page 1: 9 events" in result.stderr
    assert "warning: your ACLED account shows events until 2023-01-31 only" in result.stderr
    assert f"wrote 9 events to {out}" in result.stderr
    assert ACLED_LICENCE in result.stderr
    loaded = load_acled(out)
    assert loaded.warnings == ()
    assert [one.text for one in loaded.items] == [row["notes"] for row in acled.events]
    assert {one.source for one in loaded.items} == {"acled"}


def test_the_command_replaces_a_file_only_when_forced_and_asks_nothing_otherwise(serve, tmp_path):
    out, acled = tmp_path / "a.csv", Acled(2)
    out.write_text("precious")
    url = serve(acled)
    result = command(url, out)
    assert isinstance(result.exception, InputError)
    assert (out.read_text(), acled.asked) == ("precious", [])
    assert command(url, out, "--force").exit_code == 0
    assert len(load_acled(out).items) == 2


def test_the_command_never_shows_a_wrong_password(serve, tmp_path):
    result = command(serve(Acled(2)), tmp_path / "a.csv", password="hunter-two")
    assert isinstance(result.exception, ConfigurationError)
    assert "no ***" in str(result.exception)
    assert "hunter-two" not in str(result.exception) + result.output
    assert list(tmp_path.iterdir()) == []
