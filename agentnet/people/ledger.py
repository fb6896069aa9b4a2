"""What a run knows of the people in it beside its log: who came, where they sit, what they said.

One file of JSON lines in the run folder, which its owner alone may read. Lines are only added, and whoever
opens the file again plays them back: so everybody finds their place after a crash, and nobody is asked twice.
It is no part of what is analysed: once a run has ended, it may be deleted.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from agentnet.errors import StorageError
from agentnet.files import new_file, storage_errors

LEDGER_NAME: Final = "people.jsonl"
_TOKEN_LENGTH: Final = 32
_FULL: Final = "free space, then resume the run"

Line = Mapping[str, Any]


class Ledger:
    """The file, open for more.

    Args:
        folder: The run folder.

    Attributes:
        lines: What stood in it when it was opened, in order.

    Raises:
        StorageError: It cannot be read or made.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_NAME
        with storage_errors(self.path, "people cannot be recorded", _FULL):
            self._open()
            whole, _, torn = self.path.read_bytes().rpartition(b"\n")
            if torn:
                # Whoever wrote it was killed within the line: nobody was told that it stands there.
                os.ftruncate(self._file, len(whole) + bool(whole))
        try:
            self.lines: list[Line] = [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise StorageError(
                f"{self.path} is damaged ({error}): mend the line, or move the file away, and all "
                "begin anew by new links"
            ) from error
        secret = next((line["secret"] for line in self.lines if "secret" in line), None)
        if secret is None:
            secret = secrets.token_hex(32)
            self.add("opened", secret=secret)
        self._secret = bytes.fromhex(secret)

    def _open(self) -> None:
        flags = os.O_CREAT | os.O_RDWR | os.O_APPEND
        self._file = os.open(self.path, flags, 0o600)
        self.path.chmod(0o600)

    def token(self, purpose: str) -> str:
        """Derive what nobody can guess, and the same at every sitting: the key to a person's page, say."""
        made = hmac.digest(self._secret, purpose.encode(), hashlib.sha256)
        return urlsafe_b64encode(made).decode()[:_TOKEN_LENGTH]

    def add(self, what: str, **facts: object) -> None:
        """Add a line; a kill of this process cannot lose it any more.

        Raises:
            StorageError: It cannot be written.
        """
        line = json.dumps({"what": what, "at": round(time.time(), 3), **facts}, ensure_ascii=True)
        left = memoryview(line.encode() + b"\n")
        with storage_errors(self.path, "people cannot be recorded", _FULL):
            n_bytes = os.fstat(self._file).st_size
            try:
                while left:
                    left = left[os.write(self._file, left) :]
            except OSError:
                # Half a line would be taken for the beginning of the next.
                os.ftruncate(self._file, n_bytes)
                raise

    def sync(self) -> None:
        """Return once a power cut cannot lose what was added."""
        os.fsync(self._file)

    def rewrite(self, change: Callable[[Line], Line]) -> None:
        """Write every line anew as `change` gives it: what it leaves out is in no file of the run any more.

        Raises:
            StorageError: It cannot be written.
        """
        lines = [change(json.loads(line)) for line in self.path.read_bytes().splitlines()]
        with storage_errors(self.path, "texts cannot be forgotten", _FULL):
            write_privately(self.path, (json.dumps(line) + "\n" for line in lines))
            self.close()
            self._open()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def write_privately(path: Path, lines: Iterable[str]) -> None:
    """Write a file that its owner alone may read, from its first moment on.

    Raises:
        OSError: It cannot be written.
    """
    with new_file(path) as file:
        Path(file.name).chmod(0o600)
        file.writelines(line.encode() for line in lines)
