"""What the plug-ins for OpenAI's chat protocol share: one call from `Request` to `Reply`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agentnet.backend import Reply, Request
from agentnet_backends.answers import Fields
from agentnet_backends.chat import Form, FormKey, Plan, body_of, form_key, form_of, read_reply
from agentnet_backends.failures import error_of_answer
from agentnet_backends.http import Http
from agentnet_backends.redaction import redact_reply

PlanKey = tuple[tuple[str, ...], bool]
"""The allowed answers, and whether their log-probabilities are wanted."""

_FORMS_KEPT = 4096


class ChatClient:
    """Puts requests to servers of OpenAI's chat protocol.

    Args:
        http: The way to them.
        plan: Decides how questions with certain answers are put.
        sampling: Fields of every body.
        max_tokens_field: The field that bounds a reply.
        seed_bits: How many bits of seeds the server takes, 0 to 63; 0 sends none.
    """

    def __init__(
        self,
        http: Http,
        plan: Callable[[PlanKey], Awaitable[Plan]],
        *,
        sampling: Fields,
        max_tokens_field: str,
        seed_bits: int,
    ) -> None:
        self._http = http
        self._plan = plan
        self._sampling = sampling
        self._max_tokens_field = max_tokens_field
        self._seed_mask = (1 << seed_bits) - 1
        self._forms: dict[FormKey, Form] = {}

    async def complete(self, request: Request) -> Reply:
        """Answer `request` by one call.

        Raises:
            BackendError: There is no answer; see `agentnet_backends.failures`.
        """
        key = form_key(request)
        form = self._forms.get(key) or await self._learn(key, request)
        endpoint, (status, headers, raw) = await self._http.chat(body_of(form, request, self._seed_mask))
        if 200 <= status < 300:
            peer = endpoint.peer
            return redact_reply(read_reply(raw, request, form[1], peer), peer.secrets)
        raise error_of_answer(endpoint.peer, status, headers, raw)

    async def _learn(self, key: FormKey, request: Request) -> Form:
        plan = await self._plan((request.answers, request.logprobs))
        if len(self._forms) >= _FORMS_KEPT:
            del self._forms[next(iter(self._forms))]
        form = self._forms[key] = form_of(request, plan, self._sampling, self._max_tokens_field)
        return form
