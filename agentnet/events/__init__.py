"""The event log of a run: one SQLite file that everything else reads.

`agentnet.events.schema` documents its tables.
"""

from agentnet.events.log import Answered, EventLog, Recorded, close_for_good, create_log
from agentnet.events.read import LOG_NAME, Run
from agentnet.events.schema import SCHEMA_VERSION, TABLES

__all__ = [
    "LOG_NAME",
    "SCHEMA_VERSION",
    "TABLES",
    "Answered",
    "EventLog",
    "Recorded",
    "Run",
    "close_for_good",
    "create_log",
]
