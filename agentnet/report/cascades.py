"""The part of a report that cascades fill: one for each condition of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.by_context import ContextShare, answers_by_context
from agentnet.analysis.by_voice import Voices, answers_by_voice
from agentnet.analysis.contrasts import OF_SHARES, mean_interval
from agentnet.analysis.decisions import read_engaged_now
from agentnet.analysis.fits import Fits, affordable_runs, fit_run
from agentnet.analysis.goodness import mean_final_engagement
from agentnet.analysis.laws import LAWS
from agentnet.analysis.reading import read_tables
from agentnet.analysis.tables import NO_PROFILES, RunTables
from agentnet.analysis.trees import MESSAGES, Trees, tree_distances, trees_of
from agentnet.errors import DesignError, RunFolderError, UserError, without_field
from agentnet.events import Run
from agentnet.events.conditions import differing_knobs, spelling
from agentnet.report import cascade_tables, log_sections, log_tables
from agentnet.report.blocks import absent, paragraph
from agentnet.report.cascade_words import (
    cascade_fields,
    cascade_findings,
    cascade_methods,
    cascade_sentences,
    tree_sentences,
)
from agentnet.report.checklist import filled, read_answers
from agentnet.report.drawings import Material
from agentnet.report.figures.absent import WITHOUT
from agentnet.report.figures.curves import other_sketches
from agentnet.report.figures.sketch import Sketch, sketches_of
from agentnet.report.figures.words import sentences
from agentnet.report.log_facts import LogFacts, realizations_of
from agentnet.report.log_tables import design_in_words, without_folders
from agentnet.report.options import Options, Progress
from agentnet.report.part import Block, Course, Part, Place, Reading, Section, table
from agentnet.report.player import Player, read_player
from agentnet.report.ratios import RatioPart
from agentnet.report.sample import Sample, sample_decisions
from agentnet.report.tables import Table
from agentnet.report.told import Told, read_told
from agentnet.report.words import asked_sentences, citations
from agentnet.vocabulary import EXPOSURE, PROFILES, SEED


@dataclass(frozen=True, slots=True, eq=False)
class CascadePart(Part):
    """What the cascades of one condition say.

    Attributes:
        facts: The run.
        condition: Number of the condition.
        played: Its cascades; None where none can be used.
        why_no_tables: Why not.
        fits: The laws; None where none can be fitted.
        why_no_fits: Why not.
        ratio: The response-ratio run that goes with it; None without one.
        groups_from: Where the groups of profiles come from, in words.
        sample: Decisions to browse.
        player: Who engaged when, in some realizations.
        told: What agents were told beyond a news item; None where that was all.
        notes: What to know about it.
        label: Empty.
        trees: Trees of who had the news from whom; None where there are none.
        observed: Trees observed elsewhere, to compare with; None without.
        engaged_now: Fraction of agents engaged after each step that have not stopped, of each realization of
            `played`; None where nobody stopped.
        message_trees: Trees of messages; None where no agent retold one.
        by_context: Decisions by the facts that prompts used; none where they used none.
        voices: Decisions by who answers; nothing with one voice.
    """

    name: ClassVar[str] = "cascades"
    rank: ClassVar[int] = 0
    subject: ClassVar[str] = "news cascades"
    headline: ClassVar[str] = "News cascades among language-model agents"
    leading: ClassVar[tuple[str, ...]] = (
        *("observed_cascades", "figure07_engagement_probability", "figure08_population_full_logistic"),
        *("laws_ranked", "figure10_population_mean_field", "figure05_response_ratios"),
    )

    facts: LogFacts
    condition: int
    played: RunTables | None
    why_no_tables: str
    fits: Fits | None
    why_no_fits: str
    ratio: RatioPart | None
    groups_from: str
    sample: Sample
    player: Player
    told: Told | None = None
    notes: tuple[str, ...] = ()
    label: str = ""
    trees: Trees | None = None
    observed: Trees | None = None
    engaged_now: NDArray[np.float64] | None = None
    message_trees: Trees | None = None
    by_context: tuple[ContextShare, ...] = ()
    voices: Voices = field(default_factory=Voices)

    @property
    def design(self) -> Mapping[str, Any]:
        """The condition's design."""
        return self.facts.design(self.condition)

    def includes(self) -> Sequence[Part]:
        """The response ratios, whose figures stand among those of their cascades."""
        return () if self.ratio is None else (self.ratio,)

    def courses(self, level: float) -> Iterator[Course]:
        """Give the mean engaged fraction after each step."""
        if self.played is not None:
            curves = self.played.engaged_fraction
            found = mean_interval(curves, level, OF_SHARES)
            interval = f"{level:.0%} Student's t intervals of the logit over realizations"
            yield Course(self.condition, "engaged fraction", "step", (), *found, len(curves), interval)

    def title(self) -> str:
        """Name it for people."""
        return f"Cascades: {self.facts.run}{self.facts.condition_words(self.condition)}"

    def summary(self, level: float) -> str:
        """Summarize it in one paragraph."""
        return sentences([*asked_sentences(self.facts, self.condition), *cascade_sentences(self, level)])

    def findings(self, level: float) -> Iterator[str]:
        """Say how many engaged, what weighs most, which law does best, then the rest."""
        return cascade_findings(self, level)

    def remarks(self) -> Sequence[str]:
        """List what to know of the run, its tables and its fits."""
        computed = self.fits or self.played
        return (*self.notes, *(computed.notes if computed is not None else ()))

    def methods(self) -> str:
        """Write a methods paragraph for a paper."""
        return sentences(cascade_methods(self))

    def citations(self) -> Sequence[str]:
        """List the paper, and the sources of the news."""
        return citations(self.facts)

    def figures(self, options: Options) -> Iterator[Sketch]:
        """Make the figures of the paper, and some beyond them."""
        ratio = self.ratio
        yield from sketches_of(
            "cascades",
            Material(
                tables=self.played,
                fits=self.fits,
                ratios=None if ratio is None else ratio.asked,
                ratio_groups=None if ratio is None else ratio.groups,
                n_groups_wanted=None if ratio is None else ratio.n_wanted,
                severity_clusters=options.severity_clusters,
                trees=self.trees,
                observed=self.observed,
                engaged_now=self.engaged_now,
                by_context=self.by_context,
            ),
        )
        yield from other_sketches(self.fits)

    def sections(self, place: Place) -> Iterator[Section]:
        """Lay out laws, groups, severities, decisions and what the log says of the run."""
        yield Section("player", "Who engaged when", (self.player,), is_open=True)
        yield Section("laws", "Laws and their parameters", tuple(_laws(self)))
        yield Section("trees", "Trees of who had the news from whom", tuple(_trees(self)))
        yield Section("ratios", "Response ratios and groups", tuple(_groups_of_cascades(self)))
        yield from log_sections.of_news(self, place, self.sample, self.condition)

    def tables(self) -> Iterator[Table]:
        """Make the curves, the fitted probabilities and the decisions to browse."""
        if self.fits is not None:
            yield cascade_tables.curves_table(self.fits)
            yield from filter(None, [cascade_tables.probabilities_table(self.fits)])
        elif self.played is not None:
            yield cascade_tables.observed_table(self.played)
        if self.sample.decisions:
            yield log_tables.decisions_table(self.sample)

    def results(self, level: float) -> Mapping[str, Any]:
        """Spell design, groups, final engagement and fits."""
        return {
            "kind": "cascades",
            "run": self.facts.run,
            "condition": self.condition,
            "design": design_in_words(self.facts, self.condition),
            "groups_from": self.groups_from,
            "final_engaged_fraction": self.played and mean_final_engagement(self.played, level),
            "fits": None if self.fits is None else _fits_as_json(self.fits),
            "trees": None if self.trees is None else _trees_as_json(self.trees, self.observed),
            "why_no_fits": self.why_no_fits,
            "response_ratios_of": None if self.ratio is None else self.ratio.facts.run,
            "decisions_to_browse": {"of": self.sample.n_of, "shown": self.sample.n_shown},
        }

    def checklists(self) -> Iterator[Block]:
        """Fill GUIDE-LLM and ODD."""
        answers, fields = read_answers("cascades"), cascade_fields(self)
        yield filled("guide_llm", answers, fields)
        yield filled("odd", answers, fields)


@table("message_trees", of="cascades", section="trees")
def _message_trees(part: CascadePart) -> Table | None:
    """Summarize the trees of messages; None where nobody retold one."""
    if part.message_trees is None:
        return None
    return replace(
        cascade_tables.trees_table([part.message_trees]),
        name="message_trees",
        title="Trees of messages: what retells what",
    )


@table("engaged_now", of="cascades", section="player")
def _engaged_now(part: CascadePart) -> Table | None:
    """Set those who are engaged beside those who ever were; None where nobody stopped."""
    if part.played is None or part.engaged_now is None:
        return None
    return cascade_tables.engaged_now_table(part.played, part.engaged_now)


def cascade_parts(reading: Reading, family: str, of_ratios: str) -> Iterator[CascadePart]:
    """Make the part of each condition of each run of cascades.

    Args:
        reading: The runs.
        family: Name of the family of cascades.
        of_ratios: Name of the family whose runs tell groups of profiles.

    Raises:
        UserError: It is unclear which response ratios go with which cascades.
    """
    ratios = cast("tuple[RatioPart, ...]", reading.parts_of(of_ratios))
    for run, facts in reading.of(family):
        for condition in range(facts.n_conditions):
            ratio = _partner(facts, condition, ratios)
            yield _part(run, facts, condition, ratio, reading.options, reading.say)


def _partner(cascades: LogFacts, condition: int, ratios: Sequence[RatioPart]) -> RatioPart | None:
    """Find the response ratios that go with the cascades of a condition.

    Single ones go with any cascades; where models or prompts differ, a note says so. Of several conditions of
    a run, that one goes with them which has the values of the cascades in all knobs that set these apart.
    """
    if len(ratios) <= 1:
        return ratios[0] if ratios else None
    model = cascades.meta["model_name"]
    same = [part for part in ratios if part.facts.meta["model_name"] == model]
    alike = [part for part in same or ratios if _is_alike(cascades.design(condition), part)]
    if len(alike) == 1 and len({id(part.facts) for part in same or ratios}) == 1:
        return alike[0]
    if len(same) == 1:
        return same[0]
    names = "; ".join(part.facts.run + part.facts.condition_words(part.condition) for part in same or ratios)
    raise UserError(
        f"it is unclear which response ratios go with the cascades of {cascades.run} ({model}): {names} "
        f"{'are all of that model' if same else 'are of other models'}; give one such run for each model, of "
        "one condition or of the conditions of the cascades"
    )


def _is_alike(cascades: Mapping[str, Any], ratios: RatioPart) -> bool:
    """Say whether cascades have the values that set the condition of `ratios` apart within its run."""
    experiment = ratios.facts.meta["experiment"]
    knobs = differing_knobs(experiment["conditions"], experiment["design"])
    return all(spelling(cascades.get(knob)) == spelling(ratios.design.get(knob)) for knob in knobs)


def _part(
    run: Run, facts: LogFacts, condition: int, ratio: RatioPart | None, options: Options, say: Progress
) -> CascadePart:
    tables, why_no_tables = _tables(run, condition, options)
    told = read_told(run, condition, n=options.n_decisions, seed=options.seed)
    chosen, groups_from = _chosen_groups(ratio, options)
    fits, why_no_fits = None, why_no_tables
    of_condition = None if facts.n_conditions == 1 else realizations_of(run, condition)
    if tables is not None:
        fits, why_no_fits = _fits(tables, chosen, options, say)
        if fits is not None and chosen is None and fits.grouping.n_groups == 1:
            groups_from = f"not told apart, all are in one: {without_field(fits.grouping.note)}"
    part = CascadePart(
        facts=facts,
        condition=condition,
        played=tables,
        why_no_tables=why_no_tables,
        fits=fits,
        why_no_fits=why_no_fits,
        ratio=ratio,
        groups_from=groups_from,
        sample=_sample(run, of_condition, options),
        player=read_player(run, of_condition, seed=options.seed),
        told=told,
        trees=trees if len(trees := trees_of(run, condition=condition).trees()) else None,
        observed=options.observed,
        engaged_now=None if tables is None else read_engaged_now(run, tables),
        message_trees=_trees_of_messages(run, condition, told),
        by_context=_by_context(run, condition, told, options.level),
        voices=answers_by_voice(run, options.level, condition=condition),
    )
    return replace(part, notes=tuple(_pairing_notes(part)))


def _sample(run: Run, realizations: NDArray[np.int64] | None, options: Options) -> Sample:
    """Draw decisions to browse: of exposures, or of those who were asked to start where there is none."""
    draw = partial(sample_decisions, run, n=options.n_decisions, seed=options.seed, realizations=realizations)
    found = draw(EXPOSURE)
    return found if any(found.n_of.values()) else draw(SEED)


def _by_context(run: Run, condition: int, told: Told | None, level: float) -> tuple[ContextShare, ...]:
    shares = () if told is None or not told.context else answers_by_context(run, level)
    return tuple(each for each in shares if each.condition == condition)


def _trees_of_messages(run: Run, condition: int, told: Told | None) -> Trees | None:
    retold = told is not None and told.n_retold > 0
    return trees_of(run, MESSAGES, condition=condition).trees() if retold else None


def _tables(run: Run, condition: int, options: Options) -> tuple[RunTables | None, str]:
    columns = (*options.by, *(name for law in options.laws for name in LAWS[law].uses))
    try:
        return read_tables(run, condition=condition, columns=columns), ""
    except (RunFolderError, DesignError):
        raise
    except UserError as error:
        return None, str(error)


def _chosen_groups(ratio: RatioPart | None, options: Options) -> tuple[Mapping[str, int] | None, str]:
    """Choose the groups that laws are fitted with, and say where they come from."""
    if options.groups is not None:
        return options.groups, "given"
    if ratio is None:
        return None, "chosen from the exposures of this run itself, for no response-ratio run was given"
    if ratio.groups is None:
        return None, (
            f"chosen from the exposures of this run itself, for the response ratios of {ratio.facts.run} "
            f"give none: {ratio.why_no_groups}"
        )
    found = dict(zip(PROFILES, ratio.groups.group.tolist(), strict=True))
    if ratio.n_wanted is not None:
        return found, (
            f"made by the widest cuts between the response ratios of {ratio.facts.run}; how many there are "
            "was the author's choice (--n-groups)"
        )
    return found, f"found by Tukey's HSD test on the response ratios of {ratio.facts.run}"


def _fits(
    tables: RunTables, groups: Mapping[str, int] | None, options: Options, say: Progress
) -> tuple[Fits | None, str]:
    try:
        found = fit_run(
            tables,
            laws=options.laws,
            by=options.by,
            groups=groups,
            n_runs=affordable_runs(tables) if options.n_runs is None else options.n_runs,
            n_bootstrap=options.n_bootstrap,
            level=options.level,
            seed=options.seed,
            progress=say,
        )
    except UserError as error:
        return None, without_field(str(error))
    return found, ""


def _pairing_notes(part: CascadePart) -> list[str]:
    """Say where response ratios were taken otherwise than the cascades."""
    if part.ratio is None:
        return []
    mine, other = part.facts.meta, part.ratio.facts.meta
    found = []
    if mine["model_name"] != other["model_name"]:
        found.append(
            f"the response ratios are those of another model: {other['model_name']}, not {mine['model_name']}"
        )
    if mine["prompts_hash"][part.condition] not in other["prompts_hash"]:
        found.append("the response ratios were asked for with other prompt templates than the cascades")
    return found


def _fits_as_json(fits: Fits) -> dict[str, object]:
    found = fits.as_json()
    return {**found, "condition": without_folders(found["condition"])}


def _laws(part: CascadePart) -> Iterator[Block]:
    if part.fits is None:
        yield absent(part.why_no_fits)
        if part.played is not None:
            yield from filter(None, [cascade_tables.cells_table(part.played)])
        return
    fits = part.fits
    yield cascade_tables.ranking_table(fits)
    yield cascade_tables.views_table(fits)
    yield cascade_tables.main_effects_table(fits) or absent(_why_not(part, LAWS.of_table(1)[0]))
    yield cascade_tables.rates_table(fits) or absent(_why_not(part, LAWS.of_table(2)[0]))
    yield from filter(None, [cascade_tables.equilibria_table(fits)])
    yield cascade_tables.groups_table(fits.tables, fits.grouping, part.groups_from) or absent(_no_groups())
    yield cascade_tables.parameters_table(fits)
    yield cascade_tables.bounds_table(fits) or paragraph(
        "No answer to an exposure is missing: there is nothing to bound.", "note"
    )
    yield from filter(None, [cascade_tables.cells_table(fits.tables)])


def _no_groups() -> str:
    return NO_PROFILES.format("there are no groups of them, and no table of the 32 profiles")


def _trees(part: CascadePart) -> Iterator[Block]:
    if part.trees is None:
        yield absent(WITHOUT["trees"])
        return
    yield paragraph(sentences(tree_sentences(part.trees)))
    every = [part.trees, *([] if part.observed is None else [part.observed])]
    yield cascade_tables.trees_table(every)
    if part.observed is not None:
        yield cascade_tables.tree_distances_table(part.trees, part.observed)


def _trees_as_json(played: Trees, observed: Trees | None) -> dict[str, object]:
    if observed is None:
        return played.as_json()
    distances = [each._asdict() for each in tree_distances(played, observed)]
    return {**played.as_json(), "observed": observed.as_json(), "distances": distances}


def _why_not(part: CascadePart, law: str) -> str:
    assert part.fits is not None, "asked only where laws were fitted"
    refused = next((each for each in part.fits.refused if each.law == law), None)
    return (
        f"the law {law} was not fitted"
        if refused is None
        else f"{refused.title}: {without_field(refused.reason)}"
    )


def _groups_of_cascades(part: CascadePart) -> Iterator[Block]:
    if part.ratio is None:
        yield absent(
            "no response-ratio run was given. Play one (agentnet run experiments/response_ratios.py) and "
            "name it behind this run"
            + ("" if part.fits is None else f". The groups of profiles were {part.groups_from}")
        )
        return
    fitted = "" if part.fits is None else f" The groups that laws were fitted with were {part.groups_from}."
    yield paragraph(f"They stand in the part on {part.ratio.facts.run}.{fitted}")
