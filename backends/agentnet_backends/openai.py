"""Backend ``openai``: OpenAI, and every server that speaks its chat protocol.

Azure, OpenRouter, LiteLLM's proxy, llama.cpp's server, Ollama and many others differ in what they know and
what they ignore; the options say how to talk to them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field

from agentnet.backend import Ask, Reply, Request
from agentnet.errors import BackendError
from agentnet_backends.adapting import adapt
from agentnet_backends.answers import CONSTRAINTS, Fields
from agentnet_backends.chat import Plan
from agentnet_backends.client import ChatClient, PlanKey
from agentnet_backends.http import Http
from agentnet_backends.options import BaseUrls, KeyEnv, ServerOptions, with_environment

_OFFICIAL = "https://api.openai.com/v1"


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

    model: Annotated[str, Field(min_length=1)]
    base_url: BaseUrls = (_OFFICIAL,)
    key_env: KeyEnv = "OPENAI_API_KEY"
    constrain: Literal["response_format", "structured_outputs", "guided_choice", "grammar", "none"] = (
        "response_format"
    )

    @property
    def is_official(self) -> bool:
        """Whether the server is OpenAI's own."""
        return _OFFICIAL in self.base_url


class OpenAIBackend:
    """Asks servers of OpenAI's chat protocol.

    Safe to call concurrently from one event loop; never retries. A reply's ``logprobs`` hold for the
    request's own temperature.

    Args:
        options: See `OpenAIOptions`.
        environ: Where the key is looked up.

    Attributes:
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

    def __init__(self, options: OpenAIOptions, environ: Mapping[str, str]) -> None:
        self.options = options
        self.model_name = options.model
        self.found: Mapping[str, object] = {}
        access = options.access(environ, needs_key=options.is_official)
        default_field = "max_completion_tokens" if options.is_official else "max_tokens"
        self._plan = Plan(options.model, CONSTRAINTS[options.constrain], logprob_fields(options.top_logprobs))
        self._http = Http(
            options.peers(self.name, access),
            access,
            timeout_s=options.timeout_s,
            max_reply_bytes=options.max_reply_bytes,
        )
        self._client = ChatClient(
            self._http,
            self._plan_for,
            sampling=options.sampling(),
            ways=options.ways(default_field),
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
        found = with_environment(options, environ, "backend")
        made = cls(OpenAIOptions.read(found, cls.name), environ)
        made.found = {name: value for name, value in found.items() if name not in options}
        return made

    async def complete(self, request: Request) -> Reply:
        """Answer `request` by one call.

        Raises:
            TransientError: Another try can help.
            RequestRejected: This request can never succeed.
            BackendUnusable: No request can succeed.
        """
        return await self._client.complete(request)

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

    async def _plan_for(self, _: PlanKey) -> Plan:
        return self._plan


def logprob_fields(top_logprobs: int) -> Fields:
    """Make the fields that ask for log-probabilities."""
    return {"logprobs": True, **({"top_logprobs": top_logprobs} if top_logprobs else {})}
