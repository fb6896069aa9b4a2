"""Reads yes or no out of English prose, and only where the writer's own decision is plain.

The rules look for evidence of a decision and for signs against it; what they do not understand is none.
Firm evidence is the answer at the reply's start, on a line of its own or after a label ("Answer: no"), and a
first-person statement about sharing the news ("I would not share this"). Soft evidence ("I could share this",
"I would probably not share it") never decides, but contradicts firm evidence of the other sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from agentnet.prompts import english

_WINDOW = 240
"""Characters looked at before and after a statement; a bound, so that texts without full stops stay cheap."""


class Evidence(NamedTuple):
    """One place where a text says something of the decision.

    Attributes:
        share: What it says; None if it is hedged or says both.
        firm: Whether it can decide.
    """

    share: bool | None
    firm: bool = True


def read_prose(text: str) -> tuple[bool | None, str]:
    """Find the decision that English prose states, in time proportional to its length.

    Returns:
        (decision, problem): ``(True, "")``, ``(False, "")``, or None with ``"refusal"``, ``"ambiguous"`` or
        ``"no_answer"``.
    """
    prose = normalized(text)
    if english.REFUSAL.search(prose):
        return None, "refusal"
    if english.HEDGED_OPENING.match(prose) or english.HEDGE.search(prose):
        return None, "ambiguous"
    found = set(_evidence(prose))
    if not any(evidence.firm for evidence in found):
        return None, "ambiguous" if found else "no_answer"
    said = {evidence.share for evidence in found}
    if len(said) > 1 or None in said:
        return None, "ambiguous"
    decision = True in said
    against = english.AGAINST_YES if decision else english.AGAINST_NO
    return (None, "ambiguous") if against.search(prose) else (decision, "")


def goes_back(text: str) -> bool:
    """Say whether prose beside a yes seems to go back upon it, whether or not it says so plainly.

    Examples:
        >>> goes_back("But actually I would not share it."), goes_back("I would share it.")
        (True, False)
    """
    prose = normalized(text)
    if english.REVERSAL.search(prose):
        return True
    return any("not" in match["gap"].split() for match in english.STATEMENT.finditer(prose))


def normalized(text: str) -> str:
    """Bring prose into the form that the patterns expect.

    Lower case, straight quotes, spaced dashes, no markdown, tags or symbols, contractions written out, single
    spaces, no blank lines, no punctuation at the start and no quotes around the whole.
    """
    untagged = english.TAG.sub("\n", text)
    plain = english.SYMBOL.sub(" ", untagged.translate(english.FOLDED).lower())
    plain = _written_out(plain).replace("no doubt", ", ")
    lines = (" ".join(line.split()).strip(" ,-") for line in plain.splitlines())
    whole = "\n".join(line for line in lines if line)
    if whole[:1] in {'"', "'"} and whole.rstrip(".!")[-1:] == whole[0]:
        whole = whole.rstrip(".!")[1:-1].rstrip()
    return whole.lstrip(" ,.:;!-")


def _written_out(text: str) -> str:
    if "'" in text:
        text = english.SHORTENED.sub(_lengthened, text)
    if "nt" in text or "n't" in text or "cannot" in text:
        text = english.NEGATED.sub(_negation, text)
    return text


def _lengthened(match: re.Match[str]) -> str:
    # A quotation mark before a word such as 'definitely' is no contraction.
    within_word = match.string[match.start() - 1 : match.start()].isalnum()
    return english.TAILS[match["tail"]] if within_word else match[0]


def _negation(match: re.Match[str]) -> str:
    stem = match["stem"] or "ca"
    return f"{english.STEMS.get(stem, stem)} not"


def _evidence(prose: str) -> Iterator[Evidence]:
    yield from _at_the_start(prose)
    for pattern in (english.ALONE, english.SAYING, english.CONCLUDING):
        for match in pattern.finditer(prose):
            yield Evidence(match["yes"] is not None)
    for match in english.ASKED.finditer(prose):
        # Yes or no to "should I not share it?" may mean either.
        negated = "not" in _before(prose, match.start()).split() or "not" in match[0].split()
        yield Evidence(None if negated else match["yes"] is not None)
    for match in english.LABELLED.finditer(prose):
        yield Evidence(bool(match["yes"] or match["true"] or (match["share"] and not match["negated"])))
    for match in english.ELLIPSIS.finditer(prose):
        if _begins_statement(prose, match.start()):
            yield Evidence(match["yes"] is not None)
    for match in english.STATEMENT.finditer(prose):
        evidence = _stated(prose, match)
        if evidence is not None:
            yield evidence


def _at_the_start(prose: str) -> Iterator[Evidence]:
    whole = english.WHOLE.get(prose.rstrip(" .!"))
    if whole is not None:
        yield Evidence(whole)
    if opening := english.OPENING.match(prose):
        yield Evidence(opening["yes"] is not None)
    if imperative := english.IMPERATIVE.match(prose):
        yield Evidence(imperative["negated"] is None)
    if english.EMPHATIC_NOT.match(prose):
        yield Evidence(share=False)


def _stated(prose: str, match: re.Match[str]) -> Evidence | None:
    """Judge one "I ... share": the words between must all be known, and those around it harmless."""
    if not _is_about_the_news(prose, match):
        return None
    words = _own_words(prose, match)
    if words is None or (match["share"] == "sharing" and not _governs_sharing(words)):
        return None
    before, after = _before(prose, match.start()), prose[match.end() : match.end() + _WINDOW]
    return _in_context(_weigh(words), before, after)


def _before(prose: str, position: int) -> str:
    """Return what its sentence has before `position`."""
    return english.SENTENCE_END.split(prose[max(0, position - _WINDOW) : position])[-1]


def _is_about_the_news(prose: str, match: re.Match[str]) -> bool:
    """Tell sharing the news from sharing a concern, and from looking forward."""
    if match["passed_on"] or english.THING.match(prose, match.end()):
        return True
    return bool(match["share"] and match["gap"] and english.NO_THING.match(prose, match.end()))


def _own_words(prose: str, match: re.Match[str]) -> list[str] | None:
    """Return the words from the first usable "I" to the verb; None if the statement is not the writer's."""
    words = match["gap"].split()
    if _begins_statement(prose, match.start()) and english.KNOWN.issuperset(words):
        return words
    for position in range(1, len(words)):
        own = words[position] == "i" and words[position - 1] in english.BEFORE_I
        if own and english.KNOWN.issuperset(words[position:]):
            return words[position + 1 :]
    return None


def _begins_statement(prose: str, position: int) -> bool:
    """Say whether an "I" at `position` begins a statement of the writer's own."""
    sentence = _before(prose, position).strip()
    if not sentence or sentence[-1] in ",:-":
        return True
    last = sentence.rsplit(" ", 1)[-1]
    return (
        last in english.BEFORE_I
        or sentence.endswith(english.ADVERBIALS)
        or sentence.startswith(english.AS_SOMEBODY)
    )


def _governs_sharing(words: list[str]) -> bool:
    governing = (word for word in reversed(words) if word not in english.BETWEEN_AM_AND_SHARING)
    return next(governing, "") in english.BEFORE_SHARING


def _weigh(words: list[str]) -> Evidence:
    met = set(words)
    negations = sum(word in english.NEGATORS or word in english.SOFT_NEGATORS for word in words)
    if met & english.HEDGES or negations > 1:
        return Evidence(None)
    soft = met & (english.SOFT | english.SOFT_NEGATORS)
    # "I like to share such news" tells a habit, "I would like to" a wish.
    habit = met & {"like", "love"} and "would" not in met
    weak = negations == 0 and met & english.WEAK_IF_YES
    return Evidence(negations == 0, firm=not (soft or habit or weak))


def _in_context(evidence: Evidence, before: str, after: str) -> Evidence | None:
    """Take back evidence that is a question, and weaken what is conditional or followed by a but."""
    end = english.SENTENCE_END.search(after)
    if end and end[0] == "?":
        return None
    if evidence.share is None:
        return evidence
    sentence = after[: end.start()] if end else after
    clause = english.CLAUSE_END.split(sentence, maxsplit=1)[0]
    if evidence.share and (english.CONDITION.search(clause) or english.LATER_CONDITION.search(sentence)):
        return Evidence(None)
    weak = _takes_back(after, sentence) if evidence.share else english.EXCEPTION.search(clause) is not None
    if weak or english.CONDITION_BEFORE.search(before):
        return Evidence(evidence.share, firm=False)
    return evidence


def _takes_back(after: str, sentence: str) -> bool:
    second_thought = english.SECOND_THOUGHT.match(after, len(sentence))
    return second_thought is not None or english.RESERVATION.search(sentence) is not None
