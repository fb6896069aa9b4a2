"""What a law is, and the list of all laws: a class a law, which is listed by being defined.

A law says little: its title, where its parameters lie, and a formula. Laws of curves (`CurveLaw`) are fitted
to the mean engaged fraction and are curves themselves; laws of decisions (`DecisionLaw`) are fitted to
exposures and played as cascades under the run's own design. Fitting, errors, judging and printing belong to
whoever fits.

Laws come from this package, from other distributions by entry points of the group ``agentnet.laws`` (a law,
or a module that defines some), and from files that a user names, see `load_laws`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.estimates import Interval
from agentnet.analysis.goodness import POPULATION, Outlook, View
from agentnet.analysis.grouping import Grouping
from agentnet.analysis.tables import SEVERITY_NAMES, RunTables
from agentnet.errors import DesignError, UserError
from agentnet.plugins import PluginKind, module_of_file
from agentnet.vocabulary import SEVERITIES

Array = NDArray[np.float64]
Distances = Mapping[str, tuple[float, float | None]]
"""RMSE and NRMSE by view."""

Stability = Literal["stable", "unstable", "neutral"]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a figure shows of a law; of curves, those of the views that it takes.

    Attributes:
        title: The figure's, with ``{law}`` for what the law is called (``{rows}``: what it has chances of).
        whose: What the curves are, for the caption; empty where it shows none.
        takes: Whether it shows the curves of the view of a name; all of them unless given.
    """

    title: str
    whose: str = ""
    takes: Callable[[str], object] = bool


OF_POPULATION: Final = Sight(
    "Engaged fraction of the population: observed, and by the {law}",
    "Mean engaged fraction",
    POPULATION.__eq__,
)
OF_SEVERITIES: Final = Sight(
    "Engaged fraction by severity: observed, and by the {law}",
    "Mean engaged fraction by the severity of the news item",
    {*SEVERITY_NAMES.values()}.__contains__,
)
OF_GROUPS: Final = Sight(
    "Engaged fraction by trait group: observed, and by the {law}",
    "Mean engaged agents of each group of profiles over all agents",
    re.compile(r"group \d+").fullmatch,
)
OF_ALL: Final = Sight(
    "Engaged fraction of population, severities and groups: observed, and by the {law}",
    "Mean engaged fraction (of groups: their engaged agents over all agents)",
)
CHANCES: Final = Sight("Engagement probability by {rows} and severity, by the {law}")
GROWTH: Final = Sight("Early growth: observed, and by the largest eigenvalue of the mean-field law")


def distances(*of_views: tuple[float, float | None]) -> Distances:
    """State the paper's RMSE and NRMSE: of the population, each severity, each of two groups."""
    return dict(zip((POPULATION, *SEVERITIES, "group 1", "group 2"), of_views, strict=False))


class _Laws(PluginKind["type[Law]"]):
    """The laws by name, in the order of their ranks."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(known := self.installed(), key=lambda name: known[name].load().rank))

    def __getitem__(self, name: str) -> type[Law]:
        """Look a law up.

        Raises:
            DesignError: There is no such law.
        """
        return self.load(name)

    def bundled_ones(self) -> tuple[type[Law], ...]:
        """List the laws of this package, in the order of their ranks."""
        mine = (LAWS[name] for name, each in self._defined.items() if each.module.startswith(self.bundled))
        return tuple(sorted(mine, key=lambda law: law.rank))

    def of_table(self, number: int) -> list[str]:
        """Name the laws whose parameters stand in a table of the paper, the richest first."""
        return [law.name for law in reversed(self.bundled_ones()) if law.table == number]

    def remove(self, name: str) -> None:
        """Take a law off the list, as a test does that defined it."""
        del self._defined[name]


LAWS: Final = _Laws(
    "law",
    "agentnet.laws",
    "agentnet.analysis.laws.Law",
    parts=("title", "fit", "listed", "outlook"),
    bundled="agentnet.analysis.laws",
    unknown=DesignError,
)
"""All laws that are known."""


@dataclass(frozen=True)
class Between:
    """Where a parameter lies.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        starts: Values from which fits begin, rising; five that divide the range evenly if empty.
    """

    low: float
    high: float
    starts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise DesignError(f"a parameter's bounds must rise; got {self.low} and {self.high}")
        if not self.starts:
            object.__setattr__(self, "starts", tuple(np.linspace(self.low, self.high, 7)[1:-1].tolist()))


class Positive(Between):
    """A parameter above 0, known but roughly: fits begin from a tenth of `start` to ten times it."""

    def __init__(self, start: float = 1.0, high: float = np.inf) -> None:
        super().__init__(
            0.0, high, tuple(min(start * 10**power, high) for power in (-1.0, -0.5, 0.0, 0.5, 1.0))
        )


class Real(Between):
    """A parameter of either sign: fits begin up to two `scale` on either side of `start`."""

    def __init__(self, start: float = 0.0, scale: float = 1.0) -> None:
        super().__init__(-np.inf, np.inf, tuple(start + scale * step for step in (-2.0, -1.0, 0.0, 1.0, 2.0)))


@dataclass(frozen=True, slots=True)
class MissingBounds:
    """What a parameter would be if the missing answers were known.

    Nobody knows what they would have been, so each estimate has its bounds (Manski 2003, Partial
    Identification of Probability Distributions).

    Attributes:
        if_yes: If all had been yes.
        if_no: If all had been no.
        lowest: The lowest of what was tried. For a logistic weight that is also: yes where the weight counts
            and no elsewhere, and the other way round.
        highest: The highest of what was tried.
    """

    if_yes: float
    if_no: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, if_yes: float, if_no: float, *others: float) -> MissingBounds | None:
        """Take them from what was tried; None where nothing was found."""
        tried = np.array([if_yes, if_no, *others])
        if np.isnan(tried).all():
            return None
        return cls(float(if_yes), float(if_no), float(np.nanmin(tried)), float(np.nanmax(tried)))


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted parameter.

    Attributes:
        name: ``openness``, ``profile_01101``, ``group_1``, ``severity``, ``tau_1``, ``p_1``, ``lambda``, ...
        estimate: +-inf for a logistic weight that is separated, NaN for one about which the data say nothing.
        interval: Confidence interval, by the method named; None where there is none.
        method: How the interval was made; empty where there is none.
        freedom: Degrees of freedom of a clustered interval; None for others.
        why_no_interval: Why there is none; empty where there is one.
        interval_by_news: The same with whole news items as what is independent; None where there is none.
        why_no_interval_by_news: Why there is none; empty where there is one.
        standard_error: Plain, of laws of decisions only; None where there is none.
        error_by_realization: Clustered by realization.
        error_by_news: Clustered by news item.
        z: Estimate over plain standard error.
        p_value: Two-sided p of 0, by the plain standard error.
        firth: Firth's penalized estimate, where the fit is separated.
        firth_error: Its standard error.
        bounds: Bounds for missing answers; None where no answer is missing.
    """

    name: str
    estimate: float
    interval: Interval | None = None
    method: str = ""
    freedom: float | None = None
    why_no_interval: str = ""
    interval_by_news: Interval | None = None
    why_no_interval_by_news: str = ""
    standard_error: float | None = None
    error_by_realization: float | None = None
    error_by_news: float | None = None
    z: float | None = None
    p_value: float | None = None
    firth: float | None = None
    firth_error: float | None = None
    bounds: MissingBounds | None = None

    def in_words(self) -> str:
        """Spell the estimate with its interval.

        Examples:
            >>> Parameter("tau_1", 0.0127, interval=(0.01, 0.02)).in_words()
            '0.0127 (0.01 to 0.02)'
        """
        interval = "" if self.interval is None else f" ({self.interval[0]:.4g} to {self.interval[1]:.4g})"
        # What rounding leaves of nothing is no number for people.
        return f"{self.estimate if abs(self.estimate) > _DUST else 0.0:.4g}{interval}"


_DUST = 1e-16


@dataclass(frozen=True, slots=True)
class Equilibrium:
    """A state at which nothing changes.

    Attributes:
        unengaged: Unengaged fraction of the population in each group.
        engaged: Engaged fraction.
        eigenvalues: Of the linearized law, per step, falling; those along a line of equilibria are 0.
        stability: ``stable`` if every eigenvalue off the line of equilibria is negative, ``unstable`` if one
            is positive, else ``neutral``.
    """

    unengaged: tuple[float, ...]
    engaged: float
    eigenvalues: tuple[float, ...]
    stability: Stability


class ListedParameters(NamedTuple):
    """The parameters of a fitted law.

    Attributes:
        parameters: What was fitted.
        growth_rate: The rate lambda at which few engaged agents grow, per step; None where the law has none.
        warnings: What to know of their uncertainty.
    """

    parameters: tuple[Parameter, ...]
    growth_rate: Parameter | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resamples:
    """How intervals of laws of curves are made.

    Attributes:
        n_bootstrap: Number of resamples; 0 for no intervals.
        by_news: Whether whole news items are drawn, not single realizations.
        level: Confidence level, in (0, 1).
        seed: Fixes them.
    """

    n_bootstrap: int = 0
    by_news: bool = False
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Playing:
    """How a law's curves are inferred.

    Attributes:
        views: The views wanted.
        n_runs: Cascades that a law of decisions is played as.
        seed: Fixes them.
    """

    views: tuple[View, ...]
    n_runs: int
    seed: int


def _check_formula(law: type[Law]) -> None:
    """Refuse a law whose formula does not take the parameters that it states.

    Raises:
        DesignError: It has no formula, no parameters, or its formula takes others.
    """
    stated = law.__dict__.get("parameters")
    if not law.formula or stated is None or hasattr(stated, "__get__"):
        return
    if not isinstance(stated, Mapping) or not all(isinstance(each, Between) for each in stated.values()):
        raise DesignError(
            f"the law {law.name} has parameters = {stated!r:.60}; they are a mapping of names "
            'to where each lies: {"speed": Between(0, 1)}, or Positive() or Real()'
        )
    kind = next(base for base in law.__mro__ if "formula" in base.__dict__)
    written, blank = getattr(law, law.formula), getattr(kind, law.formula)
    if written is blank:
        raise DesignError(f"the law {law.name} has no formula: give it a method {law.formula}")
    if not law.parameters:
        raise DesignError(f"the law {law.name} has no parameters, so that there is nothing to fit")
    n_given = len(signature(blank).parameters) - 1
    takes = list(signature(written).parameters.values())[n_given:]
    needed = {each.name for each in takes if each.default is each.empty and each.kind != each.VAR_KEYWORD}
    wrong = needed - set(law.parameters)
    if all(each.kind != each.VAR_KEYWORD for each in takes):
        wrong |= set(law.parameters) - {each.name for each in takes}
    if wrong:
        raise DesignError(
            f"the law {law.name} has the parameters {', '.join(law.parameters)}, and its method "
            f"{law.formula} takes others; they differ in {', '.join(sorted(wrong))}"
        )


class Law(ABC):
    """A law of a run.

    A class that has a `title` of its own is listed in `LAWS`, by its name in small letters
    (``class GroupRates`` is ``group_rates``).

    Attributes:
        name: Its name in `LAWS`.
        title: Its name for tables; may hold ``{n_groups}`` and ``{by}``.
        called: What figures of the paper call it: ``mean-field law``.
        figures: What each of its figures shows, by the figure's file name stem; one of the paper begins with
            its number: ``figure08_population_full_logistic``.
        table: Number of the table of the paper in which its parameters stand; 0 if in none.
        rank: Where it stands among others in tables, the lowest first.
        parameters: Where each parameter lies, by name.
        needs_groups: Whether it is nothing without groups of profiles.
        of_decisions: Whether it is fitted to single decisions, and not to curves.
        published: Its RMSE and NRMSE by view in Tian et al. (2026), with two groups; None where not printed.
        takes_column: Whether it is a law of the columns that `by` names: its title says so.
        each_column: Whether it is a law of one column, and fitted to each of those named by itself.
        uses: Columns of exposures that its formula reads, besides those named by `by`.
        formula: The method that is its formula, where a kind of law has one.

    Args:
        tables: The run, or a part of it.
        grouping: Groups of profiles.
        by: Columns of exposures that it is to be a law of.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    called: ClassVar[str] = ""
    figures: ClassVar[Mapping[str, Sight]] = {}
    table: ClassVar[int] = 0
    rank: ClassVar[int] = 100
    takes_column: ClassVar[bool]
    each_column: ClassVar[bool] = False
    of_decisions: ClassVar[bool] = False
    published: ClassVar[Distances] = {}
    parameters: Mapping[str, Between] = {}
    needs_groups: ClassVar[bool] = False
    uses: ClassVar[tuple[str, ...]] = ()
    formula: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "title" in cls.__dict__:
            cls.takes_column = "{by}" in cls.title
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
            _check_formula(cls)
            LAWS.register(cls.name, cls)

    def __init__(self, tables: RunTables, grouping: Grouping, by: Sequence[str] = ()) -> None:
        self.tables, self.grouping, self.named = tables, grouping, tuple(by)

    @property
    def by(self) -> str:
        """The column that it is a law of: the first one named.

        Raises:
            DesignError: None was named.
        """
        if not self.named:
            raise DesignError(self._no_column())
        return self.named[0]

    @classmethod
    def columns_apart(cls, named: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Divide the columns named among as many laws as are to be fitted."""
        return [(name,) for name in named] if cls.each_column and named else [named]

    @classmethod
    def check_columns(cls) -> None:
        """Refuse to be fitted without a column where the law is one of a column.

        Raises:
            DesignError: It is.
        """
        if cls.takes_column:
            raise DesignError(cls._no_column())

    @classmethod
    def _no_column(cls) -> str:
        return f"the law {cls.name} is one of a column of exposures; name it: --by n_engaged"

    @property
    def heading(self) -> str:
        """Its title for this run."""
        return self.title.format(n_groups=self.grouping.n_groups, by=", ".join(self.named) or "a column")

    @property
    def comparable(self) -> Distances:
        """What is published of it that can be set beside this run: a law of groups needs as many."""
        return {} if self.needs_groups and self.grouping.n_groups != 2 else self.published

    def check(self) -> None:
        """Refuse a run that the law does not hold for.

        Raises:
            DesignError: It does not.
        """
        if self.needs_groups and self.grouping.n_groups < 2:
            one = "all profiles are in one group; " if self.tables.profiled else ""
            raise DesignError(f"{one}{self.grouping.note or 'give two or more'}")

    @abstractmethod
    def fit(self, resamples: Resamples = Resamples()) -> Any:  # noqa: ANN401 - frozen; each kind has its fit
        """Fit it to the run.

        Raises:
            InputError: The data do not determine it.
            DesignError: The run is none that the law holds for.
        """

    @abstractmethod
    def listed(self, fit: Any, resamples: Resamples) -> ListedParameters:  # noqa: ANN401
        """List the parameters of a fit, each beside all that is known of its uncertainty."""

    @abstractmethod
    def outlook(self, fit: Any, tables: RunTables, playing: Playing) -> Outlook:  # noqa: ANN401
        """Infer curves of `tables` from a fit to this run, which may be another part of the same."""

    def n_fitted(self, fit: Any) -> int:  # noqa: ANN401, ARG002 - for laws whose data leave some open
        """Count the parameters that the data determine."""
        return len(self.parameters)

    def equilibria(self, fit: Any) -> tuple[Equilibrium, ...]:  # noqa: ANN401, ARG002 - for laws that have some
        """Find where nothing changes."""
        return ()

    def chance(self, fit: Any) -> Array | None:  # noqa: ANN401, ARG002 - for laws that have one
        """Give the chance of a yes by profile and severity, shape ``(32, 2)``; None if it takes more."""
        return None

    def likelihood(self, fit: Any) -> dict[str, float] | None:  # noqa: ANN401, ARG002 - for laws that have one
        """Give the log-likelihood in nats, and both information criteria; None for laws without."""
        return None

    def against_constant(self, fit: Any) -> dict[str, float] | None:  # noqa: ANN401, ARG002 - for laws that have one
        """Compare it with one chance of a yes for all decisions; None for laws of no decisions.

        Returns:
            ``likelihood_ratio``, twice the difference of log-likelihoods in nats; ``more_parameters``; and
            ``aic_lower_by``, by how much Akaike's criterion prefers it. All take decisions as independent.
        """
        return None

    @abstractmethod
    def methods(self, resamples: Resamples, n_runs: int, *, is_played: bool) -> str:
        """Say for a paper how it is fitted, to end a sentence: "We fitted the .. law ..".

        Args:
            resamples: How intervals were made.
            n_runs: Cascades that a law of decisions was played as.
            is_played: Whether it has curves.
        """

    def finding(self, parameters: Sequence[Parameter], growth_rate: Parameter | None) -> Iterator[str]:  # noqa: ARG002 - for laws that have one
        """Say in sentences what a fit found, for the summary; of laws of one table, the richest is asked."""
        yield from ()

    def by_severity(self) -> Iterator[tuple[int, Any]]:
        """Fit a law that knows no severity to each one alone."""
        yield from ()

    def warnings(self, fit: Any) -> Iterator[str]:  # noqa: ANN401, ARG002 - for laws that have some
        """Say where the run is not what the law is about."""
        yield from ()


def load_laws(path: Path) -> tuple[str, ...]:
    """Execute a Python file that defines laws.

    Returns:
        Their names.

    Raises:
        UserError: It does not run, or defines none.
    """
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"{path} is no Python file with laws")
    try:
        name = module_of_file(path).__name__
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path} does not run: {type(error).__name__}: {error}") from error
    found = tuple(each for each in LAWS if LAWS[each].__module__ == name)
    if not found:
        raise UserError(f"{path} defines no law: a class of CurveLaw or DecisionLaw with a title")
    return found


def named_laws(words: Iterable[str]) -> tuple[str, ...]:
    """List the laws that words stand for: their names, or Python files that define some (``hill.py``)."""
    return tuple(
        name for word in words for name in (load_laws(Path(word)) if word.endswith(".py") else (word,))
    )


def laws_to_fit(laws: Iterable[str], by: Sequence[str]) -> list[type[Law]]:
    """Look laws up by name; those of a column are among all laws only if a column is named.

    Raises:
        DesignError: There is no such law.
    """
    chosen = [LAWS[name] for name in dict.fromkeys(laws)]
    return [law for law in chosen if not law.takes_column] if laws is LAWS and not by else chosen


def in_shape(found: object, shape: tuple[int, ...], law: Law) -> NDArray[np.float64]:
    """Give what a law's formula gave as numbers of a shape; what is less is repeated.

    Raises:
        DesignError: It cannot be: names the law and both shapes.
    """
    try:
        # NumPy takes None for a number that is none.
        return np.broadcast_to(np.asarray("None" if found is None else found, np.float64), shape)
    except (TypeError, ValueError) as error:
        given = getattr(found, "shape", None) or f"{found!r:.60}"
        raise DesignError(
            f"the formula of law {law.name!r} gives {given}; it gives numbers of shape {shape}, one for each "
            "entry of its columns"
        ) from error
