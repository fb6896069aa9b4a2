"""The words that several rooms share, each spelled here and nowhere else; imports nothing of ours.

A room that alone uses a word spells it itself. What belongs here is what one room writes and another reads:
an event's kind, a severity's name, how a reply ended.
"""

from __future__ import annotations

from typing import Final, Literal

TRAITS: Final = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
"""The five traits, in the order of a profile's bits; 0 is low, 1 high."""

N_PROFILES: Final = 1 << len(TRAITS)

PROFILES: Final = tuple(format(index, f"0{len(TRAITS)}b") for index in range(N_PROFILES))
"""Each profile's five bits, such as ``"01101"``, at its index 0..31."""

PEACEFUL, SEVERE = 0, 1
SEVERITIES: Final = ("peaceful", "severe")
"""Names of the severities 0 and 1, each at its number."""

UNKNOWN: Final = "unknown"
"""What stands where a severity, place or label is not known."""

SEED, EXPOSURE, RATIO = DECISION_KINDS = ("seed", "exposure", "ratio")
"""Kinds of events that ask for yes or no."""

REASON: Final = "reason"
"""Kind of the events that ask why."""

EVALUATION: Final = "evaluation"
INTERVIEW: Final = "interview"
ANSWER_KINDS: Final = (EVALUATION, INTERVIEW)
"""Kinds of events that ask a model a question of a bank: the text is what counts."""

AWAY, JOINS, LEAVES, READS = ("not yet there", "joins", "leaves", "reads")
"""What table ``changes`` says of models that interview each other, and of the databases that they read."""

QuestionsFrom = Literal["evaluation", "bank"]
TaughtFrom = Literal["topic", "evaluation"]
"""Where questions of interviews, and what models are taught, are drawn from: the evaluation set, or wider."""

YES, NO = ANSWERS = ("yes", "no")
"""What a decision may be."""

STOP, LENGTH, CONTENT_FILTER, REFUSAL = ("stop", "length", "content_filter", "refusal")
THOUGHT_ONLY, THOUGHT_CUT_OFF = ("thought_only", "thought_cut_off")
FINISHES: Final = (STOP, LENGTH, CONTENT_FILTER, REFUSAL, THOUGHT_ONLY, THOUGHT_CUT_OFF)
"""How a sample may end: by itself, at the bound on tokens, cut by a filter, by a refusal, in a thought."""

REFUSED, FAILED, INVALID = ("refused", "failed", "invalid")
"""Why an answer may be missing, beside how the reply ended and what the request was rejected for."""

OF_A_RULE: Final = "rule:"
"""What a reply's name of a model begins with where a rule of the experiment answered; its voice follows."""

Rationale = Literal["inline", "afterwards", "none"]
"""How a decision's reason is asked for: with it, in a question of its own, or not at all."""

INLINE: Final = "inline"
AFTERWARDS: Final = "afterwards"
WITHOUT: Final = "none"


def severity_name(severity: int | None, unknown: str = UNKNOWN) -> str:
    """Name a severity.

    Args:
        severity: 0, 1, or None if it is not known.
        unknown: What to say where it is not known.

    Examples:
        >>> severity_name(SEVERE), severity_name(None, "of unknown severity")
        ('severe', 'of unknown severity')
    """
    return unknown if severity is None else SEVERITIES[severity]
