"""What a probe found: verdicts with their figures, to be printed, kept as JSON, and put into a report."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from agentnet.errors import InputError

FORMAT: Final = "agentnet probe"
FILE: Final = "probe.json"
"""Name of the card that lies in a run's folder."""

Verdict = Literal["passes", "doubtful", "fails", "not known", "not applicable"]
PASSES: Final[Verdict] = "passes"
DOUBTFUL: Final[Verdict] = "doubtful"
FAILS: Final[Verdict] = "fails"
NOT_KNOWN: Final[Verdict] = "not known"
NOT_APPLICABLE: Final[Verdict] = "not applicable"
WORST_FIRST: Final[tuple[Verdict, ...]] = (FAILS, DOUBTFUL, NOT_KNOWN, PASSES, NOT_APPLICABLE)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CardFigure(_Frozen):
    """A number, and between what it lies; None is not known."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None


class Finding(_Frozen):
    """What a check found.

    Attributes:
        check: Name of the check.
        title: What it looks at, for people.
        verdict: One of `WORST_FIRST`.
        threshold: By what it was given; of a check that is not applicable, why.
        figures: What was measured.
        says: What that means, a sentence each, true whatever the verdict.
        n_calls: Requests it made.
        n_missing: Answers that did not come, or could not be understood: no part of any figure.
    """

    check: str
    title: str
    verdict: Verdict
    threshold: str
    figures: tuple[CardFigure, ...] = ()
    says: tuple[str, ...] = ()
    n_calls: int = 0
    n_missing: int = 0


class Card(_Frozen):
    """A validity card.

    Attributes:
        made_at: When, in seconds since 1970.
        agentnet: The version.
        backend: The plug-in.
        model_name: The language model.
        asked: Whose questions were asked.
        seed: What fixed the samples.
        lists_probabilities: Whether the backend lists probabilities; else they are shares of sampled texts.
        temperature: At which was asked, where a check does not say otherwise.
        answer_format: How answers were constrained.
        notes: What to know before using it, a sentence each.
        findings: The worst first.
        n_calls: Requests of all checks.
    """

    format: Literal["agentnet probe"] = FORMAT
    made_at: float
    agentnet: str
    backend: str
    model_name: str
    asked: str
    seed: int
    lists_probabilities: bool
    temperature: float
    answer_format: str
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]
    n_calls: int

    def in_a_line(self) -> str:
        """Count the verdicts: ``"7 passes, 1 fails"``."""
        counts = Counter(finding.verdict for finding in self.findings)
        return ", ".join(f"{counts[each]} {each}" for each in WORST_FIRST if counts[each])

    def about(self) -> tuple[str, ...]:
        """Say what was asked, and how, a sentence each."""
        how = "as it lists them" if self.lists_probabilities else "as shares of sampled texts"
        first = (
            f"Model {self.model_name} through backend {self.backend}, asked {self.asked} in {self.n_calls:,} "
            f"requests at temperature {self.temperature:g}; probabilities {how}; answers constrained: "
            f"{self.answer_format}; seed {self.seed}."
        )
        return (first, *self.notes)


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """Put what speaks against a backend first."""
    return tuple(sorted(findings, key=lambda each: (WORST_FIRST.index(each.verdict), each.check)))


def read_card(path: Path) -> Card:
    """Read a card that was written as JSON.

    Raises:
        InputError: It cannot be read, or is something else.
    """
    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or None
        raise InputError(
            f"is no card of a probe ({first['msg']}); agentnet probe --out FILE writes one",
            path=path,
            field=where,
        ) from error
