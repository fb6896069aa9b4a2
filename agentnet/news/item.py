"""The news item: what spreads over the network, and the labels by which it is analysed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from agentnet.errors import ConfigurationError, InputError, near_miss
from agentnet.plugins import PluginKind, is_unicode

if TYPE_CHECKING:
    from agentnet.news.source import NewsSource

TABLE, SYNTHETIC = "table", "synthetic"
"""Sources of what belongs to nobody: a table of the author's own, the packaged sample."""

NEWS_SOURCES: Final[PluginKind[NewsSource]] = PluginKind(
    "kind of news file",
    "agentnet.news_sources",
    "agentnet.news.source.NewsSource",
    parts=("make", "columns", "citation", "licence"),
    takes={"make": 1},
    bundled="agentnet.news.sources",
    unknown=ConfigurationError,
)
"""The news sources by name; see `agentnet.news.source`."""


_TEXTS: Final = (
    "id",
    "text",
    "place",
    "disorder_type",
    "event_type",
    "sub_event_type",
    "source",
    "licence",
)
_texts_of: Final = attrgetter(*_TEXTS)


@dataclass(frozen=True, slots=True)
class NewsItem:
    """One news item.

    Attributes:
        id: Its name; unique among the items of a run.
        text: What the language model reads; not blank.
        date: When it happened; None if unknown.
        place: Where it happened, as words; "" if unknown.
        severity: 0 peaceful, 1 severe, None unknown.
        disorder_type: ACLED's broadest label; "" if unknown, like the two that follow.
        event_type: ACLED's middle label (or UCDP's type of violence).
        sub_event_type: ACLED's narrowest label.
        source: The name of the news source it comes from (`agentnet.news.source.NEWS_SOURCES`).
        licence: The line that a run using it has to show once; "" if none.

    Raises:
        InputError: The id or the text is blank, a text is no Unicode text, the date is no date, or the
            severity or source is unknown.
    """

    id: str
    text: str
    date: dt.date | None = None
    place: str = ""
    severity: int | None = None
    disorder_type: str = ""
    event_type: str = ""
    sub_event_type: str = ""
    source: str = "table"
    licence: str = ""

    def __post_init__(self) -> None:
        # All at once, as a file may have a million.
        try:
            are_texts = is_unicode("".join(_texts_of(self)))
        except TypeError:
            are_texts = False
        if not are_texts or not self.id.strip() or not self.text.strip():
            self._refuse_texts()
        if self.date is not None and type(self.date) is not dt.date:
            raise InputError(
                f"news item {self.id!r} has date {self.date!r}; use a datetime.date or None", field="date"
            )
        # `True` equals 1 but would come back from JSON as another value.
        if self.severity is not None and (type(self.severity) is not int or self.severity not in (0, 1)):
            raise InputError(
                f"news item {self.id!r} has severity {self.severity!r}; use 0 (peaceful), 1 (severe) or None",
                field="severity",
            )
        if self.source not in NEWS_SOURCES:
            raise InputError(
                f"news item {self.id!r} has source {self.source!r}{near_miss(self.source, NEWS_SOURCES)}",
                field="source",
            )

    def _refuse_texts(self) -> NoReturn:
        for name, text in zip(_TEXTS, _texts_of(self), strict=True):
            if not isinstance(text, str):
                raise InputError(f"news item {self.id!r} has {text!r:.60} there; use a text", field=name)
            if not is_unicode(text):
                raise InputError(
                    f"news item {self.id!r} holds half a surrogate pair: mend its {name}", field=name
                )
            if name in ("id", "text") and not text.strip():
                raise InputError(f"a news item's {name} may not be blank (id {self.id!r})", field=name)
        raise AssertionError("one of the texts is at fault")

    @property
    def hash(self) -> str:
        """SHA-256, as hex, of what a model and an analysis see: id, text, severity and the three labels."""
        seen = [self.id, self.text, self.severity, self.disorder_type, self.event_type, self.sub_event_type]
        return hashlib.sha256(json.dumps(seen).encode()).hexdigest()

    def to_json(self) -> str:
        """Write the item as one line of JSON, from which `from_json` makes an equal item."""
        values = asdict(self)
        values["date"] = None if self.date is None else self.date.isoformat()
        return json.dumps(values)

    @classmethod
    def from_json(cls, line: str) -> NewsItem:
        """Make the item that `to_json` wrote.

        Raises:
            InputError: The line is no such item: names the field.
        """
        values = _json_object(line)
        known = {field.name: field for field in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise InputError(f"a news item has no such field{near_miss(name, known)}", field=name)
            if name not in ("date", "severity") and not isinstance(value, str):
                raise InputError(f"must be a text, not {value!r}", field=name)
        for name in ("id", "text"):
            if name not in values:
                raise InputError("is missing from a stored news item", field=name)
        return cls(**{**values, "date": _stored_date(values.get("date"))})


def _json_object(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise InputError(f"a stored news item is not JSON ({error}): {line[:60]!r}") from error
    if not isinstance(values, dict):
        raise InputError(f"a stored news item must be a JSON object, not {line[:60]!r}")
    return values


def _stored_date(value: object) -> dt.date | None:
    if value is None:
        return None
    try:
        return dt.date.fromisoformat(value)  # type: ignore[arg-type]  # TypeError is caught below
    except (TypeError, ValueError) as error:
        raise InputError(f"must be null or YYYY-MM-DD, not {value!r}", field="date") from error


def check_items(items: Iterable[NewsItem]) -> tuple[NewsItem, ...]:
    """Return `items` as a tuple if their ids are unique.

    Raises:
        InputError: An id stands twice: it would not say which text spread.
    """
    checked = tuple(items)
    if others := [each for each in checked if not isinstance(each, NewsItem)]:
        raise InputError(f"must be news items, not {others[0]!r:.60}", field="items")
    first: dict[str, int] = {}
    for position, item in enumerate(checked, 1):
        if first.setdefault(item.id, position) != position:
            raise InputError(
                f"news items {first[item.id]} and {position} are both called {item.id!r}; each needs an id",
                field="id",
            )
    return checked


@dataclass(frozen=True, slots=True)
class NewsFile:
    """The news items of one file.

    Attributes:
        path: The file.
        kind: Its format: ``acled``, ``ucdp`` or ``table``.
        items: At least one item, in the order of the file, with unique ids.
        warnings: What the reader should know, one sentence each.
    """

    path: Path
    kind: str
    items: tuple[NewsItem, ...]
    warnings: tuple[str, ...] = ()

    @property
    def licences(self) -> tuple[str, ...]:
        """The licence lines that a run using these items has to show, each once."""
        return tuple(dict.fromkeys(item.licence for item in self.items if item.licence))
