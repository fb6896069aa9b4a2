"""What families have in common whose agents answer yes or no about news items, as profiles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from operator import methodcaller
from typing import TYPE_CHECKING, Any, ClassVar

from agentnet.config import Settings
from agentnet.errors import DesignError, PluginError
from agentnet.events import Run
from agentnet.experiment import Experiment, NewsExperiment, ask
from agentnet.experiment.body import takes
from agentnet.families.book import OF_EXPOSURE, QuestionBook, check_kind, compose
from agentnet.families.contract import (
    Cell,
    Composer,
    Family,
    Planned,
    Probe,
    Rows,
    Scene,
    Scenes,
    Sitting,
    Stage,
)
from agentnet.news import NewsFacts, NewsItem, check_items, facts_of_news, sources_of
from agentnet.plugins import is_of
from agentnet.profiles import Profile
from agentnet.prompts import Messages, PromptSet, answer_choices
from agentnet.streams import Streams
from agentnet.vocabulary import INLINE, N_PROFILES, WITHOUT
from agentnet.worlds import Ask, Begin, Chance, End, Temperature, Voice, World

if TYPE_CHECKING:
    from agentnet.runner.journal import Tally

_ITEMS_AT_MOST = 200
_LONGEST_NAME = 40
_REPLIES = (*answer_choices(), '{"share": true, "reason": "It matters."}', "Perhaps.", "")


@dataclass(frozen=True, slots=True)
class NewsSetting:
    """What one realization on a news item is made of.

    Attributes:
        experiment: The experiment under its condition.
        planned: Which realization it is.
        item: The news item.
        voice: What agents are asked about it, and how their replies are understood.
        chance: Its random numbers.
        book: Where prompts are made and recorded.
    """

    experiment: Any
    planned: Planned
    item: NewsItem
    voice: Voice
    chance: Chance
    book: QuestionBook


class NewsFamily(Family):
    """A family on news items; subclass it and write `world`.

    Attributes:
        kinds: Kinds of questions that its worlds ask.
        stage_class: What a run of it is made of.
    """

    kinds: ClassVar[tuple[str, ...]]
    stage_class: ClassVar[type[NewsStage]]

    def world(self, setting: NewsSetting) -> World:  # noqa: ARG002 - those who write it need it
        """Make the world of one realization: a generator; see `agentnet.worlds`.

        A family whose realizations are more than that (a network is written down as one begins) has a
        `NewsStage` of its own.
        """
        raise DesignError(f"family {self.name!r} makes no worlds: write its method world(self, setting)")

    def n_realizations(self, experiment: Any) -> int:  # noqa: ANN401 - the family's own
        """Count the realizations of one news item."""
        return int(experiment.repeats)

    def check(self, experiments: Sequence[Experiment], settings: Settings) -> None:
        """Refuse what asks for reasons where none is written."""
        explained = any(getattr(e, "rationale", "none") != "none" for e in experiments)
        if settings.sampler.mode == "logprobs" and explained:
            raise DesignError(
                "sampler mode 'logprobs' draws decisions from probabilities, which have no rationale; add "
                "-S rationale=none, or choose sampler.mode choices"
            )

    def stage(
        self,
        experiments: Sequence[Experiment],
        settings: Settings,
        environ: Mapping[str, str],  # noqa: ARG002 - nothing here has a key
        recorded: Run | None = None,
    ) -> NewsStage:
        """Choose the news items and read the templates, or take those that were recorded."""
        if recorded is not None:
            rows = recorded.rows("SELECT item FROM news ORDER BY news")[1]
            items = tuple(NewsItem.from_json(text) for (text,) in rows)
            texts = recorded.meta["prompts"]
            prompts = tuple(map(PromptSet.from_texts, texts))
            return self.stage_class(tuple(experiments), settings, self, items, prompts)
        items = _shared_news(experiments, Streams(settings.seed).integer("news"))
        prompts = tuple(ask(experiment, "load_prompts") for experiment in experiments)
        return self.stage_class(tuple(experiments), settings, self, items, prompts)

    def probes(self, stage: Stage, condition: int, own: frozenset[str]) -> Iterable[Probe]:
        """Ask for every kind of prompt, and judge some replies."""
        assert isinstance(stage, NewsStage)
        if "judge" in own:
            for text in _REPLIES:
                yield "judge", f" of the reply {text!r}", methodcaller("judge", text)
        if "messages" in own and not takes(type(stage.experiments[condition]).messages, *OF_EXPOSURE):
            yield from _prompt_probes(self.kinds, stage.prompts[condition], stage.items)


@dataclass(frozen=True)
class NewsStage(Stage):
    """A run on news items.

    Attributes:
        experiments: The experiment under each condition.
        settings: What is in force.
        family: The family.
        items: The news items, in the order of the design.
        prompts: The templates of each condition.
    """

    experiments: tuple[Any, ...]
    settings: Settings
    family: NewsFamily
    items: tuple[NewsItem, ...]
    prompts: tuple[PromptSet, ...]

    def cells(self) -> Iterator[Cell]:
        """List the realizations."""
        for condition, experiment in enumerate(self.experiments):
            n_repeats = self.family.n_realizations(experiment)
            if not is_of(int, n_repeats) or n_repeats < 1:
                raise PluginError(
                    f"family {self.family.name!r} has {n_repeats!r} realizations of a news item; it has a "
                    "whole number from 1 (n_realizations)"
                )
            yield from (Cell(condition, *cell) for cell in product(range(len(self.items)), range(n_repeats)))

    def asks(self, condition: int) -> Iterator[tuple[str, str, Messages]]:
        """List prompts of each kind to each profile, and about each item; none that exposures decide."""
        experiment, prompts = self.experiments[condition], self.prompts[condition]
        if takes(type(experiment).messages, *OF_EXPOSURE):
            return
        for kind, profile, item in _pairs(self.family.kinds, self.items):
            about = f"to profile {profile.bits} about {item.id}"
            yield kind, about, compose(experiment, prompts, kind, profile, item)

    def composer(self, condition: int) -> Composer | str:
        """Give what composes questions of a condition; none where each exposure has its own."""
        experiment, kinds = self.experiments[condition], self.family.kinds
        if takes(type(experiment).messages, *OF_EXPOSURE):
            return "its method messages composes a question of each exposure by itself"
        if getattr(experiment, "answers_more", False):
            return "its agents may answer more than yes or no"
        by_rationale = {
            each: experiment.under({**experiment.overrides, "rationale": each}) for each in (WITHOUT, INLINE)
        }
        return Composer(
            self.prompts[condition],
            self.items,
            kinds[-1],
            lambda prompts, profile, item, how: compose(by_rationale[how], prompts, kinds[-1], profile, item),
            lambda how: ask(by_rationale[how], "constraint"),
            experiment.judge,
            experiment.temperature_range,
            experiment.max_tokens,
            experiment.rationale,
            "personas, contexts and remarks of the experiment are left out" if self.is_told else "",
        )

    def scenes(self, sitting: Sitting) -> Scenes:
        """Set up realizations, with one book of questions a condition."""
        kinds = self.family.kinds
        books = [
            QuestionBook(number, experiment, prompts, self.items, sitting.log, sitting.prompts, kinds)
            for number, (experiment, prompts) in enumerate(zip(self.experiments, self.prompts, strict=True))
        ]

        @asynccontextmanager
        async def scene(planned: Planned) -> AsyncIterator[Scene]:
            experiment = self.experiments[planned.condition]
            temperature = _temperature(experiment, self.settings)
            setting = NewsSetting(
                experiment,
                planned,
                self.items[planned.news],
                books[planned.condition].voice(planned.news),
                Chance(sitting.streams, planned.chance, temperature),
                books[planned.condition],
            )
            made = self.scene(setting, sitting)
            # What is no generator is refused by who plays it.
            is_world = isinstance(made.world, Generator)
            yield replace(made, world=_asking_only(kinds, made.world)) if is_world else made

        return scene

    def scene(self, setting: NewsSetting, sitting: Sitting) -> Scene:
        """Set up one realization."""
        return Scene(self.family.world(setting), sitting.sampler(setting.planned))

    def meta(self) -> dict[str, Any]:
        """Spell templates and licences."""
        return {
            **super().meta(),
            "prompts": [prompts.texts for prompts in self.prompts],
            "prompts_hash": [prompts.hash for prompts in self.prompts],
            "licences": sorted({item.licence for item in self.items if item.licence}),
            "sources": sources_of(self.items),
        }

    def rows(self) -> dict[str, Rows]:
        """List the news items."""
        return {"news": news_rows(self.items)}

    def readings(self) -> list[str]:
        """Say what the news are."""
        return [line for name, facts in self._news() for line in _news_lines(name, facts)]

    def facts(self) -> dict[str, object]:
        """Spell the same: ``news``, of the file and of the design."""
        return {"news": {name: facts.as_dict() for name, facts in self._news()}}

    def counted(self, tally: Tally) -> dict[str, object]:
        """Name the counts of a run that has ended."""
        answers = {self.family.answers: tally.n_decisions, "missing": tally.n_missing}
        return {**answers, **{name: tally.counts[name] for name in sorted(tally.counts, reverse=True)}}

    def sizes(self) -> dict[str, int]:
        """Count what an estimate tells of the design."""
        return {"news_items": len(self.items)}

    def _news(self) -> Iterator[tuple[str, NewsFacts]]:
        first = self.experiments[0]
        if isinstance(first, NewsExperiment) and first.news_facts is not None:
            yield "file", first.news_facts
        yield "design", facts_of_news(self.items)


NewsFamily.stage_class = NewsStage


def news_rows(items: Iterable[NewsItem]) -> Rows:
    """List the rows of news items, numbered in their order."""
    return [
        (number, item.id, item.severity, item.hash, item.text, item.to_json())
        for number, item in enumerate(items)
    ]


def _shared_news(experiments: Sequence[Experiment], seed: int) -> tuple[NewsItem, ...]:
    """Choose the news items, which all conditions have.

    Raises:
        DesignError: A condition would have others: it would be told as what it is not.
    """
    first, *others = (check_items(ask(experiment, "choose_news", seed)) for experiment in experiments)
    for number, items in enumerate(others, start=1):
        if [item.to_json() for item in items] != [item.to_json() for item in first]:
            raise DesignError(
                f"condition {number} chooses other news items than condition 0 ({len(items)} and "
                f"{len(first)}), but all conditions of a run are played on the same ones: leave out of it "
                "what chooses news, or make a run of each and compare them (agentnet report RUN1 RUN2)"
            )
    return first


def _asking_only(kinds: Sequence[str], world: World) -> World:
    """Play `world`, and refuse what it asks of a kind that its family does not declare."""
    came = None
    try:
        while True:
            want = world.send(came)
            asked = want.ask if isinstance(want, Begin) else want
            if isinstance(asked, Ask):
                check_kind(asked.kind, kinds)
            came = yield want
    except StopIteration as ended:
        end: End = ended.value
        return end
    finally:
        world.close()


def _temperature(experiment: Experiment, settings: Settings) -> Temperature:
    low, high = experiment.temperature_range
    return Temperature(low, high, settings.sampler.levels)


def _news_lines(name: str, facts: NewsFacts) -> Iterator[str]:
    where = "in the file" if name == "file" else "in the design"
    counts = ", ".join(f"{count:,} {severity}" for severity, count in facts.by_severity.items() if count)
    (short, least), (long, most) = facts.shortest, facts.longest
    yield (
        f"news {where}: {facts.n_items:,} items ({counts}); texts of {least} ({cut_name(short)}) to {most} "
        f"({cut_name(long)}) characters"
    )
    for warning in facts.warnings:
        yield f"  warning: {warning}"


def cut_name(name: str) -> str:
    """Cut a long name off."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 2]}.."


def _pairs(kinds: Sequence[str], items: Sequence[NewsItem]) -> Iterator[tuple[str, Profile, NewsItem]]:
    # Every profile and every item occurs with each kind, though not each with each.
    n_pairs = max(N_PROFILES, min(len(items), _ITEMS_AT_MOST))
    for kind, place in product(kinds, range(n_pairs)):
        yield kind, Profile.from_index(place % N_PROFILES), items[place % len(items)]


def _prompt_probes(kinds: Sequence[str], prompts: PromptSet, items: Sequence[NewsItem]) -> Iterator[Probe]:
    for kind, profile, item in _pairs(kinds, items):
        about = f", asked for the {kind} prompt to profile {profile.bits} about {item.id!r}"
        yield "messages", about, partial(compose, prompts=prompts, kind=kind, profile=profile, item=item)
