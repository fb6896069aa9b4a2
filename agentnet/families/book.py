"""The question book of a run: what is asked of each profile about each news item."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from agentnet.errors import DesignError, PluginError, RunFolderError, near_miss
from agentnet.events import EventLog
from agentnet.experiment import NewsExperiment, ask, blaming
from agentnet.experiment.body import takes
from agentnet.exposure import Context, Exposure
from agentnet.news import NewsItem
from agentnet.profiles import Profile
from agentnet.prompts import (
    Messages,
    PromptSet,
    Verdict,
    after_thought,
    conversation,
    prompt_hash,
    well_formed,
)
from agentnet.sampler import Judge, Question
from agentnet.vocabulary import DECISION_KINDS, EXPOSURE, N_PROFILES, REASON
from agentnet.worlds import Voice

_VERDICTS_REMEMBERED = 4096
_TOLD_REMEMBERED = 65_536

Facts = tuple[tuple[str, str | int | float | bool | None], ...]
"""A context, as what can be looked up."""

OF_EXPOSURE = ("prompts", EXPOSURE)
"""What ``messages`` may take instead of a kind, a profile and a news item."""


@dataclass(slots=True)
class QuestionBook:
    """Renders each distinct prompt of one condition once, and records it when it is first needed.

    Attributes:
        condition: Number of the condition.
        experiment: The experiment under this condition.
        prompts: Its templates.
        items: The run's news items.
        log: Where prompts are recorded.
        recorded: Hashes of the prompts that were recorded in earlier sittings, by their numbers.
        kinds: Kinds of questions that are asked.
    """

    condition: int
    experiment: NewsExperiment
    prompts: PromptSet
    items: Sequence[NewsItem]
    log: EventLog
    recorded: Mapping[int, str]
    kinds: tuple[str, ...]
    _questions: dict[tuple[str, int, int], Question] = field(default_factory=dict)
    _told: dict[tuple[Any, ...], Question] = field(default_factory=dict)
    _judge: Judge = field(init=False)
    _numbered: tuple[str, ...] = field(init=False)
    _takes_exposure: bool = field(init=False)
    _constraint: tuple[tuple[str, ...], str | None] = field(init=False)

    def __post_init__(self) -> None:
        self._judge = lru_cache(_VERDICTS_REMEMBERED)(self._checked_verdict)
        # The kinds of all bundled families count, so that every log that there is numbers its prompts alike.
        self._numbered = tuple(dict.fromkeys((*DECISION_KINDS, *self.kinds)))
        self._takes_exposure = takes(type(self.experiment).messages, *OF_EXPOSURE)
        self._constraint = ask(self.experiment, "constraint")

    def voice(self, news: int) -> Voice:
        """Say what agents are asked about news item number `news`."""
        return Voice(
            lambda kind, profile: self.question(kind, news, profile),
            self._judge,
            self._reason,
            judge_reason,
        )

    def question(self, kind: str, news: int, profile: int) -> Question:
        """Render the question of `kind` to profile number `profile` about news item number `news`."""
        key = (kind, news, profile)
        question = self._questions.get(key)
        if question is None:
            question = self._questions[key] = self._render(kind, news, profile)
        return question

    def told(
        self, exposure: Exposure, news: int, says: Callable[[Exposure], str | None]
    ) -> tuple[Question, Context]:
        """Render the question about an exposure, which may use all that is known of it.

        Args:
            exposure: What is asked about.
            news: Number of its news item.
            says: What an agent says that follows a rule; None of one that is asked.

        Returns:
            The question, and which facts of the exposure it used.
        """
        experiment = self.experiment
        context: Context = ask(experiment, "context", exposure)
        says_ = says(exposure)
        facts = tuple(context.items())
        if self._takes_exposure:
            with blaming():
                given = experiment.messages(self.prompts, exposure)  # type: ignore[call-arg, arg-type]
            messages = _checked(experiment, given, exposure.kind)
            return self._told_question(exposure, news, says_, facts, messages), context
        remark = ask(experiment, "remark", context)
        said = "\n\n".join(filter(None, (exposure.message.text, remark, *exposure.remarks)))
        # Contexts repeat, and templates take most of the time.
        key = (exposure.kind, exposure.persona, said, news, exposure.voice, says_, facts)
        question = self._told.get(key)
        if question is None:
            item = exposure.item if said == exposure.item.text else replace(exposure.item, text=said)
            messages = compose(experiment, self.prompts, exposure.kind, exposure.persona, item)
            if len(self._told) == _TOLD_REMEMBERED:
                self._told.clear()
            question = self._told[key] = self._told_question(exposure, news, says_, facts, messages)
        return question, context

    def _told_question(
        self, exposure: Exposure, news: int, says: str | None, facts: Facts, messages: Messages
    ) -> Question:
        # The log says that it was remarked, so that prompts have to say it.
        for remark in exposure.remarks:
            if not any(remark in content for _, content in messages):
                raise DesignError(
                    f"{type(self.experiment).__name__}.messages leaves out what an intervention remarks, "
                    f"{remark!r:.60}: say exposure.remarks (or the item's text, which holds them)"
                )
        bits = exposure.persona.bits if isinstance(exposure.persona, Profile) else None
        known = {
            "kind": exposure.kind,
            "profile": bits,
            "news": exposure.item.id,
            "severity": -1 if exposure.item.severity is None else exposure.item.severity,
            "rationale": self.experiment.rationale,
            "voice": exposure.voice or None,
            "says": says,
            **{f"context.{name}": value for name, value in facts},
        }
        return recorded_question(
            self.log,
            self.condition,
            messages,
            {name: value for name, value in known.items() if value is not None},
            self._constraint,
            self.experiment.max_tokens,
            news,
        )

    def _checked_verdict(self, text: str) -> Verdict:
        """Judge a reply, and hold an overridden `judge` to what the log and the sampler count on."""
        with blaming():
            verdict = self.experiment.judge(text)
        if not isinstance(verdict, Verdict):
            raise DesignError(
                f"{type(self.experiment).__name__}.judge returned {verdict!r}; it returns an "
                "agentnet.prompts.Verdict: Verdict(True, 'its reason'), or Verdict(None, '', 'no_answer')"
            )
        if verdict.decision is None and verdict.value is None and not verdict.problem:
            return verdict._replace(problem="no_answer")
        return verdict

    def _render(self, kind: str, news: int, profile: int) -> Question:
        check_kind(kind, self.kinds)
        item, of_profile = self.items[news], Profile.from_index(profile)
        messages = compose(self.experiment, self.prompts, kind, of_profile, item)
        # Numbers follow from what is asked, so that a resumed run numbers its prompts alike.
        kinds = self._numbered
        place = (self.condition * len(kinds) + kinds.index(kind)) * len(self.items) + news
        number = place * N_PROFILES + profile
        bits, hash_ = of_profile.bits, prompt_hash(messages)
        if self.recorded.get(number, hash_) != hash_:
            raise RunFolderError(
                f"{self.log.path.parent}: the run was begun with another {kind} prompt to profile {bits} "
                f"about {item.id!r} than the experiment composes now; something that it reads changed: go on "
                "with what it began with"
            )
        if not self.log.is_prompt_known(number):
            text = json.dumps(messages, ensure_ascii=False)
            self.log.add("prompts", [(number, hash_, kind, bits, news, text)])
        severity = -1 if item.severity is None else item.severity
        answers, schema = self._constraint
        return Question(
            number,
            messages,
            {
                "kind": kind,
                "profile": bits,
                "news": item.id,
                "severity": severity,
                "rationale": self.experiment.rationale,
            },
            answers,
            schema,
            self.experiment.max_tokens,
        )

    def _reason(self, question: Question, reply: str) -> Question:
        return question._replace(
            messages=self.prompts.reason_messages(question.messages, reply),
            metadata={**question.metadata, "kind": REASON},
            answers=(),
            schema=None,
        )


def check_kind(kind: str, kinds: Sequence[str]) -> None:
    """Refuse a question of a kind that is not declared: prompts are shown, compared and numbered by kind.

    Raises:
        PluginError: `kind` is none of `kinds`, which a family declares, and no reason.
    """
    if kind not in (*kinds, REASON):
        known = near_miss(kind, (*kinds, REASON), others=True)
        raise PluginError(f"a world asks a question of kind {kind!r}{known}; its family's `kinds` lists them")


_ENUMERATED = 1 << 32
"""Prompts that are numbered by condition, kind, news item and profile have numbers below it."""


def recorded_question(
    log: EventLog,
    condition: int,
    messages: Messages,
    metadata: Mapping[str, str | int | float],
    constraint: tuple[tuple[str, ...], str | None],
    max_tokens: int,
    news: int | None = None,
) -> Question:
    """Make a question whose prompt depends on more than profile and news item, and record a new prompt.

    Prompts are numbered by what they say and who answers, so that numbers do not depend on which came first,
    and draws of equal prompts can be pooled.

    Args:
        log: Where prompts are recorded.
        condition: Number of the condition.
        messages: What is asked.
        metadata: Plain facts: ``kind``, and what else is known.
        constraint: What a reply may be: (allowed texts, JSON schema).
        max_tokens: Bound on a reply's tokens.
        news: Number of the news item, if it is about one.
    """
    fact = metadata.get
    what = (condition, fact("kind"), fact("voice"), fact("says"), constraint, messages)
    key = hashlib.sha256(repr(what).encode("utf-8", "backslashreplace")).digest()
    number = _ENUMERATED + (int.from_bytes(key[:8], "big") >> 2)
    if not log.is_prompt_known(number):
        text = json.dumps(messages, ensure_ascii=False)
        row = (number, prompt_hash(messages), fact("kind"), fact("profile"), news, text)
        log.add("prompts", [row])
    return Question(number, messages, metadata, *constraint, max_tokens)


def compose(
    experiment: NewsExperiment, prompts: PromptSet, kind: str, profile: Profile | str, item: NewsItem
) -> Messages:
    """Ask an experiment for a prompt, and hold an overridden `messages` to what backends take.

    Raises:
        DesignError: It broke off, or what it gives is no conversation.
    """
    with blaming():
        given = experiment.messages(prompts, kind, profile, item)  # type: ignore[arg-type] # personas are texts
    return _checked(experiment, given, kind)


def _checked(experiment: NewsExperiment, given: Any, kind: str) -> Messages:  # noqa: ANN401 - a hook's
    messages = conversation(given)
    if not messages:
        raise DesignError(
            f"{type(experiment).__name__}.messages gives {given!r:.80} as the {kind} prompt; it gives (role, "
            "content) pairs, such as (('system', 'You are ...'), ('user', 'Will you share ...?'))"
        )
    return messages


def judge_reason(text: str) -> Verdict:
    """Take a reply to the reason prompt as the rationale that it is, whatever it says, but for a thought."""
    rationale = well_formed(after_thought(text)).strip()
    return Verdict(None, rationale, "" if rationale else "empty")
