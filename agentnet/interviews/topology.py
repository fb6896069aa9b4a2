"""Who may interview whom: functions of (step, state) that give each model its candidates.

A topology is any callable ``(step, state) -> candidates``, asynchronous or not; step counts from 1.
Candidates are, for each model, the models that it may ask: a sequence with an entry for each model, a mapping
from model to candidates (who is absent has none), or a networkx graph whose edge (j, i) says that j
influences i. Models are named by their numbers; databases, which are read and never updated, by their names.
Edges of models that are not there at a step do not count. Equal steps and states must give equal candidates:
they are asked for all steps before a run begins, too, and again when it is resumed.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import AgentnetError, DesignError, near_miss
from agentnet.plugins import brought_by

if TYPE_CHECKING:
    import networkx as nx

Candidates = tuple[tuple[int, ...], ...]
"""For each model, the models that it may ask, and the databases that it may read: ascending, none twice."""

Distances = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Vertices:
    """What a system consists of: V(t) = F(t) u D of Helm et al. (2024), section 2.

    Attributes:
        n_models: How many models there are, at whatever step.
        databases: Names of the databases; the k-th is vertex ``n_models + k``.
        joins: Model -> the step after whose interviews it comes, is taught, and is evaluated for the first
            time; 0 for all others.
        leaves: Model -> the first step at which it is gone.
    """

    n_models: int
    databases: tuple[str, ...] = ()
    joins: Mapping[int, int] = field(default_factory=dict)
    leaves: Mapping[int, int] = field(default_factory=dict)

    def present(self, step: int) -> tuple[int, ...]:
        """List the models that are there at the end of a step."""
        return tuple(
            model
            for model in range(self.n_models)
            if self.joins.get(model, 0) <= step and not step >= self.leaves.get(model, step + 1)
        )

    def playing(self, step: int) -> frozenset[int]:
        """List the models that interview each other at a step: all answers are those of its start."""
        return frozenset(self.present(step - 1)) & frozenset(self.present(step))


class State(Protocol):
    """The system as it stands when a step begins.

    Attributes:
        classes: Class of each model.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Class of each model."""
        ...

    async def distances(self) -> Distances:
        """Compute squared distances between the models' present perspectives.

        Returns:
            Shape ``(n_models, n_models)``: squared distance of the embedded answers, its mean over the
            questions of the evaluation set that both answered; inf where there is none.
        """
        ...


Topology = Callable[[int, State], Any]
"""``(step, state) -> candidates`` in one of the three forms, or an awaitable of them."""


def full(step: int, state: State) -> Candidates:  # noqa: ARG001 - the same at each step
    """Let every model ask every other."""
    models = range(len(state.classes))
    return tuple(tuple(j for j in models if j != i) for i in models)


def nobody(step: int, state: State) -> Candidates:  # noqa: ARG001 - the same at each step
    """Let no model ask anybody: a control."""
    return ((),) * len(state.classes)


def intra_class(step: int, state: State) -> Candidates:  # noqa: ARG001 - the same at each step
    """Let every model ask the others of its class."""
    classes = state.classes
    return tuple(
        tuple(j for j, other in enumerate(classes) if j != i and other == own)
        for i, own in enumerate(classes)
    )


@dataclass(frozen=True, slots=True)
class Local:
    """Every model hears only its nearest neighbours in perspective space, which are found anew at each step.

    Attributes:
        n_neighbours: How many, >= 1. Of models equally far the one with the lower number is nearer.
    """

    n_neighbours: int = 1

    def __post_init__(self) -> None:
        if self.n_neighbours < 1:
            raise DesignError(f"n_neighbours is {self.n_neighbours}; a local topology needs at least 1")

    async def __call__(self, step: int, state: State) -> Candidates:  # noqa: ARG002 - the same at each step
        """Find each model's nearest neighbours."""
        apart = (await state.distances()).copy()
        np.fill_diagonal(apart, np.inf)
        nearest = np.argsort(apart, axis=1, kind="stable")[:, : self.n_neighbours]
        return tuple(
            tuple(sorted(j for j in row.tolist() if np.isfinite(apart[i, j])))
            for i, row in enumerate(nearest)
        )


@dataclass(frozen=True, slots=True)
class Disruption:
    """One topology before step `at`, another from it on (Helm et al. 2024, case study 1).

    Attributes:
        at: The first step of the later topology, >= 1.
        before: The earlier one.
        after: The later one.
    """

    at: int
    before: Topology = full
    after: Topology = Local()

    def __call__(self, step: int, state: State) -> Any:  # noqa: ANN401 - either topology's
        """Ask the topology of this step."""
        return (self.before if step < self.at else self.after)(step, state)


@dataclass(frozen=True, slots=True)
class Vulnerable:
    """An adversary that nobody hears, but at every `every`-th step (Helm et al. 2024, case study 2).

    At other steps the non-adversaries hear each other, and the adversary hears nobody. At vulnerable steps
    the targets hear only the adversary; non-targets hear all other non-adversaries, targets included.

    Attributes:
        adversary: Number of the adversary.
        targets: How many non-adversaries are targets (those with the lowest numbers: models of one class are
            exchangeable), or which.
        every: Steps from one attack to the next, >= 1.
    """

    adversary: int
    targets: int | tuple[int, ...]
    every: int = 2

    def __post_init__(self) -> None:
        if self.every < 1:
            raise DesignError(f"attacks come every {self.every} steps; every 1 at least")

    def __call__(self, step: int, state: State) -> Candidates:
        """Say who hears whom at this step."""
        n_models = len(state.classes)
        others = [model for model in range(n_models) if model != self.adversary]
        targets = self._targets(others, n_models)
        targets = targets if step % self.every == 0 else ()
        return tuple(
            ()
            if i == self.adversary
            else (self.adversary,)
            if i in targets
            else tuple(j for j in others if j != i)
            for i in range(n_models)
        )

    def _targets(self, others: list[int], n_models: int) -> tuple[int, ...]:
        if not 0 <= self.adversary < n_models:
            raise DesignError(
                f"the adversary is model {self.adversary}, but there are models 0 to {n_models - 1}"
            )
        if isinstance(self.targets, int):
            if not 0 <= self.targets <= len(others):
                raise DesignError(f"{self.targets} targets of {len(others)} non-adversaries cannot be chosen")
            return tuple(others[: self.targets])
        for target in self.targets:
            if target not in others:
                raise DesignError(
                    f"target {target} is the adversary or no model; the non-adversaries are {others}"
                )
        return self.targets


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same candidates at every step, from a networkx graph: an edge (j, i) says that j influences i.

    Attributes:
        graph: Directed, or undirected for influence both ways; its nodes are numbers of models.
    """

    graph: nx.Graph[int]

    def __call__(self, step: int, state: State) -> nx.Graph[int]:  # noqa: ARG002 - the same at each step
        """Give the graph."""
        return self.graph


@dataclass(frozen=True, slots=True)
class Reading:
    """A topology of models, some of whom may read databases instead of asking one of their candidates.

    Attributes:
        readers: Database -> classes, or numbers of models, that may read it.
        models: Who may interview whom, in whatever form an experiment may give it.
    """

    readers: Mapping[str, Sequence[str | int]]
    models: Any = "full"

    def __call__(self, step: int, state: State) -> Any:  # noqa: ANN401 - awaited only where the models' is
        """Put databases beside the models' own candidates."""
        given = parse_topology(self.models)(step, state)
        return (
            self._later(given, step, state) if inspect.isawaitable(given) else self._read(given, step, state)
        )

    async def _later(self, given: Awaitable[Any], step: int, state: State) -> dict[int, list[Any]]:
        return self._read(await given, step, state)

    def _read(self, given: Any, step: int, state: State) -> dict[int, list[Any]]:  # noqa: ANN401 - a user's
        classes = state.classes
        known = {*classes, *range(len(classes))}
        for database, readers in self.readers.items():
            for reader in readers:
                if reader not in known:
                    raise DesignError(
                        f"readers of database {database!r} names {reader!r}, which is no class and no model; "
                        f"the classes are {', '.join(dict.fromkeys(classes))}"
                    )
        among = {model: list(each) for model, each in _entries(given, len(classes), step)}
        for model, name in enumerate(classes):
            read = [each for each, readers in self.readers.items() if model in readers or name in readers]
            among[model] = among.get(model, []) + read
        return among


NAMED: dict[str, Topology] = {
    "full": full,
    "local": Local(),
    "intra_class": intra_class,
    "nobody": nobody,
}
"""The topologies that need no options, by the names that an experiment may use."""


def parse_topology(value: object) -> Topology:
    """Understand what an experiment says about who may interview whom.

    Args:
        value: A name of `NAMED`, a networkx graph, or a callable.

    Raises:
        DesignError: It is none of them.
    """
    if isinstance(value, str):
        if value not in NAMED:
            raise DesignError(f"there is no topology {value!r}{near_miss(value, NAMED)}")
        return NAMED[value]
    if callable(value):
        return value
    if hasattr(value, "edges") and hasattr(value, "is_directed"):
        return Fixed(value)  # type: ignore[arg-type]
    raise DesignError(
        f"topology is {value!r}; it is one of {', '.join(NAMED)}, a networkx graph, or a function "
        "(step, state) -> candidates of each model"
    )


async def candidates_at(
    topology: Topology, step: int, state: State, vertices: Vertices | None = None
) -> Candidates:
    """Ask `topology` for the candidates of a step, and check them.

    Args:
        topology: Who may interview whom.
        step: The step, from 1.
        state: The system at its start.
        vertices: What the system consists of; None for models alone, all there throughout.

    Raises:
        DesignError: It breaks off, names a model that does not exist or itself, or gives something else.
    """
    with _blamed(step):
        given = topology(step, state)
        if inspect.isawaitable(given):
            given = await _awaited(given)
    return check_candidates(given, vertices or Vertices(len(state.classes)), step)


async def _awaited(given: Awaitable[Any]) -> Any:  # noqa: ANN401 - a user's function
    return await given


@contextmanager
def _blamed(step: int) -> Iterator[None]:
    """Say of whatever a user's function raises where it does."""
    try:
        yield
    except AgentnetError:
        raise
    except Exception as error:
        *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
        if brought_by(str(innermost.f_globals.get("__name__"))):
            raise  # an embedder's plug-in broke off, which is named as such
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise DesignError(
            f"step {step}: the topology broke off in {where.filename}, line {where.lineno}: "
            f"{type(error).__name__}: {error}"
        ) from error


@dataclass(frozen=True, slots=True)
class Still:
    """A system before anybody was asked: all its models are in one place."""

    classes: tuple[str, ...]

    async def distances(self) -> Distances:
        """Give zeros."""
        return np.zeros((len(self.classes), len(self.classes)))


def try_topology(
    topology: Topology, classes: tuple[str, ...], steps: int, vertices: Vertices | None = None
) -> int | None:
    """Ask `topology` for the candidates of all steps, before any model is asked anything.

    Steps whose candidates have to be awaited, as they depend on answers, are left to the run.

    Returns:
        How often a model interviews another; None if there are steps of which that is not known, as a model
        may read a database instead.

    Raises:
        DesignError: As `candidates_at`.
    """
    state, counts = Still(classes), []
    vertices = vertices or Vertices(len(classes))
    for step in range(1, steps + 1):
        with _blamed(step):
            given = topology(step, state)
        if inspect.iscoroutine(given):
            given.close()
        elif not inspect.isawaitable(given):
            found = check_candidates(given, vertices, step)
            if not any(among and among[0] < len(classes) <= among[-1] for among in found):
                counts.append(sum(bool(among) and among[0] < len(classes) for among in found))
    return sum(counts) if len(counts) == steps else None


def check_candidates(given: Any, vertices: Vertices, step: int) -> Candidates:  # noqa: ANN401 - a user's
    """Bring candidates into one form, without models that are not there.

    Args:
        given: What a topology gave.
        vertices: What the system consists of.
        step: Which of them play, and for messages.

    Raises:
        DesignError: It names a model or a database that does not exist, or a model itself, lets a database
            hear anybody, or is something else.
    """
    n_models = vertices.n_models
    by_model: dict[int, list[int]] = {model: [] for model in range(n_models)}
    for model, among in _entries(given, n_models, step):
        if model in vertices.databases:
            _check_unread(model, among, step)
            continue
        _check_model(model, n_models, step)
        if not isinstance(among, Iterable) or isinstance(among, str):
            raise DesignError(
                f"step {step}: the topology gives {among!r:.80} as candidates of model {model}; they are a "
                "list of models, empty if there are none"
            )
        candidates = [_numbered(candidate, vertices, step) for candidate in among]
        if model in candidates:
            raise DesignError(f"step {step}: the topology lets model {model} interview itself")
        by_model[int(model)] = sorted(set(candidates))
    playing = vertices.playing(step)
    return tuple(
        tuple(each for each in candidates if each >= n_models or each in playing) if model in playing else ()
        for model, candidates in by_model.items()
    )


def _numbered(candidate: Any, vertices: Vertices, step: int) -> int:  # noqa: ANN401 - a user's
    """Give the number of a model or of a database."""
    if isinstance(candidate, str) and vertices.databases:
        if candidate not in vertices.databases:
            raise DesignError(
                f"step {step}: the topology names {candidate!r}, which is no database"
                f"{near_miss(candidate, vertices.databases)}"
            )
        return vertices.n_models + vertices.databases.index(candidate)
    _check_model(candidate, vertices.n_models, step)
    return int(candidate)


def _check_unread(database: str, among: Any, step: int) -> None:  # noqa: ANN401 - a user's
    heard = list(among)
    if heard:
        raise DesignError(
            f"step {step}: the topology lets database {database!r} hear {heard[0]!r}; databases are read and "
            "never updated, so that edges lead out of them alone (a graph of them is a directed one)"
        )


def _entries(given: Any, n_models: int, step: int) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - a user's
    if isinstance(given, Mapping):
        yield from given.items()
    elif hasattr(given, "is_directed"):
        heard = given.predecessors if given.is_directed() else given.neighbors
        yield from ((model, heard(model)) for model in given.nodes)
    elif isinstance(given, Sequence) and not isinstance(given, str):
        if len(given) != n_models:
            raise DesignError(
                f"step {step}: the topology gives candidates of {len(given)} models, but there are {n_models}"
            )
        yield from enumerate(given)
    else:
        raise DesignError(
            f"step {step}: the topology gives {given!r:.80}; it gives the candidates of each model as a list "
            "of lists, a mapping, or a networkx graph"
        )


def _check_model(model: Any, n_models: int, step: int) -> None:  # noqa: ANN401 - a user's
    if isinstance(model, bool) or not isinstance(model, int | np.integer) or not 0 <= model < n_models:
        raise DesignError(
            f"step {step}: the topology names model {model!r}, but there are models 0 to {n_models - 1}, "
            "which are named by their numbers"
        )
