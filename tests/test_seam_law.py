"""A law from outside the package, in one file: fitted, judged, in the tables; and right by other means."""

from __future__ import annotations

import ast
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

import agentnet
from agentnet import CascadeExperiment
from agentnet.analysis import LAWS, fit_run, load_laws, read_tables
from agentnet.analysis.grouping import as_grouping
from agentnet.analysis.laws import OF_POPULATION, DecisionLaw, Sight
from agentnet.analysis.laws.likelihood import DecisionFit
from agentnet.analysis.simulation import simulate
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError, InputError, UserError
from agentnet.events import Run
from agentnet.report.cascade_tables import parameters_table, ranking_table
from agentnet.report.cascade_words import _fit_methods
from agentnet.report.figures.curves import CURVE_FIGURES, curve_sketch, other_sketches
from agentnet.report.figures.style import house_style

Array = NDArray[np.float64]

LAWS_OF_A_FILE = '''
"""Does a second neighbour who shares count as much as the first?"""

from agentnet.analysis.laws import Between, CurveLaw, DecisionLaw, Positive
import numpy as np


class Saturation(DecisionLaw):
    """Probability of a yes by how many neighbours had shared: a Hill curve."""

    title = "saturation by {by}"
    parameters = {"top": Between(0, 1), "half": Positive(start=2), "steepness": Positive(start=1)}

    def probability(self, columns, top, half, steepness):
        n = columns[self.by]
        return top * n**steepness / (half**steepness + n**steepness)


class Gompertz(CurveLaw):
    """The engaged fraction by a Gompertz curve."""

    title = "Gompertz curve"
    parameters = {"ceiling": Between(0, 1), "rate": Positive(start=0.3)}

    def curve(self, steps, start, ceiling, rate):
        return ceiling * (start / ceiling) ** np.exp(-rate * steps)
'''
GROUPS = np.arange(32) // 16


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("laws") / "saturation.py"
    path.write_text(LAWS_OF_A_FILE)
    assert len(LAWS_OF_A_FILE.splitlines()) <= 60
    before = set(LAWS)
    yield path
    for name in set(LAWS) - before:
        LAWS.remove(name)


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    return play(CascadeExperiment(n_agents=64, degree=4, steps=8, repeats=3, items_per_severity=2), seed=2)


@pytest.fixture(scope="module")
def tables(run: Run) -> RunTables:
    return read_tables(run, columns=["n_engaged", "n_asked", "n_neighbours"])


@pytest.fixture
def spoilt(run: Run, tmp_path: Path) -> Callable[..., Path]:
    """Copy the run and change its log by SQL."""

    def spoilt(*statements: str) -> Path:
        folder = Path(shutil.copytree(run.folder, tmp_path / "copy"))
        with closing(sqlite3.connect(folder / "events.sqlite")) as connection:
            connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return folder

    return spoilt


def hill(n: Array, top: float, half: float, steepness: float) -> Array:
    return np.asarray(top * n**steepness / (half**steepness + n**steepness))


def answered(tables: RunTables, chance: Array, n_each: int, seed: int) -> RunTables:
    """Let each count of exposures be `n_each` decisions with a known chance of a yes."""
    counts = tables.exposures
    n_yes = np.random.default_rng(seed).binomial(n_each, chance)
    nothing = np.zeros_like(n_yes)
    return replace(tables, exposures=replace(counts, n_yes=n_yes, n_no=n_each - n_yes, n_missing=nothing))


def of(name: str, tables: RunTables, *by: str) -> DecisionLaw:
    law = LAWS[name](tables, as_grouping(GROUPS), by)
    assert isinstance(law, DecisionLaw)
    return law


def test_a_law_from_a_file_is_fitted_judged_and_in_the_tables(file: Path, tables: RunTables) -> None:
    assert load_laws(file) == ("gompertz", "saturation")
    assert len(LAWS_OF_A_FILE.splitlines()) <= 60
    found = fit_run(tables, by="n_engaged", groups=GROUPS, n_runs=20, n_bootstrap=20, seed=3)
    assert not found.refused
    assert [each.law for each in found.laws][-2:] == ["gompertz", "saturation"]
    titles = {"saturation by n_engaged", "Gompertz curve"}
    assert {each.title for each in found.laws[-2:]} == titles
    judged = {each.title: each for each in found.scores}
    for title in titles:
        assert judged[title].held_out_rmse is not None
        assert judged[title].forecast_rmse is not None
        assert title in found._repr_html_()
        for table in (ranking_table(found), parameters_table(found)):
            assert title in table.to_csv()
    assert found.law("saturation").comparison("severe").inferred.n == 10
    spelled: Any = found.as_json()["laws"]
    assert spelled[-1]["likelihood"].keys() == {"log_likelihood", "aic", "bic"}
    assert [each["name"] for each in spelled[-2]["parameters"]] == ["ceiling", "rate"]
    json.dumps(spelled, allow_nan=False)


def test_the_truth_of_a_law_of_a_file_is_found(file: Path, tables: RunTables) -> None:
    load_laws(file)
    truth = {"top": 0.8, "half": 1.6, "steepness": 2.2}
    drawn = answered(tables, hill(tables.column("n_engaged"), **truth), 60, seed=4)
    fit = of("saturation", drawn, "n_engaged").fit()
    assert np.abs((fit.values - np.array([*truth.values()])) / fit.standard_errors).max() < 4
    assert fit.standard_errors.max() < 0.5
    found = fit_run(drawn, laws=["saturation"], by="n_engaged", groups=GROUPS, n_runs=8).law("saturation")
    for each in found.parameters:
        assert each.interval is not None
        assert each.interval[0] < truth[each.name] < each.interval[1]
        assert each.error_by_realization == pytest.approx(each.standard_error, rel=0.9)
    assert found.parameter("top").freedom == drawn.n_realizations - 1


def test_the_fit_is_the_best_that_a_general_optimizer_finds(file: Path, tables: RunTables) -> None:
    load_laws(file)
    drawn = answered(tables, hill(tables.column("n_engaged"), 0.7, 2.0, 1.5), 25, seed=5)
    n, counts = drawn.column("n_engaged"), drawn.exposures
    fit = of("saturation", drawn, "n_engaged").fit()

    def loss(values: Array) -> float:
        chance = np.clip(hill(n, *values), 1e-12, 1 - 1e-12)
        return float(-(counts.n_yes * np.log(chance) + counts.n_no * np.log1p(-chance)).sum())

    exact = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 10_000, "maxfev": 10_000}
    best = minimize(loss, [0.5, 1.0, 1.0], method="Nelder-Mead", options=exact)
    assert fit.log_likelihood == pytest.approx(-best.fun, rel=1e-11)
    assert fit.values == pytest.approx(best.x, rel=1e-4)
    steps = 1e-4 * np.eye(3)
    bent = [[loss(best.x + a + b) - loss(best.x + a - b) - loss(best.x - a + b) + loss(best.x - a - b) for a in steps] for b in steps]  # fmt: skip  # noqa: E501
    curvature = np.array(bent) / (4 * 1e-8)
    assert fit.standard_errors == pytest.approx(np.sqrt(np.diag(np.linalg.inv(curvature))), rel=0.05)


def test_a_gompertz_curve_gets_its_parameters_back(file: Path, tables: RunTables) -> None:
    load_laws(file)
    start = tables.engaged_fraction[:, 0].mean()
    curve = 0.8 * (start / 0.8) ** np.exp(-0.4 * np.arange(9))
    law = LAWS["gompertz"](tables, as_grouping(GROUPS))
    fit = law.fit_to(np.tile(curve, (5, 1)))  # type: ignore[attr-defined]
    assert fit.values == pytest.approx((0.8, 0.4), rel=1e-7)
    assert fit.profile("rate", n_values=11).interval == pytest.approx((0.4, 0.4), rel=1e-3)


def test_columns_are_those_counted_by_hand_from_the_log(run: Run, tables: RunTables) -> None:
    agents, networks = run.frame("agents"), run.frame("realizations").set_index("realization").network
    from agentnet.events.export import read_edges

    by_hand: dict[tuple[int, ...], list[int]] = {}
    for number, rows in run.frame("events").query("kind == 'exposure'").groupby("realization"):
        graph = nx.Graph(read_edges(run, networks[number]).tolist())
        engaged = agents.query("realization == @number").set_index("agent").engaged_step.dropna()
        for each in rows.itertuples():
            heard = [b for b in graph[each.agent] if b in engaged.index and engaged[b] < each.step]
            before = int(((rows.agent == each.agent) & (rows.step < each.step)).sum())
            place = tables.realization.tolist().index(number)
            key = (place, each.step, len(heard), before, graph.degree[each.agent])
            count = by_hand.setdefault(key, [0, 0])
            count[int(each.decision)] += 1
    counts = tables.exposures
    found: dict[tuple[int, ...], list[int]] = {}
    columns = [tables.column(name).astype(int) for name in ("step", "n_engaged", "n_asked", "n_neighbours")]
    for row, *key, no, yes in zip(counts.row, *columns, counts.n_no, counts.n_yes, strict=True):
        count = found.setdefault((int(row), *map(int, key)), [0, 0])
        count[0] += no
        count[1] += yes
    assert found == by_hand
    assert len({key[2] for key in found}) > 2


def test_tables_with_columns_count_what_those_without_count(run: Run, tables: RunTables) -> None:
    plain = read_tables(run)
    assert np.array_equal(tables.cells().n_yes, plain.cells().n_yes)
    assert np.array_equal(tables.cells().cluster_no, plain.cells().cluster_no)  # type: ignore[arg-type]
    part, early = tables.select([1, 5]), tables.until(3)
    assert part.column("n_asked").size == part.exposures.row.size < tables.exposures.row.size
    assert early.column("step").max() == 3


class Rows:
    """A network as the analysis takes it."""

    def __init__(self, graph: nx.Graph[int]) -> None:
        heard = [sorted(graph[agent]) for agent in range(len(graph))]
        self.indptr = np.concatenate([[0], np.cumsum([len(each) for each in heard])]).astype(np.int64)
        self.indices = np.array([b for each in heard for b in each], dtype=np.int64)


def by_hand(graph: nx.Graph[int], chance: Callable[[int, int], float], n_runs: int, n_steps: int) -> Array:
    """Play cascades question by question; the chance is one of engaged neighbours and of questions before."""
    rng, curves = np.random.default_rng(11), np.zeros((n_runs, n_steps + 1))
    for curve in curves:
        engaged, asked = {int(rng.integers(len(graph)))}, dict.fromkeys(graph, 0)
        curve[0] = 1
        for step in range(1, n_steps + 1):
            new = set()
            for agent in set(graph) - engaged:
                sources = engaged & set(graph[agent])
                p = chance(len(sources), asked[agent])
                if (rng.random(len(sources)) < p).any():
                    new.add(agent)
                asked[agent] += len(sources)
            engaged |= new
            curve[step] = len(engaged)
    return curves / len(graph)


def test_cascades_of_a_law_of_columns_are_those_played_by_hand() -> None:
    graph: nx.Graph[int] = nx.random_regular_graph(4, 30, seed=2)

    def chance(columns: Mapping[str, Array]) -> Array:
        return 0.7 * columns["n_engaged"] ** 2 / (4 + columns["n_engaged"] ** 2) * 0.9 ** columns["n_asked"]

    theirs = by_hand(graph, lambda n, asked: 0.7 * n**2 / (4 + n**2) * 0.9**asked, 300, 8)
    how: dict[str, Any] = {"network": Rows(graph), "n_steps": 8, "rule": "always", "n_runs": 2000}
    ours = simulate([1.0], seed=3, chance=chance, **how).engaged_fraction
    error = np.sqrt(theirs.var(axis=0) / len(theirs) + ours.var(axis=0) / len(ours))
    assert (np.abs(theirs.mean(axis=0) - ours.mean(axis=0)) <= 4 * error + 1e-12).all()
    constant = simulate([1.0], seed=4, chance=lambda columns: np.full(columns["step"].shape, 0.3), **how)
    table = simulate([0.3], seed=5, **how)
    gap = np.abs(constant.engaged_fraction.mean(axis=0) - table.engaged_fraction.mean(axis=0))
    assert gap.max() < 0.03


def test_attributes_of_agents_are_columns_and_are_replayed(
    play: Callable[..., Run], tmp_path: Path, file: Path
) -> None:
    table = tmp_path / "people.csv"
    table.write_text("node,age,town\n" + "".join(f"{a},{20 + a},Cebu\n" for a in range(24)))
    ring = tmp_path / "ring.csv"
    ring.write_text("source,target\n" + "".join(f"{a},{(a + d) % 24}\n" for a in range(24) for d in (1, 2)))
    design = CascadeExperiment(
        n_agents=24, network=str(ring), node_table=str(table), steps=6, repeats=4, items_per_severity=1
    )
    run = play(design, seed=3)
    load_laws(file)
    tables = read_tables(run, columns=["age"])
    assert set(tables.column("age")) <= set(range(20, 44))
    found = fit_run(tables, laws=["saturation"], by="age", groups=GROUPS, n_runs=8)
    assert found.law("saturation").comparisons
    with pytest.raises(UserError, match=r"'Cebu'.* takes numbers"):
        read_tables(run, columns=["town"])
    with pytest.raises(UserError, match="no column 'agge'; did you mean 'age'"):
        read_tables(run, columns=["agge"])


def test_what_the_log_records_of_a_context_goes_before_what_is_computed(
    spoilt: Callable[..., Path], file: Path
) -> None:
    facts = "json_object('n_engaged', 7, 'n_shown', agent % 3)"
    folder = spoilt(f"UPDATE events SET context = {facts} WHERE kind = 'exposure'")
    tables = read_tables(folder, columns=["n_engaged", "n_shown"])
    assert set(tables.column("n_engaged")) == {7}
    assert set(tables.column("n_shown")) == {0, 1, 2}
    load_laws(file)
    found = fit_run(tables, laws=["saturation"], by=["n_shown"], groups=GROUPS)
    (law,) = found.laws
    assert any(
        "what n_shown would be in a cascade that was not played is not known" in w for w in law.warnings
    )
    assert (law.comparisons, found.scores) == ((), ())
    assert json.dumps(found.as_json(), allow_nan=False)
    flat = fit_run(tables, laws=["saturation"], by=["n_engaged"], groups=GROUPS, n_runs=4).law("saturation")
    assert any("do not vary in n_engaged" in warning for warning in flat.warnings)


def test_facts_that_prompts_were_made_of_are_columns(spoilt: Callable[..., Path]) -> None:
    facts = "json_object('n_shared', agent % 4, 'mood', CASE WHEN agent > 9 THEN 'calm' ELSE 'angry' END)"
    told = "SELECT realization, kind, step, agent, source, repeat, NULL"
    folder = spoilt(f"INSERT INTO exposures {told}, {facts} FROM events WHERE kind = 'exposure'")
    tables = read_tables(folder, columns=["n_shared", "mood=calm"])
    assert set(tables.column("n_shared")) == {0, 1, 2, 3}
    counts, calm = tables.exposures, tables.column("mood=calm")
    frame = Run(folder).frame("events").query("kind == 'exposure' and agent > 9")
    assert counts.n_yes[calm == 1].sum() == frame.decision.sum()
    with pytest.raises(UserError, match=r"'(calm|angry)'"):
        read_tables(folder, columns=["mood"])
    with pytest.raises(DesignError, match=r"no column 'n_hared'; did you mean 'n_shared'"):
        read_tables(folder, columns=["n_hared"])


def test_a_rule_that_nobody_knows_here_still_fits(spoilt: Callable[..., Path]) -> None:
    renamed = spoilt("UPDATE meta SET value = replace(value, 'unengaged_neighbour', 'moonlight')")
    tables = read_tables(renamed)
    assert tables.asking_rule == "moonlight"
    names = ("full_logistic", "main_effects", "group_logistic", "one_rate", "group_rates", "cavity")
    found = fit_run(tables, laws=names, groups=GROUPS, n_runs=4, n_bootstrap=0)
    assert not found.refused
    assert {each.law for each in found.scores} == set(names[3:])
    weights = found.law("main_effects")
    assert weights.comparisons == ()
    assert any("there is no asking rule 'moonlight'" in warning for warning in weights.warnings)
    assert any("by the rule moonlight" in warning for warning in found.law("one_rate").warnings)


def test_missing_answers_bound_the_parameters(file: Path, tables: RunTables) -> None:
    load_laws(file)
    counts = tables.exposures
    lost = replace(counts, n_no=counts.n_no - (counts.n_no > 0), n_missing=(counts.n_no > 0).astype(int))
    top = fit_run(
        replace(tables, exposures=lost), laws=["saturation"], by="n_engaged", groups=GROUPS, n_runs=4
    )
    bounds = top.law("saturation").parameter("top").bounds
    assert bounds is not None
    for answer, if_it in ((0, bounds.if_no), (1, bounds.if_yes)):
        as_yes = answer * lost.n_missing
        filled = replace(lost, n_yes=lost.n_yes + as_yes, n_no=lost.n_no + lost.n_missing - as_yes)
        whole = replace(tables, exposures=replace(filled, n_missing=0 * lost.n_missing))
        assert if_it == pytest.approx(of("saturation", whole, "n_engaged").fit().values[0], rel=1e-6)
    assert bounds.lowest <= min(bounds.if_no, bounds.if_yes)


def test_parameters_that_decisions_do_not_tell_have_no_error(file: Path, tables: RunTables) -> None:
    load_laws(file)
    drawn = answered(tables, np.full(tables.exposures.row.size, 0.4), 4, seed=1)
    fit = of("saturation", drawn, "n_neighbours").fit()
    assert isinstance(fit, DecisionFit)
    assert not np.isfinite(fit.standard_errors).all()
    assert hill(np.array([4.0]), *fit.values)[0] == pytest.approx(0.4, abs=0.02)
    listed = fit_run(drawn, laws=["saturation"], by="n_neighbours", groups=GROUPS, n_runs=4).law("saturation")
    for each in listed.parameters:
        assert bool(each.why_no_interval) == (each.interval is None)
    assert any("do not vary in n_neighbours" in warning for warning in listed.warnings)


def test_the_command_line_fits_the_laws_of_a_file(
    command: Callable[..., Any], run: Run, file: Path, tmp_path: Path
) -> None:
    how = ("--law", file, "--by", "n_engaged", "--runs", "8", "--bootstraps", "8")
    done = command("fit", run.folder, *how)
    assert done.code == 0
    assert "saturation by n_engaged" in done.out
    assert "steepness" in done.out
    found = json.loads(command("fit", run.folder, "--json", *how).out)
    assert [each["law"] for each in found["laws"]] == ["gompertz", "saturation"]
    for wrong, words in (
        (("--law", file, "--by", "n_engagd"), "did you mean 'n_engaged'"),
        (("--law", tmp_path / "none.py"), "no Python file"),
        (("--law", "hil"), "did you mean 'hill'"),
    ):
        refused = command("fit", run.folder, *wrong)
        assert (refused.code, refused.out) == (2, "")
        assert words in refused.err
    alone = command("fit", run.folder, "--law", "saturation")
    assert alone.code == 2
    assert "name it: --by" in alone.err


def test_files_that_define_no_law_are_refused_with_what_is_wrong(tmp_path: Path, file: Path) -> None:
    load_laws(file)
    for text, words in (
        ("x = 1", "defines no law"),
        ("1 / 0", "does not run: ZeroDivisionError"),
        (LAWS_OF_A_FILE.replace("Between(0, 1)", "Between(1, 0)"), "bounds must rise"),
        (LAWS_OF_A_FILE.replace("class Saturation", "class MainEffects"), "law 'main_effects' stands twice"),
    ):
        (other := tmp_path / "other.py").write_text(text)
        with pytest.raises((UserError, DesignError), match=words):
            load_laws(other)
    assert load_laws(file) == ("gompertz", "saturation"), "a file that is loaded again takes its own place"


BROKEN = """
from agentnet.analysis.laws import Between, CurveLaw, DecisionLaw

class Broken({kind}):
    title = "broken"
    parameters = {parameters}
{formula}
"""
TOP = "{'top': Between(0, 1)}"


@pytest.mark.parametrize(
    ("kind", "parameters", "formula", "said"),
    [
        ("CurveLaw", TOP, "", "no formula: give it a method curve"),
        ("DecisionLaw", TOP, "", "no formula: give it a method probability"),
        ("CurveLaw", "{}", "    def curve(self, steps, start): ...", "no parameters"),
        (
            "CurveLaw",
            TOP,
            "    def curve(self, steps, start, tops): ...",
            "parameters top,.*curve.*differ in top, tops",
        ),
        ("CurveLaw", TOP, "    def curve(self, steps, top): ...", "differ in top"),
        (
            "DecisionLaw",
            TOP,
            "    def probability(self, columns, top, half): ...",
            "probability.*differ in half",
        ),
    ],
)
def test_a_formula_that_does_not_take_the_laws_parameters_is_refused(
    tmp_path: Path, kind: str, parameters: str, formula: str, said: str
) -> None:
    path = tmp_path / "broken.py"
    path.write_text(BROKEN.format(kind=kind, parameters=parameters, formula=formula), encoding="utf-8")
    with pytest.raises(UserError, match=f"the law broken .*{said}"):
        load_laws(path)
    assert "broken" not in set(LAWS)


def test_a_formula_may_take_what_it_is_given_by_any_name_or_has_a_default_for(tmp_path: Path) -> None:
    path = tmp_path / "whole.py"
    formula = "    def curve(self, steps, start, *, shift=0, **values): ..."
    path.write_text(BROKEN.format(kind="CurveLaw", parameters=TOP, formula=formula), encoding="utf-8")
    assert load_laws(path) == ("broken",)
    LAWS.remove("broken")


@pytest.mark.parametrize(
    ("kind", "formula", "said"),
    [
        (
            "DecisionLaw",
            "    def probability(self, columns, top): return np.array([top] * 3)",
            r"gives \(3,\)",
        ),
        ("DecisionLaw", "    def probability(self, columns, top): return 'often'", "gives 'often'"),
        (
            "DecisionLaw",
            "    def probability(self, columns, top): return top * np.nan",
            "the law broken gives no probability at any start",
        ),
        (
            "DecisionLaw",
            "    def probability(self, columns, top): return 1 + top + 0.1",
            "chances of a yes from 1.*bound its parameters",
        ),
        (
            "DecisionLaw",
            "    def probability(self, columns, top): return -0.1 - top",
            "chances of a yes from -.*bound its parameters",
        ),
        (
            "DecisionLaw",
            "    def probability(self, columns, top): return columns['bold']",
            "by `uses`, or by --by",
        ),
        (
            "CurveLaw",
            "    def curve(self, steps, start, top): return np.ones((2, 2, 2))",
            r"gives \(2, 2, 2\)",
        ),
    ],
)
def test_a_formula_that_gives_something_else_is_told_by_the_name_of_the_law(
    tmp_path: Path, tables: RunTables, kind: str, formula: str, said: str
) -> None:
    path = tmp_path / "broken.py"
    text = "import numpy as np\n" + BROKEN.format(kind=kind, parameters=TOP, formula=formula)
    path.write_text(text, encoding="utf-8")
    load_laws(path)
    try:
        with pytest.raises((DesignError, InputError), match=said):
            LAWS["broken"](tables, as_grouping(GROUPS), ()).fit()
    finally:
        LAWS.remove("broken")


def test_columns_that_a_law_was_not_given_are_named(file: Path, tables: RunTables, run: Run) -> None:
    load_laws(file)
    with pytest.raises(DesignError, match=r"read them with it: read_tables\(run, columns=\['n_engaged'\]\)"):
        of("saturation", read_tables(run), "n_engaged").fit()
    with pytest.raises(DesignError, match="name it: --by"):
        of("saturation", tables).fit()


def test_a_report_holds_the_laws_of_a_file_and_draws_them(
    command: Callable[..., Any], run: Run, file: Path, tables: RunTables, tmp_path: Path
) -> None:
    quick = ("--no-figures", "--runs", "8", "--bootstraps", "4", "--decisions", "3", "--quiet")
    done = command(
        "report", run.folder, "--law", file, "--by", "n_engaged", "--output", tmp_path / "r", *quick
    )
    assert done.code == 0, done.err
    results = json.loads((tmp_path / "r" / "results.json").read_text("utf-8"))
    assert [results["options"][key] for key in ("laws", "by")] == [["gompertz", "saturation"], ["n_engaged"]]
    assert "saturation by n_engaged" in (tmp_path / "r" / "report.html").read_text("utf-8")
    found = fit_run(tables, laws=["saturation"], by="n_engaged", groups=GROUPS, n_runs=6, n_bootstrap=0)
    with house_style():
        (sketch,) = other_sketches(found)
    assert sketch.figure is not None
    assert "fitted to single decisions; 6 inferred cascades" in sketch.caption
    shows = {
        "hill_of_all": OF_POPULATION,
        "hill_of_one": Sight("The second, by the {law}", "Engaged", "group 2".__eq__),
    }
    shown = type("Shown", (LAWS["hill"],), {"figures": shows})(tables, found.grouping, ("n_engaged",))
    with house_style():
        of_all, of_one = other_sketches(replace(found, laws=(replace(found.laws[0], of=shown),)))
    assert (of_all.name, of_one.name, of_one.title) == (*shows, "The second, by the Hill curve of n_engaged")
    assert of_all.alternative.startswith("Population,")
    assert of_one.alternative.startswith("Group 2,")
    assert of_one.caption.startswith("Engaged after each step")


def test_a_report_by_a_column_or_law_that_is_not_there_is_refused(
    command: Callable[..., Any], run: Run, file: Path, tmp_path: Path
) -> None:
    quick = ("--no-figures", "--runs", "4", "--bootstraps", "0", "--quiet", "--output", tmp_path / "r")
    load_laws(file)
    for wrong, words in (
        (("--law", "saturation", "--by", "n_engagd"), "no column 'n_engagd'; did you mean 'n_engaged'"),
        (("--law", "saturation", "--by", "colour"), "extraversion, n_asked, n_engaged, n_neighbours"),
        (("--law", "hil"), "there is no law 'hil'; did you mean 'hill'"),
        (("--law", "saturation"), "the law saturation is one of a column of exposures; name it: --by"),
    ):
        refused = command("report", run.folder, *wrong, *quick)
        assert (refused.code, refused.out) == (2, ""), refused.err
        assert words in refused.err
        assert not (tmp_path / "r").exists()


def test_a_column_that_one_condition_alone_records_costs_its_tables_and_no_report(
    command: Callable[..., Any], spoilt: Callable[..., Path]
) -> None:
    half = "UPDATE events SET context = json_object('n_shown', 3) WHERE kind = 'exposure' AND realization > 2"
    quick = ("--no-figures", "--runs", "4", "--bootstraps", "0", "--decisions", "0", "--quiet")
    done = command("report", folder := spoilt(half), "--law", "one_rate", "--by", "n_shown", *quick)
    assert done.code == 0, done.err
    assert "holds nothing for some exposures" in (folder / "report" / "report.html").read_text("utf-8")


def test_each_law_says_for_itself_how_it_was_fitted(file: Path, tables: RunTables) -> None:
    load_laws(file)
    found = fit_run(tables, by="n_engaged", groups=GROUPS, n_runs=6, n_bootstrap=0)
    said = " ".join(_fit_methods(found, "given"))
    assert "one-rate mean field, 2-rate mean field, 2-group cavity and Gompertz curve laws by least" in said
    mine = (
        "Hill curve of n_engaged, threshold in n_engaged, logistic in n_engaged and saturation by n_engaged"
    )
    assert f"{mine} laws by maximum likelihood to the decisions of exposures" in said
    assert "saturation by" not in said.partition("by least squares")[0].rpartition("We fitted")[2]
    bare = " ".join(_fit_methods(fit_run(tables, laws=["saturation"], by=["news"], n_runs=6), "given"))
    assert "curves were inferred" not in bare


def test_parameters_without_interval_by_news_item_say_why(file: Path, tables: RunTables) -> None:
    load_laws(file)
    names = ("main_effects", "one_rate", "saturation")
    how: dict[str, Any] = {"laws": names, "by": "n_engaged", "groups": GROUPS, "n_runs": 4}
    for news, words in (
        ((0,), "there is a single news item"),
        ((0, 1), "2 clusters tell of it|only 2 news items; 3 are the least"),
    ):
        part = tables.select(np.flatnonzero(np.isin(tables.news, news)))
        for law in fit_run(part, **how, n_bootstrap=8).laws:
            for each in law.parameters:
                assert bool(each.why_no_interval_by_news) == (each.interval_by_news is None)
                if np.isfinite(each.estimate):
                    assert re.search(words, each.why_no_interval_by_news), (law.law, each)
    whole = fit_run(tables, **how, n_bootstrap=0)
    assert whole.law("one_rate").parameter("tau").why_no_interval_by_news == "no resamples were asked for"
    assert whole.law("saturation").parameter("top").interval_by_news is not None


def _literals(path: Path) -> set[object]:
    return {
        each.value for each in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(each, ast.Constant)
    }


def test_no_law_is_named_outside_its_file() -> None:
    root, names = Path(agentnet.__file__).parent, {law.name for law in LAWS.bundled_ones()}
    files = [path for path in root.rglob("*.py") if path.parent.name != "laws"]
    found = {str(path.relative_to(root)): names & _literals(path) for path in files}
    # What the paper published of its two groups has had this key in results.json since the first version.
    assert {path: spelled for path, spelled in found.items() if spelled} == {
        "report/results.py": {"group_rates"}
    }


def test_a_report_of_a_rule_that_nobody_knows_here_says_why_curves_are_missing(
    command: Callable[..., Any], spoilt: Callable[..., Path]
) -> None:
    folder = spoilt("UPDATE meta SET value = replace(value, 'unengaged_neighbour', 'moonlight')")
    quick = ("--no-figures", "--runs", "4", "--bootstraps", "0", "--decisions", "0", "--quiet")
    done = command("report", folder, "--law", "main_effects", "--law", "one_rate", *quick)
    assert done.code == 0, done.err
    assert "there is no asking rule" in (folder / "report" / "report.html").read_text("utf-8")
    found = fit_run(read_tables(folder), laws=["full_logistic"], groups=GROUPS, n_runs=4)
    assert found.scores == ()
    assert "No cascades can be inferred" in str(curve_sketch(found, CURVE_FIGURES[0]).unavailable)
