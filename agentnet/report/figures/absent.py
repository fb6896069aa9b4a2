"""Why a figure cannot be drawn, and what would make it possible."""

from __future__ import annotations

from typing import Final

from agentnet.analysis.fits import Fits

WITHOUT: Final = {
    "fits": (
        "No laws were fitted. They need cascades in which somebody was asked: play some (agentnet run "
        "experiments/news_cascade.py) and fit laws to them (agentnet.analysis.fits.fit_run)."
    ),
    "played": (
        "There are no cascades in which somebody was asked: play some (agentnet run "
        "experiments/news_cascade.py)."
    ),
    "trees": "No finished realization was started by anybody: there are no trees.",
    "ratios": (
        "There are no response ratios: play them (agentnet run experiments/response_ratios.py) and give that "
        "run as well."
    ),
    "severity_clusters": (
        "The news items were not put in clusters by their texts. It takes embeddings of at least 3 items: "
        "see agentnet.analysis.severity.cluster_severity."
    ),
}
"""What is missing of `drawings.Material` -> what to say in the place of a figure that takes it."""


def why_no_law(fits: Fits, law: str) -> str | None:
    """Say why a law was not fitted; None if it was."""
    if any(each.law == law for each in fits.laws):
        return None
    for refused in fits.refused:
        if refused.law == law:
            return f"The {refused.title} could not be fitted: {refused.reason}."
    return f"The law {law} was not among those to be fitted; add it to `laws` of fit_run."
