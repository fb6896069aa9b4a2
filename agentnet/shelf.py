"""diskcache made safe: whatever stands in its file, nothing of it is executed, no other file read or removed.

diskcache unpickles values and keys that are marked so, JSONDisk included (CVE-2025-69872), reads and removes
files by names that stand in its table, and takes attributes and PRAGMA statements from its settings. A cache
folder that was copied from elsewhere may hold anything; here the file can at most hold wrong text or bytes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn

import diskcache
from diskcache.core import DEFAULT_SETTINGS, ENOVAL, METADATA, MODE_RAW

from agentnet.errors import StorageError

# Without bound and without eviction: by default the oldest replies go silently beyond a gigabyte. Without
# memory mapping: a file that another process cuts short would end this one by a signal.
_SETTINGS: Final = MappingProxyType(
    {
        **DEFAULT_SETTINGS,
        "eviction_policy": "none",
        "cull_limit": 0,
        "size_limit": 2**62,
        "sqlite_mmap_size": 0,
        "sqlite_trusted_schema": 0,
    }
)

_TIMEOUT_S: Final = 10.0
_ROWS_IN_STATEMENT: Final = 256
_INSERT: Final = (
    "INSERT INTO Cache (key, raw, store_time, access_time, mode, value)"
    " SELECT column1, 1, ?1, ?1, ?2, column2 FROM (VALUES {}) WHERE true"
    " ON CONFLICT (key, raw) DO UPDATE SET store_time = excluded.store_time, expire_time = NULL, tag = NULL,"
    " size = 0, mode = excluded.mode, filename = NULL, value = excluded.value"
)

_SELECT: Final = (
    "SELECT key, value FROM Cache WHERE raw = 1 AND mode = ? AND filename IS NULL AND key IN ({})"
)

Value = str | bytes

TROUBLE: Final = (
    sqlite3.Error,
    sqlite3.Warning,
    diskcache.Timeout,
    OSError,
    ValueError,
    TypeError,
    RecursionError,
)
"""What reading or writing a shelf may raise, whatever stands in its file."""


class RawDisk(diskcache.Disk):  # type: ignore[misc] # diskcache has no types
    """Lets bytes through as keys, text and bytes as values; all else is refused, on the way in and out.

    Args:
        directory: Where diskcache would put files.
        settings: What the file's settings say of a disk; passed over.
    """

    def __init__(self, directory: str, **settings: object) -> None:  # noqa: ARG002 - diskcache's signature
        super().__init__(directory)

    def put(self, key: object) -> tuple[object, bool]:
        """Accept a key of bytes."""
        if not isinstance(key, bytes):
            raise TypeError(f"a key is bytes, not {type(key).__name__}")
        return sqlite3.Binary(key), True

    def get(self, key: object, raw: bool) -> NoReturn:  # noqa: ARG002 - diskcache's signature
        """Refuse to read keys back: diskcache unpickles them here. `Shelf.keys` lists them."""
        raise ValueError("keys are not read back")

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, Value]:  # noqa: ARG002 - likewise
        """Accept a value of text or bytes."""
        if not isinstance(value, (str, bytes)) or read:
            raise TypeError(f"a value is text or bytes, not {type(value).__name__}")
        return 0, MODE_RAW, None, value

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> Value:
        """Give a value back if it is text or bytes that stand in the table itself."""
        if mode != MODE_RAW or filename is not None or not isinstance(value, (str, bytes)) or read:
            raise ValueError(f"its mode is {mode}, which would read a file or unpickle; refused")
        return value

    def remove(self, file_path: str) -> None:
        """Leave files alone: no value has one, and a planted name may lead anywhere."""


class Shelf(diskcache.Cache):  # type: ignore[misc] # diskcache has no types
    """Texts or bytes by keys of bytes, in one SQLite file that several processes may use at once.

    Args:
        folder: Where the file lies; made if it is not there, mode 0700 in any case.
        way_out: What a user may do about a shelf of no use, beside mending or removing its folder.

    Raises:
        StorageError: It cannot be made or opened.
    """

    def __init__(self, folder: Path, *, way_out: str) -> None:
        self._way_out = way_out
        # Absolute: threads open the file when they need it, wherever the process has moved by then.
        path = str(folder.absolute())
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
            super().__init__(path, timeout=_TIMEOUT_S, disk=RawDisk, **_SETTINGS)
            if self.directory != path:
                raise ValueError("its path has a '$' that diskcache would replace")
        except TROUBLE as error:
            if hasattr(self, "_local"):
                self.close()
            raise _unusable(folder, error, way_out) from error

    def unusable(self, error: BaseException) -> StorageError:
        """Say that the shelf is of no use."""
        return _unusable(Path(self.directory), error, self._way_out)

    def reset(self, key: str, value: object = ENOVAL, update: bool = True) -> Any:  # noqa: ANN401 - likewise
        """Set what a setting is here, whatever the file says it is; unknown settings are passed over."""
        if key in METADATA:
            return super().reset(key, value, update)
        return super().reset(key, _SETTINGS[key], update) if key in _SETTINGS else value

    def keys(self, prefix: bytes, length: int) -> set[bytes]:
        """List the keys of `length` bytes that begin with `prefix`.

        Raises:
            StorageError: The file is damaged.
        """
        query = "SELECT key FROM Cache WHERE key BETWEEN ? AND ? AND length(key) = ? AND raw = 1"
        try:
            rows = self._sql(query, (prefix, prefix.ljust(length, b"\xff"), length))
            return {key for (key,) in rows}
        except TROUBLE as error:
            raise self.unusable(error) from error
        finally:
            # Each thread opens a connection of its own when it needs one: this may not be the loop's thread.
            self.close()

    def get_all(self, keys: Iterable[bytes]) -> dict[bytes, object]:
        """Read what stands under `keys`; those under which nothing stands are missing.

        A value is whatever the file holds there: its reader checks it.

        Raises:
            sqlite3.Error: The file cannot be read.
        """
        rest = iter(keys)
        found: dict[bytes, object] = {}
        while group := tuple(islice(rest, _ROWS_IN_STATEMENT)):
            places = ", ".join("?" * len(group))
            found.update(self._sql(_SELECT.format(places), (MODE_RAW, *group)))
        return found

    def put_all(self, rows: Iterable[tuple[bytes, Value]]) -> None:
        """Write rows in one transaction; what stood under their keys goes.

        ``Cache.set`` takes four times as long, and gives the interpreter's lock away with each of its two or
        three statements a row: while the event loop is busy, that is a wait of 5 ms every time.

        Raises:
            sqlite3.Error: The transaction failed.
            diskcache.Timeout: Another process has locked the file for too long, or it cannot be written.
        """
        # For bytes, unlike a bytearray, Python's sqlite3 looks each time for somebody who adapts them.
        rest = [(bytearray(key), value) for key, value in rows]
        with self.transact():
            while rest:
                # By powers of two: a statement of a length that is new would have to be compiled each time.
                n_rows = min(_ROWS_IN_STATEMENT, 1 << (len(rest).bit_length() - 1))
                group, rest = rest[:n_rows], rest[n_rows:]
                values = ", ".join(["(?, ?)"] * n_rows)
                self._sql(_INSERT.format(values), (time.time(), MODE_RAW, *chain.from_iterable(group)))


def _unusable(folder: Path, error: BaseException, way_out: str) -> StorageError:
    return StorageError(
        f"{folder}: the cache cannot be used ({type(error).__name__}: {error}); mend or remove the folder, "
        f"{way_out}"
    )
