"""A figure and a table are one definition each, from wherever: they stand on the page, and as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from agentnet import CascadeExperiment
from agentnet.errors import DesignError, PluginError
from agentnet.events import Run
from agentnet.families import FAMILIES
from agentnet.plugins import Installed
from agentnet.report import Options, make_report
from agentnet.report.drawings import Material
from agentnet.report.figures.sketch import FIGURES, Drawn, figure, sketches_of
from agentnet.report.figures.style import new_figure
from agentnet.report.part import TABLES, table
from agentnet.report.sections import contents_of
from agentnet.report.tables import Table, checked_table
from agentnet.report.write import files_of

SMALL: dict[str, Any] = {"n_agents": 32, "degree": 4, "steps": 2, "repeats": 1, "items_per_severity": 1}
FEW = Options(laws=("one_rate",), n_bootstrap=0, n_runs=2, figures=False, n_decisions=4)


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    return play(CascadeExperiment(**SMALL))


@pytest.fixture(autouse=True)
def lists() -> Iterator[None]:
    """Take off the lists what a test put on them."""
    yield
    FIGURES._defined.pop("lasting", None)
    TABLES._defined.pop("lasting", None)


def lasting(part: Any) -> Table:
    lengths = [int(step) for step in part.played.last_step]
    return Table("lasting", "How long cascades lasted", {"step": "last step"}, tuple((n,) for n in lengths))


def test_a_figure_without_a_number_is_one_definition(run: Run) -> None:
    @figure("lasting", of="cascades", title="How long cascades lasted")
    def draws(values: Material) -> Drawn | str:
        if values.tables is None:
            return "There are no cascades."
        drawn = new_figure(4.0, 3.0)
        drawn.add_subplot().hist(values.tables.last_step)
        return Drawn(drawn, caption="Last steps.", words="Between 1 and 2.")

    (part,) = make_report([run], FEW).parts
    found = {each.name: each for each in part.figures(FEW)}
    assert (found["lasting"].title, found["lasting"].number) == ("How long cascades lasted", "")
    assert found["lasting"].figure is not None
    assert list(found)[-1] == "lasting"
    (none,) = [each for each in sketches_of("cascades", Material()) if each.name == "lasting"]
    assert none.unavailable == "There are no cascades."


@pytest.mark.parametrize("section", ["laws", ""])
def test_a_table_is_one_definition_at_the_end_of_a_section_or_as_csv_alone(run: Run, section: str) -> None:
    table("lasting", of="cascades", section=section)(lasting)
    report = make_report([run], FEW)
    files, _ = files_of(report, made_at=0.0)
    rows = list(csv.reader(io.StringIO(files["tables/lasting.csv"].decode())))
    assert rows[0] == ["step"]
    assert len(rows) == 3
    assert ("How long cascades lasted" in files["report.html"].decode()) == (section == "laws")


def test_a_table_of_another_family_stands_nowhere(run: Run) -> None:
    table("lasting", of="interviews")(lasting)
    assert "tables/lasting.csv" not in files_of(make_report([run], FEW), made_at=0.0)[0]


def test_a_table_in_no_section_is_an_error_that_lists_them(run: Run) -> None:
    table("lasting", of="cascades", section="law")(lasting)
    with pytest.raises(DesignError, match=r"'lasting' belongs to a section 'law'.*'laws'.*severity"):
        contents_of(make_report([run], FEW))


def fig(width_inches: float = 3.0) -> Any:
    drawn = new_figure(width_inches, 2.0)
    drawn.add_subplot().plot([1, 2])
    return drawn


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: 3, "'lasting' gives 3; it gives Drawn"),
        (lambda: Drawn(None, "a", "b"), "'lasting' gives Drawn.*a figure of matplotlib"),  # type: ignore[arg-type]
        (lambda: Drawn(fig(0.0), "a", "b"), "of at most 50 inches"),
        (lambda: Drawn(fig(1000.0), "a", "b"), "of at most 50 inches"),
        (lambda: Drawn(fig(), None, "b"), "the caption of figure 'lasting' is None"),  # type: ignore[arg-type]
        (lambda: Drawn(fig(), "a", b"b"), "the words of figure 'lasting' is b'b'"),  # type: ignore[arg-type]
        (lambda: Drawn(fig(), "a", [" "]), "the words of figure 'lasting'.*not blank"),
        (lambda: Drawn(fig(), "a\ud800", "b"), "the caption of figure 'lasting' is 'a.ud800'"),
        (lambda: "", "the reason of figure 'lasting' is ''"),
    ],
)
def test_a_figure_that_is_none_is_refused_with_its_name(made: Callable[[], Any], why: str) -> None:
    figure("lasting", of="cascades", title="How long")(lambda _: made())
    with pytest.raises(PluginError, match=why):
        list(sketches_of("cascades", Material()))


@pytest.mark.parametrize("name", ["a b", "../evil", "", "x/y"])
def test_a_name_that_can_be_no_file_s_is_refused(run: Run, name: str) -> None:
    with pytest.raises(PluginError, match="so would be its file"):
        figure(name, of="cascades")(lambda _: None)
    table("lasting", of="cascades")(lambda _: Table(name, "T", {"a": "a"}, ()))
    with pytest.raises(PluginError, match="so would be its file"):
        contents_of(make_report([run], FEW))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"rows": ((True,),)}, "column 'a' of table 'lasting' is True"),
        ({"rows": (((1.0, 2.0),),)}, "column 'a'.*a text, a number or None"),
        ({"columns": {"an_interval": "a"}, "rows": ((5.0,),)}, "'an_interval'.*is 5.0; it is None or a pair"),
        ({"columns": {"an_interval": "a"}, "rows": (((1.0, 2.0, 3.0),),)}, "None or a pair"),
        ({"rows": ((b"a",),)}, "is b'a'"),
        ({"rows": (("\ud800",),)}, "cell in column 'a' of table 'lasting'"),
        ({"rows": iter([(1,)])}, "tuple_iterator|list_iterator for rows"),
        ({"columns": ["a"]}, "list for columns"),
        ({"columns": {1: "a"}}, "name of a column of table 'lasting' is 1"),
        ({"title": None}, "title of table 'lasting' is None"),
        ({"notes": (3,)}, "note of table 'lasting' is 3"),
    ],
)
def test_a_table_that_cannot_be_written_and_read_is_refused(how: dict[str, Any], why: str) -> None:
    values = {"name": "lasting", "title": "T", "columns": {"a": "a"}, "rows": (), **how}
    with pytest.raises(PluginError, match=why):
        checked_table("lasting", Table(**values))


def test_numbers_of_numpy_are_numbers_of_a_table_and_one_sentence_is_one_note() -> None:
    rows = ((np.int64(1234567),), (np.float32(0.25),), (None,))
    made = checked_table("lasting", Table("lasting", "T", {"a": ""}, rows, notes="One."))  # type: ignore[arg-type]
    assert [(type(cell), cell) for (cell,) in made.rows] == [
        (int, 1234567),
        (float, 0.25),
        (type(None), None),
    ]
    assert made.notes == ("One.",)


@pytest.mark.parametrize(
    "pair", [(1, 2), [1, 2], np.array([1, 2]), np.array([1.0, 2.0]), (np.float32(1.0), np.int64(2))]
)
def test_an_interval_is_a_pair_however_it_is_held(pair: Any) -> None:
    made = checked_table("lasting", Table("lasting", "T", {"an_interval": "a"}, ((pair,),)))
    assert made.rows == (((1, 2),),)
    assert made.to_csv().endswith(("1,2\n", "1.0,2.0\n", "1.0,2\n"))


def test_rows_may_stand_in_an_array_and_a_title_in_sentences() -> None:
    given: Any = Table("lasting", ["How", "long"], {"a": "a", "b": "b"}, np.array([[1, 2], [3, 4]]))  # type: ignore[arg-type]
    made = checked_table("lasting", given)
    assert (made.title, made.rows) == ("How. Long.", ((1, 2), (3, 4)))


def test_what_is_no_table_is_refused(run: Run) -> None:
    table("lasting", of="cascades")(lambda _: 3)  # type: ignore[arg-type, return-value]
    with pytest.raises(PluginError, match="'lasting' gives 3; it gives a Table, or None"):
        contents_of(make_report([run], FEW))


def test_a_table_does_not_replace_another_of_its_name(run: Run) -> None:
    table("lasting", of="cascades")(lambda _: Table("parameters", "T", {"a": "a"}, ()))
    with pytest.raises(PluginError, match=r"would be tables/parameters\.csv"):
        files_of(make_report([run], FEW), made_at=0.0)


def test_a_figure_or_table_of_parts_that_are_called_a_little_otherwise_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name, each in FAMILIES.installed().items() if each.home != "agentnet"]:
        monkeypatch.delitem(FAMILIES._defined, name)
    table("lasting", of="cascade")(lasting)
    with pytest.raises(PluginError, match=r"table 'lasting' is of 'cascade'.*did you mean 'cascades'"):
        make_report([run], FEW)
    table("lasting", of="an own family's")(lasting)
    make_report([run], FEW)


def test_a_table_may_be_of_a_family_that_is_installed_and_not_in_the_report(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Installed("rumours", "rumours", "1.0", "rumours:Rumours", lambda: None, FAMILIES)
    monkeypatch.setitem(FAMILIES._defined, "rumours", other)
    table("lasting", of="rumour_cascades")(lasting)
    make_report([run], FEW)
