"""What both families of the news-cascade system share: news items, prompts, replies of yes and no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from agentnet.experiment.base import Experiment, require
from agentnet.experiment.hooks import Gives, constraint, one, several_of
from agentnet.news import (
    NEWS_SOURCES,
    NewsFacts,
    NewsFile,
    NewsItem,
    choose,
    facts_of_news,
    load_news,
    sample_news,
    with_severity,
)
from agentnet.profiles import Profile
from agentnet.prompts import (
    Messages,
    PromptSet,
    Rationale,
    Verdict,
    answer_choices,
    answer_schema,
    parse_reply,
)
from agentnet.vocabulary import INLINE


class NewsExperiment(Experiment):
    """An experiment on news items; subclass `CascadeExperiment` or `ResponseRatioExperiment`.

    Attributes:
        news: ``"synthetic"`` for the sample that comes with agentnet, or a file of news items.
        news_columns: Column map for a file that is neither ACLED's nor UCDP's, such as
            ``{"text": "body"}``.
        news_kind: Format of that file (``acled``, ``ucdp``, ``table``), if its head does not tell.
        news_severity: A file of labels (``id``, ``severity``) that take the place of the items' severities,
            such as `agentnet.news.write_severity` makes of clusters; None keeps the items' own.
        news_date_format: How all dates of that file are written, such as ``%d/%m/%Y``.
        news_encoding: How its text is written, such as ``cp1252``.
        items_per_severity: News items drawn of each severity, >= 1 (twice as many of a file that has none, or
            all of it if they are fewer); 0 takes every item of the file.
        prompts: A folder of templates that replace the package's, or None.
        constrain: Whether backends that can are told to allow only well-formed answers.
        rationale: ``inline`` with the decision, ``afterwards`` by the reason prompt, or ``none``.

    Raises:
        DesignError: An attribute is unknown or has an impossible value.
    """

    _gives: ClassVar = {
        "choose_news": Gives(several_of(NewsItem), "at least one agentnet.news.NewsItem"),
        "load_prompts": Gives(
            one(PromptSet), "an agentnet.prompts.PromptSet, such as PromptSet.load(folder)"
        ),
        "constraint": Gives(
            constraint, "(allowed texts, JSON schema), such as (('yes', 'no'), None) or ((), None)"
        ),
    }

    news: str | Path = "synthetic"
    news_columns: Mapping[str, str] = MappingProxyType({})
    news_kind: str | None = None
    news_severity: Path | None = None
    news_date_format: str | None = None
    news_encoding: str | None = None
    items_per_severity: int = 5
    temperature: float | tuple[float, float] = (0.7, 1.3)
    prompts: Path | None = None
    constrain: bool = True
    rationale: Rationale = INLINE
    _news_facts: NewsFacts | None = None

    def check(self) -> None:
        """Refuse a design that cannot be played."""
        super().check()
        require(
            self.items_per_severity >= 0, f"items_per_severity is {self.items_per_severity}; it is 0 or more"
        )
        if self.news_kind is not None:
            # Whatever reads no file on resuming still knows the source of its items.
            NEWS_SOURCES.load(self.news_kind)

    def choose_news(self, seed: int) -> Sequence[NewsItem]:
        """Choose the news items of the design, in order; override it to choose otherwise.

        Args:
            seed: Fixes the choice; keyed by the run seed.
        """
        file = self.read_news()
        self._news_facts = None if file is None else facts_of_news(file.items, file.warnings)
        items = sample_news().items if file is None else file.items
        if file is None and self.news_severity is not None:
            items = with_severity(items, self.news_severity)
        return choose(items, self.items_per_severity, seed) if self.items_per_severity else items

    @property
    def news_facts(self) -> NewsFacts | None:
        """What the file of news items held, once they were chosen; None without a file."""
        return self._news_facts

    def read_news(self) -> NewsFile | None:
        """Read the file of news items; None where the synthetic sample is played."""
        if self.news == "synthetic":
            return None
        return load_news(
            Path(self.news),
            columns=self.news_columns,
            kind=self.news_kind,
            severity=self.news_severity,
            date_format=self.news_date_format,
            encoding=self.news_encoding,
        )

    def load_prompts(self) -> PromptSet:
        """Read the prompt templates."""
        return PromptSet.load(self.prompts)

    def messages(self, prompts: PromptSet, kind: str, profile: Profile, item: NewsItem) -> Messages:
        """Compose what an agent is asked; override it to ask otherwise.

        Args:
            prompts: The run's templates.
            kind: ``seed``, ``exposure`` or ``ratio``.
            profile: The agent's profile.
            item: The news item.
        """
        return prompts.messages(kind, profile, item, rationale=self.rationale)

    def judge(self, text: str) -> Verdict:
        """Understand a reply; override it with `messages` if the replies look otherwise.

        It depends on the text and the knobs alone: equal replies may be read once for a whole run.
        """
        return parse_reply(text)

    def constraint(self) -> tuple[tuple[str, ...], str | None]:
        """Say what a reply may be: (allowed texts, JSON schema); backends that can will hold it."""
        if not self.constrain:
            return (), None
        if self.rationale == INLINE:
            return (), answer_schema(self.rationale)
        return answer_choices(), None
