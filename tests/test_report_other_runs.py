"""Reports of runs that there is no report of yet."""

import asyncio
from pathlib import Path

import pytest

from agentnet import InterviewExperiment
from agentnet.backend import make_backend
from agentnet.config import LogSettings, Settings, StackSettings
from agentnet.errors import UserError
from agentnet.experiment import Source
from agentnet.report import write_report
from agentnet.runner import Runner, assemble, create


def test_a_run_of_interacting_models_is_refused_in_words_and_nothing_is_written(tmp_path):
    chosen = Settings(runs=tmp_path, stack=StackSettings(cache=False), log=LogSettings(parquet=False))
    experiment = InterviewExperiment(
        models={"society": 2}, n_evaluation=2, n_questions=1, n_taught=2, steps=1, update="none"
    )
    prepared = assemble((experiment,), chosen, tmp_path / "run")
    create(prepared, Source(Path("made_by_a_test.py"), ""), backend="test", model_name="test-1")
    asyncio.run(Runner(prepared, make_backend("mock", {})).play())
    with pytest.raises(UserError, match=r"of interacting models.*agentnet\.analysis\.perspectives"):
        write_report([tmp_path / "run"], tmp_path / "report")
    assert not (tmp_path / "report").exists()
