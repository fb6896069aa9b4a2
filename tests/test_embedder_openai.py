"""Embedder ``openai`` against servers on loopback."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiohttp import web

from agentnet.embedder import CachedEmbedder, Embedder, unit_rows
from agentnet.errors import BackendUnusable, ConfigurationError, RequestRejected, TransientError
from agentnet.testing.server import ServerDouble, start_server
from agentnet.testing.server.embeddings import embedding
from agentnet_backends.embed_openai import OpenAIEmbedder

KEY = "sk-1234567890-do-not-show"
ROWS = unit_rows(np.array([[1.0, 2.0, 2.0], [0.0, -3.0, 4.0], [5.0, 0.0, 0.1]]))


def made(url, environ=None, **options):
    return OpenAIEmbedder.from_options({"model": "m", "dim": 3, "base_url": url, **options}, environ or {})


class Canned:
    """A server that gives one prepared answer and keeps what it was sent."""

    def __init__(self, body, status=200):
        self.body, self.status = body, status
        self.sent, self.paths, self.headers = [], [], []

    async def answer(self, request):
        self.paths.append(request.path)
        self.headers.append(request.headers)
        self.sent.append(json.loads(await request.read()))
        raw = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return web.Response(status=self.status, body=raw)

    @asynccontextmanager
    async def listening(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()


def embed(canned, texts=("a", "b", "c"), environ=None, **options):
    async def main():
        async with canned.listening() as url:
            embedder = made(url, environ, **options)
            try:
                return await embedder.embed(list(texts))
            finally:
                await embedder.aclose()

    return asyncio.run(main())


def items(rows, *, as_text=False):
    def spelt(row):
        return (
            base64.b64encode(row.astype("<f4").tobytes()).decode() if as_text else row.astype(float).tolist()
        )

    return [{"object": "embedding", "index": i, "embedding": spelt(row)} for i, row in enumerate(rows)]


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_vectors_are_put_in_order_by_their_index_however_they_are_spelt(as_text, order):
    data = [items(ROWS, as_text=as_text)[i] for i in order]
    np.testing.assert_allclose(embed(Canned({"data": data})), ROWS, atol=1e-6)


def test_the_texts_and_nothing_unasked_are_sent():
    canned = Canned({"data": items(ROWS)})
    embed(canned, ["x", "ý", "z"], {"OPENAI_API_KEY": KEY})
    assert canned.paths == ["/v1/embeddings"]
    assert canned.sent == [{"model": "m", "encoding_format": "base64", "input": ["x", "ý", "z"]}]
    assert canned.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_options_decide_the_fields():
    canned = Canned({"data": items(ROWS)})
    embed(canned, send_dimension=True, encoding="float", extra={"user": "u"})
    assert canned.sent == [
        {"model": "m", "encoding_format": "float", "dimensions": 3, "user": "u", "input": ["a", "b", "c"]}
    ]


def test_vectors_of_another_length_than_one_are_scaled():
    made_long = embed(Canned({"data": items(ROWS * 7)}))
    np.testing.assert_allclose(made_long, ROWS, atol=1e-6)


@pytest.mark.parametrize("n_numbers", [2, 4])
def test_another_dimension_than_expected_says_which_option_to_set(n_numbers):
    rows = np.ones((3, n_numbers))
    with pytest.raises(
        BackendUnusable, match=rf"{n_numbers} numbers, not 3; set embedder\.dim to {n_numbers}"
    ) as e:
        embed(Canned({"data": items(rows)}))
    assert e.value.kind == "wrong_dimension"


@pytest.mark.parametrize("bad", [np.zeros(3), np.array([np.nan, 1, 1])])
def test_a_vector_without_direction_rejects_the_texts(bad):
    rows = ROWS.copy()
    rows[1] = bad
    with pytest.raises(RequestRejected, match="zero or not finite") as caught:
        embed(Canned({"data": items(rows)}))
    assert caught.value.kind == "no_vector"


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[1]",
        {"data": None},
        {"data": items(ROWS)[:2]},
        {"data": [*items(ROWS), *items(ROWS)[:1]]},
        {"data": [*items(ROWS)[:2], items(ROWS)[0]]},
        {"data": [*items(ROWS)[:2], {"index": 2}]},
        {"data": [*items(ROWS)[:2], {"index": 2, "embedding": []}]},
        {"data": [*items(ROWS)[:2], {"index": 2, "embedding": ""}]},
        {"data": [*items(ROWS)[:2], {"index": 2, "embedding": [1, "2", 3]}]},
        {"data": [*items(ROWS)[:2], {"index": 2, "embedding": [1, True, 3]}]},
        {"data": [*items(ROWS)[:2], {"index": 2, "embedding": [10**400, 1, 1]}]},
        {"data": [*items(ROWS)[:2], {"index": 2, "embedding": "AAA"}]},
        {"data": [*items(ROWS)[:2], {"index": 2, "embedding": "AAAA"}]},
        {"data": [*items(ROWS)[:2], {"index": "2", "embedding": [1, 2, 3]}]},
    ],
)
def test_a_reply_of_another_shape_is_a_passing_trouble(body):
    with pytest.raises(TransientError, match="no list of embeddings") as caught:
        embed(Canned(body))
    assert caught.value.kind == "wrong_schema"


def test_an_error_in_a_success_is_an_error():
    with pytest.raises(TransientError, match="busy") as caught:
        embed(Canned({"error": {"message": "busy"}}))
    assert caught.value.kind == "error_body"


@pytest.mark.parametrize(
    ("status", "message", "error", "said"),
    [
        (401, "Incorrect API key", BackendUnusable, "no key was sent, for OPENAI_API_KEY is not set"),
        (404, "the model `m` does not exist", BackendUnusable, r"set embedder\.model to one that"),
        (404, "nothing here", BackendUnusable, r"embedder\.base_url must be what stands before /embeddings"),
        (
            400,
            "It does not support specifying dimensions.",
            BackendUnusable,
            r"embedder\.send_dimension",
        ),
        (400, "maximum context length is 8192 tokens", RequestRejected, "context overflow"),
        (429, "slow down", TransientError, "rate limit"),
        (500, "oops", TransientError, "server error"),
    ],
)
def test_failures_are_told_in_the_embedders_own_words(status, message, error, said):
    with pytest.raises(error, match=said) as caught:
        embed(Canned({"error": {"message": message}}, status))
    assert "backend." not in str(caught.value)


def test_the_key_never_shows():
    with pytest.raises(TransientError) as caught:
        embed(Canned({"echo": KEY}), environ={"OPENAI_API_KEY": KEY})
    assert KEY not in str(caught.value)


def test_a_server_that_is_not_there_is_a_passing_trouble():
    async def main():
        embedder = made("http://127.0.0.1:9/v1")
        try:
            await embedder.embed(["a"])
        finally:
            await embedder.aclose()

    with pytest.raises(TransientError, match="connection refused"):
        asyncio.run(main())


def test_the_wrapper_gets_every_vector_from_a_server_of_the_protocol():
    texts = [f"text number {i % 150}" for i in range(200)]

    async def main():
        async with start_server(ServerDouble()) as server:
            cached = CachedEmbedder(made(server.base_url, model="double", dim=32, max_texts=20))
            vectors = await cached.embed(texts)
            await cached.aclose()
            return vectors, server.ledger.calls

    vectors, n_calls = asyncio.run(main())
    assert n_calls == 8
    np.testing.assert_allclose(vectors, [embedding(text, 32) for text in texts], atol=1e-6)


def test_known_models_know_their_dimension_and_the_name_tells_models_apart():
    environ = {"OPENAI_API_KEY": KEY}
    small = OpenAIEmbedder.from_options({"model": "text-embedding-3-small"}, environ)
    assert isinstance(small, Embedder)
    assert (small.dim, small.limits) == (1536, (2048, 300_000))
    assert small.name == "openai:text-embedding-3-small@https://api.openai.com/v1:1536"
    short = OpenAIEmbedder.from_options(
        {"model": "text-embedding-3-small", "dim": 256, "send_dimension": True, "revision": "r1"}, environ
    )
    assert short.name == "openai:text-embedding-3-small@r1:256"
    local = made("http://127.0.0.1:9/v1", model="text-embedding-3-small", dim=1536)
    assert local.name != small.name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "other"}, r"embedder\.dim is missing: .*'other'"),
        ({}, r"embedder\.model is missing"),
        ({"model": "text-embedding-3-small"}, r"OPENAI_API_KEY is not set: .*embedder\.key_env"),
        ({"model": "m", "dim": 0}, r"embedder\.dim"),
        ({"model": "m", "dim": 3, "extra": {"input": "x"}}, r"embedder\.extra may not hold input"),
        ({"model": "m", "dim": 3, "extra": {"api_key": "x"}}, r"embedder\.extra\.api_key is refused"),
        ({"model": "m", "dim": 3, "base_url": "http://x/v1/embeddings"}, r"what stands before .*/embeddings"),
        ({"model": "m", "dim": 3, "temperature": 1}, r"embedder\.temperature is no option of the embedder"),
    ],
)
def test_an_impossible_option_is_named(options, said):
    with pytest.raises(ConfigurationError, match=said):
        OpenAIEmbedder.from_options(options, {})


def test_the_environment_of_this_process_holds_the_key_unless_another_is_given(monkeypatch):
    monkeypatch.setenv("SOME_KEY", KEY)
    OpenAIEmbedder.from_options({"model": "text-embedding-3-large", "key_env": "SOME_KEY"})
