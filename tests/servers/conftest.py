"""llama.cpp's server, which the tests of this folder share; see `test_real_llama.py`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

N_SLOTS = 4
START_S = 120.0


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """Start it; give its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("llama") / "server.log"
    command = [sys.executable, Path(__file__).with_name("llama_server.py"), os.environ["LLAMA_MODEL"]]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, str(port), str(N_SLOTS)], stdout=output, stderr=output)
    root = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    while not _answers(root):
        if process.poll() is not None or time.monotonic() > began + START_S:
            process.kill()
            pytest.exit(f"llama.cpp's server does not start: {log.read_text()[-3000:]}", returncode=1)
        time.sleep(0.1)  # another process cannot tell us when it listens
    yield f"{root}/v1"
    process.kill()
    process.wait()


def _answers(root):
    with suppress(OSError):
        return urllib.request.urlopen(f"{root}/health", timeout=10).status == 200
    return False


@pytest.fixture
def say(capsys):
    """Print a figure where the user of ``make test-servers`` sees it."""

    def say(text):
        with capsys.disabled():
            print(f"\n    {text}", end=" ", flush=True)

    return say
