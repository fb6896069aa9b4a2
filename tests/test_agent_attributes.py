"""What is known of agents beside their profiles: recorded with the run, and in every format it is read in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from agentnet import CascadeExperiment
from agentnet.events import Run
from agentnet.events.export import export_csv, export_graph, export_parquet

N = 8
SMALL: dict[str, Any] = {"n_agents": N, "steps": 2, "repeats": 1, "items_per_severity": 1}
Play = Callable[..., Run]


@pytest.fixture
def told(play: Play, tmp_path: Path) -> Run:
    """A run on a ring with a node table whose columns have names of all kinds."""
    rows = [
        f"{agent},{agent * 10},{agent / 4},{agent:03d},{town},p{agent},{agent},=1+{agent}"
        for agent, town in enumerate(["Lagos"] * 3 + [""] + ["Lagos"] * 4)
    ]
    table = tmp_path / "nodes.csv"
    table.write_text("node,age,share,code,town,profile,start,note\n" + "\n".join(reversed(rows)) + "\n")
    design = {"network": "watts_strogatz", "degree": 4, "network_options": {"rewiring": 0.0}}
    return play(CascadeExperiment(**SMALL, **design, node_table=table))


def test_the_node_table_is_recorded_with_the_agents(told: Run) -> None:
    rows = told.rows("SELECT agent, attributes FROM agents WHERE realization = 0 ORDER BY agent")[1]
    known = {agent: json.loads(text) for agent, text in rows}
    assert known[5] == {
        "age": "50",
        "share": "1.25",
        "code": "005",
        "town": "Lagos",
        "profile": "p5",
        "start": "5",
        "note": "=1+5",
    }
    query = "SELECT COUNT(*) FROM agents WHERE json_extract(attributes, '$.town') = 'Lagos'"
    assert told.rows(query)[1] == [(2 * (N - 1),)]


def test_frames_of_agents_have_a_column_for_each_attribute(told: Run) -> None:
    frame = told.frame("agents")
    names = ["realization", "agent", "profile", "engaged_step", "attributes", "persona", "voice"]
    more = ["age", "share", "code", "town", "attribute_profile", "start", "note"]
    assert list(frame.columns) == names + more
    row = frame.query("realization == 1 and agent == 2").iloc[0]
    assert (row["age"], row["code"], row["attribute_profile"]) == ("20", "002", "p2")


@pytest.mark.parametrize("graph_format", ["gexf", "graphml"])
def test_networks_are_exported_with_the_attributes_of_their_nodes(
    told: Run, tmp_path: Path, graph_format: str
) -> None:
    path = tmp_path / f"net.{graph_format}"
    export_graph(told, 0, path, graph_format)  # type: ignore[arg-type]
    read = nx.read_gexf if graph_format == "gexf" else nx.read_graphml
    nodes = nx.relabel_nodes(read(path), int).nodes
    assert [nodes[agent]["age"] for agent in range(N)] == [10 * agent for agent in range(N)]
    assert [nodes[agent]["share"] for agent in range(N)] == [agent / 4 for agent in range(N)]
    assert nodes[7]["code"] == "007"
    assert nodes[4]["attribute_profile"] == "p4"
    assert len(nodes[4]["profile"]) == 5
    assert nodes[4]["attribute_start"] == 4
    assert nodes[4]["note"] == "=1+4"
    assert nodes[3].get("town") in (None, "")


def test_tables_are_exported_with_the_attributes_as_json(told: Run, tmp_path: Path) -> None:
    export_csv(told, tmp_path / "csv")
    export_parquet(told, tmp_path / "parquet")
    expected = [text for (text,) in told.rows("SELECT attributes FROM agents ORDER BY realization, agent")[1]]
    assert pd.read_csv(tmp_path / "csv" / "agents.csv")["attributes"].tolist() == expected
    assert pd.read_parquet(tmp_path / "parquet" / "agents.parquet")["attributes"].tolist() == expected


def test_a_run_without_attributes_records_none(play: Play, tmp_path: Path) -> None:
    run = play(CascadeExperiment(**SMALL, degree=3))
    assert run.rows("SELECT DISTINCT attributes FROM agents")[1] == [(None,)]
    assert list(run.frame("agents").columns)[-3:] == ["attributes", "persona", "voice"]
    export_graph(run, 0, tmp_path / "net.gexf", "gexf")
    assert len(nx.read_gexf(tmp_path / "net.gexf")) == N


def test_attributes_of_a_graph_may_be_of_any_type(play: Play, tmp_path: Path) -> None:
    graph = nx.cycle_graph(N)
    values: dict[str, list[object]] = {
        "weight": [0.5, float("nan"), float("inf"), np.float32(2), np.int64(3), 10**30, -1, 0],
        "seen": [True, False] * (N // 2),
        "tags": [["a", "b"]] * N,
        "": list(range(N)),
        "bell\x07": ["ring\x07"] * N,
    }
    for name, column in values.items():
        nx.set_node_attributes(graph, dict(enumerate(column)), name)
    del graph.nodes[6]["seen"]
    run = play(CascadeExperiment(**{**SMALL, "network": graph}))
    rows = run.rows("SELECT attributes FROM agents WHERE realization = 0 ORDER BY agent")[1]
    known = [json.loads(text) for (text,) in rows]
    assert [row["weight"] for row in known] == [0.5, None, "inf", 2.0, 3, 10**30, -1, 0]
    assert known[6]["seen"] is None
    assert known[0]["tags"] == "['a', 'b']"
    for graph_format in ("gexf", "graphml"):
        path = tmp_path / f"net.{graph_format}"
        export_graph(run, 0, path, graph_format)  # type: ignore[arg-type]
        nodes = nx.relabel_nodes(
            (nx.read_gexf if graph_format == "gexf" else nx.read_graphml)(path), int
        ).nodes
        assert nodes[0]["seen"] is True
        assert nodes[7]["attribute_"] == 7
        assert nodes[1]["bell\ufffd"] == "ring\ufffd"
        assert nodes[5]["weight"] == str(10**30)


def test_a_run_whose_node_table_changed_is_not_gone_on_with(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    table = tmp_path / "nodes.csv"
    file = tmp_path / "study.py"
    file.write_text(
        "from agentnet import CascadeExperiment\nclass Told(CascadeExperiment):\n"
        "    n_agents, degree, steps, repeats, items_per_severity = 8, 3, 2, 1, 1\n"
        f"    node_table = {str(table)!r}\n"
    )
    ages = [f"{agent},{30 + agent}" for agent in range(N)]
    table.write_text("\n".join(["node,age", *ages]))
    cut = ("-S", "stack.max_calls=2", "-S", "stack.cache=false", "--quiet")
    assert command("run", file, "--out", tmp_path / "run", *cut).code == 3
    table.write_text("\n".join(["node,age", *ages[:-1], "7,99"]))
    on = command("run", "--resume", tmp_path / "run", "--quiet", "-S", "stack.max_calls=9999")
    assert on.code != 0
    assert "other profiles or attributes of agents" in on.err
    table.write_text("\n".join(["node,age", *ages]))
    assert command("run", "--resume", tmp_path / "run", "--quiet", "-S", "stack.max_calls=9999").code == 0
