"""The part of a report that a run of response ratios fills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.contrasts import OF_SHARES, mean_interval
from agentnet.analysis.decisions import RatioTables, read_ratios
from agentnet.analysis.exact import Exact, exact_ratios
from agentnet.analysis.groups import ProfileGroups, group_profiles
from agentnet.analysis.ratios import ResponseRatios, YesCounts
from agentnet.errors import InputError, RunFolderError, UserError, without_field
from agentnet.events import Run
from agentnet.report import log_sections, log_tables, ratio_tables
from agentnet.report.blocks import absent
from agentnet.report.checklist import filled, news_fields, read_answers
from agentnet.report.drawings import Material
from agentnet.report.figures.sketch import Sketch, sketches_of
from agentnet.report.figures.words import counted, listed, percent, sentences
from agentnet.report.log_facts import LogFacts, overriding_sentences, realizations_of
from agentnet.report.log_tables import design_in_words
from agentnet.report.options import Options
from agentnet.report.part import Block, Course, Part, Place, Reading, Section
from agentnet.report.sample import Sample, sample_decisions
from agentnet.report.tables import Table
from agentnet.report.words import (
    asked_sentences,
    asking_sentences,
    citations,
    missing_sentences,
    numbers_words,
    question_words,
    sources_words,
)
from agentnet.vocabulary import N_PROFILES, PROFILES, RATIO, severity_name

_N_RESAMPLES: Final = 200
_COUNTS: Final = ("n_yes", "n_no", "n_missing", "ratio", "lowest", "highest")
_SEVERITIES: Final = (
    (0, "whose events are peaceful"),
    (1, "whose events are severe"),
    (None, "of unknown severity"),
)


@dataclass(frozen=True, slots=True, eq=False)
class RatioPart(Part):
    """What one condition of a response-ratio run says.

    Attributes:
        facts: The run.
        condition: Number of the condition.
        asked: Its decisions.
        ratios: The same by item and profile, ordered by severity.
        groups: Groups of profiles by Tukey's statistic; None where it cannot be made.
        n_wanted: How many groups the author chose to make; None if the test was left alone.
        why_no_groups: Why not.
        sample: Decisions to browse.
        notes: What to know about it.
        label: Empty.
        exact: Main effects of the probabilities; None where the log has none.
        exact_groups: Groups of profiles by the probabilities; likewise.
    """

    name: ClassVar[str] = "ratios"
    rank: ClassVar[int] = 1
    subject: ClassVar[str] = "news cascades"
    headline: ClassVar[str] = "News cascades among language-model agents"

    facts: LogFacts
    condition: int
    asked: RatioTables
    ratios: ResponseRatios
    groups: ProfileGroups | None
    n_wanted: int | None
    why_no_groups: str
    sample: Sample
    notes: tuple[str, ...] = ()
    label: str = ""
    exact: Exact | None = None
    exact_groups: ProfileGroups | None = None

    @property
    def design(self) -> Mapping[str, Any]:
        """The condition's design."""
        return self.facts.design(self.condition)

    def courses(self, level: float) -> Iterator[Course]:
        """Give the mean yes-ratio of each profile over news items."""
        found = mean_interval(self.asked.yes_ratio, level, OF_SHARES)
        interval = f"{level:.0%} Student's t intervals of the logit over news items"
        n = len(self.asked.news_ids)
        yield Course(self.condition, "yes-ratio", "profile", PROFILES, *found, n, interval)

    def title(self) -> str:
        """Name it for people."""
        return f"Response ratios: {self.facts.run}{self.facts.condition_words(self.condition)}"

    def summary(self, level: float) -> str:  # noqa: ARG002
        """Summarize it in one paragraph."""
        return sentences([*asked_sentences(self.facts, self.condition), *_ratio_sentences(self)])

    def findings(self, level: float) -> Iterator[str]:  # noqa: ARG002
        """Say how often agents say yes, and which profiles are alike."""
        return _ratio_sentences(self)

    def methods(self) -> str:
        """Write a methods paragraph for a paper."""
        return sentences(_ratio_methods(self))

    def citations(self) -> Sequence[str]:
        """List the paper, and the sources of the news."""
        return citations(self.facts)

    def figures(self, options: Options) -> Iterator[Sketch]:
        """Make the figures of the paper, of which most take cascades."""
        return sketches_of(
            "cascades",
            Material(
                ratios=self.asked,
                ratio_groups=self.groups,
                n_groups_wanted=self.n_wanted,
                severity_clusters=options.severity_clusters,
            ),
        )

    def sections(self, place: Place) -> Iterator[Section]:
        """Lay out ratios, severities, decisions and what the log says of the run."""
        yield Section("ratios", "Response ratios and groups", tuple(_ratios(self)))
        yield from log_sections.of_news(self, place, self.sample, self.condition)

    def tables(self) -> Iterator[Table]:
        """Make the ratios by item and the decisions to browse."""
        yield ratio_tables.items_table(self.ratios)
        if self.sample.decisions:
            yield log_tables.decisions_table(self.sample)

    def results(self, level: float) -> Mapping[str, Any]:  # noqa: ARG002
        """Spell ratios and groups."""
        return {
            "kind": "response ratios",
            "run": self.facts.run,
            "condition": self.condition,
            "design": design_in_words(self.facts, self.condition),
            "n_items": len(self.ratios.news),
            "ratios": _ratios_as_json(self.ratios),
            "groups": None if self.groups is None else _groups_as_json(self.groups),
            "why_no_groups": self.why_no_groups,
            **_exact_as_json(self),
            "decisions_to_browse": {"of": self.sample.n_of, "shown": self.sample.n_shown},
        }

    def checklists(self) -> Iterator[Block]:
        """Fill GUIDE-LLM."""
        yield filled("guide_llm", read_answers("ratios"), ratio_fields(self))
        yield absent("ODD describes models of interacting agents, and response ratios have no interaction")


def _ratios_as_json(ratios: ResponseRatios) -> dict[str, Any]:
    return {
        severity_name(severity): {
            bits: {name: getattr(counts, name)[profile].item() for name in _COUNTS}
            for profile, bits in enumerate(PROFILES)
        }
        for severity in dict.fromkeys(ratios.severity)
        for counts in (ratios.pooled(severity),)
    }


def _exact_as_json(part: RatioPart) -> dict[str, Any]:
    if part.exact is None:
        return {}
    groups = part.exact_groups and _groups_as_json(part.exact_groups)
    return {"exact": part.exact, "exact_groups": groups}


def _groups_as_json(groups: ProfileGroups) -> dict[str, Any]:
    return {
        "group": dict(zip(PROFILES, groups.group.tolist(), strict=True)),
        "letters": dict(zip(PROFILES, groups.letters, strict=True)),
        "rates": groups.rates,
        "rate_errors": groups.rate_errors,
        "is_clean": groups.is_clean,
        "alpha": groups.test.alpha,
        "stability": groups.stability,
        "notes": groups.notes,
    }


def ratio_parts(reading: Reading, family: str) -> Iterator[RatioPart]:
    """Make the part of each condition of each run of response ratios that has decisions that can be used.

    Raises:
        UserError: A run has none.
    """
    for run, facts in reading.of(family):
        if not facts.kind(RATIO).n:
            raise UserError(
                f"{facts.run} has no response ratio yet; wait for one, resume it, or make the report without "
                "it"
            )
        tables, notes = _tables(run, facts)
        for condition, asked in tables.items():
            yield replace(_part(run, facts, condition, asked, reading), notes=(*asked.notes, *notes))


def _tables(run: Run, facts: LogFacts) -> tuple[dict[int, RatioTables], list[str]]:
    """Read the decisions of each condition; where some have none that can be used, notes say so."""
    if facts.n_conditions == 1:
        return {0: read_ratios(run)}, []
    found, refused = {}, []
    for condition in range(facts.n_conditions):
        try:
            found[condition] = read_ratios(run, condition=condition)
        except RunFolderError:
            raise
        except UserError as error:
            refused.append(without_field(str(error)))
    if not found:
        raise UserError(refused[0])
    return found, refused


def _part(run: Run, facts: LogFacts, condition: int, tables: RatioTables, reading: Reading) -> RatioPart:
    options, alone = reading.options, facts.n_conditions == 1
    reading.say(f"grouping the profiles of {facts.run}{facts.condition_words(condition)}")
    groups, why = _groups(tables.yes_ratio, options)
    chance = None if tables.questions is None else tables.questions.by_item(len(tables.news_ids))
    return RatioPart(
        facts=facts,
        condition=condition,
        asked=tables,
        ratios=_by_severity(tables),
        groups=groups,
        n_wanted=options.n_groups,
        why_no_groups=why,
        sample=sample_decisions(
            run,
            RATIO,
            n=options.n_decisions,
            seed=options.seed,
            realizations=None if alone else realizations_of(run, condition),
        ),
        exact=exact_ratios(tables, options.level),
        exact_groups=None if chance is None else _groups(chance, options)[0],
    )


def _groups(ratios: NDArray[np.float64], options: Options) -> tuple[ProfileGroups | None, str]:
    try:
        found = group_profiles(ratios, n_groups=options.n_groups, n_resamples=_N_RESAMPLES, seed=options.seed)
    except InputError as error:
        return None, without_field(str(error))
    return found, ""


def _by_severity(tables: RatioTables) -> ResponseRatios:
    order = [row for severity in (0, 1, -1) for row in np.flatnonzero(tables.severity == severity).tolist()]
    counts = YesCounts(tables.n_yes, tables.n_no, tables.n_missing)
    return ResponseRatios(
        tuple(tables.news_ids[row] for row in order),
        tuple(None if tables.severity[row] < 0 else int(tables.severity[row]) for row in order),
        counts.rows(np.array(order, dtype=np.intp)),
    )


def _ratios(part: RatioPart) -> Iterator[Block]:
    yield ratio_tables.ratios_table(part)
    if part.groups is None:
        yield absent(part.why_no_groups)
    else:
        yield ratio_tables.groups_table(part.groups, grouped_words(part), part.n_wanted)


def _ratio_sentences(part: RatioPart) -> Iterator[str]:
    ratios = part.ratios
    for severity, name in _SEVERITIES:
        rows = ratios.items_of(severity)
        counts = ratios.counts.rows(rows)
        answered = int(counts.n_yes.sum() + counts.n_no.sum())
        if answered:
            share = int(counts.n_yes.sum()) / answered
            yield f"On {counted(rows.size, 'news item')} {name}, {percent(share)} of answers are yes"
    if part.groups is None:
        yield f"Profiles cannot be grouped: {part.why_no_groups}"
        return
    rates = ", ".join(
        f"{size} profiles at {rate:.3f}"
        for size, rate in zip(part.groups.sizes.tolist(), part.groups.rates.tolist(), strict=True)
    )
    who = "Tukey's HSD test makes" if part.n_wanted is None else "The author chose to make"
    yield f"{who} {counted(part.groups.n_groups, 'group')} of the {N_PROFILES} profiles: {rates}"
    yield from part.groups.notes
    yield from _exact_sentences(part)


def _exact_sentences(part: RatioPart) -> Iterator[str]:
    """Say what the probabilities themselves show, where the log has them."""
    for law in part.exact.laws if part.exact is not None else ():
        weights = listed([f"{each.name} {each.in_words()}" for each in law.as_parameters()], most=7)
        yield f"By the probabilities themselves, without sampling noise, the {law.title} law has {weights}"
    if part.exact_groups is not None and part.n_wanted is None:
        n = part.exact_groups.n_groups
        yield f"The same test on the probabilities finds {'one group' if n == 1 else f'{n} groups'}"


def _ratio_methods(part: RatioPart) -> Iterator[str]:
    facts, condition = part.facts, part.condition
    yield (
        "Response ratios were taken after Tian et al. (2026) with agentnet "
        f"{facts.meta['versions'].get('agentnet', '')}"
    )
    asked = question_words(facts, condition, "whether it would share", "what the experiment's own {} asks of")
    times = numbers_words(facts, "repeats", "time", condition)
    yield (
        f"Each of the {N_PROFILES} Big-Five profiles was asked {times} "
        f"{asked} each of {counted(len(facts.news), 'news item')} ({sources_words(facts)}), without a network"
    )
    yield from asking_sentences(facts, condition)
    yield from overriding_sentences(facts)
    yield from missing_sentences(facts, condition)
    if part.groups is not None:
        yield grouped_words(part)


def grouped_words(part: RatioPart) -> str:
    """Say how profiles were grouped: by the test, or by a number of groups that the author chose."""
    groups = part.groups
    assert groups is not None, "asked only where there are groups"
    if part.n_wanted is not None:
        return (
            f"Profiles were put into {counted(groups.n_groups, 'group')}, a number that the author chose: "
            "their order by mean yes-ratio over items was cut where Tukey's statistic of the nearest pair "
            "across the cut is largest"
        )
    return (
        "Profiles were grouped by Tukey's HSD test on their yes-ratios over items: their order by mean was "
        f"cut wherever all pairs across the cut differ at level {groups.test.alpha:.2g}"
    )


def ratio_fields(part: RatioPart) -> dict[str, Any]:
    """Spell what a run of response ratios knows, for the answers in ``ratios.toml``."""
    return news_fields(part.facts) | {
        "decisions": question_words(
            part.facts,
            part.condition,
            "yes-ratios of profiles",
            "what the experiment's own {} asks of profiles",
        ),
        "sample": "; a sample stands in this report" if part.sample.decisions else "",
    }
