"""Fetching a user's own ACLED data through ACLED's API, into a file in the shape of the export.

Nothing may go missing in silence: pages are asked for until they end, and an account that is kept from
recent events (the API then answers with fewer events and says so only in ``data_query_restrictions``)
gets a warning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agentnet.errors import ConfigurationError
from agentnet.files import WriteRows
from agentnet.news.acled_server import (
    ACLED_COLUMNS,
    ACLED_URL,
    NO_ACLED,
    PAGE_ROWS,
    FetchError,
    Login,
    Server,
    acled_writer,
    check_address,
)
from agentnet.news.source import Fetched, Query

Progress = Callable[[str], None]


def fetch_acled(
    query: Query,
    path: Path,
    login: Login,
    *,
    base_url: str = ACLED_URL,
    force: bool = False,
    progress: Progress = lambda _: None,
) -> Fetched:
    """Fetch the events of `query` into the CSV file `path`, which appears only when all have come.

    Args:
        query: The events wanted.
        path: The file to write; `load_acled` reads it.
        login: The account.
        base_url: Where the API is; https, or http on this machine.
        force: Whether an existing file may be replaced.
        progress: Is told, in words, of each page.

    Raises:
        InputError: `path` exists without `force`, or cannot be made.
        ConfigurationError: The account is unknown, the address unusable, or nothing matches the query.
        FetchError: ACLED could not be reached, refused, or sent something that is no answer.
        StorageError: The file could not be written.
    """
    with acled_writer(path, force=force) as write:
        return asyncio.run(fetch_pages(query, login, write, base_url=base_url, progress=progress))


async def fetch_pages(
    query: Query,
    login: Login,
    write: WriteRows,
    *,
    base_url: str = ACLED_URL,
    page_rows: int = PAGE_ROWS,
    progress: Progress = lambda _: None,
    silence_s: float = 120.0,
) -> Fetched:
    """Fetch the events of `query` and hand them to `write` page by page; see `fetch_acled`.

    Args:
        query: The events wanted.
        login: The account.
        write: Is given the rows of each page, with all 31 columns as text, each event once.
        base_url: Where the API is; https, or http on this machine.
        page_rows: Events to ask for in one answer, at most 5000.
        progress: Is told, in words, of each page.
        silence_s: How long a server may send nothing before it counts as gone.
    """
    import aiohttp

    check_address(base_url)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=silence_s)
    with _plain_words(base_url):
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            server = Server(session, base_url.rstrip("/"), [login.password])
            await server.log_in(login)
            gathered = _Gathered(query)
            while not gathered.complete:
                page = await server.page(query, gathered.n_pages + 1, page_rows)
                rows = gathered.add(page, page_rows)
                write(rows)
                progress(gathered.progress)
    return gathered.result()


@contextmanager
def _plain_words(base_url: str) -> Iterator[None]:
    import aiohttp

    host = urlsplit(base_url).netloc
    try:
        yield
    except TimeoutError as error:
        raise FetchError(f"{host} stopped answering; check the network and try again") from error
    except aiohttp.ClientError as error:
        raise FetchError(
            f"{host} cannot be reached or broke off ({type(error).__name__}: {error}); check the network and "
            f"try again"
        ) from error


@dataclass(slots=True)
class _Gathered:
    """What has come so far, and whether it is all."""

    query: Query
    n_pages: int = 0
    n_received: int = 0
    n_total: int | None = None
    complete: bool = False
    ids: set[str] = field(default_factory=set)
    extra: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    notices: dict[str, None] = field(default_factory=dict)

    @property
    def progress(self) -> str:
        total = "" if self.n_total is None else f" of {self.n_total}"
        return f"page {self.n_pages}: {self.n_received}{total} events"

    def add(self, page: Mapping[str, Any], page_rows: int) -> list[dict[str, str]]:
        """Take in one page; return its new events in the export's shape."""
        rows = page.get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise FetchError(f"the answer has no list of events under 'data'; {NO_ACLED}")
        self.n_pages += 1
        self.n_received += len(rows)
        self._note(page)
        fresh = [self._shape(row) for row in rows if self._is_new(row)]
        if rows and not fresh:
            raise FetchError(
                f"page {self.n_pages} only repeats events of earlier pages; try again, or ask for fewer days "
                f"at a time"
            )
        self._see_whether_complete(len(rows), page_rows)
        return fresh

    def _see_whether_complete(self, n_rows: int, page_rows: int) -> None:
        # A short page is the last, unless the server caps pages below the limit asked for: its total says.
        if n_rows >= page_rows:
            return
        if self.n_total is None or self.n_received >= self.n_total:
            self.complete = True
        elif n_rows == 0:
            raise FetchError(
                f"ACLED announced {self.n_total} events and sent {self.n_received}; none was kept, try again"
            )

    def _note(self, page: Mapping[str, Any]) -> None:
        total = page.get("total_count")
        if isinstance(total, int) and not isinstance(total, bool):
            self.n_total = total
        self.notices |= dict.fromkeys(f"ACLED says: {said[:200]}" for said in page["messages"] if said)
        restrictions = page.get("data_query_restrictions")
        recency = restrictions.get("date_recency") if isinstance(restrictions, dict) else None
        until = recency.get("date") if isinstance(recency, dict) else None
        if isinstance(until, str) and until < self.query.last.isoformat():
            self.notices[
                f"your ACLED account shows events until {until[:10]} only: later ones are missing"
            ] = None

    def _is_new(self, row: Mapping[str, Any]) -> bool:
        name = row.get("event_id_cnty")
        if not isinstance(name, str) or not name:
            raise FetchError(f"an event on page {self.n_pages} has no event_id_cnty; {NO_ACLED}")
        if name in self.ids:
            return False
        self.ids.add(name)
        return True

    def _shape(self, row: Mapping[str, Any]) -> dict[str, str]:
        self.extra.update(row.keys() - set(ACLED_COLUMNS))
        self.missing.update(set(ACLED_COLUMNS) - row.keys())
        return {column: "" if row.get(column) is None else str(row[column]) for column in ACLED_COLUMNS}

    def result(self) -> Fetched:
        if not self.ids:
            why = "; ".join(self.notices) or "check the spelling of the country (ACLED's English names)"
            raise ConfigurationError(f"ACLED has no event for {self.query}: {why}")
        warnings = list(self.notices)
        if repeated := self.n_received - len(self.ids):
            warnings.append(
                f"events that came twice, as ACLED was updated meanwhile, and are kept once: {repeated}"
            )
        if self.extra:
            warnings.append(
                f"left out, as ACLED's export has no such column: {', '.join(sorted(self.extra))}"
            )
        if self.missing:
            warnings.append(f"ACLED sent no {', '.join(sorted(self.missing))}; these columns are empty")
        return Fetched(len(self.ids), tuple(warnings))
