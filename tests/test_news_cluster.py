"""`agentnet news cluster`: from texts to severities that a run takes and clusters that a report draws."""

import csv
import json
from contextlib import chdir

import pytest
from click.testing import CliRunner

from agentnet import ResponseRatioExperiment
from agentnet.analysis.severity_clusters import SeverityClusters
from agentnet.cli import cli
from agentnet.errors import ConfigurationError, InputError, RunFolderError
from agentnet.news import load_news, sample_news


@pytest.fixture
def clustering(tmp_path):
    """Give a function that clusters in an empty folder."""

    def call(*arguments):
        with chdir(tmp_path):
            words = ["news", "cluster", *map(str, arguments), "--max-clusters", "2", "--max-components", "2"]
            return CliRunner().invoke(cli, words)

    return call


def test_the_sample_falls_into_peaceful_and_severe_and_its_labels_fit(clustering, tmp_path):
    told = clustering("--out", "c.json", "--labels", "l.csv")
    assert told.exit_code == 0, told.output
    found = SeverityClusters.from_json((tmp_path / "c.json").read_text())
    items = sample_news().items
    assert found.severity == {item.id: item.severity for item in items}
    with (tmp_path / "l.csv").open() as file:
        assert {row["id"]: int(row["severity"]) for row in csv.DictReader(file)} == found.severity
    assert f"{len(items)} of {len(items)}" in told.output or "1.000" in told.output


def test_a_users_file_is_clustered_and_takes_the_labels(clustering, tmp_path):
    rows = [
        {"id": i, "text": text}
        for i, text in enumerate(["a march", "a march for bread", "a raid", "a raid again"])
    ]
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = clustering("posts.jsonl", "--out", "c.json", "--labels", "l.csv", "-E", "dim=64")
    assert told.exit_code == 0, told.output
    assert "not named" in told.output
    assert len(load_news(tmp_path / "posts.jsonl", severity=tmp_path / "l.csv").items) == 4


def test_the_items_of_a_run_are_clustered(clustering, play, tmp_path):
    run = play(ResponseRatioExperiment(items_per_severity=3, repeats=1))
    told = clustering(run.folder, "--out", "c.json")
    assert told.exit_code == 0, told.output
    found = SeverityClusters.from_json((tmp_path / "c.json").read_text())
    assert list(found.ids) == [row[0] for row in run.rows("SELECT id FROM news ORDER BY news")[1]]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("--out", "c.json", "-E", "dim"), ConfigurationError, "KEY=VALUE"),
        (("--out", "c.json", "-E", "size=3"), ConfigurationError, "embedder.size"),
        (("--out", "there.json"), InputError, "exists already"),
        (("--out", "c.json", "--labels", "there.json"), InputError, "exists already"),
        (("no_such_run", "--out", "c.json"), RunFolderError, "no_such_run"),
    ],
)
def test_wrong_input_is_told_before_anything_is_written(clustering, tmp_path, arguments, error, words):
    (tmp_path / "there.json").write_text("mine")
    told = clustering(*arguments)
    assert isinstance(told.exception, error), told.exception
    assert words in str(told.exception)
    assert (tmp_path / "there.json").read_text() == "mine"
    assert not (tmp_path / "c.json").exists()
