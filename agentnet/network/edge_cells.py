"""Cells of edge lists: headers by what they say, names, numbers, moments."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentnet.delimited import is_missing

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
_MOMENT = re.compile(r"[\dT:./+-]*\d[\dT:./+Z-]*")


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
    for j, (words, _) in enumerate(found):
        if bare and len(words) == 1 and words[0] in _RELATIVES:
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
    """Say whether a cell can name a node: something on one line, and no piece of a data dict."""
    is_data = cell.count("{") != cell.count("}") or (cell.startswith("{") and ":" in cell)
    return not is_data and "\r" not in cell and not is_missing(cell)


def is_number(cell: str) -> bool:
    """Say whether a cell is a number; a comma may stand for its point."""
    return _NUMBER.fullmatch(cell) is not None


def is_datum(cell: str) -> bool:
    """Say whether a cell is what an edge list has beside names: a number, a moment, or nothing."""
    return not cell or is_number(cell) or _MOMENT.fullmatch(cell) is not None
