"""`Experiment`: a design as a Python class. It declares, it does not run.

Every public attribute is a knob of the design: a subclass sets it, ``-S name=value`` overrides it, and
`conditions` varies it within a run. An attribute's annotation says what it may be; a subclass's own attribute
without one may be what its default is.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from agentnet.errors import DesignError, near_miss
from agentnet.news import NewsItem, choose, load_news, sample_news, with_severity
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

Condition = Mapping[str, object]

_NOT_DESIGN = (classmethod, staticmethod, property, types.FunctionType)


class Experiment:
    """The design of a run; subclass `CascadeExperiment` or `ResponseRatioExperiment`.

    Args:
        overrides: Values for attributes, which go before the class's own.

    Attributes:
        news: ``"synthetic"`` for the sample that comes with agentnet, or a file of news items.
        news_columns: Column map for a file that is neither ACLED's nor UCDP's, such as
            ``{"text": "body"}``.
        news_kind: Format of that file (``acled``, ``ucdp``, ``table``), if its head does not tell.
        news_severity: A file of labels (``id``, ``severity``) that take the place of the items' severities,
            such as `agentnet.news.write_severity` makes of clusters; None keeps the items' own.
        items_per_severity: News items drawn of each severity, >= 1; 0 takes every item of the file.
        temperature: Sampling temperature: a number, or (lowest, highest) to draw from uniformly.
        max_tokens: Bound on the tokens of a reply.
        prompts: A folder of templates that replace the package's, or None.
        constrain: Whether backends that can are told to allow only well-formed answers.
        rationale: ``inline`` with the decision, ``afterwards`` by the reason prompt, or ``none``.
        repeats: How often each news item is played, >= 1.
        conditions: Design overrides, one mapping a condition; the whole design is played under each.

    Raises:
        DesignError: An attribute is unknown or has an impossible value.
    """

    family: ClassVar[str]

    news: str | Path = "synthetic"
    news_columns: Mapping[str, str] = MappingProxyType({})
    news_kind: str | None = None
    news_severity: Path | None = None
    items_per_severity: int = 5
    temperature: float | tuple[float, float] = (0.7, 1.3)
    max_tokens: int = 256
    prompts: Path | None = None
    constrain: bool = True
    conditions: tuple[Mapping[str, Any], ...] = ({},)

    rationale: Rationale = "inline"
    repeats: int = 1

    def __init__(self, **overrides: object) -> None:
        self.overrides = dict(overrides)
        hints = self._design_types()
        for name, value in overrides.items():
            if name not in hints:
                raise DesignError(f"{type(self).__name__} has no attribute {name!r}{near_miss(name, hints)}")
            setattr(self, name, value)
        for name, hint in hints.items():
            setattr(self, name, self._checked(name, hint, getattr(self, name)))
        self.check()

    def check(self) -> None:
        """Refuse a design that cannot be played; a subclass that adds knobs extends it.

        Raises:
            DesignError: Names the attribute and the way out.
        """
        low, high = self.temperature_range
        require(0 <= low <= high, f"temperature is {self.temperature}; it needs 0 <= lowest <= highest")
        require(
            self.items_per_severity >= 0, f"items_per_severity is {self.items_per_severity}; it is 0 or more"
        )
        require(self.max_tokens >= 1, f"max_tokens is {self.max_tokens}; it is at least 1")
        require(self.repeats >= 1, f"repeats is {self.repeats}; it is at least 1")
        require(len(self.conditions) > 0, "conditions is empty; without conditions it is ({},)")

    def under(self, condition: Condition) -> Self:
        """Make the same experiment with the overrides of one condition."""
        return type(self)(**{**self.overrides, **condition, "conditions": ({},)})

    @property
    def temperature_range(self) -> tuple[float, float]:
        """Lowest and highest sampling temperature."""
        value = self.temperature
        return value if isinstance(value, tuple) else (value, value)

    def design(self) -> dict[str, object]:
        """List every attribute of the design and its value."""
        return {name: getattr(self, name) for name in self._design_types()}

    def choose_news(self, seed: int) -> Sequence[NewsItem]:
        """Choose the news items of the design, in order; override it to choose otherwise.

        Args:
            seed: Fixes the choice; keyed by the run seed.
        """
        if self.news == "synthetic":
            items = sample_news().items
            if self.news_severity is not None:
                items = with_severity(items, self.news_severity)
        else:
            items = load_news(
                Path(self.news),
                columns=self.news_columns,
                kind=self.news_kind,
                severity=self.news_severity,
            ).items
        return choose(items, self.items_per_severity, seed) if self.items_per_severity else items

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
        """Understand a reply; override it with `messages` if the replies look otherwise."""
        return parse_reply(text)

    def constraint(self) -> tuple[tuple[str, ...], str | None]:
        """Say what a reply may be: (allowed texts, JSON schema); backends that can will hold it."""
        if not self.constrain:
            return (), None
        if self.rationale == "inline":
            return (), answer_schema(self.rationale)
        return answer_choices(), None

    @classmethod
    def _design_types(cls) -> dict[str, Any]:
        """Map each attribute of the design to what it may be."""
        found: dict[str, Any] = {}
        for base in reversed(cls.__mro__[:-1]):
            for name, value in vars(base).items():
                if not name.startswith("_") and not isinstance(value, _NOT_DESIGN):
                    found.setdefault(name, Any if value is None else type(value))
        hints = {k: v for k, v in get_type_hints(cls).items() if k in found and k != "family"}
        found.pop("family", None)
        return {**found, **hints}

    def _checked(self, name: str, hint: Any, value: object) -> Any:  # noqa: ANN401 - any design's values
        try:
            return TypeAdapter(
                hint, config=ConfigDict(arbitrary_types_allowed=True, coerce_numbers_to_str=True)
            ).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            raise DesignError(
                f"{type(self).__name__}.{name} is {value!r}: {first['msg'].lower()}; it is {_describe(hint)}"
            ) from None


def require(holds: bool, message: str) -> None:
    """Raise `DesignError` with `message` unless `holds`."""
    if not holds:
        raise DesignError(message)


def _describe(hint: Any) -> str:  # noqa: ANN401 - any annotation
    return (
        getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint).replace("typing.", "")
    )
