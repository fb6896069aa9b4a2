"""Backend ``vllm``: vLLM's own server, used to the full.

Beyond OpenAI's protocol it binds replies to answers without any wrapping, gives the exact probabilities of
named tokens, and says which model it serves. What a server can do depends on its version, and vLLM ignores
fields that it does not know: so it is tried once, before the first request that needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from agentnet.backend import Reply, Request
from agentnet.errors import BackendUnusable, RequestRejected
from agentnet_backends.answers import CONSTRAINTS, Constraint, Fields, completeness, prefixes
from agentnet_backends.chat import Plan
from agentnet_backends.client import PlanKey
from agentnet_backends.failures import unusable_answer
from agentnet_backends.openai import OpenAIBackend, logprob_fields
from agentnet_backends.options import BaseUrls, KeyEnv, ServerOptions
from agentnet_backends.shared import FoundOnce

_TRIED = ("structured_outputs", "guided_choice", "response_format")

# Nothing that a model would say by itself.
_TRIAL_ANSWERS = ("qzx7", "xkw4")
_TRIAL_QUESTION = [{"role": "user", "content": "Say hello."}]

_TRIAL_TOKENS = 256
_COMPLETE = 0.999
_MOST_TOKEN_IDS = 128
_LONGEST_LOOK_UP_S = 10.0


_Way = Literal["auto", "response_format", "structured_outputs", "guided_choice", "grammar", "none"]


class VllmOptions(ServerOptions):
    """The options of backend ``vllm``; see `ServerOptions` for all others.

    Attributes:
        model: The language model's name; the only one that the server lists unless given.
        base_url: ``http://127.0.0.1:8000/v1`` unless given.
        key_env: ``VLLM_API_KEY`` unless given; a server may need no key.
        constrain: ``auto`` tries out what the server knows; else as for backend ``openai``.
        top_p: 1 unless given, as the next three have their neutral values: else the server takes what the
            model's makers put into ``generation_config.json``.
        top_k: -1 unless given: all tokens.
        min_p: 0 unless given.
        repetition_penalty: 1 unless given: none.
    """

    plugin: ClassVar[str] = "vllm"

    model: str = ""
    base_url: BaseUrls = ("http://127.0.0.1:8000/v1",)
    key_env: KeyEnv = "VLLM_API_KEY"
    constrain: _Way = "auto"
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = 1.0
    top_k: Annotated[int, Field(ge=-1)] | None = -1
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = 0.0
    repetition_penalty: Annotated[float, Field(gt=0.0, le=2.0)] = 1.0

    def sampling(self) -> dict[str, object]:
        """Give the fields of a body that hold for every request."""
        return {"repetition_penalty": self.repetition_penalty, **super().sampling()}


class _Trial(NamedTuple):
    """A question to find out what the server does with a constraint, and with token ids."""

    model: str
    answers: tuple[str, ...]
    constraint: Constraint
    logprobs: Fields

    def body(self) -> Fields:
        return {
            "model": self.model,
            "messages": _TRIAL_QUESTION,
            **self.constraint.fields(self.answers),
            **self.logprobs,
        }


class VllmBackend(OpenAIBackend):
    """Asks vLLM's server.

    Safe to call concurrently from one event loop; never retries. A reply's ``logprobs`` hold for the
    request's own temperature. At temperature 0 vLLM refuses more than one sample, so that a reply holds one.

    Args:
        options: See `VllmOptions`.
        environ: Where the key is looked up.

    Raises:
        ConfigurationError: The key is missing or cannot be one.
    """

    about = "vLLM's server: exact probabilities, answers bound without wrapping"
    needs = "a running server (vllm serve MODEL); its key, if it has one, in VLLM_API_KEY"
    name = "vllm"
    takes = VllmOptions

    def __init__(self, options: ServerOptions, environ: Mapping[str, str]) -> None:
        super().__init__(options, environ)
        self._models = FoundOnce(self._find_model)
        self._constraints = FoundOnce(self._find_constraint)
        self._plans = FoundOnce(self._find_plan)

    @property
    def model_name(self) -> str:
        """The language model.

        If the options do not say, and neither `prepare` nor a request came first, the server is asked here
        and now, which stops an event loop meanwhile: it stands in caches and logs, and must not be a guess.

        Raises:
            BackendError: It cannot be found out.
        """
        if not self._model_name:
            with ThreadPoolExecutor(1) as thread:
                self._model_name = thread.submit(asyncio.run, self._look_up_aside()).result()
        return self._model_name

    async def prepare(self) -> None:
        """Find out which model the server has, if the options do not say; otherwise the first request does.

        Raises:
            BackendError: It cannot be found out.
        """
        await self._models.get(None)

    async def complete(self, request: Request) -> Reply:
        """Answer `request` by one call; the first ones may take more, to find out what the server knows.

        Raises:
            TransientError: Another try can help.
            RequestRejected: This request can never succeed.
            BackendUnusable: No request can succeed.
        """
        if request.n > 1 and request.temperature == 0.0:
            request = request._replace(n=1)
        return await super().complete(request)

    async def aclose(self) -> None:
        """Close the connections."""
        for searches in (self._plans, self._constraints, self._models):
            await searches.aclose()
        await super().aclose()

    async def _look_up_aside(self) -> str:
        """Look the model up in another event loop, by connections of its own."""
        http = self._connect(min(self.options.timeout_s, _LONGEST_LOOK_UP_S))
        try:
            return self._only(_names(await http.ask("/models")))
        finally:
            await http.aclose()

    async def _find_model(self, _: None) -> str:
        if not self._model_name:
            self._model_name = self._only(_names(await self._http.ask("/models")))
        return self._model_name

    def _only(self, names: list[str]) -> str:
        if len(names) == 1:
            return names[0]
        where = self._http.endpoints[0].peer
        raise BackendUnusable(
            f"{where} serves {where.quote(', '.join(names)) or 'no model that /models names'}: set "
            "backend.model to the one to ask",
            kind="unknown_model",
        )

    async def _find_constraint(self, model: str) -> Constraint:
        if self.options.constrain != "auto":
            return CONSTRAINTS[self.options.constrain]
        for name in _TRIED:
            trial = _Trial(model, _TRIAL_ANSWERS, CONSTRAINTS[name], {})
            text, _ = await self._try(trial)
            if trial.constraint.unwrap(text) in _TRIAL_ANSWERS:
                return trial.constraint
        raise BackendUnusable(
            f"{self._http.endpoints[0].peer} heeds none of {', '.join(_TRIED)}: replies cannot be bound to "
            "answers; set backend.constrain to 'none' to ask without",
            kind="unsupported",
        )

    async def _plan_for(self, key: PlanKey) -> Plan:
        return await self._plans.get(key)

    async def _find_plan(self, key: PlanKey) -> Plan:
        answers, wants_logprobs = key
        model = await self._models.get(None)
        constraint = await self._constraints.get(model) if answers else CONSTRAINTS["none"]
        fields = logprob_fields(self.options.top_logprobs)
        if answers and wants_logprobs and constraint.binds and not constraint.wraps:
            fields = await self._exact(_Trial(model, answers, constraint, {}), fields)
        return Plan(model, constraint, fields)

    async def _exact(self, trial: _Trial, otherwise: Fields) -> Fields:
        """Ask for the very tokens that begin an answer, if the server can, and if that is all of them."""
        ids = await self._token_ids(trial)
        fields: Fields = {"logprobs": True, "logprob_token_ids": ids}
        if not 0 < len(ids) <= _MOST_TOKEN_IDS:
            return otherwise
        _, listed = await self._try(trial._replace(logprobs=fields))
        return fields if completeness(listed, trial.answers) >= _COMPLETE else otherwise

    async def _token_ids(self, trial: _Trial) -> list[int]:
        """Look up which texts that begin an answer are tokens; none if the server does not tell."""
        ids = []
        for prefix in prefixes(trial.answers)[:_MOST_TOKEN_IDS]:
            question = {"model": trial.model, "prompt": prefix, "add_special_tokens": False}
            try:
                found = await self._http.ask("/tokenize", question, root=True)
            except (RequestRejected, BackendUnusable):
                return []
            tokens = found.get("tokens") if isinstance(found, dict) else None
            if isinstance(tokens, list) and len(tokens) == 1 and isinstance(tokens[0], int):
                ids.append(tokens[0])
        return ids

    def _fields(self, trial: _Trial) -> Fields:
        """Write the body of a trial, with nothing in it that servers refuse and a trial can do without."""
        ways = self._client.ways
        fields = {**self.options.sampling(), ways.max_tokens_field: _TRIAL_TOKENS, **trial.body()}
        return {name: value for name, value in fields.items() if name not in ways.omit}

    async def _try(self, trial: _Trial) -> tuple[str, object]:
        """Give the text and the listed tokens of a trial; nothing if the server refuses the fields."""
        try:
            found = await self._http.ask("/chat/completions", self._fields(trial))
        except RequestRejected:
            return "", None
        except BackendUnusable as error:
            if error.kind != "unsupported":
                raise
            return "", None
        match found:
            case {"choices": [{"message": {"content": str() | None as text}, "logprobs": listed}]}:
                pass
            case {"choices": [{"message": {"content": str() | None as text}}]}:
                listed = None
            case _:
                peer = self._http.endpoints[0].peer
                raise unusable_answer(peer, "wrong_schema", "the answer is no chat completion", b"")
        return text or "", listed.get("content") if isinstance(listed, dict) else None


def _names(listed: object) -> list[str]:
    """Read a list of models."""
    match listed:
        case {"data": list(models)}:
            ids = [model.get("id") for model in models if isinstance(model, dict)]
            return list(dict.fromkeys(name for name in ids if isinstance(name, str)))
        case _:
            return []
