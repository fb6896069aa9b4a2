"""Rows of edge lists: remarks, data dicts, headers, and what parts the cells, told by the first rows."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from agentnet.delimited import (
    REMARK_SIGNS,
    SUFFIX_DELIMITERS,
    is_blank,
    is_missing,
    is_remark,
    records,
    rows_of_lines,
)
from agentnet.errors import InputError

_STATED_KIND = re.compile(r"%\s*(?P<konect>sym|asym|bip)\b|#\s*(?P<snap>directed) graph", re.IGNORECASE)
_STATED_SIZE = re.compile(
    r"#\s*Nodes:\s*(?P<nodes>\d+)\s+Edges:\s*(?P<edges>\d+)|%\s*(?P<rows>\d+)\s+(?P<ids>\d+)\s+\d+\s*$"
)
_MAY_BE_REMARK = frozenset({*REMARK_SIGNS, " ", "\t"})
_N_SAMPLED = 100
_END = "\1"
_ODD = re.compile(r'["{}\r\1]')
_LONGEST_DATA = 100_000
_DATA = re.compile(r"(?P<ends>.*?[\s,;|])(?P<data>\{.*\})\s*", re.DOTALL)

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
_RELATIVES = {"friend": True, "follower": True, "followee": True, "following": True, "followed": True} | {
    **dict.fromkeys(("neighbour", "neighbor", "contact", "partner", "peer", "other"), False)
}
"""Words for the other end beside a bare noun (``user_id,friend_id``), and whether they are directed."""

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
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)", re.IGNORECASE)
_PIECE = re.compile(r"[(\[]\s*(?:[-+\d'\"]|np\.)")
_MOMENT = re.compile(r"[\dT:./+-]*\d[\dT:./+Z-]*")


class EdgeRows:
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
        self.ends = ends_of_header(_cut(data[0], self.delimiter)) if data else None
        self.counts = self.ends is None and _counts([_cut(line, self.delimiter) for line in data])
        self.is_quoted = len(data) > 1 and all(line.lstrip().startswith('"') for line in data[:2])
        self._leading_lines = [self._settled(row, line, data) for row, line in enumerate(leading, 1)]
        self.lines = chain(self._leading_lines, self._without_remarks(chain(sample, rest), len(leading)))

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
        if len(cells) < 2:  # with broken quotes it is no remark for that: the reader refuses it
            mark = None if self.delimiter == " " else self.delimiter
            cells = [cell.strip() for cell in _ends_of(line).split(mark)]
        is_none = (
            is_remark(line)
            or self.ends is not None
            or len(cells) < 2
            or ends_of_header(_cut(line.lstrip()[1:], self.delimiter)) is not None
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
                if line.strip() == "#" and self.delimiter == " ":
                    raise InputError(
                        "is a # alone, which parts nodes from edges in Trivial Graph Format: keep the rows "
                        "below it, or take it out if it is a remark",
                        path=self.path,
                        row=row,
                    )
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

    def rows(self, lines: Iterable[str], n_before: int) -> Iterator[tuple[int, list[str]]]:
        """Give the cells of each row of some `lines`, with its number."""
        lines = (_ends_of(line) if "{" in line else line for line in lines)
        return rows_of_lines(self.path, lines, self.delimiter, n_before)

    def plain(self, lines: Sequence[str], n_cells: int) -> list[list[str]] | None:
        """Cut lines that hold `n_cells` cells each and nothing that needs a closer look into columns.

        Returns:
            The cells of each column; None if a line is of another kind.
        """
        text = "".join(lines).replace("\r\n", "\n").removesuffix("\n")
        mark = self.delimiter
        if _ODD.search(text) or (" " in text and mark != " "):
            return None
        cells = text.replace("\n", f"{mark}{_END}{mark}").split(None if mark == " " else mark)
        cells.append(_END)
        ends = cells[n_cells :: n_cells + 1]
        if (
            len(ends) != len(lines)
            or ends.count(_END) != len(lines)
            or len(cells) != len(lines) * (n_cells + 1)
        ):
            return None
        return [cells[place :: n_cells + 1] for place in range(n_cells)]


def _ends_of(line: str) -> str:
    """Leave out a data dict at the end of a line, as networkx writes it, if it is one."""
    found = _DATA.fullmatch(line)
    if found is None or len(found["data"]) > _LONGEST_DATA or "\r" in line.rstrip():
        return line
    return found["ends"].rstrip(" \t,;|") + "\n" if _is_dict(found["data"]) else line


def _is_dict(text: str) -> bool:
    """Say whether a text is spelled as a dict, whatever its values are called: nobody evaluates them."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return isinstance(ast.parse(text, mode="eval").body, ast.Dict)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
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
    header = next((mark for mark in usable if ends_of_header(_cut(sample[0], mark)) is not None), None)
    if header is not None:
        return header
    if "," in usable and _only_in_numbers(sample):
        if len(usable) == 1 and all(len(line.split()) > 1 for line in sample):
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


def _counts(rows: list[list[str]]) -> bool:
    """Say whether rows, or those below a header, begin with their numbers and have two further names each."""
    for some in (rows, rows[1:]):
        if len(some) < 2 or min(map(len, some)) < 3:
            continue
        first, second, third = list(zip(*(cells[:3] for cells in some), strict=True))
        begin = int(first[0] == "1")
        if first == tuple(map(str, range(begin, begin + len(some)))) and not {*first} & {*second}:
            return bool({*second} & {*third}) or not any(map(is_number, second + third))
    return False


def _only_in_numbers(sample: Iterable[str]) -> bool:
    """Say whether each comma stands between two digits, as a decimal comma does."""
    text = "\n".join(sample)
    return len(re.findall(r"(?<=\d),(?=\d)", text)) == text.count(",")


def ends_of_header(cells: Sequence[str]) -> tuple[int, int, bool] | None:
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
    bare = [i for i, each in enumerate(found) if each == ([], True)]
    for j, (words, has_noun) in enumerate(found):
        if bare and has_noun and len(words) == 1 and words[0] in _RELATIVES:
            return min(bare, key=lambda i: abs(i - j)), j, _RELATIVES[words[0]]
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


def is_name(cell: str) -> bool:
    """Say whether a cell can name a node: something on one line, and no piece of a data dict or tuple."""
    is_dict = cell[:1] == "{" and (":" in cell or cell[1:2] in {"'", '"'})
    is_data = is_dict or cell.count("{") != cell.count("}")
    is_piece = cell[:1] in {"(", "["} and _PIECE.match(cell) and not _is_closed(cell)
    return not is_data and not is_piece and len(cell.splitlines()) < 2 and not is_missing(cell)


def _is_closed(cell: str) -> bool:
    return cell.count("(") == cell.count(")") and cell.count("[") == cell.count("]")


def is_number(cell: str) -> bool:
    """Say whether a cell is a number; a comma may stand for its point."""
    return _NUMBER.fullmatch(cell) is not None


def is_datum(cell: str) -> bool:
    """Say whether a cell is what an edge list has beside names: a number, a moment, or nothing."""
    return not cell or is_number(cell) or _MOMENT.fullmatch(cell) is not None
