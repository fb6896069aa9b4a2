"""What the plug-ins for OpenAI's chat protocol share: one call from `Request` to `Reply`."""

from __future__ import annotations

import re
import traceback
from collections.abc import Awaitable, Callable, Mapping

from agentnet.backend import Reply, Request
from agentnet.errors import BackendError, BackendUnusable
from agentnet_backends.answers import Fields
from agentnet_backends.chat import Form, FormKey, Plan, body_of, form_key, form_of, read_reply, used_by
from agentnet_backends.failures import Peer, error_of_answer
from agentnet_backends.http import Http

PlanKey = tuple[tuple[str, ...], bool]
"""The allowed answers, and whether their log-probabilities are wanted."""

_FORMS_KEPT = 4096

_WHOLE = re.compile(r"\d{1,15}")

# Who stands between gave up waiting; the server behind may go on.
_GATEWAY_GAVE_UP = frozenset({408, 504, 524})


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
        try:
            return await self._ask(request)
        except BackendError as error:
            # A body may be long, and whoever keeps the error keeps what the frames hold that it came by.
            traceback.clear_frames(error.__traceback__)
            raise

    async def _ask(self, request: Request) -> Reply:
        key = form_key(request)
        form = self._forms.get(key) or await self._learn(key, request)
        endpoint, (status, headers, raw) = await self._http.chat(body_of(form, request, self._seed_mask))
        if 200 <= status < 300:
            return read_reply(raw, request, form[1], endpoint.peer)
        error = _never_admitted(endpoint.peer, status, headers, request) or error_of_answer(
            endpoint.peer, status, headers, raw
        )
        error.prompt_tokens, error.completion_tokens = used_by(raw)
        error.may_be_billed = status in _GATEWAY_GAVE_UP
        raise error

    async def _learn(self, key: FormKey, request: Request) -> Form:
        plan = await self._plan((request.answers, request.logprobs))
        if len(self._forms) >= _FORMS_KEPT:
            del self._forms[next(iter(self._forms))]
        form = self._forms[key] = form_of(request, plan, self._sampling, self._max_tokens_field)
        return form


def _never_admitted(
    peer: Peer, status: int, headers: Mapping[str, str], request: Request
) -> BackendUnusable | None:
    """See whether a request asks for more tokens than the server's limit lets through in a minute."""
    found = _WHOLE.match(headers.get("x-ratelimit-limit-tokens", "")) if status == 429 else None
    n_tokens = request.n * request.max_tokens
    if found is None or n_tokens <= int(found[0]):
        return None
    return BackendUnusable(
        f"{peer}: HTTP 429: a request may take {n_tokens:,} tokens ({request.n:,} samples of up to "
        f"{request.max_tokens:,}), more than the server's limit of {int(found[0]):,} a minute: it never "
        "takes it; lower max_tokens or sampler.n_at_most",
        kind="too_large",
    )
