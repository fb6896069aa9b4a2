"""The options of the bundled plug-ins, and where the keys of those that talk HTTP come from.

Options are stored with the run, so that none of them may be a key: keys come from the environment alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NoReturn,
    Self,
    TypeVar,
)

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from agentnet.errors import ConfigurationError, PluginError, near_miss
from agentnet_backends.bodies import MAX_REPLY_BYTES
from agentnet_backends.failures import KEY_LIKE, Peer, proxy_name, proxy_secrets
from agentnet_backends.http import Access, proxy_of
from agentnet_backends.redaction import redact
from agentnet_backends.references import resolved, variables_in
from agentnet_backends.ways import Ways

if TYPE_CHECKING:
    from yarl import URL

OFFICIAL = "https://api.openai.com/v1"
"""OpenAI's own server."""

_BASE_URL_ENV = "OPENAI_BASE_URL"
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_QUOTES = frozenset("\"'`")
_SECRET = re.compile(r"(key|token|secret|password|authorization)$", re.IGNORECASE)

_OURS = frozenset(
    {"model", "messages", "n", "seed", "temperature", "stream", "max_tokens", "max_completion_tokens"}
    | {"top_p", "top_k", "min_p", "logprobs", "top_logprobs", "logprob_token_ids", "response_format"}
    | {"structured_outputs", "guided_choice", "grammar"}
)
"""Fields of a body that requests and options decide: `extra` may not."""


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _url(text: str) -> URL:
    """Take a URL apart; an empty one stands for what is none of HTTP."""
    from yarl import URL

    try:
        parts = URL(text)
        # What no host can be called, with a dot too many say, would end the first call as no answer does.
        (parts.raw_host or "").encode("idna")
        return parts if parts.scheme in {"http", "https"} and parts.host and parts.port else URL()
    except ValueError:
        return URL()


def _base_url(text: str) -> str:
    url = text.strip()
    parts = _url(url)
    if not parts.host:
        raise ValueError("must be a URL such as http://127.0.0.1:8000/v1")
    if "@" in parts.raw_authority or not {"?", "#"}.isdisjoint(url):
        raise ValueError(
            "must hold no user, password, query or fragment: keys come from the environment, and a query "
            "such as Azure's api-version has an option of its own, query"
        )
    bare = url.rstrip("/")
    if bare.endswith(("/completions", "/embeddings")):
        raise ValueError("must be what stands before /chat/completions or /embeddings")
    return bare


def _base_urls(urls: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(urls)) < len(urls):
        raise ValueError("names a server twice")
    return urls


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError("must be the name of an environment variable, in capitals; never the key itself")
    return name


def _extra(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
    taken = sorted(fields.keys() & _OURS)
    if taken:
        raise ValueError(f"may not hold {', '.join(taken)}: the request or another option decides it")
    return fields


def _left_out(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name == "messages" or not name:
            raise ValueError(f"may not name {name!r}: there is no request without it")
    return names


def _header_name(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError(f"must be the name of a header, such as api-key, not {name!r}")
    return name


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        _header_name(name)
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"has under {name!r} what no header can hold: visible ASCII characters only")
        if name.lower() in _FIXED_HEADERS:
            raise ValueError(f"may not hold {name}: it follows from the request")
    return _without_secrets(headers)


def _without_secrets(values: dict[str, str]) -> dict[str, str]:
    for name, value in values.items():
        if not variables_in(value) and (_SECRET.search(name) or KEY_LIKE.search(value)):
            raise ValueError(
                f"may hold no secret under {name!r}: settings are stored with the run; name an environment "
                "variable that holds it, as in '${MY_KEY}'"
            )
    return values


_KEY_HEADERS = frozenset({"authorization", "api-key", "x-api-key"})
_FIXED_HEADERS = frozenset({"content-type", "content-length", "accept", "host", "transfer-encoding"})

BaseUrls = Annotated[
    tuple[Annotated[str, AfterValidator(_base_url)], ...],
    BeforeValidator(_as_tuple),
    AfterValidator(_base_urls),
    Field(min_length=1),
]
KeyEnv = Annotated[str, AfterValidator(_variable)]
MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]
Query = Annotated[dict[str, str], AfterValidator(_without_secrets)]
Names = Annotated[
    tuple[str, ...], BeforeValidator(_as_tuple), AfterValidator(_left_out), Field(max_length=64)
]
SystemRole = Literal["system", "developer", "user"]


class PluginOptions(BaseModel):
    """The options of a plug-in: one table of the configuration, less its ``name``.

    Attributes:
        table: What that table is called.
        plugin: What messages call the plug-in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    table: ClassVar[str] = "backend"
    plugin: ClassVar[str]

    @classmethod
    def read(cls, options: Mapping[str, object]) -> Self:
        """Validate the plug-in's table of the configuration, less its ``name``.

        Raises:
            ConfigurationError: An option is unknown or impossible; names it as ``TABLE.KEY``.
        """
        _refuse_keys(options, cls.table)
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            problems = error.errors(include_input=False)
        raise ConfigurationError("; ".join(_explain(problem, cls) for problem in problems))


Chosen = TypeVar("Chosen", bound=PluginOptions)


class MadeOfOptions(Generic[Chosen]):
    """A plug-in that its options alone make.

    Attributes:
        takes: The class of its options.
        packages: What it needs of an extra.
        needs: How to come by that.
    """

    takes: ClassVar[type[Any]]
    packages: ClassVar[tuple[str, ...]] = ()
    needs = "nothing"

    def __init__(self, options: Chosen | None = None) -> None:
        self.options: Chosen = self.takes() if options is None else options

    @classmethod
    def from_options(cls, options: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Self:  # noqa: ARG003 - the contract's
        """Make it of its table of the configuration, less its ``name``; nothing heavy is loaded yet.

        Raises:
            ConfigurationError: An option is unknown or impossible.
            PluginError: Something of the extra is not installed.
        """
        chosen = cls.takes.read(options)
        specs = {name: find_spec(name) for name in cls.packages}
        if missing := [name for name, spec in specs.items() if spec is None or spec.origin is None]:
            raise PluginError(f"{chosen.plugin}: {', '.join(missing)} is not installed; it needs {cls.needs}")
        return cls(chosen)

    async def aclose(self) -> None:
        """Give back what is held: nothing, unless it says otherwise."""


class Connection(PluginOptions):
    """What every server of OpenAI's protocols needs to be told.

    Attributes:
        model: The model's name.
        base_url: Where the server is, up to what stands before ``/chat/completions``; several of them share
            the requests.
        key_env: The environment variable that holds the key.
        key_header: The header that the key is sent in as it is, such as ``api-key`` (Azure); unless given it
            is sent as a bearer token.
        headers: Further headers of every request. ``$NAME`` and ``${NAME}`` in a value stand for an
            environment variable: so no secret stands here.
        query: What follows the address of every request after a ``?``, such as Azure's ``api-version``;
            values as in `headers`.
        timeout_s: Deadline of a call from first to last byte, in seconds. A cold server's first reply with
            log-probabilities can take 20 s.
        max_reply_bytes: Bound on the body of an answer, as it comes and inflated; a longer one is no answer.
        official: The server that is asked unless another is named; "" if that is no service.
    """

    official: ClassVar[str] = ""

    model: str
    base_url: BaseUrls
    key_env: KeyEnv
    key_header: Annotated[str, AfterValidator(_header_name)] | None = None
    headers: Headers = {}
    query: Query = {}
    timeout_s: Annotated[float, Field(gt=0.0, le=86_400.0)] = 120.0
    max_reply_bytes: Annotated[int, Field(ge=1024)] = MAX_REPLY_BYTES

    @classmethod
    def with_environment(cls, options: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, object]:
        """Let the environment say where a service is, if `options` do not: ``OPENAI_BASE_URL``, as elsewhere.

        Raises:
            ConfigurationError: It says what is no base URL.
        """
        url = environ.get(_BASE_URL_ENV, "").strip()
        if not url or not cls.official or "base_url" in options:
            return dict(options)
        try:
            _base_url(url)
        except ValueError as error:
            problem = f"the environment variable {_BASE_URL_ENV} {error}; {cls.table}.base_url overrules it"
        else:
            return {**options, "base_url": url}
        raise ConfigurationError(problem)

    @property
    def is_official(self) -> bool:
        """Whether the service itself is asked, and no other server in its place."""
        return self.official in self.base_url

    def access(self, environ: Mapping[str, str]) -> Access:
        """Look up all that has to be shown to the servers; only a service itself insists on a key.

        Args:
            environ: The environment.

        Raises:
            ConfigurationError: The key is needed and missing, or cannot be one; or a variable that a header
                or the query names is not set.
        """
        headers = self._resolved("headers", self.headers, environ)
        # Who shows a key in a header of his own needs no other one, and must not send that elsewhere.
        has_own = (
            not _KEY_HEADERS.isdisjoint(map(str.lower, headers)) and "key_env" not in self.model_fields_set
        )
        key = None if has_own else self.key(environ, is_needed=self.is_official)
        query = self._resolved("query", self.query, environ)
        hidden = [environ[name].strip() for value in self._referring() for name in variables_in(value)]
        return Access(key, self.key_header, headers, query, tuple(dict.fromkeys(hidden)))

    def _resolved(self, option: str, values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
        where = f"{self.table}.{option}"
        return {name: resolved(value, environ, f"{where}.{name}") for name, value in values.items()}

    def _referring(self) -> Iterator[str]:
        yield from self.headers.values()
        yield from self.query.values()

    def peers(self, plugin: str, access: Access) -> list[Peer]:
        """Name the servers, for messages.

        Raises:
            ConfigurationError: The environment names a proxy that is none of HTTP, or a URL holds a key.
        """
        if any(redact(url, access.secrets) != url for url in self.base_url):
            raise ConfigurationError(
                f"{self.table}.base_url holds a key: settings are stored with the run, so that keys come "
                f"from the environment alone and are sent in a header ({self.table}.key_env, key_header)"
            )
        proxies = {url: _proxy_to(url) for url in self.base_url}
        return [
            Peer(
                plugin,
                url,
                self.key_env,
                access.secrets,
                proxy=proxy_name(proxy),
                proxy_secrets=proxy_secrets(proxy),
            )
            for url, proxy in proxies.items()
        ]

    def key(self, environ: Mapping[str, str], *, is_needed: bool) -> str | None:
        """Look the key up.

        Args:
            environ: The environment.
            is_needed: Whether there is no doing without.

        Raises:
            ConfigurationError: It is needed and missing, or it cannot be one.
        """
        key = environ.get(self.key_env, "").strip()
        if not key and (is_needed or "key_env" in self.model_fields_set):
            raise ConfigurationError(
                f"the environment variable {self.key_env} is not set: export it, put it into .env, or name "
                f"another by {self.table}.key_env"
            )
        # The value is not shown: it is a secret, however broken.
        if not (key.isascii() and key.isprintable()) or " " in key or key[:1] in _QUOTES:
            raise ConfigurationError(
                f"the environment variable {self.key_env} holds no key: a key has only visible ASCII "
                "characters; look for blanks, line breaks and quotes"
            )
        return key or None


class ServerOptions(Connection):
    """What every server of OpenAI's chat protocol needs to be told; see `Connection` for the first ones.

    Attributes:
        max_tokens_field: The field that bounds a reply: some servers ignore or refuse one of the two.
        constrain: How the server is told of allowed answers.
        top_logprobs: How many alternatives to ask for; OpenAI allows 20, some servers 5, llama.cpp's all.
        seed_bits: How many bits of seeds the server takes, 0 to 63; 0 sends none.
        top_p: Nucleus sampling; None leaves it to the server.
        top_k: Sampling from so many tokens; None leaves it to the server.
        min_p: Least probability relative to the best token's; None leaves it to the server. Left alone,
            llama.cpp's server takes top_k 40, top_p 0.95 and min_p 0.05: for the model's own distribution set
            them to 0, 1 and 0.
        extra: Further fields of every body, such as ``reasoning_effort``.
        omit: Fields that are left out of every body, whatever else is said: ``["temperature"]`` for a model
            that takes none. The server then decides by itself, and the event log cannot know how.
        system_role: The role that system messages are sent under. ``user`` puts them ahead of the first
            message of the user, for models that know no other.
    """

    max_tokens_field: MaxTokensField | None = None
    constrain: str
    top_logprobs: Annotated[int, Field(ge=0, le=1_000_000)] = 20
    seed_bits: Annotated[int, Field(ge=0, le=63)] = 63
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    extra: Annotated[dict[str, JsonValue], AfterValidator(_extra)] = {}
    omit: Names = ()
    system_role: SystemRole = "system"

    def ways(self, max_tokens_field: str) -> Ways:
        """Say how requests are put.

        Args:
            max_tokens_field: The field that bounds a reply, if the options do not say.
        """
        return Ways(
            self.max_tokens_field or max_tokens_field,
            frozenset(self.omit),
            system_role=self.system_role,
            constrained=self.constrain != "none",
            n_at_most=1 if "n" in self.omit else None,
        )

    def sampling(self) -> dict[str, object]:
        """Give the fields of a body that hold for every request."""
        chosen: dict[str, object] = {"top_p": self.top_p, "top_k": self.top_k, "min_p": self.min_p}
        return {**{name: value for name, value in chosen.items() if value is not None}, **self.extra}


def _proxy_to(url: str) -> str | None:
    """Find the proxy on the way to `url`.

    Raises:
        ConfigurationError: It is none of HTTP, or no address.
    """
    proxy = proxy_of(url)
    if proxy is not None and not proxy.startswith(("http://", "https://")):
        kind = proxy.partition("://")[0]
        raise ConfigurationError(
            f"the environment names a proxy of kind {kind!r} for {url}; only those of HTTP are understood: "
            "set http_proxy or https_proxy to one, or name the server's host in no_proxy"
        )
    if proxy is not None and not _url(proxy).host:
        raise ConfigurationError(
            f"the environment names the proxy {proxy_name(proxy)!r} for {url}, which is no host and port: "
            "write http_proxy or https_proxy as in http://proxy.example:3128"
        )
    return proxy


def _refuse_keys(options: Mapping[str, object], table: str) -> None:
    for name in options:
        if _SECRET.search(name):
            _refuse(table, name)
    extra = options.get("extra")
    for name in extra if isinstance(extra, Mapping) else ():
        if _SECRET.search(str(name)):
            _refuse(table, f"extra.{name}")


def _refuse(table: str, name: str) -> NoReturn:
    raise ConfigurationError(
        f"{table}.{name} is refused: settings are stored with the run, so that keys come from the "
        f"environment alone; {table}.key_env names the variable"
    )


def _explain(problem: ErrorDetails, options: type[PluginOptions]) -> str:
    """Say in our words what pydantic found, without the value: somebody may have put a key there."""
    where = ".".join([options.table, *(str(part) for part in problem["loc"] if isinstance(part, str))])
    key = str(problem["loc"][0]) if problem["loc"] else ""
    match problem["type"]:
        case "extra_forbidden":
            return f"{where} is no option of {options.plugin}{near_miss(key, options.model_fields)}"
        case "missing":
            return f"{where} is missing; give it by -S {where}=VALUE, or in a settings file"
        case "value_error":
            return f"{where} {problem['ctx']['error']}"
        case _:
            return f"{where}: {problem['msg']}"
