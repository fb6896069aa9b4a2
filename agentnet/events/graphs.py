"""The networks of a log: as they were played on, and as graphs of who engaged when."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InputError, RunFolderError, UserError, near_miss
from agentnet.events.opening import storable
from agentnet.events.read import Run, free_name
from agentnet.interventions import ENGAGED, FOLLOWS, REMOVED, REPLACED, STOPPED, UNFOLLOWS
from agentnet.network import LAYER, Network
from agentnet.vocabulary import TRAITS

if TYPE_CHECKING:
    import networkx as nx

GraphFormat = Literal["gexf", "graphml"]
Write = Callable[[sqlite3.Connection, Path, int, BinaryIO], None]

# Names that nodes have themselves, or that GEXF's writer takes for its own.
_OWN = (
    *("label", "profile", *TRAITS, "persona", "voice", "initial", "engaged_step", "engaged"),
    *("id", "pid", "start", "end", "slices", "spells", "viz", "parents"),
)
# What begins with a zero (007) is a name or a code, and stays a text; so does what 64 bits cannot hold.
_WHOLE = re.compile("0|-?[1-9][0-9]{0,17}")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPANS = "spans"
_OF_EDGE = (
    *("won_over", "since_step", "until_step", _SPANS, "key", "id", "label", "type", "start", "end"),
    *("spells", "viz", "source", "target", "slices", "networkx_key"),
)
_ALWAYS = [[0, None]]
_STARTS, _STOPS = (ENGAGED,), (STOPPED, REMOVED)
_CHANGED = """
SELECT agent, step FROM changes WHERE realization = ? AND what IN (SELECT value FROM json_each(?))
ORDER BY change
"""
_TIES = f"""
SELECT step, what, agent, other, detail FROM changes
WHERE realization = ? AND what IN ('{FOLLOWS}', '{UNFOLLOWS}', '{REPLACED}') ORDER BY change
"""  # noqa: S608 - our own
_WON_OVER = """
SELECT source, agent FROM events JOIN agents USING (realization, agent)
WHERE realization = ? AND kind = 'exposure' AND decision = 1 AND step = engaged_step
"""


def read_edges(run: Run, network_digest: str) -> NDArray[np.int32]:
    """Read the edges of a network: `agentnet.network.Network.edges` of what `recorded_network` reads."""
    return recorded_network(run, network_digest).edges()


def recorded_network(run: Run, network_digest: str) -> Network:
    """Read a network: who hears whom, labels, attributes of edges.

    Args:
        run: The run.
        network_digest: The network's key, as in column ``network`` of table ``realizations``.

    Raises:
        UserError: There is no such network in the log.
        RunFolderError: The log is damaged.
    """
    with run.connection() as connection:
        return _network(connection, run.path, network_digest)


def read_ties(run: Run, realization: int) -> Callable[[int], NDArray[np.int64]]:
    """Read who hears whom in a realization as its ties come and go.

    Args:
        run: The run.
        realization: Its number.

    Returns:
        From a step, behind its changes and all before it, to rows of (heard, hearer), shape ``(n_ties, 2)``.

    Raises:
        UserError: There is no such realization, or it has no network.
        RunFolderError: The log is damaged.
    """
    with run.connection() as connection:
        network = _network(connection, run.path, _network_of(connection, run.path, realization))
        changes = connection.execute(_TIES, (realization,)).fetchall()
        later = {
            detail: _network(connection, run.path, json.loads(detail)["network"])
            for _, what, *_, detail in changes
            if what == REPLACED
        }
    n_agents = network.n_agents

    def ties(step: int) -> NDArray[np.int64]:
        base, changed = network, dict[int, bool]()
        for at, what, hears, heard, detail in changes:
            if at <= step and what == REPLACED:
                base, changed = later[detail], {}
            elif at <= step:
                changed[heard * n_agents + hears] = what == FOLLOWS
        kept = np.setdiff1d(base.indices.astype(np.int64) * n_agents + base.listener, list(changed))
        come = [key for key, is_there in changed.items() if is_there]
        return np.column_stack(np.divmod(np.union1d(kept, come).astype(np.int64), n_agents))

    return ties


def networks_in(connection: sqlite3.Connection, path: Path) -> Iterator[tuple[str, Network]]:
    """Read all networks of a log, one after the other, with their keys."""
    for (key,) in connection.execute("SELECT network FROM networks ORDER BY rowid").fetchall():
        yield key, _network(connection, path, key)


def graph_writer(graph_format: str) -> Write:
    """Find what writes the graph of a realization in a format; see `agentnet.events.export.export_graph`.

    Raises:
        UserError: There is no such format.
    """
    writers: dict[str, Write] = {"gexf": _write_gexf, "graphml": _write_graphml}
    if graph_format not in writers:
        raise UserError(f"{graph_format!r} is no format for networks{near_miss(graph_format, writers)}")
    return writers[graph_format]


def _write_graphml(connection: sqlite3.Connection, path: Path, realization: int, file: BinaryIO) -> None:
    import networkx as nx

    graph = _graph(connection, path, realization)
    for *_, data in graph.edges(data=True):
        data.pop(_SPANS)
    nx.write_graphml(graph, file)


def _write_gexf(connection: sqlite3.Connection, path: Path, realization: int, file: BinaryIO) -> None:
    """Write a graph with times, each span with an end: networkx reads no other."""
    import networkx as nx

    graph = _graph(connection, path, realization)
    query = "SELECT MAX(step) + 1 FROM steps WHERE realization = ?"
    end = float(connection.execute(query, (realization,)).fetchone()[0] or 1)
    for node, times in _engagements(connection, realization).items():
        spans = zip(times, [*times[1:], (end, False)], strict=True)
        graph.nodes[node]["engaged"] = [(is_engaged, at, to) for (at, is_engaged), (to, _) in spans]
    for agent, step in connection.execute(_CHANGED, (realization, json.dumps([REMOVED]))):
        graph.nodes[agent]["spells"] = [(0.0, float(step))]
    for *_, data in graph.edges(data=True):
        spans = data.pop(_SPANS)
        if spans != _ALWAYS:
            data["spells"] = [(float(at), end if to is None else float(to)) for at, to in spans]
    graph.graph["mode"] = "dynamic"
    nx.write_gexf(graph, file)


def _engagements(connection: sqlite3.Connection, realization: int) -> dict[int, list[tuple[float, bool]]]:
    """List for each agent from when on it was engaged, or not."""
    query = "SELECT agent, engaged_step FROM agents WHERE realization = ? ORDER BY agent"
    first = connection.execute(query, (realization,)).fetchall()
    found = {agent: {0.0: False} | ({} if step is None else {float(step): True}) for agent, step in first}
    for words, is_engaged in ((_STARTS, True), (_STOPS, False)):
        for agent, step in connection.execute(_CHANGED, (realization, json.dumps(words))):
            found[agent].setdefault(float(step), is_engaged)
    return {agent: sorted(times.items()) for agent, times in found.items()}


def _network(connection: sqlite3.Connection, path: Path, key: str) -> Network:
    """Read a network, and make sure that it is whole."""
    query = "SELECT n_agents, n_edges, edges, labels, name FROM networks WHERE network = ?"
    row = connection.execute(query, (key,)).fetchone()
    if row is None:
        raise UserError(f"{path} holds no network {key!r}; table networks lists them")
    n_agents, n_edges, blob, text, name = row
    labels = None if text is None else [str(label) for label in storable(json.loads(text))]
    try:
        found = Network.from_bytes(blob, n_agents, name=name, labels=labels)
    except InputError:
        found = None
    if found is None or found.n_edges != n_edges:
        raise RunFolderError(f"{path}: network {key} is damaged; go on with a copy of the run")
    return found


def _graph(connection: sqlite3.Connection, path: Path, realization: int) -> nx.Graph[int]:
    """Build the networkx graph that `export_graph` describes, with the spans of time of each edge."""
    import networkx as nx

    network = _network(connection, path, _network_of(connection, path, realization))
    kinds = ((nx.Graph, nx.MultiGraph), (nx.DiGraph, nx.MultiDiGraph))
    graph: nx.Graph[int] = kinds[network.is_directed][LAYER in network.edge_attributes]()
    query = (
        "SELECT agent, profile, engaged_step, persona, voice, attributes FROM agents WHERE realization = ? "
        "ORDER BY agent"
    )
    rows = connection.execute(query, (realization,)).fetchall()
    known = _attributes([None if text is None else json.loads(text) for *_, text in rows])
    for (agent, *facts, _), attributes in zip(rows, known, strict=True):
        label = str(agent) if network.labels is None else _legible(network.labels[agent])
        graph.add_node(agent, label=label, **_node(*facts), **attributes)
    for u, v, values in _edges(network):
        _add(graph, u, v, 0, values)
    for step, what, hears, heard, detail in connection.execute(_TIES, (realization,)).fetchall():
        if what == FOLLOWS:
            _begin(graph, heard, hears, step, {})
        elif what == UNFOLLOWS:
            _end(_between(graph, heard, hears), step)
        else:
            _replace(graph, _network(connection, path, json.loads(detail)["network"]), step)
    for heard, hears in connection.execute(_WON_OVER, (realization,)):
        for data in _between(graph, heard, hears):
            data["won_over"] = True
    _tell_spans(graph)
    return graph


def _edges(network: Network) -> Iterator[tuple[int, int, dict[str, Any]]]:
    names = [free_name(_legible(name), _OF_EDGE) for name in network.edge_attributes]
    columns = [
        [_legible(value) for value in values.tolist()] if values.dtype.kind == "U" else values.tolist()
        for values in network.edge_values.values()
    ]
    for place, (u, v) in enumerate(network.edges().tolist()):
        yield u, v, {name: values[place] for name, values in zip(names, columns, strict=True)}


def _between(graph: nx.Graph[int], u: int, v: int) -> list[dict[str, Any]]:
    """Give the data of the edges from one agent to another."""
    if not graph.has_edge(u, v):
        return []
    data: Any = graph.get_edge_data(u, v)
    return list(data.values()) if graph.is_multigraph() else [data]


def _begin(graph: nx.Graph[int], u: int, v: int, step: int, values: dict[str, Any]) -> None:
    there = [data for data in _between(graph, u, v) if data.get(LAYER) == values.get(LAYER)]
    for data in there:
        data[_SPANS] += [] if data[_SPANS][-1][1] is None else [[step, None]]
    if not there:
        _add(graph, u, v, step, values)


def _add(graph: nx.Graph[int], u: int, v: int, step: int, values: dict[str, Any]) -> None:
    graph.add_edge(u, v, **values, won_over=False, **{_SPANS: [[step, None]]})


def _end(edges: Iterable[dict[str, Any]], step: int) -> None:
    for data in edges:
        if data[_SPANS][-1][1] is None:
            data[_SPANS][-1][1] = step


def _replace(graph: nx.Graph[int], network: Network, step: int) -> None:
    """End the edges that another network has not, and begin those that it has."""
    new = list(_edges(network))
    kept = {(u, v, data.get(LAYER)) for u, v, data in new}
    kept |= set() if graph.is_directed() else {(v, u, layer) for u, v, layer in kept}
    _end((data for u, v, data in graph.edges(data=True) if (u, v, data.get(LAYER)) not in kept), step)
    for u, v, data in new:
        _begin(graph, u, v, step, data)


def _tell_spans(graph: nx.Graph[int]) -> None:
    """Say of edges that came or went when they came first, and went last."""
    for *_, data in graph.edges(data=True):
        since, until = data[_SPANS][0][0], data[_SPANS][-1][1]
        data.update({"since_step": since} if since else {})
        data.update({} if until is None else {"until_step": until})


def _node(profile: str, engaged_step: int | None, persona: str | None, voice: str | None) -> dict[str, Any]:
    traits = {trait: int(bit) for trait, bit in zip(TRAITS, profile, strict=True)} if profile else {}
    texts = {"profile": profile or None, "persona": persona, "voice": voice}
    told = {name: _legible(text) for name, text in texts.items() if text is not None}
    engaged = {} if engaged_step is None else {"engaged_step": engaged_step}
    return {**told, **traits, "initial": engaged_step == 0, **engaged}


def _legible(text: object) -> str:
    """Write a text without what XML cannot hold."""
    return _NO_XML.sub("\ufffd", str(*storable((text,))))


def _attributes(known: list[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Name and type what is known of agents as networks' formats can: an attribute has one type."""
    found: list[dict[str, Any]] = [{} for _ in known]
    taken = set(_OWN)
    for name in dict.fromkeys(name for row in known for name in row or ()):
        free = free_name(_legible(name), taken)
        taken.add(free)
        values = [None if row is None else row.get(name) for row in known]
        of = _type_of([value for value in values if value is not None])
        for node, value in zip(found, values, strict=True):
            if value is not None:
                node[free] = _legible(value) if of is str else of(value)
    return found


def _type_of(values: list[Any]) -> Callable[[Any], Any]:
    """Find the narrowest type that changes no value but its spelling."""
    if all(isinstance(value, bool) for value in values):
        return bool
    spelled = [str(value) for value in values]
    if all(_WHOLE.fullmatch(text) for text in spelled):
        return int
    return float if all(_NUMBER.fullmatch(text) for text in spelled) else str


def _network_of(connection: sqlite3.Connection, path: Path, realization: int) -> str:
    query = "SELECT network FROM realizations WHERE realization = ?"
    row = connection.execute(query, (realization,)).fetchone()
    if row is None:
        raise UserError(f"{path} holds no realization {realization}; table realizations lists them")
    if row[0] is None:
        raise UserError(f"{path}: realization {realization} has no network: it asks each agent alone")
    return str(row[0])
