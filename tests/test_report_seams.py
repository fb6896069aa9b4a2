"""A figure and a table are one definition each, from wherever: they stand on the page, and as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentnet import CascadeExperiment
from agentnet.errors import DesignError
from agentnet.events import Run
from agentnet.report import Options, make_report
from agentnet.report.drawings import Material
from agentnet.report.figures.sketch import FIGURES, Drawn, figure, sketches_of
from agentnet.report.figures.style import new_figure
from agentnet.report.part import TABLES, table
from agentnet.report.sections import contents_of
from agentnet.report.tables import Table
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
