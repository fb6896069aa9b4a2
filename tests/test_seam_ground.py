"""Each seam of the ground rooms from outside: one file adds to it, and what it adds is used to the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentnet import Run
from agentnet.backend import BACKENDS, make_backend
from agentnet.errors import ConfigurationError, InputError, PluginError
from agentnet.interviews import UPDATES
from agentnet.network import GENERATORS, NETWORK_FORMATS, read_network
from agentnet.news import NEWS_SOURCES, load_news
from agentnet.plugins import PluginKind

KINDS: tuple[PluginKind[Any], ...] = (BACKENDS, UPDATES, GENERATORS, NETWORK_FORMATS, NEWS_SOURCES)

WIRE = """
from agentnet.news import BadCell, Cells, NewsItem, item_of, news_source


@news_source(
    "wire",
    columns={"id": "guid", "text": "headline", "date": "published"},
    recognised_by=("guid", "headline", "grade"),
    whence="from the wire of headlines",
    citation="N. Agency (2024), The wire of headlines.",
    licence="N. Agency, research only",
    restricted=True,
)
def wire(cells: Cells) -> NewsItem:
    grade = cells.column("grade")
    if grade not in ("calm", "grave"):
        raise BadCell("grade", f"{grade!r} is no grade; write calm or grave")
    return item_of(cells, severity=int(grade == "grave"))
"""
HEADLINES = """guid,headline,grade,published
w1,The harvest fair opened in the old town.,calm,2024-05-01
w2,Masked men burnt the depot down at night.,grave,2024-05-02
w3,Children planted a hundred trees.,calm,2024-05-03
w4,A shell hit the ferry and killed four.,grave,2024-05-04
"""

ARROWS = """
from agentnet.errors import InputError
from agentnet.network import Network, Opened, edges_of, network_format


@network_format(".arrows")
def arrows(file: Opened) -> Network:
    rows = []
    for number, line in enumerate(file.lines(), 1):
        ends = line.split("->")
        if len(ends) != 2:
            raise InputError("write LEFT -> RIGHT", path=file.path, row=number)
        rows.append((number, *ends))
    return file.network(edges_of(file.path, rows))
"""

RING = """
from agentnet.network import Network, network_generator


@network_generator
def ring(n_agents: int, reach: int = 1) -> Network:
    pairs = [(i, (i + j) % n_agents) for i in range(n_agents) for j in range(1, reach + 1)]
    return Network.from_edges(pairs, n_agents, name="ring")
"""

PARROT = """
from agentnet.backend import BACKENDS, Reply


@BACKENDS.named("parrot")
class Parrot:
    about = "says yes to what is long"
    needs = "nothing"
    name = "parrot"
    model_name = "parrot-1"

    def __init__(self, longer_than=0):
        self.longer_than = longer_than

    @classmethod
    def from_options(cls, options, environ):
        return cls(**options)

    async def complete(self, request):
        n = len(request.messages[-1][1])
        return Reply(("yes" if n > self.longer_than else "no",), 10, 1, self.model_name)

    async def aclose(self):
        pass
"""

FORGETFUL = """
from agentnet.interviews import UPDATES, Prompt


@UPDATES.named("forgetful")
class Forgetful:
    about = "models that know what they heard last, and nothing else"
    needs = "a backend"
    name, label, model_name = "forgetful", "", ""
    asks_backend, checkpoint_every, systems_at_once = True, 0, None

    @classmethod
    def from_options(cls, options, environ):
        return cls()

    async def begin(self, system):
        return Models(system)

    async def aclose(self):
        pass


class Models:
    def __init__(self, system):
        self.last = [None for _ in system.classes]

    async def answer(self, model, step, asked):
        heard = self.last[model]
        told = () if heard is None else (("user", heard.question.text), ("assistant", heard.answer))
        return [Prompt((*told, ("user", one.question.text)), repr(heard and heard.step)) for one in asked]

    async def update(self, model, step, pairs, seed):
        self.last[model] = pairs[-1]
        return {"forgot": len(pairs) - 1}

    async def save(self, folder):
        raise AssertionError("is never asked for")

    restore = save

    async def aclose(self):
        pass
"""

STUDY = """
import arrows, parrot, ring, wire
from agentnet import CascadeExperiment, ResponseRatioExperiment


class Spread(CascadeExperiment):
    news = "headlines.csv"
    rationale, items_per_severity = "none", 2
    steps, n_agents = 3, 12
    conditions = (
        {"network": "ring", "network_options": {"reach": 2}},
        {"network": "friends.arrows"},
    )


class Shares(ResponseRatioExperiment):
    news = "headlines.csv"
    rationale, items_per_severity = "none", 2
"""


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """What a test's files define is gone with the test."""
    for kind in KINDS:
        kind.installed()  # what is bundled takes itself in once, and stays
    before = [dict(kind._defined) for kind in KINDS]
    yield
    for kind, defined in zip(KINDS, before, strict=True):
        kind._defined.clear()
        kind._defined.update(defined)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Write an experiment, and beside it the files with what it plays on."""
    for name, text in {
        "wire": WIRE,
        "arrows": ARROWS,
        "ring": RING,
        "parrot": PARROT,
        "study": STUDY,
    }.items():
        assert len(text.splitlines()) <= 60
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "headlines.csv").write_text(HEADLINES)
    names = ["ana", "ben", "cara", "dan", "eve", "fay", "gus", "hal", "ida", "jon", "kim", "leo"]
    (tmp_path / "friends.arrows").write_text(
        "".join(f"{a} -> {b}\n" for a, b in zip(names, [*names[1:], names[0]], strict=True))
    )
    return tmp_path / "study.py"


ON_PARROT = ("--quiet", "-S", "backend.name=parrot", "-S", "backend.longer_than=20")


def test_a_source_and_a_backend_of_a_study_are_played_resumed_and_reported(command: Any, study: Path) -> None:
    """They stand beside the experiment; the run goes on, and is reported, without these files."""
    cut = command("run", f"{study}:Shares", *ON_PARROT, "--out", "run", "-S", "stack.max_calls=30")
    assert cut.code == 3, cut.err
    assert "N. Agency, research only" in cut.err
    for path in [*study.parent.glob("*.py"), study.parent / "headlines.csv"]:
        path.unlink()
    on = command("run", "--resume", "run", "--quiet", "-S", "stack.max_calls=1000000")
    assert on.code == 0, on.err
    run = Run(Path("run"))
    assert (run.meta["backend"], run.meta["model_name"]) == ("parrot", "parrot-1")
    for kind in KINDS:
        kind._defined.clear()  # as in a process that never saw the study
    told = command("report", "run", "--output", "report", "--bootstraps", "0", "--quiet")
    assert told.code == 0, told.err
    page = Path("report/report.html").read_text()
    assert "News: N. Agency (2024), The wire of headlines." in page
    assert "Licence of the news: N. Agency, research only." in page
    assert "from the wire of headlines" in page
    assert "burnt the depot" not in page


def test_a_format_and_a_generator_of_a_study_are_played_and_resumed(command: Any, study: Path) -> None:
    """They are two conditions of one run."""
    cut = command("run", f"{study}:Spread", *ON_PARROT, "--out", "run", "-S", "stack.max_calls=3")
    assert cut.code == 3, cut.err
    for path in study.parent.glob("*.py"):
        path.unlink()
    on = command("run", "--resume", "run", "--quiet", "-S", "stack.max_calls=1000000")
    assert on.code == 0, on.err
    run = Run(Path("run"))
    assert {row[0] for row in run.rows("SELECT name FROM networks")[1]} == {"ring", "friends.arrows"}
    assert not run.rows("SELECT 1 FROM realizations WHERE status != 'finished'")[1]


def test_an_update_rule_of_an_experiment_file_is_played_and_resumed(command: Any, tmp_path: Path) -> None:
    """Its models are made again from what was recorded."""
    study = (
        "from agentnet import InterviewExperiment\n"
        "class Study(InterviewExperiment):\n"
        "    models = {'society': 2, 'science': 2}\n"
        "    n_evaluation, n_questions, n_taught, steps = 3, 2, 2, 3\n"
        "    update = 'forgetful'\n"
    )
    (tmp_path / "study.py").write_text(FORGETFUL + study)
    whole = command("run", "study.py", "--out", "whole", "--json", "--quiet", "-S", "stack.cache=false")
    assert whole.code == 0, whole.err
    cut = ("-S", "stack.max_calls=20", "-S", "stack.cache=false")
    assert command("run", "study.py", "--out", "cut", "--quiet", *cut).code == 3
    (tmp_path / "study.py").unlink()
    on = command("run", "--resume", "cut", "--json", "--quiet", "-S", "stack.max_calls=1000000")
    assert on.code == 0, on.err
    assert json.loads(on.out)["digest"] == json.loads(whole.out)["digest"]
    assert Run(Path("cut")).meta["interviews"]["rules"] == [
        {"name": "forgetful", "label": "", "model_name": ""}
    ]


def test_a_backend_is_named_by_the_address_of_its_class(tmp_path: Path) -> None:
    """No distribution, no entry point: a file."""
    (tmp_path / "mine.py").write_text(PARROT)
    backend = make_backend(f"{tmp_path / 'mine.py'}:Parrot", {"longer_than": 3})
    assert (backend.name, backend.longer_than) == ("parrot", 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("call", "error", "known"),
    [
        (lambda path: make_backend("telepathy", {}), PluginError, "known: human, local, mock, openai, vllm"),
        (
            lambda path: load_news(path, kind="rumour"),
            ConfigurationError,
            "known: acled, synthetic, table, ucdp",
        ),
        (lambda path: read_network(path, kind="knots"), ConfigurationError, "known: edge_list, gexf, gml, "),
        (lambda path: read_network(path.with_suffix(".1234567")), InputError, "known: .csv, .edgelist"),
        (lambda path: GENERATORS.load("lattice"), Exception, "known: barabasi_albert, complete"),
        (lambda path: UPDATES.load("osmosis"), PluginError, "known: finetune, memory, none, stand_in"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(
    call: Any, error: type[Exception], known: str, tmp_path: Path
) -> None:
    """Never with another of its kind."""
    path = tmp_path / "some.csv"
    path.write_text("a,b\nc,d\n")
    with pytest.raises(error, match=known):
        call(path)


def test_what_is_wrong_with_a_row_is_said_as_of_any_source_and_format(study: Path) -> None:
    """With file and row, as the readers of the house do."""
    for name in ("wire", "arrows"):
        exec((study.parent / f"{name}.py").read_text(), {"__name__": f"agentnet_experiment_{name}"})
    news = study.parent / "headlines.csv"
    news.write_text(HEADLINES.replace(",calm,2024-05-03", ",mild,2024-05-03"))
    with pytest.raises(InputError, match=r"headlines.csv, row 4, field 'grade': 'mild' is no grade"):
        load_news(news)
    friends = study.parent / "friends.arrows"
    friends.write_text("ana -> ben\nben -> ana\n")
    with pytest.raises(InputError, match=r"friends.arrows, row 2: the edge 'ben', 'ana' stands in row 1"):
        read_network(friends)
    assert read_network(friends, simplify=True).n_edges == 1


def test_columns_that_two_sources_recognise_alike_are_no_source(study: Path) -> None:
    """The one that wants more of them knows better; else somebody has to say."""
    for name, columns in (("wire", WIRE), ("copy", WIRE.replace('"wire"', '"copy"'))):
        exec(columns, {"__name__": f"agentnet_experiment_{name}"})
    news = study.parent / "headlines.csv"
    with pytest.raises(InputError, match=r"columns of copy and of wire; say of which \(--kind, news.kind\)"):
        load_news(news)
    assert {item.source for item in load_news(news, kind="wire").items} == {"wire"}


def test_a_suffix_of_two_formats_tells_none_until_somebody_says_which(study: Path) -> None:
    """As columns do of two sources."""
    for name in ("arrows", "other"):
        source = ARROWS.replace("def arrows", f"def {name}")
        exec(source, {"__name__": f"agentnet_experiment_{name}"})
    friends = study.parent / "friends.arrows"
    with pytest.raises(InputError, match=r"that of arrows and of other; say which .*network_options\.kind"):
        read_network(friends)
    assert read_network(friends, kind="other").n_agents == 12
