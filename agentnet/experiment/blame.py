"""Whose fault an exception is: of an experiment's or plug-in's code, named by file and line, or ours.

Their code runs in many places (as a file is executed, in hooks, in what these import), so its frames in the
trace tell, not the place where the exception is caught.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from agentnet.errors import AgentnetError, DesignError, Interrupted, PluginError, UserError
from agentnet.plugins import FILE_PREFIX, brought_by

TRACE_HINT = "--traceback shows the whole trace"


def blamed(error: BaseException) -> UserError | None:
    """Say where in an experiment's or a plug-in's code `error` arose.

    Args:
        error: Anything but an intended error, which says what is wrong itself.

    Returns:
        What to raise from it; None if no code of others has to do with it.
    """
    if isinstance(error, AgentnetError):
        return None
    found = _place(error)
    if found is None:
        return None
    owner, place = found
    words = " ".join(str(error).split())
    what = f"{type(error).__name__}: {words}" if words else type(error).__name__
    if isinstance(error, SystemExit):
        what = f"it ends the program ({what}); raise an error that says what is wrong, or return"
    if owner is not None:
        return PluginError(f"a plug-in of {owner} failed ({place}): {what}; mend it ({TRACE_HINT})")
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


def _place(error: BaseException) -> tuple[str | None, str] | None:
    """Find the innermost line of others' code, also behind what `error` was raised from.

    Returns:
        Whose plug-in it is of, if of one, and the line.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, SyntaxError) and seen.filename and not seen.filename.startswith("<"):
            return None, f"{seen.filename}, line {seen.lineno}"
        frames = [
            (owner, frame.f_code, line)
            for frame, line in traceback.walk_tb(seen.__traceback__)
            for module in [str(frame.f_globals.get("__name__"))]
            if (owner := brought_by(module)) or module.startswith(FILE_PREFIX)
        ]
        if frames:
            owner, code, line = frames[-1]
            name = "" if code.co_name == "<module>" else f", in {code.co_name}"
            return owner, f"{code.co_filename}, line {line}{name}"
        seen = seen.__cause__ or seen.__context__
    return None
