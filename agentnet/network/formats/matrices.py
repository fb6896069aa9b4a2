"""Adjacency matrices, sparse, read by SciPy."""

from __future__ import annotations

import io
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.network.checks import MAX_AGENTS
from agentnet.network.csr import pack
from agentnet.network.edge_values import WEIGHT
from agentnet.network.format import Opened, network_format
from agentnet.network.graph import Network
from agentnet.network.simple import Edges


@network_format(".npz")
def sparse_npz(file: Opened) -> Network:
    """Read an adjacency matrix that `scipy.sparse.save_npz` wrote."""
    from scipy.sparse import load_npz

    content = io.BytesIO(file.file.read())
    with file.parsed_as("sparse matrix that SciPy reads (scipy.sparse.save_npz)"):
        return file.network(_of_matrix(file, load_npz(content)))


@network_format(".mtx")
def matrix_market(file: Opened) -> Network:
    """Read an adjacency matrix in Matrix Market's format."""
    from scipy.io import mmread

    content = io.BytesIO(file.file.read())
    with file.parsed_as("Matrix Market file that SciPy reads"):
        # Matrix Market counts from 1, and who names agents elsewhere does so by these numbers.
        return file.network(_of_matrix(file, mmread(content), first=1))


def _of_matrix(file: Opened, found: Any, *, first: int = 0) -> Edges:  # noqa: ANN401  sparse in some form, or dense
    from scipy.sparse import coo_array

    matrix = coo_array(found)
    n_rows, n_columns = matrix.shape
    if n_rows != n_columns or not 1 <= n_rows <= MAX_AGENTS:
        raise file.error(
            f"an adjacency matrix is square, a row for each agent, and this one is {n_rows} x {n_columns}"
        )
    if n_rows > _ROOMY and n_rows > _ROOMY_RATIO * (len(matrix.data) + 1):
        raise file.error(
            f"has {n_rows} agents and {len(matrix.data)} entries: more memory than network; number agents "
            f"without gaps"
        )
    if matrix.data.dtype.kind == "f" and np.isnan(matrix.data).any():
        raise file.error("holds entries that are no number (NaN)")
    is_edge = matrix.data != 0
    u, v = matrix.coords[0][is_edge].astype(np.int64), matrix.coords[1][is_edge].astype(np.int64)
    notes = []
    if n_zeros := int((~is_edge).sum()):
        notes.append(f"stored zeros, which are no edges: {n_zeros}")
    names = [str(agent) for agent in range(first, first + n_rows)]
    edges = Edges(file.path, names, u, v, notes=notes)
    if WEIGHT in file.edge_attributes:
        edges.texts = {WEIGHT: [str(value) for value in (matrix.data[is_edge] * 1).tolist()]}
    elif (matrix.data[is_edge] != 1).any():
        edges.notes.append("entries other than 1 are edges, too: their weight or sign is not read")
    if file.heard is None:
        return _undirected(edges, matrix.data[is_edge])
    return edges


_ROOMY, _ROOMY_RATIO = 10_000_000, 1000


def _undirected(edges: Edges, entries: NDArray[Any]) -> Edges:
    """Take each pair of a symmetric matrix once; leave another as it is, for direction to be refused."""
    n_agents = len(edges.names)
    forth, back = pack(edges.u, edges.v, n_agents), pack(edges.v, edges.u, n_agents)
    order, other = np.argsort(forth), np.argsort(back)
    same = np.array_equal(forth[order], back[other])
    if edges.texts:
        same = same and np.array_equal(entries[order], entries[other])
    if not same:
        edges.is_directed = True
        return edges
    once = edges.u <= edges.v
    edges.u, edges.v = edges.u[once], edges.v[once]
    edges.texts = {name: list(compress(texts, once)) for name, texts in edges.texts.items()}
    return edges
