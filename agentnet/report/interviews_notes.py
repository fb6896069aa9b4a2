"""What to know about the results of interacting models, in sentences: what is left out, what is unclear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentnet.report.interviews import Arm


def notes_of(arms: Sequence[Arm]) -> list[str]:
    """Say what to know about the results of arms."""
    return [note for arm in arms for note in _of_arm(arm)] + list(_across(arms))


def span_of(numbers: Sequence[int]) -> str:
    """Spell the least and the greatest of some numbers.

    Examples:
        >>> span_of([28, 35, 30]), span_of([5, 5])
        ('28 to 35', '5')
    """
    least, most = min(numbers), max(numbers)
    return f"{least}" if least == most else f"{least} to {most}"


def _of_arm(arm: Arm) -> Iterator[str]:
    if any(each.left_out for each in arm.played):
        asked = span_of([each.n_asked for each in arm.played])
        left = span_of([len(each.questions) for each in arm.played])
        yield (
            f"{arm.name}: a question to which an answer is missing is left out of its realization at all "
            f"steps; of {asked} questions, {left} are left in each realization{_averaged(arm)}"
        )
    series = arm.ratio.series
    if series is not None and arm.ratio.has_interval and not series.clear_start:
        yield (
            f"{arm.name}: the classes are not clearly apart at step 0, so that the polarization "
            "may be anything, as it is relative to that; look at the gap"
        )


def _averaged(arm: Arm) -> str:
    """Say over which questions the measures of two classes are; nothing without two classes."""
    if arm.gap.series is None:
        return ""
    if arm.n_common is None:
        return f"; polarization and gap: {arm.gap.note}"
    return f"; polarization and gap are over the {arm.n_common} that all averaged repeats answered in full"


def _across(arms: Sequence[Arm]) -> Iterator[str]:
    if len({frozenset(each.left_out) for arm in arms for each in arm.played}) > 1:
        yield (
            "different questions are left out in different realizations: gaps are compared over those that "
            "all finished realizations of the compared arms answered in full where these are at least half "
            "of all, else over each repeat's own, and the comparison says so; clusters, iso-mirrors and "
            "perspectives are those of each realization's own questions"
        )
