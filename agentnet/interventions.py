"""What is done to a cascade from outside, at a step: warning labels, agents removed, ties made and cut.

    interventions = (at_step(3, remark("Independent checkers rate this as misleading.")),)

What is done is any callable that is given the `Situation` and calls its methods; a new one is a function in
an experiment's file. Everything that it changes is written down, in table ``changes``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from agentnet.errors import DesignError
from agentnet.network import Network

STOPPED, REMOVED, SILENCED, REMARKED, ENGAGED = ("stopped", "removed", "silenced", "remarked", "engaged")
FOLLOWS, UNFOLLOWS, REPLACED = ("follows", "unfollows", "network")
"""What may happen beside answers: words of table ``changes``; free worlds may add their own."""


class Situation(Protocol):
    """A cascade at the start of a step, for whoever intervenes."""

    @property
    def step(self) -> int:
        """The step to be played."""
        ...

    @property
    def network(self) -> Network:
        """Who hears whom now."""
        ...

    @property
    def engaged(self) -> Sequence[int]:
        """Who is engaged now, ascending."""
        ...

    def remark(self, text: str) -> None:
        """Have prompts say `text` beside the message from now on."""
        ...

    def remove(self, agents: Iterable[int]) -> None:
        """Take agents out: from now on they are neither asked nor heard."""
        ...

    def silence(self, agents: Iterable[int]) -> None:
        """Let agents not be heard from now on."""
        ...

    def engage(self, agents: Iterable[int]) -> None:
        """Let agents be engaged from now on without asking them."""
        ...

    def rewire(self, add: Iterable[tuple[int, int]] = (), drop: Iterable[tuple[int, int]] = ()) -> None:
        """Make and cut ties, pairs of (who is heard, who hears)."""
        ...


Effect = Callable[[Situation], None]


@dataclass(frozen=True, slots=True)
class Intervention:
    """What is done at the start of a step; made by `at_step`."""

    step: int
    effect: Effect

    def __str__(self) -> str:
        # A function's repr holds its address, which differs from process to process.
        name = getattr(self.effect, "__qualname__", None) or repr(self.effect)
        return f"at step {self.step}: {name}"


def at_step(step: int, effect: Effect) -> Intervention:
    """Do something at the start of a step.

    Args:
        step: The step, >= 1.
        effect: What is done; it may depend on the situation alone.

    Raises:
        DesignError: There is no such step, or the effect cannot be called.
    """
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise DesignError(f"an intervention is at step {step!r}; steps are numbered from 1")
    if not callable(effect):
        raise DesignError(
            f"the intervention at step {step} does {effect!r:.60}; it is something to be called with the "
            "situation, such as agentnet.remark('...') or a function of your own"
        )
    return Intervention(step, effect)


@dataclass(frozen=True, slots=True)
class remark:  # noqa: N801 - read as a verb
    """Say something beside the message: a warning label, a fact check."""

    text: str

    def __call__(self, situation: Situation) -> None:
        """Say it from now on."""
        situation.remark(self.text)


@dataclass(frozen=True, slots=True)
class remove_agents:  # noqa: N801 - read as a verb
    """Take agents out of the network.

    Attributes:
        agents: Which.
        top: Or (measure, how many): those that are highest in it (`agentnet.network.Network.top`).
    """

    agents: tuple[int, ...] = ()
    top: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        if not self.agents and self.top is None:
            raise DesignError("remove_agents() names nobody; give agents=(...) or top=(measure, how many)")

    def __call__(self, situation: Situation) -> None:
        """Take them out."""
        situation.remove(chosen(situation.network, self.agents, self.top))


def chosen(network: Network, agents: Iterable[int], top: Any) -> tuple[int, ...]:  # noqa: ANN401 - a user's
    """List agents that are named, or that are highest in a measure.

    Raises:
        DesignError: There is no such agent or measure.
    """
    found = tuple(known(agent, network) for agent in agents)
    return found if top is None else (*found, *(int(agent) for agent in network.top(*top)))


def known(agent: Any, network: Network) -> int:  # noqa: ANN401 - a user's
    """Give the number of an agent that there is, as Python has it: logs hold no others.

    Raises:
        DesignError: There is no such agent.
    """
    is_number = isinstance(agent, int | np.integer) and not isinstance(agent, bool)
    if not is_number or not 0 <= agent < network.n_agents:
        raise DesignError(
            f"there is no agent {agent!r}; network {network.name!r} has agents 0 to {network.n_agents - 1}"
        )
    return int(agent)
