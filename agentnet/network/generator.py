"""Generators of networks, by name.

A generator is a function of its parameters, `n_agents` maybe among them, and mostly of an integer seed: these
fix the network on every machine with the same NumPy. Its definition takes it in, in an experiment file, too;
its parameters are then ``network_options`` of an experiment, ``degree`` one of its knobs::

    @network_generator
    def ring(n_agents: int) -> Network:
        return Network.from_edges([(agent, (agent + 1) % n_agents) for agent in range(n_agents)], n_agents)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from agentnet.errors import DesignError, near_miss
from agentnet.network.checks import whole
from agentnet.network.graph import Network
from agentnet.plugins import PluginKind

Make = TypeVar("Make", bound=Callable[..., Network])

GENERATORS: Final[PluginKind[Callable[..., Network]]] = PluginKind(
    "network generator",
    "agentnet.network_generators",
    "agentnet.network.generator",
    parts=("__call__",),
    bundled="agentnet.network.generators",
    unknown=DesignError,
)
"""Every generator by its name."""


def network_generator(make: Make) -> Make:
    """Take a function in as the generator of its name."""
    GENERATORS.register(make.__name__, make)
    return make


def make_network(kind: str, *, n_agents: int, seed: int, **options: object) -> Network:
    """Draw a network by the name of its generator.

    Args:
        kind: The name of a generator.
        n_agents: Number of agents; for ``stochastic_block``, the sum of its `sizes`.
        seed: Fixes the network (``complete`` takes no notice).
        **options: The generator's other parameters, such as ``degree=5``.

    Raises:
        DesignError: No such generator, an option unknown, missing or out of range.

    Examples:
        >>> make_network("random_regular", n_agents=128, seed=7, degree=5)
        Network('random_regular', n_agents=128, n_edges=320)
    """
    make = GENERATORS.load(kind)
    parameters = _named_of(kind, make)
    _check_options(kind, parameters, options)
    given: dict[str, object] = {"n_agents": n_agents, "seed": seed}
    network = make(**options, **{name: value for name, value in given.items() if name in parameters})
    if not isinstance(network, Network):
        raise DesignError(
            f"network generator {kind!r} gives {network!r:.60}; it gives a Network, such as "
            "Network.from_networkx(graph) or Network.from_edges(edges, n_agents)"
        )
    if network.n_agents != whole("n_agents", n_agents):
        asked = "`sizes` add up to" if "sizes" in options else f"network generator {kind!r} gives"
        raise DesignError(f"{asked} {network.n_agents} agents, but `n_agents` is {n_agents}: make them agree")
    return network


def _named_of(kind: str, make: Callable[..., Network]) -> dict[str, inspect.Parameter]:
    """List the parameters that can be given by name: all are."""
    parameters = inspect.signature(make).parameters
    for item in parameters.values():
        if item.kind in (item.POSITIONAL_ONLY, item.VAR_POSITIONAL, item.VAR_KEYWORD):
            raise DesignError(
                f"network generator {kind!r} takes `{item}` without a name of its own; all that it takes is "
                f"given by name, as {kind}(n_agents=.., seed=..)"
            )
    return dict(parameters)


def _check_options(
    kind: str, parameters: Mapping[str, inspect.Parameter], options: Mapping[str, object]
) -> None:
    known = {name: item for name, item in parameters.items() if name not in ("n_agents", "seed")}
    for option in options:
        if option not in known:
            hint = near_miss(option, known) if known else "; it has none"
            raise DesignError(f"{kind} has no option {option!r}{hint}")
    missing = [
        f"`{name}`"
        for name, item in known.items()
        if item.default is inspect.Parameter.empty and name not in options
    ]
    if missing:
        raise DesignError(f"{kind} needs {' and '.join(missing)}")
