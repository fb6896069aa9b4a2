"""Write a run's tables in other programs' formats. Everything goes to a temporary name first, then is renamed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from agentnet.errors import StorageError
from agentnet.events.read import Run
from agentnet.events.schema import TABLES

_ROWS_AT_ONCE = 100_000


def export_parquet(run: Run, folder: Path) -> None:
    """Write each table, and the view ``decisions``, as one Parquet file.

    Args:
        run: The run.
        folder: Where to; made anew, whole or not at all.
    """
    raise NotImplementedError
