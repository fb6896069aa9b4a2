"""One look-up for every kind of plug-in: by definition, by entry point, by address."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest

from agentnet.errors import DesignError, PluginError
from agentnet.experiment import blamed
from agentnet.plugins import FILE_PREFIX, MadeOfOptions, PluginKind, check_made

DEFINITION = "class Knot:\n    rope = {rope!r}\n"


def ropes(**how: object) -> PluginKind[type]:
    """Make a kind that nobody else has."""
    return PluginKind("knot", "agentnet.test_knots", "nowhere", **how)  # type: ignore[arg-type]


def defined(module: str, rope: str = "hemp") -> type:
    """Execute a definition as if it stood in `module`."""
    home = ModuleType(module)
    exec(DEFINITION.format(rope=rope), home.__dict__)
    found: type = home.Knot
    return found


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a distribution on the path whose module takes its knot in when it is imported."""
    info = tmp_path / "knots-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: knots\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[agentnet.test_knots]\nbowline = plugin_knots:Knot\n")
    (tmp_path / "plugin_knots.py").write_text(
        "import sys\n" + DEFINITION.format(rope="sisal") + "KIND = sys.modules['ropes_of_the_test']\n"
        "KIND.kind.register('bowline', Knot)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "bowline"


def test_what_a_definition_takes_in_is_found_by_its_name() -> None:
    kind = ropes()
    knot = kind.register("reef", defined("somebody.knots"))
    assert kind.load("reef") is kind["reef"] is kind.get("reef") is knot
    assert "reef" in kind
    assert list(kind) == ["reef"]
    assert kind.get("granny") is None


def test_a_user_s_file_that_is_loaded_again_replaces_what_it_defined() -> None:
    kind = ropes()
    kind.register("reef", defined(f"{FILE_PREFIX}before", "hemp"))
    kind.register("reef", defined(f"{FILE_PREFIX}after", "nylon"))
    assert kind.load("reef").rope == "nylon"  # type: ignore[attr-defined]


@pytest.mark.parametrize("later", ["another.package", f"{FILE_PREFIX}abc"])
def test_a_name_that_is_taken_is_refused_to_anybody_else(later: str) -> None:
    kind = ropes()
    kind.register("reef", defined("somebody.knots"))
    with pytest.raises(PluginError, match=r"knot .reef. stands twice: in somebody .*(give|uninstall)"):
        kind.register("reef", defined(later))
    assert kind.load("reef").__module__ == "somebody.knots"


def test_a_module_that_takes_its_own_entry_in_is_one_plug_in(
    distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ModuleType("ropes_of_the_test")
    kind = home.kind = ropes()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, home.__name__, home)
    assert (kind.installed()[distribution].distribution, "plugin_knots" in sys.modules) == ("knots", False)
    first = kind.load(distribution)
    assert first.rope == "sisal"  # type: ignore[attr-defined]
    assert kind.load(distribution) is first
    with pytest.raises(PluginError, match="stands twice"):
        kind.register(distribution, defined("another.package"))


def test_a_file_that_changes_within_a_second_is_loaded_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    kind = ropes()
    for rope in ("hemp", "jute"):
        (path := tmp_path / "knots.py").write_text(DEFINITION.format(rope=rope))
        os.utime(path, (1.7e9, 1.7e9))
        assert kind.load(f"{path}:Knot").rope == rope
    assert sorted(each.name for each in tmp_path.iterdir()) == ["knots.py"]


def test_an_address_leads_to_a_plug_in_that_has_no_entry(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(DEFINITION.format(rope="wire"))
    knot = ropes(parts=("rope",)).load(f"{tmp_path / 'mine.py'}:Knot")
    assert knot.rope == "wire"  # type: ignore[attr-defined]
    assert ropes().load("pathlib:Path") is Path


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("no_such_module_here:Knot", "No module named"),
        ("{}/absent.py:Knot", "absent"),
        ("pathlib:Knot", "Knot"),
    ],
)
def test_an_address_that_leads_nowhere_says_where(address: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=f"knot .* cannot be loaded: .*{why}"):
        ropes().load(address.format(tmp_path))


def test_a_file_named_as_a_module_is_told_how_files_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "knots_beside.py").touch()
    with pytest.raises(PluginError, match=r"; a file is named by its suffix: knots_beside\.py:Knot$"):
        ropes().load("knots_beside:Knot")


def test_an_unknown_name_is_answered_with_the_known_ones_by_the_error_of_its_kind() -> None:
    kind = ropes(unknown=DesignError)
    kind.register("reef", defined("somebody.knots"))
    with pytest.raises(DesignError, match="there is no knot 'xyzzy'; known: reef"):
        kind.load("xyzzy")


def test_what_lacks_a_part_is_no_plug_in_however_it_was_found() -> None:
    kind = ropes(parts=("rope", "uses"))
    kind.register("reef", defined("somebody.knots"))
    with pytest.raises(PluginError, match=r"'reef' of somebody .* is no knot plug-in: it lacks uses"):
        kind.load("reef")


def test_modules_of_the_bundled_package_take_themselves_in_at_the_first_look_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ModuleType("ropes_of_the_test")
    kind = home.kind = ropes(bundled="bundle_of_knots")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, home.__name__, home)
    (tmp_path / "bundle_of_knots").mkdir()
    (tmp_path / "bundle_of_knots" / "__init__.py").write_text("")
    (tmp_path / "bundle_of_knots" / "sheet.py").write_text(
        DEFINITION.format(rope="jute")
        + "import ropes_of_the_test\nropes_of_the_test.kind.register('sheet', Knot)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert list(kind) == ["sheet"]


def test_an_entry_whose_name_is_not_that_of_the_definition_is_told_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distribution: str
) -> None:
    home = ModuleType("ropes_of_the_test")
    kind = home.kind = ropes(parts=("rope", "uses"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, home.__name__, home)
    monkeypatch.delitem(sys.modules, "plugin_knots", raising=False)
    path = tmp_path / "plugin_knots.py"
    path.write_text(path.read_text().replace("register('bowline'", "register('sheet'"))
    with pytest.raises(PluginError, match=r"lacks uses.*; plugin_knots defines sheet: name it so"):
        kind.load(distribution)


def test_what_ends_the_program_as_it_is_imported_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('bye')")
    with pytest.raises(PluginError, match="cannot be loaded: SystemExit: bye"):
        ropes().load(f"{tmp_path / 'mine.py'}:Knot")


@pytest.mark.parametrize("raised", ["ValueError('torn')", "SystemExit(0)", "StopIteration('torn')"])
def test_what_a_distribution_s_plug_in_raises_is_its_fault_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: str
) -> None:
    home = f"frayed_{raised.partition('(')[0].lower()}"
    (tmp_path / f"{home}.py").write_text(
        f"class Knot:\n    rope = 'x'\n    def tie(self):\n        raise {raised}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    knot = ropes().load(f"{home}:Knot")
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it is
        knot().tie()
    found = blamed(caught.value)
    assert isinstance(found, PluginError)
    assert re.search(
        rf"a plug-in of {home} failed \(.*{home}.py, line 4, in tie\): .*(torn|ends)", str(found)
    )


def test_what_we_raise_is_no_plug_in_s_fault() -> None:
    ropes().load("agentnet.plugins:PluginKind")
    ropes().load("pathlib:Path")
    with pytest.raises(TypeError) as caught:
        Path(3)  # type: ignore[arg-type]
    # Less the frame of this test, which is another plug-in's home where others have registered some.
    assert blamed(caught.value.with_traceback(caught.tb.tb_next)) is None


class Bell:
    about, needs = "rings", "nothing"

    @classmethod
    def from_options(cls, options: object, environ: object) -> object:
        return cls()

    def ring(self, times: int) -> None: ...


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("from_options", "bell 'mine'.* has a from_options that cannot be called with 2 arguments: "),
        ("ring", "the bell 'mine' makes .* has a ring that cannot be called with 1 argument: "),
        (
            "instance",
            "has a ring that cannot be called with 1 argument: missing a required argument",
        ),
    ],
)
def test_a_plug_in_that_cannot_be_called_as_its_contract_says_is_refused(method: str, said: str) -> None:
    class Ringing(Protocol):
        def ring(self, times: int) -> None: ...

    changed: dict[str, object] = {method: classmethod(lambda cls: cls())}
    if method == "instance":
        changed = {"from_options": classmethod(lambda cls, options, environ: cls)}
    kind: MadeOfOptions[object] = MadeOfOptions("bell", "agentnet.test_bells", "nowhere", makes=Ringing)
    kind.register("sound", Bell)
    assert isinstance(kind.make("sound", {}), Bell)
    kind.register("mine", type("Mine", (Bell,), changed))
    with pytest.raises(PluginError, match=said):
        kind.make("mine", {})


def test_a_part_that_cannot_be_called_as_its_kind_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Knot:\n    def tie(): ...\n    loose = print\n")
    where = f"{tmp_path / 'mine.py'}:Knot"
    assert ropes(parts=("loose",), takes={"loose": 3}).load(where)
    with pytest.raises(PluginError, match="has a tie that cannot be called with 1 argument: too many"):
        ropes(parts=("tie",), takes={"tie": 1}).load(where)


def test_a_decorator_may_give_what_it_wraps_more_than_is_given_to_itself() -> None:
    def with_hammer(ring: Callable[..., None]) -> Callable[..., None]:
        @wraps(ring)
        def rung(self: object, times: int) -> None:
            ring(self, times, "hammer")

        return rung

    class Hammered(Bell):
        @with_hammer
        def ring(self, times: int, hammer: str) -> None: ...  # type: ignore[override]

    check_made("Hammered", Hammered(), Bell)
