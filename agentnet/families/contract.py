"""What runner, config, commands and report know of a family; no name of one stands outside its folder.

A family enters the list by its definition (`agentnet.plugins`): the bundled ones are the folders beside this
file, others come by entry points of the group ``agentnet.families``, or stand in an experiment's own file.

It has two halves. Asking: an experiment's base class, and a `Stage` that says what a run of it is made of and
plays each realization as a *world*, a generator that yields what it wants and is sent what came
(`agentnet.worlds`). Reading: its parts of a report. The log keeps the family's name, by which the reading
half is found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from agentnet.errors import DesignError, InternalError
from agentnet.plugins import PluginKind

if TYPE_CHECKING:
    from agentnet.backend import Backend, Messages
    from agentnet.config import Settings
    from agentnet.events import EventLog, Run
    from agentnet.experiment import Experiment
    from agentnet.report.part import Part
    from agentnet.runner.journal import Tally
    from agentnet.sampler import CallSampler, Pool, Sampler
    from agentnet.streams import Streams
    from agentnet.worlds import World

Rows = Sequence[tuple[Any, ...]]


class Cell(NamedTuple):
    """What one realization plays; indices count conditions and news items (-1: without one)."""

    condition: int
    news: int
    repeat: int


class Planned(NamedTuple):
    """One realization to be played.

    Attributes:
        realization: Its number in the log.
        condition: Number of its condition.
        news: Number of its news item, -1 without one.
        repeat: Number of the repetition.
        chance: What its chance is keyed by: equal in all conditions of one news item and repeat.
    """

    realization: int
    condition: int
    news: int
    repeat: int
    chance: int


@dataclass(frozen=True, slots=True)
class Sitting:
    """What a stage is given for the time that a run is played.

    Attributes:
        folder: The run folder.
        settings: What is in force.
        streams: The run's random streams.
        log: The event log.
        pool: Where questions wait for a worker.
        tally: The run's counts.
        sampler: (realization) -> who asks, in the run's sampler mode, about yes and no.
        caller: (backend) -> who asks once a draw.
        backend: The backend with its stack around it.
        prompts: Number -> hash of each prompt that was recorded in earlier sittings.
        networks: Realization begun in earlier sittings -> digest of its network, None for none.
    """

    folder: Path
    settings: Settings
    streams: Streams
    log: EventLog
    pool: Pool
    tally: Tally
    sampler: Callable[[Planned], Sampler]
    caller: Callable[[Backend], CallSampler]
    backend: Backend
    prompts: Mapping[int, str]
    networks: Mapping[int, str | None]

    def begun(self, planned: Planned) -> bool:
        """Say whether an earlier sitting began a realization."""
        return planned.realization in self.networks


async def nothing_else(want: object) -> Any:  # noqa: ANN401 - whatever a world wants
    """Refuse what a world wants beside what every runner gives."""
    raise InternalError(f"a world wants {want!r:.80}, and its family gives it nothing of the kind")


@dataclass(frozen=True, slots=True)
class Scene:
    """One realization, ready to be played.

    Attributes:
        world: The generator; see `agentnet.worlds`.
        sampler: Gets its answers.
        network: Digest of its network, None without one.
        rows: Table -> rows that are written down as the realization begins.
        give: Gives what the world wants beside answers and rows.
    """

    world: World
    sampler: Sampler
    network: str | None = None
    rows: Mapping[str, Rows] = field(default_factory=dict)
    give: Callable[[Any], Awaitable[Any]] = nothing_else


@dataclass(frozen=True)
class Estimate:
    """What a run will take, before anybody is asked.

    Attributes:
        facts: What is printed and given as JSON, in order; its numbers as the family calls them.
        prompt_tokens: Tokens in.
        completion_tokens: Tokens out.
        prompts: One rendered prompt of each kind.
        how: How the estimate was made, in a sentence.
        notes: What may not be meant.
        per_realization: Decisions of a realization.
    """

    facts: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    prompts: Mapping[str, Messages]
    how: str
    notes: tuple[str, ...] = ()
    per_realization: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """Spell it for JSON."""
        tokens = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        notes = {"notes": list(self.notes)} if self.notes else {}
        return {**self.facts, **tokens, "prompts": dict(self.prompts), "how": self.how, **notes}


class Stage(ABC):
    """What the realizations of a run have in common: fixed before the first question.

    Attributes:
        experiments: The experiment under each condition.
        label: What results have to be called because no language model answers; ``""`` if one does.
        asks_backend: Whether the run's backend is asked.
    """

    experiments: Sequence[Experiment]
    label: str = ""
    asks_backend: bool = True

    @abstractmethod
    def cells(self) -> Iterable[Cell]:
        """List the realizations: by condition, then news item, then repeat."""

    @abstractmethod
    def scene(self, planned: Planned, sitting: Sitting) -> AbstractAsyncContextManager[Scene]:
        """Set up one realization, and clear up after it; called for several at a time.

        Raises:
            RunFolderError: It was begun otherwise than the experiment makes it now.
        """

    def meta(self) -> dict[str, Any]:
        """Spell what the log keeps of it in table ``meta``."""
        return {}

    def rows(self) -> dict[str, Rows]:
        """Table -> rows that are written as the log is made."""
        return {}

    def check_recorded(self, folder: Path, meta: Mapping[str, Any]) -> None:  # noqa: B027 - nothing to compare
        """Make sure that a run that is resumed has what it was begun with.

        Raises:
            RunFolderError: It has not.
        """

    def design(self, condition: int) -> dict[str, object]:
        """Give the design of a condition as it is in force."""
        return self.experiments[condition].design()

    def readings(self) -> Sequence[str]:
        """Say what was read (networks, news), a line each."""
        return ()

    def facts(self) -> dict[str, object]:
        """Spell the same for JSON."""
        return {}

    def n_fixed(self) -> int | None:
        """Count the questions of the run; None where answers decide how many there are."""
        return None

    async def aclose(self) -> None:  # noqa: B027 - nothing is shared
        """Give back what is shared."""


class Family(ABC):
    """A kind of experiment. Subclass it, and it is known by its `name`.

    Attributes:
        name: What logs call it; an experiment's ``family`` names it.
        what: What its runs are of, such as ``"cascades"``.
    """

    name: ClassVar[str]
    what: ClassVar[str]

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):
            FAMILIES.register(cls.name, cls)

    @abstractmethod
    def stage(
        self,
        experiments: Sequence[Experiment],
        settings: Settings,
        environ: Mapping[str, str],
        recorded: Run | None = None,
    ) -> Stage:
        """Fix everything of a run, without a folder yet.

        Args:
            experiments: The experiment under each condition.
            settings: What is in force.
            environ: Where plug-ins look up their keys.
            recorded: The run that is resumed: what it recorded is not read from elsewhere.

        Raises:
            DesignError: The design cannot be played.
        """

    def check(  # noqa: B027 - none is refused
        self, experiments: Sequence[Experiment], settings: Settings
    ) -> None:
        """Refuse designs that cannot be played under these settings.

        Raises:
            DesignError: Says which, and the way out.
        """

    def probes(self, experiment: Experiment, stage: Stage) -> Iterable[Probe]:  # noqa: ARG002 - none of its own
        """List the hooks of an experiment that are asked twice, to see that they give the same."""
        return ()

    def parts(
        self,
        runs: Sequence[Run],
        options: Any,  # noqa: ANN401, ARG002 - the report's
        say: Callable[[str], None],  # noqa: ARG002
    ) -> Sequence[Part]:
        """Make the parts of a report on runs of this family.

        Raises:
            DesignError: The family has none.
        """
        raise DesignError(
            f"runs of {self.what} ({runs[0].folder.name}) have no report: their family {self.name!r} makes "
            "no parts of one; look at them with: agentnet show, query, export"
        )


Probe = tuple[str, str, Callable[[Any], Any]]
"""A hook's name, what it was asked about, and how it is asked."""

FAMILIES: Final[PluginKind[type[Family]]] = PluginKind(
    "family of experiments",
    "agentnet.families",
    "agentnet.families.Family",
    bundled="agentnet.families",
    unknown=DesignError,
)
