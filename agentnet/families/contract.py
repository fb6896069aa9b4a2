"""What runner, config, commands and report know of a family; no name of one stands outside its folder.

A family enters the list by its definition (`agentnet.plugins`): the bundled ones are the folders beside this
file, others come by entry points of the group ``agentnet.families``, or stand in an experiment's own file.

It has two halves. Asking: an experiment's base class, and a `Stage` that says what a run of it is made of and
plays each realization as a *world*, a generator that yields what it wants and is sent what came
(`agentnet.worlds`). Reading: its parts of a report. The log keeps the family's name, by which the reading
half is found.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from agentnet.errors import DesignError, UserError
from agentnet.events.log import Columns
from agentnet.events.rewind import Cut
from agentnet.plugins import PluginKind
from agentnet.vocabulary import REASON
from agentnet.voices import OWN

if TYPE_CHECKING:
    from agentnet.analysis.comparison import OneMeasure
    from agentnet.analysis.grouping import GroupsLike
    from agentnet.analysis.profile_runs import Sharing
    from agentnet.backend import Backend, Messages
    from agentnet.config import Settings
    from agentnet.events import EventLog, Run
    from agentnet.experiment import Experiment
    from agentnet.news import NewsItem
    from agentnet.profiles import Profile
    from agentnet.prompts import PromptSet, Rationale, Verdict
    from agentnet.report.part import Part, Reading
    from agentnet.runner.journal import Tally
    from agentnet.sampler import CallSampler, Pool, Sampler
    from agentnet.streams import Streams
    from agentnet.worlds import World

Rows = Sequence[tuple[Any, ...]] | Columns

CHANCE: Final = "chance"
"""Key of table ``meta`` that runs have whose conditions share chance."""

N_FIXED: Final = "n_fixed"
"""Key of table ``meta`` with how many questions a run has, where its design fixes them."""


def saved_folder(folder: Path, number: int) -> Path:
    """Name the folder in which a realization saves what is dear to make again, while it is played."""
    return folder / "models" / f"realization-{number:05d}"


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
        sampler: (realization) -> who asks in the run's sampler mode.
        caller: Who asks one request a draw, in words.
        prompts: Number -> hash of each prompt that was recorded in earlier sittings.
        networks: Realization begun in earlier sittings -> digest of its network, None for none.
    """

    folder: Path
    settings: Settings
    streams: Streams
    log: EventLog
    pool: Pool
    sampler: Callable[[Planned], Sampler]
    caller: CallSampler
    prompts: Mapping[int, str]
    networks: Mapping[int, str | None]

    def begun(self, planned: Planned) -> bool:
        """Say whether an earlier sitting began a realization."""
        return planned.realization in self.networks


@dataclass(frozen=True, slots=True)
class Scene:
    """One realization, ready to be played.

    Attributes:
        world: The generator; see `agentnet.worlds`.
        sampler: Gets its answers.
        network: Digest of its network, None without one.
        rows: Table -> rows that are written down as the realization begins.
        give: Gives what the world wants beside what every runner gives.
        ended: Called once the world has come to its end.
    """

    world: World
    sampler: Sampler
    network: str | None = None
    rows: Mapping[str, Rows] = field(default_factory=dict)
    give: Callable[[Any], Awaitable[Any]] | None = None
    ended: Callable[[], Awaitable[None]] | None = None


Scenes = Callable[[Planned], AbstractAsyncContextManager[Scene]]
"""Sets up a realization, and clears up after it; called for several at a time.

Raises `RunFolderError` where a realization was begun otherwise than the experiment makes it now.
"""


class Takes(NamedTuple):
    """What one voice is expected to take in a run.

    Attributes:
        calls: Requests.
        prompt_tokens: Tokens in, by the mock's rule of four characters a token.
        completion_tokens: Tokens out, likewise.
    """

    calls: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0

    def plus(self, *more: float) -> Takes:
        """Add calls, tokens in and tokens out."""
        return Takes(*(a + b for a, b in zip(self, more, strict=True)))


class Trial(NamedTuple):
    """What a few realizations took that were played on the mock.

    Attributes:
        sums: Answers, reasons left out; reasons.
        takes: Voice -> what the whole run is expected to take.
        tokens_each: Tokens in of an answer that was asked for.
        prompts: Kind -> one prompt.
        notes: What there is to know of these realizations, a sentence each.
    """

    sums: tuple[int, int]
    takes: Mapping[str, Takes]
    tokens_each: float
    prompts: Mapping[str, Messages]
    notes: tuple[str, ...] = ()


Try = Callable[[Sequence["Experiment"], Sequence[Planned], float], Awaitable[Trial]]
"""``await try_out(experiments, plan, times)``: plays these on the mock, whatever the run's backend is.

``times`` says how many times more draws each realization of the run has.
"""


@dataclass(frozen=True, slots=True)
class Composer:
    """Composes questions of yes or no about news as an experiment does, of templates that may be others.

    Attributes:
        prompts: The experiment's own templates.
        items: Its news items.
        kind: Kind of the questions.
        compose: (templates, profile, news item, rationale) -> the question.
        constraint: (rationale) -> what a reply may be: allowed texts, JSON schema.
        judge: Understands a reply.
        temperature: Lowest and highest of the design.
        max_tokens: Bound on a reply's tokens.
        rationale: How the design asks for reasons.
        note: What the experiment tells its agents that these questions do not; ``""`` for nothing.
    """

    prompts: PromptSet
    items: Sequence[NewsItem]
    kind: str
    compose: Callable[[PromptSet, Profile, NewsItem, Rationale], Messages]
    constraint: Callable[[Rationale], tuple[tuple[str, ...], str | None]]
    judge: Callable[[str], Verdict]
    temperature: tuple[float, float]
    max_tokens: int
    rationale: Rationale
    note: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take, before anybody is asked.

    Attributes:
        counts: What is counted, as the family calls it; first of all ``realizations``.
        prompt_tokens: Tokens in.
        completion_tokens: Tokens out.
        prompts: One rendered prompt of each kind.
        how: How the estimate was made, in a sentence.
        notes: What may not be meant; None where nothing is looked for.
        by_voice: Voice -> tokens in, and tokens out; empty where no agent has one.
    """

    counts: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    prompts: Mapping[str, Messages]
    how: str
    notes: tuple[str, ...] | None = None
    by_voice: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Spell it for JSON."""
        tokens = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        notes = {} if self.notes is None else {"notes": self.notes}
        voices = {"tokens_by_voice": self.by_voice} if self.by_voice else {}
        return {**self.counts, **tokens, **voices, "prompts": self.prompts, "how": self.how, **notes}


class Stage(ABC):
    """What the realizations of a run have in common: fixed before the first question.

    Attributes:
        experiments: The experiment under each condition.
        may_say: Whether its worlds may answer for agents themselves (``says`` in a question's metadata).
    """

    experiments: Sequence[Experiment]
    may_say: ClassVar[bool] = False

    def with_experiments(self, experiments: Sequence[Experiment]) -> Stage:
        """Make the same stage for other experiments of the same design, for a trial."""
        return replace(self, experiments=tuple(experiments))  # type: ignore[type-var] # a stage is a dataclass

    @property
    def is_told(self) -> bool:
        """Whether the experiments' own methods decide what is asked, so that a trial sees if they repeat."""
        return False

    @property
    def label(self) -> str:
        """What results have to be called; ``""`` if a language model answers."""
        return ""

    def cells(self) -> Iterable[Cell]:
        """List the realizations: by condition, then news item, where there are some, then repeat."""
        for condition, experiment in enumerate(self.experiments):
            yield from (Cell(condition, -1, repeat) for repeat in range(experiment.repeats))

    def asks(self, condition: int) -> Iterable[tuple[str, str, Messages]]:  # noqa: ARG002 - unknown before
        """List prompts of a condition, as far as they are known before anybody answers.

        Returns:
            Its kind, of whom it is asked about what, and the prompt. Conditions are compared in those that
            are asked of the same about the same.
        """
        return ()

    def composer(self, condition: int) -> Composer | str:  # noqa: ARG002 - none
        """Give what composes its questions of yes or no about news; a sentence's end that says why not."""
        return "its agents are not asked yes or no about news items"

    @abstractmethod
    def scenes(self, sitting: Sitting) -> Scenes:
        """Get ready to set up realizations for the time that a run is played."""

    def answering(self, backend: Backend) -> Backend:
        """Wrap the backend, where what counts as an answer is another."""
        return backend

    def who_answers(self, backend: Backend) -> tuple[str, str]:
        """Name what answers, and the language model."""
        return backend.name, backend.model_name

    def asks_own(self) -> bool:
        """Say whether the run's own backend answers, beside those of its voices."""
        return True

    def meta(self) -> dict[str, Any]:
        """Spell what the log keeps of it in table ``meta``."""
        n_fixed = self.n_fixed()
        return {} if n_fixed is None else {N_FIXED: n_fixed}

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

    def sample(self, n_at_most: int) -> tuple[Sequence[Experiment], float]:  # noqa: ARG002 - any size
        """Make the run smaller for a trial, as far as it is made of what comes in any size.

        Args:
            n_at_most: How many agents a realization has at most.

        Returns:
            The experiments, and how many times larger the run is on average.
        """
        return self.experiments, 1.0

    def can_guess(self) -> bool:
        """Say whether it costs little to guess how many questions there are, while the run is played."""
        return False

    async def estimate(
        self, plan: Sequence[Planned], try_out: Try, *, n_sampled: int, n_at_most: int
    ) -> Estimate:
        """Estimate what a run will take.

        Args:
            plan: Its realizations.
            try_out: Plays some of them on the mock.
            n_sampled: How many are played.
            n_at_most: How many agents a realization of the trial has at most.
        """
        sampled = plan[:: max(1, len(plan) // n_sampled)][:n_sampled]
        experiments, times = self.sample(n_at_most)
        found = await try_out(experiments, sampled, times)
        scale = len(plan) / len(sampled) * times
        decisions, reasons = (round(number * scale) for number in found.sums)
        takes = Takes().plus(*map(math.fsum, zip((0.0, 0.0, 0.0), *found.takes.values(), strict=True)))
        how = "decisions are fixed by the design; calls and tokens are " if self.n_fixed() else ""
        return Estimate(
            {
                "realizations": len(plan),
                **self.sizes(),
                "decisions": decisions,
                "reasons": reasons,
                "calls": round(takes.calls),
            },
            round(takes.prompt_tokens),
            round(takes.completion_tokens),
            found.prompts,
            f"{how}expected, not bounded: from {len(sampled)} of {len(plan)} realizations, played in the "
            "run's sampler mode on the mock backend's law; a more or less willing model takes more or fewer "
            "calls, answers that are asked for again take more, and those that a cache remembers take none",
            notes=found.notes or None,
            by_voice={
                voice: (round(each.prompt_tokens), round(each.completion_tokens))
                for voice, each in found.takes.items()
                if found.takes.keys() != {OWN}
            },
        )

    def sizes(self) -> dict[str, int]:
        """Count what an estimate tells of the design."""
        return {}

    def counted(self, tally: Tally) -> dict[str, object]:
        """Name the counts of a run that has ended."""
        return {"decisions": tally.n_decisions, "missing": tally.n_missing, **tally.counts}

    def counts_before(self, run: Run) -> dict[str, int]:  # noqa: ARG002 - none
        """Count what the finished realizations of earlier sittings add to the counts of the worlds."""
        return {}

    async def aclose(self) -> None:  # noqa: B027 - nothing is shared
        """Give back what is shared."""


class Family(ABC):
    """A kind of experiment. Subclass it, and it is known by its `name`.

    Attributes:
        name: What logs call it; an experiment's ``family`` names it.
        what: What its runs are of, such as ``"cascades"``.
        experiment: The base class of its experiments.
        answers: What its answers are called.
        shows: What its report is for, as a way out: ``"see how they spread"``.
        no_network: Why its runs have no network that could be drawn, and what to look at instead; ``""`` if
            they may have one.
        read_as: What the analysis can read its logs as, of ``"cascades"``, ``"response ratios"``,
            ``"decisions"``, ``"interviews"`` and ``"free worlds"``: it has written the tables and events that
            these have.
        queries: Measure in which conditions are compared -> in words, and SQL for condition, what it is
            paired by (two columns, such as news item and repeat) and value; rows without a value are left
            out. ``{condition_of}`` in it stands for SQL with the columns ``realization`` and ``condition``.
    """

    name: ClassVar[str]
    what: ClassVar[str]
    experiment: ClassVar[type[Experiment]]
    answers: ClassVar[str] = "decisions"
    shows: ClassVar[str] = "see what they found"
    no_network: ClassVar[str] = ""
    read_as: ClassVar[frozenset[str]] = frozenset()
    queries: ClassVar[Mapping[str, tuple[str, str]]] = MappingProxyType({})

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

    def probes(self, stage: Stage, condition: int, own: frozenset[str]) -> Iterable[Probe]:  # noqa: ARG002
        """List what is asked twice, to see that it gives the same, beside hooks that take nothing or a seed.

        Args:
            stage: What is played.
            condition: Number of the condition.
            own: Names of the hooks that the experiment overrides.
        """
        return ()

    def progress(self, counts: Mapping[str, int]) -> Sequence[tuple[int, str]]:  # noqa: ARG002 - none
        """Say how far a run is beside its answers: (how much it matters, words), for one line."""
        return ()

    def leads_on(self, kind: str) -> bool:
        """Say whether answers to questions of `kind` decide what is asked later."""
        return kind != REASON

    def taken_back(self, run: Run, number: int, missing: Collection[tuple[int, str, int]]) -> Cut:  # noqa: ARG002
        """Find where a realization is taken back to, so that what is missing in it is asked again.

        Args:
            run: The run.
            number: The realization.
            missing: (step, kind, agent) of each missing answer that leads on; at least one.
        """
        return Cut(min(step for step, _, _ in missing))

    def measures(self, runs: Sequence[Run]) -> Sequence[str]:  # noqa: ARG002 - the same for all
        """List what a report compares the conditions of some runs of this family in."""
        return tuple(self.queries)

    def measured(self, runs: Sequence[Run], measure: str, groups: GroupsLike | None) -> OneMeasure | None:  # noqa: ARG002
        """Say what the conditions of runs of this family came to, where no query of `queries` does.

        Args:
            runs: Runs of this family.
            measure: The measure, of `measures` or another.
            groups: Group of each profile, for laws of groups.

        Returns:
            None where `queries` say it.

        Raises:
            UserError: There is no such measure.
        """
        return None

    def sharing(self, run: Run, condition: int | None) -> Sharing:  # noqa: ARG002
        """Count how often each profile shared news in a run.

        Raises:
            UserError: Nobody decides about news in it, or its condition cannot be told.
        """
        raise UserError(
            f"{run.folder} is a run of {run.meta['experiment']['class_name']}, in which nobody decides about "
            "news; give a run of response ratios or of cascades"
        )

    def shown(self, run: Run) -> dict[str, Any]:  # noqa: ARG002 - no more than every run
        """Say what is to be known of a run of this family, for ``agentnet show``."""
        return {}

    def notes(self, run: Run) -> Sequence[str]:  # noqa: ARG002 - nothing strange
        """Say what may not be meant in a run that has ended, a sentence each."""
        return ()

    def parts(self, reading: Reading) -> Iterable[Part]:
        """Make the parts of a report on the runs of this family: ``reading.of(self.name)``.

        Raises:
            DesignError: The family has none.
        """
        raise DesignError(
            f"runs of {self.what} ({reading.of(self.name)[0][1].run}) have no report: their family "
            f"{self.name!r} makes no parts of one; look at them with: agentnet show, query, export"
        )


Probe = tuple[str, str, Callable[[Any], Any]]
"""A hook's name, what it was asked about, and how it is asked."""

FAMILIES: Final[PluginKind[type[Family]]] = PluginKind(
    "family of experiments",
    "agentnet.families",
    "agentnet.families.Family",
    parts=("experiment", "what"),
    bundled="agentnet.families",
    unknown=DesignError,
)
