"""Tables of a run: what pandas finds row by row, from either source; what cannot be read is named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from agentnet import CascadeExperiment, ResponseRatioExperiment
from agentnet.analysis.cells import count_cells
from agentnet.analysis.columns import ParquetColumns
from agentnet.analysis.decisions import read_decisions, read_ratios
from agentnet.analysis.networks import read_networks
from agentnet.analysis.reading import marked, open_log, read_tables
from agentnet.analysis.tables import RunTables, checked_groups
from agentnet.backend import make_backend
from agentnet.errors import DesignError, RunFolderError, UserError
from agentnet.events import Run
from agentnet.events.export import export_parquet
from agentnet.network import Network, erdos_renyi, random_regular

GROUPS = np.arange(32) // 16
DESIGN = {"n_agents": 40, "degree": 4, "steps": 6, "repeats": 2, "items_per_severity": 2}


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    """Eight cascades with missing answers."""
    return play(
        CascadeExperiment(**DESIGN), backend=make_backend("mock", {"invalid_rate": 0.3}), seed=3, max_asks=1
    )


@pytest.fixture(scope="module")
def tables(run: Run) -> RunTables:
    return read_tables(run)


@pytest.fixture(scope="module")
def ratio_run(play: Callable[..., Run]) -> Run:
    design = ResponseRatioExperiment(items_per_severity=2, repeats=2)
    return play(design, backend=make_backend("mock", {"refusal_rate": 0.2}), max_asks=1)


@pytest.fixture
def spoilt(run: Run, tmp_path: Path) -> Callable[..., Path]:
    """Copy the run and change its log by SQL."""

    def spoilt(*statements: str) -> Path:
        folder = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(run.folder, folder)
        with closing(sqlite3.connect(folder / "events.sqlite")) as connection:
            connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return folder

    return spoilt


def test_cells_are_the_exposures_counted_row_by_row(run: Run, tables: RunTables) -> None:
    rows = run.frame("decisions").query("kind == 'exposure'")
    valid = rows.dropna(subset="decision")
    numbers = {number: place for place, number in enumerate(tables.realization.tolist())}
    expected = count_cells(
        valid.profile.map(lambda bits: int(bits, 2)).to_numpy(),
        valid.severity.to_numpy(),
        valid.decision.astype(int).to_numpy(),
        valid.realization.map(numbers).to_numpy(),
    )
    found = tables.cells()
    assert np.array_equal(found.n_yes, expected.n_yes)
    assert found.cluster_no is not None
    assert np.array_equal(found.cluster_no, expected.cluster_no)
    assert tables.n_missing == rows.decision.isna().sum() > 50
    assert tables.n_exposures == len(rows)
    assert tables.missing_reasons == rows.missing.value_counts().to_dict()
    missing = rows[rows.decision.isna()]
    severe = missing.query("profile == '10101' and severity == 1")
    assert tables.missing_by_cell()[0b10101, 1] == len(severe)


def test_curves_are_those_of_the_steps_and_groups_add_up(run: Run, tables: RunTables) -> None:
    steps = run.frame("steps").pivot_table(index="realization", columns="step", values="n_engaged")
    expected = steps.reindex(columns=range(7)).ffill(axis=1).loc[tables.realization].to_numpy() / 40
    assert np.allclose(tables.engaged_fraction, expected)
    by_group = tables.group_engaged_fraction(GROUPS)
    assert by_group.shape == (8, 2, 7)
    assert np.allclose(by_group.sum(axis=1), expected)
    agents = run.frame("agents").query("realization == 3")
    high = agents[agents.profile.str.startswith("1")]
    assert by_group[3, 1, 4] == (high.engaged_step <= 4).sum() / 40
    assert np.isclose(tables.group_share(GROUPS)[1], (run.frame("agents").profile.str[0] == "1").mean())


def test_who_started_and_after_how_many_questions(run: Run, tables: RunTables) -> None:
    seeds = run.frame("decisions").query("kind == 'seed'")
    assert tables.n_seed_attempts.tolist() == seeds.groupby("realization").size().tolist()
    first = seeds[seeds.decision == 1].set_index("realization").profile.map(lambda bits: int(bits, 2))
    assert tables.initial_profile.tolist() == first.tolist()
    assert tables.initial_share(GROUPS)[1] == (first >= 16).mean()
    assert tables.seeding == "first_yes"
    assert tables.asking_rule == "unengaged_neighbour"


def test_agents_whose_answer_was_missing_engage_then_if_it_counts_as_yes(run: Run, tables: RunTables) -> None:
    rows = run.frame("decisions").query("kind == 'exposure' and decision.isna()")
    first = rows.groupby(["realization", "agent"]).step.min()
    agents = run.frame("agents").set_index(["realization", "agent"])
    step = pd.concat([agents.engaged_step, first], axis=1).min(axis=1)
    for place, number in enumerate(tables.realization.tolist()):
        expected = [(step[number] <= t).mean() for t in range(7)]
        assert np.allclose(tables.engaged_fraction_if_yes[place], expected)
    assert (tables.engaged_fraction_if_yes > tables.engaged_fraction).any()


@pytest.mark.parametrize("answer", [True, False])
def test_missing_answers_can_be_counted_as_either(tables: RunTables, answer: bool) -> None:
    filled, plain = tables.cells(missing_yes=answer), tables.cells()
    missing = tables.missing_by_cell()
    assert np.array_equal(filled.n_yes, plain.n_yes + missing * answer)
    assert np.array_equal(filled.n_no, plain.n_no + missing * (not answer))
    by_item = tables.cells("news item").cluster_yes
    assert by_item is not None
    assert len(by_item) == 4


@pytest.mark.parametrize("kind", ["exposure", "seed"])
def test_single_decisions_are_those_of_the_view(run: Run, kind: str) -> None:
    found = read_decisions(run, kind)
    expected = run.query(
        "SELECT * FROM decisions WHERE kind = ? ORDER BY realization, kind, step, agent, source, repeat",
        (kind,),
    )
    for name in ("realization", "step", "agent", "source", "severity"):
        assert getattr(found, name).tolist() == expected[name].tolist()
    assert [f"{profile:05b}" for profile in found.profile] == expected.profile.tolist()
    assert [found.news_ids[news] for news in found.news] == expected.news.tolist()
    assert found.decision.tolist() == expected.decision.fillna(-1).tolist()
    reasons = ["" if reason < 0 else found.reasons[reason] for reason in found.reason]
    assert reasons == expected.missing.fillna("").tolist()


def same(one: Any, other: Any) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        if isinstance(getattr(one, name), np.ndarray)
        else True
        for name in type(one).__slots__
    )


def by_parquet(folder: Path) -> Run:
    """Have Parquet read where it is there, however few the events are."""
    return Run(folder, worth_parquet=0)


def test_parquet_and_sqlite_hold_the_same(spoilt: Callable[..., Path], tables: RunTables) -> None:
    folder = spoilt()
    export_parquet(Run(folder), folder / "parquet")
    decisions = read_decisions(folder)
    # Small row groups, so that counts have to be put together.
    rewritten(folder / "parquet" / "events.parquet")
    rewritten(folder / "parquet" / "agents.parquet")
    with_parquet = read_tables(by_parquet(folder))
    with closing(sqlite3.connect(folder / "events.sqlite")) as connection:
        assert ParquetColumns.of(by_parquet(folder), connection) == ParquetColumns(folder / "parquet")
        assert ParquetColumns.of(Run(folder), connection) is None
    assert same(with_parquet, tables)
    assert same(with_parquet.exposures, tables.exposures)
    assert same(read_decisions(by_parquet(folder)), decisions)


def test_a_flipped_byte_of_parquet_is_told_or_changes_nothing(spoilt: Callable[..., Path]) -> None:
    folder, n_told = spoilt(), 0
    export_parquet(Run(folder), folder / "parquet")
    tables = read_tables(by_parquet(folder))
    path = folder / "parquet" / "events.parquet"
    content = path.read_bytes()
    for place in range(4, len(content), len(content) // 40):
        flipped = bytearray(content)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        try:
            found = read_tables(by_parquet(folder))
        except RunFolderError as error:
            n_told += "agentnet export" in str(error)
        else:
            assert same(found.exposures, tables.exposures)
    assert n_told > 2


def rewritten(path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(path), path, row_group_size=37)


@pytest.mark.parametrize("column", ["realization", "decision"])
def test_parquet_that_lacks_a_column_is_damaged(spoilt: Callable[..., Path], column: str) -> None:
    import pyarrow.parquet as pq

    folder = spoilt()
    export_parquet(Run(folder), folder / "parquet")
    path = folder / "parquet" / "events.parquet"
    pq.write_table(pq.read_table(path).drop_columns(column), path)
    with pytest.raises(RunFolderError, match=f"events.parquet is damaged .it has no column {column}"):
        read_tables(by_parquet(folder))


def test_parquet_of_another_state_is_not_read(spoilt: Callable[..., Path]) -> None:
    def chosen(folder: Path) -> ParquetColumns | None:
        with closing(sqlite3.connect(folder / "events.sqlite")) as connection:
            return ParquetColumns.of(by_parquet(folder), connection)

    folder = spoilt()
    assert chosen(folder) is None
    export_parquet(Run(folder), folder / "parquet")
    assert chosen(folder) is not None
    for change in (
        "UPDATE meta SET value = '1.0' WHERE key = 'finished_at'",
        "DELETE FROM events WHERE realization = 0 AND step = 1",
    ):
        other = spoilt(change)
        shutil.copytree(folder / "parquet", other / "parquet")
        assert chosen(other) is None
    (folder / "parquet" / "meta.parquet").write_bytes(b"PAR1 cut off")
    assert chosen(folder) is None


def test_of_a_run_that_goes_on_the_finished_realizations_count(spoilt: Callable[..., Path]) -> None:
    folder = spoilt(
        "UPDATE realizations SET status = 'running' WHERE realization = 2",
        "UPDATE realizations SET status = 'unstarted' WHERE realization = 5",
        "DELETE FROM realizations WHERE realization = 7",
        "UPDATE meta SET value = '\"running\"' WHERE key = 'status'",
    )
    found = read_tables(folder / "events.sqlite")
    assert found.realization.tolist() == [0, 1, 3, 4, 6]
    assert (found.status, found.n_unfinished, found.n_unstarted) == ("running", 2, 1)
    assert any("only 6 of 8 realizations" in note for note in found.notes)
    assert any("1 realization that nobody started is left out" in note for note in found.notes)
    assert set(found.exposures.row.tolist()) == {0, 1, 2, 3, 4}


def test_selections_are_what_would_have_been_read(run: Run, tables: RunTables) -> None:
    chosen = tables.select([6, 1])
    assert chosen.realization.tolist() == [6, 1]
    assert np.array_equal(chosen.engaged_fraction, tables.engaged_fraction[[6, 1]])
    whole, part = tables.cells().cluster_no, chosen.cells().cluster_no
    assert whole is not None
    assert part is not None
    assert np.array_equal(part, whole[[6, 1]])
    early = tables.until(2)
    assert early.engaged_fraction.shape == early.engaged_fraction_if_yes.shape == (8, 3)
    counted = run.rows("SELECT COUNT(*) FROM events WHERE kind = 'exposure' AND step <= 2")[1][0][0]
    assert early.n_exposures == counted
    assert early.last_step.max() <= 2
    with pytest.raises(DesignError, match="no step 7"):
        tables.until(7)


def test_tables_cannot_be_changed(tables: RunTables) -> None:
    with pytest.raises(ValueError, match="read-only"):
        tables.engaged[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        tables.exposures.n_yes[0] = 1


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE agents SET engaged_step = 2 WHERE engaged_step IS NULL", "disagree"),
        ("UPDATE agents SET engaged_step = 99 WHERE engaged_step IS NULL", "after the last step"),
        ("UPDATE agents SET engaged_step = 'soon' WHERE realization = 0", r"agents\.engaged_step holds"),
        ("UPDATE agents SET profile = '0120' WHERE realization = 0", "not five bits"),
        ("UPDATE agents SET profile = 'x' WHERE realization = 0", "not five bits"),
        ("UPDATE prompts SET profile = '99999999'", "not five bits"),
        ("DELETE FROM prompts WHERE prompt > 10", "prompts that are not there"),
        ("DELETE FROM steps WHERE realization = 1", "disagree"),
        ("DELETE FROM networks", "realization 0 has no network"),
        ("DELETE FROM meta WHERE key = 'model_name'", "lacks model_name"),
        ("UPDATE meta SET value = '{}' WHERE key = 'experiment'", "lacks experiment.family"),
        (
            "UPDATE meta SET value = json_remove(value, '$.design[0].steps') WHERE key = 'experiment'",
            "lacks steps",
        ),
        ("UPDATE realizations SET condition = '{'", r"realizations\.condition holds"),
        ("UPDATE news SET severity = 7 WHERE news = 0", "table news"),
        ("UPDATE realizations SET last_step = NULL WHERE realization = 0", "an integer belongs"),
    ],
)
def test_damage_is_named(spoilt: Callable[..., Path], statement: str, words: str) -> None:
    with pytest.raises(RunFolderError, match=words):
        read_tables(spoilt(statement))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE realizations SET status = 'running'", "no finished realization yet"),
        ("UPDATE realizations SET status = 'unstarted'", "nobody said yes"),
        ("DELETE FROM events WHERE kind = 'exposure'", "no exposures"),
    ],
)
def test_what_cannot_be_used_is_refused(spoilt: Callable[..., Path], statement: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_tables(spoilt(statement))


def test_no_log_another_schema_and_garbage_are_told_apart(
    spoilt: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(RunFolderError, match="is no run folder"):
        read_tables(tmp_path / "nothing")
    with pytest.raises(RunFolderError, match="schema 99"):
        read_tables(spoilt("UPDATE meta SET value = '99' WHERE key = 'schema_version'"))
    garbled = spoilt() / "events.sqlite"
    garbled.write_bytes(b"no database" * 1000)
    with pytest.raises(RunFolderError, match="damaged"):
        read_tables(garbled)


def test_severities_that_tell_nothing_are_noted(spoilt: Callable[..., Path]) -> None:
    found = [
        read_tables(spoilt(f"UPDATE news SET severity = {severity} WHERE {where}"))
        for severity, where in (("NULL", "1"), ("NULL", "news = 0"), ("1", "1"))
    ]
    assert [each.severities for each in found] == [(-1,), (-1, 0, 1), (1,)]
    words = ["no news item has a severity", "some news items have no severity", "all news items are severe"]
    for each, word in zip(found, words, strict=True):
        assert any(word in note for note in each.notes)
    assert found[0].cells().n_yes[:, 1].sum() == 0
    single = read_tables(spoilt("DELETE FROM realizations WHERE realization > 0"))
    assert any("a single realization" in note for note in single.notes)
    peaceful = "news IN (SELECT news FROM news WHERE severity = 0)"
    severe = read_tables(spoilt(f"UPDATE realizations SET status = 'unstarted' WHERE {peaceful}"))
    said = "of the cascades that were started, all news items are severe"
    assert any(note.startswith(said) for note in severe.notes)


def test_conditions_are_different_designs(play: Callable[..., Run]) -> None:
    designs = [
        CascadeExperiment(**(DESIGN | {"repeats": 1, "asking_rule": r})) for r in ("always", "once_per_edge")
    ]
    run = play(*designs)
    with pytest.raises(UserError, match="has 2 conditions"):
        read_tables(run)
    with pytest.raises(UserError, match="no condition 2"):
        read_tables(run, condition=2)
    one, other = read_tables(run, condition=0), read_tables(run, condition=1)
    assert (one.asking_rule, other.asking_rule) == ("always", "once_per_edge")
    assert one.realization.tolist() == [0, 1, 2, 3]
    assert other.realization.tolist() == [4, 5, 6, 7]
    assert one.n_exposures > other.n_exposures
    assert one.initial_profile.shape == other.n_seed_attempts.shape == (4,)


def test_response_ratios_are_counted_by_item_and_profile(ratio_run: Run) -> None:
    found = read_ratios(ratio_run)
    rows = ratio_run.frame("decisions")
    expected = rows[rows.news == found.news_ids[2]].query("profile == '10111'")
    assert found.n_yes.shape == (4, 32)
    assert found.n_yes[2, 23] == (expected.decision == 1).sum()
    assert found.n_missing.sum() == rows.decision.isna().sum() > 0
    assert (found.n_yes + found.n_no + found.n_missing == 2).all()
    assert found.yes_ratio[2, 23] == found.n_yes[2, 23] / expected.decision.notna().sum()
    assert found.notes == ()
    assert read_decisions(ratio_run, "ratio").decision.size == 256


def test_ratios_and_cascades_are_not_taken_for_each_other(run: Run, ratio_run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="response ratios, not of cascades"):
        read_tables(ratio_run)
    with pytest.raises(UserError, match="a run of cascades"):
        read_ratios(run)
    with pytest.raises(UserError, match="did you mean 'exposure'"):
        read_decisions(run, "exposures")
    assert read_decisions(run, "ratio").step.size == 0
    going = shutil.copytree(ratio_run.folder, tmp_path / "going")
    with closing(sqlite3.connect(going / "events.sqlite")) as connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.execute("UPDATE realizations SET status = 'running' WHERE realization = 0")
        connection.commit()
    found = read_ratios(going)
    assert "only 3 of 4" in found.notes[0]
    assert (found.n_yes + found.n_no + found.n_missing).sum(axis=1).tolist() == [0, 64, 64, 64]
    with closing(sqlite3.connect(going / "events.sqlite")) as connection:
        connection.execute("UPDATE realizations SET status = 'running'")
        connection.commit()
    with pytest.raises(UserError, match="no finished realization yet; resume the run"):
        read_ratios(going)
    with closing(sqlite3.connect(going / "events.sqlite")) as connection:
        connection.execute("DELETE FROM news")
        connection.commit()
    with pytest.raises(RunFolderError, match="table news"):
        read_ratios(going)


def test_fresh_regular_networks_are_drawn_anew(tables: RunTables) -> None:
    networks = tables.networks
    assert (networks.names, networks.n_networks, networks.fresh) == (("random_regular",), 8, True)
    assert (networks.degree, networks.mean_degree, networks.played) == (4, 4.0, ())
    assert networks.n_agents.tolist() == [8 * 40]


def test_one_random_regular_network_for_all_is_kept_to_be_replayed(play: Callable[..., Run]) -> None:
    design = CascadeExperiment(
        network=random_regular(30, 4, seed=1), steps=2, repeats=1, items_per_severity=1
    )
    networks = read_tables(play(design)).networks
    assert (networks.fresh, networks.degree, networks.n_networks) == (False, 4, 1)
    assert len(networks.played) == 2


@pytest.mark.parametrize("shared", [True, False])
def test_other_networks_are_kept_to_be_replayed(play: Callable[..., Run], shared: bool) -> None:
    fixed = erdos_renyi(30, 0.15, seed=5)
    how: dict[str, Any] = (
        {"network": fixed} if shared else {"network": "erdos_renyi", "network_options": {"probability": 0.15}}
    )
    run = play(CascadeExperiment(n_agents=30, steps=3, repeats=2, items_per_severity=1, **how))
    networks = read_tables(run).networks
    assert (networks.fresh, networks.degree, networks.n_networks) == (False, None, 1 if shared else 4)
    assert [each.row for each in networks.played] == [0, 1, 2, 3]
    edges = "SELECT edges FROM realizations JOIN networks USING (network) ORDER BY realization"
    for played, (blob,) in zip(networks.played, run.rows(edges)[1], strict=True):
        expected = Network.from_bytes(blob, 30)
        assert np.array_equal(played.indptr, expected.indptr)
        assert np.array_equal(played.indices, expected.indices)
    degrees = np.concatenate([np.diff(played.indptr) for played in networks.played])
    assert np.array_equal(np.repeat(networks.degrees, networks.n_agents), np.sort(degrees))
    assert np.isclose(networks.mean_degree, degrees.mean())
    assert np.isclose(networks.degree_share.sum(), 1)
    profile = run.rows("SELECT profile FROM agents WHERE realization = 2 ORDER BY agent")[1]
    assert networks.played[2].profile.tolist() == [int(bits, 2) for (bits,) in profile]


@pytest.mark.parametrize("is_directed", [True, False])
def test_a_network_kept_to_be_replayed_says_whether_hearing_is_mutual(
    play: Callable[..., Run], is_directed: bool
) -> None:
    ties = nx.gnp_random_graph(30, 0.15, seed=5, directed=is_directed)
    network = Network.from_networkx(ties, heard="source" if is_directed else None)
    run = play(CascadeExperiment(network=network, steps=2, repeats=1, items_per_severity=1))
    assert [each.is_directed for each in read_tables(run).networks.played] == [is_directed] * 2


def test_networks_too_large_to_keep_are_thinned_out_evenly(play: Callable[..., Run]) -> None:
    design = {"n_agents": 30, "steps": 2, "repeats": 5, "items_per_severity": 1}
    run = play(CascadeExperiment(**design, network="erdos_renyi", network_options={"probability": 0.15}))
    tables = read_tables(run)
    assert len(tables.networks.played) == tables.n_realizations > 5
    with open_log(run) as log:
        few, one = (read_networks(log, tables.realization, most_edges=n).played for n in (250, 1))
    assert 2 <= len(few) <= 5
    assert [each.row for each in one] == [0]
    regular = play(CascadeExperiment(**design, degree=4))
    assert read_tables(regular).networks.degree == 4
    assert read_tables(regular).networks.fresh


@pytest.mark.parametrize("groups", [np.zeros(31, int), np.zeros(32), np.arange(32) * 2, np.ones(32, int)])
def test_groups_number_every_profile_without_gaps(groups: Any) -> None:
    with pytest.raises(DesignError, match="groups must be"):
        checked_groups(groups)


def test_marked_bits_keep_their_leading_zeros() -> None:
    assert marked("00101") == 100101
    assert json.loads(json.dumps(marked("11111"))) == 111111
