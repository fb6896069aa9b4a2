"""Remember replies on disk: the same draw asked again, after a crash or by a repeated run, costs nothing.

The key holds the draw key, so two exposures never share an answer; a request for log-probabilities is no draw
(`agentnet.sampler.logprobs`), so runs of any seed share what is known of a prompt.

Values are JSON text. One thread writes behind, in groups: inline a write costs 53 us and stalls the loop for
up to 10 ms. `Cache.flush` waits for it, and is awaited before the answers of a step are acted upon. So a kill
loses one group at most, the replies of the last tenth of a second, which are asked again like those that were
on their way.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from agentnet.backend import Backend, Messages, Reply, Request, Wrapper
from agentnet.listed import Listed
from agentnet.shelf import TROUBLE, Shelf

SCHEMA_VERSION: Final = 1
"""Part of every key: raised whenever keys or values get another meaning."""

_WAY_OUT: Final = "name another by stack.cache_folder, or go without by -S stack.cache=false"
_SCOPE_BYTES: Final = 8
_DRAW_BYTES: Final = 16

_Question = tuple[Messages, int, int, tuple[str, ...], str | None, bool]
"""What draws share: messages, samples, bound on tokens, answers, schema, whether odds are wanted."""


class Cache(Wrapper):
    """Answers from the disk what it has; otherwise asks `inner` and remembers the reply.

    Not remembered are replies that were refused, filtered or cut off, empty ones, and those that break the
    request's constraint (`Request.answers`; no JSON though there is a `Request.schema`); where
    log-probabilities are asked for, those without any. What does not read as such a reply, or breaks the
    constraint, is refused and asked again.

    What other processes write to the same folder is found from the next opening on.

    Args:
        inner: The backend asked on a miss.
        folder: Where the cache lives; made if it is not there, mode 0700 in any case.
        scope: Whatever beside plug-in and model name decides the replies to a given request: the base URL,
            the options of a mock. Part of every key.
        of: Who answers, where `inner` leads to several backends; its names are part of every key.
        complain: Called in the event loop with a sentence when an entry is refused or cannot be written.
        group_s: How long a reply may wait for others to be written with it: the most that a kill can lose.
            A fifth of the default took 28% more CPU for a call, all layers together.
        group_rows: Replies of a transaction at most.
        prompts_remembered: Prompts whose hash is kept, at most.

    Attributes:
        hits: Requests answered from the cache.
        misses: Requests passed on.

    Raises:
        StorageError: The folder cannot be made or the file in it not opened.
    """

    def __init__(
        self,
        inner: Backend,
        folder: Path,
        *,
        scope: str = "",
        of: Backend | None = None,
        complain: Callable[[str], None] | None = None,
        group_s: float = 0.1,
        group_rows: int = 1000,
        prompts_remembered: int = 10_000,
    ) -> None:
        super().__init__(inner)
        self._folder = folder
        self._complain = _keep_quiet if complain is None else complain
        answers = inner if of is None else of
        identity = repr((SCHEMA_VERSION, answers.name, answers.model_name, scope))
        self._scope = hashlib.blake2b(identity.encode(), digest_size=_SCOPE_BYTES).digest()
        self._prompts: dict[_Question, tuple[Any, str]] = {}
        self._prompts_remembered = prompts_remembered
        self._step: tuple[int | str, ...] = ()
        self._spelt_step = "()"
        self._shelf = Shelf(folder, way_out=_WAY_OUT)
        # Most look-ups are misses, which need no look at the disk so.
        self._known = self._shelf.keys(self._scope, _SCOPE_BYTES + _DRAW_BYTES)
        self._writer = _Writer(self._shelf, folder, group_s, group_rows)
        self.hits = 0
        self.misses = 0

    async def complete(self, request: Request) -> Reply:
        """Answer `request` from the disk if its draw was answered before."""
        key = self._key(request)
        if key in self._known and (found := self._find(key, request)) is not None:
            self.hits += 1
            return found
        self.misses += 1
        reply = await self._inner.complete(request)
        if _is_worth_keeping(request, reply):
            self._writer.put(key, _spell(reply))
            self._known.add(key)
        if self._writer.troubles:
            self._pass_on_troubles()
        return reply

    async def flush(self) -> None:
        """Wait until every reply so far is written, or cannot be."""
        if self._writer.pending:
            await self._writer.flush()

    async def aclose(self) -> None:
        """Write what is left, close the file and the inner backend."""
        try:
            await asyncio.to_thread(self._writer.close)
            self._shelf.close()
            self._pass_on_troubles()
        finally:
            await super().aclose()

    def _key(self, request: Request) -> bytes:
        """Hash what a reply depends on: the scope, and every field of the request but its metadata."""
        messages, temperature, n, max_tokens, answers, schema, logprobs, seed, draw, _ = request
        question = (messages, n, max_tokens, answers, schema, logprobs)
        prompt, asked = self._prompts.get(question) or self._remember(question)
        step, agent, source, repeat, ask = draw
        if step is not self._step:
            self._step, self._spelt_step = step, repr(step)
        # What `repr(request[1:-1])` gives, which takes twice as long.
        drawn = f"({self._spelt_step}, {agent!r}, {source!r}, {repeat!r}, {ask!r})"
        key = prompt.copy()
        key.update(f"({temperature!r}, {asked}, {seed!r}, {drawn})".encode())
        return self._scope + bytes(key.digest())

    def _remember(self, question: _Question) -> tuple[Any, str]:
        """Hash the messages, and spell the rest of what many draws share."""
        if len(self._prompts) >= self._prompts_remembered:
            self._prompts.clear()
        messages, *rest = question
        prompt = hashlib.blake2b(repr(messages).encode(), digest_size=_DRAW_BYTES)
        found = self._prompts[question] = prompt, ", ".join(map(repr, rest))
        return found

    def _find(self, key: bytes, request: Request) -> Reply | None:
        """Read the reply under a known key; None, and forgotten, if there is none that can be used."""
        try:
            text = self._writer.pending.get(key) or self._shelf.get(key)
            if text is not None:
                return _parse(text, request)
        except TROUBLE as error:
            self._complain(f"{self._folder}: a remembered reply is refused and asked again: {error}")
        self._known.discard(key)
        return None

    def _pass_on_troubles(self) -> None:
        while self._writer.troubles:
            self._complain(self._writer.troubles.popleft())


class _Writer:
    """Writes entries behind, in a thread: in a transaction for what came within a tenth of a second.

    Attributes:
        pending: Entries not yet written, which can be read here.
        troubles: Sentences about what could not be written, for the event loop to pass on.
    """

    def __init__(self, shelf: Shelf, folder: Path, group_s: float, group_rows: int) -> None:
        self.pending: dict[bytes, str] = {}
        self.troubles: deque[str] = deque()
        self._shelf = shelf
        self._folder = folder
        self._group_s = group_s
        self._group_rows = group_rows
        self._new: deque[tuple[bytes, str]] = deque()
        self._due_in: asyncio.AbstractEventLoop | None = None
        self._thread = ThreadPoolExecutor(1, "agentnet-cache")
        self._n_lost = 0
        self._has_given_up = False
        self._is_ending = False

    def put(self, key: bytes, text: str) -> None:
        """Take an entry; it can be read at once."""
        self.pending[key] = text
        self._new.append((key, text))
        loop = asyncio.get_running_loop()
        if self._due_in is not loop:
            self._due_in = loop
            loop.call_later(self._group_s, self._begin)

    def _begin(self) -> None:
        self._due_in = None
        with suppress(RuntimeError):  # it was closed meanwhile, and all is written
            self._thread.submit(self._write_new)

    async def flush(self) -> None:
        """Return once all that came so far is written, or cannot be."""
        await asyncio.shield(asyncio.wrap_future(self._thread.submit(self._write_new)))

    def close(self) -> None:
        """Write what is left, and end; can be called again."""
        self._is_ending = True
        with suppress(RuntimeError):
            self._thread.submit(self._write_new)
            self._thread.submit(self._shelf.close)
        self._thread.shutdown()
        if self._n_lost:
            self.troubles.append(f"{self._folder}: {self._n_lost:,} replies could not be remembered")
            self._n_lost = 0

    def _write_new(self) -> None:
        while group := [self._new.popleft() for _ in range(min(len(self._new), self._group_rows))]:
            self._write(group)

    def _write(self, group: list[tuple[bytes, str]]) -> None:
        try:
            # A file that cannot be written may make each try wait: at the end, one is enough.
            if self._has_given_up:
                self._n_lost += len(group)
            else:
                self._shelf.put_all(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, a run must not depend on its cache
            self._lose(len(group), error)
        for key, _ in group:
            self.pending.pop(key, None)

    def _lose(self, n_rows: int, error: Exception) -> None:
        # Replies are in the event log too: losing them here costs money after a crash, not results.
        if self._n_lost == 0:
            self.troubles.append(
                f"{self._shelf.unusable(error)}; the run goes on, its replies are not remembered"
            )
        self._n_lost += n_rows
        self._has_given_up = self._is_ending
        # A transaction that failed to end would keep this connection from beginning another one.
        self._shelf.close()


def _keep_quiet(_: str) -> None:
    """Leave a complaint at that."""


def _is_worth_keeping(request: Request, reply: Reply) -> bool:
    texts = reply.texts
    if request.logprobs and request.answers:
        # However the text ended, and whatever it is: the odds are what was asked for.
        return bool(texts) and reply.logprobs is not None
    if not texts or not all(texts) or (reply.finish and set(reply.finish) != {"stop"}):
        return False
    if request.answers:
        return all(text in request.answers for text in texts)
    return request.schema is None or all(map(_is_json, texts))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _spell(reply: Reply) -> str:
    if reply.logprobs is None:
        usual = (
            reply.texts,
            reply.prompt_tokens,
            reply.completion_tokens,
            reply.model,
            None,
            reply.fingerprint,
        )
        try:
            return msgspec.json.encode(usual).decode()
        except (TypeError, ValueError, OverflowError):  # half a character, say
            return _spell_with_care(reply)
    return _spell_with_care(reply)


def _spell_with_care(reply: Reply) -> str:
    return json.dumps(
        (
            reply.texts,
            reply.prompt_tokens,
            reply.completion_tokens,
            reply.model,
            None if reply.logprobs is None else dict(reply.logprobs),
            reply.fingerprint,
            *(() if reply.logprobs is None else (reply.unlisted, reply.listed)),
        )
    )


def _parse(spelt: object, request: Request) -> Reply:
    """Read a reply back.

    Raises:
        ValueError: It is no reply to `request` that would have been remembered.
    """
    if not isinstance(spelt, str):
        raise ValueError("it is no text")  # noqa: TRY004 - what a file holds is no argument's type
    match json.loads(spelt):
        case [
            [*texts],
            prompt_tokens,
            completion_tokens,
            str() as model,
            dict() | None as logprobs,
            str() | None as fingerprint,
            *beside,
        ] if (
            all(isinstance(text, str) for text in texts)
            and _is_count(prompt_tokens)
            and _is_count(completion_tokens)
            and (logprobs is None or all(isinstance(value, float) for value in logprobs.values()))
            # Those of earlier versions did not say what the server had left out, nor what it had listed.
            and len(beside) == (0 if logprobs is None else 2)
        ):
            counts = (prompt_tokens, completion_tokens)
            reply = Reply(tuple(texts), *counts, model, (), logprobs, fingerprint, attempts=0, cached=True)
            if beside:
                reply = reply._replace(unlisted=_unlisted(beside[0]), listed=_listed(beside[1]))
        case _:
            raise ValueError("it has not the shape of a reply")
    if len(texts) > request.n or not _is_worth_keeping(request, reply):
        raise ValueError("it is not a reply to this request")
    return reply


def _unlisted(spelt: object) -> float | None:
    if spelt is None or isinstance(spelt, float):
        return spelt
    raise ValueError("it does not say what was not listed")


def _listed(spelt: object) -> Listed | None:
    match spelt:
        case None:
            return None
        case [dict() as spellings, float() as rest, int() as n_spellings] if spellings and all(
            isinstance(each, list) and each and all(isinstance(value, float) for value in each)
            for each in spellings.values()
        ):
            return Listed(spellings, rest, n_spellings)
        case _:
            raise ValueError("it does not say what was listed")


def _is_count(value: object) -> bool:
    return value is None or (type(value) is int and value >= 0)
