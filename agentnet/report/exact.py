"""Tables of what the probabilities of questions say, where the log has them: laws without sampling noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentnet.analysis.exact import Exact
from agentnet.analysis.tables import Questions
from agentnet.report.figures.words import sentences
from agentnet.report.part import table
from agentnet.report.tables import Cell, Table, as_named
from agentnet.vocabulary import PROFILES

if TYPE_CHECKING:
    from agentnet.report.cascades import CascadePart
    from agentnet.report.ratios import RatioPart


@table("exact_laws", of="cascades", section="laws")
def laws_of_cascades(part: CascadePart) -> Table | None:
    """List laws fitted to probabilities beside those fitted to draws."""
    return None if part.fits is None else exact_table(part.fits.exact)


@table("exact_laws_of_ratios", of="ratios", section="ratios")
def laws_of_ratios(part: RatioPart) -> Table | None:
    """List the main effects of the probabilities of response ratios."""
    return exact_table(part.exact)


@table("probabilities_of_cascades", of="cascades")
def questions_of_cascades(part: CascadePart) -> Table | None:
    """List the probabilities themselves."""
    return None if part.played is None else _questions_table(part.played.questions, part.played.news_ids)


@table("probabilities_of_ratios", of="ratios")
def questions_of_ratios(part: RatioPart) -> Table | None:
    """List the probabilities themselves."""
    return _questions_table(part.asked.questions, part.asked.news_ids)


def exact_table(exact: Exact | None) -> Table | None:
    """List laws fitted to probabilities; None where there are none."""
    if exact is None or not exact.laws:
        return None
    rows: list[tuple[Cell, ...]] = [
        (
            *(law.title, each.name, each.drawn, each.drawn_error, each.value),
            *(each.errors_apart, each.over_news, law.misfit),
        )
        for law in exact.laws
        for each in law.parameters
    ]
    return Table(
        name="exact_laws",
        title="Laws fitted to the probabilities themselves, without sampling noise",
        columns={
            **as_named("law parameter"),
            "drawn": "fitted to draws",
            "drawn_error": "std. error of that",
            "exact": "by the probabilities",
            "errors_apart": "apart, in std. errors",
            "over_news_interval": "interval over news items",
            "misfit": "misfit (RMS of P)",
        },
        rows=tuple(rows),
        notes=tuple(sentences([each]) for each in _notes(exact)),
    ).without_empty_columns()


def _notes(exact: Exact) -> Iterator[str]:
    yield exact.in_words
    yield (
        "Each question counts once, however often it was asked, by the least cross-entropy with its "
        "probability. Intervals over news items are Student's t of what differs between items, those of "
        "both severities together; sampling adds nothing to them"
    )
    if any(law.misfit is None for law in exact.laws):
        yield (
            "Of laws of curves: the mean probability of a group's agents, and the growth that these would "
            "make. That is no fit to the curve: what lies between the two is what network and asking rule do"
        )
    yield from exact.notes


def _questions_table(questions: Questions | None, news_ids: tuple[str, ...]) -> Table | None:
    """List each question with its probability; None where none is known."""
    if questions is None:
        return None
    columns = [each.tolist() for each in questions.columns.values()]
    cells = (questions.news, questions.profile, questions.chance, questions.n_drawn)
    return Table(
        name="probabilities",
        title="Probability of a yes to each question, the mean over the temperatures at which it was asked",
        columns={
            **as_named("news profile"),
            **{name: name for name in questions.columns},
            "probability": "probability of a yes",
            "n_drawn": "decisions drawn from it",
        },
        rows=tuple(
            (news_ids[news], PROFILES[profile], *others, chance, n)
            for news, profile, chance, n, *others in zip(*(c.tolist() for c in cells), *columns, strict=True)
        ),
    )
