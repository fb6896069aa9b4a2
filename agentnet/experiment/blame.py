"""Whose fault an exception is: of the code of an experiment, which is named by its file and line, or ours.

An experiment's code runs in many places (as the file is executed, in its hooks, in what they import), so its
frames in the trace tell, not the place where the exception is caught.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from agentnet.errors import AgentnetError, DesignError, Interrupted
from agentnet.plugins import FILE_PREFIX

TRACE_HINT = "--traceback shows the whole trace"


def blamed(error: BaseException) -> DesignError | None:
    """Say where in an experiment's code `error` arose.

    Args:
        error: Anything but an intended error, which says what is wrong itself.

    Returns:
        What to raise from it; None if no experiment's code has to do with it.
    """
    if isinstance(error, AgentnetError):
        return None
    place = _place(error)
    if place is None:
        return None
    words = " ".join(str(error).split())
    what = f"{type(error).__name__}: {words}" if words else type(error).__name__
    if isinstance(error, SystemExit):
        what = f"it ends the program ({what}); raise an error that says what is wrong, or return"
    return DesignError(f"{place}: {what} ({TRACE_HINT})")


@contextmanager
def blaming() -> Iterator[None]:
    """Raise what an experiment's code raises in the body as a `DesignError` that says where.

    Raises:
        Interrupted: It raised `KeyboardInterrupt`: keys that are pressed during a run come otherwise.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted by the experiment's own code") from None
    except BaseException as error:
        if (found := blamed(error)) is not None:
            raise found from error
        raise


def _place(error: BaseException) -> str | None:
    """Find the innermost line of an experiment's code, also behind what `error` was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, SyntaxError) and seen.filename and not seen.filename.startswith("<"):
            return f"{seen.filename}, line {seen.lineno}"
        frames = [
            (frame.f_code, line)
            for frame, line in traceback.walk_tb(seen.__traceback__)
            if str(frame.f_globals.get("__name__")).startswith(FILE_PREFIX)
        ]
        if frames:
            code, line = frames[-1]
            name = "" if code.co_name == "<module>" else f", in {code.co_name}"
            return f"{code.co_filename}, line {line}{name}"
        seen = seen.__cause__ or seen.__context__
    return None
