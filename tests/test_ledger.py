"""Bounds on calls and money hold against what the server charges, whatever becomes of its replies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from agentnet import Run
from agentnet.backend import Request, make_backend
from agentnet.config import Settings
from agentnet.errors import RunStopped
from agentnet.experiment import Source
from agentnet.prompts import answer_schema
from agentnet.runner import Runner, create, prepare, reopen
from agentnet.runner.play import spent_before
from agentnet.stack import PromptTokens

SMALL = """
from agentnet import CascadeExperiment

class Small(CascadeExperiment):
    n_agents = 24
    degree = 3
    steps = 4
    repeats = 3
    items_per_severity = 2
"""
PRICE = {"input": 2.0, "output": 8.0}


def completion(choices, **usage):
    return {"model": "m", "choices": choices, "usage": usage}


def said(text="Yes. It matters."):
    return [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}]


class Till:
    """A server that charges for whatever it does; `fate(number)` says what that is."""

    def __init__(self, fate):
        self.fate = fate
        self.calls = self.prompt_tokens = self.completion_tokens = 0
        self.asked = asyncio.Event()

    @property
    def dollars(self):
        return (self.prompt_tokens * PRICE["input"] + self.completion_tokens * PRICE["output"]) / 1e6

    def charge(self, prompt, completion):
        self.prompt_tokens += prompt
        self.completion_tokens += completion

    async def answer(self, request):
        await request.read()
        self.calls += 1
        self.asked.set()
        match self.fate(self.calls):
            case "thinks":
                self.charge(200, 900)
                usage = {"prompt_tokens": 200, "completion_tokens": 30, "total_tokens": 1100}
                return web.json_response(completion(said(), **usage))
            case "thinks beside":
                self.charge(200, 900)
                details = {"reasoning_tokens": 870}
                usage = {"prompt_tokens": 200, "completion_tokens": 30, "completion_tokens_details": details}
                return web.json_response(completion(said(), **usage))
            case "says nothing":
                self.charge(200, 60)
                return web.json_response(completion([], prompt_tokens=200, completion_tokens=60))
            case "says it in a way that nobody knows":
                self.charge(200, 60)
                return web.json_response({"output": "Yes."})
            case "breaks off":
                self.charge(200, 60)
                response = web.StreamResponse(headers={"Content-Length": "1000"})
                await response.prepare(request)
                await response.write(b'{"choices": [')
                request.transport.close()
                return response
            case "is late":
                self.charge(200, 60)
                await asyncio.sleep(60.0)
            case "refuses":
                self.charge(200, 0)
                body = {"error": {"code": "content_filter", "message": "no"}, "usage": {"prompt_tokens": 200}}
                return web.json_response(body, status=400)
            case "is busy":
                return web.json_response({"error": {"message": "busy"}}, status=503)
        self.charge(200, 30)
        return web.json_response(completion(said(), prompt_tokens=200, completion_tokens=30))

    @asynccontextmanager
    async def open(self):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()


def settings(till, runs, **stack):
    return Settings.model_validate(
        {
            "runs": runs,
            "backend": {"name": "openai", "model": "m", "base_url": till.url, "timeout_s": 0.4},
            "engine": {"workers": 16},
            "log": {"parquet": False},
            "stack": {
                "cache": False,
                "max_wait_s": 0.05,
                "min_in_flight": 8,
                "prices": {"m": PRICE},
                **stack,
            },
        }
    )


async def play(folder, chosen):
    backend = make_backend("openai", chosen.backend.options, {"OPENAI_API_KEY": "k"})
    if folder.exists():
        prepared = reopen(folder, chosen)
    else:
        prepared = prepare(Source(Path("small.py"), SMALL), chosen, folder)
        create(prepared, Source(Path("small.py"), SMALL), backend="openai", model_name="m")
    await Runner(prepared, backend).play()


FATES = [
    "thinks",
    "thinks beside",
    "says nothing",
    "says it in a way that nobody knows",
    "breaks off",
    "is late",
    "refuses",
]


@pytest.mark.parametrize("fate", FATES)
def test_a_bound_on_money_holds_whatever_a_server_charges_for(tmp_path, fate):
    """In two sittings: the second one counts on from what the first one was charged."""

    async def main():
        async with Till(lambda number: fate if number % 3 else "answers").open() as till:
            for dollars in (0.05, 0.08):
                with pytest.raises(RunStopped, match="max_cost"):
                    await play(tmp_path / "run", settings(till, tmp_path / "runs", max_cost=dollars))
                assert 0.0 < till.dollars <= dollars
            spent = spent_before(Run(tmp_path / "run"))
            assert spent.calls == till.calls
            assert spent.dollars >= till.dollars
            if fate in {"thinks", "thinks beside", "says nothing", "refuses"}:
                assert spent[1:3] == (till.prompt_tokens, till.completion_tokens)

    asyncio.run(main())


def worst_case(run):
    """Compute what the dearest call of a run may cost: what stops it is that this no longer fits."""
    requests = [
        Request(tuple(map(tuple, json.loads(text))), schema=answer_schema("inline"))
        for (text,) in run.rows("SELECT messages FROM prompts")[1]
    ]
    most = max(map(PromptTokens().most, requests))
    return (most * PRICE["input"] + requests[0].max_tokens * PRICE["output"]) / 1e6


def test_what_a_server_declines_for_its_load_costs_nothing(tmp_path):
    async def main():
        async with Till(lambda number: "answers" if number % 2 else "is busy").open() as till:
            with pytest.raises(RunStopped, match="max_cost"):
                await play(tmp_path / "run", settings(till, tmp_path / "runs", max_cost=0.05))
            spent = spent_before(Run(tmp_path / "run"))
            assert spent[:3] == (till.calls, till.prompt_tokens, till.completion_tokens)
            assert 0.05 - worst_case(Run(tmp_path / "run")) < till.dollars <= 0.05

    asyncio.run(main())


async def sit(folder, till, *bounds, kill_at=None):
    """Play or resume the run in a process of its own, and kill it once the server was asked so often."""
    command = [sys.executable, "-c", "from agentnet.cli import main; main()", "run"]
    if folder.exists():
        command += ["--resume", str(folder), "-S", f"backend.base_url={till.url}"]
    else:
        file = folder.parent / "small.py"
        file.write_text(SMALL)
        command += [str(file), "--out", str(folder), "--backend", "openai", "--model", "m"]
        chosen = settings(till, folder.parent / "runs").model_dump(mode="json", exclude_unset=True)
        for section in ("backend", "engine", "log", "stack"):
            for name, value in chosen[section].items():
                if name not in {"name", "model", "prices"}:
                    command += ["-S", f"{section}.{name}={json.dumps(value)}"]
        command += ["-S", f'stack.prices."m"={{input={PRICE["input"]}, output={PRICE["output"]}}}']
    process = await asyncio.create_subprocess_exec(
        *command,
        *bounds,
        env={**os.environ, "OPENAI_API_KEY": "k"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    reading = asyncio.create_task(process.communicate())
    while kill_at is not None and till.calls < kill_at and not reading.done():
        till.asked.clear()
        asked = asyncio.create_task(till.asked.wait())
        await asyncio.wait({asked, reading}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
    if kill_at is not None and process.returncode is None:
        process.send_signal(signal.SIGKILL)
    _, err = await reading
    return process.returncode, err.decode()


def test_bounds_hold_over_five_kills_and_calls_cut_off_by_them_count(tmp_path):
    def fate(number):
        return (*FATES[:5], "answers")[number % 6] if number % 2 else "answers"

    async def main():
        async with Till(fate).open() as till:
            folder = tmp_path / "run"
            few = ("--max-calls", "160", "--max-cost", "4")
            for kill_at in (10, 25, 40, 55, 70):
                code, err = await sit(folder, till, *few, kill_at=kill_at)
                assert code == -signal.SIGKILL, err
                assert spent_before(Run(folder)).calls >= till.calls
            code, err = await sit(folder, till, *few)
            assert (code, "max_calls" in err) == (3, True), err
            assert 75 < till.calls <= 160
            assert till.dollars <= 4.0
            assert spent_before(Run(folder)).dollars >= till.dollars
            # What the kills may have cost is spent, too: more than the server charged.
            dollars = round(spent_before(Run(folder)).dollars + 0.1, 3)
            code, err = await sit(folder, till, "--max-calls", "100000", "--max-cost", str(dollars))
            assert (code, "max_cost" in err) == (3, True), err
            assert till.dollars <= dollars

    asyncio.run(main())
