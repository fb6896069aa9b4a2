"""Trees of messages: closed forms, networkx as an oracle, those of runs, and those of tables."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from agentnet import (
    Ask,
    CascadeExperiment,
    Exposure,
    InterviewExperiment,
    Reaction,
    Setting,
    WorldExperiment,
)
from agentnet.analysis import Forest, Trees, read_observed, tree_distances, trees_of
from agentnet.backend import make_backend
from agentnet.errors import ConfigurationError, DesignError, InputError, RunFolderError, UserError
from agentnet.events import LOG_NAME, Run

SMALL: dict[str, Any] = {"n_agents": 32, "degree": 4, "steps": 4, "repeats": 2, "items_per_severity": 1}


def forest(*parent: int, time: list[float] | None = None, author: list[int] | None = None) -> Forest:
    n = len(parent)
    times = np.full(n, math.nan) if time is None else np.array(time, dtype=np.float64)
    authors = np.full(n, -1) if author is None else np.array(author)
    return Forest("by hand", np.array(parent, dtype=np.int64), authors, times)


def grown(draw: list[int]) -> list[int]:
    """Let each node after the first be a child of an earlier one."""
    return [-1, *(number % (place + 1) for place, number in enumerate(draw))]


# Measures


@pytest.mark.parametrize("n", [2, 3, 4, 10, 101])
def test_a_chain_and_a_star_have_their_closed_forms(n: int) -> None:
    chain = forest(*range(-1, n - 1)).trees()
    assert [chain.size[0], chain.depth[0], chain.width[0]] == [n, n - 1, 1]
    assert chain.virality[0] == pytest.approx((n + 1) / 3, rel=1e-12)
    assert chain.concentration[0] == pytest.approx(1 / (n - 1), rel=1e-12)
    star = forest(-1, *[0] * (n - 1)).trees()
    assert [star.size[0], star.depth[0], star.width[0]] == [n, 1, n - 1]
    assert star.virality[0] == pytest.approx(2 * (n - 1) / n, rel=1e-12)
    assert star.concentration[0] == 1


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.randoms())
def test_measures_are_those_of_networkx_in_any_order_of_nodes(draw: list[int], chance: Any) -> None:
    parent = grown(draw)
    order = list(range(len(parent)))
    chance.shuffle(order)
    place = {node: here for here, node in enumerate(order)}
    shuffled = [-1 if parent[node] < 0 else place[parent[node]] for node in order]
    found = forest(*shuffled).trees()
    tree = nx.Graph([(node, above) for node, above in enumerate(shuffled) if above >= 0])
    distance = nx.single_source_shortest_path_length(tree, place[0])
    children = np.bincount([each for each in shuffled if each >= 0])
    assert found.root == place[0]
    assert found.size == len(parent)
    assert found.virality[0] == pytest.approx(nx.average_shortest_path_length(tree), rel=1e-12)
    assert found.depth == max(distance.values())
    assert found.width == max(np.bincount(list(distance.values())))
    assert found.concentration[0] == pytest.approx((children**2).sum() / children.sum() ** 2, rel=1e-12)


def test_a_forest_is_measured_tree_by_tree() -> None:
    """0 has 1 and 2, 2 has 4; 3 is alone; 5 has 6, which is earlier; one time is unknown."""
    found = forest(
        *(-1, 0, 0, -1, 2, -1, 5),
        time=[0, 4, 2, 9, math.nan, 7, 6],
        author=[0, 1, 0, 2, 1, -1, -1],
    ).trees()
    assert found.root.tolist() == [0, 3, 5]
    assert found.size.tolist() == [4, 1, 2]
    assert found.depth.tolist() == [2, 0, 1]
    assert found.width.tolist() == [2, 1, 1]
    assert found.n_authors.tolist() == [2, 1, 0]
    np.testing.assert_allclose(found.virality, [10 / 6, math.nan, 1])
    np.testing.assert_allclose(found.concentration, [5 / 9, math.nan, 1])
    np.testing.assert_allclose(found.delay, [3, math.nan, math.nan])
    assert found.counts["n_earlier"] == 1
    assert "no time between the two is counted: 1 nodes" in found.notes[0]
    assert found.summary()["virality"] == pytest.approx(
        {"n": 2, "mean": 4 / 3, "q10": 1 + 2 / 30, "median": 4 / 3, "q90": 1.6, "most": 5 / 3}
    )
    assert "delay" in found.summary()
    assert "delay" not in forest(-1, 0).trees().summary()


def test_a_deep_and_a_wide_tree_of_many_nodes_are_measured_without_recursion() -> None:
    n = 100_000
    found = forest(*range(-1, n - 1), -1, *[n] * (n - 1)).trees()
    assert found.depth.tolist() == [n - 1, 1]
    np.testing.assert_allclose(found.virality, [(n + 1) / 3, 2 * (n - 1) / n], rtol=1e-12)


@pytest.mark.parametrize("circle", [(0,), (1, 0), (1, 2, 0), (3, 0, 1, 2), (1, 2, 3, 4, 5, 6, 0)])
def test_a_circle_is_refused_whatever_its_length(circle: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"by hand: node 0 is on or below a circle"):
        forest(*circle, -1, len(circle), 0).trees()


def test_trees_are_laid_out_a_row_each() -> None:
    rows = forest(-1, 0, -1).trees().frame().to_dict("records")
    assert [row["width"] for row in rows] == [1, 1]
    assert [row["size"] for row in rows] == [2, 1]


# Two samples


def sample(n: int, *, longest: int, seed: int) -> Trees:
    lengths = np.random.default_rng(seed).integers(1, longest, n)
    starts = np.cumsum(lengths) - lengths
    chains = [
        np.append(-1, np.arange(start, start + n - 1)) for start, n in zip(starts, lengths, strict=True)
    ]
    return forest(*np.concatenate(chains).tolist()).trees()


def test_a_distance_is_that_of_kolmogorov_and_smirnov_with_what_chance_makes() -> None:
    one, other = sample(160, longest=9, seed=1), sample(80, longest=14, seed=2)
    found = {each.measure: each for each in tree_distances(one, other)}
    assert set(found) == {"size", "depth", "width", "virality", "concentration"}
    apart = max(abs((one.size <= n).mean() - (other.size <= n).mean()) for n in range(20))
    assert found["size"].statistic == pytest.approx(apart)
    assert found["size"].p_value == ks_2samp(one.size, other.size, method="asymp").pvalue
    assert found["size"].n == (160, 80)
    assert found["virality"].n == ((one.size > 1).sum(), (other.size > 1).sum())
    assert found["size"].floor == pytest.approx(1.358 * math.sqrt(1 / 160 + 1 / 80))
    assert found["size"].remark == ""


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 12), (3, 12), (8, 9)])
def test_of_small_samples_that_lie_apart_the_chance_is_that_of_all_orders(n: int, m: int) -> None:
    small = forest(*[-1] * n).trees()
    large = forest(*(each for k in range(m) for each in (-1, 2 * k))).trees()
    found = tree_distances(small, large)[0]
    assert (found.measure, found.statistic, found.n) == ("size", 1.0, (n, m))
    assert found.p_value == pytest.approx(2 / math.comb(n + m, n) if n + m > 2 else 1)
    assert found.floor <= 1


def test_few_trees_are_said_to_be_few() -> None:
    many, few, one = sample(60, longest=9, seed=1), sample(19, longest=9, seed=2), forest(-1, 0).trees()
    assert tree_distances(many, few)[0].remark.startswith("19 trees are few")
    assert tree_distances(one, many)[0].remark.startswith("a single tree is few")
    assert tree_distances(one, many)[0].floor <= 1


def test_times_in_different_units_are_not_compared() -> None:
    steps = Forest("a", np.array([-1, 0]), np.array([0, 1]), np.array([0.0, 1.0]), "step").trees()
    seconds = Forest("b", np.array([-1, 0]), np.array([0, 1]), np.array([0.0, 1.0]), "s").trees()
    assert "delay" not in {each.measure for each in tree_distances(steps, seconds)}
    assert "delay" in {each.measure for each in tree_distances(steps, steps)}


# Trees of runs


def test_a_run_where_all_say_yes_gives_breadth_first_trees(play: Callable[..., Run]) -> None:
    certain = make_backend("mock", {"law": "constant", "probability": 1.0})
    run = play(CascadeExperiment(**SMALL, asking_rule="always"), backend=certain)
    found = trees_of(run)
    trees = found.trees()
    assert trees.size.tolist() == [32] * 4
    edges = {n: np.frombuffer(blob, "<i4").reshape(-1, 2) for n, blob in _networks(run)}
    for tree, (number, network, start) in enumerate(_realizations(run)):
        mine: nx.Graph[int] = nx.Graph(map(tuple, edges[network].tolist()))
        distance = nx.single_source_shortest_path_length(mine, start)
        here = np.flatnonzero(found.columns["realization"] == number)
        agent = found.columns["node"]
        assert {int(agent[i]): found.time[i] for i in here} == distance
        assert trees.depth[tree] == max(distance.values())
        for node in here:
            if agent[node] != start:
                # Of all neighbours that were a step nearer, the one with the lowest number.
                nearer = [n for n in mine[agent[node]] if distance[n] < distance[agent[node]]]
                assert agent[found.parent[node]] == min(nearer)
    assert trees.columns["news"].tolist() == [name for name in _news(run) for _ in range(2)]
    assert (trees.delay == 1).all()
    assert trees.counts["n_several_yeses"] > 0
    assert "the source with the lowest number is their parent" in trees.notes[0]


def _networks(run: Run) -> list[tuple[Any, ...]]:
    return run.rows("SELECT network, edges FROM networks")[1]


def _realizations(run: Run) -> list[tuple[Any, ...]]:
    return run.rows("SELECT realization, network, initial_agent FROM realizations ORDER BY 1")[1]


def _news(run: Run) -> list[str]:
    return [name for (name,) in run.rows("SELECT id FROM news ORDER BY news")[1]]


def test_every_engaged_agent_is_a_node_whose_parent_it_answered_with_yes(play: Callable[..., Run]) -> None:
    run = play(CascadeExperiment(**SMALL), CascadeExperiment(**SMALL | {"degree": 6}))
    found = trees_of(run)
    engaged = run.rows("SELECT realization, agent FROM agents WHERE engaged_step IS NOT NULL ORDER BY 1, 2")[
        1
    ]
    assert list(zip(found.columns["realization"], found.columns["node"], strict=True)) == engaged
    assert found.trees().columns["condition"].tolist() == [0] * 4 + [1] * 4
    one, other = (trees_of(run, condition=number) for number in (0, 1))
    assert one.columns["realization"].tolist() + other.columns["realization"].tolist() == [
        n for n, _ in engaged
    ]
    assert one.counts["n_several_yeses"] + other.counts["n_several_yeses"] == found.counts["n_several_yeses"]
    with pytest.raises(UserError, match="has no condition 2; they are numbered 0 to 1"):
        trees_of(run, condition=2)
    yes = {
        tuple(row)
        for row in run.rows(
            "SELECT realization, step, agent, source FROM events WHERE kind = 'exposure' AND decision = 1"
        )[1]
    }
    agent, number = found.columns["node"], found.columns["realization"]
    for node, parent in enumerate(found.parent.tolist()):
        if parent >= 0:
            assert (number[node], int(found.time[node]), agent[node], agent[parent]) in yes
            assert number[parent] == number[node]


@pytest.fixture
def spoilt(play: Callable[..., Run], tmp_path: Path) -> Callable[..., Run]:
    """Play a run, and change its log."""
    run = play(CascadeExperiment(**SMALL), seed=3)

    def spoilt(*statements: str) -> Run:
        folder = shutil.copytree(run.folder, tmp_path / "spoilt", dirs_exist_ok=True)
        with closing(sqlite3.connect(folder / LOG_NAME)) as connection:
            connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return Run(folder)

    return spoilt


LATE = "(SELECT agent FROM agents WHERE realization = 0 AND engaged_step > 1 ORDER BY agent LIMIT 1)"


def test_what_has_no_tree_and_who_has_no_parent_is_counted(spoilt: Callable[..., Run]) -> None:
    run = spoilt(
        "UPDATE realizations SET status = 'unstarted' WHERE realization = 2",
        "UPDATE realizations SET status = 'running' WHERE realization = 3",
        f"DELETE FROM events WHERE realization = 0 AND kind = 'exposure' AND decision = 1 AND agent = {LATE}",
    )
    found = trees_of(run).trees()
    assert {
        name: n for name, n in found.counts.items() if name != "n_several_yeses" and name != "n_later"
    } == {"n_orphans": 1, "n_unstarted": 1, "n_unfinished": 1, "n_earlier": 0}
    assert found.columns["realization"].tolist() == [0, 0, 1]
    assert found.notes[-3:] == (
        "agents that engaged after step 0 without a yes, each a root of its own: 1",
        "realizations that nobody started, so without a tree: 1",
        "realizations of the run that are not finished, and left out: 1",
    )


def test_a_source_that_never_engaged_is_damage(spoilt: Callable[..., Run]) -> None:
    run = spoilt(
        "UPDATE events SET source = source + 1000 "
        f"WHERE realization = 0 AND kind = 'exposure' AND agent = {LATE}"
    )
    with pytest.raises(RunFolderError, match="is damaged: somebody had a message from where there was none"):
        trees_of(run)


def test_a_run_without_a_cascade_has_no_trees(play: Callable[..., Run], spoilt: Callable[..., Run]) -> None:
    with pytest.raises(UserError, match="is a run of interacting models, not of cascades"):
        trees_of(
            play(
                InterviewExperiment(models={"society": 2}, n_evaluation=1, n_questions=1, n_taught=1, steps=1)
            )
        )
    with pytest.raises(UserError, match="has no shares in a finished realization"):
        trees_of(spoilt("UPDATE realizations SET status = 'running'"))


class Posts(WorldExperiment):
    """0 retells the news, 1 and 2 answer that, 3 writes something new."""

    n_agents = 4
    repeats = 2

    def play(self, s: Setting) -> Any:
        news = s.post(-1, "News", step=0)
        first = s.post(0, "Retold", news, step=1)
        s.post(1, "Answer", first, step=2)
        s.post(2, "Another", first, step=5)
        s.post(3, "Something else", step=2)
        yield [Ask(agent, "Do you agree?") for agent in s.agents]


class Retold(CascadeExperiment):
    """Everybody retells what they heard."""

    def react(self, exposure: Exposure, answer: Any) -> Reaction:
        found = super().react(exposure, answer)
        return replace(found, text=f"{exposure.message.text} and {exposure.agent}")


def test_trees_of_messages_are_what_answers_what(play: Callable[..., Run]) -> None:
    found = trees_of(play(Posts()), "messages").trees()
    assert found.columns["realization"].tolist() == [0, 0, 1, 1]
    assert found.columns["node"].tolist() == [0, 4, 0, 4]
    assert (found.size.tolist(), found.depth.tolist()) == ([4, 1, 4, 1], [2, 0, 2, 0])
    assert found.n_authors.tolist() == [3, 1, 3, 1]
    assert found.delay[0] == (1 + 1 + 4) / 3
    assert found.notes == ()


def test_a_retold_cascade_has_the_same_trees_of_shares_and_of_messages(play: Callable[..., Run]) -> None:
    """But for the news, which stands above the first who shares."""
    run = play(Retold(**SMALL))
    shares, messages = trees_of(run), trees_of(run, "messages")
    author = {(n, m): a for n, m, a in run.rows("SELECT realization, message, author FROM messages")[1]}

    def links(forest: Forest, name: Callable[[int, int], int]) -> set[tuple[float, int, int, int]]:
        number, node = forest.columns["realization"].tolist(), forest.columns["node"].tolist()
        who = list(map(name, number, node))
        above = [-1 if parent < 0 else who[parent] for parent in forest.parent.tolist()]
        return {
            each for each in zip(forest.time, number, who, above, strict=True) if each[0] < SMALL["steps"]
        }

    of_messages = links(messages, lambda realization, node: author[realization, node])
    assert {each for each in of_messages if each[2] >= 0} == links(shares, lambda _, node: node)


def test_there_are_no_trees_of_what_is_not_there(
    play: Callable[..., Run], spoilt: Callable[..., Run]
) -> None:
    with pytest.raises(UserError, match="has no messages in a finished realization"):
        trees_of(spoilt(), "messages")
    with pytest.raises(DesignError, match="trees are not of 'message'; did you mean 'messages'"):
        trees_of(spoilt(), "message")


# Observed cascades


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    def table(text: str, name: str = "seen.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return table


ROWS = [("a", "", "x", 0), ("b", "a", "y", 60), ("c", "b", "x", 120), ("d", "", "", 5)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("seen.csv", "id,parent,author,time\na,,x,0\nb,a,y,60\nc,b,x,120\nd,,,5\n"),
        (
            "seen.tsv",
            "Time\tTweet_ID\tin_reply_to_status_id\tuser\n0\ta\tNA\tx\n60\tb\ta\ty\n120\tc\tb\tx\n5\td\t\t\n",
        ),
        (
            "seen.jsonl",
            "".join(
                json.dumps(dict(zip(("id", "parent_id", "author", "created_utc"), row, strict=True))) + "\n"
                for row in ROWS
            ),
        ),
        (
            "seen.csv",
            "id,parent,author,date\nd,,,1970-01-01T00:00:05\nc,b,x,1970-01-01T01:02+01:00\nb,a,y,1970-01-01T00:01Z\na,,x,1970-01-01\n",
        ),
    ],
)
def test_a_table_is_read_whatever_its_form_and_order(
    table: Callable[..., Path], name: str, text: str
) -> None:
    found = read_observed(table(text, name)).trees()
    frame = found.frame().set_index("id").loc[["a", "d"]]
    assert frame["size"].tolist() == [3, 1]
    assert frame["n_authors"].tolist() == [2, 0]
    assert frame["delay"].tolist()[0] == 60
    assert found.unit == ("s" if "1970" in text else "")
    assert found.notes == ()


def test_orphans_repeated_rows_and_unknown_times_are_counted(table: Callable[..., Path]) -> None:
    path = table("id,parent,author,time\n1,,x,5\n2,1.0,y,4\n3,9,x,\n3,9,x,\n4,8,,6\n")
    found = read_observed(path).trees()
    assert found.size.tolist() == [2, 1, 1]
    assert found.counts == {"n_orphans": 2, "n_repeated": 1, "n_decimal": 1, "n_untimed": 1, "n_earlier": 1}
    lost, *others = found.notes
    assert lost.startswith("not in the table: 2 of 3 parents (the first '9' in row 4); a row with")
    assert others == [
        "standing twice, and counted once: 1 rows",
        "written as decimal numbers (12.0), and taken for whole ones: 1 parents",
        "without a time: 1 of 4 rows",
        "earlier than their parents, so that no time between the two is counted: 1 nodes",
    ]


def test_parents_that_are_written_otherwise_than_ids_are_pointed_out(table: Callable[..., Path]) -> None:
    found = read_observed(table("id,parent\nx1,\nx2,t1_x1\n"))
    assert found.notes[0].endswith("; an id is written like 'x1'")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,parent\na,a\n", r"row 2, field 'parent': it is its own parent: 'a'; a root has an empty parent"),
        (
            "id,parent\nq,a\na,b\nb,c\nc,a\n",
            r"row 3, field 'parent': these are their own ancestors: 'a' <- 'b' <- 'c'; a root",
        ),
        ("id,parent\na,\nb,a\na,b\n", r"row 4, field 'id': 'a' stands in row 2 already, with another parent"),
        ("id,parent\n,a\n", r"row 2, field 'id': is empty"),
        (
            "id,parent,time\na,,yesterday\n",
            r"row 2, field 'time': 'yesterday' is no time; write a number, or",
        ),
        ("id,parent,time\na,,inf\n", r"row 2, field 'time': 'inf' is no time"),
        (
            "id,parent,time\na,,\nb,,5\nc,,2021-01-01\n",
            r"row 4, field 'time': is a date, and that of row 3 is not",
        ),
        ("id,author\na,b\n", r"field 'parent': there is no such column.*--column parent=NAME"),
        (
            "id,in_reply_to,retweet_of\na,,\n",
            r"columns in_reply_to and retweet_of may all be the parent; choose",
        ),
        ("id,parent\n", "there is no row below the header"),
        ("", "the file is empty"),
        ("id,parent\na,b,c\n", r"row 2: has 3 fields where the header has 2"),
        ("id,parent,id\na,b,c\n", r"field 'id': stands twice in the header"),
    ],
)
def test_what_makes_no_trees_is_refused_by_row_and_column(
    table: Callable[..., Path], text: str, said: str
) -> None:
    with pytest.raises(InputError, match=rf"seen\.csv.*{said}"):
        read_observed(table(text))


def test_hostile_texts_are_refused_or_kept_as_texts(table: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"row 1.*holds an object or array"):
        read_observed(table('{"id": {"$gt": ""}, "parent": ""}\n', "seen.jsonl"))
    with pytest.raises(InputError, match="half a surrogate pair"):
        read_observed(table('{"id": "\\ud83d", "parent": ""}\n', "seen.jsonl"))
    with pytest.raises(InputError) as raised:
        read_observed(table("id,parent,time\na,,\x1b[2J<script>" + "9" * 200 + "\n"))
    assert "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < 300
    assert len(read_observed(table("id,parent\n=cmd(),\n<b>,=cmd()\n")).trees()) == 1


def test_the_own_name_of_a_field_goes_before_its_synonyms(table: Callable[..., Path]) -> None:
    path = table("id,tweet_id,parent_id,parent\na,1,z,\nb,2,z,a\n")
    assert read_observed(path).trees().size.tolist() == [2]


def test_columns_of_other_names_are_chosen(table: Callable[..., Path]) -> None:
    path = table("Key,id,in_reply_to,retweet_of,who\nk1,z,,,ann\nk2,z,,k1,bob\n")
    found = read_observed(path, columns={"id": "key", "parent": "retweet_of", "author": "who"}).trees()
    assert (found.size.tolist(), found.n_authors.tolist()) == ([2], [2])
    with pytest.raises(ConfigurationError, match="field 'when'"):
        read_observed(table("id,parent\na,\n"), columns={"when": "who"})


# The command


def test_the_command_compares_a_run_with_a_file(
    play: Callable[..., Run], command: Callable[..., Any], table: Callable[..., Path]
) -> None:
    run = play(CascadeExperiment(**SMALL), CascadeExperiment(**SMALL | {"degree": 6}))
    path = table("key,parent,user\n=1,,ann\n\x1b[31m,=1,bob\nc,zz,<b>\n", "seen.csv")
    arguments = ("trees", run.folder, path, "--column", "id=key")
    done = command(*arguments, "--csv", "trees.csv")
    assert done.code == 0, done.err
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "seen.csv nodes 2 1.5 1.1 1.5 1.9 2" in lines
    assert any(
        line.startswith("run (degree 6) structural virality: mean distance of two nodes 4") for line in lines
    )
    assert "How far the trees of run (degree 4) are from those of seen.csv" in lines
    assert any("2 trees are few" in line for line in lines)
    assert any("not in the table: 1 of 2 parents (the first 'zz' in row 4)" in line for line in lines)
    rows = list(csv.DictReader(io.StringIO(Path("trees.csv").read_text("utf-8"))))
    assert [row["of"] for row in rows] == ["run (degree 4)"] * 4 + ["run (degree 6)"] * 4 + ["seen.csv"] * 2
    assert (rows[-2]["id"], rows[0]["id"], rows[0]["realization"]) == ("'=1", "", "0")
    found = json.loads(command(*arguments, "--json").out)
    assert found["trees"][2]["measures"]["virality"]["mean"] == 1
    assert found["trees"][0]["counts"]["n_unfinished"] == 0
    assert len(found["distances"]) == 10
    assert found["distances"][0]["played"] == "run (degree 4)"
    refused = command(*arguments, "--csv", "trees.csv")
    assert (refused.code, "exists already" in refused.err) == (2, True)


def test_the_command_says_what_it_cannot_use(
    command: Callable[..., Any], table: Callable[..., Path], spoilt: Callable[..., Run]
) -> None:
    assert command("trees", table("id,parent\na,a\n")).code == 2
    assert "there is no run 'nowhere.csv'" in command("trees", "nowhere.csv").err
    assert command("trees").code == 2
    assert "trees are not of 'message'" in command("trees", spoilt().folder, "--of", "message").err
    assert "is not FIELD=COLUMN" in command("trees", table("id,parent\na,\n"), "--column", "id").err


def test_a_world_whose_messages_make_trees_says_how_to_see_them(command: Callable[..., Any]) -> None:
    feed = Path(__file__).parent.parent / "experiments" / "feed.py"
    assert command("run", feed, "--quiet", "--out", "run", "-S", "repeats=1").code == 0
    assert "add --of messages" in command("trees", "run").err
    assert command("trees", "run", "--of", "messages").code == 0
