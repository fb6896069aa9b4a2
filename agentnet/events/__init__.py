"""The event log of a run: one SQLite file that everything else reads.

`agentnet.events.schema` documents its tables.
"""

from typing import TYPE_CHECKING

from agentnet.events.checksums import check_unchanged, verify
from agentnet.events.read import LOG_NAME, Run, is_closed_for_good
from agentnet.events.schema import SCHEMA_VERSION, TABLES, VIEWS
from agentnet.later import later
from agentnet.vocabulary import ANSWER_KINDS, DECISION_KINDS

if TYPE_CHECKING:
    from agentnet.events.log import Answered, Columns, EventLog, Heard, Recorded, Said
    from agentnet.events.opening import check_unplayed, close_for_good, create_log, is_played

# Whoever reads a log does without what writes one.
_OF_LOG = ("Answered", "Columns", "EventLog", "Heard", "Recorded", "Said")
_DOING = ("check_unplayed", "close_for_good", "create_log", "is_played")
__getattr__, __dir__ = later(__name__, {".log": _OF_LOG, ".opening": _DOING})

__all__ = [
    "ANSWER_KINDS",
    "DECISION_KINDS",
    "LOG_NAME",
    "SCHEMA_VERSION",
    "TABLES",
    "VIEWS",
    "Answered",
    "Columns",
    "EventLog",
    "Heard",
    "Recorded",
    "Run",
    "Said",
    "check_unchanged",
    "check_unplayed",
    "close_for_good",
    "create_log",
    "is_closed_for_good",
    "is_played",
    "verify",
]
