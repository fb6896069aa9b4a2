"""Experiments whose agents sit on a network, and who these agents are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from agentnet.errors import DesignError, near_miss
from agentnet.experiment import Experiment, Gives, ask, one, require, several
from agentnet.network import GENERATORS, Network, make_network, read_network, read_node_table
from agentnet.plugins import is_address
from agentnet.population import Population, personas_of
from agentnet.profiles import Assignment, ProfileIndices, assign
from agentnet.vocabulary import N_PROFILES

_FILE_OPTIONS = {"simplify": bool, "encoding": str, "kind": str, "heard": str, "edge_attributes": Sequence}


def _profiles(given: object) -> object | None:
    try:
        indices = np.asarray(given)
    except ValueError:
        return None
    fits = indices.dtype.kind in "iu" and indices.size and 0 <= indices.min() <= indices.max() < N_PROFILES
    return indices if fits else None


_TABLE_OF_OPTIONS = "; its options stand in network_options"


class PeopledExperiment(Experiment):
    """An experiment whose agents sit on a network; subclass `CascadeExperiment` or `WorldExperiment`.

    Attributes:
        n_agents: Agents of a generated network.
        network: A generator's name (see `agentnet.network.GENERATORS`), a file (see
            `agentnet.network.read_network`), or a `Network` or networkx graph made by the experiment file.
        degree: Neighbours of each agent, for generators that take a degree.
        network_options: Further options of the generator, such as ``{"rewiring": 0.1}``, or of the file:
            ``{"simplify": True}`` drops loops, repeats and direction, ``encoding`` is a text's
            and its node table's, ``kind`` names the format (`agentnet.network.NETWORK_FORMATS`), ``heard``
            makes it directed (``source`` or ``target`` is heard by the other end), ``edge_attributes`` names
            columns or attributes of edges to keep, such as ``["weight", "layer"]``.
        node_table: A table of the user's, one row a node, whose columns can hold profiles.
        profiles: How profiles are dealt to agents: ``equal``, ``uniform``, weights by bit string, one bit
            string, or ``column:NAME`` of the node table.
        personas: Who agents are told to be instead of the 32 profiles, or None: ``"column:NAME"`` of the node
            table, a file, or a sequence of texts (`agentnet.population.personas_of`).
        voices: Name -> who answers for some agents: a backend's table, such as ``{"name": "openai", "model":
            "gpt-4o"}`` (without ``name``: the run's own backend with other options), a backend's name, or
            ``"rule"`` for agents that the method `rule` answers for; none: the run's backend answers for all.
            A table may also hold ``requests_per_minute``, ``tokens_per_minute`` and ``max_in_flight``, which
            go before section ``stack``. ``-S voices.NAME.model=...`` overrides an option.
    """

    _gives: ClassVar = {
        "make_network": Gives(one(Network), "an agentnet.Network, such as Network.from_networkx(graph)"),
        "assign_profiles": Gives(
            _profiles, f"an array of indices of profiles, 0 to {N_PROFILES - 1}, one an agent"
        ),
        "assign_personas": Gives(several, "a text for each agent, or an empty tuple where profiles say it"),
        "deal_voices": Gives(several, "the name of a voice for each agent"),
    }

    n_agents: int = 128
    network: Any = "random_regular"
    degree: int = 5
    network_options: Mapping[str, Any] = MappingProxyType({})
    node_table: Path | None = None
    profiles: str | dict[str, float] = "equal"
    personas: Any = None
    voices: Mapping[str, Any] = MappingProxyType({})

    def check(self) -> None:
        """Refuse a design that cannot be played."""
        super().check()
        Assignment.parse(self.profiles)
        require(
            self.personas is None or self.profiles == PeopledExperiment.profiles,
            f"personas say who agents are, so that profiles = {self.profiles!r} would be dealt to nobody; "
            "leave one of them out",
        )

    def make_network(self, seed: int) -> Network:
        """Make the network of one realization; override it for a network of your own.

        Args:
            seed: Keyed by run seed and realization; equal seeds must give equal networks.

        Raises:
            DesignError: No such network can be made.
            InputError: The network's file or the node table is malformed.
        """
        network = self._bare_network(seed)
        return network if self.node_table is None else self._with_table(self.node_table, network)

    def assign_profiles(self, network: Network, seed: int) -> ProfileIndices:
        """Deal profiles to the agents of one realization, shape ``(n_agents,)``; see `make_network`."""
        return assign(self.profiles, network.n_agents, seed=seed, node_attributes=network.node_attributes)

    def _with_table(self, table: str | Path, network: Network) -> Network:
        encoding = None if self.network_file is None else self.network_options.get("encoding")
        return read_node_table(table, network, encoding=encoding)

    def _bare_network(self, seed: int) -> Network:
        path = self.network_file
        if path is not None:
            return self._read(path)
        if isinstance(self.network, str):
            return make_network(self.network, n_agents=self.n_agents, seed=seed, **self._generator_options())
        require(
            not callable(self.network),
            f"network of {type(self).__name__} is a function, and nobody would call it: write a method "
            "make_network(self, seed), which gives an agentnet.Network, such as Network.from_networkx(graph)",
        )
        require(
            not self.network_options,
            f"network_options is {dict(self.network_options)}, but the network is made already; leave it out",
        )
        if isinstance(self.network, Network):
            return self.network
        import networkx as nx

        require(
            isinstance(self.network, nx.Graph),
            f"network of {type(self).__name__} is {self.network!r:.60}; it is the name of a generator or "
            f"file, or a Network or networkx graph{_TABLE_OF_OPTIONS * isinstance(self.network, Mapping)}",
        )
        return Network.from_networkx(self.network)

    @property
    def takes_degree(self) -> bool:
        """Whether the network is generated with `degree`."""
        make = self.network_generator
        return make is not None and "degree" in inspect.signature(make).parameters

    @property
    def network_generator(self) -> Callable[..., Network] | None:
        """What makes the network, if that is a generator that is named."""
        is_one = isinstance(self.network, str) and (self.network in GENERATORS or is_address(self.network))
        return GENERATORS.load(self.network) if is_one else None

    @property
    def network_file(self) -> Path | None:
        """The file that the network is read from, if it is."""
        is_text = isinstance(self.network, str) and "." in self.network and not is_address(self.network)
        return Path(self.network) if is_text or isinstance(self.network, Path) else None

    def _read(self, path: Path) -> Network:
        for name, value in self.network_options.items():
            require(
                name in _FILE_OPTIONS,
                f"network_options.{name} is no option of a network's file{near_miss(name, _FILE_OPTIONS)}",
            )
            require(
                isinstance(value, _FILE_OPTIONS[name]),
                f"network_options.{name} is {value!r}; it is a {_FILE_OPTIONS[name].__name__}",
            )
        network = read_network(path, **self.network_options)
        require(
            self.overrides.get("n_agents", network.n_agents) == network.n_agents,
            f"n_agents is {self.n_agents}, but {path} has {network.n_agents} agents; leave n_agents out",
        )
        return network

    def _generator_options(self) -> dict[str, Any]:
        if self.takes_degree:
            return {"degree": self.degree, **self.network_options}
        # A condition cannot leave out the degree that all others take: its network goes without.
        is_left = "network" in self._of_condition and "degree" not in self._of_condition
        require(
            is_left or self.network_generator is None or self.degree == PeopledExperiment.degree,
            f"degree is {self.degree}, but {self.network} takes no degree; leave it out",
        )
        return dict(self.network_options)

    def assign_personas(self, network: Network, seed: int) -> Sequence[str]:
        """Say who each agent is told to be, a text each; () where profiles say it."""
        if self.personas is None:
            return ()
        return personas_of(self.personas, network.n_agents, network.node_attributes, seed)

    def deal_voices(self, population: Population, seed: int) -> Sequence[str]:
        """Deal the names of `voices` to the agents; by default in equal shares."""
        return population.deal(dict.fromkeys(self.voices, 1.0 / len(self.voices)), seed)


def ask_profiles(experiment: Any, network: Network, seed: int) -> np.ndarray[Any, Any]:  # noqa: ANN401
    """Call ``assign_profiles``; see `agentnet.experiment.ask`.

    Returns:
        Indices of profiles, shape ``(n_agents,)``.
    """
    profiles: np.ndarray[Any, Any] = ask(experiment, "assign_profiles", network, seed)
    if profiles.shape != (network.n_agents,):
        raise DesignError(
            f"{type(experiment).__name__}.assign_profiles gives an array of shape {profiles.shape} for "
            f"{network.n_agents} agents; it gives the index of a profile for each"
        )
    return profiles
