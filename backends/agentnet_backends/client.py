"""What the plug-ins for OpenAI's chat protocol share: one call from `Request` to `Reply`."""

from __future__ import annotations

import re
import traceback
from collections.abc import Awaitable, Callable, Mapping
from itertools import count

from agentnet.backend import Ask, DrawKey, Reply, Request
from agentnet.errors import BackendError, BackendUnusable
from agentnet_backends.answers import Fields
from agentnet_backends.chat import Form, FormKey, Plan, body_of, form_key, form_of, read_reply, used_by
from agentnet_backends.endpoints import Endpoint
from agentnet_backends.failures import Peer, error_of_answer
from agentnet_backends.http import Http
from agentnet_backends.redaction import redact_reply
from agentnet_backends.ways import Ways, without_fields

PlanKey = tuple[tuple[str, ...], bool]
"""The allowed answers, and whether their log-probabilities are wanted."""

_WHOLE = re.compile(r"\d{1,15}")

# Who stands between gave up waiting; the server behind may go on.
_GATEWAY_GAVE_UP = frozenset({408, 504, 524})


class ChatClient:
    """Puts requests to servers of OpenAI's chat protocol.

    Args:
        http: The way to them.
        plan: Decides how questions with certain answers are put.
        sampling: Fields of every body.
        ways: How requests are put.
        seed_bits: How many bits of seeds the server takes, 0 to 63; 0 sends none.
        n_remembered: Conversations whose form is kept.

    Attributes:
        sampling: Fields of every body.
        n_remembered: As given.
        has_answered: Whether a request was ever taken.
        has_asked_for_odds: Whether it was tried already to have more of the odds listed.
    """

    def __init__(
        self,
        http: Http,
        plan: Callable[[PlanKey], Awaitable[Plan]],
        *,
        sampling: Fields,
        ways: Ways,
        seed_bits: int,
        n_remembered: int = 4096,
    ) -> None:
        self._http = http
        self._plan = plan
        self.sampling = sampling
        self.n_remembered = n_remembered
        self.has_answered = self.has_asked_for_odds = False
        self._varied: dict[DrawKey, Ways] = {}
        self._trials = count()
        self._seed_mask = (1 << seed_bits) - 1
        self._forms: dict[FormKey, Form] = {}
        self._ways = ways

    @property
    def ways(self) -> Ways:
        """How requests are put."""
        return self._ways

    @ways.setter
    def ways(self, ways: Ways) -> None:
        self._ways = ways
        self._forms = {}

    async def complete(self, request: Request) -> Reply:
        """Answer `request` by one call.

        Raises:
            BackendError: There is no answer; see `agentnet_backends.failures`.
        """
        try:
            if self._varied and request.draw in self._varied:
                return await self._send(request, self._varied[request.draw], {})
            return await self._send(request, self._ways, self._forms)
        except BackendError as error:
            # A body may be long, and whoever keeps the error keeps what the frames hold that it came by.
            traceback.clear_frames(error.__traceback__)
            raise

    async def put_in(self, ways: Ways, request: Request, ask: Ask) -> Reply:
        """Have `request` sent by `ask`, and put in `ways`, whatever holds for the others meanwhile.

        Raises:
            BackendError: As `ask`.
        """
        variant = request._replace(draw=(("trial",), next(self._trials), -1, 0, 0))
        self._varied[variant.draw] = ways
        try:
            return await ask(variant)
        finally:
            del self._varied[variant.draw]

    def sends_seed(self, request: Request, ways: Ways) -> bool:
        """Say whether a shaped request has a seed."""
        return self._seed_mask != 0 and ways.sends_seed(request)

    async def _send(self, request: Request, ways: Ways, forms: dict[FormKey, Form]) -> Reply:
        asked = ways.shaped(request)
        key = form_key(asked)
        form = forms.get(key) or await self._learn(key, asked, ways, forms)
        body = body_of(form, asked, self._seed_mask if ways.sends_seed(asked) else 0)
        if ways.omit:
            body = without_fields(body, ways.omit)
        # Agents with one persona share what stands ahead of the news.
        endpoint, (status, headers, raw) = await self._http.chat(
            body, prefix=asked.messages[0][1], n_tokens=asked.n * asked.max_tokens
        )
        if 200 <= status < 300:
            self.has_answered = True
            peer = endpoint.peer
            reply = redact_reply(read_reply(raw, asked, form[1], peer), peer.secrets)
            if not endpoint.model_name:
                self._note_model(endpoint, reply.model)
            return reply
        error = _never_admitted(endpoint.peer, status, headers, asked) or error_of_answer(
            endpoint.peer, status, headers, raw
        )
        error.status = status
        error.prompt_tokens, error.completion_tokens = used_by(raw)
        error.may_be_billed = status in _GATEWAY_GAVE_UP
        raise error

    def _note_model(self, endpoint: Endpoint, name: str) -> None:
        """Keep what model a server has; a later change is the server's own, and stands in the log."""
        for other in self._http.endpoints:
            if name and other.model_name not in {"", name}:
                raise BackendUnusable(
                    f"{endpoint.peer} answers as model {name!r:.80}, and {other.peer} as "
                    f"{other.model_name!r:.80}: the servers of base_url have one model; leave one of them "
                    "out, or have it serve the other's",
                    kind="unknown_model",
                )
        endpoint.model_name = name

    async def _learn(self, key: FormKey, asked: Request, ways: Ways, forms: dict[FormKey, Form]) -> Form:
        plan = ways.planned(await self._plan((asked.answers, asked.logprobs)))
        if len(forms) >= self.n_remembered:
            del forms[next(iter(forms))]
        form = forms[key] = form_of(asked, plan, self.sampling, ways.max_tokens_field)
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
