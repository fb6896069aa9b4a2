"""Edge lists: delimited text with an edge in each row.

A row that is no edge is an error with its number, never an edge: neither a remark, nor a header of other
words, nor a row of an adjacency list. What is a remark, what a header and what parts the cells is told by
what stands there, and said in the network's notes.
"""

from __future__ import annotations

import ast
import json
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentnet.delimited import (
    DELIMITER_NAMES,
    REMARK_SIGNS,
    SUFFIX_DELIMITERS,
    is_blank,
    is_missing,
    is_remark,
    records,
    rows_of_lines,
)
from agentnet.errors import InputError
from agentnet.network.simple import Edges, Ends, counted

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".edges", ".edgelist")

_ENDS = (
    *(("source", "target"), ("source", "destination"), ("source", "dest"), ("src", "dst"), ("src", "dest")),
    *(("from", "to"), ("origin", "destination"), ("u", "v"), ("start", "end"), ("ego", "alter")),
    *(("tail", "head"), ("left", "right")),
)
_DIRECTED_ENDS = (
    *(("follower", "followee"), ("follower", "followed"), ("follower", "following"), ("follower", "friend")),
    *(("followee", "follower"), ("citing", "cited"), ("sender", "receiver"), ("sender", "recipient")),
    *(("parent", "child"), ("caller", "callee"), ("truster", "trustee"), ("voter", "votee")),
)
_NUMBERED_ENDS = (("1", "2"), ("a", "b"), ("i", "j"), ("x", "y"), ("0", "1"))
"""Ends that are told apart by a number or letter after a noun: ``node_1``, ``personA``, ``id_i``."""

_NOUNS = frozenset(
    {
        *("node", "nodes", "id", "ids", "user", "users", "agent", "person", "actor", "vertex", "vertices"),
        *("name", "label", "account", "screen", "nr", "no", "number", "author", "member", "index", "key"),
        *("uid", "email", "handle", "idx", "profile", "individual", "entity", "page", "paper", "student"),
    }
)
_NOUN = re.compile(f"(?:{'|'.join(sorted(_NOUNS, key=len, reverse=True))})+")
_END_WORDS = sorted({end for ends in (*_ENDS, *_DIRECTED_ENDS) for end in ends})
_COMPOUND = re.compile(rf"^(?:{_NOUN.pattern})?(?P<end>{'|'.join(_END_WORDS)})(?:{_NOUN.pattern})?$")
_STATED_KIND = re.compile(r"%\s*(?P<konect>sym|asym|bip)\b|#\s*(?P<snap>directed) graph", re.IGNORECASE)
_STATED_SIZE = re.compile(
    r"#\s*Nodes:\s*(?P<nodes>\d+)\s+Edges:\s*(?P<edges>\d+)|%\s*(?P<rows>\d+)\s+(?P<ids>\d+)\s+\d+\s*$"
)
_MAY_BE_REMARK = frozenset({*REMARK_SIGNS, " ", "\t"})
_LARGEST_MATRIX = 1000
_N_SAMPLED = 100
_LONGEST_DATA = 100_000
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_DATA = re.compile(r"(?P<ends>.*[\s,;|])(?P<data>\{.*\})\s*", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)", re.IGNORECASE)
_MOMENT = re.compile(r"[\dT:./+-]*\d[\dT:./+Z-]*")
_WHOLE = re.compile(r"[-+]?\d+(?:\.0+)?")
_FRACTION = re.compile(r"\.0+$")


def read_edge_list(path: Path, lines: Iterable[str]) -> Edges:
    """Read an edge list.

    Args:
        path: The file; ``.csv`` is never parted by blanks, ``.tsv`` and ``.tab`` always by tabs.
        lines: Its lines.

    Raises:
        InputError: A row is no edge, or it cannot be told whether it is one: names the row.
    """
    reading = _Reading(path, iter(lines))
    edges = _EdgeList(path, reading)
    for row, cells in reading.rows():
        if not edges.take_known(row, cells):
            edges.take(row, cells)
    return edges.settled()


class _Reading:
    """The lines of an edge list as records: without remarks and data dicts, each in its row."""

    def __init__(self, path: Path, lines: Iterator[str]) -> None:
        self.path = path
        self.n_remarks = 0
        self.is_directed = False
        self.stated: tuple[int, int] | None = None  # nodes and edges, by SNAP's or KONECT's head
        self.passed_over: dict[str, int] = {}  # what begins with a sign in leading rows taken for remarks
        self.doubtful: list[int] = []  # rows that begin with a sign, before anything else: remarks or names
        leading, rest = self._leading(lines)
        sample = list(islice(rest, _N_SAMPLED))
        data = [line for line in sample if not is_remark(line)]
        data = [line for line in data if not is_blank(line)]
        names = [line for line in leading if not is_blank(line) and not is_remark(line)]
        self.delimiter = _delimiter(path, data or names)
        self.ends = _header(_cut(data[0], self.delimiter)) if data else None
        self.is_quoted = len(data) > 1 and all(line.lstrip().startswith('"') for line in data[:2])
        self._leading_lines = [self._settled(row, line, data) for row, line in enumerate(leading, 1)]
        self._lines = chain(self._leading_lines, self._without_remarks(chain(sample, rest), len(leading)))

    @staticmethod
    def _leading(lines: Iterator[str]) -> tuple[list[str], Iterator[str]]:
        """Split off the lines before the first that is neither blank nor begins with a sign."""
        leading: list[str] = []
        for line in lines:
            if line.lstrip()[:1] in REMARK_SIGNS or is_blank(line):  # "" is in every text: a blank line
                leading.append(line)
                continue
            return leading, chain([line], lines)
        return leading, iter(())

    def _settled(self, row: int, line: str, data: Sequence[str]) -> str:
        """Say what a leading line is: a remark (becomes blank), or maybe an edge of names such as #MeToo."""
        if is_blank(line):
            return "\n"
        cells, first = _cut(line, self.delimiter), _cut(data[0], self.delimiter) if data else []
        is_none = (
            is_remark(line)
            or self.ends is not None
            or len(cells) < 2
            or _header(_cut(line.lstrip()[1:], self.delimiter)) is not None
            or (bool(first) and len(first) != len(cells))
        )
        if is_none:
            self.passed_over.update({cell: row for cell in cells[:2] if cell.startswith(REMARK_SIGNS)})
            self._heed(row, line)
            return "\n"
        self.doubtful.append(row)
        return line

    def _heed(self, row: int, line: str) -> None:
        """Count a remark; what KONECT and SNAP say of the network's kind there is no mere remark."""
        self.n_remarks += 1
        said = _STATED_KIND.match(line.lstrip())
        kind = (said["konect"] or said["snap"]).lower() if said else ""
        if kind == "bip":
            raise InputError(
                "says that the network is bipartite: its columns number two kinds of nodes, which would be "
                "taken for one; write the nodes of one kind under other names",
                path=self.path,
                row=row,
            )
        self.is_directed |= kind in {"asym", "directed"}
        if size := _STATED_SIZE.match(line.strip()):
            self.stated = int(size["nodes"] or size["ids"]), int(size["edges"] or size["rows"])

    def _without_remarks(self, lines: Iterable[str], n_before: int) -> Iterator[str]:
        for row, line in enumerate(lines, n_before + 1):
            if line[:1] in _MAY_BE_REMARK and is_remark(line):
                self._refuse_doubtful(row, line)
                self.n_remarks += 1
                yield "\n"
            else:
                yield line

    def _refuse_doubtful(self, row: int, line: str) -> None:
        if self.delimiter != " " and len(_cut(line, self.delimiter)) > 1:
            raise InputError(
                f"begins with {line.lstrip()[0]} like a remark and reads as an edge; put its names in "
                f"quotation marks if it is one, else take it out",
                path=self.path,
                row=row,
            )

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Give the cells of each row, with its number."""
        lines = (_ends_of(line) if "{" in line else line for line in self._lines)
        return rows_of_lines(self.path, lines, self.delimiter)


def _ends_of(line: str) -> str:
    """Leave out a data dict at the end of a line, as networkx writes it, if it is one."""
    found = _DATA.fullmatch(line)
    if found is None or len(found["data"]) > _LONGEST_DATA or "\r" in line.rstrip():
        return line
    return found["ends"].rstrip(" \t,;|") + "\n" if _is_dict(found["data"]) else line


def _is_dict(text: str) -> bool:
    for read in (json.loads, ast.literal_eval):
        try:
            return isinstance(read(text), dict)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return False


def _cut(line: str, delimiter: str) -> list[str]:
    """Cut one line for a look at it; whoever reads the file says what is wrong with its quotes."""
    try:
        return [cell.strip() for cell in next(records(Path(), [_ends_of(line)], delimiter)).cells]
    except (InputError, StopIteration):
        return [line.strip()]


def _delimiter(path: Path, sample: Sequence[str]) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    stated = next((SUFFIX_DELIMITERS[suffix] for suffix in suffixes if suffix in SUFFIX_DELIMITERS), None)
    if stated or not sample:
        return stated or ","
    found = {mark: [len(_cut(line, mark)) for line in sample] for mark in "\t|,;"}
    usable = {mark: counts for mark, counts in found.items() if counts[0] > 1}
    header = next((mark for mark in usable if _header(_cut(sample[0], mark)) is not None), None)
    if header is not None:
        return header
    if "," in usable and _only_in_numbers(sample):
        if len(usable) == 1 and _blanks_part(sample):
            return " "
        if len(usable) > 1:
            del usable[","]
    steady = {mark: counts for mark, counts in usable.items() if min(counts) == max(counts)} or usable
    for mark in "\t|":
        if mark in steady:
            return mark
    if len(steady) == 2 and steady[","][0] == steady[";"][0]:
        raise InputError(
            "commas and semicolons part the rows equally well; put a row source,target above, parted by what "
            "parts the others",
            path=path,
        )
    if steady:
        return max(steady, key=lambda mark: steady[mark][0])
    return "," if ".csv" in suffixes else " "


def _only_in_numbers(sample: Iterable[str]) -> bool:
    """Say whether each comma stands between two digits, as a decimal comma does."""
    text = "\n".join(sample)
    return len(re.findall(r"(?<=\d),(?=\d)", text)) == text.count(",")


def _blanks_part(sample: Iterable[str]) -> bool:
    return all(len(line.split()) > 1 for line in sample)


def _header(cells: Sequence[str]) -> tuple[int, int, bool] | None:
    """Find the columns of both ends in a row that says it is a header, and whether they are directed."""
    found = [_words(cell) for cell in cells]
    for first, second in (*_DIRECTED_ENDS, *_ENDS):
        for i, (words, _) in enumerate(found):
            rest = _without(words, first)
            others = [j for j, (other, _) in enumerate(found) if j != i and _without(other, second) == rest]
            if rest is not None and others:
                return i, others[0], (first, second) in _DIRECTED_ENDS
    for first, second in _NUMBERED_ENDS:
        if ([first], True) in found and ([second], True) in found:
            return found.index(([first], True)), found.index(([second], True)), False
    return None


def _without(words: list[str], end: str) -> list[str] | None:
    """Take the word for an end out of the words of a column: what is left is the same for both ends."""
    return [word for word in words if word != end] if words.count(end) == 1 else None


def _words(cell: str) -> tuple[list[str], bool]:
    """Split the name of a column, without nouns, and say whether it had any.

    Examples:
        >>> _words("FromNodeId"), _words("node_1"), _words("source airport")
        ((['from'], True), (['1'], True), (['source', 'airport'], False))
    """
    words = [word.lower() for word in _WORDS.findall(cell)]
    if sum(map(len, words)) != len(re.sub(r"[\W_]+", "", cell)):
        return [], False  # letters that no name of a column has here
    rest = [_COMPOUND.sub(r"\g<end>", word) for word in words if not _NOUN.fullmatch(word)]
    return rest, len("".join(rest)) < len("".join(words))


def _is_name(cell: str) -> bool:
    """Say whether a cell can name a node: something on one line, and no piece of a data dict."""
    is_data = cell.count("{") != cell.count("}") or (cell.startswith("{") and ":" in cell)
    return not is_data and "\r" not in cell and not is_missing(cell)


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _is_datum(cell: str) -> bool:
    return not cell or _is_number(cell) or _MOMENT.fullmatch(cell) is not None


def _times(edges: Edges) -> NDArray[np.int64]:
    """Count the edges of each node; loops join nobody."""
    others = edges.u != edges.v
    ends = np.concatenate((edges.u[others], edges.v[others]))
    return np.bincount(ends, minlength=int(max(edges.u.max(), edges.v.max())) + 1)


@dataclass(slots=True)
class _EdgeList:
    """The edges of a file while it is read: two names and the row of each."""

    path: Path
    reading: _Reading
    names: dict[str, int] = field(default_factory=dict)
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
    n_counted: int = 0
    notes: list[str] = field(default_factory=list)
    first_rows: list[list[str]] = field(default_factory=list)

    def take_known(self, row: int, cells: list[str]) -> bool:
        """Take in an edge between two nodes that rows above have named: most rows of a large file.

        Returns:
            Whether it is one; else `take` judges it.
        """
        is_early = not self.row or len(self.row) < self.n_cells
        if is_early or len(cells) != self.n_cells or self.has_row_names or self.has_networks:
            return False
        i, j = self.ends
        u, v = self.names.get(cells[i]), self.names.get(cells[j])
        if u is None or v is None or not (self.header or all(map(_is_datum, cells[2:]))):
            return False
        self.u.append(u)
        self.v.append(v)
        self.row.append(row)
        return True

    def take(self, row: int, cells: list[str]) -> None:
        """Take in a row: the header, or an edge."""
        cells = [cell.strip() for cell in cells]
        if not any(cells) or (len(cells) == 1 and is_blank(cells[0])):
            return
        if not self.first_row:
            self._begin(row, cells)
            if self.header is not None:
                return
        elif self.header is not None and not self.row:
            self.has_row_names = self._begins_with_row_name(cells)
        if self.has_row_names and len(cells) == self.n_cells + 1:
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
            return
        self.header, self.ends = cells, self.reading.ends[:2]
        self.has_networks = "network" in cells
        for cell in cells:
            if cell and cells.count(cell) > 1:
                raise InputError(
                    "stands twice in the header; rename one", path=self.path, row=row, field=cell
                )

    def _begins_with_row_name(self, cells: list[str]) -> bool:
        """See `agentnet.delimited`; a row of one cell more might also have a weight without a name."""
        if len(cells) != self.n_cells + 1:
            return False
        return self.reading.is_quoted or (cells[0] == "1" and not _is_datum(cells[-1]))

    def _check_count(self, row: int, cells: list[str]) -> None:
        more = cells[self.n_cells :]
        self.n_counted += len(more) == 1 and cells[0] == str(len(self.row) + 1)
        if self.header is not None:
            # A weight without a name is harmless where the header names both ends and nothing else.
            if more and not (self.n_cells == 2 and all(map(_is_datum, more))):
                raise InputError(
                    self._ragged(len(cells), f"the header has {self.n_cells}"), path=self.path, row=row
                )
            return
        if len(cells) >= 2 and len(cells) != self.n_cells:
            first = f"row {self.first_row} has {self.n_cells}"
            raise InputError(self._ragged(len(cells), first), path=self.path, row=row)
        if self.reading.delimiter == " " and not all(map(_is_datum, cells[2:])):
            raise InputError(
                f"has {len(cells)} words, and an edge is two names and at most numbers; put names that hold "
                f"blanks in quotation marks, or part the columns by tabs or commas; a header says source and "
                f"target",
                path=self.path,
                row=row,
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
        if len(cells) <= max(i, j) or not (_is_name(cells[i]) and _is_name(cells[j])):
            marker = next(
                (cell for cell in (*cells[i : i + 1], *cells[j : j + 1]) if cell and is_missing(cell)), ""
            )
            why = f" ({marker!r} stands for a missing value)" if marker else ""
            raise InputError(
                f"an edge needs two node names, and here is {','.join(cells)!r}{why}; part them by a comma "
                f"(.csv), a tab (.tsv) or, in .txt and .edges, by blanks; a remark begins with # and a blank",
                path=self.path,
                row=row,
            )
        if not self.row:
            self.first_is_words = not all(map(_is_datum, cells[2:]))
        elif self.others_are_data:
            self.others_are_data = all(map(_is_datum, cells[2:]))
        self.u.append(self.names.setdefault(cells[i], len(self.names)))
        self.v.append(self.names.setdefault(cells[j], len(self.names)))
        self.row.append(row)

    def settled(self) -> Edges:
        """Judge the rows by each other, and give the edges."""
        if not self.row:
            raise InputError("there are no edges in it", path=self.path)
        self._refuse_matrix()
        edges = Edges(self.path, [], np.array(self.u), np.array(self.v), np.array(self.row))
        if self.header is None:
            self._refuse_doubtful_signs(edges)
            self._refuse_hidden_header(edges)
            self._refuse_words_among_numbers(edges)
        else:
            self._refuse_ambiguous_header()
            self._refuse_counted_rows()
        edges.names, edges.u, edges.v = self._whole_numbers(edges)
        edges.notes = [*self._notes(), *self.notes]
        return edges

    def _error(self, message: str, row: int) -> InputError:
        return InputError(message, path=self.path, row=row)

    def _refuse_matrix(self) -> None:
        """Refuse a symmetric table of as many columns as rows: an adjacency matrix, and no list of edges."""
        if len(self.row) == self.n_cells == len(self.first_rows) > 2:
            columns = [list(column) for column in zip(*self.first_rows, strict=True)]
            if columns == self.first_rows and all(_is_number(cell) for row in columns for cell in row):
                raise self._error(
                    "this is an adjacency matrix, a row and a column for each agent; save it as a sparse "
                    "matrix (scipy.sparse.save_npz, scipy.io.mmwrite) or as a list of edges",
                    self.first_row,
                )

    def _refuse_ambiguous_header(self) -> None:
        names = [(self.header or [])[end] for end in self.ends]
        clash = next((name for name in names if name in self.names), None)
        if clash is not None:
            raise InputError(
                f"the first row looks like a header, but {clash!r} is a node further down; put a row "
                f"source,target above it if it is an edge",
                path=self.path,
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
        if not (others and stands_alone) or any(map(_is_number, first)):
            return
        why = ""
        if all(map(_is_number, others)):
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
        is_word = np.array([not _is_number(name) for name in self.names])
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
        """Read ``2.0`` as the ``2`` that it was before a program with floats wrote it."""
        names = list(self.names)
        floats = [name for name in names if "." in name and _WHOLE.fullmatch(name)]
        if not floats:
            return names, edges.u, edges.v
        known: dict[str, int] = {}
        if all(map(_WHOLE.fullmatch, names)):
            merged = np.array([known.setdefault(_FRACTION.sub("", name), len(known)) for name in names])
            self.notes.append(f"names such as {floats[0]!r} are read as {_FRACTION.sub('', floats[0])!r}")
            return list(known), merged[edges.u], merged[edges.v]
        clash = next((name for name in floats if _FRACTION.sub("", name) in self.names), None)
        if clash is not None:
            raise InputError(
                f"{clash!r} and {_FRACTION.sub('', clash)!r} are two names here, and may be one: write them "
                f"alike",
                path=self.path,
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
            if self.reading.ends is not None and self.reading.ends[2]:
                yield f"{ends[0]} and {ends[1]} have a direction, which is dropped: either hears the other"
            others = [cell for place, cell in enumerate(self.header) if cell and place not in (i, j)]
            if others:
                yield f"columns not read: {', '.join(others)}"
        if self.reading.is_directed:
            yield "the file says that edges have a direction, which is dropped: either end hears the other"
        read = (len(self.names), len(self.row))
        if self.reading.stated not in {None, read}:
            stated = "{} nodes and {} edges".format(*self.reading.stated or ())
            yield f"the file's head states {stated}, and here are {read[0]} nodes in {read[1]} rows"
        if self.reading.n_remarks:
            yield f"{counted(self.reading.n_remarks, 'row')} of remarks passed over"
        if self.has_row_names:
            yield "the rows begin with row names, which are not read"
