"""Laws and statistics of runs: pure functions on arrays and on tables of the event log.

    from agentnet import analysis

    tables = analysis.read_tables("runs/news_cascade")
    fits = analysis.fit_run(tables, groups={"00000": 1, ...})
    fits.law("group_rates").parameter("tau_1").interval

    analysis.study_run("runs/polarization").conditions      # of interacting models
    analysis.compare("runs/sweep", "lambda").frame()        # conditions of a run, or several runs

Each name is imported from its home when it is first used, and heavy libraries where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentnet.given import checked
from agentnet.later import later

if TYPE_CHECKING:
    from agentnet.analysis.answers import embed_run as embed_run
    from agentnet.analysis.asks import read_asks as read_asks
    from agentnet.analysis.by_context import answers_by_context as answers_by_context
    from agentnet.analysis.by_voice import answers_by_voice as answers_by_voice
    from agentnet.analysis.cells import count_cells as count_cells
    from agentnet.analysis.comparison import ConditionComparison as ConditionComparison
    from agentnet.analysis.comparison import compare as compare
    from agentnet.analysis.convergence import agreed as agreed
    from agentnet.analysis.convergence import convergence_time as convergence_time
    from agentnet.analysis.convergence import tipping_share as tipping_share
    from agentnet.analysis.decisions import RatioTables as RatioTables
    from agentnet.analysis.decisions import read_decisions as read_decisions
    from agentnet.analysis.decisions import read_ratios as read_ratios
    from agentnet.analysis.drift import Drift as Drift
    from agentnet.analysis.drift import message_drift as message_drift
    from agentnet.analysis.exact import Exact as Exact
    from agentnet.analysis.exact import exact_ratios as exact_ratios
    from agentnet.analysis.fits import Fits as Fits
    from agentnet.analysis.fits import LawFit as LawFit
    from agentnet.analysis.fits import fit_run as fit_run
    from agentnet.analysis.fitting import CurveFit as CurveFit
    from agentnet.analysis.goodness import Comparison as Comparison
    from agentnet.analysis.goodness import NoiseFloor as NoiseFloor
    from agentnet.analysis.goodness import noise_floor as noise_floor
    from agentnet.analysis.grouping import Grouping as Grouping
    from agentnet.analysis.grouping import as_grouping as as_grouping
    from agentnet.analysis.grouping import group_by_exposures as group_by_exposures
    from agentnet.analysis.groups import ProfileGroups as ProfileGroups
    from agentnet.analysis.groups import group_profiles as group_profiles
    from agentnet.analysis.inference import clustered as clustered
    from agentnet.analysis.inference import likelihood_ratio as likelihood_ratio
    from agentnet.analysis.inference import wald as wald
    from agentnet.analysis.laws import LAWS as LAWS
    from agentnet.analysis.laws import CurveLaw as CurveLaw
    from agentnet.analysis.laws import DecisionLaw as DecisionLaw
    from agentnet.analysis.laws import load_laws as load_laws
    from agentnet.analysis.laws.cavity import CavityLaw as CavityLaw
    from agentnet.analysis.laws.cavity import fit_cavity as fit_cavity
    from agentnet.analysis.laws.mean_field import MeanFieldLaw as MeanFieldLaw
    from agentnet.analysis.laws.mean_field import fit_mean_field as fit_mean_field
    from agentnet.analysis.logistic import LogisticFit as LogisticFit
    from agentnet.analysis.logistic import fit_full as fit_full
    from agentnet.analysis.logistic import fit_groups as fit_groups
    from agentnet.analysis.logistic import fit_main_effects as fit_main_effects
    from agentnet.analysis.observed import read_observed as read_observed
    from agentnet.analysis.observed_people import read_people as read_people
    from agentnet.analysis.opinions import gini as gini
    from agentnet.analysis.opinions import opinion_curves as opinion_curves
    from agentnet.analysis.opinions import opinion_measures as opinion_measures
    from agentnet.analysis.opinions import reach as reach
    from agentnet.analysis.opinions import top_share as top_share
    from agentnet.analysis.ratios import ResponseRatios as ResponseRatios
    from agentnet.analysis.ratios import response_ratios as response_ratios
    from agentnet.analysis.reading import read_tables as read_tables
    from agentnet.analysis.severity import cluster_severity as cluster_severity
    from agentnet.analysis.severity_clusters import SeverityClusters as SeverityClusters
    from agentnet.analysis.simulation import infer_cascades as infer_cascades
    from agentnet.analysis.simulation import simulate as simulate
    from agentnet.analysis.study import Study as Study
    from agentnet.analysis.study import study_run as study_run
    from agentnet.analysis.tables import Cells as Cells
    from agentnet.analysis.tables import RunTables as RunTables
    from agentnet.analysis.trees import Forest as Forest
    from agentnet.analysis.trees import Trees as Trees
    from agentnet.analysis.trees import tree_distances as tree_distances
    from agentnet.analysis.trees import trees_of as trees_of
    from agentnet.analysis.tukey import tukey_test as tukey_test

_NAMES = {
    ".answers": ("embed_run",),
    ".asks": ("read_asks",),
    ".by_context": ("answers_by_context",),
    ".by_voice": ("answers_by_voice",),
    ".cells": ("count_cells",),
    ".comparison": ("ConditionComparison", "compare"),
    ".convergence": ("agreed", "convergence_time", "tipping_share"),
    ".decisions": ("RatioTables", "read_decisions", "read_ratios"),
    ".drift": ("Drift", "message_drift"),
    ".exact": ("Exact", "exact_ratios"),
    ".fits": ("Fits", "LawFit", "fit_run"),
    ".fitting": ("CurveFit",),
    ".goodness": ("Comparison", "NoiseFloor", "noise_floor"),
    ".grouping": ("Grouping", "as_grouping", "group_by_exposures"),
    ".groups": ("ProfileGroups", "group_profiles"),
    ".inference": ("clustered", "likelihood_ratio", "wald"),
    ".laws": ("CurveLaw", "DecisionLaw", "LAWS", "load_laws"),
    ".laws.cavity": ("CavityLaw", "fit_cavity"),
    ".laws.mean_field": ("MeanFieldLaw", "fit_mean_field"),
    ".logistic": ("LogisticFit", "fit_full", "fit_groups", "fit_main_effects"),
    ".observed": ("read_observed",),
    ".observed_people": ("read_people",),
    ".opinions": ("gini", "opinion_curves", "opinion_measures", "reach", "top_share"),
    ".ratios": ("ResponseRatios", "response_ratios"),
    ".reading": ("read_tables",),
    ".severity": ("cluster_severity",),
    ".severity_clusters": ("SeverityClusters",),
    ".simulation": ("infer_cascades", "simulate"),
    ".study": ("Study", "study_run"),
    ".tables": ("Cells", "RunTables"),
    ".trees": ("Forest", "Trees", "tree_distances", "trees_of"),
    ".tukey": ("tukey_test",),
}
"""Public names by their home."""

__all__ = [name for names in _NAMES.values() for name in names]
__getattr__, __dir__ = later(__name__, _NAMES, checked)
