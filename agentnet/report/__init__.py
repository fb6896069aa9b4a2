"""Reports of runs: figures, and the page that shows them; draws from analysis and computes nothing else.

    from agentnet.report import Options, write_report

    write_report(["runs/news_cascade", "runs/response_ratios"], "report", Options(n_groups=2))

`gather` reads runs and asks their families for parts (see `part`), `sections` says what stands where,
`drawings` and `results` write it down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentnet.later import later

if TYPE_CHECKING:
    from agentnet.report.gather import Report as Report
    from agentnet.report.gather import make_report as make_report
    from agentnet.report.options import Options as Options
    from agentnet.report.write import Written as Written
    from agentnet.report.write import write_report as write_report

_NAMES = {
    ".gather": ("Report", "make_report"),
    ".options": ("Options",),
    ".write": ("Written", "write_report"),
}

__all__ = [name for names in _NAMES.values() for name in names]
__getattr__, __dir__ = later(__name__, _NAMES)
