"""Backend ``openai``: OpenAI, and every server that speaks its chat protocol.

Azure, OpenRouter, LiteLLM's proxy, llama.cpp's server, Ollama and many others differ in what they know and
what they ignore; the options say how to talk to them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from agentnet.backend import Ask, Reply, Request
from agentnet.errors import BackendError
from agentnet_backends.adapting import adapt
from agentnet_backends.answers import CONSTRAINTS, Fields
from agentnet_backends.chat import Plan
from agentnet_backends.client import ChatClient, PlanKey
from agentnet_backends.http import Http
from agentnet_backends.options import OFFICIAL, BaseUrls, KeyEnv, ServerOptions


class OpenAIOptions(ServerOptions):
    """The options of backend ``openai``; see `ServerOptions` for all others.

    Attributes:
        model: The language model's name; must be given.
        base_url: Unless given what the environment has as ``OPENAI_BASE_URL``, else OpenAI itself.
        key_env: ``OPENAI_API_KEY`` unless given. OpenAI itself needs a key, other servers may do without.
        max_tokens_field: Unless given ``max_completion_tokens`` for OpenAI itself, else ``max_tokens``.
        constrain: ``response_format`` (OpenAI's), ``structured_outputs`` (vLLM's), ``guided_choice`` (vLLM's
            before 0.12), ``grammar`` (llama.cpp's) or ``none``.
    """

    plugin: ClassVar[str] = "openai"
    official: ClassVar[str] = OFFICIAL

    model: Annotated[str, Field(min_length=1)]
    base_url: BaseUrls = (OFFICIAL,)
    key_env: KeyEnv = "OPENAI_API_KEY"
    constrain: Literal["response_format", "structured_outputs", "guided_choice", "grammar", "none"] = (
        "response_format"
    )


class OpenAIBackend:
    """Asks servers of OpenAI's chat protocol.

    Safe to call concurrently from one event loop; never retries. A reply's ``logprobs`` hold for the
    request's own temperature.

    Args:
        options: Those of the backend.
        environ: Where the key is looked up.

    Attributes:
        takes: The class of its options.
        found: Options that the environment decided.

    Raises:
        ConfigurationError: The key is missing or cannot be one.
    """

    about = "OpenAI, and every server that speaks its chat protocol (backend.base_url)"
    needs = (
        "a key in OPENAI_API_KEY (or in the variable named by backend.key_env); other servers may need none"
    )
    name = "openai"
    lists_tokens = True
    takes: ClassVar[type[ServerOptions]] = OpenAIOptions
    found: Mapping[str, object] = MappingProxyType({})

    def __init__(self, options: ServerOptions, environ: Mapping[str, str]) -> None:
        self.options = options
        self._model_name = options.model
        self._access = options.access(environ)
        self._http = self._connect(options.timeout_s)
        self._client = ChatClient(
            self._http,
            self._plan_for,
            sampling=options.sampling(),
            ways=options.ways("max_completion_tokens" if options.is_official else "max_tokens"),
            seed_bits=options.seed_bits,
        )

    @classmethod
    def from_options(cls, options: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Self:
        """Make the backend from the ``[backend]`` table of the configuration, less its ``name``.

        Args:
            options: The table.
            environ: Where the key is looked up; this process's environment unless given.

        Raises:
            ConfigurationError: An option is unknown or impossible, or the key is missing.
        """
        environ = os.environ if environ is None else environ
        found = cls.takes.with_environment(options, environ)
        made = cls(cls.takes.read(found), environ)
        made.found = {name: value for name, value in found.items() if name not in options}
        return made

    @property
    def model_name(self) -> str:
        """The language model."""
        return self._model_name

    def complete(self, request: Request) -> Coroutine[Any, Any, Reply]:
        """Answer `request` by one call.

        Raises:
            TransientError: Another try can help.
            RequestRejected: This request can never succeed.
            BackendUnusable: No request can succeed.
        """
        return self._client.complete(request)

    def watch(self, tell: Callable[[str], None]) -> None:
        """Have changes in who is asked told; see `agentnet.backend.HasServers`."""
        self._http.tell = tell

    async def adapt(
        self, request: Request, trouble: BackendError | Reply, ask: Ask
    ) -> tuple[str, ...] | None:
        """Find out how `request` is to be put to the server; see `agentnet.backend.Adapts`."""
        return await adapt(self._client, self._http.endpoints[0].peer, request, trouble, ask)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _connect(self, timeout_s: float) -> Http:
        peers = self.options.peers(self.name, self._access)
        return Http(peers, self._access, timeout_s=timeout_s, max_reply_bytes=self.options.max_reply_bytes)

    async def _plan_for(self, _: PlanKey) -> Plan:
        """Say how questions with certain answers are put."""
        options = self.options
        return Plan(options.model, CONSTRAINTS[options.constrain], logprob_fields(options.top_logprobs))


def logprob_fields(top_logprobs: int) -> Fields:
    """Make the fields that ask for log-probabilities."""
    return {"logprobs": True, **({"top_logprobs": top_logprobs} if top_logprobs else {})}
