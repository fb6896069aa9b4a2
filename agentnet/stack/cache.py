"""Remember replies on disk: the same draw asked again, after a crash or by a repeated run, costs nothing.

The key holds the draw key, so two exposures never share an answer. Values are JSON text in diskcache's SQLite
file; its Disk class still unpickles a row that was planted (CVE-2025-69872), so a Disk of our own refuses
every mode but raw. One thread writes behind, in groups: a write costs 53 us and stalls the loop for up to 9 ms
inline, 14 us and 0.3 ms so. A reply that is lost because the process dies before it is written is asked again,
like one that was on its way; what the engine acts upon is in the event log first.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import diskcache

from agentnet.backend import Backend, Messages, Reply, Request
from agentnet.errors import StorageError

SCHEMA_VERSION = 1

_GROUP_S = 0.02
_GROUP_ROWS = 1000
_PROMPTS_REMEMBERED = 10_000


class RawDisk(diskcache.Disk):  # type: ignore[misc] # diskcache has no types
    """Stores and fetches text and bytes as they are; anything else is refused, on the way in and out."""

    def put(self, key: object) -> tuple[object, bool]:
        """Accept a key of bytes."""
        if not isinstance(key, bytes):
            raise TypeError(f"a cache key is bytes, not {type(key).__name__}")
        return sqlite3.Binary(key), True

    def get(self, key: object, raw: bool) -> bytes:
        """Give a key back; one that was stored otherwise is refused, since reading it would unpickle."""
        if not raw or not isinstance(key, bytes | memoryview):
            raise ValueError("a key of the cache is not bytes: refused")
        return bytes(key)

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, str]:  # noqa: ARG002
        """Accept a value of text."""
        if not isinstance(value, str) or read:
            raise TypeError(f"a cached value is text, not {type(value).__name__}")
        return 0, diskcache.core.MODE_RAW, None, value

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> str:
        """Give a value back; every mode but raw text is refused."""
        if mode != diskcache.core.MODE_RAW or filename is not None or not isinstance(value, str) or read:
            raise ValueError(
                f"a value of the cache has mode {mode}, which would read a file or unpickle: refused"
            )
        return value


class Cache:
    """Answers from the disk what it has; otherwise asks `inner` and remembers the reply.

    Refusals, truncated and empty replies, and replies that break the request's constraint are not remembered.

    Args:
        inner: The backend asked on a miss.
        folder: Where the cache lives; made with mode 0700.
        scope: What all requests have in common beside the model (a base URL, say): part of every key.
        complain: Called with a sentence when an entry is damaged or the cache cannot be written.

    Raises:
        StorageError: The folder cannot be made or opened.
    """

    def __init__(
        self, inner: Backend, folder: Path, *, scope: str = "", complain: Callable[[str], None] | None = None
    ) -> None:
        self._inner = inner
        self._folder = folder
        self._complain = complain or (lambda _: None)
        self._tag = hashlib.sha256(
            repr((SCHEMA_VERSION, inner.name, inner.model_name, scope)).encode()
        ).hexdigest()
        self._disk = _open(folder)
        self._known = _keys(self._disk, self._tag)
        self._written: dict[bytes, str] = {}
        self._prompts: dict[Messages, bytes] = {}
        self._writer = _Writer(self._disk, self._tag, self._complain)
        self.hits = 0
        self.misses = 0

    @property
    def name(self) -> str:
        """The plug-in's name."""
        return self._inner.name

    @property
    def model_name(self) -> str:
        """The language model asked."""
        return self._inner.model_name

    async def complete(self, request: Request) -> Reply:
        """Answer `request` from the disk if its draw was answered before."""
        key = self.key(request)
        if key in self._known and (found := self._read(key, request)) is not None:
            self.hits += 1
            return found
        self.misses += 1
        reply = await self._inner.complete(request)
        if _is_worth_keeping(request, reply):
            self._writer.put(key, _spell(reply))
            self._known.add(key)
        return reply

    async def aclose(self) -> None:
        """Write what is left, close the cache and the inner backend."""
        await asyncio.to_thread(self._writer.close)
        self._disk.close()
        await self._inner.aclose()

    def key(self, request: Request) -> bytes:
        """Hash what makes a reply its own: model, prompt, parameters and draw key."""
        prompt = self._prompts.get(request.messages)
        if prompt is None:
            if len(self._prompts) >= _PROMPTS_REMEMBERED:
                self._prompts.clear()
            prompt = hashlib.sha256(repr((self._tag, request.messages)).encode("utf-8", "replace")).digest()
            self._prompts[request.messages] = prompt
        rest = repr((request.temperature, request.n, request.max_tokens, request.answers, request.schema,
                     request.logprobs, request.seed, request.draw))  # fmt: skip
        return hashlib.blake2b(rest.encode("utf-8", "replace"), key=prompt, digest_size=16).digest()

    def _read(self, key: bytes, request: Request) -> Reply | None:
        text = self._writer.pending.get(key)
        try:
            text = self._disk.get(key, retry=True) if text is None else text
            reply = None if text is None else _parse(text)
        except (ValueError, TypeError, KeyError, sqlite3.Error, diskcache.Timeout) as error:
            self._complain(f"{self._folder}: a cached reply is damaged and asked again ({error})")
            reply = None
        if reply is None or not _is_worth_keeping(request, reply):
            self._known.discard(key)
            return None
        return reply


class _Writer(threading.Thread):
    """Writes entries behind, a transaction for what came within 20 ms."""

    def __init__(self, disk: Any, tag: str, complain: Callable[[str], None]) -> None:  # noqa: ANN401 - untyped
        super().__init__(name="agentnet-cache", daemon=True)
        self._disk = disk
        self._tag = tag
        self._complain = complain
        self._queue: SimpleQueue[tuple[bytes, str] | None] = SimpleQueue()
        self._ending = threading.Event()
        self.pending: dict[bytes, str] = {}
        self.start()

    def put(self, key: bytes, text: str) -> None:
        """Take an entry; it can be read at once."""
        self.pending[key] = text
        self._queue.put((key, text))

    def close(self) -> None:
        """Write what is left and end."""
        self._ending.set()
        self._queue.put(None)
        self.join()

    def run(self) -> None:
        """Write until closed."""
        is_open = True
        while is_open:
            group, is_open = self._take()
            if group:
                self._write(group)
        self._disk.close()

    def _take(self) -> tuple[list[tuple[bytes, str]], bool]:
        first = self._queue.get()
        if first is None:
            return [], False
        self._ending.wait(_GROUP_S)
        group = [first]
        while len(group) < _GROUP_ROWS:
            try:
                following = self._queue.get_nowait()
            except Empty:
                break
            if following is None:
                return group, False
            group.append(following)
        return group, True

    def _write(self, group: list[tuple[bytes, str]]) -> None:
        try:
            with self._disk.transact(retry=True):
                for key, text in group:
                    self._disk.set(key, text, tag=self._tag, retry=True)
        except (sqlite3.Error, diskcache.Timeout, OSError) as error:
            # Replies are in the event log too: losing the cache costs money after a crash, not results.
            self._complain(
                f"the cache cannot be written ({error}); the run goes on without remembering replies"
            )
        for key, _ in group:
            self.pending.pop(key, None)


def _open(folder: Path) -> Any:  # noqa: ANN401 - diskcache has no types
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(folder, 0o700)  # noqa: PTH101 - an existing folder too
        # Eviction is off: by default a gigabyte is the bound, and the oldest replies go silently.
        return diskcache.Cache(
            str(folder), disk=RawDisk, eviction_policy="none", cull_limit=0, size_limit=2**62, tag_index=1
        )
    except (OSError, sqlite3.Error, diskcache.Timeout, ValueError) as error:
        raise StorageError(
            f"{folder}: the cache cannot be opened ({error}); mend or remove the folder, or switch the cache off "
            "by -S stack.cache=false"
        ) from error


def _keys(disk: Any, tag: str) -> set[bytes]:  # noqa: ANN401 - diskcache has no types
    """List the keys of one scope, so that a miss needs no look at the disk: most lookups are misses."""
    connection = disk._sql  # noqa: SLF001 - diskcache iterates over all keys, of all scopes, one by one
    rows = connection("SELECT key FROM Cache WHERE tag = ? AND raw = 1", (tag,)).fetchall()
    return {bytes(key) for (key,) in rows if isinstance(key, bytes)}


def _is_worth_keeping(request: Request, reply: Reply) -> bool:
    if set(reply.finish) - {"stop"} or not all(reply.texts):
        return False
    return not request.answers or all(text in request.answers for text in reply.texts)


def _spell(reply: Reply) -> str:
    logprobs = None if reply.logprobs is None else dict(reply.logprobs)
    return json.dumps(
        [
            reply.texts,
            reply.prompt_tokens,
            reply.completion_tokens,
            reply.model,
            logprobs,
            reply.fingerprint,
        ]
    )


def _parse(text: str) -> Reply:
    """Read a reply back.

    Raises:
        ValueError: It is no cached reply.
    """
    match json.loads(text):
        case [
            [*texts],
            int() | None as prompt_tokens,
            int() | None as completion_tokens,
            str() as model,
            dict() | None as logprobs,
            str() | None as fingerprint,
        ] if texts and all(isinstance(t, str) for t in texts):
            return Reply(
                tuple(texts),
                prompt_tokens,
                completion_tokens,
                model,
                (),
                logprobs,
                fingerprint,
                attempts=0,
                cached=True,
            )
        case _:
            raise ValueError("not a cached reply")
