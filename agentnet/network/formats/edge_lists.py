"""Edge lists: delimited text with an edge in each row.

A row that is no edge is an error with its number, never an edge: neither a remark, nor a header of other
words, nor a row of an adjacency list. What is a remark, what a header and what parts the cells is told by
what stands there, and said in the network's notes.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from io import BytesIO
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentnet.delimited import DELIMITER_NAMES, is_blank, is_missing
from agentnet.errors import InputError, near_miss
from agentnet.network.edge_rows import EdgeRows, is_datum, is_name, is_number
from agentnet.network.format import Opened, network_format
from agentnet.network.formats.matrices import matrix_market
from agentnet.network.graph import Network
from agentnet.network.simple import Edges, Ends, counted

_MATRIX_MARKET = "%%matrixmarket"

_N_HEAD, _AT_ONCE = 200, 50_000
_LARGEST_MATRIX = 1000
_FEW_NAMES = 3
"""Of so few names, one of another kind says nothing."""
_MATRIX = (
    "an adjacency matrix, a row and a column for each agent; save it as a sparse matrix "
    "(scipy.sparse.save_npz, scipy.io.mmwrite) or as a list of edges"
)
_NUMERAL = re.compile(r"[-+]?\d+(?:[.,](?P<after>\d+))?(?:[eE]\+?(?P<power>\d{1,2}))?")
_EXACT, _IN_FULL = 2**53, 11
"""Floats tell whole numbers apart below this; spreadsheets write so many digits in full, and round others."""


@network_format(".csv", ".tsv", ".tab", ".txt", ".edges", ".edgelist")
def edge_list(file: Opened) -> Network:
    """Read an edge list, or a matrix in Matrix Market's format that is called like one."""
    lines = file.lines()
    first = next(lines, "")
    rest = chain([first], lines)
    if first.lower().startswith(_MATRIX_MARKET):
        return matrix_market(replace(file, file=BytesIO("".join(rest).encode())))
    wanted = file.edge_attributes
    return file.network(read_edge_list(file.path, rest, wanted, is_directed=file.heard is not None))


def read_edge_list(
    path: Path, lines: Iterable[str], wanted: tuple[str, ...] = (), *, is_directed: bool = False
) -> Edges:
    """Read an edge list.

    Args:
        path: The file; ``.csv`` is never parted by blanks, ``.tsv`` and ``.tab`` always by tabs.
        lines: Its lines.
        wanted: Columns to keep.
        is_directed: Whether the direction of edges is kept.

    Raises:
        InputError: There is no such column; a row is no edge, or it cannot be told whether it is one: names
            the row.
    """
    reading = EdgeRows(path, iter(lines))
    edges = _EdgeList(path, reading, wanted, is_directed)
    n_before, head = 0, list(islice(reading.lines, _N_HEAD))
    if not any('"' in line for line in head):
        edges.take_each(head, 0)
        n_before, head = len(head), []
        while (head := list(islice(reading.lines, _AT_ONCE))) and edges.take_plain(head, n_before):
            n_before += len(head)
    edges.take_each(chain(head, reading.lines), n_before)
    return edges.settled()


def _whole(name: str) -> str | None:
    """Write a whole number as a program without floats would; None for a name that is none.

    A comma stands for the point only before one zero or two: ``1,000`` may be a thousand.

    Raises:
        ValueError: It was rounded when it was written, so that it may have been another.
    """
    found = _NUMERAL.fullmatch(name)
    if found is None or name.lstrip("+-").isdecimal():
        return None if found is None else name
    after, power = found["after"] or "", int(found["power"] or 0)
    if "," in name and not (after in {"0", "00"} and not power):
        return None
    number = Decimal(name.replace(",", "."))
    if number != number.to_integral_value():
        return None
    if abs(number) >= _EXACT or (after.strip("0") and power >= max(len(after) + 1, _IN_FULL)):
        raise ValueError(name)
    return str(int(number))


def _look(name: str) -> str:
    """Write a name as it looks: without what has no shape, but for the joiners of some scripts and emoji."""
    text = unicodedata.normalize("NFC", " ".join(name.split()))
    return "".join(sign for sign in text if unicodedata.category(sign) != "Cf" or sign in "\u200c\u200d")


def _times(edges: Edges) -> NDArray[np.int64]:
    """Count the edges of each node; loops join nobody."""
    others = edges.u != edges.v
    ends = np.concatenate((edges.u[others], edges.v[others]))
    return np.bincount(ends, minlength=int(max(edges.u.max(), edges.v.max())) + 1)


class _Numbers(dict[str, int]):
    """Names and their numbers, in the order in which they are first looked up."""

    def __missing__(self, name: str) -> int:
        self[name] = number = len(self)
        return number


@dataclass(slots=True)
class _EdgeList:
    """The edges of a file while it is read: two names and the row of each."""

    path: Path
    reading: EdgeRows
    wanted: tuple[str, ...] = ()
    is_directed: bool = False
    columns: list[tuple[int, list[str]]] = field(default_factory=list)
    names: _Numbers = field(default_factory=_Numbers)
    u: array[int] = field(default_factory=lambda: array("q"))
    v: array[int] = field(default_factory=lambda: array("q"))
    row: array[int] = field(default_factory=lambda: array("q"))
    header: list[str] | None = None
    n_cells: int = 0
    first_row: int = 0
    first_is_words: bool = False
    others_are_data: bool = True
    ends: tuple[int, int] = (0, 1)
    has_row_names: bool = False
    has_networks: bool = False
    network: str | None = None
    type_place: int | None = None
    n_directed: int = 0
    n_counted: int = 0
    notes: list[str] = field(default_factory=list)
    first_rows: list[list[str]] = field(default_factory=list)

    def take_each(self, lines: Iterable[str], n_before: int) -> None:
        """Take in lines row by row."""
        for row, cells in self.reading.rows(lines, n_before):
            if not self.take_known(row, cells):
                self.take(row, cells)

    def take_plain(self, lines: Sequence[str], n_before: int) -> bool:
        """Take in lines at once that are an edge each, beyond doubt.

        Returns:
            Whether they are; else none was taken.
        """
        is_settled = len(self.row) >= self.n_cells and self.type_place is None
        if not is_settled or self.has_row_names or self.has_networks:
            return False
        columns = self.reading.plain(lines, self.n_cells)
        if columns is None or not (
            self.header or all(is_datum(cell) for cells in columns[2:] for cell in cells)
        ):
            return False
        n_known, (i, j) = len(self.names), self.ends
        ends = chain.from_iterable(zip(columns[i], columns[j], strict=True))
        numbers = np.fromiter(map(self.names.__getitem__, ends), np.int64, 2 * len(lines))
        new = list(islice(self.names, n_known, None))
        if not all(name == name.strip() and is_name(name) for name in new):
            for name in new:
                del self.names[name]
            return False
        self.u.frombytes(numbers[0::2].tobytes())
        self.v.frombytes(numbers[1::2].tobytes())
        self.row.extend(range(n_before + 1, n_before + 1 + len(lines)))
        for place, values in self.columns:
            values.extend(columns[place])
        return True

    def take_known(self, row: int, cells: list[str]) -> bool:
        """Take in an edge between two nodes that rows above have named: most rows of a large file.

        Returns:
            Whether it is one; else `take` judges it.
        """
        is_early = not self.row or len(self.row) < self.n_cells
        if is_early or len(cells) != self.n_cells or self.has_row_names or self.has_networks:
            return False
        if self.type_place is not None:
            return False
        i, j = self.ends
        u, v = self.names.get(cells[i]), self.names.get(cells[j])
        if u is None or v is None or not (self.header or all(map(is_datum, cells[2:]))):
            return False
        self.u.append(u)
        self.v.append(v)
        self.row.append(row)
        for place, values in self.columns:
            values.append(cells[place])
        return True

    def take(self, row: int, cells: list[str]) -> None:
        """Take in a row: the header, or an edge."""
        cells = [cell.strip() for cell in cells]
        if not any(cells) or (len(cells) == 1 and is_blank(cells[0])):
            return
        if not self.first_row:
            self._refuse_head_of_matrix(row, cells)
            self._begin(row, cells)
            if self.header is not None:
                return
        elif self.header is not None and not self.row:
            self.has_row_names = self._begins_with_row_name(cells)
        if self.has_row_names:
            if len(cells) != self.n_cells + 1:
                others = f"the first row has {self.n_cells + 1}, its name among them"
                raise self._error(self._ragged(len(cells), others), row)
            cells = cells[1:]
        self._check_count(row, cells)
        if self.header is None and len(self.first_rows) < self.n_cells <= _LARGEST_MATRIX:
            self.first_rows.append(cells)
        if self.has_networks:
            self._check_network(row, cells)
        self._add(row, cells)

    def _begin(self, row: int, cells: list[str]) -> None:
        self.first_row, self.n_cells = row, len(cells)
        if self.reading.ends is None:
            self._find_columns(row, dict(zip(self.wanted, range(2, len(cells)), strict=False)))
            return
        self.header, self.ends = cells, self.reading.ends[:2]
        self.has_networks = "network" in cells
        # Gephi's lists say of each edge whether it has a direction.
        self.type_place = next((i for i, cell in enumerate(cells) if cell.casefold() == "type"), None)
        for cell in cells:
            if cell and cells.count(cell) > 1:
                raise self._error("stands twice in the header; rename one", row, cell)
        others = {cell: place for place, cell in enumerate(cells) if cell and place not in self.ends}
        self._find_columns(row, others)

    def _find_columns(self, row: int, others: Mapping[str, int]) -> None:
        for name in self.wanted:
            if name not in others:
                known = near_miss(name, others) if others else "; it has none besides both ends"
                raise self._error(f"there is no column {name!r}{known}", row)
            self.columns.append((others[name], []))

    def _begins_with_row_name(self, cells: list[str]) -> bool:
        """See `agentnet.delimited`; a row of one cell more might also have a weight without a name."""
        if len(cells) != self.n_cells + 1:
            return False
        return self.reading.is_quoted or (cells[0] == "1" and not is_datum(cells[-1]))

    def _check_count(self, row: int, cells: list[str]) -> None:
        more = cells[self.n_cells :]
        self.n_counted += len(more) == 1 and cells[0] == str(len(self.row) + 1)
        if self.header is not None:
            # A weight without a name is harmless where the header names both ends and nothing else.
            if more and not (self.n_cells == 2 and all(map(is_datum, more))):
                raise self._error(self._ragged(len(cells), f"the header has {self.n_cells}"), row)
            return
        if len(cells) >= 2 and len(cells) != self.n_cells:
            first = f"row {self.first_row} has {self.n_cells}"
            raise self._error(self._ragged(len(cells), first), row)
        if self.reading.delimiter == " " and not all(map(is_datum, cells[2:])):
            raise self._error(
                f"has {len(cells)} words, and an edge is two names and at most numbers; put names that hold "
                f"blanks in quotation marks, or part the columns by tabs or commas; a header says source and "
                f"target",
                row,
            )

    def _check_network(self, row: int, cells: list[str]) -> None:
        """Refuse a file of several networks, such as `agentnet export` writes of a run that draws them."""
        place = (self.header or []).index("network")
        name = cells[place] if place < len(cells) else ""
        self.network = name if self.network is None else self.network
        if name != self.network:
            raise self._error("begins another network; keep the rows of one (column 'network')", row)

    def _ragged(self, n_cells: int, other: str) -> str:
        return (
            f"has {counted(n_cells, 'field')} where {other}: no edge list with one edge in each row; an "
            f"adjacency list, or fields that hold {self.reading.delimiter!r}, need another form"
        )

    def _add(self, row: int, cells: list[str]) -> None:
        i, j = self.ends
        if len(cells) <= max(i, j) or not (is_name(cells[i]) and is_name(cells[j])):
            marker = next(
                (cell for cell in (*cells[i : i + 1], *cells[j : j + 1]) if cell and is_missing(cell)), ""
            )
            why = f" ({marker!r} stands for a missing value)" if marker else ""
            raise self._error(
                f"an edge needs two node names, and here is {','.join(cells)!r}{why}; part them by a comma "
                f"(.csv), a tab (.tsv) or, in .txt and .edges, by blanks; a remark begins with # and a blank",
                row,
            )
        if self.type_place is not None and self.type_place < len(cells):
            is_directed = cells[self.type_place].casefold() == "directed"
            self.n_directed += is_directed
            if self.is_directed and not is_directed:
                raise self._error(
                    "is not of type Directed: give each edge a direction, or leave network_options.heard out",
                    row,
                )
        if not self.row:
            self.first_is_words = not all(map(is_datum, cells[2:]))
        elif self.others_are_data:
            self.others_are_data = all(map(is_datum, cells[2:]))
        self.u.append(self.names[cells[i]])
        self.v.append(self.names[cells[j]])
        self.row.append(row)
        for place, values in self.columns:
            values.append(cells[place] if place < len(cells) else "")

    def settled(self) -> Edges:
        """Judge the rows by each other, and give the edges."""
        if not self.row:
            raise self._error("there are no edges in it")
        self._refuse_matrix()
        self._doubt_footer()
        edges = Edges(self.path, [], np.array(self.u), np.array(self.v), np.array(self.row))
        self._refuse_alike()
        if self.header is None:
            self._refuse_row_numbers()
            self._refuse_doubtful_signs(edges)
            self._refuse_hidden_header(edges)
            self._refuse_words_among_numbers(edges)
        else:
            self._refuse_ambiguous_header()
            self._refuse_counted_rows()
        edges.names, edges.u, edges.v = self._whole_numbers(edges)
        edges.notes = [*self._notes(), *self.notes]
        edges.texts = {name: values for name, (_, values) in zip(self.wanted, self.columns, strict=True)}
        if self.header is not None:
            edges.ends = (self.header[self.ends[0]], self.header[self.ends[1]])
        return edges

    def _error(self, message: str, row: int | None = None, field: str | None = None) -> InputError:
        return InputError(message, path=self.path, row=row, field=field)

    def _refuse_head_of_matrix(self, row: int, cells: Sequence[str]) -> None:
        """Refuse a first row that leaves only its corner empty: the head of a matrix with names."""
        if len(cells) > 3 and not cells[0] and all(map(is_name, cells[1:])) and self.reading.ends is None:
            raise self._error(f"begins like {_MATRIX}", row)

    def _refuse_matrix(self) -> None:
        """Refuse a symmetric table of as many columns as rows: an adjacency matrix, and no list of edges."""
        if len(self.row) == self.n_cells == len(self.first_rows) > 2:
            columns = [list(column) for column in zip(*self.first_rows, strict=True)]
            if columns == self.first_rows and all(is_number(cell) for row in columns for cell in row):
                raise self._error(
                    f"this is {_MATRIX}",
                    self.first_row,
                )

    def _doubt_footer(self) -> None:
        """Doubt a last row with the only word among numbers, or number among words: it may be a total.

        Below a header every row is an edge, so there it is said and not refused.
        """
        names = list(self.names)
        are_numbers = [is_number(name) for name in names]
        ends = (self.u[-1], self.v[-1])
        if are_numbers[ends[0]] == are_numbers[ends[1]] or len(names) <= _FEW_NAMES:
            return
        odd = next((end for end in ends if are_numbers.count(are_numbers[end]) == 1), None)
        if odd is None or list(self.u).count(odd) + list(self.v).count(odd) > 1:
            return
        kind = ("word", "number")[are_numbers[odd]]
        doubt = f"{names[odd]!r} is the only {kind} among the names and stands in the last row alone: "
        if self.header is None:
            way_out = "take the row out if it is a total, or put it further up if it is an edge"
            raise self._error(doubt + way_out, int(self.row[-1]))
        self.notes.append(f"{doubt}take the row out if it is a total, and no agent")

    def _refuse_ambiguous_header(self) -> None:
        names = [(self.header or [])[end] for end in self.ends]
        clash = next((name for name in names if name in self.names), None)
        if clash is not None:
            raise self._error(
                f"the first row looks like a header, but {clash!r} is a node further down; put a row "
                f"source,target above it if it is an edge",
            )

    def _refuse_counted_rows(self) -> None:
        """Refuse unmarked row names 1, 2, 3, .. that would be read as nodes."""
        if not self.has_row_names and self.n_counted == len(self.row) > 1:
            raise self._error(
                "each row has a field more than the header, and the first counts the rows: if these are row "
                "names, write the list without them (row.names = FALSE); if the last is a weight, name it in "
                "the header",
                int(self.row[0]),
            )

    def _refuse_row_numbers(self) -> None:
        """Refuse a list without a header whose rows begin with their numbers: they would be read as nodes."""
        if self.reading.counts:
            raise self._error(
                "the rows begin with their numbers, and two names follow: write the list without row names "
                "(R: row.names = FALSE, pandas: index=False); if the first two are an edge, put a row "
                "source,target above them, with a name for each further column",
                self.first_row,
            )

    def _refuse_alike(self) -> None:
        """Refuse two names that look the same: accents written in two ways, or characters without a shape."""
        looks: dict[str, str] = {}
        for name in self.names:
            if name.isascii():
                continue
            look = _look(name)
            other = look if look in self.names else looks.setdefault(look, name)
            if other != name:
                raise self._error(
                    f"{other!a} and {name!a} are two names that look the same: write them alike"
                )

    def _refuse_doubtful_signs(self, edges: Edges) -> None:
        """Refuse a leading row such as ``#people,friends`` whose names stand nowhere else."""
        name = next((name for name in self.reading.passed_over if name in self.names), None)
        if name is not None:
            raise self._error(
                f"begins with a sign of remarks, but {name!r} is a node further down; mend the row if it is "
                f"an edge, or put a blank after the sign",
                self.reading.passed_over[name],
            )
        times = _times(edges)
        for row in self.reading.doubtful:
            place = int(np.flatnonzero(edges.row == row)[0])
            if times[edges.u[place]] == times[edges.v[place]] == 1 and len(self.row) > 1:
                raise self._error(
                    "begins with a sign of remarks, and its names stand nowhere else; put a blank after the "
                    "sign if it is a remark, or a row source,target above it if it is an edge",
                    row,
                )

    def _refuse_hidden_header(self, edges: Edges) -> None:
        """Refuse a first row that may be a header of other words.

        Read as an edge, an unknown header would add two agents whom nobody would ever miss.
        """
        times, names = _times(edges), list(self.names)
        first, others = names[:2], names[2:]
        stands_alone = times[edges.u[0]] == times[edges.v[0]] == 1
        are_numbers = [is_number(name) for name in first]
        if not (others and stands_alone) or are_numbers[0] != are_numbers[1]:
            return
        why = ""
        if all(are_numbers):
            why = "" if any(map(is_number, others)) else "all other names being words"
        elif all(map(is_number, others)):
            why = "all other names being numbers"
        elif self.first_is_words and self.others_are_data and self.n_cells > 2:
            why = "all further fields below being numbers"
        elif (times[2:] > 1).any():
            why = "its names standing nowhere else"
        if why:
            raise self._error(
                f"{first[0]!r}, {first[1]!r} looks like a header, {why}; call the columns source and target, "
                f"or put a row source,target above it if it is an edge",
                int(self.row[0]),
            )

    def _refuse_words_among_numbers(self, edges: Edges) -> None:
        """Refuse rows of two words among rows of numbers, if the words join nothing else: remarks, totals."""
        is_word = np.array([not is_number(name) for name in self.names])
        n_words = int(is_word.sum())
        if not n_words or n_words == len(is_word):
            return
        times = _times(edges)
        alone = is_word[edges.u] & is_word[edges.v] & (times[edges.u] == 1) & (times[edges.v] == 1)
        if 2 * int(alone.sum()) == n_words:
            place = int(np.flatnonzero(alone)[0])
            names = list(self.names)
            raise self._error(
                f"{names[edges.u[place]]!r}, {names[edges.v[place]]!r} would be an edge of two words, all "
                f"other names being numbers; take the row out if it is a remark, or put a row source,target "
                f"above the first if it is an edge",
                int(self.row[place]),
            )

    def _whole_numbers(self, edges: Edges) -> tuple[list[str], Ends, Ends]:
        """Read ``2.0`` and ``2e+00`` as the ``2`` that it was before a program with floats wrote it."""
        names = list(self.names)
        try:
            floats = {name: whole for name in names if (whole := _whole(name)) not in {None, name}}
        except ValueError as error:
            odd = str(error)
            number = self.names[odd]
            place = int(np.flatnonzero((edges.u == number) | (edges.v == number))[0])
            raise self._error(
                f"{odd!r} is a number that a program rounded, so that it may stand for several names; write "
                f"the names as texts (a spreadsheet's column of texts; R: options(scipen = 99))",
                self.row[place],
            ) from None
        if not floats:
            return names, edges.u, edges.v
        known: dict[str, int] = {}
        first = next(iter(floats))
        if all(name in floats or name.lstrip("+-").isdecimal() for name in names):
            merged = np.array([known.setdefault(floats.get(name) or name, len(known)) for name in names])
            self.notes.append(f"names such as {first!r} are read as {floats[first]!r}")
            return list(known), merged[edges.u], merged[edges.v]
        clash = next((name for name, whole in floats.items() if whole in self.names), None)
        if clash is not None:
            raise self._error(
                f"{clash!r} and {floats[clash]!r} are two names here, and may be one: write them alike",
            )
        return names, edges.u, edges.v

    def _notes(self) -> Iterator[str]:
        form = f"rows parted by {DELIMITER_NAMES[self.reading.delimiter]}"
        if self.header is None:
            yield f"{form}, without a header"
        else:
            i, j = self.ends
            ends = [self.header[i], self.header[j]]
            yield f"{form}; header: {ends[0]}, {ends[1]}"
            if self.reading.ends is not None and self.reading.ends[2] and not self.is_directed:
                yield f"{ends[0]} and {ends[1]} have a direction, which is dropped: either hears the other"
            read = {i, j, *(place for place, _ in self.columns)}
            others = [cell for place, cell in enumerate(self.header) if cell and place not in read]
            if others:
                yield f"columns not read: {', '.join(others)}"
        if self.n_directed and not self.is_directed:
            yield (
                f"{counted(self.n_directed, 'edge')} of type Directed: the direction is dropped, either end "
                "hears the other"
            )
        if self.reading.is_directed and not self.is_directed:
            yield "the file says that edges have a direction, which is dropped: either end hears the other"
        found = (len(self.names), len(self.row))
        if self.reading.stated not in {None, found}:
            stated = "{} nodes and {} edges".format(*self.reading.stated or ())
            yield f"the file's head states {stated}, and here are {found[0]} nodes in {found[1]} rows"
        if self.reading.n_remarks:
            yield f"{counted(self.reading.n_remarks, 'row')} of remarks passed over"
        if self.has_row_names:
            yield "the rows begin with row names, which are not read"
