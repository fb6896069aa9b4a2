"""How a report is made, as its callers say it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agentnet.analysis.fitting import checked_level
from agentnet.analysis.grouping import as_grouping
from agentnet.analysis.laws import LAWS
from agentnet.analysis.severity_clusters import SeverityClusters
from agentnet.analysis.trees import Trees
from agentnet.errors import DesignError
from agentnet.vocabulary import N_PROFILES

if TYPE_CHECKING:
    from agentnet.analysis.answers import MakeEmbedder
    from agentnet.probe.card import Card

Progress = Callable[[str], None]
"""Called with a few words before each piece of work."""

N_DECISIONS: Final = 300
"""Decisions that a report shows of each run, at most."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a report is made.

    Attributes:
        laws: Names of the laws, of `agentnet.analysis.LAWS`.
        by: Columns of exposures that laws of a column are of.
        n_runs: Inferred cascades of each logistic law; None for 100, or fewer where networks are large.
        n_bootstrap: Resamples behind each bootstrap interval.
        level: Confidence level of all intervals.
        seed: Fixes everything that is drawn.
        groups: Group of each profile, in the place of those that a response-ratio run gives.
        n_groups: Number of groups that Tukey's test is to make; None leaves it to the test.
        severity_clusters: Clusters of news items by their texts.
        probe: Card of a probe, in the place of the one that lies in a run.
        observed: Trees of cascades observed elsewhere, which those of runs are compared with.
        n_decisions: Decisions to browse, of each run or condition.
        restricted_texts: Whether news texts stand in the report whose source does not allow passing them on.
        figures: Whether figures are drawn, which takes most of the time.
        make_embedder: Makes the embedder of interacting models' answers, from name and options of the one
            that the run itself used; None for that one. It is closed after each run.
    """

    laws: Iterable[str] = LAWS
    by: Sequence[str] = ()
    n_runs: int | None = None
    n_bootstrap: int = 200
    level: float = 0.95
    seed: int = 0
    groups: Mapping[str, int] | None = None
    n_groups: int | None = None
    severity_clusters: SeverityClusters | None = None
    probe: Card | None = None
    observed: Trees | None = None
    n_decisions: int = N_DECISIONS
    restricted_texts: bool = False
    figures: bool = True
    make_embedder: MakeEmbedder | None = None

    def check(self) -> None:
        """Refuse what is impossible before anything is read: what fails later is the data's doing.

        Raises:
            DesignError: Names the option and what it may be.
            InputError: The groups cannot be used.
        """
        checked_level(self.level)
        chosen = [LAWS[name] for name in self.laws]
        if not chosen:
            raise DesignError(f"there is no law to fit; known: {', '.join(LAWS)}")
        if not self.by and self.laws is not LAWS:
            for law in chosen:
                law.check_columns()
        if self.groups is not None:
            as_grouping(self.groups)
        for name, least in {"n_runs": 1, "n_bootstrap": 0, "n_decisions": 0}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise DesignError(f"{name} is {value}; it is at least {least}")
        if self.n_groups is not None and not 1 <= self.n_groups <= N_PROFILES:
            raise DesignError(f"{self.n_groups} groups cannot be made of {N_PROFILES} profiles")
