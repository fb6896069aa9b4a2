"""Reports of runs: figures, and the page that shows them; draws from analysis and computes nothing else.

    from agentnet.report import Options, write_report

    write_report(["runs/news_cascade", "runs/response_ratios"], "report", Options(n_groups=2))

`gather` reads runs and asks their families for parts (see `part`), `sections` says what stands where,
`page` and `results` write it down.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentnet.report.gather import Report as Report
    from agentnet.report.gather import make_report as make_report
    from agentnet.report.options import Options as Options
    from agentnet.report.write import Written as Written
    from agentnet.report.write import write_report as write_report

_HOMES = {
    "Options": "options",
    "Report": "gather",
    "Written": "write",
    "make_report": "gather",
    "write_report": "write",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(_HOMES)
