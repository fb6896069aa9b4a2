"""The iso-mirror: one curve over time that sums up how all models' perspectives move together.

Athreya, Lubberts, Park & Priebe 2022, "Discovering underlying dynamics in time series of networks",
arXiv:2205.06877: distances between steps, classical scaling of them, and ISOMAP (Tenenbaum, de Silva &
Langford 2000, "A global geometric framework for nonlinear dimensionality reduction", Science 290) to a line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.algebra import singular_vectors
from agentnet.analysis.perspectives.blocks import Array, bad_places, checked_places
from agentnet.analysis.perspectives.scaling import classical_scaling
from agentnet.errors import DesignError


@dataclass(frozen=True, slots=True)
class IsoMirror:
    """How the system as a whole moved.

    Attributes:
        curve: Place of each step on a line, shape ``(n_steps,)``; the first is at most 0.
        coordinates: Place of each step in a few dimensions, shape ``(n_steps, n_dims)``.
        distances: Between steps, shape ``(n_steps, n_steps)``; see `step_distances`.
        n_neighbours: Neighbours of each step in the graph along which the line was laid; 0 where all steps
            are in one place.
    """

    curve: Array
    coordinates: Array
    distances: Array
    n_neighbours: int


def iso_mirror(coordinates: ArrayLike, *, n_dims: int = 2, turned: bool = False) -> IsoMirror:
    """Sum the movement of all models up in one curve.

    Args:
        coordinates: Perspectives, shape ``(n_steps, n_models, n_dims)``.
        n_dims: Dimensions of the scaling between distances and line, at most.
        turned: As for `step_distances`.

    Raises:
        InputError: The shape is wrong, a coordinate is not finite, or there are fewer than 2 steps.
        DesignError: `n_dims` is below 1.
    """
    if n_dims < 1:
        raise DesignError(f"n_dims must be at least 1; got {n_dims}")
    distances = step_distances(coordinates, turned=turned)
    scaling = classical_scaling(distances**2, n_dims)
    curve, n_neighbours = isomap_line(scaling.coordinates)
    return IsoMirror(curve, scaling.coordinates, distances, n_neighbours)


def step_distances(coordinates: ArrayLike, *, turned: bool = False) -> Array:
    """Compute how far the system is at one step from where it is at another.

    d(s, t) = ||Z_s W - Z_t||_2 / sqrt(n_models), the largest root mean squared move in any direction.

    Args:
        coordinates: Perspectives, shape ``(n_steps, n_models, n_dims)``.
        turned: Whether each step is first turned onto the other. All steps of one scaling have the same axes,
            so W = I by default. Where each step was scaled alone, W is the orthogonal Procrustes solution: it
            minimizes the Frobenius norm and bounds the minimum of the spectral norm from above.

    Returns:
        Shape ``(n_steps, n_steps)``, symmetric, 0 on the diagonal.

    Raises:
        InputError: The shape is wrong, a coordinate is not finite, or there are fewer than 2 steps.
    """
    places = checked_places(coordinates)
    if len(places) < 2:
        raise bad_places("there is 1 step, and a movement needs at least 2")
    n_steps, n_models, n_dims = places.shape
    distances = np.zeros((n_steps, n_steps))
    if not n_dims:
        return distances
    for step in range(1, n_steps):
        earlier = places[:step]
        if turned:
            left, _, right = singular_vectors(earlier.transpose(0, 2, 1) @ places[step])
            earlier = earlier @ (left @ right)
        norm = np.linalg.norm(earlier - places[step], ord=2, axis=(1, 2))
        distances[step, :step] = distances[:step, step] = norm / np.sqrt(n_models)
    return distances


def isomap_line(points: Array) -> tuple[Array, int]:
    """Lay points out on a line by ISOMAP with the fewest neighbours that connect them all.

    Points in the same place are one point: as neighbours of each other they would connect nothing.

    Args:
        points: Shape ``(n_points, n_dims)``.

    Returns:
        Places, shape ``(n_points,)``, with mean 0 over different points and the first at most 0; and the
        number of neighbours.
    """
    different, member = _different(points)
    if len(different) < 2:
        return np.zeros(len(points)), 0
    paths, n_neighbours = _shortest_paths(different)
    line = classical_scaling(paths**2, 1).coordinates[:, 0][member]
    return (-line if line[0] > 0 else line), n_neighbours


def _different(points: Array) -> tuple[Array, NDArray[np.intp]]:
    """Find the points in different places (up to rounding), as they first appear, and which each is."""
    if not points.shape[1]:
        return points[:1], np.zeros(len(points), dtype=np.intp)
    rounding = 1e-9 * max(float(np.ptp(points, axis=0).max()), 1e-300)
    cells = np.round(points / rounding)
    _, first, member = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.argsort(order)
    return points[first[order]], rank[member.reshape(-1)]


def _shortest_paths(points: Array) -> tuple[Array, int]:
    """Compute path lengths in the graph of nearest neighbours, with the fewest that connect it."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components, shortest_path

    n_points = len(points)
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = np.argsort(apart, axis=1, kind="stable")
    rows = np.arange(n_points)[:, None]
    for n_neighbours in range(1, n_points):
        columns = nearest[:, :n_neighbours]
        size = np.arange(0, columns.size + 1, n_neighbours)
        graph = csr_array((apart[rows, columns].ravel(), columns.ravel(), size), shape=(n_points, n_points))
        _, part = connected_components(graph, directed=False)
        if not part.any():
            return shortest_path(graph, directed=False), n_neighbours
    raise AssertionError("points that are all neighbours are connected")
