"""ACLED's server as one account sees it: where it is, how to log in, how to ask for a page, what comes.

As ACLED documents it (https://acleddata.com/api-documentation): a token by the OAuth password grant at
``/oauth/token`` with client id ``acled``, then pages of ``/api/acled/read`` of at most 5000 events. Neither
the password nor the token appears in any message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from agentnet.errors import AgentnetError, ConfigurationError, WorldError
from agentnet.files import WriteRows, csv_writer
from agentnet.news.source import Query

if TYPE_CHECKING:
    import aiohttp

ACLED_URL = "https://acleddata.com"
PAGE_ROWS = 5000
"""The most events that ACLED sends in one answer."""

ACLED_COLUMNS = (
    "event_id_cnty",
    "event_date",
    "year",
    "time_precision",
    "disorder_type",
    "event_type",
    "sub_event_type",
    "actor1",
    "assoc_actor_1",
    "inter1",
    "actor2",
    "assoc_actor_2",
    "inter2",
    "interaction",
    "civilian_targeting",
    "iso",
    "region",
    "country",
    "admin1",
    "admin2",
    "admin3",
    "location",
    "latitude",
    "longitude",
    "geo_precision",
    "source",
    "source_scale",
    "notes",
    "fatalities",
    "tags",
    "timestamp",
)
"""The 31 columns of the current export, in order."""

ACLED_LICENCE = (
    "Armed Conflict Location & Event Data (ACLED), www.acleddata.com; attribution is required, and ACLED's "
    "terms do not allow passing its data on"
)


def acled_writer(path: Path, *, force: bool = False) -> AbstractContextManager[WriteRows]:
    """Open a CSV file in the shape of ACLED's export, with its 31 columns; see `csv_writer`."""
    return csv_writer(path, ACLED_COLUMNS, force=force)


_LOOPBACK = ("localhost", "127.0.0.1", "::1")

NO_ACLED = "this is not what ACLED's API answers: check --base-url, and whether a proxy stands in between"


class FetchError(WorldError):
    """ACLED's server could not be reached, refused, or sent something that is no answer."""


@dataclass(frozen=True, slots=True)
class Login:
    """A myACLED account.

    Args:
        email: Its e-mail address.
        password: Its password; shown nowhere.
    """

    email: str
    password: str = field(repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Login:
        """Take the account from ``ACLED_EMAIL`` and ``ACLED_PASSWORD``.

        Raises:
            ConfigurationError: One of them is missing or empty.
        """
        missing = [name for name in ("ACLED_EMAIL", "ACLED_PASSWORD") if not environment.get(name)]
        if missing:
            raise ConfigurationError(
                f"{' and '.join(missing)} must be set in the environment: the e-mail address and password of "
                f"your myACLED account (register at {ACLED_URL})"
            )
        return cls(environment["ACLED_EMAIL"], environment["ACLED_PASSWORD"])


def check_address(base_url: str) -> None:
    """See that a password may be sent to `base_url`.

    Raises:
        ConfigurationError: It is neither https nor http on this machine.
    """
    try:
        parts = urlsplit(base_url)
        scheme, host = parts.scheme, parts.hostname
    except ValueError:
        scheme, host = "", None
    if host and (scheme == "https" or (scheme == "http" and host in _LOOPBACK)):
        return
    raise ConfigurationError(
        f"--base-url {base_url!r}: the password may travel by https only (http on this machine); "
        f"give an address like {ACLED_URL}"
    )


@dataclass(slots=True)
class Server:
    """ACLED's server as one account sees it."""

    session: aiohttp.ClientSession
    base_url: str
    secrets: list[str] = field(repr=False)
    token: str = field(default="", repr=False)

    async def log_in(self, login: Login) -> None:
        """Get a token, which lasts for 24 hours.

        Raises:
            ConfigurationError: ACLED does not accept e-mail address and password.
            FetchError: It refuses for another reason, or sends no token.
        """
        form = {
            "username": login.email,
            "password": login.password,
            "grant_type": "password",
            "client_id": "acled",
            "scope": "authenticated",
        }
        # A redirect would carry the password to wherever it points.
        async with self.session.post(
            f"{self.base_url}/oauth/token", data=form, allow_redirects=False
        ) as reply:
            answer = HttpAnswer(reply.status, reply.headers.get("Retry-After", ""), await reply.read())
        if answer.status != 200:
            raise self._login_refusal(answer)
        token = answer.values.get("access_token")
        if not isinstance(token, str) or not token or not token.isprintable() or not token.isascii():
            raise FetchError(f"{self.base_url}/oauth/token sent no access token; {NO_ACLED}")
        self.secrets.append(token)
        self.token = token

    async def page(self, query: Query, number: int, page_rows: int) -> dict[str, Any]:
        """Ask for page `number`, from 1, of `page_rows` events.

        Returns:
            The JSON object sent; its ``messages`` are a list of texts without secrets.

        Raises:
            FetchError: ACLED refuses, or sends no JSON object.
        """
        asked = {
            "_format": "json",
            "country": query.country,
            "event_date": f"{query.first}|{query.last}",
            "event_date_where": "BETWEEN",
            "limit": str(page_rows),
            "page": str(number),
        }
        async with self.session.get(
            f"{self.base_url}/api/acled/read",
            params=asked,
            headers={"Authorization": f"Bearer {self.token}"},
            allow_redirects=False,
        ) as reply:
            answer = HttpAnswer(reply.status, reply.headers.get("Retry-After", ""), await reply.read())
        if answer.status != 200:
            raise self._refusal(answer)
        values = answer.values
        if values.get("success") is False or values.get("status", 200) not in (0, 200, "0", "200"):
            raise FetchError(f"ACLED refuses the request{self._quote(answer)}")
        return values | {"messages": [self._redact(str(said)) for said in _listed(values.get("messages"))]}

    def _login_refusal(self, answer: HttpAnswer) -> AgentnetError:
        unknown = answer.status == 400 and answer.values.get("error") in (
            "invalid_grant",
            "invalid_credentials",
        )
        if answer.status == 401 or unknown:
            return ConfigurationError(
                f"ACLED does not accept this e-mail address and password (HTTP {answer.status}"
                f"{self._quote(answer)}); check ACLED_EMAIL and ACLED_PASSWORD by logging in at {ACLED_URL}"
            )
        return self._refusal(answer)

    def _refusal(self, answer: HttpAnswer) -> FetchError:
        wait = f" in {answer.retry_after} s" if answer.retry_after.isdigit() else " in some minutes"
        advice = {
            401: "the token it has just given is not accepted; try again",
            403: (
                f"the account's access level does not allow this: log in at {ACLED_URL}, complete the "
                f"profile, accept the terms, and ask access@acleddata.com for API access"
            ),
            404: "there is no such address; check --base-url",
            429: f"too many requests; try again{wait}",
        }.get(answer.status, "")
        if not advice:
            advice = "its server is in trouble; try again later" if answer.status >= 500 else NO_ACLED
        return FetchError(f"ACLED refuses (HTTP {answer.status}{self._quote(answer)}): {advice}")

    def _quote(self, answer: HttpAnswer) -> str:
        """Quote the server's own words, less anything secret."""
        values = answer.values
        keys = ("error_description", "message", "messages", "error")
        said = next((values[key] for key in keys if values.get(key)), "")
        text = self._redact("; ".join(map(str, _listed(said))))
        return f", it says: {text[:200]}" if text else ""

    def _redact(self, text: str) -> str:
        for secret in filter(None, self.secrets):
            text = text.replace(secret, "***")
        return text


def _listed(said: object) -> list[object]:
    return said if isinstance(said, list) else [said] if said else []


class HttpAnswer(NamedTuple):
    """One answer of the server, as sent."""

    status: int
    retry_after: str
    body: bytes

    @property
    def values(self) -> dict[str, Any]:
        """The JSON object sent; for a refusal, an empty one if it is none.

        Raises:
            FetchError: A success that is no JSON object.
        """
        try:
            values = json.loads(self.body)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            return values
        if self.status == 200:
            raise FetchError(f"the answer is no JSON object; {NO_ACLED}")
        return {}
