"""How a command ends that does not end well: words, an exit code, and the trace if it is wanted."""

from __future__ import annotations

import errno
import io
import traceback
from dataclasses import dataclass
from pathlib import Path

import click

from agentnet.cli.terminal import echo
from agentnet.errors import AgentnetError, Interrupted, OutputClosed, StorageError, UserError

_MACHINES_FAULT = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EMFILE,
        errno.ENFILE,
        errno.EIO,
    }
)
_NO_NAMES = frozenset({errno.ENAMETOOLONG, errno.ELOOP})


@dataclass(slots=True)
class Wishes:
    """What the command line says of how the program ends.

    Attributes:
        trace: Whether errors are followed by their whole trace.
    """

    trace: bool = False


def add_traceback_option(command: click.Command) -> None:
    """Add ``--traceback`` to a command."""
    command.params.append(
        click.Option(
            ["--traceback"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            envvar="AGENTNET_TRACEBACK",
            show_envvar=True,
            callback=_wish,
            help="After an error, print where it arose.",
        )
    )


def _wish(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.ensure_object(Wishes).trace |= value


def told(error: BaseException, *, trace: bool) -> int:
    """Tell the user what ended the program.

    Args:
        error: What did.
        trace: Whether the whole trace is wanted.

    Returns:
        The exit code.
    """
    try:
        code = _told(error)
        if trace:
            echo("".join(traceback.format_exception(error)), err=True, end="")
    except OutputClosed as closed:
        return closed.exit_code
    except OSError:
        # Where the words cannot be written either, say by an error's full disk, the code is all that is told.
        return StorageError.exit_code
    return code


def _told(error: BaseException) -> int:
    match error:
        case click.ClickException():
            words = io.StringIO()
            error.show(words)
            echo(words.getvalue(), err=True, end="")
            return 2
        case OutputClosed():
            return error.exit_code
        # Click makes one of keys that are pressed, of an experiment's own `raise`, and of an end of input.
        case click.Abort() if error.__cause__ is not None:
            return _told(error.__cause__)
        case _:
            intended = _intended(error)
            if intended is None and isinstance(error, KeyboardInterrupt | click.Abort):
                echo("interrupted", err=True)
                return Interrupted.exit_code
            echo(f"error: {intended or _apology(error)}", err=True)
            return 4 if intended is None else intended.exit_code


def _intended(error: BaseException) -> AgentnetError | None:
    """Find whose fault `error` is, if not ours: the caller's, an experiment's, the machine's."""
    if isinstance(error, AgentnetError):
        return error
    from agentnet.experiment.blame import blamed

    if (found := blamed(error)) is not None:
        return found
    if isinstance(error, MemoryError):
        return StorageError("this machine has no memory left for it")
    return _of_the_system(error) if isinstance(error, OSError) else None


def _of_the_system(error: OSError) -> AgentnetError | None:
    if error.errno in _MACHINES_FAULT:
        return StorageError(str(error))
    if error.errno in _NO_NAMES:
        return UserError(f"{error}; name another file or folder")
    if isinstance(error, FileNotFoundError) and _is_lost():
        return UserError("the folder that the command is called from is gone: cd to another")
    return None


def _is_lost() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _apology(error: BaseException) -> str:
    from agentnet.experiment.blame import TRACE_HINT

    where = traceback.extract_tb(error.__traceback__)[-1]
    words = " ".join(str(error).split())
    return (
        f"agentnet itself failed ({where.filename}, line {where.lineno}): {type(error).__name__}: {words}. "
        "This is a mistake of ours, or of a plug-in's: please report it with the command and its trace "
        f"({TRACE_HINT}). What a run has recorded is safe"
    )
