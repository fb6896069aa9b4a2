"""The command `rehearse`: a study with people is played by robots, before anybody is paid."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from agentnet.backend import Backend
from agentnet.cli.common import Chosen, Finite, print_found, setting_options
from agentnet.cli.completion import complete_files
from agentnet.cli.run import say
from agentnet.cli.sitting import sit
from agentnet.config import BackendSettings, Settings
from agentnet.errors import InternalError, UserError
from agentnet.events import Run
from agentnet.experiment import Source
from agentnet.people import HumanBackend
from agentnet.people.ledger import Ledger
from agentnet.people.pages import PERSON
from agentnet.people.robots import Account, Habits, faults_of, send_robots
from agentnet.people.room import ALREADY, DROPPED, LATE, THANKS, question_name
from agentnet.runner import Prepared, create, prepare
from agentnet.runner.begin import Ready
from agentnet.voices import RULE, described, make_voices, parts_of, voices_of

_MOCK = BackendSettings()


@click.command()
@click.argument("target", metavar="FILE[:Class]", shell_complete=complete_files)
@click.option("--people", type=click.IntRange(1), help="Robots; default: as many people as the study is for.")
@click.option(
    "--latency",
    type=Finite(0),
    default=0.2,
    show_default=True,
    help="Mean time to an answer, in seconds.",
)
@click.option(
    "--deadline",
    type=Finite(0, min_open=True),
    help="Time for an answer, in seconds; default: the study's.",
)
@click.option(
    "--dropouts",
    type=Finite(0, 1),
    default=0.02,
    show_default=True,
    help="Chance, at each question, to leave for good.",
)
@click.option(
    "--late",
    type=Finite(0, 1),
    default=0.0,
    show_default=True,
    help="Chance to answer after the deadline.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Fixes the run and what robots do.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Run folder to make and keep; default: none is kept."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@setting_options
def rehearse(
    target: str,
    people: int | None,
    latency: float,
    deadline: float | None,
    dropouts: float,
    late: float,
    seed: int,
    out: Path | None,
    as_json: bool,
    chosen: Chosen,
) -> None:
    """Play a study with robots in the place of its people, over real pages, and the mock in that of models.

    Robots agree, answer the questions on the study right, wait in the lobby, answer, click twice, reload, go
    back, come late and leave. What they were told is compared with the log: every answer that was taken
    stands there once, every late one was refused, and nobody's counts for another's. Nobody is paid, and no
    model is asked.

    \b
      agentnet rehearse experiments/mixed_people.py --people 20 --dropouts 0.1

    Exit codes: 0 all is as it should be, 3 the study cannot be played to its end, 4 an answer was lost or
    doubled.
    """
    settings = _on_mock(chosen.load([("--seed", "seed", seed)]).settings)
    habits = Habits(latency_s=latency, dropouts=dropouts, late=late, seed=seed)
    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "rehearsal"
        source = Source.read(target)
        prepared = prepare(source, settings, folder)
        answering, human = _with_mock(prepared, people, deadline)
        name, model_name = prepared.stage.who_answers(answering)
        create(prepared, source, backend=name, model_name=model_name, voices=described(answering))
        account = asyncio.run(_play((prepared, answering), human, habits))
        result, faults = compared(folder, account)
    print_found({**result, "faults": faults}, ("", ""), list(result.items()), as_json=as_json)
    if faults:
        raise InternalError(f"{len(faults)} answers did not fare as they should: {'; '.join(faults[:5])}")


def _on_mock(settings: Settings) -> Settings:
    """Let no model be asked, and nothing be remembered."""
    stays = settings.backend.name == HumanBackend.name
    return settings.model_copy(
        update={
            "backend": settings.backend if stays else _MOCK,
            "stack": settings.stack.model_copy(update={"cache": False}),
            "log": settings.log.model_copy(update={"parquet": False}),
            "engine": settings.engine.model_copy(update={"workers": 1_000}),
        }
    )


def _with_mock(
    prepared: Prepared, people: int | None, deadline_s: float | None
) -> tuple[Backend, HumanBackend]:
    """Make what answers: people as the study has them, the mock for all others."""
    voices = {
        voice: table if table == RULE or _is_human(table) else _MOCK.name
        for voice, table in voices_of(prepared.experiments).items()
    }
    answering = make_voices(prepared.settings, voices, {}, asks_own=prepared.stage.asks_own())
    backends = [part.backend for part in parts_of(answering).values()]
    humans = [backend for backend in backends if isinstance(backend, HumanBackend)]
    if len(humans) != 1:
        raise UserError(
            f"{type(prepared.experiments[0]).__name__} has {len(humans)} voices of people, and a rehearsal "
            'is for one: voices = {"person": {"name": "human", "people": 12}, ...}'
        )
    options = humans[0].options
    n = people or options.people
    update: dict[str, Any] = {
        "people": min(n, options.people),
        "links": n,
        "port": 0,
        "address": "",
        "stays_s": 1.0,
    }
    humans[0].options = options.model_copy(update=update | ({"deadline_s": deadline_s} if deadline_s else {}))
    return answering, humans[0]


def _is_human(table: object) -> bool:
    name = table.get("name") if isinstance(table, Mapping) else table
    return bool(name == HumanBackend.name)


async def _play(ready: Ready, human: HumanBackend, habits: Habits) -> Account:
    """Have the robots come as soon as there are pages; whichever fails ends both."""
    links: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()
    human.opened = links.set_result

    async def play_robots() -> Account:
        of_people = [link for name, link in (await links).items() if name.startswith(PERSON)]
        return await send_robots(of_people, habits, human.options.comprehension)

    way_out = "agentnet rehearse, which begins anew"
    sitting = asyncio.create_task(sit(ready, way_out=way_out, say=say, every_s=None))
    robots = asyncio.create_task(play_robots())
    try:
        await asyncio.wait({sitting, robots}, return_when=asyncio.FIRST_EXCEPTION)
        for task in (sitting, robots):
            if task.done():
                task.result()
        return await robots
    finally:
        for task in (sitting, robots):
            task.cancel()
        await asyncio.gather(sitting, robots, return_exceptions=True)


def compared(folder: Path, account: Account) -> tuple[dict[str, object], list[str]]:
    """Compare what robots were told with the log of their run.

    Returns:
        What happened, in numbers, and what does not fit, a sentence each.
    """
    rows = Run(folder).rows(
        "SELECT e.realization, e.kind, e.step, e.agent, e.source, e.repeat, r.text, e.missing "
        "FROM events e LEFT JOIN replies r USING (reply) WHERE r.model = ? OR e.missing = ?",
        (HumanBackend.model_name, DROPPED),
    )[1]
    answered = {question_name(*key): text for *key, text, missing in rows if missing is None}
    lines = Ledger(folder).lines
    noted = Counter(line["question"] for line in lines if line["what"] == "answered")
    over_s = [line["over_s"] for line in lines if line["what"] == DROPPED]
    faults = faults_of(account, answered)
    faults += [f"question {name} was answered {n} times" for name, n in noted.items() if n > 1]
    told: Counter[str] = sum(account.said.values(), Counter())
    result = {
        "questions": len(rows),
        "answered": len(answered),
        DROPPED: len(rows) - len(answered),
        **{f"told {word}": told[word] for word in (THANKS, ALREADY, LATE)},
        **dict(sorted(account.counts.items())),
        "longest overrun of a deadline, in ms": round(1000 * max(over_s, default=0.0), 1),
        "lost or doubled": len(faults),
    }
    return result, faults
