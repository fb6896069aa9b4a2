"""What a person wrote can be taken out of a run: it is in no file any more, and the log is still sound."""

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from typing import Literal

import pytest
from pydantic import BaseModel

import agentnet
from agentnet import CascadeExperiment, Run
from agentnet.errors import RunFolderError, UserError
from agentnet.events import check_unchanged, verify
from agentnet.events.checksums import HASH_NAME
from agentnet.events.forget import MARK, check_can_go_on, look_at_forgotten
from agentnet.people.forgetting import forget_person, forget_seats, without_texts
from agentnet.people.ledger import LEDGER_NAME, Ledger
from agentnet.people.room import question_name

SECRETS = {
    agent: f"dear «{agent}», my street is \"Elm\\Oak {agent}\"\nand 'ünï' \U0001f600" for agent in range(6)
}


class Told(BaseModel):
    share: bool
    mood: Literal["calm", "worried"]
    text: str


class Gossip(CascadeExperiment):
    """Everybody tells what they heard last, and something of their own."""

    n_agents, steps, items_per_severity, repeats, network, degree = 6, 3, 1, 1, "random_regular", 2
    answer, decides, passes_on, asking_rule = Told, "share", "text", "always"
    voices = {"person": "rule"}  # noqa: RUF012 - the design

    def rule(self, exposure):
        return Told(share=True, mood="worried", text=SECRETS[exposure.agent])


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Play a run whose agents write secrets."""
    folder = tmp_path_factory.mktemp("forget") / "run"
    agentnet.play(Gossip(), out=folder, progress=False)
    return folder


@pytest.fixture
def run(played, tmp_path, monkeypatch):
    """Give a copy of it."""
    monkeypatch.chdir(tmp_path)
    return Run(shutil.copytree(played, "run"))


def every_byte(folder) -> str:
    """Give all that can be read in a folder, tables of Parquet files spelled out."""
    import pyarrow.parquet as pq

    files = [path for path in folder.rglob("*") if path.is_file()]
    tables = [str(pq.read_table(path).to_pylist()) for path in files if path.suffix == ".parquet"]
    return "".join([path.read_bytes().decode("utf-8", "ignore") for path in files] + tables)


def rest_of(run) -> list[tuple]:
    """Give what of a run forgetting leaves as it is."""
    return [
        run.rows(f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3, 4, 5, 6")[1]
        for table, columns in (
            ("events", "realization, kind, step, agent, source, repeat, decision, missing, prompt"),
            ("steps", "*"),
            ("messages", "realization, message, author, parent, step, 1, 2"),
            ("agents", "realization, agent, profile, engaged_step, voice, 1"),
        )
    ]


def test_a_forgotten_text_is_in_no_file_of_the_run_and_the_rest_is_as_it_was(run):
    before, rest, n = run.digest(), rest_of(run), run.rows("SELECT COUNT(*) FROM events WHERE agent = 2")[1]
    assert "Oak 2" in every_byte(run.folder)
    with closing(sqlite3.connect(run.path)) as connection:
        # What was deleted before lies about in the file, too.
        connection.execute("PRAGMA secure_delete = OFF")
        row = "INSERT INTO incidents VALUES (999, 'x', ?, 0)"
        connection.execute(row, (SECRETS[2] * 1_000,))
        connection.execute("DELETE FROM incidents WHERE incident = 999")
        connection.commit()
    found = forget_person(run.folder, "0:2")
    again = Run(run.folder)
    assert found.n_texts == 1
    assert list(found.left_in) == []
    text = every_byte(run.folder)
    assert "Oak 2" not in text
    assert "Oak 3" in text
    assert rest_of(again) == rest
    assert again.rows("SELECT COUNT(*) FROM events WHERE agent = 2")[1] == n
    texts = {
        text for (text,) in again.rows("SELECT json_extract(value, '$.text') FROM events WHERE agent = 2")[1]
    }
    assert texts == {MARK}
    assert {text for (text,) in again.rows("SELECT text FROM messages WHERE author = 2")[1]} == {MARK}
    detail = json.loads(again.rows("SELECT detail FROM incidents WHERE kind = 'forgotten'")[1][0][0])
    assert (detail["digest_before"], detail["digest"]) == (before, again.digest())
    kept = (run.folder / HASH_NAME).read_text()
    assert kept.split()[0] == hashlib.sha256(run.path.read_bytes()).hexdigest()


def test_a_log_of_which_a_text_was_forgotten_is_sound_and_says_so(run, command):
    forget_seats(run.folder, [(0, 2)])
    check_unchanged(Run(run.folder))
    assert all(told.startswith("ok") for told in verify(Run(run.folder)).values())
    done = command("verify", "run")
    assert done.code == 0
    assert "1 texts of 1 agents were forgotten" in done.out


def test_a_text_that_is_put_back_is_found(run):
    forget_seats(run.folder, [(0, 2)])
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute("UPDATE messages SET text = 'Elm' WHERE author = 2")
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.commit()
    assert look_at_forgotten(Run(run.folder)).startswith("damaged")


def test_two_people_are_forgotten_one_after_the_other(run):
    forget_seats(run.folder, [(0, 2)])
    forget_seats(run.folder, [(0, 4)])
    text = every_byte(run.folder)
    assert "Oak 2" not in text
    assert "Oak 4" not in text
    assert look_at_forgotten(Run(run.folder)).startswith("ok")


def test_with_a_ledger_what_was_chosen_stays_and_what_a_panel_called_them_goes(run):
    with closing(Ledger(run.folder)) as ledger:
        ledger.add("came", person=1, panel={"PROLIFIC_PID": "0123456789abcdef"})
        ledger.add("seated", person=1, seat=[0, 2])
        keys = run.rows("SELECT realization, kind, step, agent, source, repeat FROM events WHERE agent = 2")[
            1
        ]
        for key in keys:
            ledger.add(
                "answered", question=question_name(*key), seat=[0, 2], person=1, text="Oak 2", free=[["text"]]
            )
    found = forget_person(run.folder, "1")
    assert found.n_texts == 1
    values = [
        json.loads(value) for (value,) in Run(run.folder).rows("SELECT value FROM events WHERE agent = 2")[1]
    ]
    assert all(value == {"share": True, "mood": "worried", "text": MARK} for value in values)
    kept = (run.folder / LEDGER_NAME).read_text()
    assert "Oak" not in kept
    assert "0123456789abcdef" not in kept


def test_of_answers_of_which_the_ledger_knows_that_all_was_chosen_nothing_is_forgotten(run):
    with closing(Ledger(run.folder)) as ledger:
        for key in run.rows("SELECT realization, kind, step, agent, source, repeat FROM events")[1]:
            ledger.add("answered", question=question_name(*key), free=[])
    assert forget_seats(run.folder, [(0, 2)]).n_texts == 0
    assert "Oak 2" in every_byte(run.folder)


@pytest.mark.parametrize("line", [b"{", b"null", b"7", b"[[]]", b"\xff"])
def test_of_a_damaged_ledger_nothing_is_forgotten_but_a_torn_end_is_nothing(run, command, line):
    before = run.digest()
    (run.folder / LEDGER_NAME).write_bytes(line + b"\n")
    done = command("forget", run.folder, "0:0")
    assert (done.code, f"{LEDGER_NAME} is damaged" in done.err) == (2, True), done
    assert run.digest() == before
    (run.folder / LEDGER_NAME).write_bytes(line)
    assert command("forget", run.folder, "0:0").code == 0


def test_who_is_to_be_forgotten_must_be_there(run):
    with pytest.raises(UserError, match="REALIZATION:AGENT"):
        forget_person(run.folder, "7")
    with closing(Ledger(run.folder)):
        pass
    with pytest.raises(UserError, match="nobody in"):
        forget_person(run.folder, "7")


def test_a_damaged_log_is_not_sealed_again(run):
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute("UPDATE steps SET n_yes = n_yes + 1")
        connection.commit()
    with pytest.raises(RunFolderError, match="damaged"):
        forget_seats(run.folder, [(0, 2)])


def test_news_that_somebody_repeats_word_for_word_stays_news(run):
    news = run.rows("SELECT text FROM news")[1][0][0]
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute("UPDATE events SET value = json_set(value, '$.text', ?) WHERE agent = 2", (news,))
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.commit()
    query = "SELECT COUNT(*) FROM prompts WHERE instr(json_extract(messages, '$[1][1]'), ?)"
    n_before = run.rows(query, (news,))[1][0][0]
    forget_seats(run.folder, [(0, 2)])
    assert Run(run.folder).rows("SELECT text FROM news")[1][0][0] == news
    assert Run(run.folder).rows(query, (news,))[1][0][0] == n_before > 0


def test_copies_without_the_texts_of_people_leave_the_runs_as_they_are(run):
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute("UPDATE replies SET model = 'people'")
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.commit()
    before = run.path.read_bytes()
    with without_texts([run.folder]) as (copy,):
        assert "Oak" not in every_byte(copy)
        assert Run(copy).rows("SELECT COUNT(*) FROM events") == run.rows("SELECT COUNT(*) FROM events")
        assert copy.name == run.folder.name
    assert run.path.read_bytes() == before
    with without_texts([run.folder], drop=False) as same:
        assert same == [run.folder]


@pytest.fixture
def broken_off(run):
    """Give a copy whose first realization has not ended."""
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute("UPDATE realizations SET status = 'running' WHERE realization = 0")
        connection.execute("UPDATE meta SET value = '\"running\"' WHERE key = 'status'")
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.commit()
    return Run(run.folder)


def test_of_a_realization_that_others_are_asked_in_yet_nothing_is_forgotten_unless_it_is_given_up(
    broken_off, command
):
    before = every_byte(broken_off.folder)
    refused = command("forget", "run", "0:2")
    assert (refused.code, every_byte(broken_off.folder)) == (2, before)
    assert "realization 0 of run has not ended" in refused.err
    assert "agentnet run --resume run" in refused.err
    assert command("forget", "run", "0:2", "--anyway").code == 0
    assert "Oak 2" not in every_byte(broken_off.folder)
    resumed = command("run", "--resume", "run")
    assert resumed.code == 2
    assert "texts of realization 0 were forgotten before it ended" in resumed.err
    assert "forgotten, before the run had ended" in look_at_forgotten(Run("run"))


def test_of_a_realization_that_has_ended_texts_are_forgotten_though_the_run_has_not(broken_off):
    assert forget_seats(broken_off.folder, [(1, 2)]).n_texts == 1
    check_can_go_on(broken_off)


def test_who_chose_everything_is_forgotten_though_the_run_has_not_ended(broken_off):
    with closing(Ledger(broken_off.folder)) as ledger:
        for key in broken_off.rows("SELECT realization, kind, step, agent, source, repeat FROM events")[1]:
            ledger.add("answered", question=question_name(*key), free=[])
    assert forget_seats(broken_off.folder, [(0, 2)]).n_texts == 0
    check_can_go_on(broken_off)


def answers_of_others(run) -> list[tuple]:
    return run.rows(
        "SELECT realization, kind, step, agent, source, text, value FROM events JOIN replies USING (reply) "
        "WHERE (realization, agent) <> (0, 2) ORDER BY 1, 2, 3, 4, 5"
    )[1]


@pytest.mark.parametrize("of", ["a prompt", "others", "short"])
def test_who_writes_what_everybody_says_and_is_forgotten_takes_it_from_nobody_else(run, of):
    ((prompt,),) = run.rows(
        "SELECT json_extract(messages, '$[0][1]') FROM events JOIN prompts USING (prompt) "
        "WHERE (realization, agent) = (0, 2) ORDER BY step LIMIT 1"
    )[1]
    written = {"a prompt": prompt, "others": SECRETS[3], "short": "street"}[of]
    with closing(sqlite3.connect(run.path)) as connection:
        where = "WHERE (realization, agent) = (0, 2)"
        connection.execute(f"UPDATE events SET value = json_set(value, '$.text', ?) {where}", (written,))
        # A short word is everybody's also where nobody has said it before.
        moved = "step + 9 WHERE agent <> 2" if of == "short" else f"0 {where.replace('2', '3')}"
        connection.execute(f"UPDATE events SET step = {moved}")
        # What others were told is another matter: see above.
        connection.execute("UPDATE prompts SET messages = replace(messages, 'street', 'road')")
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.commit()
    others, prompts = answers_of_others(run), run.rows("SELECT prompt, messages FROM prompts ORDER BY 1")[1]
    forget_seats(run.folder, [(0, 2)])
    again = Run(run.folder)
    assert answers_of_others(again) == others
    assert again.rows("SELECT prompt, messages FROM prompts ORDER BY 1")[1] == prompts
    own = "SELECT DISTINCT json_extract(value, '$.text') FROM events WHERE (realization, agent) = (0, 2)"
    assert again.rows(own)[1] == [(MARK,)]
