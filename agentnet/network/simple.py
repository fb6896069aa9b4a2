"""What a file may hold beyond a simple undirected network: loops, repeats, direction; refused or dropped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InputError
from agentnet.network.csr import arcs_with, is_repeated, pack, pack_edges, rows
from agentnet.network.edge_values import LAYER, Column, Columns, of_texts
from agentnet.network.graph import Network, trusted
from agentnet.network.labels import number_names
from agentnet.network.refusals import ENDS

Ends = NDArray[np.int64]

SIMPLIFY = (
    "or let --simplify (network_options.simplify) drop loops, repeats and direction, which says how many"
)
"""The way out that is the same for all of them."""
HEARD = "say which end of an edge the other hears (network_options.heard: source or target)"
"""How a direction is kept."""


@dataclass(slots=True)
class Edges:
    """The edges of a file, not yet known to be a simple network.

    Attributes:
        path: The file.
        names: The nodes' names, in the order of the file.
        u: One end of each edge, the source if it has a direction: positions in `names`, shape ``(n_edges,)``.
        v: The other end.
        row: The row of each edge, where the format has rows.
        attributes: From an attribute's name to its value for each node.
        notes: What the reader of the network should know, one sentence each.
        is_directed: Whether the file holds directed edges, which need `heard`, or `simplify` to be dropped.
        texts: From the name of an attribute of edges to what the file says of each edge.
        ends: What the file calls both ends.
    """

    path: Path
    names: Sequence[str]
    u: Ends
    v: Ends
    row: NDArray[np.int64] | None = None
    attributes: dict[str, list[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_directed: bool = False
    texts: dict[str, Sequence[str]] = field(default_factory=dict)
    ends: tuple[str, str] = ENDS

    def network(self, *, simplify: bool, heard: str | None = None) -> Network:
        """Make the network.

        Args:
            simplify: Whether loops and repeats are dropped, and said, instead of refused.
            heard: Which end of an edge the other hears, ``source``, ``target`` or what the file calls it; for
                an undirected network None.

        Raises:
            InputError: There is a loop, a repeat or a weight that is no number; names it and its row.
        """
        columns = {name: self._column(name, texts) for name, texts in self.texts.items()}
        if heard is not None:
            self._turn(heard)
        elif self.is_directed and not simplify:
            raise InputError(
                f"the matrix is not symmetric, so its edges have a direction; make it symmetric, {SIMPLIFY}; "
                f"or keep it, and {HEARD}",
                path=self.path,
            )
        kept = self._simplified(columns, heard) if simplify else self._refuse(columns, heard)
        order, labels = number_names(list(self.names))
        place = np.array(order, dtype=np.int64)
        agent_of = np.argsort(place)
        arcs, of_slots = arcs_with(
            agent_of[self.u[kept]],
            agent_of[self.v[kept]],
            len(place),
            is_directed=heard is not None,
            columns={name: values[kept] for name, values in columns.items()},
        )
        attributes = {key: [values[at] for at in place] for key, values in self.attributes.items()}
        made = rows(arcs, len(place))
        return trusted(*made, self.path.name, labels, attributes, self.notes, heard is not None, of_slots)

    def _turn(self, heard: str) -> None:
        """Put who is heard first."""
        known = dict(zip((*ENDS, *self.ends), (*ENDS, *ENDS), strict=True))
        if heard not in known:
            raise InputError(
                f"network_options.heard is {heard!r}; it is the end of each edge that the other hears: "
                f"{', '.join(known)}",
                path=self.path,
            )
        first, second = self.ends
        if known[heard] == ENDS[1]:
            self.u, self.v = self.v, self.u
            first, second = second, first
        self.notes.append(f"directed: {first} is heard, {second} hears")

    def _column(self, name: str, texts: Sequence[str]) -> Column:
        try:
            return of_texts(name, texts)
        except ValueError as error:
            message, edge = error.args
            raise InputError(message, path=self.path, row=self._row(edge), field=name) from None

    def _repeats(self, columns: Columns, heard: str | None) -> tuple[Ends, NDArray[np.bool_]]:
        """Order edges by their ends (and layer), and say of each whether it repeats the one before."""
        packed = pack_edges if heard is None else pack
        keys = packed(self.u, self.v, len(self.names))
        by = (columns[LAYER], keys) if LAYER in columns else (keys,)
        order = np.lexsort(by)
        return order, is_repeated(keys[order], {name: values[order] for name, values in columns.items()})

    def _simplified(self, columns: Columns, heard: str | None) -> NDArray[np.bool_]:
        """Say which edges are kept: neither loops nor repeats, of which the first stays."""
        is_loop = self.u == self.v
        order, again = self._repeats(columns, heard)
        first = np.ones(len(self.u), dtype=bool)
        first[order[again]] = False
        n_loops, n_repeats = int(is_loop.sum()), int((~first & ~is_loop).sum())
        if self.is_directed and heard is None:
            self.notes.append("simplified: dropped the direction of its edges")
        if n_loops or n_repeats:
            self.notes.append(
                f"simplified: dropped {counted(n_loops, 'loop')} and {counted(n_repeats, 'repeat')}"
            )
        kept: NDArray[np.bool_] = first & ~is_loop
        return kept

    def _refuse(self, columns: Columns, heard: str | None) -> slice:
        """Keep all edges; refuse loops and repeats."""
        loops = np.flatnonzero(self.u == self.v)
        if loops.size:
            raise InputError(
                f"node {self.names[self.u[loops[0]]]!r} is its own neighbour; drop the row, {SIMPLIFY}",
                path=self.path,
                row=self._row(loops[0]),
            )
        order, again = self._repeats(columns, heard)
        places = np.flatnonzero(again)
        if places.size:
            place = int(places[np.argmin(order[places])])
            first, second = order[place - 1], order[place]
            where = "" if self.row is None else f" in row {self.row[first]}"
            raise InputError(
                f"the edge {self.names[self.u[second]]!r}, {self.names[self.v[second]]!r} stands{where} "
                f"already; {'' if heard else 'direction does not count: '}keep one of them, tell them "
                f"apart by a column layer (network_options.edge_attributes), {SIMPLIFY}",
                path=self.path,
                row=self._row(second),
            )
        return slice(None)

    def _row(self, edge: int) -> int | None:
        return None if self.row is None else int(self.row[edge])


def edges_of(path: Path, rows: Iterable[tuple[int, str, str]]) -> Edges:
    """Make the edges of a file's rows.

    Args:
        path: The file.
        rows: The number of each row and the names of both ends.

    Raises:
        InputError: A name is blank: names the row; or there are no rows.
    """
    names: dict[str, int] = {}
    found = []
    for row, *ends in rows:
        if not all(name.strip() for name in ends):
            raise InputError("an edge needs two node names", path=path, row=row)
        found.append((*(names.setdefault(name.strip(), len(names)) for name in ends), row))
    if not found:
        raise InputError("there are no edges in it", path=path)
    u, v, row = np.array(found, dtype=np.int64).T
    return Edges(path, list(names), u, v, row)


def counted(number: int, noun: str) -> str:
    """Write a number with its noun.

    Examples:
        >>> counted(1, "loop"), counted(2, "loop")
        ('1 loop', '2 loops')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
