"""A class body is held to what the family reads, as overrides are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from agentnet import CascadeExperiment, InterviewExperiment, ResponseRatioExperiment
from agentnet.errors import DesignError
from agentnet.experiment import Source
from agentnet.families import family_of_experiment
from agentnet.interviews import parse_topology


def refused(cls: Any) -> str:
    with pytest.raises(DesignError) as error:
        cls()
    return str(error.value)


def test_everything_that_is_misspelled_is_named_at_once_with_its_line_and_what_it_may_mean(command, tmp_path):
    path = tmp_path / "slips.py"
    path.write_text(
        "from agentnet import ResponseRatioExperiment\n"
        "class Slips(ResponseRatioExperiment):\n"
        "    item_per_severity = 2\n"
        "    temprature: float = 0.5\n"
        "    @property\n"
        "    def max_token(self):\n"
        "        return 5\n"
        "    def jugde(self, text):\n"
        "        return super().jugde(text)\n"
    )
    done = command("check", path)
    assert done.code == 2
    for line, name, meant in (
        (3, "item_per_severity", "items_per_severity"),
        (4, "temprature", "temperature"),
        (6, "max_token", "max_tokens"),
        (8, "jugde", "judge"),
    ):
        (said,) = [each for each in done.err.splitlines() if f": {name} " in each]
        assert f"{path}, line {line}: " in said
        assert said.endswith(f"did you mean {meant!r}?")
    assert "annotated" in done.err.splitlines()[-1]
    assert command("run", path).code == 2
    assert not Path("runs").exists()


def test_an_attribute_of_nobodys_is_refused_also_where_no_knob_is_near():
    class Odd(CascadeExperiment):
        population = 64

    assert "population is no knob of CascadeExperiment, and not annotated\n" in refused(Odd)


def test_own_knobs_are_annotated_and_own_helpers_are_methods_or_begin_with_an_underscore():
    class Own(CascadeExperiment):
        rate: float = 0.3
        note: ClassVar[str] = "about the rate"
        _table = (1, 2)

        class Inner:
            """Is no knob."""

        def make_networks(self) -> int:
            return 2

        def make_conditions(self):
            return ({"steps": self.make_networks()},)

        @staticmethod
        def helper() -> None:
            """Resembles nothing."""

    assert Own(rate=0.5).design()["rate"] == 0.5
    assert not {"note", "Inner", "_table", "helper"} & Own().design().keys()
    with pytest.raises(DesignError, match="has no attribute 'note'"):
        Own(note="other")


def test_an_own_knob_may_resemble_one_of_the_familys_where_a_method_reads_it():
    class Several(CascadeExperiment):
        degrees: tuple[int, ...] = (4, 6)

        def make_conditions(self):
            return tuple({"degree": degree} for degree in self.degrees)

    assert len(Several().make_conditions()) == 2

    class Unread(CascadeExperiment):
        degrees: tuple[int, ...] = (4, 6)

        def make_conditions(self):
            degrees = self.conditions
            self.degrees = (5,)
            return degrees

    assert "degrees is no knob of CascadeExperiment, and nothing in the class reads it" in refused(Unread)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("judge_reply", "judge"),
        ("build_network", "network"),
        ("compose_messages", "messages"),
        ("get_system_message", "system_messages"),
        ("chooseEvaluation", "choose_evaluation"),
    ],
)
def test_a_method_that_nobody_calls_is_refused_if_it_may_be_meant_as_a_hook(name, meant):
    family = InterviewExperiment if hasattr(InterviewExperiment, meant) else CascadeExperiment
    cls = type("Guess", (family,), {name: lambda self, *asked: None})
    assert f"did you mean {meant!r}?" in refused(cls)
    assert "did you mean 'n_agents'?" in refused(type("Loud", (CascadeExperiment,), {"N_AGENTS": 64}))


def test_a_mixin_whose_constructor_is_never_called_may_take_nothing():
    class Mixin:
        def __init__(self):
            """Take nothing."""

    class After(CascadeExperiment, Mixin):
        """Is made by the family's constructor."""

    class Before(Mixin, CascadeExperiment):  # type: ignore[misc]
        """Is not."""

    After()
    with pytest.raises(DesignError, match="__init__ takes no overrides"):
        family_of_experiment(Before)


def test_bases_and_mixins_are_checked_too():
    class Mixin:
        step = 3

    class Base(CascadeExperiment):
        item_per_severity = 2

    class Child(Mixin, Base):
        degree = 4

    said = refused(Child)
    assert "did you mean 'steps'?" in said
    assert "did you mean 'items_per_severity'?" in said


def test_a_child_may_set_what_its_base_annotates():
    class Base(CascadeExperiment):
        rate: float = 0.1

    class Child(Base):
        rate = 0.2

    assert Child().design()["rate"] == 0.2


def test_an_annotation_without_a_value_and_one_that_cannot_be_read_are_said():
    class Bare(CascadeExperiment):
        n_agent: int

    assert "n_agent has an annotation, but no value; did you mean 'n_agents'?" in refused(Bare)

    class Unreadable(CascadeExperiment):
        rate: Nonsense = 3  # type: ignore[name-defined]  # noqa: F821

    assert "Unreadable has an annotation that cannot be read: NameError" in refused(Unreadable)


def wrong_hooks() -> dict[str, tuple[type, str]]:
    class Short(CascadeExperiment):
        def messages(self, prompts, kind):  # type: ignore[override]
            return ()

    class Long(ResponseRatioExperiment):
        def choose_news(self, seed, how):  # type: ignore[override]
            return ()

    class Later(ResponseRatioExperiment):
        async def judge(self, text):  # type: ignore[override]
            return None

    class Value(CascadeExperiment):
        make_network = "ring"  # type: ignore[assignment]

    class Called(InterviewExperiment):
        def classes(self):  # type: ignore[override]
            return ("a",)

    class Static(CascadeExperiment):
        @staticmethod
        def judge(text, how):  # type: ignore[override]
            return None

    class Init(CascadeExperiment):
        def __init__(self):
            super().__init__()

    class Property(CascadeExperiment):
        @property
        def n_agents(self):  # type: ignore[override]
            return 64

    return {
        "short": (
            Short,
            "messages takes (self, prompts, kind), but it is called as messages(prompts, ",
        ),
        "long": (Long, "choose_news takes (self, seed, how), but it is called as choose_news(seed)"),
        "later": (Later, "judge is asynchronous"),
        "value": (Value, "make_network is a hook, thus a method: it is called as make_network(seed)"),
        "called": (Called, "classes is read, not called: write @property above it"),
        "static": (Static, "judge takes (text, how), but it is called as judge(text)"),
        "property": (Property, "n_agents is a knob, thus a value"),
        "init": (Init, "__init__ takes no overrides: write def __init__(self, **overrides)"),
    }


@pytest.mark.parametrize("name", list(wrong_hooks()))
def test_a_hook_that_cannot_be_called_is_said_before_it_is_called(name):
    cls, words = wrong_hooks()[name]
    assert words in refused(cls)


def test_hooks_may_take_more_than_they_are_given_by_default_or_whatever_comes():
    class Free(CascadeExperiment):
        def messages(self, *asked, style="plain"):
            return super().messages(*asked)

        @classmethod
        def judge(cls, text):  # type: ignore[override]
            return None

        def choose_news(self, seed, how="any"):
            return super().choose_news(seed)

    Free()


def test_a_dataclass_is_told_that_the_decorator_is_in_the_way():
    @dataclass
    class Mood(CascadeExperiment):
        n_agents: int = 16
        mood: str = "calm"

    with pytest.raises(DesignError, match="__init__ is made by @dataclass: leave the decorator out"):
        family_of_experiment(Mood)

    @dataclass
    class Own(CascadeExperiment):
        mood: str = "calm"

        def __init__(self, **overrides):
            super().__init__(**overrides)

    family_of_experiment(Own)
    assert Own(mood="wild").design()["mood"] == "wild"


@pytest.mark.parametrize("line", ["network = star", "def network(self, seed):\n        return star(seed)"])
def test_a_function_as_a_network_is_told_which_hook_makes_networks(line, command, tmp_path):
    path = tmp_path / "star.py"
    path.write_text(
        "import networkx as nx\nfrom agentnet import CascadeExperiment\n"
        "def star(seed):\n    return nx.star_graph(seed)\n"
        f"class Star(CascadeExperiment):\n    {line}\n"
    )
    done = command("check", path)
    assert (done.code, "write a method make_network(self, seed)" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("network = 3", "network of Star is 3; it is the name of a generator or file, or a Network or"),
        ("network = {'generator': 'ring'}", "or networkx graph; its options stand in network_options"),
    ],
)
def test_what_is_no_network_is_told_what_is_one(line, words, command, tmp_path):
    path = tmp_path / "star.py"
    path.write_text(f"from agentnet import CascadeExperiment\nclass Star(CascadeExperiment):\n    {line}\n")
    done = command("check", path)
    assert (done.code, words in done.err) == (2, True), done.err


def ring(step, state):
    return [[(i + step) % len(state.classes)] for i in range(len(state.classes))]


@pytest.mark.parametrize("how", ["function", "lambda", "static", "method", "partial", "override"])
def test_a_function_is_a_topology_however_the_class_holds_it(how, tmp_path):
    bodies = {
        "function": "topology = ring",
        "lambda": "topology = lambda step, state: ring(step, state)",
        "static": "topology = staticmethod(ring)",
        "method": "def topology(self, step, state):\n        return ring(step, state)",
        "partial": "topology = functools.partial(ring)",
        "override": "steps = 2",
    }
    text = (
        "import functools\nfrom agentnet import InterviewExperiment\n"
        "def ring(step, state):\n    return ['ring', step, state]\n"
        f"class Ring(InterviewExperiment):\n    {bodies[how]}\n"
    )
    overrides = {"topology": lambda step, state: ["ring", step, state]} if how == "override" else {}
    experiment = Source(tmp_path / "ring.py", text).load()(**overrides)
    for made in experiment, experiment.under({"steps": 3}):
        topology: Any = parse_topology(made.make_topology())
        assert topology(4, "state") == ["ring", 4, "state"]


def test_what_methods_set_is_checked_when_the_experiment_is_made(command, tmp_path):
    path = tmp_path / "set.py"
    head = "from agentnet import CascadeExperiment\nclass Set(CascadeExperiment):\n"
    init = "    def __init__(self, **overrides):\n        super().__init__(**overrides)\n"
    path.write_text(f"{head}{init}        self.n_agent = 64\n")
    done = command("check", path)
    assert done.code == 2
    assert "self.n_agent is no knob of CascadeExperiment" in done.err
    assert "did you mean 'n_agents'?" in done.err
    path.write_text(f"{head}{init}        self.n_agents = 64\n        self.rate = self._n = 1\n")
    assert command("check", path).code == 0


def test_a_condition_of_a_network_without_degree_drops_the_degree_of_the_class_and_none_of_its_own():
    class Dense(CascadeExperiment):
        n_agents, degree = 8, 3
        network = "watts_strogatz"
        network_options = {"rewiring": 0.1}  # noqa: RUF012 - as users write it

    complete = {"network": "complete", "network_options": {}}
    assert Dense().under(complete).make_network(1).n_edges == 28
    with pytest.raises(DesignError, match="degree is 4, but complete takes no degree; leave it out"):
        Dense().under({**complete, "degree": 4}).make_network(1)
    with pytest.raises(DesignError, match="degree is 3, but complete takes no degree; leave it out"):
        type("Own", (Dense,), complete)().make_network(1)
