"""The gate never fails by a percentage of which a worker's part is missing: it names the worker."""

import subprocess
import sys
from pathlib import Path

import pytest

LOSES = """

def pytest_sessionfinish(session):
    if getattr(session.config, "workerinput", {}).get("workerid") == "gw1":
        __import__("os")._exit(3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True])
def test_a_worker_that_takes_its_coverage_with_it_is_named(tmp_path, lost):
    hooks = (Path(__file__).parent / "conftest.py").read_text()
    (tmp_path / "conftest.py").write_text(hooks)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text(LOSES if lost else "")
    (tmp_path / "tests" / "test_few.py").write_text("def test_one(): pass\ndef test_two(): pass\n")
    (tmp_path / ".coveragerc").write_text(
        "[run]\nparallel = true\nsource = tests\n[report]\nfail_under = 100\n"
    )
    (tmp_path / "tests" / "untested.py").write_text("print(1)\n")
    options = ["--numprocesses", "2", "--cov", "--cov-config", ".coveragerc"]
    command = [sys.executable, "-m", "pytest", *options, "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout
    assert ("worker gw1 ended without handing over its coverage" in done.stdout) == lost
    assert ("less than fail-under" in done.stdout) == (not lost)
    assert done.returncode == (pytest.ExitCode.INTERNAL_ERROR if lost else pytest.ExitCode.TESTS_FAILED)
