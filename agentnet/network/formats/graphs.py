"""Networks in the formats of other programs that networkx reads.

Its parsers forgive what they should not (nodes that only edges name, nodes that stand twice), so what they
give is compared with what the file declares.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

from agentnet.network.format import Opened, network_format
from agentnet.network.graph import Network

if TYPE_CHECKING:
    import networkx as nx


@network_format(".graphml")
def graphml(file: Opened) -> Network:
    """Read GraphML: the first graph of the file, nodes by their ids."""
    import networkx as nx

    content = file.file.read()
    declared, notes = _declared_nodes(file, content)
    with file.parsed_as("GraphML that networkx reads"):
        graph = nx.read_graphml(io.BytesIO(content))
    _refuse_strangers(file, graph, declared)
    # networkx reads the defaults of attributes, but does not give them to the nodes that lack a value.
    for attributes in graph.nodes.values():
        attributes.update({**graph.graph.get("node_default", {}), **attributes})
    return file.network_of(graph, notes)


@network_format(".gexf")
def gexf(file: Opened) -> Network:
    """Read GEXF, as Gephi and `agentnet export` write it: nodes by their labels, if these differ."""
    import networkx as nx

    content = file.file.read()
    declared, notes = _declared_nodes(file, content)
    with file.parsed_as("GEXF that networkx reads"):
        graph = nx.read_gexf(io.BytesIO(content))
    _refuse_strangers(file, graph, declared)
    for attributes in graph.nodes.values():
        for name in [name for name, value in attributes.items() if isinstance(value, list)]:
            del attributes[name]  # what holds at some times alone
    return file.network_of(*_by_label(graph, notes))


@network_format(".gml")
def gml(file: Opened) -> Network:
    """Read GML: nodes by their labels, if these differ."""
    import networkx as nx

    content = io.BytesIO(file.file.read())
    with file.parsed_as("GML that networkx reads"):
        graph = nx.read_gml(content, label="id")
    return file.network_of(*_by_label(graph, []))


def _by_label(graph: nx.Graph[Any], notes: list[str]) -> tuple[nx.Graph[Any], list[str]]:
    import networkx as nx

    labels = {node: data.get("label") for node, data in graph.nodes(data=True)}
    texts = [str(label) for label in labels.values() if label not in (None, "")]
    if len(texts) == len(labels) == len(set(texts)) and texts:
        for data in graph.nodes.values():
            del data["label"]
        return nx.relabel_nodes(graph, {node: str(label) for node, label in labels.items()}), notes
    if texts:
        notes.append("nodes are named by their ids: not each has a label of its own")
    return graph, notes


@network_format(".json")
def node_link(file: Opened) -> Network:
    """Read node-link JSON, as networkx and d3 write it."""
    import networkx as nx

    with file.parsed_as("JSON"):
        data = json.loads(file.text())
    key = _link_key(file, data)
    with file.parsed_as("node-link JSON that networkx reads"):
        ids = [node["id"] for node in data["nodes"]]
        graph = nx.node_link_graph(data, edges=key)
    double = next((node for node, times in Counter(map(_hashable, ids)).items() if times > 1), None)
    if double is not None:
        raise file.error(f"node {double!r} is declared twice")
    _refuse_strangers(file, graph, set(map(_hashable, ids)))
    return file.network_of(graph)


def _link_key(file: Opened, data: object) -> str:
    keys = [key for key in ("links", "edges") if isinstance(data, dict) and isinstance(data.get(key), list)]
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list) or len(keys) != 1:
        raise file.error(
            'it is no node-link JSON: {"nodes": [{"id": ..}, ..], "links": [{"source": .., "target": ..}]}'
        )
    return keys[0]


def _hashable(value: Any) -> Hashable:  # noqa: ANN401  whatever JSON holds
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _refuse_strangers(file: Opened, graph: nx.Graph[Any], declared: Iterable[Hashable]) -> None:
    known = set(declared)
    stranger = next((node for node in graph if node not in known), None)
    if stranger is not None:
        raise file.error(f"an edge names node {stranger!r}, which the file does not declare")


def _declared_nodes(file: Opened, content: bytes) -> tuple[set[str], list[str]]:
    # networkx makes up nodes that only edges name, and runs nodes of one name together.
    from xml.etree import ElementTree as ET

    try:
        tree = ET.parse(io.BytesIO(content))  # noqa: S314  the user's own file, and networkx parses it so too
    except ET.ParseError as error:
        raise file.error(f"it is no XML: {error}", error.position[0]) from error
    except (LookupError, ValueError) as error:
        raise file.error(f"it is in an encoding that XML does not allow: {error}") from error
    tags = [(element.tag.rpartition("}")[2], element) for element in tree.iter()]
    declared: set[str] = set()
    for node in (element.get("id") for tag, element in tags if tag == "node"):
        if node is None or node in declared:
            raise file.error(f"node {node!r} is declared twice" if node else "a node has no id")
        declared.add(node)
    n_graphs = sum(tag == "graph" for tag, _ in tags)
    return declared, [f"the file holds {n_graphs} graphs, of which the first is read"] if n_graphs > 1 else []
