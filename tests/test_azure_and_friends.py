"""Ways to servers that are not OpenAI's own: headers, a query, key headers, proxies, the environment."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from agentnet.backend import Request, make_backend
from agentnet.config import BackendSettings, load_configuration
from agentnet.embedder import make_embedder
from agentnet.errors import BackendError, BackendUnusable, ConfigurationError
from agentnet.stack import cache_scope

KEY = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
TOKEN = "eyJhbGciOi.JIUzI1NiJ9"
ASKED = Request((("user", "Do you share it?"),), temperature=0.7, max_tokens=16, seed=5)
ANSWER = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}
VECTORS = {"data": [{"index": 0, "embedding": [0.6, 0.8]}]}


class Gateway:
    """A server that wants to be shown certain headers and a certain query, and else says 401 or 404."""

    def __init__(self, *, path: str, headers: dict[str, str], query: dict[str, str], answer=ANSWER) -> None:
        self.path, self.headers, self.query, self.answer = path, headers, query, answer
        self.seen: list[web.Request] = []
        self.bodies: list[dict[str, object]] = []

    async def take(self, asked: web.Request) -> web.Response:
        self.seen.append(asked)
        self.bodies.append(json.loads(await asked.read()))
        if any(asked.headers.get(name) != value for name, value in self.headers.items()):
            shown = " ".join(f"{name}: {value}" for name, value in asked.headers.items())
            return web.json_response({"error": {"code": "401", "message": f"Refused: {shown}"}}, status=401)
        if asked.path != self.path or dict(asked.query) != self.query:
            return web.json_response({"error": {"code": "404", "message": "Resource not found"}}, status=404)
        return web.json_response(self.answer)

    @asynccontextmanager
    async def listening(self):
        app = web.Application()
        app.router.add_post("/{path:.*}", self.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


def azure(**changes) -> Gateway:
    facts = {
        "path": "/openai/deployments/mine/chat/completions",
        "headers": {"api-key": KEY},
        "query": {"api-version": "2024-10-21"},
    }
    return Gateway(**{**facts, **changes})


AZURE = {"query": {"api-version": "2024-10-21"}, "key_header": "api-key", "key_env": "AZURE_OPENAI_API_KEY"}


def ask(gateway: Gateway, base: str, environ: dict[str, str], **options):
    async def main():
        async with gateway.listening():
            backend = make_backend(
                "openai", {"model": "m", "base_url": gateway.url + base, **options}, environ
            )
            try:
                return await backend.complete(ASKED)
            finally:
                await backend.aclose()

    return asyncio.run(main())


def refusal(gateway: Gateway, base: str, environ: dict[str, str], **options) -> str:
    with pytest.raises(BackendUnusable) as caught:
        ask(gateway, base, environ, **options)
    return str(caught.value)


DEPLOYMENT = "/openai/deployments/mine"


def test_a_deployment_of_azure_is_asked_by_its_path_its_version_and_its_key_header():
    gateway = azure()
    assert ask(gateway, DEPLOYMENT, {"AZURE_OPENAI_API_KEY": KEY}, **AZURE).texts == ("yes",)
    assert "Authorization" not in gateway.seen[0].headers
    assert gateway.seen[0].query_string == "api-version=2024-10-21"


def test_a_deployment_that_takes_neither_temperature_nor_model_is_asked_without():
    gateway = azure()
    ask(gateway, DEPLOYMENT, {"AZURE_OPENAI_API_KEY": KEY}, **AZURE, omit=["temperature", "model"])
    assert gateway.bodies[0].keys() == {"messages", "max_tokens", "seed"}


def test_a_wrong_version_or_deployment_blames_neither_model_nor_address_alone():
    for options in (AZURE, AZURE | {"query": {"api-version": "1999-01-01"}}):
        words = refusal(azure(path="/elsewhere"), DEPLOYMENT, {"AZURE_OPENAI_API_KEY": KEY}, **options)
        assert "Resource not found" in words
        assert "backend.model" in words
        assert "backend.base_url" in words


def test_a_key_that_is_refused_is_named_by_its_variable_and_never_shown():
    words = refusal(azure(), DEPLOYMENT, {"AZURE_OPENAI_API_KEY": "another-key-123"}, **AZURE)
    assert "AZURE_OPENAI_API_KEY" in words
    assert "another-key-123" not in words


def test_headers_take_what_they_must_not_show_from_the_environment():
    gateway = azure(headers={"Authorization": f"Bearer {TOKEN}", "X-Team": "news"}, query={})
    options = {"headers": {"Authorization": "Bearer ${GATEWAY_TOKEN}", "X-Team": "news"}}
    environ = {"GATEWAY_TOKEN": TOKEN, "OPENAI_API_KEY": KEY}
    assert ask(gateway, DEPLOYMENT, environ, **options).texts == ("yes",)
    assert KEY not in str(gateway.seen[0].headers)


@pytest.mark.parametrize("name", ["api-key", "X-API-Key", "Authorization"])
def test_the_usual_key_is_not_sent_beside_one_that_a_header_shows(name):
    gateway = azure(headers={name: TOKEN}, query={})
    environ = {"T": TOKEN, "OPENAI_API_KEY": KEY}
    ask(gateway, DEPLOYMENT, environ, headers={name: "$T"})
    assert KEY not in str(gateway.seen[0].headers)
    both = azure(headers={"X-API-Key": TOKEN, "Authorization": f"Bearer {KEY}"}, query={})
    ask(both, DEPLOYMENT, environ, headers={"X-API-Key": "$T"}, key_env="OPENAI_API_KEY")


@pytest.mark.parametrize("name", ["authorization", "AUTHORIZATION"])
def test_a_header_that_is_given_takes_the_place_of_ours_however_it_is_spelt(name):
    gateway = azure(headers={"Authorization": f"Basic {TOKEN}"}, query={})
    ask(gateway, DEPLOYMENT, {"T": TOKEN, "OPENAI_API_KEY": KEY}, headers={name: "Basic $T"})
    assert gateway.seen[0].headers.getall("Authorization") == [f"Basic {TOKEN}"]


def test_a_query_may_name_a_variable_too():
    gateway = azure(headers={}, query={"code": TOKEN})
    assert ask(gateway, DEPLOYMENT, {"CODE": TOKEN}, query={"code": "$CODE"}).texts == ("yes",)


def test_what_a_header_took_from_the_environment_is_not_shown_when_the_server_repeats_it():
    gateway = azure(headers={"X-Other": "wanted"})
    words = refusal(gateway, DEPLOYMENT, {"MINE": TOKEN}, headers={"X-Gateway": "$MINE"})
    assert "Refused" in words
    assert TOKEN not in words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"headers": {"X-A": "${NOT_SET}"}}, "backend.headers.X-A names the environment variable NOT_SET"),
        ({"query": {"a": "$NOT_SET"}}, "backend.query.a names the environment variable NOT_SET"),
        ({"headers": {"X-A": "$BROKEN"}}, "BROKEN, which holds more than visible ASCII"),
        ({"headers": {"X-Api-Key": KEY}}, "backend.headers.*may hold no secret under 'X-Api-Key'"),
        ({"headers": {"X-Team": "sk-0123456789"}}, "may hold no secret under 'X-Team'"),
        ({"query": {"token": KEY}}, "backend.query.*may hold no secret under 'token'"),
        ({"headers": {"a b": "c"}}, "must be the name of a header"),
        ({"headers": {"X-A": "b\nc"}}, "what no header can hold"),
        ({"headers": {"Content-Type": "text/plain"}}, "may not hold Content-Type"),
        ({"key_header": "api key"}, "backend.key_header must be the name of a header"),
        ({"base_url": "http://h/openai?api-version=1"}, "an option of its own, query"),
        ({"omit": ["messages"]}, "backend.omit may not name 'messages'"),
        ({"system_role": "boss"}, "backend.system_role"),
    ],
)
def test_an_impossible_way_is_refused_in_words_without_the_value(options, words):
    environ = {"BROKEN": "a\nb"}
    with pytest.raises(ConfigurationError, match=words) as caught:
        make_backend("openai", {"model": "m", "base_url": "http://127.0.0.1:9/v1", **options}, environ)
    assert KEY not in str(caught.value)
    assert "sk-0123456789" not in str(caught.value)


def test_an_embedder_is_reached_by_the_same_ways():
    async def main():
        path = "/openai/deployments/mine/embeddings"
        async with azure(path=path, answer=VECTORS).listening() as gateway:
            options = {"model": "m", "dim": 2, "base_url": gateway.url + DEPLOYMENT, **AZURE}
            embedder = make_embedder("openai", options, {"AZURE_OPENAI_API_KEY": KEY})
            vectors = await embedder.embed(["a"])
            await embedder.aclose()
            return vectors.tolist()

    assert asyncio.run(main()) == [pytest.approx([0.6, 0.8])]


# Settings


def settings_with(tmp_path, *flags: str):
    return load_configuration(folder=tmp_path, environ={}, config_file=None, flags=list(flags)).settings


def test_settings_may_name_the_variable_of_a_secret_and_not_the_secret(tmp_path):
    named = settings_with(
        tmp_path, """backend.headers={"api-key" = "${MY_KEY}", Authorization = "Bearer $T"}"""
    )
    assert named.backend.options["headers"]["api-key"] == "${MY_KEY}"
    for value in (KEY, "$MY_KEY and more", "Bearer abc"):
        with pytest.raises(ConfigurationError, match="looks like a secret") as caught:
            settings_with(tmp_path, f"""backend.headers={{"api-key" = "{value}"}}""")
        assert value not in str(caught.value)


# The environment


def made(environ: dict[str, str], **options):
    return make_backend("openai", {"model": "m", **options}, environ)


def test_the_environment_says_where_the_server_is_unless_the_settings_do():
    environ = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1/"}
    assert made(environ).options.base_url == ("http://127.0.0.1:9/v1",)
    assert made(environ, base_url="http://127.0.0.1:8/v1").options.base_url == ("http://127.0.0.1:8/v1",)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY is not set"):
        made({"OPENAI_BASE_URL": ""})


def test_a_wrong_address_in_the_environment_is_blamed_on_the_variable():
    with pytest.raises(ConfigurationError, match="OPENAI_BASE_URL must be a URL"):
        made({"OPENAI_BASE_URL": "localhost:8000"})
    with pytest.raises(ConfigurationError, match=r"OPENAI_BASE_URL must be a URL.*embedder\.base_url"):
        make_embedder("openai", {"model": "m", "dim": 2}, {"OPENAI_BASE_URL": "localhost:8000"})


def test_replies_of_two_servers_named_by_the_environment_are_not_mixed_up():
    one, two = (made({"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}) for port in (8, 9))
    plain = BackendSettings.model_validate({"name": "openai", "model": "m"})
    told = BackendSettings.model_validate(
        {"name": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    )
    assert (
        cache_scope(one, plain)
        != cache_scope(two, plain)
        == cache_scope(made({}, base_url="http://127.0.0.1:9/v1"), told)
    )


# Proxies


def failure_through(monkeypatch, **environ: str) -> BackendError:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    async def main():
        backend = made({}, base_url="http://model.invalid/v1", timeout_s=5.0)
        try:
            await backend.complete(ASKED)
        finally:
            await backend.aclose()

    with pytest.raises(BackendError) as caught:
        asyncio.run(main())
    return caught.value


def test_a_proxy_on_the_way_is_named_in_errors_without_its_password(monkeypatch):
    words = str(failure_through(monkeypatch, http_proxy="http://me:hush@127.0.0.1:9"))
    assert "through the proxy 127.0.0.1:9" in words
    assert "hush" not in words


def test_what_a_proxy_was_shown_stands_in_no_error_that_quotes_it(monkeypatch):
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 No\r\nContent-Length: %d\r\n\r\n%b" % (len(shown), shown))
        await writer.drain()
        writer.close()

    async def main() -> str:
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as proxy:
            port = proxy.sockets[0].getsockname()[1]
            monkeypatch.setenv("http_proxy", f"http://me:hush%40hush@127.0.0.1:{port}")
            backend = made({}, base_url="http://model.invalid/v1", timeout_s=5.0)
            with pytest.raises(BackendUnusable) as caught:
                await backend.complete(ASKED)
            await backend.aclose()
            return str(caught.value)

    words = asyncio.run(main())
    assert "Proxy-Authorization: Basic [key]" in words
    assert base64.b64encode(b"me:hush@hush").decode()[:8] not in words


def test_a_proxy_may_be_named_without_a_scheme_and_one_that_is_none_of_http_is_refused(monkeypatch):
    assert "through the proxy 127.0.0.1:9" in str(failure_through(monkeypatch, http_proxy="127.0.0.1:9"))
    monkeypatch.setenv("https_proxy", "socks5://me:hush@127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=r"'socks5' for https://model\.invalid/v1") as caught:
        made({}, base_url="https://model.invalid/v1")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    [
        "http://me:hush@:::",
        "http://me:hush@proxy:99999",
        "http://me:hush@[::1",
        "http://me:hu/sh@proxy..example",
    ],
)
def test_a_proxy_that_is_no_host_and_port_is_refused_before_anybody_is_asked(monkeypatch, proxy):
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigurationError, match="is no host and port") as caught:
        made({}, base_url="https://model.invalid/v1")
    assert "hu" not in str(caught.value)


def test_a_proxy_of_all_schemes_is_asked_where_none_of_the_servers_own_is_named(monkeypatch):
    failure = failure_through(monkeypatch, all_proxy="http://127.0.0.1:9")
    assert "through the proxy 127.0.0.1:9" in str(failure)
    failure = failure_through(monkeypatch, http_proxy="http://127.0.0.1:10")
    assert "through the proxy 127.0.0.1:10" in str(failure)


def test_no_proxy_is_named_where_none_is_asked(monkeypatch):
    failure = failure_through(monkeypatch, http_proxy="http://127.0.0.1:9", no_proxy="model.invalid")
    assert "proxy" not in str(failure)
