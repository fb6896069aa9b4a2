"""`Run`: a run folder as scripts and notebooks have it, read and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentnet import events

if TYPE_CHECKING:
    import pandas as pd


class Run(events.Run):
    """A run folder whose event log is read; in a notebook it shows what was played, and how far it is.

    Args:
        folder: The run folder, as a path or a text.

    Raises:
        RunFolderError: It holds no event log, a damaged one, or one of another schema.
    """

    __slots__ = ()

    def compare(self, measure: str = "final_engagement", **how: Any) -> pd.DataFrame:  # noqa: ANN401 - compare's own
        """Compare the conditions of the run: a row a contrast, with its interval, paired by news and repeat.

        Args:
            measure: What they are compared in; see `agentnet.analysis.compare`, which also tells what each
                condition came to.
            how: Its other arguments.

        Raises:
            UserError: There are not two conditions to compare in this measure.
        """
        from agentnet.analysis import compare

        return compare(self, measure, **how).frame()
