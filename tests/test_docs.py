"""What the README and the documentation show is true: every block of code is executed, or at least read.

A block says behind its language what is to be done with it:

- ``file=NAME``: it is the file NAME, which a later block plays or imports. A ``pyproject.toml`` counts as
  installed.
- ``exits=N``: its commands end with this code, not with 0.
- ``needs=WHAT``: it cannot be executed here (a key, a server, hours). Its commands and options exist.

The blocks of a page share a folder, which begins with the repository's experiments and files of a user's.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import gc
import importlib.metadata
import os
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import pytest
import yaml

import agentnet
from agentnet.asking_rules import ASKING_RULES
from agentnet.cli import cli
from agentnet.plugins import PluginKind

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MARKS = {"file", "exits", "needs"}
EXECUTED = {"python", "pycon", "sh", "console", "toml"}
SHOWN = {"text", "json", "mermaid"}
FENCE = re.compile(r"^(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)

# What a page shows in its full size is played in a small one: these stand before what the page says.
SMALL_CASCADE = ["-S", "repeats=1", "-S", "items_per_severity=1", "-S", "n_agents=32", "-S", "steps=3"]
SMALL_STUDY = ["-S", "steps=3", "-S", "n_evaluation=5", "-S", "n_taught=5", "-S", "n_questions=2"]
DESIGNS = tomllib.loads((ROOT / "tests" / "kills" / "designs.toml").read_text("utf-8"))
SMALLER = {
    **{
        f"{name}.py": [word for knob in knobs.items() for word in ("-S", "{}={}".format(*knob))]
        for name, knobs in DESIGNS.items()
    },
    "news_cascade.py": SMALL_CASCADE,
    "response_ratios.py": ["-S", "repeats=2", "-S", "items_per_severity=2"],
    "polarization.py": SMALL_STUDY,
    "adversary.py": SMALL_STUDY,
    "disruption.py": [*SMALL_STUDY, "-S", "disrupted_at=2"],
    "report": ["--no-figures", "--law", "main_effects", "--bootstraps", "0", "--runs", "2"],
    "fit": ["--law", "main_effects", "--bootstraps", "0", "--runs", "2"],
    "predict": ["--permutations", "20"],
}


class Block(NamedTuple):
    """A fenced block of a page.

    Attributes:
        line: Where its fence stands, from 1.
        language: First word of the fence.
        marks: The words behind it, as ``NAME=VALUE``.
        code: What stands between the fences.
    """

    line: int
    language: str
    marks: dict[str, str]
    code: str


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, directives of the generator aside."""
    for match in FENCE.finditer(text):
        language, *marks = match["info"].split() or [""]
        if not language.startswith("{"):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(line, language, dict(mark.split("=", 1) for mark in marks), match["code"])


def commands(code: str) -> Iterator[list[str]]:
    """Yield the commands of a shell block, split into words."""
    for line in code.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def exists(words: list[str]) -> None:
    """Hold a command to what there is: the program, its subcommands, options, targets and files."""
    program, *rest = words
    match program:
        case "agentnet":
            _options_exist(cli, rest)
        case "make":
            targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
            assert {word for word in rest if "=" not in word} <= targets, words
        case "pip":
            extras = re.findall(r"\.\[([\w,-]+)\]", " ".join(rest))
            named = {extra for names in extras for extra in names.split(",")}
            assert named <= set(PROJECT["optional-dependencies"]), words
        case "export" | "." | "pre-commit":
            pass
        case _:
            raise AssertionError(f"no test knows the command {program!r}")


def _options_exist(command: click.Command, words: list[str]) -> None:
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, words
        command, words = command.commands[words[0]], words[1:]
    known = {name for parameter in command.params for name in parameter.opts} | {"--help", "--traceback"}
    for word in words:
        assert not word.startswith("-") or word.split("=")[0] in known, (command.name, word)


def smaller(words: list[str]) -> list[str]:
    """Play a command in a small size."""
    name, *rest = words
    keys = [name, *(Path(word).name for word in rest)] if name in ("run", "check") else [name]
    small = [word for key in keys for word in SMALLER.get(key, [])]
    if "--law" in rest and "--law" in small:
        del small[(at := small.index("--law")) : at + 2]
    return [name, *small, *rest]


def install(folder: Path) -> None:
    """Do as if the distribution that ``pyproject.toml`` describes were installed."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / f"{project['name']}-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    groups = project["entry-points"].items()
    lines = [
        f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in entries.items()) for group, entries in groups
    ]
    (info / "entry_points.txt").write_text("\n\n".join(lines) + "\n")


class Reader:
    """Follows a page, as a user would who types what it shows."""

    def __init__(self, folder: Path, command) -> None:
        self.folder = folder
        self.command = command
        self.names: dict[str, object] = {"__name__": "a_page"}

    def follow(self, block: Block) -> None:
        assert block.language in EXECUTED | SHOWN, f"the block has no language: {block.code[:60]!r}"
        assert set(block.marks) <= MARKS, f"unknown marks: {block.marks}"
        if "file" in block.marks:
            (self.folder / block.marks["file"]).write_text(block.code, "utf-8")
        if block.language in EXECUTED:
            getattr(self, f"_{block.language}")(block)

    def _sh(self, block: Block) -> None:
        for words in commands(block.code):
            exists(words)
            if words[0] == "agentnet" and "needs" not in block.marks:
                self._run(words[1:], int(block.marks.get("exits", 0)))

    def _console(self, block: Block) -> None:
        """Compare what is shown below each command with what is said; ``...`` stands for anything."""
        for part in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            said = self._run(shlex.split(line)[1:], 0)
            same = doctest.OutputChecker().check_output(
                shown, said, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            )
            assert same, f"{line}\nis shown to say\n{shown}\nand says\n{said}"

    def _run(self, words: list[str], code: int) -> str:
        done = self.command(*smaller(words))
        assert done.code == code, f"agentnet {shlex.join(words)}: exit {done.code}\n{done.err}"
        return str(done.out)

    def _python(self, block: Block) -> None:
        awaits = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as in a notebook
        code = compile(block.code, f"<line {block.line}>", "exec", awaits, dont_inherit=True)
        if not block.marks.keys() & {"needs", "file"}:
            waiting = eval(code, self.names)
            if waiting is not None:
                asyncio.run(waiting)

    def _pycon(self, block: Block) -> None:
        test = doctest.DocTestParser().get_doctest(block.code, self.names, "page", None, block.line)
        said: list[str] = []
        failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
            test, out=said.append, clear_globs=False
        )
        assert not failed, "".join(said)

    def _toml(self, block: Block) -> None:
        tomllib.loads(block.code)
        if block.marks.get("file") == "pyproject.toml":
            install(self.folder)


@contextmanager
def nothing_new() -> Iterator[None]:
    """Strike out what pages define in any list of plug-ins: other tests of this process have none of it."""
    kinds = [one for one in gc.get_objects() if isinstance(one, PluginKind)]
    before = [dict(kind._defined) for kind in kinds]
    yield
    for kind, defined in zip(kinds, before, strict=True):
        # What is bundled is taken in as its module is imported, which happens once.
        ours = {name for name, plugin in kind._defined.items() if plugin.module.startswith("agentnet.")}
        new = kind._defined.keys() - defined.keys() - ours
        for name in new:
            del kind._defined[name]


@pytest.fixture
def reader(tmp_path: Path, command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """Give a page its folder."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    command("news", "synth", "--n", 40, "--out", "my_acled_export.csv")
    (tmp_path / "posts.csv").write_text("id,body\na,Rain is coming.\nb,The bridge is closed.\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    with nothing_new():
        yield Reader(tmp_path, command)
    for name in set(sys.modules) - before:
        where = getattr(sys.modules[name], "__file__", None) or ""
        if where.startswith(os.fspath(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_shows_can_be_done(page, reader):
    unused: set[str] = set()
    for block in blocks(page.read_text("utf-8")):
        unused = {name for name in unused if Path(name).stem not in block.code}
        unused |= {name for name in [block.marks.get("file", "")] if name.endswith(".py")}
        try:
            reader.follow(block)
        except BaseException as error:
            error.add_note(f"{page.relative_to(ROOT)}, line {block.line}")
            raise
    assert not unused, "the page shows files that no block uses"


def test_the_reference_shows_the_classes_that_each_experiment_has_knobs_of():
    shown = re.findall(r"autoclass:: (\S+)", (ROOT / "docs/reference/experiments.md").read_text())
    public = {each: getattr(agentnet, each.removeprefix("agentnet."), None) for each in shown}
    bases = {base for cls in public.values() if isinstance(cls, type) for base in cls.__mro__[1:]}
    names = {f"{base.__module__}.{base.__name__}" for base in bases if issubclass(base, agentnet.Experiment)}
    assert names
    assert names <= {*shown}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_code_of_a_page_escapes_the_fences(page):
    """Blocks made by indentation have no language, and would be run by nobody."""
    outside = FENCE.sub("", page.read_text("utf-8"))
    assert not re.search(r"\n\n(    |\t)(?![-*\d])\S", outside)


@pytest.mark.parametrize(
    "words",
    [
        "agentnet run x.py --no-such-option",
        "agentnet dance",
        "make no-such-target",
        "pip install -e '.[none]'",
        "rm x",
    ],
)
def test_a_command_that_does_not_exist_is_found(words):
    with pytest.raises(AssertionError):
        exists(shlex.split(words))


def test_shown_output_that_differs_is_found(reader):
    wrong = Block(1, "console", {}, "$ agentnet --version\nagentnet, version 0.0.0\n")
    with pytest.raises(AssertionError, match=r"is shown to say"):
        reader.follow(wrong)


def test_a_command_that_fails_is_found(reader):
    with pytest.raises(AssertionError, match="exit 2"):
        reader.follow(Block(1, "sh", {}, "agentnet show nothing\n"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_file_that_a_page_names_is_there(page):
    named = re.findall(r"`((?:agentnet|backends|docs|experiments|tests)/[\w./-]*)`", page.read_text("utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_experiment_has_its_picture_in_the_gallery():
    shown = set(
        re.findall(r"experiments/figures/([\w.-]+)\)", (ROOT / "docs" / "gallery.md").read_text("utf-8"))
    )
    experiments = {path.stem for path in (ROOT / "experiments").glob("*.py")}
    assert {path.name for path in (ROOT / "experiments" / "figures").iterdir()} == shown
    assert {Path(name).stem for name in shown} == experiments


def test_the_version_stands_once():
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    assert (
        agentnet.__version__ not in (ROOT / "pyproject.toml").read_text("utf-8").split("[project.optional")[0]
    )
    assert agentnet.__version__ == importlib.metadata.version(PROJECT["name"])


def test_what_is_to_be_cited_is_what_is_distributed():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert cited["license"] == PROJECT["license"]
    assert cited["authors"] == PROJECT["authors"]
    assert set(cited["keywords"]) <= set(PROJECT["keywords"])
    assert {"message", "title", "type"} <= set(cited)


def test_hooks_need_nothing_but_what_the_tests_need():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    tools = [Path(hook["entry"].split()[0]).name for repo in hooks for hook in repo["hooks"]]
    wanted = {re.split(r"[>=\[]", line)[0] for line in PROJECT["optional-dependencies"]["test"]}
    assert set(tools) <= wanted


def test_what_a_page_defines_is_gone_after_it(reader, tmp_path):
    (tmp_path / "rule.py").write_text(
        "from agentnet.asking_rules import asking_rule\n"
        "asking_rule('of a page', says='nobody was asked')(lambda exposures: exposures)\n"
    )
    with nothing_new():
        reader.follow(Block(1, "sh", {"exits": "2"}, "agentnet check rule.py\n"))
        assert "of a page" in ASKING_RULES
    assert "of a page" not in ASKING_RULES
