"""The real vLLM server that the tests of this folder share; see `test_real_vllm.py`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SERVER = Path(__file__).parent / "tiny_server.py"
START_S = 600.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Server:
    """vLLM as a process group of its own."""

    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def root(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        """Start it, and wait until it answers; give the seconds that took."""
        began = time.monotonic()
        folders = [Path(os.environ[name]).resolve() for name in ("VLLM_VENV", "VLLM_MODEL")]
        command = [sys.executable, SERVER, "serve", *folders, str(self.port)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > began + START_S:
                self.kill()
                pytest.exit(f"real vLLM does not start: {self.log.read_text()[-3000:]}", returncode=1)
            time.sleep(0.2)  # another process cannot tell us when it listens
        return time.monotonic() - began

    def answers(self):
        with suppress(OSError):
            return bool(self.read("/v1/models"))
        return False

    def read(self, path):
        with urllib.request.urlopen(self.root + path, timeout=30) as answer:
            return answer.read().decode()

    def metric(self, *names):
        """Add up all values of some metrics."""
        lines = [line for line in self.read("/metrics").splitlines() if line.startswith(names)]
        return sum(float(line.split()[-1]) for line in lines)

    def kill(self):
        """Kill the whole group, without a warning."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Start the server that all tests share; one that is killed in a test is started again there."""
    server = Server(tmp_path_factory.mktemp("vllm") / "server.log")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def port():
    """Find a port that nothing listens on."""
    return free_port()


@pytest.fixture
def say(capsys):
    """Print a figure where the user of ``make test-vllm`` sees it."""

    def say(text):
        with capsys.disabled():
            print(f"\n    {text}", end=" ", flush=True)

    return say
