"""The server double itself: who is let in, what is answered, what goes wrong."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agentnet.backend import Backend, Messages
from agentnet.errors import BackendError, BackendUnusable, RequestRejected
from agentnet.streams import mix, unit
from agentnet.testing.faults import ENDINGS, PLAIN_FAULTS, FaultPlan, error_body
from agentnet.testing.server.asks import (
    LIKE_OPENAI,
    BadAsk,
    ChatAsk,
    Manners,
    Vocabulary,
    prompt_tokens,
    read_ask,
    tokens_of,
)
from agentnet.testing.server.broken_wires import drip, hang_up, send_half
from agentnet.testing.server.completions import Law, MetadataOf, completion, speak
from agentnet.testing.server.embeddings import embedding, encoded_vector, texts_of
from agentnet.testing.server.ledger import CallLedger, body_digest
from agentnet.testing.server.limits import Gate, ServerLimits

if TYPE_CHECKING:
    from aiohttp import web

_LONGEST_BODY_BYTES = 1 << 26
_EMBEDDING_DIMENSIONS = 32
_DEFAULT_REPLY_TOKENS = 16

# What the words derived from a call's own word are for.
_LATENCY = 1


def coin(_: Messages, seed: int, i: int) -> bool:
    """Say yes to half of all samples: the law of a double that is given none."""
    return unit(mix(seed, i)) < 0.5


def no_metadata(_: Messages) -> Mapping[str, str | int]:
    """Recover nothing."""
    return {}


class ServerDouble:
    """Answers chat completions, embeddings and lists of models as OpenAI does.

    Args:
        answer: A law, or any backend, that decides what is said.
        models: The models served; other names get a 404. The first answers requests that name none.
        key: The bearer token that calls need; None needs none.
        faults: What goes wrong.
        limits: Requests and tokens a minute.
        latency_s: Mean time to an answer, in seconds.
        latency_spread_s: Largest distance from that mean, in seconds.
        manners: What the server knows of the protocol.
        metadata_of: Recovers a request's metadata for `answer`, if that is a backend.
        drip_s: Seconds from byte to byte of the fault ``drip``.
        clock: Gives the time, in seconds, for the limits.

    Attributes:
        ledger: What it did so far.
        base_url: Where it listens, once it does.
    """

    def __init__(
        self,
        answer: Law | Backend = coin,
        *,
        models: Sequence[str] = ("double",),
        key: str | None = None,
        faults: FaultPlan | None = None,
        limits: ServerLimits | None = None,
        latency_s: float = 0.0,
        latency_spread_s: float = 0.0,
        manners: Manners = LIKE_OPENAI,
        metadata_of: MetadataOf = no_metadata,
        drip_s: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answer = answer
        self.models = tuple(models)
        self.key = key
        self.faults = faults or FaultPlan()
        self.latency_s = latency_s
        self.latency_spread_s = latency_spread_s
        self.manners = manners
        self.metadata_of = metadata_of
        self.drip_s = drip_s
        self.ledger = CallLedger()
        self.base_url = ""
        self._clock = clock
        self._limits = limits or ServerLimits()
        self._gate = Gate(self._limits, clock())
        self._vocabulary = Vocabulary()
        self._closing = asyncio.Event()

    def app(self) -> web.Application:
        """Make the web application."""
        from aiohttp import web

        @web.middleware
        async def counted(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            self.ledger.begin()
            try:
                return await self._admit(request, handler)
            finally:
                self.ledger.in_flight -= 1

        app = web.Application(middlewares=[counted], client_max_size=_LONGEST_BODY_BYTES)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/v1/models/{name:.+}", self._show_model)
        if self.manners.token_ids:
            app.router.add_post("/tokenize", self._tokenize)
        return app

    async def stop(self) -> None:
        """Let go of the calls that would never end."""
        self._closing.set()

    async def _admit(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Turn away who has no key or asks for nothing that there is."""
        from aiohttp import web

        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return self._plain("unauthorized")
        try:
            return await handler(request)
        except web.HTTPException as missing:
            text = f"Invalid URL ({request.method} {request.path})"
            return self._refuse("no_such_url", missing.status, text, None)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        name = body_digest(raw)
        attempt = self.ledger.bodies[name]
        self.ledger.bodies[name] += 1
        body_number = int(name, 16)
        if self._limits.parallel is not None and self.ledger.in_flight > self._limits.parallel:
            return self._too_many()
        await asyncio.sleep(self._latency_of(mix(body_number, attempt)))
        fault = self.faults.pick(self.ledger.calls, body=body_number, attempt=attempt)
        if fault is not None and fault in PLAIN_FAULTS:
            return self._plain(fault)
        try:
            asked = self._asked(raw)
            ask = read_ask(asked, self.manners, otherwise_seed=mix(body_number, attempt) >> 1)
        except BadAsk as bad:
            return self._refuse("bad_request", 400, str(bad), bad.param)
        model = asked.get("model") or self.models[0]
        if model not in self.models:
            return self._plain("unknown_model")
        return self._limited(ask) or await self._reply(request, ask, str(model), name, fault)

    def _too_many(self) -> web.Response:
        text = f"Max parallel requests reached: {self._limits.parallel}."
        return self._json("too_many", 429, error_body(text, None, "429"), {"retry-after": "60"})

    def _asked(self, raw: bytes) -> Mapping[str, object]:
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise BadAsk("We could not parse the JSON body of your request.", "body")
        if body.get("stream"):
            raise BadAsk("This server does not stream.", "stream")
        return body

    def _latency_of(self, word: int) -> float:
        return max(0.0, self.latency_s + self.latency_spread_s * (2.0 * unit(mix(word, _LATENCY)) - 1.0))

    def _limited(self, ask: ChatAsk) -> web.Response | None:
        """Answer a call for which the limits leave no room; None lets it pass."""
        n_reply = (
            min(ask.max_tokens, ask.max_tokens if self._limits.reserves else _DEFAULT_REPLY_TOKENS) * ask.n
        )
        wait_s = self._gate.ask(prompt_tokens(ask.messages) + n_reply, self._clock())
        if wait_s == 0.0:
            return None
        if math.isinf(wait_s):
            text, told = "Request too large for this model on tokens per min (TPM).", {}
        else:
            text = f"Rate limit reached. Please try again in {wait_s:.3f}s."
            told = {"retry-after": f"{math.ceil(wait_s)}", "retry-after-ms": f"{math.ceil(wait_s * 1e3)}"}
        return self._json("limited", 429, error_body(text, "tokens", "rate_limit_exceeded"), told)

    async def _reply(
        self, request: web.Request, ask: ChatAsk, model: str, name: str, fault: str | None
    ) -> web.StreamResponse:
        if fault in {"reset", "disconnect", "hang", "drip"}:
            return await self._keep_silent(request, fault)
        try:
            spoken = await speak(self.answer, ask, self.metadata_of)
        except BackendError as error:
            return self._refuse("backend_failed", _status_of(error), str(error), None)
        body = completion(
            ask,
            spoken,
            name=f"chatcmpl-{name}-{self.ledger.bodies[name]}",
            model=model,
            created=int(time.time()),
            manners=self.manners,
            vocabulary=self._vocabulary,
        )
        if fault is None:
            self.ledger.charge(name, body)
            return self._json("ok", 200, body)
        return await self._spoiled(request, fault, body)

    async def _spoiled(self, request: web.Request, fault: str, body: dict[str, object]) -> web.StreamResponse:
        """Send a completion that a fault changes."""
        if fault in ENDINGS:
            _end_all(body, *ENDINGS[fault])
        elif fault == "no_choices":
            body["choices"] = []
        elif fault == "wrong_model":
            body["model"] = f"{body['model']}-other"
        raw = json.dumps(body).encode()
        if fault == "half_body":
            self.ledger.kinds[fault] += 1
            return await send_half(request, raw)
        return self._raw(fault, 200, raw[: len(raw) // 2] if fault == "malformed_json" else raw)

    async def _keep_silent(self, request: web.Request, fault: str) -> web.StreamResponse:
        from aiohttp import web

        self.ledger.kinds[fault] += 1
        if fault == "drip":
            return await drip(request, self._closing, self.drip_s)
        if fault == "hang":
            await self._closing.wait()
        else:
            hang_up(request, reset=fault == "reset")
        return web.Response(status=503)

    async def _embeddings(self, request: web.Request) -> web.Response:
        try:
            body = self._asked(await request.read())
            texts = texts_of(body.get("input"))
        except BadAsk as bad:
            return self._refuse("bad_request", 400, str(bad), bad.param)
        n_dimensions = body.get("dimensions")
        size = n_dimensions if isinstance(n_dimensions, int) else _EMBEDDING_DIMENSIONS
        as_text = body.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": i,
                "embedding": encoded_vector(embedding(text, size), as_text=as_text),
            }
            for i, text in enumerate(texts)
        ]
        n_tokens = sum(len(tokens_of(text)) for text in texts)
        usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        model = body.get("model") or self.models[0]
        return self._json("ok", 200, {"object": "list", "data": data, "model": model, "usage": usage})

    async def _list_models(self, _: web.Request) -> web.Response:
        return self._json("ok", 200, {"object": "list", "data": list(map(_model, self.models))})

    async def _show_model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return self._json("ok", 200, _model(name)) if name in self.models else self._plain("unknown_model")

    async def _tokenize(self, request: web.Request) -> web.Response:
        numbers = self._vocabulary.number(str((await request.json()).get("prompt", "")))
        return self._json("ok", 200, {"count": len(numbers), "max_model_len": 4096, "tokens": numbers})

    def _plain(self, fault: str) -> web.Response:
        status, headers, body = PLAIN_FAULTS[fault]
        if isinstance(body, str):
            return self._raw(fault, status, body.encode(), headers, content_type="text/html")
        return self._json(fault, status, body, headers)

    def _refuse(self, kind: str, status: int, text: str, param: str | None) -> web.Response:
        family = "invalid_request_error" if status < 500 else "server_error"
        return self._json(kind, status, error_body(text, family, None, param))

    def _json(
        self, kind: str, status: int, body: object, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        return self._raw(kind, status, json.dumps(body).encode(), headers)

    def _raw(
        self,
        kind: str,
        status: int,
        raw: bytes,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> web.Response:
        from aiohttp import web

        self.ledger.kinds[kind] += 1
        told = {**self._gate.headers(), **(headers or {})}
        return web.Response(body=raw, status=status, headers=told, content_type=content_type)


def _end_all(body: Mapping[str, object], finish: str, content: str | None, refusal: str | None) -> None:
    """Make every choice of a completion end in the same way."""
    choices = body["choices"]
    assert isinstance(choices, list)
    for choice in choices:
        choice["finish_reason"], choice["logprobs"] = finish, None
        choice["message"] |= {"content": content, "refusal": refusal}


def _status_of(error: BackendError) -> int:
    """Say how a server would put a backend's failure."""
    if isinstance(error, BackendUnusable):
        return 403
    return 400 if isinstance(error, RequestRejected) else 503


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "agentnet"}


@asynccontextmanager
async def start_server(
    double: ServerDouble, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[ServerDouble]:
    """Let `double` listen; at the end its calls are dropped.

    Args:
        double: The server.
        host: Where to listen; loopback unless given.
        port: The port; 0 takes a free one.

    Raises:
        OSError: The port is taken.

    Examples:
        >>> async def main():
        ...     async with start_server(ServerDouble(lambda messages, seed, i: "Yes")) as server:
        ...         return server.base_url.startswith("http://127.0.0.1:")
        >>> asyncio.run(main())
        True
    """
    from aiohttp import web

    runner = web.AppRunner(double.app(), handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=4096)
        await site.start()
        double.base_url = f"http://{host}:{runner.addresses[0][1]}/v1"
        yield double
    finally:
        await double.stop()
        await runner.cleanup()


def serve(make: Callable[[], ServerDouble], *, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Run a server until it is interrupted.

    Args:
        make: Makes the server, within its event loop.
        host: Where to listen.
        port: The port; 0 takes a free one.
        announce: Called with the base URL once it listens.

    Raises:
        OSError: The port is taken.
        KeyboardInterrupt: It was interrupted.
    """

    async def run() -> None:
        async with start_server(make(), host=host, port=port) as double:
            announce(double.base_url)
            await asyncio.Event().wait()

    asyncio.run(run())
