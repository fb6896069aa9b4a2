"""The look-up of backends by entry point: what is found, and what each kind of broken plug-in is told."""

import re
from pathlib import Path

import pytest

from agentnet.backend import Backend, Request, installed_backends, make_backend
from agentnet.errors import ConfigurationError, PluginError

ECHO = """
from agentnet.backend import Reply
from agentnet.errors import ConfigurationError


class Echo:
    about = "says what it was made with"
    needs = "nothing"
    name = "echo"
    model_name = "echo-1"

    def __init__(self, options):
        self.options = options

    @classmethod
    def from_options(cls, options, environ):
        if "volume" in options:
            raise ConfigurationError("backend.volume is no option of the echo")
        return cls(dict(options))

    async def complete(self, request):
        return Reply((str(self.options),))

    async def aclose(self):
        pass
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with one entry point, and its module, on the path."""

    def put(distribution: str, entries: str, version: str = "1.0", **modules: str) -> Path:
        root = tmp_path / distribution
        info = root / f"{distribution}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[agentnet.backends]\n{entries}\n")
        for module, source in modules.items():
            (root / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(root)
        return root

    return put


def test_the_bundled_mock_is_found_by_its_entry_point():
    mock = installed_backends()["mock"]
    assert (mock.name, mock.distribution) == ("mock", "agentnet-cascades")
    assert mock.target == "agentnet_backends.mock:MockBackend"
    assert mock.load().needs == "nothing"


def test_a_plug_in_of_another_distribution_is_found_and_made_with_its_options(install):
    install("echo-plugin", "echo = lookup_echo:Echo", version="2.5", lookup_echo=ECHO)
    found = installed_backends()["echo"]
    assert (found.distribution, found.version, found.target) == ("echo-plugin", "2.5", "lookup_echo:Echo")
    backend = make_backend("echo", {"volume_": 3})
    assert isinstance(backend, Backend)
    assert backend.options == {"volume_": 3}


def test_what_is_wrong_with_an_option_reaches_the_caller_untouched(install):
    install("echo-plugin", "echo = lookup_echo_options:Echo", lookup_echo_options=ECHO)
    with pytest.raises(ConfigurationError, match=r"^backend\.volume is no option of the echo$"):
        make_backend("echo", {"volume": 3})


def test_backends_are_listed_by_name_without_being_imported(install):
    install(
        "noisy-plugin",
        "zebra = lookup_noisy:Zebra\naardvark = lookup_noisy:Aardvark",
        lookup_noisy="raise RuntimeError('imported')",
    )
    names = list(installed_backends())
    assert names == sorted(names)
    assert {"aardvark", "mock", "zebra"} <= set(names)


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(PluginError, match=r"no backend 'mokc'; did you mean 'mock'\?.*agentnet backends"):
        make_backend("mokc", {})


def test_a_name_unlike_any_is_answered_with_all_that_are_installed(install):
    install("echo-plugin", "echo = lookup_unlike:Echo")
    with pytest.raises(PluginError, match="no backend 'qqqqqqqq'; known: ") as caught:
        make_backend("qqqqqqqq", {})
    assert "echo" in str(caught.value)
    assert "mock" in str(caught.value)


def test_one_name_in_two_distributions_is_an_error_that_names_both(install):
    install("first-plugin", "twin = lookup_first:Twin")
    install("second-plugin", "twin = lookup_second:Twin")
    with pytest.raises(PluginError, match="backend 'twin' stands twice") as caught:
        installed_backends()
    message = str(caught.value)
    assert "first-plugin (lookup_first:Twin)" in message
    assert "second-plugin (lookup_second:Twin)" in message
    assert "uninstall one of them" in message


def test_the_same_target_in_two_distributions_still_stands_twice(install):
    install("original-plugin", "twin = lookup_shared:Twin")
    install("copied-plugin", "twin = lookup_shared:Twin")
    with pytest.raises(PluginError, match=r"copied-plugin .*original-plugin "):
        installed_backends()


def test_a_second_backend_of_a_bundled_name_is_refused(install):
    install("impostor-plugin", "mock = lookup_impostor:Mock")
    with pytest.raises(PluginError, match="backend 'mock' stands twice") as caught:
        make_backend("mock", {})
    assert "impostor-plugin" in str(caught.value)
    assert "agentnet-cascades (" in str(caught.value)


def test_a_distribution_that_lies_on_the_path_twice_is_one(install, monkeypatch):
    root = install("echo-plugin", "echo = lookup_path_twice:Echo")
    monkeypatch.syspath_prepend(root)
    assert "echo" in installed_backends()


def test_an_entry_written_twice_in_one_distribution_is_one(install):
    install("stutter-plugin", "echo = lookup_stutter:Echo\necho = lookup_stutter:Echo")
    assert installed_backends()["echo"].distribution == "stutter-plugin"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import a_module_that_is_not_there",
            "ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
        ),
        ("raise ValueError('out of tune')", "ValueError: out of tune"),
        ("def", "SyntaxError"),
        ("", "AttributeError"),
    ],
    ids=["missing dependency", "raises", "syntax", "no such class"],
)
def test_a_plug_in_that_cannot_be_imported_says_whose_fault_it_is(install, request, source, reason):
    module = f"lookup_broken_{re.sub(r'[^a-z]', '_', request.node.callspec.id)}"
    install("broken-plugin", f"broken = {module}:Broken", version="0.3", **{module: source})
    with pytest.raises(PluginError) as caught:
        make_backend("broken", {})
    message = str(caught.value)
    assert message.startswith(f"backend 'broken' of broken-plugin 0.3 ({module}:Broken) cannot be loaded: ")
    assert reason in message
    assert "mend or uninstall broken-plugin" in message
    assert isinstance(caught.value.__cause__, Exception)


def test_what_is_no_plug_in_is_told_what_it_lacks(install):
    install("half-plugin", "half = lookup_half:Half", lookup_half="class Half:\n    about = 'a half'\n")
    with pytest.raises(PluginError, match="is no backend plug-in: it lacks from_options, needs"):
        make_backend("half", {})


def test_a_plug_in_may_be_any_object_with_the_three_parts(install):
    source = (
        ECHO
        + "\n\nclass Maker:\n    about, needs = 'makes', 'nothing'\n    from_options = Echo.from_options\n"
    )
    install("maker-plugin", "maker = lookup_maker:maker", lookup_maker=source + "\n\nmaker = Maker()\n")
    backend = make_backend("maker", {"a": 1})
    assert backend.name == "echo"


def test_requests_and_replies_cannot_be_changed():
    request = Request((("user", "?"),))
    with pytest.raises(AttributeError):
        request.seed = 3
