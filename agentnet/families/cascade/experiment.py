"""The base class of experiments with news cascades."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from agentnet.asking_rules import find_rule
from agentnet.errors import DesignError, near_miss
from agentnet.experiment import Gives, NewsExperiment, ask, one, require, several
from agentnet.experiment.body import n_parameters, own_classes, takes_also
from agentnet.exposure import Context, Exposure, Missing, Reaction
from agentnet.interventions import Intervention
from agentnet.network import GENERATORS, Network, make_network, read_network, read_node_table
from agentnet.news import NewsItem
from agentnet.population import Population, personas_of
from agentnet.profiles import Assignment, Profile, ProfileIndices, assign
from agentnet.prompts import Messages, PromptSet, Verdict
from agentnet.prompts.declared import Declared, declared
from agentnet.vocabulary import N_PROFILES, WITHOUT

_FILE_OPTIONS = {"simplify": bool, "encoding": str, "kind": str}


_TOLD = frozenset({"context", "remark", "react", "rule", "network_at", "assign_personas", "deal_voices"})
"""Hooks whose overriding makes each exposure be asked by itself."""

_OF_EXPOSURE = 3
"""Parameters of ``messages(self, prompts, exposure)``."""


def _context(given: object) -> object | None:
    plain = (str, int, float, bool, NoneType)
    fits = isinstance(given, Mapping) and all(
        isinstance(name, str) and isinstance(value, plain) and value == value  # noqa: PLR0124 - no nan
        for name, value in given.items()
    )
    return given if fits else None


def _profiles(given: object) -> object | None:
    try:
        indices = np.asarray(given)
    except ValueError:
        return None
    fits = indices.dtype.kind in "iu" and indices.size and 0 <= indices.min() <= indices.max() < N_PROFILES
    return indices if fits else None


class CascadeExperiment(NewsExperiment):
    """News cascades on a network (Tian et al. 2026); its defaults are the paper's design.

    Attributes:
        n_agents: Agents of a generated network.
        network: A generator's name (see `agentnet.network.GENERATORS`), a file (see
            `agentnet.network.read_network`), or a `Network` or networkx graph made by the experiment file.
        degree: Neighbours of each agent, for generators that take a degree.
        network_options: Further options of the generator, such as ``{"rewiring": 0.1}``, or of the file:
            ``{"simplify": True}`` drops loops, repeats and direction, ``encoding`` is a text's
            and its node table's, ``kind`` names the format (`agentnet.network.NETWORK_FORMATS`).
        node_table: A table of the user's, one row a node, whose columns can hold profiles.
        profiles: How profiles are dealt to agents: ``equal``, ``uniform``, weights by bit string, one bit
            string, or ``column:NAME`` of the node table.
        repeats: Realizations of each news item.
        steps: Steps after the seeding.
        asking_rule: Which exposures are asked: a rule's name; see `agentnet.asking_rules`.
        max_seed_attempts: How many agents are asked to start at most; None: all of them.
        initial_agents: Who is engaged at the start. A number: so many, asked until they say yes. Without
            being asked: a tuple of agents; ``{"top": (measure, how many)}``, the highest in it
            (`agentnet.network.Network.top`); ``{"share": 0.05}``, drawn at random.
        personas: Who agents are told to be instead of the 32 profiles, or None: ``"column:NAME"`` of the node
            table, a file, or a sequence of texts (`agentnet.population.personas_of`).
        answer: What agents may answer: yes or no (``bool``), a ``Literal`` of choices, or a pydantic model;
            see `agentnet.prompts.declared`.
        decides: Which answer engages: the name of a model's field, (field, value), or a choice.
        passes_on: The field whose text the agent's neighbours hear; "": the message as it was.
        interventions: What is done at steps (`agentnet.interventions.at_step`).
        recovery_rate: Probability by which an engaged agent stops at each later step: it is not heard then.
        susceptible_again: Whether who stopped may engage again (SIS instead of SIR).
        voices: Name -> who answers for some agents, as a table of backend settings, or ``"rule"`` for agents
            that the method `rule` answers for; none: the run's backend answers for all.
    """

    family: ClassVar[str] = "cascade"
    _gives: ClassVar = {
        "make_network": Gives(one(Network), "an agentnet.Network, such as Network.from_networkx(graph)"),
        "assign_profiles": Gives(
            _profiles, f"an array of indices of profiles, 0 to {N_PROFILES - 1}, one an agent"
        ),
        "assign_personas": Gives(several, "a text for each agent, or an empty tuple where profiles say it"),
        "deal_voices": Gives(several, "the name of a voice for each agent"),
        "context": Gives(_context, "a dict of names to plain facts (numbers, texts, true or false)"),
        "remark": Gives(one(str), "a text, '' for none"),
        "react": Gives(one(Reaction), "an agentnet.Reaction, such as Reaction(engages=True)"),
        "network_at": Gives(
            lambda given: (given,) if given is None or isinstance(given, Network) else None,
            "an agentnet.Network, or None where it stays as it is",
        ),
    }

    n_agents: int = 128
    network: Any = "random_regular"
    degree: int = 5
    network_options: Mapping[str, Any] = MappingProxyType({})
    node_table: Path | None = None
    profiles: str | dict[str, float] = "equal"
    repeats: int = 5
    steps: int = 15
    asking_rule: str = "unengaged_neighbour"
    max_seed_attempts: int | None = None
    initial_agents: int | tuple[int, ...] | dict[str, Any] = 1
    personas: Any = None
    answer: Any = bool
    decides: Any = None
    passes_on: str = ""
    interventions: tuple[Any, ...] = ()
    recovery_rate: float = 0.0
    susceptible_again: bool = False
    voices: Mapping[str, Any] = MappingProxyType({})
    _declared: Declared | None = None

    def check(self) -> None:
        """Refuse a design that cannot be played; makes one network to see that it can be made."""
        super().check()
        require(self.steps >= 1, f"steps is {self.steps}; it is at least 1")
        require(
            self.max_seed_attempts is None or self.max_seed_attempts >= 1,
            f"max_seed_attempts is {self.max_seed_attempts}; it is at least 1, or None for all agents",
        )
        find_rule(self)
        Assignment.parse(self.profiles)
        self._check_told()

    def _check_told(self) -> None:
        """Refuse what the agents cannot be told or answer."""
        require(0.0 <= self.recovery_rate <= 1.0, f"recovery_rate is {self.recovery_rate}; it is from 0 to 1")
        for each in self.interventions:
            require(
                isinstance(each, Intervention),
                f"interventions holds {each!r:.60}; each is made by at_step(step, effect)",
            )
        self._declared = declared(self.answer, decides=self.decides)
        if self.answers_more:
            # The declaration says what is asked for, so that no reason is asked for beside it.
            self.rationale = WITHOUT
            require(
                self.decides is not None or type(self).react is not CascadeExperiment.react,
                f"answer is {self.answer}, but nothing says which answers engage; set decides to a field or "
                "a choice, or write react(self, exposure, answer)",
            )
        require(
            not self.passes_on or self.passes_on in self._declared.fields,
            f"passes_on is {self.passes_on!r}, which is no field of the answer; it has "
            f"{', '.join(self._declared.fields) or 'none'}",
        )

    @property
    def answers_more(self) -> bool:
        """Whether agents may answer more than yes or no."""
        return self.answer is not bool

    @property
    def declared(self) -> Declared:
        """What agents may answer."""
        assert self._declared is not None
        return self._declared

    def judge(self, text: str) -> Verdict:
        """Understand a reply: as `answer` declares it, or as yes or no."""
        return self.declared.judge(text) if self.answers_more else super().judge(text)

    def constraint(self) -> tuple[tuple[str, ...], str | None]:
        """Say what a reply may be; see `NewsExperiment.constraint`."""
        if not (self.answers_more and self.constrain):
            return super().constraint()
        return self.declared.answers, self.declared.schema

    @takes_also("prompts", "exposure")
    def messages(self, prompts: PromptSet, kind: str, profile: Profile | str, item: NewsItem) -> Messages:
        """Compose what an agent is asked; override it to ask otherwise.

        It may also be written as ``messages(self, prompts, exposure)``: then it may use all that is known of
        the `agentnet.Exposure`, and is called for each one.

        Args:
            prompts: The run's templates.
            kind: ``seed`` or ``exposure``.
            profile: The agent's profile, or the text of its persona.
            item: The news item; where messages are retold, or there are remarks, its text is theirs.
        """
        answer = self.declared.instruction if self.answers_more else None
        return prompts.messages(kind, profile, item, rationale=self.rationale, answer=answer)

    def context(self, exposure: Exposure) -> Context:  # noqa: ARG002 - those who write it need it
        """Say which facts of an exposure its prompt uses; they are recorded, and laws can use them."""
        return {}

    def remark(self, context: Context) -> str:  # noqa: ARG002 - likewise
        """Say what stands between the news and the question, from the facts of `context`."""
        return ""

    def react(self, exposure: Exposure, answer: Any) -> Reaction:  # noqa: ANN401, ARG002 - as declared
        """Say what an answer does; by default what `decides` and `passes_on` say.

        Args:
            exposure: What the agent was asked about.
            answer: As `answer` declares it, or `agentnet.Missing`.
        """
        if isinstance(answer, Missing):
            return Reaction(None)
        text = getattr(answer, self.passes_on) if self.passes_on else None
        return Reaction(_engages(answer, self.decides), text)

    def rule(self, exposure: Exposure) -> Any:  # noqa: ANN401, ARG002 - as declared
        """Answer for an agent whose voice is ``"rule"``."""
        raise DesignError(
            f"{type(self).__name__} has agents that follow a rule: write its method rule(self, exposure)"
        )

    def network_at(self, step: int, seed: int) -> Network | None:  # noqa: ARG002 - those who write it need it
        """Give the network from a step on; None where it stays as it is."""
        return None

    def assign_personas(self, network: Network, seed: int) -> Sequence[str]:
        """Say who each agent is told to be, a text each; () where profiles say it."""
        if self.personas is None:
            return ()
        return personas_of(self.personas, network.n_agents, network.node_attributes, seed)

    def deal_voices(self, population: Population, seed: int) -> Sequence[str]:
        """Deal the names of `voices` to the agents; by default in equal shares."""
        return population.deal(dict.fromkeys(self.voices, 1.0 / len(self.voices)), seed)

    @property
    def is_told(self) -> bool:
        """Whether agents are told more than a news item, so that each exposure is asked by itself."""
        own = {name for base in own_classes(type(self)) for name in vars(base)}
        chosen = not isinstance(self.initial_agents, int)
        knobs = self.answers_more or self.interventions or self.recovery_rate or self.voices
        takes_exposure = "messages" in own and n_parameters(type(self).messages) == _OF_EXPOSURE
        return bool(own & _TOLD or chosen or knobs or takes_exposure or self.personas is not None)

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
        return self.network if isinstance(self.network, Network) else Network.from_networkx(self.network)

    @property
    def takes_degree(self) -> bool:
        """Whether the network is generated with `degree`."""
        generator = GENERATORS.get(self.network) if isinstance(self.network, str) else None
        return generator is not None and "degree" in inspect.signature(generator).parameters

    @property
    def network_file(self) -> Path | None:
        """The file that the network is read from, if it is."""
        is_file = isinstance(self.network, Path) or (isinstance(self.network, str) and "." in self.network)
        return Path(self.network) if is_file else None

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
        require(
            self.network not in GENERATORS or self.degree == CascadeExperiment.degree,
            f"degree is {self.degree}, but {self.network} takes no degree; leave it out",
        )
        return dict(self.network_options)


def _engages(answer: Any, decides: Any) -> bool:  # noqa: ANN401 - as declared
    if decides is None:
        return bool(answer)
    if not isinstance(answer, BaseModel):
        return bool(answer == decides)
    name, wanted = decides if isinstance(decides, tuple) else (decides, True)
    return bool(getattr(answer, name) == wanted)


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
