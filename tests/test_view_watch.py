"""The live page over HTTP: what watchers are sent and can ask for, and that texts stay texts."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agentnet import CascadeExperiment, ResponseRatioExperiment, Run
from agentnet.backend import Reply
from agentnet.cli.look import cost, state
from agentnet.errors import RunFolderError
from agentnet.events.opening import locked
from agentnet.events.spent import spent_so_far, tokens_by_voice
from agentnet.testing import ScriptedBackend
from agentnet.view.decisions import N_LOOKED_THROUGH, N_SHOWN, Wanted, read_page
from agentnet.view.watch import Watch, Watched

EVIL = "<script>alert(1)</script>\"onload='x' ]]> --> </style>\u202e\x00\ud83d"
BEGUN = """
UPDATE realizations SET status = 'running' WHERE realization = 3;
INSERT INTO realizations SELECT 9, condition, news, 9, network, seed, 'running', NULL, NULL, 1.0, NULL
FROM realizations WHERE realization = 0;
"""
CAME = """
INSERT INTO events SELECT 9, kind, step, agent, source, repeat, prompt, temperature, 1, NULL, 99999, 1, 1, 1,
1, 0, 0.5, 9e9, NULL, NULL, NULL FROM events WHERE realization = 0 LIMIT 1
"""
KEY = ["realization", "kind", "step", "agent", "source", "repeat"]
PARTS = {"progress", "conditions", "curves", "incidents"}


class Small(CascadeExperiment):
    n_agents = 16
    degree = 4
    steps = 4
    items_per_severity = 1
    repeats = 2


@pytest.fixture(scope="module")
def played(play: Callable[..., Run]) -> Run:
    """Four cascades whose replies are hostile, and now and then no answer."""
    answers = cycle(f"{word} {EVIL}" for word in ("Yes", "No", "Perhaps", "Yes"))
    return play(Small(), backend=ScriptedBackend(lambda _: next(answers)), max_asks=1, brake_after=10_000)


class Visitor:
    """Who has the page's address."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self.session, self.address = session, address

    async def text(self, path: str = "", **query: object) -> tuple[int, str]:
        async with self.session.get(
            self.address + path, params={k: str(v) for k, v in query.items()}
        ) as found:
            return found.status, await found.text()

    async def json(self, path: str, **query: object) -> Any:
        status, text = await self.text(path, **query)
        assert status == 200, text
        return json.loads(text)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Callable[[], Awaitable[dict[str, Any]]]]:
        """Follow the stream; gives what waits for its next message."""
        async with self.session.get(f"{self.address}stream") as stream:
            assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"

            async def following() -> dict[str, Any]:
                while not (line := (await stream.content.readline()).decode()).startswith("data: "):
                    assert line in {"\n", ":\n"}
                found: dict[str, Any] = json.loads(line[6:])
                return found

            yield following


def visited(
    folders: list[Path], visit: Callable[[Visitor], Awaitable[None]], told: list[str] | None = None
) -> None:
    """Let somebody visit the page; what the program tells meanwhile comes into `told`, or is nothing."""
    words: list[str] = [] if told is None else told

    async def main() -> None:
        watch = Watch(folders, lambda run, n: state(run, n_missing=n), cost, words.append)
        async with watch.serving() as address, aiohttp.ClientSession() as session:
            await asyncio.wait_for(visit(Visitor(session, address)), 60.0)

    asyncio.run(main())
    assert told is words or words == []


async def shown_to(visitor: Visitor, n_runs: int = 1) -> dict[tuple[int, str], Any]:
    """Watch until every part was sent, and all is counted."""
    found: dict[tuple[int, str], Any] = {}
    async with visitor.watching() as following:
        while len(found) < n_runs * len(PARTS) or any(
            found[n, "progress"]["uncounted"] for n in range(n_runs)
        ):
            message = await following()
            found[message["run"], message["part"]] = message["is"]
    return found


def test_a_watcher_is_sent_how_far_the_run_is_and_what_it_comes_to(played: Run) -> None:
    async def visit(visitor: Visitor) -> None:
        parts = await shown_to(visitor)
        assert {part for _, part in parts} == PARTS
        progress = parts[0, "progress"]
        decisions = played.frame("decisions")
        assert progress["status"] == state(played, n_missing=int(decisions.missing.notna().sum()))
        assert (progress["n"], progress["missing"]) == (len(decisions), decisions.missing.notna().sum())
        assert (progress["ended"], progress["n_realizations"], progress["playing"]) == (4, 4, 0)
        assert progress["left_s"] is None
        (counts,) = [each for each in parts[0, "conditions"]["counts"] if each["kind"] == "seed"]
        assert counts["n"] == (decisions.kind == "seed").sum()
        assert [each["kind"] for each in parts[0, "incidents"]] == ["started", "finished", "spent"]
        (curve,) = parts[0, "curves"]
        assert (curve["name"], curve["condition"]) == ("engaged fraction", 0)

    visited([played.folder], visit)


def test_runs_stand_side_by_side_and_one_of_another_token_opens_nothing(played: Run, tmp_path: Path) -> None:
    shutil.copytree(played.folder, tmp_path / EVIL.replace("/", "").replace("\x00", "").replace("\ud83d", ""))
    folders = [played.folder, next(tmp_path.iterdir())]

    async def visit(visitor: Visitor) -> None:
        status, text = await visitor.text()
        assert status == 200
        assert text.count("data-run=") == 2
        assert "<script>alert" not in text
        # Nothing of the page is from elsewhere, and nothing in it is a script.
        assert set(re.findall(r'(?:src|href)="([^"]*)"', text)) == {
            *("data:,", "#run-0", "../static/report.css", "../static/view.css"),
            *("../static/network.js", "../static/view.js"),
        }
        assert not re.search(r"<script(?! src=)|<style|\son\w+=|style=", text)
        assert {run for run, _ in await shown_to(visitor, 2)} == {0, 1}
        *origin, token, _ = visitor.address.split("/")
        visitor.address = "/".join((*origin, token[::-1], ""))
        for path in ("", "stream", "0/decisions", "0/decision", "0/network"):
            assert (await visitor.text(path))[0] == 403, path

    visited(folders, visit)


def test_what_is_committed_is_sent_to_everybody_who_watches(played: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(played.folder, tmp_path / "run"))
    text = f"it is late {EVIL}".replace("\ud83d", "")

    async def visit(visitor: Visitor) -> None:
        async with visitor.watching() as one, visitor.watching() as other:
            for following in (one, other):
                assert {(await following())["part"] for _ in PARTS} == PARTS
            with closing(sqlite3.connect(run.path)) as connection:
                connection.executescript(BEGUN)
                connection.execute("INSERT INTO replies VALUES (99999, ?, '', 'model-1', NULL)", (text,))
                connection.execute(CAME)
                connection.commit()
            for following in (one, other):
                newest: list[dict[str, Any]] = []
                while not newest:
                    message = await following()
                    # What stayed as it was is not sent again.
                    assert message["part"] != "incidents"
                    newest = message["is"] if message["part"] == "newest" else []
                (came,) = newest
                assert (came["realization"], came["at"], came["decision"]) == (9, 9e9, 1)
                assert came["text"] == text.replace("\u202e", "[U+202E]").replace("\x00", "[U+0000]")

    visited([run.folder], visit)


def test_a_run_in_shards_is_shown_as_one_and_goes_on_to_be_once_they_are_merged(
    played: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "wide"
    for number in (0, 1):
        shard = folder / "shards" / f"{number + 1}-of-2"
        shutil.copytree(played.folder, shard)
        with closing(sqlite3.connect(shard / played.path.name)) as connection:
            for table in ("realizations", "events", "steps", "agents"):
                connection.execute(f"DELETE FROM {table} WHERE realization % 2 = ?", (1 - number,))
            connection.execute("INSERT INTO meta VALUES ('shard', ?)", (f"[{number + 1}, 2, 1]",))
            connection.commit()
    n = len(played.frame("decisions"))

    async def visit(visitor: Visitor) -> None:
        parts = await shown_to(visitor)
        assert (parts[0, "progress"]["n"], parts[0, "progress"]["ended"]) == (n, 4)
        assert parts[0, "progress"]["status"].startswith("2 shards: 2 finished")
        found: list[int] = []
        after: Any = [0, None]
        while after:
            page = await visitor.json("0/decisions", after=json.dumps(after))
            found += [row["realization"] for row in page["rows"]]
            after = page["after"]
        assert len(found) == n
        assert list(dict.fromkeys(found)) == [0, 2, 1, 3]
        row = page["rows"][-1]
        key = json.dumps([row["log"], [row[name] for name in KEY]])
        assert (await visitor.json("0/decision", key=key))["messages"]
        assert (await visitor.json("0/network", realization=3))["n_agents"] == 16
        async with visitor.watching() as following:
            shutil.copy(played.path, folder / played.path.name)
            while (message := await following())["part"] != "progress" or "shards" in message["is"]["status"]:
                pass
        assert message["is"]["n"] == n

    visited([folder], visit)


def test_how_long_a_run_takes_is_told_by_the_realizations_that_ended(played: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(played.folder, tmp_path / "run"))
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute("CREATE TEMP TABLE late AS SELECT * FROM events WHERE realization = 3 LIMIT 2")
        connection.execute("DELETE FROM events WHERE realization = 3")
        connection.execute("DELETE FROM steps WHERE realization = 3")
        connection.execute("UPDATE realizations SET status = 'running' WHERE realization = 3")
        connection.execute("UPDATE meta SET value = '\"running\"' WHERE key = 'status'")
        connection.commit()
        n = run.rows("SELECT COUNT(*) FROM events")[1][0][0]
        watched = Watched(run.folder, lambda *_: "running", cost)
        assert watched.look()
        assert json.loads(watched.parts["progress"])["left_s"] is None
        connection.execute("INSERT INTO events SELECT * FROM late")
        connection.commit()
        assert watched.look()
    progress = json.loads(watched.parts["progress"])
    assert (progress["ended"], progress["playing"], progress["n"]) == (3, 1, n + 2)
    assert progress["left_s"] == pytest.approx((n / 3 * 4 - n - 2) / progress["rate"])


PRICES = {"prices": {"scripted-1": {"input": 3.0, "output": 5.0}}}


@pytest.fixture(scope="module")
def priced(play: Callable[..., Run]) -> Run:
    """Two cascades on a model that has a price."""
    backend = ScriptedBackend(lambda _: Reply(("Yes",), prompt_tokens=100, completion_tokens=7))
    return play(Small(repeats=1), backend=backend, stack=PRICES)


def broken_off(run: Run, folder: Path, **meta: object) -> Run:
    """Copy a run as if it were not yet at its end, and had other facts in table ``meta``."""
    copy = Run(shutil.copytree(run.folder, folder))
    with closing(sqlite3.connect(copy.path)) as connection:
        connection.execute("DELETE FROM incidents WHERE kind IN ('finished', 'spent')")
        rows = [(json.dumps(value), key) for key, value in {"status": "running", **meta}.items()]
        connection.executemany("UPDATE meta SET value = ? WHERE key = ?", rows)
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.commit()
    return copy


def told_of(run: Run) -> dict[str, Any]:
    """Give what a page says of a run's progress."""
    watched = Watched(run.folder, lambda *_: "running", cost)
    watched.look()
    found: dict[str, Any] = json.loads(watched.parts["progress"])
    return found


def test_what_a_run_costs_is_told_from_its_first_decision_as_it_will_be_noted_in_the_end(
    priced: Run, command: Callable[..., Any], tmp_path: Path
) -> None:
    ((detail,),) = priced.rows("SELECT detail FROM incidents WHERE kind = 'spent'")[1]
    spent = json.loads(detail)["dollars"]
    assert spent > 0.0
    meta = {"model_name": "scripted-1", "settings": priced.meta["settings"]}
    broken = broken_off(priced, tmp_path / "run", **meta)
    assert told_of(priced)["dollars"] == told_of(broken)["dollars"] == spent
    assert json.loads(command("show", broken.folder, "--json").out)["dollars"] == spent


def test_a_cost_that_nobody_knows_is_said_to_be_and_why(priced: Run, tmp_path: Path) -> None:
    unknown = broken_off(priced, tmp_path / "unknown", model_name="somebody's own")
    assert told_of(unknown)["dollars"] == "unknown: state the price of somebody's own under stack.prices"
    models = {"a": "scripted-1", "b": "people"}
    voices = {voice: {"backend": "test", "model_name": model} for voice, model in models.items()}
    several = broken_off(priced, tmp_path / "several")
    with closing(sqlite3.connect(several.path)) as connection:
        connection.execute("INSERT INTO meta VALUES ('voices', ?)", (json.dumps(voices),))
        connection.execute("UPDATE agents SET voice = CASE agent % 2 WHEN 0 THEN 'a' ELSE 'b' END")
        connection.commit()
    assert told_of(several)["dollars"] == "unknown until the run stops: its voices differ in price"
    with several.connection() as connection:
        spent, used = spent_so_far(connection), tokens_by_voice(connection)
    dollars = used["a"][0] * 3e-6 + used["a"][1] * 5e-6
    assert cost(several, spent, 0, used) == pytest.approx(dollars)


def test_answers_whose_tokens_nobody_counted_make_a_cost_unknown(
    priced: Run, command: Callable[..., Any], tmp_path: Path
) -> None:
    broken = broken_off(priced, tmp_path / "run", model_name="scripted-1", settings=priced.meta["settings"])
    with closing(sqlite3.connect(broken.path)) as connection, connection:
        connection.execute("UPDATE events SET prompt_tokens = NULL WHERE realization = 0")
        (n,) = connection.execute("SELECT COUNT(*) FROM events WHERE realization = 0").fetchone()
    words = f"unknown: no server counted the tokens of {n:,} answers"
    assert told_of(broken)["dollars"] == words
    assert json.loads(command("show", broken.folder, "--json").out)["dollars"] == words


def test_how_long_a_run_of_fixed_size_takes_is_told_before_any_realization_has_ended(
    play: Callable[..., Run], tmp_path: Path
) -> None:
    played = play(ResponseRatioExperiment(items_per_severity=1, repeats=2))
    run = broken_off(played, tmp_path / "run")
    n = 2 * 32 * 2
    with closing(sqlite3.connect(run.path)) as connection, locked(run.folder):
        connection.execute("CREATE TEMP TABLE late AS SELECT * FROM events LIMIT 28")
        connection.execute("UPDATE realizations SET status = 'running'")
        connection.execute("DELETE FROM events")
        connection.commit()
        watched = Watched(run.folder, lambda *_: "running", cost)
        watched.look()
        told = json.loads(watched.parts["progress"])
        assert (told["left_s"], told["left_unknown"]) == (None, "nothing came lately")
        connection.execute("INSERT INTO events SELECT * FROM late")
        connection.commit()
        watched.look()
    told = json.loads(watched.parts["progress"])
    assert told["left_s"] == pytest.approx((n - 28) / told["rate"])
    assert told["left_unknown"] == ""


def test_how_a_run_ended_is_the_last_that_watchers_see(played: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(played.folder, tmp_path / "run"))
    standing = ["running"]

    async def main() -> str:
        watch = Watch([run.folder], lambda *_: standing[0], cost, print)
        async with aiohttp.ClientSession() as session:
            async with watch.serving() as address:
                stream = await session.get(f"{address}stream")
                assert b'"status":"running"' in await stream.content.readline()
                standing[0] = "stopped: interrupted"
            return (await stream.content.read()).decode()

    assert '"status":"stopped: interrupted"' in asyncio.run(main())


def test_what_a_new_sitting_takes_out_of_the_log_is_counted_no_more(played: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(played.folder, tmp_path / "run"))
    watched = Watched(run.folder, lambda *_: "running", cost)
    watched.look()
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute("DELETE FROM events WHERE realization = 3")
        connection.execute("INSERT INTO incidents VALUES (NULL, 'resumed', '{}', 9e9)")
        connection.commit()
    watched.look()
    while watched.look() and (watched.is_behind or json.loads(watched.parts["progress"])["uncounted"]):
        pass
    assert json.loads(watched.parts["progress"])["n"] == len(run.frame("decisions"))


def test_a_log_that_is_gone_is_told_once_and_the_page_stands(played: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(played.folder, tmp_path / "run"))

    async def visit(visitor: Visitor) -> None:
        async with visitor.watching():
            run.path.unlink()
            while not told:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)
            assert (await visitor.text("0/decisions"))[0] == 400
            assert (await visitor.text())[0] == 200

    told = list[str]()
    visited([run.folder], visit, told)
    assert len(told) == 1
    assert "cannot be read" in told[0]


@pytest.mark.parametrize(
    ("change", "cell"),
    [
        ("UPDATE OR REPLACE events SET kind = x'ff'", "events.kind"),
        ("UPDATE incidents SET detail = '{'", "incidents.detail"),
        ("UPDATE prompts SET messages = 'x'", "prompts.messages"),
        ("UPDATE networks SET edges = 5", "networks.edges"),
    ],
)
def test_a_cell_of_another_kind_is_told_to_be_damage(
    played: Run, tmp_path: Path, change: str, cell: str
) -> None:
    folder = shutil.copytree(played.folder, tmp_path / "run")
    with closing(sqlite3.connect(folder / "events.sqlite")) as connection, connection:
        connection.execute(change)

    async def visit(visitor: Visitor) -> None:
        (row, *_) = (await visitor.json("0/decisions"))["rows"]
        key = json.dumps([row["log"], [row[name] for name in KEY]])
        for path, query in (("0/network", {}), ("0/decision", {"key": key})):
            status, text = await visitor.text(path, **query)
            if status != 200:
                assert status == 400
                raise RunFolderError(text)

    with pytest.raises(RunFolderError, match=rf"is damaged: {cell} holds"):
        visited([folder], visit)


def test_pages_of_decisions_hold_every_one_once_in_the_order_of_the_log(played: Run) -> None:
    async def visit(visitor: Visitor) -> None:
        found, after, n_pages = [], None, 0
        while n_pages == 0 or after:
            page = await visitor.json("0/decisions", **({"after": json.dumps(after)} if after else {}))
            assert len(page["rows"]) <= N_SHOWN
            found += page["rows"]
            after, n_pages = page["after"], n_pages + 1
        logged = played.frame("decisions")[KEY].to_numpy().tolist()
        assert [[row[name] for name in KEY] for row in found] == logged
        assert n_pages > 1

    visited([played.folder], visit)


def test_decisions_are_found_by_what_they_are_and_by_words_in_any_case(played: Run) -> None:
    logged = played.frame("decisions")

    def n(**query: str) -> int:
        rows, after = 0, None
        while True:
            page = read_page(played, Wanted.read(query), after)
            rows += len(page["rows"])
            if page["after"] is None:
                return rows
            after = tuple(page["after"])

    assert n() == len(logged)
    assert n(answer="yes") == (logged.decision == 1).sum()
    assert n(answer="missing") == logged.missing.notna().sum() > 0
    assert n(realization="2", step="1") == ((logged.realization == 2) & (logged.step == 1)).sum() > 0
    assert n(kind="seed", agent="3") == ((logged.kind == "seed") & (logged.agent == 3)).sum()
    assert n(search="ALERT pERHaps") == logged.text.str.contains("Perhaps").sum() > 0
    assert n(search="alert nowhere") == 0
    # What LIKE would take for any letter is itself.
    assert n(search="al_rt") == n(search="%") == 0


def test_a_search_looks_through_a_bounded_part_and_says_where_to_go_on(
    play: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, played: Run
) -> None:
    monkeypatch.setattr("agentnet.view.decisions.N_LOOKED_THROUGH", 20)
    n_events = len(played.frame("events"))
    after, n_pages = None, 0
    while n_pages == 0 or after:
        page = read_page(played, Wanted(words=("nowhere",)), after)
        assert page["rows"] == []
        after, n_pages = page["after"] and tuple(page["after"]), n_pages + 1
    assert n_pages == n_events // 20 + 1
    assert N_LOOKED_THROUGH <= 20_000


def test_a_decision_unfolds_into_prompt_and_attempts(played: Run) -> None:
    async def visit(visitor: Visitor) -> None:
        page = await visitor.json("0/decisions", answer="missing")
        row = page["rows"][0]
        key = json.dumps([row["log"], [row[name] for name in KEY]])
        full = await visitor.json("0/decision", key=key)
        assert [role for role, _ in full["messages"]] == ["system", "user"]
        assert full["attempts"][0]["text"].startswith("Perhaps <script>alert(1)</script>")
        assert "[U+202E]" in full["attempts"][0]["text"]
        status, text = await visitor.text("0/decision", key=json.dumps([0, [77, "seed", 0, 0, 0, 0]]))
        assert (status, "no such decision" in text) == (400, True)

    visited([played.folder], visit)


def test_a_network_is_drawn_from_who_engaged_when(played: Run) -> None:
    async def visit(visitor: Visitor) -> None:
        found = await visitor.json("0/network", realization=1)
        agents = played.frame("agents").query("realization == 1")
        assert found["engaged"] == agents.engaged_step.fillna(-1).astype(int).tolist()
        assert found["counts"] == played.frame("steps").query("realization == 1").n_engaged.tolist()
        assert len(found["xy"]) == 2 * len(agents) == 32
        traits = found["groups"]["openness"]
        assert traits["names"] == ["low", "high"]
        assert traits["of"] == [int(bits[0]) for bits in agents.profile]
        moves = await visitor.json("0/network", realization=1, moves=1)
        assert moves == {name: found[name] for name in moves}
        assert "xy" not in moves
        assert await visitor.json("0/network", realization=99) is None

    visited([played.folder], visit)


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("0/decisions", {"answer": "perhaps"}, "there is no answer 'perhaps'; known: yes, no, missing"),
        ("0/decisions", {"realization": "-1"}, "realization is a number from 0 on"),
        ("0/decisions", {"step": "1e9"}, "step is a number from 0 on"),
        ("0/decisions", {"agent": "9" * 30}, "agent is a number from 0 on"),
        ("0/decisions", {"after": "[0,[1,2]]"}, "is no place in a log"),
        ("0/decisions", {"after": "[" * 1_000}, "is no place in a log"),
        ("0/decisions", {"after": "[7,null]"}, "the run has 1 logs"),
        ("0/decisions", {"after": "[-1,null]"}, "the run has 1 logs"),
        ("0/decisions", {"after": '[0,[1,"seed",9e99,1,1,1]]'}, "is no place in a log"),
        ("0/decision", {}, "is no place in a log"),
        ("0/network", {"realization": "x"}, "realization is a number from 0 on"),
    ],
)  # fmt: skip
def test_what_nobody_can_ask_for_is_refused_in_words(
    played: Run, path: str, query: dict[str, str], words: str
) -> None:
    async def visit(visitor: Visitor) -> None:
        status, text = await visitor.text(path, **query)
        assert status == 400, text
        assert words in text
        assert (await visitor.text("1/decisions"))[0] == (await visitor.text("x/network"))[0] == 404

    visited([played.folder], visit)
