"""Embedder ``openai``: ``/v1/embeddings`` of OpenAI, or of any server that speaks that protocol."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, JsonValue

from agentnet.embedder import Limits, Vectors, unit_rows
from agentnet.errors import BackendUnusable, ConfigurationError, RequestRejected, TransientError
from agentnet_backends.failures import Peer, error_of_answer, error_of_body, unusable_answer
from agentnet_backends.http import Access, Http
from agentnet_backends.options import OFFICIAL, BaseUrls, Connection, KeyEnv

_PATH: Final = "/embeddings"
_DIMS: Final[Mapping[str, int]] = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
_NUMBER_BYTES: Final = 32
"""What a number takes at most, spelled with its comma."""
_OURS: Final = frozenset({"model", "input", "encoding_format", "dimensions"})


def _extra(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
    taken = sorted(fields.keys() & _OURS)
    if taken:
        raise ValueError(f"may not hold {', '.join(taken)}: the texts or another option decides it")
    return fields


class EmbeddingOptions(Connection):
    """The options of embedder ``openai``; see `Connection` for ``timeout_s`` and ``max_reply_bytes``.

    To that bound comes what the numbers take that are asked for.

    Attributes:
        model: The embedding model's name.
        base_url: Unless given what the environment has as ``OPENAI_BASE_URL``, else OpenAI itself.
        key_env: ``OPENAI_API_KEY`` unless given. OpenAI itself needs a key, other servers may do without.
        dim: Length of the vectors; known for OpenAI's own models, must be given for others.
        send_dimension: Whether the server is told `dim`, to shorten the vectors; not every model allows it.
        encoding: How numbers are asked for; either is understood, base64 is a quarter as long.
        revision: Tells this model from others of the same name, for the cache; its base URL unless given.
        max_texts: Texts a call; OpenAI allows 2,048.
        max_tokens: Tokens a call; OpenAI allows 300,000.
        extra: Further fields of every body.
    """

    table: ClassVar[str] = "embedder"
    plugin: ClassVar[str] = "the embedder 'openai'"
    official: ClassVar[str] = OFFICIAL

    model: Annotated[str, Field(min_length=1)]
    base_url: BaseUrls = (OFFICIAL,)
    key_env: KeyEnv = "OPENAI_API_KEY"
    dim: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    send_dimension: bool = False
    encoding: Literal["base64", "float"] = "base64"
    revision: str = ""
    max_texts: Annotated[int, Field(ge=1)] = 2048
    max_tokens: Annotated[int, Field(ge=1)] = 300_000
    extra: Annotated[dict[str, JsonValue], AfterValidator(_extra), Field(default_factory=dict)]

    def peers(self, plugin: str, access: Access) -> list[Peer]:
        """Name the servers, for messages."""
        knobs = "embedder.send_dimension, embedder.encoding and embedder.extra"
        return [
            replace(peer, table=self.table, path=_PATH, knobs=knobs) for peer in super().peers(plugin, access)
        ]


class OpenAIEmbedder:
    """Asks servers for embeddings.

    Args:
        options: See `EmbeddingOptions`.
        environ: Where the key is looked up.

    Raises:
        ConfigurationError: The key is missing or cannot be one, or the dimension is not known.
    """

    about = "embeddings by OpenAI, and by every server of the same protocol (embedder.base_url)"
    needs = (
        "a key in OPENAI_API_KEY (or in the variable named by embedder.key_env); other servers may need none"
    )

    def __init__(self, options: EmbeddingOptions, environ: Mapping[str, str]) -> None:
        self.options = options
        self.dim = options.dim or _known_dim(options.model)
        self.name = f"openai:{options.model}@{options.revision or ','.join(options.base_url)}:{self.dim}"
        self.limits = Limits(options.max_texts, options.max_tokens)
        access = options.access(environ)
        self._http = Http(
            options.peers("openai embeddings", access),
            access,
            timeout_s=options.timeout_s,
            max_reply_bytes=options.max_reply_bytes,
        )
        self._fields: dict[str, object] = {
            "model": options.model,
            "encoding_format": options.encoding,
            **({"dimensions": self.dim} if options.send_dimension else {}),
            **options.extra,
        }

    @classmethod
    def from_options(cls, options: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Self:
        """Make the embedder from the ``[embedder]`` table of the configuration, less its ``name``.

        Args:
            options: The table.
            environ: Where the key is looked up; this process's environment unless given.

        Raises:
            ConfigurationError: An option is unknown or impossible, or the key is missing.
        """
        environ = os.environ if environ is None else environ
        found = EmbeddingOptions.with_environment(options, environ)
        return cls(EmbeddingOptions.read(found), environ)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed `texts` by one call.

        Raises:
            TransientError: Another try can help.
            RequestRejected: These texts can never be embedded together.
            BackendUnusable: No text can be embedded.
        """
        body = json.dumps({**self._fields, "input": list(texts)}).encode()
        numbers_bytes = len(texts) * self.dim * _NUMBER_BYTES
        endpoint, (status, headers, raw) = await self._http.post(_PATH, body, extra_bytes=numbers_bytes)
        if not 200 <= status < 300:
            raise error_of_answer(endpoint.peer, status, headers, raw)
        rows = _rows(raw, len(texts), endpoint.peer)
        for row in rows:
            if row.shape != (self.dim,):
                raise self._other_dim(row.size, endpoint.peer)
        try:
            return unit_rows(np.stack(rows))
        except ValueError as error:
            raise RequestRejected(f"{endpoint.peer}: {error}", kind="no_vector") from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _other_dim(self, dim: int, peer: Peer) -> BackendUnusable:
        return BackendUnusable(
            f"{peer}: the vectors of {self.options.model} have {dim} numbers, not {self.dim}; set "
            f"embedder.dim to {dim}, or embedder.send_dimension to have them shortened",
            kind="wrong_dimension",
        )


def _known_dim(model: str) -> int:
    if model not in _DIMS:
        raise ConfigurationError(
            f"embedder.dim is missing: say how many numbers the vectors of {model!r} have (known: "
            f"{', '.join(_DIMS)})"
        )
    return _DIMS[model]


def _rows(raw: bytes, n_texts: int, peer: Peer) -> list[NDArray[np.float64]]:
    """Read the vectors from a reply, in the order of the texts.

    Raises:
        TransientError: It is no reply to `n_texts` texts.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and body.get("error") and not body.get("data"):
        raise error_of_body(peer, body)
    items = _items(body)
    by_index: dict[int, NDArray[np.float64]] = {}
    for item in items:
        match item:
            case {"index": int(index), "embedding": list() | str() as embedding}:
                by_index[index] = _numbers(embedding, raw, peer)
            case _:
                raise _no_embeddings(raw, peer)
    if len(items) != n_texts or by_index.keys() != set(range(n_texts)):
        raise _no_embeddings(raw, peer)
    return [by_index[index] for index in range(n_texts)]


def _items(body: object) -> list[object]:
    data = body.get("data") if isinstance(body, dict) else None
    return data if isinstance(data, list) else []


def _numbers(embedding: list[object] | str, raw: bytes, peer: Peer) -> NDArray[np.float64]:
    """Read one vector: numbers, or the base64 of little-endian 32-bit floats."""
    try:
        if isinstance(embedding, str) and embedding:
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float64)
        if embedding and all(type(number) in {int, float} for number in embedding):
            return np.array(embedding, dtype=np.float64)
    except (binascii.Error, ValueError, OverflowError):
        pass
    raise _no_embeddings(raw, peer)


def _no_embeddings(raw: bytes, peer: Peer) -> TransientError:
    return unusable_answer(peer, "wrong_schema", "the answer is no list of embeddings", raw)
