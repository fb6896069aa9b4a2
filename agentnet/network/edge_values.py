"""Attributes of edges: one array each, of numbers or of texts; and how they stand in a network's bytes.

A network that is undirected and has none is its pairs alone, as bytes and in its digest. Any other has a tail
behind them: a pair (-1, length of the head), the head as JSON, and the arrays, each padded to 8 bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DesignError, InputError

Column = NDArray[Any]
Columns = Mapping[str, Column]

LAYER: Final = "layer"
"""The attribute that may tell edges between the same two agents apart."""
WEIGHT: Final = "weight"
"""The attribute that holds numbers and nothing else."""

_STORED = {"i": "<i8", "f": "<f8", "b": "|b1", "U": "<i4"}
"""How a column is written by the kind of its values: of texts, each one's place among the different ones."""


class Packed(NamedTuple):
    """What `unpacked` finds in the bytes of a network.

    Attributes:
        pairs: Pairs of agents, shape ``(n_edges, 2)``, int32.
        is_directed: Whether they are (heard, hears).
        columns: The attributes of edges, an entry an edge.
    """

    pairs: NDArray[np.int32]
    is_directed: bool
    columns: dict[str, Column]


def edge_columns(given: Mapping[str, Iterable[Any]], n_edges: int) -> dict[str, Column]:
    """Make arrays of the attributes of edges.

    Raises:
        DesignError: One has no name, another length, values of several kinds, none, or a weight that is no
            number.
    """
    columns = {}
    for name, values in given.items():
        if not isinstance(name, str) or not name:
            raise DesignError(f"edge attributes must be named by text, not {name!r}; rename it")
        array = _typed(name, values)
        if array.shape != (n_edges,):
            raise DesignError(f"edge attribute {name!r} has {len(array)} values for {n_edges} edges")
        columns[name] = array
    return columns


def broadcast(value: Any, n_edges: int) -> Column:  # noqa: ANN401 - a number, a text, or one for each edge
    """Give one value to all edges, or each its own.

    Raises:
        DesignError: They are another number.
    """
    values = np.asarray(value)
    if values.ndim and values.shape != (n_edges,):
        raise DesignError(f"{n_edges} edges take one value for all, or {n_edges}; here are {values.size}")
    return np.broadcast_to(values, (n_edges,))


def of_texts(name: str, texts: Sequence[str]) -> Column:
    """Make the column of a file's texts: whole numbers where all are, else numbers, else texts.

    Raises:
        ValueError: It holds weights and one is no number; the text is the error's second argument.
    """
    array = np.array(texts, dtype=str)
    for kind in (np.int64, np.float64):
        try:
            found = array.astype(kind)
        except (ValueError, OverflowError):
            continue
        if np.isfinite(found).all():
            return found
    if name == WEIGHT:
        place = next(place for place, text in enumerate(texts) if not _is_finite(text))
        raise ValueError(f"the weight {texts[place].strip()!r} is no number", place)
    return np.char.strip(array)


def packed(pairs: NDArray[np.int32], is_directed: bool, columns: Columns) -> bytes:
    """Give the bytes of a network; see the module."""
    return pairs.astype("<i4").tobytes() + tail(is_directed, columns)


def tail(is_directed: bool, columns: Columns) -> bytes:
    """Give what stands behind the pairs: nothing, if there is nothing to say."""
    if not is_directed and not columns:
        return b""
    heads, parts = [], []
    for name, values in columns.items():
        texts = None
        if values.dtype.kind == "U":
            different, values = np.unique(values, return_inverse=True)  # noqa: PLW2901
            texts = different.tolist()
        stored = values.astype(_STORED["U" if texts is not None else values.dtype.kind])
        heads.append({"name": name, "kind": stored.dtype.str, "texts": texts})
        parts.append(_padded(stored.tobytes(), b"\0"))
    head = _padded(json.dumps({"directed": is_directed, "columns": heads}).encode(), b" ")
    return b"".join((np.array([-1, len(head)], dtype="<i4").tobytes(), head, *parts))


def unpacked(blob: bytes) -> Packed:
    """Read what `packed` wrote.

    Raises:
        InputError: The bytes are cut off or damaged.
    """
    if len(blob) % 8:
        raise InputError(f"{len(blob)} bytes are no edges: an edge takes 8; the blob is cut off or damaged")
    pairs = np.frombuffer(blob, dtype="<i4").reshape(-1, 2)
    n_edges = int(np.argmax(pairs[:, 0] == -1)) if len(pairs) else 0
    if not len(pairs) or pairs[n_edges, 0] != -1:
        return Packed(pairs.astype(np.int32), False, {})
    try:
        head, *columns = _tail_of(blob[8 * n_edges + 8 :], int(pairs[n_edges, 1]), n_edges)
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"what stands behind the {n_edges} edges is damaged: {error}") from error
    return Packed(pairs[:n_edges].astype(np.int32), bool(head["directed"]), dict(columns))


def _tail_of(rest: bytes, n_head: int, n_edges: int) -> list[Any]:
    head = json.loads(rest[:n_head])
    found: list[Any] = [head]
    at = n_head
    for column in head["columns"]:
        kind = np.dtype(column["kind"])
        values = np.frombuffer(rest, kind, n_edges, at)
        if column["texts"] is not None:
            values = np.array(column["texts"], dtype=str)[values]
        found.append((column["name"], values.copy()))
        at += -(-n_edges * kind.itemsize // 8) * 8
    return found


def _typed(name: str, values: Iterable[Any]) -> Column:
    given = values if isinstance(values, np.ndarray) else list(values)
    array = np.asarray(given)
    is_text = array.dtype.kind == "U" and all(isinstance(value, str) for value in given)
    if name == WEIGHT and is_text and array.size:
        raise DesignError(f"the weight of edge 0 is {str(given[0])!r}, which is no number")
    if array.ndim != 1 or (array.dtype.kind not in "iufb" and not is_text):
        odd = next((at for at, value in enumerate(given) if value is None), None)
        raise DesignError(
            f"edge attribute {name!r} must be numbers or texts, one kind for all edges"
            + ("" if odd is None else f"; edge {odd} has none")
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        odd = int(np.flatnonzero(~np.isfinite(array))[0])
        raise DesignError(f"the {name} of edge {odd} is {array[odd]}, which is no number")
    return array.astype({"i": np.int64, "u": np.int64, "f": np.float64}.get(array.dtype.kind, array.dtype))


def _is_finite(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _padded(content: bytes, by: bytes) -> bytes:
    return content + by * (-len(content) % 8)
