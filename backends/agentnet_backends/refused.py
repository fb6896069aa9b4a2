"""Which fields of a request a server refuses: found out by trying, since what servers say of it differs.

The request is put once with nothing in it that can be left out. Where that is refused too, no field is at
fault; neither is one where all of it is taken on another try. Otherwise the fields are put back, as many at
once as are taken, until those are left that are not: one to three questions for one field, whatever the
server calls it. Pairs that are refused together come out too: the fields that matter most are put back first.

What changes nothing of what is asked (the seed, the number of samples a request, the name of the bound on a
reply, the number of alternatives listed) is adapted, and said. What would change the question or its
distribution (the temperature, the system message, the constraint) is for people to decide: it stops the run
in words that name the setting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from agentnet.backend import HARMLESS, Ask, Request
from agentnet.errors import OF_THE_PROMPT, BackendError, BackendUnusable
from agentnet_backends.client import ChatClient
from agentnet_backends.failures import Peer
from agentnet_backends.ways import Ways

_REFUSING: Final = frozenset({400, 404, 405, 415, 422, 500, 501})
"""What servers answer to a field that they do not take; some of them fail over it (500)."""

_CERTAIN: Final = 3
"""How often the whole has to be refused once more before a part of it is blamed."""

_OTHER_BOUND: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_FEW_ALTERNATIVES: Final = 5
_PLAIN_TEMPERATURE: Final = 1.0
_HARMLESS_SYSTEM: Final = ("system", "You answer questions of arithmetic.")


class _Part(NamedTuple):
    """A part of a request that can be done without.

    Attributes:
        name: What it is called; a field's name where it is one field.
        without: Leaves it out.
    """

    name: str
    without: Callable[[Ways], Ways]


@dataclass(slots=True)
class Refused:
    """An experiment on what a server refuses of one request.

    Args:
        client: Puts requests to it; its ways are changed if that helps.
        peer: The server, for messages.
        request: The request that was refused.
        error: How it was refused.
        ask: Sends a request to the client, counted and bounded as any.
    """

    client: ChatClient
    peer: Peer
    request: Request
    error: BackendError
    ask: Ask

    async def adapt(self) -> tuple[str, ...] | None:
        """Find out what is refused, and change the client's ways if nothing is lost by it.

        Returns:
            What was changed, in sentences; empty if the server now takes all that it refused. None if what is
            refused is the request, not a part of it.

        Raises:
            BackendUnusable: A part is refused that only people can decide to do without; names the setting.
            BackendError: The server did not answer the experiment.
        """
        if not is_refusal(self.error):
            return None
        found = await self._barest()
        if found is None:
            return None
        bare, changes = found
        parts = self._parts(bare)
        refused = await self._put_back(bare, parts)
        ways = _without(bare, [part for part in parts if part.name in refused])
        if refused and not await self._is_taken(ways):
            return None
        ways, adapted = await self._adapted(ways, refused)
        stops = [name for name in refused if name not in adapted]
        if "system" in stops and await self._takes_others_in(
            replace(ways, system_role=self.client.ways.system_role)
        ):
            return None
        if stops:
            raise await self._stop(ways, stops)
        self.client.ways = ways
        return (*changes, *adapted.values())

    async def _barest(self) -> tuple[Ways, tuple[str, ...]] | None:
        """Find out how the request is taken with nothing in it that can be left out.

        Returns:
            The ways with all put back, and what had to be changed in them; None if it is not taken.

        Raises:
            BackendUnusable: It is taken, but without a bound on replies.
        """
        ways = self.client.ways
        if await self._is_bare_taken(ways):
            return ways, ()
        name, other_name = ways.max_tokens_field, _OTHER_BOUND[ways.max_tokens_field]
        if self.client.has_answered or name in ways.omit:
            return None
        other = replace(ways, max_tokens_field=other_name)
        for changed in (other, ways.without(name)):
            if await self._is_bare_taken(changed):
                # A server that failed, and not over this, may have come to itself meanwhile.
                if await self._is_bare_taken(ways):
                    return ways, ()
                if changed is not other:
                    raise await self._stop(ways, [name])
                return other, (f"`{other_name}` bounds replies instead of `{name}`",)
        return None

    async def _is_bare_taken(self, ways: Ways) -> bool:
        return await self._is_taken(_without(ways, self._parts(ways)))

    def _parts(self, ways: Ways) -> list[_Part]:
        """List what the request could do without, what matters most first."""
        request, parts = self.request, []
        if ways.system_role != "user" and any(role == "system" for role, _ in request.messages):
            parts.append(_Part("system", lambda ways: replace(ways, system_role="user")))
        parts.append(_field("temperature"))
        if ways.constrained and (request.answers or request.schema is not None):
            parts.append(_Part("constraint", lambda ways: replace(ways, constrained=False)))
        if ways.logprobs and request.logprobs and request.answers:
            parts.append(_Part("logprobs", lambda ways: replace(ways, logprobs=False)))
        parts += map(_field, self.client.sampling)
        if ways.shaped(request).n > 1:
            parts.append(_Part("n", lambda ways: replace(ways, n_at_most=1)))
        if self.client.sends_seed(request._replace(n=1), ways):
            parts.append(_field("seed"))
        return [part for part in parts if part.name not in ways.omit]

    async def _put_back(self, ways: Ways, parts: Sequence[_Part]) -> list[str]:
        """Name the parts that have to be left out."""
        refused: list[_Part] = []

        async def put_back(some: Sequence[_Part], rest: Sequence[_Part], *, is_refused: bool) -> bool:
            """Put `some` back, while `rest` is left out; say whether all were taken."""
            if not some:
                return True
            if not is_refused and await self._is_taken(_without(ways, [*refused, *rest])):
                return True
            if len(some) == 1:
                refused.extend(some)
                return False
            middle = len(some) // 2
            first, second = some[:middle], some[middle:]
            are_taken = await put_back(first, [*second, *rest], is_refused=False)
            await put_back(second, rest, is_refused=are_taken)
            return False

        # A refusal that came by chance must not be blamed on a field.
        for _ in range(_CERTAIN):
            if await self._is_taken(ways):
                return []
        await put_back(parts, (), is_refused=True)
        return [part.name for part in refused]

    async def _adapted(self, ways: Ways, refused: Sequence[str]) -> tuple[Ways, dict[str, str]]:
        """Do without what changes nothing of what is asked; say so, part by part."""
        done: dict[str, str] = {}
        if "n" in refused:
            ways = await self._largest_n(ways)
            few = "; -S sampler.mode=call takes fewer calls then" if ways.n_at_most == 1 else ""
            done["n"] = f"samples are asked for {ways.n_at_most} at a time: the server refuses more{few}"
        if "seed" in refused:
            ways, done["seed"] = await self._seedless(ways)
        if "logprobs" in refused:
            fewer = replace(ways, logprobs=True, top_logprobs=_FEW_ALTERNATIVES)
            if await self._is_taken(fewer):
                ways = fewer
                done["logprobs"] = f"{_FEW_ALTERNATIVES} alternatives are listed: the server refuses more"
        return ways, done

    async def _largest_n(self, ways: Ways) -> Ways:
        """Halve the number of samples until it is taken, as one is; then come near the largest that is."""
        taken, refused = 1, self.request.n
        while refused - taken > max(1, taken // 8):
            n = max(refused // 2, 2) if taken == 1 else (taken + refused) // 2
            if await self._is_taken(replace(ways, n_at_most=n)):
                taken = n
            else:
                refused = n
        return replace(ways, n_at_most=taken)

    async def _seedless(self, ways: Ways) -> tuple[Ways, str]:
        """Leave the seed out: always, or only beside several samples if it is taken beside one."""
        words = "the server takes no seed{}: what it answers cannot be repeated there, who is asked what can"
        seeded = replace(ways, omit=ways.omit - {"seed"})
        if ways.shaped(self.request).n > 1 and await self._is_taken(replace(seeded, n_at_most=1)):
            return replace(seeded, seed_with_many=False), words.format(" beside several samples")
        return ways, words.format("")

    async def _is_taken(self, ways: Ways) -> bool:
        """Ask whether the server takes the request put in these ways.

        Raises:
            BackendError: It says nothing of that.
        """
        try:
            await self.client.put_in(ways, self.request, self.ask)
        except BackendError as error:
            if is_refusal(error):
                return False
            if error.status is None and error.kind in _TAKEN_ALL_THE_SAME:
                return True
            raise
        return True

    async def _takes_others_in(self, ways: Ways) -> bool:
        """Ask whether the server takes a message of the system beside words that no filter minds.

        Put ahead of the user's, it makes another text, of which a filter may think otherwise.
        """
        self.request, asked = self.request._replace(messages=(_HARMLESS_SYSTEM, *HARMLESS)), self.request
        try:
            return await self._is_taken(ways)
        finally:
            self.request = asked

    async def _stop(self, ways: Ways, stops: Sequence[str]) -> BackendUnusable:
        """Make the error that says what is refused, and what plays it all the same."""
        settings = []
        for name in stops:
            if name == "temperature" and self.request.temperature != _PLAIN_TEMPERATURE:
                settings += await self._plain_temperature(ways)
            settings.append(_WAYS_OUT.get(name, _LEFT_OUT).format(name=name))
        what = ", ".join(_CALLED.get(name, f"`{name}`") for name in stops)
        words = str(self.error).removesuffix(self.peer.way_out_of(self.error))
        return BackendUnusable(
            f"{words}; tried out: without {what} the server takes the request. That would change what is "
            f"asked, so it is for you to decide: start a run with {' or '.join(settings)}",
            kind="unsupported",
        )

    async def _plain_temperature(self, ways: Ways) -> list[str]:
        """Find out whether a temperature of 1 is taken: some models know no other, some no higher one."""
        plain = replace(ways, omit=ways.omit - {"temperature"})
        self.request, asked = self.request._replace(temperature=_PLAIN_TEMPERATURE), self.request
        try:
            is_taken = await self._is_taken(plain)
        finally:
            self.request = asked
        return [f"-S temperature={_PLAIN_TEMPERATURE} (which it takes)"] if is_taken else []


_TAKEN_ALL_THE_SAME: Final = frozenset({"malformed_json", "wrong_schema", "no_choices", "truncated"})
"""Kinds of trouble with an answer to a request that was not refused."""

_CALLED: Final = {
    "system": "a system message",
    "constraint": "the bound on what a reply may be",
    "logprobs": "log-probabilities",
}
_LEFT_OUT: Final = """-S 'backend.omit=["{name}"]' (its own default then holds)"""
_WAYS_OUT: Final = {
    "system": "-S backend.system_role=user (which puts it ahead of the user's message)",
    "constraint": "-S backend.constrain=none (replies are then read as they come), or another value of "
    "backend.constrain",
    "logprobs": "-S sampler.mode=choices or -S sampler.mode=call",
}


def is_refusal(error: BackendError) -> bool:
    """Say whether `error` may be about a field, not about the text, the key or the moment."""
    return error.status in _REFUSING and error.kind not in OF_THE_PROMPT


def _field(name: str) -> _Part:
    return _Part(name, lambda ways: ways.without(name))


def _without(ways: Ways, parts: Sequence[_Part]) -> Ways:
    for part in parts:
        ways = part.without(ways)
    return ways
