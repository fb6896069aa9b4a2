"""The errors that agentnet raises on purpose.

    AgentnetError
    ├── UserError              the caller can mend it                    exit code 2
    │   ├── ConfigurationError     a setting: its file or flag, its key
    │   ├── DesignError            an experiment that cannot be played
    │   ├── InputError             a data file: its name, row, field
    │   ├── PluginError            unknown, duplicate or broken plug-in
    │   └── RunFolderError         not a run, or a run of something else
    ├── WorldError             the world failed; the run can be resumed  exit code 3
    │   ├── StorageError           disk full, folder not writable
    │   ├── BackendError           what a backend may raise
    │   │   ├── TransientError         another try can help
    │   │   │   └── ServerUnreachable      no server took the request
    │   │   ├── RequestRejected        this request can never succeed
    │   │   └── BackendUnusable        no request can succeed: stop the run
    │   └── RunStopped             a bound or policy ended the run
    │       └── Interrupted            the user did                      exit code 130
    │           └── OutputClosed           by leaving, as `head` does    exit code 141
    ├── MissingAnswers         a run ended, but lacks too many answers   exit code 5
    └── InternalError          a bug of ours: please report it           exit code 4

Everything else that reaches a user is a bug. A message says what happened, to whom, and the way out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from agentnet.vocabulary import CONTENT_FILTER


class AgentnetError(Exception):
    """Base of every intended error."""

    exit_code = 4


class UserError(AgentnetError):
    """The caller can mend it."""

    exit_code = 2


class ConfigurationError(UserError):
    """A setting is unknown or has an impossible value."""


class DesignError(UserError):
    """An experiment's design cannot be played."""


class InputError(UserError):
    """A data file cannot be used as it is.

    Args:
        message: What is wrong and the way out.
        path: The file.
        row: Line number in the file, counted from 1, header included.
        field: The column or key.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        row: int | None = None,
        field: str | None = None,
    ) -> None:
        where = [str(path)] if path is not None else []
        where += [f"row {row}"] if row is not None else []
        where += [f"field {field!r}"] if field is not None else []
        super().__init__(f"{', '.join(where)}: {message}" if where else message)
        self.path = path
        self.row = row
        self.field = field


class PluginError(UserError):
    """A plug-in is unknown, stands twice, or cannot be loaded."""


class RunFolderError(UserError):
    """A folder is no run, a run of another schema, or of another experiment."""


class WorldError(AgentnetError):
    """Something outside failed; what was acknowledged is safe and the run can be resumed."""

    exit_code = 3


class StorageError(WorldError):
    """The event log or another file could not be written."""


class BackendError(WorldError):
    """What a backend may raise from `complete`; only the subclasses are raised.

    Args:
        message: What happened and, where there is one, the way out.
        kind: A short stable word for counts and events, such as ``"rate_limit"``.

    Attributes:
        attempts: How many calls were made before giving up (a retrying wrapper sets it); 0 if nobody was
            asked.
        troubles: The kinds of trouble of the attempts before the last.
        status: The status code that a server refused the request with; None where there was none.
        prompt_tokens: Tokens in that the server counted all the same; None if it said nothing.
        completion_tokens: Tokens out, likewise.
        may_be_billed: Whether the server may have done its work though no use can be made of it (a time-out,
            a broken connection): what it does not count is then counted as the most that it can be.
    """

    def __init__(self, message: str, *, kind: str = "failed") -> None:
        super().__init__(message)
        self.kind = kind
        self.status: int | None = None
        self.attempts = 1
        self.troubles: tuple[str, ...] = ()
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.may_be_billed = False


class TransientError(BackendError):
    """Another try can help: rate limit, time-out, broken connection, server trouble, garbled reply.

    Args:
        message: What happened.
        kind: A short stable word for counts and events, such as ``"rate_limit"``.
        retry_after_s: The server's own hint, in seconds.

    Attributes:
        took_s: How long the attempt took, in seconds, without the wait for its turn; None if nobody measured
            it (the in-flight limit does).
    """

    def __init__(self, message: str, *, kind: str = "transient", retry_after_s: float | None = None) -> None:
        super().__init__(message, kind=kind)
        self.retry_after_s = retry_after_s
        self.took_s: float | None = None


class ServerUnreachable(TransientError):
    """Nobody took the request: no connection came about, so nothing was asked and nothing is owed.

    The call says nothing of the request, so it is no missing answer: retries wait for the server, and the run
    stops, resumable, if it stays away. An attempt that ends so is no call.

    Args:
        message: What happened.
        kind: A short stable word for counts and events, such as ``"refused"``.
    """

    def __init__(self, message: str, *, kind: str = "unreachable") -> None:
        super().__init__(message, kind=kind)
        self.attempts = 0


class RequestRejected(BackendError):
    """This request can never succeed (context overflow, content filter); others may.

    Args:
        message: What happened.
        kind: A short stable word for counts and events, such as ``"context_overflow"``.
        is_sure: Whether that is known, and not only likely: a server that answers nobody may say the same.
    """

    def __init__(self, message: str, *, kind: str = "rejected", is_sure: bool = True) -> None:
        super().__init__(message, kind=kind)
        self.is_sure = is_sure


OF_THE_PROMPT: Final = frozenset({CONTENT_FILTER, "context_overflow", "too_large"})
"""Kinds of refusal that belong to a prompt: neither another try nor fewer samples nor other fields help."""


class BackendUnusable(BackendError):
    """No request can succeed (wrong key, unknown model, exhausted quota): the run stops, resumable.

    Args:
        message: What happened and the way out.
        kind: A short stable word, such as ``"unauthorized"``.
    """

    def __init__(self, message: str, *, kind: str = "unusable") -> None:
        super().__init__(message, kind=kind)


class RunStopped(WorldError):
    """A bound or a policy that the user chose ended the run before its end.

    Attributes:
        attempts: How many calls were made for the request that met the bound (a retrying wrapper sets it).
        troubles: The kinds of trouble of those calls.
    """

    attempts: int = 0
    troubles: tuple[str, ...] = ()


class Interrupted(RunStopped):
    """The user ended the run before its end."""

    exit_code = 130


class OutputClosed(Interrupted):
    """Nobody reads what is printed any more: a pipe or the terminal was closed."""

    exit_code = 141


class MissingAnswers(AgentnetError):
    """A run came to its end, but a larger share of its answers is missing than the user allows."""

    exit_code = 5


class InternalError(AgentnetError):
    """A bug of agentnet's own."""


def near_miss(word: str, known: Iterable[str], *, others: bool = False) -> str:
    """Say what `word` may have been meant to be.

    Args:
        word: What was written.
        known: What could have been.
        others: Whether a close match is not enough, for it may be another thing than was meant.

    Returns:
        ``"; did you mean 'x'?"`` for a close match, else ``"; known: a, b"``; with `others`, one after the
        other.

    Examples:
        >>> near_miss("repeat", ["repeats", "steps"])
        "; did you mean 'repeats'?"
    """
    names = sorted(known)
    close = get_close_matches(word, names, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ""
    return meant if close and not others else f"{meant}; known: {', '.join(names)}".replace("?;", "?")


def without_field(reason: str) -> str:
    """Leave out the name of an argument, which says nothing to readers of a report.

    Examples:
        >>> without_field("field 'n_yes': all decisions are yes")
        'all decisions are yes'
    """
    return re.sub(r"\bfield '[\w, ]+': ", "", reason)
