"""Backend ``openai`` against aimock, a mock of model servers that others wrote.

Needs node and npm, and installs aimock from npm's registry unless AGENTNET_AIMOCK_DIR names a folder that has
it (see ``tests/aimock/start.sh``).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentnet.backend import Request
from agentnet.errors import BackendError, BackendUnusable, TransientError
from agentnet_backends.openai import OpenAIBackend

START = Path(__file__).parent / "aimock" / "start.sh"
INSTALL_S = 120.0
REQUEST = Request((("user", "Do you share it? Answer yes or no."),), temperature=0.7, max_tokens=16, seed=5)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node or npm is missing: the backend is NOT tested against aimock")
    return os.environ.get("AGENTNET_AIMOCK_DIR") or str(tmp_path_factory.mktemp("aimock"))


@contextmanager
def running(folder, *options):
    """Run aimock until the end of the block; give its base URL."""
    port = free_port()
    log = Path(folder) / f"aimock-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        # start.sh is our own, and its arguments are too.
        process = subprocess.Popen(
            ["bash", str(START), folder, str(port), *options], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + INSTALL_S
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(
                    f"aimock does not start, so the backend is NOT tested with it: {log.read_text()[-500:]}"
                )
            time.sleep(0.05)  # another process cannot tell us when it listens
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def aimock(folder):
    with running(folder) as url:
        yield url


async def outcome_of(backend, request):
    try:
        return await backend.complete(request)
    except BackendError as error:
        return error


def outcomes(url, *requests, model="steady", **options):
    async def main():
        backend = OpenAIBackend.from_options({"model": model, "base_url": url, **options}, {})
        try:
            return [await outcome_of(backend, request) for request in requests]
        finally:
            await backend.aclose()

    return asyncio.run(main())


def test_a_reply_is_read(aimock):
    (reply,) = outcomes(aimock, REQUEST)
    assert (reply.texts, reply.finish, reply.model) == (("yes",), (), "steady")
    assert reply.prompt_tokens is not None


def test_a_server_that_ignores_n_constraints_and_log_probabilities_is_survived(aimock):
    (reply,) = outcomes(aimock, REQUEST._replace(n=3, answers=("yes", "no"), logprobs=True))
    assert (reply.texts, reply.logprobs) == (("yes",), None)


@pytest.mark.parametrize(
    ("model", "error", "kind", "hint"),
    [
        ("limited", TransientError, "rate_limit", 3.0),
        ("failing", TransientError, "server_error", None),
        ("broke", BackendUnusable, "insufficient_quota", None),
    ],
)
def test_its_errors_become_ours(aimock, model, error, kind, hint):
    (failure,) = outcomes(aimock, REQUEST, model=model)
    assert (type(failure), failure.kind) == (error, kind)
    assert getattr(failure, "retry_after_s", None) == hint


def test_trying_again_helps_a_flaky_server(aimock):
    first, second = outcomes(aimock, REQUEST, REQUEST, model="flaky")
    assert first.kind == "unavailable"
    assert second.texts == ("yes",)


def test_an_empty_reply_and_one_of_many_words_are_quoted(aimock):
    assert outcomes(aimock, REQUEST, model="silent")[0].texts == ("",)
    (reply,) = outcomes(aimock, REQUEST._replace(answers=("yes", "no")), model="chatty")
    assert reply.texts == ("**No.** My neighbours know it already.",)


@pytest.mark.parametrize(
    ("option", "kinds"),
    [
        ("--chaos-ratelimit", {"rate_limit"}),
        ("--chaos-drop", {"server_error"}),
        ("--chaos-malformed", {"malformed_json"}),
        ("--chaos-disconnect", {"disconnected", "reset"}),
    ],
)
def test_every_kind_of_chaos_is_transient(folder, aimock, option, kinds):
    with running(folder, option, "1") as url:
        (failure,) = outcomes(url, REQUEST)
    assert isinstance(failure, TransientError)
    assert failure.kind in kinds


def test_in_mixed_chaos_every_call_ends_in_a_reply_or_a_typed_error(folder, aimock):
    options = ["--chaos-ratelimit", "0.2", "--chaos-malformed", "0.1", "--chaos-disconnect", "0.1"]
    with running(folder, *options) as url:
        found = outcomes(url, *[REQUEST._replace(seed=seed) for seed in range(120)])
    failures = [each for each in found if isinstance(each, BackendError)]
    assert all(isinstance(each, TransientError) for each in failures)
    assert 0 < len(failures) < 120
    assert {each.texts for each in found if not isinstance(each, BackendError)} == {("yes",)}
