"""Whose fault an exception is: of an experiment's or plug-in's code, named by file and line, or ours.

Their code runs in many places (as a file is executed, in hooks, in what these import), so its frames in the
trace tell, not the place where the exception is caught.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agentnet.errors import AgentnetError, DesignError, PluginError, UserError
from agentnet.plugins import is_own, place_of

TRACE_HINT = "--traceback shows the whole trace"


def blamed(error: BaseException) -> UserError | None:
    """Say where in an experiment's or a plug-in's code `error` arose.

    Args:
        error: Anything but an intended error, which says what is wrong itself.

    Returns:
        What to raise from it; None if no code of others has to do with it, and of keys that are pressed.
    """
    if isinstance(error, AgentnetError) or (isinstance(error, KeyboardInterrupt) and not is_own(error)):
        return None
    found = place_of(error)
    if found is None:
        return None
    owner, place = found
    words = " ".join(str(error).split())
    what = f"{type(error).__name__}: {words}" if words else type(error).__name__
    if isinstance(error, SystemExit | KeyboardInterrupt):
        what = f"it ends the program ({what}); raise an error that says what is wrong, or return"
    if owner is not None:
        return PluginError(f"a plug-in of {owner} failed ({place}): {what}; mend it ({TRACE_HINT})")
    return DesignError(f"{place}: {what} ({TRACE_HINT})")


@contextmanager
def blaming() -> Iterator[None]:
    """Raise what an experiment's code raises in the body as a `DesignError` that says where."""
    try:
        yield
    except BaseException as error:
        if (found := blamed(error)) is not None:
            raise found from error
        raise
