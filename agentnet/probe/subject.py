"""What a probe asks: an experiment's own questions of yes or no, put otherwise in one respect at a time.

Everything goes through the experiment's templates and its method `messages`. Where they leave no room for a
variation, the checks that need it are not applicable, and say why.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from agentnet.backend import Messages
from agentnet.families.contract import Composer
from agentnet.news import NewsItem
from agentnet.profiles import Profile
from agentnet.prompts import PromptSet
from agentnet.vocabulary import ANSWERS, NO, TRAITS, WITHOUT, YES, Rationale

NOTHING: Final = "N/A"
"""What says nothing, in the place of news or of traits (Zhao et al. 2021, 2102.09690)."""

OPPOSITE: Final = "Do you withhold it, instead of sharing it?"
"""What asks for the contrary."""

_CONTENT, _ANSWER, _WORDING = "content.txt", "answer_plain.txt", "traits.toml"
_QUESTION: Final = re.compile(r"[^\s.!?$][^\n.!?$]*\?")
_YES_OR_NO: Final = re.compile(rf"\b({YES}) or ({NO})\b", re.IGNORECASE)
_PROFILES: Final = tuple(f"{a}{b}{c}{a ^ b}{a ^ c}" for a in (0, 1) for b in (0, 1) for c in (0, 1))
"""Eight profiles in which each trait is high in four, and no two go together: a quarter of the 2^5."""


class NotApplicable(Exception):
    """A check has nothing to ask; says why."""


class AnswerForm(NamedTuple):
    """A way to answer.

    Attributes:
        says: The sentence that asks for it; ``""``: as the experiment's own template says.
        answers: What stands for sharing, and what for not sharing.
    """

    says: str = ""
    answers: tuple[str, str] = ANSWERS


AS_USUAL: Final = AnswerForm()


class ProbeQuestion(NamedTuple):
    """One question, as a backend is asked it.

    Attributes:
        messages: The prompt.
        facts: Plain facts of it, for the mock and for logs.
        answers: What stands for sharing, and what for not sharing.
        allowed: The only texts that a reply may be; empty for any.
        schema: JSON schema of a reply; None for any.
    """

    messages: Messages
    facts: tuple[tuple[str, str | int], ...]
    answers: tuple[str, str] = ANSWERS
    allowed: tuple[str, ...] = ()
    schema: str | None = None


class ProbePair(NamedTuple):
    """Who is asked about what; None for nobody in particular."""

    profile: Profile | None
    item: NewsItem


@dataclass(frozen=True, slots=True)
class ProbeSubject:
    """An experiment's questions.

    Attributes:
        composer: Composes them.
    """

    composer: Composer
    _sets: dict[tuple[str, str, bool], PromptSet] = field(default_factory=dict)

    @property
    def temperature(self) -> float:
        """The temperature asked at: 1 if the design has it, else the middle of its range."""
        low, high = self.composer.temperature
        return 1.0 if low <= 1.0 <= high else (low + high) / 2

    def sides(self) -> tuple[Sequence[NewsItem], Sequence[NewsItem]]:
        """Give up to two news items of either severity; of unknown ones the first and those that follow."""
        items = self.composer.items
        by_severity = [[item for item in items if item.severity == severity][:2] for severity in (0, 1)]
        first, second = by_severity if all(by_severity) else (items[:2], items[2:4] or items[:2])
        return first, second

    def pairs(self) -> list[ProbePair]:
        """Give 16: each of eight profiles with an item of either side; traits and sides are balanced."""
        profiles = [Profile.from_bits(bits) for bits in _PROFILES]
        return [
            ProbePair(profile, side[sum(map(int, profile.bits[:3])) % len(side)])
            for profile in profiles
            for side in self.sides()
        ]

    def few(self) -> list[ProbePair]:
        """Give eight of `pairs`, one of each profile."""
        pairs = self.pairs()
        return [pairs[2 * i + i % 2] for i in range(len(pairs) // 2)]

    def question(
        self,
        pair: ProbePair,
        form: AnswerForm = AS_USUAL,
        *,
        wording: str = "",
        told: str = "",
        is_opposite: bool = False,
        rationale: Rationale = WITHOUT,
    ) -> ProbeQuestion:
        """Ask a pair.

        Args:
            pair: Who is asked about what.
            form: How it is answered.
            wording: The question, instead of the experiment's own.
            told: A sentence that stands before everything else that the agent is told.
            is_opposite: Whether the wording asks if the news is withheld.
            rationale: Whether a reason is asked for.
        """
        profile, item = pair
        prompts = self._prompts(wording, form.says, profile is None)
        someone = profile or Profile.from_index(0)
        messages = self.composer.compose(prompts, someone, item, rationale)
        if told:
            messages = _told(messages, told)
        facts: dict[str, Any] = {"kind": self.composer.kind, "news": item.id, "rationale": rationale}
        facts["severity"] = -1 if item.severity is None else item.severity
        facts |= {} if profile is None else {"profile": profile.bits}
        facts |= {"opposite": 1} if is_opposite else {}
        allowed, schema = self.composer.constraint(rationale)
        allowed = form.answers if allowed else ()
        return ProbeQuestion(messages, tuple(facts.items()), form.answers, allowed, schema)

    def varied(
        self,
        pair: ProbePair,
        form: AnswerForm = AS_USUAL,
        *,
        instead_of: ProbePair | None = None,
        wording: str = "",
        is_opposite: bool = False,
    ) -> ProbeQuestion:
        """Ask a pair otherwise than usual, or instead of another; see `question`.

        Raises:
            NotApplicable: It is asked as usual: the experiment's own `messages` does not heed the variation.
        """
        question = self.question(pair, form, wording=wording, is_opposite=is_opposite)
        if question.messages == self.question(instead_of or pair).messages:
            raise NotApplicable(
                "the experiment's method messages does not use its templates, so that its questions cannot "
                "be put otherwise"
            )
        return question

    def form_other_way_round(self) -> AnswerForm:
        """Give the experiment's own form with yes and no in the other order.

        Raises:
            NotApplicable: Its template does not say "yes or no".
        """
        own = self.composer.prompts.texts[_ANSWER]
        turned = _YES_OR_NO.sub(r"\2 or \1", own)
        if turned == own:
            raise NotApplicable(f"the template {_ANSWER} does not say '{YES} or {NO}'")
        return AnswerForm(turned)

    def wording(self) -> str:
        """Give the experiment's own question.

        Raises:
            NotApplicable: Its template asks none in a sentence of its own.
        """
        found = _QUESTION.findall(self.composer.prompts.texts[_CONTENT])
        if not found:
            raise NotApplicable(f"the template {_CONTENT} has no sentence that ends with a question mark")
        return str(found[-1])

    def _prompts(self, wording: str, answer: str, is_nobody: bool) -> PromptSet:
        key = (wording, answer, is_nobody)
        if key not in self._sets:
            self._sets[key] = self._made(*key)
        return self._sets[key]

    def _made(self, wording: str, answer: str, is_nobody: bool) -> PromptSet:
        if not (wording or answer or is_nobody):
            return self.composer.prompts
        texts = self.composer.prompts.texts
        if wording:
            begin = texts[_CONTENT].rindex(self.wording())
            end = begin + len(self.wording())
            texts[_CONTENT] = texts[_CONTENT][:begin] + wording + texts[_CONTENT][end:]
        if answer:
            texts[_ANSWER] = answer
        if is_nobody:
            levels = f'low = "{NOTHING}"\nhigh = "{NOTHING}"'
            texts[_WORDING] = "\n".join(f"[{trait}]\n{levels}" for trait in TRAITS)
        return PromptSet.from_texts(texts)


def saying(item: NewsItem, text: str) -> NewsItem:
    """Give an item with another text, whose severity nobody can know."""
    return replace(item, text=text, severity=None)


def _told(messages: Messages, sentence: str) -> Messages:
    (role, content), *rest = messages
    if role == "system":
        return ((role, f"{sentence} {content}"), *rest)
    return (("system", sentence), *messages)
