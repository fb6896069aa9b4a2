"""Pajek's networks, of which networkx reads every section as if it were the edges: that is checked here."""

from __future__ import annotations

import re
import shlex
from collections import Counter

from agentnet.network.format import Opened, network_format
from agentnet.network.graph import Network


@network_format(".net", ".paj", ".pajek")
def pajek(file: Opened) -> Network:
    """Read Pajek: nodes by their labels."""
    import networkx as nx

    lines = _pajek_lines(file)
    with file.parsed_as("Pajek network that networkx reads"):
        graph = nx.parse_pajek(iter(lines))
        if not graph.number_of_edges():
            graph = nx.Graph(graph)  # it is networkx that calls a network without edges directed
    n_declared = int(lines[0].split()[1])
    strangers = [node for node, data in graph.nodes(data=True) if "id" not in data]
    if strangers:
        raise file.error(f"an edge names node {strangers[0]!r}, which the file does not declare")
    if len(graph) != n_declared:
        raise file.error(
            f"declares {n_declared} nodes, of which {len(graph)} have names of their own; rename the others"
        )
    return file.network_of(graph)


_PAJEK_EDGES = ("*edges", "*arcs", "*matrix")


def _pajek_lines(file: Opened) -> list[str]:
    """Check the sections of a Pajek file, which networkx runs together, and keep those that hold anything."""
    sections: list[list[str]] = []
    for row, line in enumerate(file.text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("%"):
            continue
        if text.startswith("*"):
            sections.append([text])
        elif sections:
            sections[-1].append(text)
        else:
            raise file.error("a Pajek network begins with *Vertices", row)
    sections = [s for s in sections if not s[0].lower().startswith("*network")]
    if not sections or not re.fullmatch(r"\*vertices\s+\d+", sections[0][0].lower()):
        raise file.error("a Pajek network of one kind of nodes begins with *Vertices and their number")
    vertices, *others = sections
    kept = [section for section in others if len(section) > 1]
    known = [s for s in kept if s[0].lower().split()[0] in _PAJEK_EDGES and ":" not in s[0]]
    if len(known) != len(kept) or len(kept) > 1:
        held = ", ".join(section[0] for section in kept)
        raise file.error(f"one section of *Edges, *Arcs or *Matrix can be read, and here are: {held}")
    _check_vertices(file, vertices)
    return [line for section in (vertices, *kept) for line in section]


def _check_vertices(file: Opened, section: list[str]) -> None:
    n_declared = int(section[0].split()[1])
    if len(section) - 1 != n_declared:
        raise file.error(
            f"declares {n_declared} nodes and names {len(section) - 1}; give each a line: number and label"
        )
    with file.parsed_as("Pajek network: a node has no number and label"):
        numbers = Counter(shlex.split(line)[:2][0] for line in section[1:])
    double = next((number for number, times in numbers.items() if times > 1), None)
    if double is not None:
        raise file.error(f"node {double!r} is declared twice")
