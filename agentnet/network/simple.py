"""What a file may hold beyond a simple undirected network: loops, repeats, direction; refused or dropped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InputError
from agentnet.network.csr import pack_edges, rows, sorted_arcs
from agentnet.network.graph import Network, trusted
from agentnet.network.labels import number_names

Ends = NDArray[np.int64]

SIMPLIFY = (
    "or let --simplify (network_options.simplify) drop loops, repeats and direction, which says how many"
)
"""The way out that is the same for all of them."""


@dataclass(slots=True)
class Edges:
    """The edges of a file, not yet known to be a simple network.

    Attributes:
        path: The file.
        names: The nodes' names, in the order of the file.
        u: One end of each edge, positions in `names`, shape ``(n_edges,)``.
        v: The other end.
        row: The row of each edge, where the format has rows.
        attributes: From an attribute's name to its value for each node.
        notes: What the reader of the network should know, one sentence each.
        is_directed: Whether the file holds directed edges, which only `simplify` accepts.
    """

    path: Path
    names: Sequence[str]
    u: Ends
    v: Ends
    row: NDArray[np.int64] | None = None
    attributes: dict[str, list[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_directed: bool = False

    def network(self, *, simplify: bool) -> Network:
        """Make the network.

        Args:
            simplify: Whether loops and repeats are dropped, and said, instead of refused.

        Raises:
            InputError: There is a loop or a repeat; names it and its row.
        """
        if simplify:
            self._simplify()
        elif self.is_directed:
            raise InputError(
                f"the matrix is not symmetric, so its edges have a direction; make it symmetric, {SIMPLIFY}",
                path=self.path,
            )
        else:
            self._refuse_loops()
            self._refuse_repeats()
        order, labels = number_names(list(self.names))
        place = np.array(order, dtype=np.int64)
        agent_of = np.argsort(place)
        arcs = sorted_arcs(agent_of[self.u], agent_of[self.v], len(place))
        attributes = {key: [values[at] for at in place] for key, values in self.attributes.items()}
        return trusted(*rows(arcs, len(place)), self.path.name, labels, attributes, self.notes)

    def _keys(self) -> NDArray[np.uint64]:
        return pack_edges(self.u, self.v, len(self.names))

    def _simplify(self) -> None:
        is_loop = self.u == self.v
        first = np.zeros(len(self.u), dtype=bool)
        first[np.unique(self._keys(), return_index=True)[1]] = True
        kept = first & ~is_loop
        n_loops, n_repeats = int(is_loop.sum()), int((~first & ~is_loop).sum())
        if self.is_directed:
            self.notes.append("simplified: dropped the direction of its edges")
        if n_loops or n_repeats:
            self.notes.append(
                f"simplified: dropped {counted(n_loops, 'loop')} and {counted(n_repeats, 'repeat')}"
            )
        self.u, self.v = self.u[kept], self.v[kept]
        self.row = None if self.row is None else self.row[kept]

    def _refuse_loops(self) -> None:
        loops = np.flatnonzero(self.u == self.v)
        if loops.size:
            raise InputError(
                f"node {self.names[self.u[loops[0]]]!r} is its own neighbour; drop the row, {SIMPLIFY}",
                path=self.path,
                row=self._row(loops[0]),
            )

    def _refuse_repeats(self) -> None:
        keys = self._keys()
        order = np.argsort(keys, kind="stable")
        again = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        if again.size:
            place = int(again[np.argmin(order[again + 1])])
            first, second = order[place], order[place + 1]
            where = "" if self.row is None else f" in row {self.row[first]}"
            raise InputError(
                f"the edge {self.names[self.u[second]]!r}, {self.names[self.v[second]]!r} stands{where} "
                f"already; direction does not count: keep one of them, {SIMPLIFY}",
                path=self.path,
                row=self._row(second),
            )

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
