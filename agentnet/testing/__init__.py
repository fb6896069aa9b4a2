"""What authors of backends and of experiments need for their tests.

`conformance` holds the backend contract as checks, `doubles` backends that follow a script, `virtual_time` an
event loop in which waiting costs nothing. No test framework is needed for any of them.
"""

from agentnet.testing.conformance import CHECKS, ConformanceError, Subject, check_backend, run_check
from agentnet.testing.doubles import Answer, Script, ScriptedBackend
from agentnet.testing.virtual_time import (
    Deadlock,
    VirtualTimeLoop,
    run_in_virtual_time,
    timed_in_virtual_time,
)

__all__ = [
    "CHECKS",
    "Answer",
    "ConformanceError",
    "Deadlock",
    "Script",
    "ScriptedBackend",
    "Subject",
    "VirtualTimeLoop",
    "check_backend",
    "run_check",
    "run_in_virtual_time",
    "timed_in_virtual_time",
]
