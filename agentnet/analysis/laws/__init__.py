"""Laws of cascades, a class each; what a law is stands in `contract`."""

from agentnet.analysis.laws.cavity import Cavity
from agentnet.analysis.laws.contract import (
    CHANCES,
    GROWTH,
    LAWS,
    OF_ALL,
    OF_GROUPS,
    OF_POPULATION,
    OF_SEVERITIES,
    Between,
    Equilibrium,
    Law,
    ListedParameters,
    MissingBounds,
    Parameter,
    Playing,
    Positive,
    Real,
    Resamples,
    Sight,
    laws_to_fit,
    load_laws,
    named_laws,
)
from agentnet.analysis.laws.curve import CurveLaw
from agentnet.analysis.laws.decision import (
    DecisionLaw,
    FullLogistic,
    GroupLogistic,
    LogisticLaw,
    MainEffects,
)
from agentnet.analysis.laws.dose import ColumnLogistic, DoseThreshold, Hill
from agentnet.analysis.laws.mean_field import GroupRates, OneRate
from agentnet.given import check_public

__all__ = [
    "CHANCES",
    "GROWTH",
    "LAWS",
    "OF_ALL",
    "OF_GROUPS",
    "OF_POPULATION",
    "OF_SEVERITIES",
    "Between",
    "Cavity",
    "ColumnLogistic",
    "CurveLaw",
    "DecisionLaw",
    "DoseThreshold",
    "Equilibrium",
    "FullLogistic",
    "GroupLogistic",
    "GroupRates",
    "Hill",
    "Law",
    "ListedParameters",
    "LogisticLaw",
    "MainEffects",
    "MissingBounds",
    "OneRate",
    "Parameter",
    "Playing",
    "Positive",
    "Real",
    "Resamples",
    "Sight",
    "laws_to_fit",
    "load_laws",
    "named_laws",
]

check_public(__name__)
