"""Who is asked about whose message at a step: exposures, and the rules that choose among them.

The asking rule decides the plateau of a cascade, so every run names it and records its sentence. A rule is a
function from all exposures of a step to those that are asked; a new one, in an experiment's file or anywhere
else, is entered by its definition:

    @asking_rule("threshold", says="an agent was asked once, when {least} of those it hears had shared")
    def threshold(exposures: Exposures, least: int = 2) -> Exposures:
        return exposures.where(exposures.n_engaged >= least).once_per_agent()

What a rule takes besides the exposures has a default, and is set by the experiment's knob of that name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DesignError, near_miss
from agentnet.network import LAYER, Network
from agentnet.plugins import PluginKind

Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]

NEVER: Final = -1
"""The engaged step of an agent that is not engaged."""


class Moment:
    """A cascade at the start of a step; what only some rules look at is counted when they do.

    Args:
        indices: Whom each slot's agent hears there: the network's neighbour lists, shape ``(n_slots,)``.
        listener: The agent of each slot, ascending, shape ``(n_slots,)``.
        engaged_step: Step at which each agent engaged, `NEVER` for the unengaged, shape ``(n_agents,)``.
        step: The step to be played, >= 1.
        n_asked: How many questions each agent was asked at earlier steps, shape ``(n_agents,)``; None: none.
        silent: Which agents are not heard, though engaged, shape ``(n_agents,)``; None: none.
        deaf: Which agents hear nothing, shape ``(n_agents,)``; None: none.
        edges: The attributes of the network's edges, each of shape ``(n_slots,)``.
        is_part: Whether only some agents' slots are given, so that nothing is known of other ones.
        n_neighbours: How many agents each hears, and slots it has, shape ``(n_agents,)``; None: counted.
        among: The slots of all agents that can be exposed, ascending; None: who can be is looked up.
    """

    def __init__(
        self,
        indices: Ints,
        listener: Ints,
        engaged_step: Ints,
        step: int,
        n_asked: Ints | None = None,
        *,
        silent: Bools | None = None,
        deaf: Bools | None = None,
        edges: Mapping[str, NDArray[Any]] = MappingProxyType({}),
        is_part: bool = False,
        n_neighbours: Ints | None = None,
        among: Ints | None = None,
    ) -> None:
        self.indices = indices
        self.listener = listener
        self.engaged_step = engaged_step
        self.step = step
        self.edges = edges
        self.is_part = is_part
        if n_neighbours is not None:
            self.n_neighbours = n_neighbours
        self.n_asked: Ints = np.zeros(len(engaged_step), dtype=np.int64) if n_asked is None else n_asked
        engaged = engaged_step != NEVER
        heard = engaged if silent is None else engaged & ~silent
        self.slots: Ints
        # `take` looks up in half of the time, and of two truths the one is greater that is true alone.
        if among is not None:
            self.slots = among[heard.take(indices[among])]
        else:
            unasked = engaged if deaf is None else engaged | deaf
            of_slots = unasked.take(listener) if n_neighbours is None else unasked.repeat(n_neighbours)
            self.slots = (heard.take(indices) > of_slots).nonzero()[0]

    def exposures(self) -> Exposures:
        """List all exposures: an unengaged agent and an engaged one that it hears, once in each layer."""
        return Exposures(self, self.slots)

    @cached_property
    def n_exposed(self) -> int:
        """How many unengaged agents hear an engaged one."""
        return n_different(self.listener[self.slots])

    @cached_property
    def n_engaged(self) -> Ints:
        """How many engaged agents each unengaged one hears, shape ``(n_agents,)``; 0 for the engaged."""
        return self._per_agent(self.slots)

    @cached_property
    def n_neighbours(self) -> Ints:
        """How many agents each hears, shape ``(n_agents,)``."""
        listener = self.listener if LAYER not in self.edges else self.listener[~self._again]
        return np.bincount(listener, minlength=len(self.engaged_step))

    @cached_property
    def n_fresh(self) -> Ints:
        """How many agents each hears that are neither engaged nor exposed, shape ``(n_agents,)``.

        Raises:
            DesignError: Whom these hear is not known, as a rule that says that it is local would not need it.
        """
        if self.is_part:
            raise DesignError(
                "an asking rule that says is_local looks at n_fresh, which is decided by neighbours' "
                "neighbours: leave is_local out of its definition"
            )
        fresh = (self.engaged_step == NEVER) & (self.n_engaged == 0)
        return self._per_agent(np.flatnonzero(fresh[self.indices]))

    @cached_property
    def _again(self) -> Bools:
        """Whether each slot is of the same two agents as the one before, in another layer."""
        again = np.zeros(len(self.listener), dtype=bool)
        again[1:] = (self.listener[1:] == self.listener[:-1]) & (self.indices[1:] == self.indices[:-1])
        return again

    def _per_agent(self, slots: Ints) -> Ints:
        slots = slots if LAYER not in self.edges else slots[~self._again[slots]]
        return np.bincount(self.listener[slots], minlength=len(self.engaged_step))


@dataclass(frozen=True)
class Exposures:
    """Exposures of one step, as asking rules see them: each column has an entry for each exposure.

    Attributes:
        moment: The cascade at the start of the step.
        slots: Positions in the network's `indices`, ascending; shape ``(n_exposures,)``.
    """

    moment: Moment = field(repr=False)
    slots: Ints

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def step(self) -> int:
        """The step to be played."""
        return self.moment.step

    @cached_property
    def agent(self) -> Ints:
        """Who is exposed."""
        return self.moment.listener[self.slots]

    @cached_property
    def source(self) -> Ints:
        """Whose message it is about."""
        return self.moment.indices[self.slots]

    @property
    def source_step(self) -> Ints:
        """The step at which the source engaged."""
        return self.moment.engaged_step[self.source]

    def edge(self, name: str) -> NDArray[Any]:
        """Give an attribute of the edges from sources to agents, such as ``weight`` or ``layer``.

        Raises:
            DesignError: The network's edges have no such attribute.
        """
        if name not in self.moment.edges:
            known = near_miss(name, self.moment.edges) if self.moment.edges else "; they have no attributes"
            raise DesignError(f"the network's edges have no {name!r}{known}")
        return self.moment.edges[name][self.slots]

    @property
    def n_engaged(self) -> Ints:
        """How many of those whom the agent hears are engaged."""
        return self.moment.n_engaged[self.agent]

    @property
    def n_neighbours(self) -> Ints:
        """How many the agent hears."""
        return self.moment.n_neighbours[self.agent]

    @property
    def n_unengaged(self) -> Ints:
        """How many of those whom the agent hears are not engaged."""
        return self.n_neighbours - self.n_engaged

    @property
    def n_fresh(self) -> Ints:
        """How many of those whom the agent hears are neither engaged nor exposed."""
        return self.moment.n_fresh[self.agent]

    @property
    def n_asked(self) -> Ints:
        """How many questions the agent was asked at earlier steps."""
        return self.moment.n_asked[self.agent]

    def where(self, chosen: Bools) -> Exposures:
        """Keep the exposures for which `chosen` is true, shape ``(n_exposures,)``.

        Raises:
            DesignError: It holds no truths, of one exposure each: numbers would be taken for places.
        """
        given = np.asarray(chosen)
        # Of no exposures a list of truths is empty, and NumPy does not see what it is made of.
        if given.shape != self.slots.shape or (given.dtype != bool and given.size):
            raise DesignError(
                f"exposures.where takes a truth for each of the {len(self)} exposures, such as "
                f"exposures.n_engaged >= 2, not {given.dtype} of shape {given.shape}"
            )
        return Exposures(self.moment, self.slots[given.astype(bool)])

    def once_per_agent(self) -> Exposures:
        """Keep one exposure, the first, of each agent that was never asked before."""
        first = np.append(True, self.agent[1:] != self.agent[:-1])[: len(self)]
        return self.where(first & (self.n_asked == 0))


Choose = Callable[..., Exposures]
"""``(exposures, **options) -> exposures``: what a rule does."""


@dataclass(frozen=True, slots=True)
class AskingRule:
    """A rule, as the experiment sets it.

    Attributes:
        name: What it is called in designs and logs.
        says: The clause that a methods paragraph says of it ("... {says} and engaged at its first yes").
        choose: What it does.
        options: What it takes besides the exposures, and their values.
        is_local: Whether who is asked depends on the agent and those whom it hears alone.
    """

    name: str
    says: str
    choose: Choose
    options: Mapping[str, Any] = field(default_factory=dict)
    is_local: bool = False

    @property
    def sentence(self) -> str:
        """`says` with the options' values in it."""
        return self.says.format(**self.options)

    def set_by(self, design: object) -> AskingRule:
        """Take the options from the attributes of `design` that are named like them."""
        own = {name: getattr(design, name, value) for name, value in self.options.items()}
        return replace(self, options=own)

    def asked(self, moment: Moment) -> Exposures:
        """Choose who is asked about whom.

        Raises:
            DesignError: The rule gives something else than exposures.
        """
        found = self.choose(moment.exposures(), **self.options)
        if not isinstance(found, Exposures):
            raise DesignError(
                f"asking rule {self.name!r} gives {found!r:.60}; it gives Exposures, such as "
                "exposures.where(exposures.n_engaged >= 2)"
            )
        # Made anew: a rule may have written into the columns that it looked at.
        return Exposures(moment, found.slots)


ASKING_RULES: Final[PluginKind[AskingRule]] = PluginKind(
    "asking rule",
    "agentnet.asking_rules",
    "agentnet.asking_rules.asking_rule",
    parts=("set_by", "sentence"),
    unknown=DesignError,
)


def asking_rule(name: str, *, says: str, is_local: bool = False) -> Callable[[Choose], Choose]:
    """Enter the decorated function as the asking rule called `name`.

    Args:
        name: What experiments call it.
        says: The clause that a methods paragraph says of it, with the names of options in braces.
        is_local: Whether it looks at the agent and those whom it hears alone (not at `n_fresh`, say, which
            looks at their neighbours): then agents can be played ahead of each other (`engine.run_ahead`).

    Raises:
        DesignError: The name is taken, the clause names no option, or an option has no default.
    """

    def enter(choose: Choose) -> Choose:
        signature = inspect.signature(choose)
        options = {each.name: each.default for each in [*signature.parameters.values()][1:]}
        if inspect.Parameter.empty in options.values():
            raise DesignError(f"asking rule {name!r} takes an option without a default: {list(options)}")
        try:
            signature.bind(None, **options)
        except TypeError as error:
            raise DesignError(
                f"asking rule {name!r} is called with exposures, and with options by name: {error}"
            ) from error
        rule = AskingRule(name, says, choose, options, is_local)
        try:
            _ = rule.sentence
        except (LookupError, ValueError) as error:
            raise DesignError(
                f"asking rule {name!r} says {says!r}, which names what is none of its options ({error})"
            ) from error
        return ASKING_RULES.named(name, lambda _: rule)(choose)

    return enter


def find_rule(design: Any) -> AskingRule:  # noqa: ANN401 - any experiment with an asking rule
    """Find the rule that an experiment names (``design.asking_rule``), set by its knobs.

    Raises:
        DesignError: There is none of that name; lists those that there are.
    """
    who = type(design)
    try:
        return ASKING_RULES.load(design.asking_rule, asker=who.__module__).set_by(design)
    except DesignError as error:
        raise DesignError(f"{who.__name__}.asking_rule: {error}") from None


@asking_rule("always", says="every unengaged agent was asked once for each engaged neighbour", is_local=True)
def always(exposures: Exposures) -> Exposures:
    """Ask about every engaged neighbour, at every step."""
    return exposures


@asking_rule(
    "unengaged_neighbour",
    says="every unengaged agent with an unengaged neighbour left was asked once for each engaged neighbour",
    is_local=True,
)
def unengaged_neighbour(exposures: Exposures) -> Exposures:
    """Ask the same, while the agent has an unengaged neighbour left."""
    return exposures.where(exposures.n_unengaged > 0)


@asking_rule(
    "unexposed_neighbour",
    says="every unengaged agent with a neighbour left that was neither engaged nor exposed was asked once "
    "for each engaged neighbour",
)
def unexposed_neighbour(exposures: Exposures) -> Exposures:
    """Ask the same, while the agent has a neighbour that is neither engaged nor exposed."""
    return exposures.where(exposures.n_fresh > 0)


@asking_rule(
    "once_per_edge",
    says="every unengaged agent was asked about each neighbour that had engaged at the step before, and "
    "never about the same one again, also if its answer was missing,",
    is_local=True,
)
def once_per_edge(exposures: Exposures) -> Exposures:
    """Ask about every engaged neighbour once, for ever, also if the answer is missing."""
    return exposures.where(exposures.source_step == exposures.step - 1)


def repeats(agents: Ints, sources: Ints) -> Ints:
    """Number exposures of the same agent and source from 0; equal ones stand side by side."""
    place = np.arange(len(agents))
    first = np.append(True, (agents[1:] != agents[:-1]) | (sources[1:] != sources[:-1]))[: len(agents)]
    return place - np.maximum.accumulate(np.where(first, place, 0))


def n_different(ascending: Ints) -> int:
    """Count the different values of an array in ascending order (np.unique takes 80 us)."""
    return int(np.count_nonzero(ascending[1:] != ascending[:-1])) + bool(len(ascending))


def listeners(network: Network) -> Ints:
    """Name the agent of each slot of ``network.indices``, shape ``(n_slots,)``."""
    return network.listener
