"""Where text meets the terminal: whatever a command prints goes through here.

Replies, servers' words, news, names of files and agents come from anybody. A terminal obeys some of their
characters (escape sequences, backspaces) and hides others (directions of writing, spaces of no width), so
these are spelled out; nothing is read as markup.
"""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, NoReturn

import click

from agentnet.errors import OutputClosed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


class _Aside:
    """Standard output for what is not printed here: standard error, as `out` may be read by a program."""

    def __init__(self, out: Any) -> None:  # noqa: ANN401 - whatever stands for a standard stream
        self.out = out

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(sys.stderr, name)


def printing_alone(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command be all that prints to standard output: plug-ins and what these import print aside."""

    @wraps(command)
    def alone(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - click's
        if None in (sys.stdout, sys.stderr):
            return command(*arguments, **options)
        with redirect_stdout(_Aside(_out())):
            return command(*arguments, **options)

    return alone


def _out() -> Any:  # noqa: ANN401 - whatever stands for a standard stream
    return sys.stdout.out if isinstance(sys.stdout, _Aside) else sys.stdout


_GONE = frozenset({errno.EPIPE, errno.EIO})


def plain(text: str) -> str:
    r"""Spell out every character that a terminal would obey or hide; lines and tabs stay.

    Examples:
        >>> print(plain("red\x1b[31m, \u202ebackwards"))
        red\x1b[31m, \u202ebackwards
    """
    return text.translate({ord(char): _spelled(char) for char in set(text) if _is_hidden(char)})


def plain_json(value: object) -> str:
    """Write `value` as JSON, with the characters that `plain` spells out as JSON spells them.

    What is no number, or infinite, JSON has no word for: it is null.
    """
    text = json.dumps(_numbered(value), ensure_ascii=False, indent=2, default=str)
    return text.translate({ord(char): json.dumps(char)[1:-1] for char in set(text) if _is_hidden(char)})


def _numbered(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _numbered(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_numbered(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_hidden(char: str) -> bool:
    return not (char.isprintable() or char in "\n\t" or unicodedata.category(char) == "Zs")


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def echo(message: object = "", *, err: bool = False, end: str = "\n") -> None:
    """Print a line to standard output, or to standard error.

    Args:
        message: What to print, as `plain` spells it.
        err: Whether it is for people only.
        end: What ends it.

    Raises:
        OutputClosed: Nobody reads it any more.
    """
    with until_closed(err=err):
        click.echo(plain(str(message)) + end, err=err, nl=False)


def redraw(line: str, width: int, *, end: str = "") -> None:
    """Write a line of standard error anew, over what stood in it.

    Args:
        line: What it says, at most `width` characters.
        width: Its characters, blanks included.
        end: What follows it.

    Raises:
        OutputClosed: Nobody reads it any more.
    """
    with until_closed(err=True):
        sys.stderr.write(f"\r{plain(line).ljust(width)}{end}")
        sys.stderr.flush()


def console(*, width: int | None = None) -> Console:
    """Make a console for tables on standard output, whose texts are `plain` and no markup."""
    return _plain_console()(file=_out(), width=width, markup=False, emoji=False, highlight=False)


@cache
def _plain_console() -> type[Console]:
    from rich.console import Console

    class PlainConsole(Console):
        """Spells out what rich is given as a plain string, before it is measured."""

        def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own options
            return super().render_str(plain(text), **options)

        def on_broken_pipe(self) -> NoReturn:
            # rich would end the program here.
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    return PlainConsole


@contextmanager
def until_closed(*, err: bool = False) -> Iterator[None]:
    """Turn the trouble of printing for nobody into `OutputClosed`, once: what is printed later is dropped.

    Who lives on when the terminal hangs up (``nohup``) also lives on unread.
    """
    out = _out()
    try:
        with nullcontext() if err else redirect_stdout(out):
            yield
    except OSError as error:
        if error.errno not in _GONE:
            raise
        _mute(sys.stderr if err else out)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            raise OutputClosed("nobody reads the output any more") from None


def _mute(stream: Any) -> None:  # noqa: ANN401 - whatever stands for a standard stream
    """Send what else is printed nowhere, also what Python flushes as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
