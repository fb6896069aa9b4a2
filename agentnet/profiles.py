"""The five traits, the 32 profiles they make, their wording, and the assignment of profiles to agents.

A profile is five bits in the order of `TRAITS`, 0 low and 1 high, written as a bit string such as
``"01101"``; its index is that string read as a binary number, so openness weighs 16 and neuroticism 1.
Nothing here reads a file: the sentences of a wording come from templates, which `agentnet.prompts` reads.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DesignError, near_miss
from agentnet.streams import Streams, uniform
from agentnet.vocabulary import N_PROFILES, TRAITS

ProfileIndices = NDArray[np.int8]
"""A profile index, 0..31, for each agent; shape ``(n_agents,)``."""

Design = str | Mapping[str, float]
"""How profiles are dealt out: see `Assignment.parse`."""

NodeAttributes = Mapping[str, Sequence[object] | NDArray[np.generic]]
"""The user's node table: column name -> one value for each agent, in agent order."""

_COLUMN = "column:"
_DESIGNS = ("equal", "uniform", "column:NAME", "five bits such as 01101")


@dataclass(frozen=True, slots=True)
class Profile:
    """Five binary traits, 0 low and 1 high.

    Raises:
        DesignError: A bit is neither 0 nor 1.

    Examples:
        >>> profile = Profile.from_bits("01101")
        >>> profile.index, profile.label, profile.high("openness")
        (13, 'O-C+E+A-N+', False)
    """

    openness: int
    conscientiousness: int
    extraversion: int
    agreeableness: int
    neuroticism: int

    def __post_init__(self) -> None:
        for trait in fields(self):
            bit = getattr(self, trait.name)
            if isinstance(bit, bool) or bit not in (0, 1):
                raise DesignError(f"trait {trait.name} is {bit!r}; a trait is 0 (low) or 1 (high)")

    @classmethod
    def from_bits(cls, bits: str) -> Profile:
        """Read a bit string, openness first.

        Raises:
            DesignError: `bits` is not a string of five characters 0 or 1.
        """
        return cls.from_index(_index(bits))

    @classmethod
    def from_index(cls, index: SupportsIndex) -> Profile:
        """Make the profile of an index, 0..31.

        Raises:
            DesignError: `index` is out of range.
        """
        number = operator.index(index)
        if not 0 <= number < N_PROFILES:
            raise DesignError(f"there is no profile {number}; profiles are numbered 0 to {N_PROFILES - 1}")
        return cls(*(number >> shift & 1 for shift in (4, 3, 2, 1, 0)))

    @property
    def bits(self) -> str:
        """The five bits in the order of `TRAITS`, such as ``"01101"``."""
        return format(self.index, "05b")

    @property
    def index(self) -> int:
        """The bit string read as a binary number, 0..31."""
        return (
            self.openness << 4
            | self.conscientiousness << 3
            | self.extraversion << 2
            | self.agreeableness << 1
            | self.neuroticism
        )

    @property
    def label(self) -> str:
        """A short form for axes and tables, such as ``"O-C+E+A-N+"``."""
        return "".join(f"{trait[0].upper()}{'+' if self.high(trait) else '-'}" for trait in TRAITS)

    def high(self, trait: str) -> bool:
        """Say whether `trait` is high.

        Raises:
            DesignError: There is no such trait.
        """
        if trait not in TRAITS:
            raise DesignError(f"there is no trait {trait!r}{near_miss(trait, TRAITS)}")
        return bool(getattr(self, trait))


def all_profiles() -> tuple[Profile, ...]:
    """Make the 32 profiles in the order of their indices."""
    return tuple(Profile.from_index(index) for index in range(N_PROFILES))


@dataclass(frozen=True, slots=True)
class TraitWording:
    """What each trait, low or high, means for behaviour: a text each, in the order of `TRAITS`.

    Raises:
        DesignError: There are not five texts for low and five for high, or one is blank.
    """

    low: tuple[str, ...]
    high: tuple[str, ...]

    def __post_init__(self) -> None:
        for level, texts in (("low", self.low), ("high", self.high)):
            if len(texts) != len(TRAITS):
                raise DesignError(
                    f"the wording of {level} traits has {len(texts)} texts; it needs {len(TRAITS)}"
                )
            for trait, text in zip(TRAITS, texts, strict=True):
                if not text.strip():
                    raise DesignError(f"the wording of {level} {trait} is blank; describe the behaviour")

    def sentences(self, profile: Profile) -> tuple[str, ...]:
        """Choose the five texts that describe `profile`, in the order of `TRAITS`."""
        pairs = zip(TRAITS, self.low, self.high, strict=True)
        return tuple(high if profile.high(trait) else low for trait, low, high in pairs)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A checked rule that deals profiles to agents: independent draws, a column, or else equal numbers.

    Attributes:
        text: The design as the user gave it (weights as ``"weights"``), for logs.
        weights: Probabilities of the 32 profiles, which sum to 1, if agents draw independently.
        column: The column of the node table that holds each agent's bit string, if one does.
    """

    text: str
    weights: tuple[float, ...] | None = None
    column: str | None = None

    @classmethod
    def parse(cls, design: Design) -> Assignment:
        """Check a design.

        Args:
            design: One of
                ``"equal"``: every profile equally often, shuffled over the agents; if 32 does not divide the
                number of agents, the profiles that stand once more are drawn at random without replacement;
                ``"uniform"``: each agent draws one of the 32 independently;
                a mapping from bit strings to weights >= 0: each agent draws independently with these
                weights, which need not sum to 1; profiles that are not named have weight 0;
                a bit string: every agent has this profile;
                ``"column:NAME"``: the bit strings of column NAME of the node table.

        Raises:
            DesignError: None of these.
        """
        if isinstance(design, Mapping):
            return cls("weights", weights=_probabilities(design))
        if not isinstance(design, str):
            raise DesignError(
                f"profiles are {design!r}; give a text or a table of weights{near_miss('', _DESIGNS)}"
            )
        if design == "equal":
            return cls(design)
        if design == "uniform":
            return cls(design, weights=(1.0 / N_PROFILES,) * N_PROFILES)
        if design.startswith(_COLUMN):
            return cls(design, column=_column_name(design))
        if design and set(design) <= {"0", "1"}:
            return cls(design, weights=_probabilities({design: 1.0}))
        raise DesignError(f"there is no profile design {design!r}{near_miss(design, _DESIGNS)}")

    def draw(
        self, n_agents: int, *, seed: SupportsIndex, node_attributes: NodeAttributes | None = None
    ) -> ProfileIndices:
        """Deal profiles to `n_agents` agents; the same seed gives the same profiles.

        Where agents draw independently, agent i draws the same profile at any number of agents.

        Args:
            n_agents: Number of agents, >= 1.
            seed: Fixes the draw; any integer.
            node_attributes: The user's node table, which only a column needs.

        Returns:
            Profile indices, shape ``(n_agents,)``.

        Raises:
            DesignError: `n_agents` < 1, or the column is missing, too short or holds something else.
        """
        if n_agents < 1:
            raise DesignError(f"{n_agents} agents cannot have profiles; there must be at least 1")
        streams = Streams(operator.index(seed))
        if self.column is not None:
            return _from_column(self.column, n_agents, node_attributes)
        if self.weights is not None:
            return _independent(self.weights, n_agents, streams)
        return _equal_numbers(n_agents, streams)


def assign(
    design: Design, n_agents: int, *, seed: SupportsIndex, node_attributes: NodeAttributes | None = None
) -> ProfileIndices:
    """Deal profiles to agents by `design`: `Assignment.parse` and `Assignment.draw` in one.

    Returns:
        Profile indices, shape ``(n_agents,)``.

    Raises:
        DesignError: The design is unknown or cannot be played on this node table.

    Examples:
        >>> np.bincount(assign("equal", 128, seed=1)).tolist() == [4] * 32
        True
        >>> assign("00101", 3, seed=1).tolist()
        [5, 5, 5]
    """
    return Assignment.parse(design).draw(n_agents, seed=seed, node_attributes=node_attributes)


def _index(bits: object) -> int:
    if not isinstance(bits, str):
        hint = (
            "; keep it as text, a number loses its leading zeros" if isinstance(bits, int | np.number) else ""
        )
        raise DesignError(f"{bits!r} is no profile: five bits as text such as '01101'{hint}")
    if len(bits) != len(TRAITS) or not set(bits) <= {"0", "1"}:
        raise DesignError(
            f"{bits!r} is no profile: five bits such as '01101', for {', '.join(TRAITS)}, 0 low and 1 high"
        )
    return int(bits, 2)


def _probabilities(weights: Mapping[str, float]) -> tuple[float, ...]:
    found = [0.0] * N_PROFILES
    for bits, weight in weights.items():
        found[_index(bits)] = _weight(bits, weight)
    largest = max(found)
    if largest == 0.0:
        raise DesignError("no profile has a weight above 0; give at least one")
    # Divided by the largest first: the sum of huge weights would overflow.
    scaled = np.array(found) / largest
    return tuple((scaled / scaled.sum()).tolist())


def _weight(bits: str, weight: object) -> float:
    usable = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
    number = float(weight) if usable else -1.0  # type: ignore[arg-type]
    if not 0.0 <= number < float("inf"):
        raise DesignError(f"the weight of profile {bits!r} is {weight!r}; a weight is a finite number >= 0")
    return number


def _column_name(design: str) -> str:
    name = design.removeprefix(_COLUMN)
    if not name:
        raise DesignError(f"the profile design {design!r} names no column; write {_COLUMN}NAME")
    return name


def _from_column(name: str, n_agents: int, table: NodeAttributes | None) -> ProfileIndices:
    if table is None:
        raise DesignError(f"profiles come from column {name!r}, but the network has no node table; give one")
    if name not in table:
        raise DesignError(f"the node table has no column {name!r}{near_miss(name, map(str, table))}")
    values = list(table[name])
    if len(values) != n_agents:
        raise DesignError(
            f"column {name!r} has {len(values)} values for {n_agents} agents; give one for each"
        )
    indices = np.empty(n_agents, dtype=np.int8)
    for agent, value in enumerate(values):
        try:
            indices[agent] = _index(value)
        except DesignError as error:
            raise DesignError(f"column {name!r}, agent {agent}: {error}") from error
    return indices


def _independent(weights: tuple[float, ...], n_agents: int, streams: Streams) -> ProfileIndices:
    cumulative = np.cumsum(weights)
    # Exactly 1 at the end, so that a number just below 1 finds a profile, and one of weight above 0.
    cumulative /= cumulative[-1]
    draws = uniform(streams.words("profiles", count=n_agents))
    return np.searchsorted(cumulative, draws, side="right").astype(np.int8)


def _equal_numbers(n_agents: int, streams: Streams) -> ProfileIndices:
    rounds, left = divmod(n_agents, N_PROFILES)
    once_more = _shuffled(N_PROFILES, streams, "profiles left over")[:left]
    dealt = np.concatenate([np.tile(np.arange(N_PROFILES), rounds), once_more]).astype(np.int8)
    return dealt[_shuffled(n_agents, streams, "profile order")]


def _shuffled(count: int, streams: Streams, purpose: str) -> NDArray[np.intp]:
    # By sorting keyed words, not by NumPy's shuffle, whose stream may change between its versions. Words that
    # end in their places are sorted in a sixth of the time, and alike if they differ before.
    words = streams.words(purpose, count=count)
    bits = np.uint64(count.bit_length())
    placed = np.sort((words >> bits << bits) | np.arange(count, dtype=np.uint64))
    beginnings = placed >> bits
    if (beginnings[1:] == beginnings[:-1]).any():
        return np.argsort(words, kind="stable")
    order: NDArray[np.intp] = (placed ^ (beginnings << bits)).astype(np.intp)
    return order
