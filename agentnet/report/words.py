"""The report in sentences: what was asked, what came of it, and a methods paragraph for a paper."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.fits import Fits
from agentnet.analysis.goodness import POPULATION
from agentnet.analysis.parameters import Parameter
from agentnet.analysis.tables import SEVERITY_NAMES, RunTables
from agentnet.report import paper
from agentnet.report.cascade_tables import fitted
from agentnet.report.figures.words import counted, listed, percent, sentences
from agentnet.report.gather import CascadePart, Part, RatioPart
from agentnet.report.interviews import InterviewPart
from agentnet.report.interviews_words import HELM, interview_methods, interview_summary
from agentnet.report.log_facts import LogFacts
from agentnet.report.log_tables import in_words

_SEVERITIES: Final = (
    (0, "whose events are peaceful"),
    (1, "whose events are severe"),
    (None, "of unknown severity"),
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over realizations.

    Attributes:
        name: Of what.
        mean: The mean.
        sd: Standard deviation of single realizations; None for one.
        interval: Confidence interval of the mean; None for one realization.
        by_news_item_interval: The same with news items as what is independent; None for one item.
        n: Realizations.
    """

    name: str
    mean: float
    sd: float | None
    interval: tuple[float, float] | None
    by_news_item_interval: tuple[float, float] | None
    n: int


def final_engagement(tables: RunTables, level: float) -> tuple[Estimate, ...]:
    """Estimate the engaged fraction after the last step: of all realizations, and by severity.

    Intervals are Student's, of the realizations or of the news items' means.
    """
    last = tables.engaged_fraction[:, -1]
    views = {POPULATION: np.full(last.shape, True)}
    if len(tables.severities) > 1:
        views |= {SEVERITY_NAMES[each]: tables.severity == each for each in tables.severities}
    found = []
    for name, seen in views.items():
        items = tables.news[seen]
        means = np.array([last[seen][items == item].mean() for item in np.unique(items)])
        values = last[seen]
        sd = float(values.std(ddof=1)) if values.size > 1 else None
        found.append(
            Estimate(
                name,
                float(values.mean()),
                sd,
                _student(values, level),
                _student(means, level),
                int(values.size),
            )
        )
    return tuple(found)


def _student(values: NDArray[np.float64], level: float) -> tuple[float, float] | None:
    from scipy.special import stdtrit

    if values.size < 2:
        return None
    width = (
        float(stdtrit(values.size - 1, (1 + level) / 2)) * float(values.std(ddof=1)) / math.sqrt(values.size)
    )
    return float(values.mean()) - width, float(values.mean()) + width


def summary(part: Part, level: float) -> str:
    """Summarize a part in one paragraph."""
    if isinstance(part, InterviewPart):
        return interview_summary(part)
    said = _cascade_sentences(part, level) if isinstance(part, CascadePart) else _ratio_sentences(part)
    return sentences([*_asked(part.facts), *said])


def _asked(facts: LogFacts) -> Iterator[str]:
    n = sum(each.n for each in facts.asked if each.kind != "reason")
    missing = sum(each.n_missing for each in facts.asked if each.kind != "reason")
    state = "" if facts.meta["status"] == "finished" else ", which is still played or was stopped,"
    yield (
        f"Run {facts.run}{state} asked {facts.meta['model_name']} through the backend "
        f"{facts.meta['backend']} for {counted(n, 'decision')}"
    )
    if n:
        are = "is" if missing == 1 else "are"
        said = f"{missing:,} of them ({percent(missing / n)}) {are}" if missing else "None of them is"
        yield f"{said} missing"
    yield _cost(facts)


def _cost(facts: LogFacts) -> str:
    spent = facts.spending
    money = "at an unknown price" if spent.dollars is None else f"for {spent.dollars:,.4f} US dollars"
    return (
        f"That took {counted(spent.calls, 'call')}, {spent.prompt_tokens:,} prompt tokens and "
        f"{spent.completion_tokens:,} completion tokens, {money}"
    )


def _cascade_sentences(part: CascadePart, level: float) -> Iterator[str]:
    tables = part.tables
    if tables is None:
        yield f"No result can be given: {part.why_no_tables}"
        return
    yield (
        f"It played {counted(tables.n_realizations, 'cascade')} of "
        f"{counted(np.unique(tables.news).size, 'news item')} on {_network(tables)}, by the asking rule "
        f"{tables.asking_rule}"
    )
    yield from (_engaged(each, tables.n_steps, level) for each in final_engagement(tables, level))
    if part.fits is None:
        yield f"No law was fitted: {part.why_no_fits}"
        return
    yield from _law_sentences(part.fits)


def _network(tables: RunTables) -> str:
    networks = tables.networks
    agents = listed([f"{n:,}" for n in np.unique(tables.n_agents).tolist()], most=3)
    degree = networks.degree
    neighbours = (
        f"{counted(degree, 'neighbour')} each"
        if degree is not None
        else f"{networks.mean_degree:.3g} neighbours on average"
    )
    names = listed([name.replace("_", " ") for name in networks.names], most=3)
    return f"{names} networks of {agents} agents with {neighbours}"


def _engaged(of: Estimate, step: int, level: float) -> str:
    where = "" if of.name == POPULATION else f" where the news is {of.name}"
    spread = "" if of.sd is None else f" (standard deviation of single cascades {of.sd:.3f})"
    interval = ""
    if of.interval is not None:
        low, high = of.interval
        interval = f"; {level:.0%} interval of the mean {low:.3f} to {high:.3f}"
    return f"After step {step}, {percent(of.mean)} of all agents are engaged{where}{spread}{interval}"


def _law_sentences(fits: Fits) -> Iterator[str]:
    law = fitted(fits, "main_effects")
    if law is not None:
        weights = [
            each for each in law.parameters if each.name != "intercept" and math.isfinite(each.estimate)
        ]
        strongest = max(weights, key=lambda each: abs(each.estimate), default=None)
        if strongest is not None:
            yield (
                f"In the {law.title} law the largest weight is that of {strongest.name}, {valued(strongest)}"
            )
        yield from (
            f"The weight of severity is {valued(each)}" for each in weights if each.name == "severity"
        )
    rates = fitted(fits, "group_rates") or fitted(fits, "one_rate")
    if rates is not None:
        values = listed([f"{each.name} = {valued(each)}" for each in rates.parameters])
        growth = "" if rates.growth_rate is None else f", growth rate lambda = {valued(rates.growth_rate)}"
        yield f"The {rates.title} law has {values} per step{growth}"
    best = fits.scores[0]
    if best.held_out_rmse is not None:
        yield (
            f"Of {counted(len(fits.scores), 'law')} the {best.title} law does best on realizations that it "
            f"was not fitted to, with an RMSE of {best.held_out_rmse:.4f}"
        )
    else:
        n_laws = counted(len(fits.scores), "law")
        yield f"Of {n_laws} the {best.title} law fits best, with an RMSE of {best.rmse:.4f}"
    if best.floor is not None:
        chance = f"where chance alone makes up to {best.floor.quantile_95:.4f}"
        yield f"In sample its RMSE is {best.rmse:.4f}, {chance}"


def valued(of: Parameter) -> str:
    """Spell a parameter with its interval."""
    interval = "" if of.interval is None else f" ({of.interval[0]:.4g} to {of.interval[1]:.4g})"
    return f"{of.estimate:.4g}{interval}"


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
    yield f"Tukey's HSD test makes {counted(part.groups.n_groups, 'group')} of the 32 profiles: {rates}"
    yield from part.groups.notes


def methods(part: Part) -> str:
    """Write a methods paragraph for a paper, from what the run recorded."""
    if isinstance(part, InterviewPart):
        return interview_methods(part)
    return sentences(_cascade_methods(part) if isinstance(part, CascadePart) else _ratio_methods(part))


def _cascade_methods(part: CascadePart) -> list[str]:
    facts, design, tables = part.facts, part.design, part.tables
    profiles = {"equal": "in equal number", "uniform": "independently and uniformly"}.get(
        str(design["profiles"]), f"as {in_words(design['profiles'])}"
    )
    played = "" if tables is None else f" on {_network(tables)}"
    return [
        (
            f"We simulated news cascades among language-model agents after Tian et al. (2026) with agentnet "
            f"{facts.meta['versions'].get('agentnet', '')}"
        ),
        (
            f"Each of {counted(len(facts.news), 'news item')} ({_sources(facts)}) was played "
            f"{counted(int(design['repeats']), 'time')}{played}; Big-Five profiles were dealt to agents "
            f"{profiles}"
        ),
        (
            "Agents picked at random were asked to start until one was willing; from then on, at each of "
            f"{counted(int(design['steps']), 'step')}, every unengaged agent was asked once for each engaged "
            f"neighbour (asking rule {design['asking_rule']}) and engaged for good at its first yes"
        ),
        *_asking(facts, design),
        *_missing_words(facts),
        *(_fit_methods(part.fits, part.groups_from) if part.fits is not None else ()),
    ]


def _ratio_methods(part: RatioPart) -> list[str]:
    facts = part.facts
    design = facts.meta["experiment"]["design"][0]
    grouped = []
    if part.groups is not None:
        grouped.append(
            "Profiles were grouped by Tukey's HSD test on their yes-ratios over items: their order by mean "
            f"was cut wherever all pairs across the cut differ at level {part.groups.test.alpha:.2g}"
        )
    return [
        (
            "Response ratios were taken after Tian et al. (2026) with agentnet "
            f"{facts.meta['versions'].get('agentnet', '')}"
        ),
        (
            f"Each of the 32 Big-Five profiles was asked {counted(int(design['repeats']), 'time')} whether "
            f"it would share each of {counted(len(facts.news), 'news item')} ({_sources(facts)}), without a "
            "network"
        ),
        *_asking(facts, design),
        *_missing_words(facts),
        *grouped,
    ]


def _sources(facts: LogFacts) -> str:
    return (
        listed([str(facts.source(source)["whence"]) for source in facts.sources])
        if facts.sources
        else "of unknown source"
    )


def _asking(facts: LogFacts, design: Mapping[str, Any]) -> Iterator[str]:
    returned = listed(list(dict.fromkeys(name for name, _, _ in facts.models))) if facts.models else "none"
    yield (
        f"All answers came from {facts.meta['model_name']} (as returned: {returned}) through the backend "
        f"{facts.meta['backend']}, at {temperature(design['temperature'])}, with at most "
        f"{counted(int(design['max_tokens']), 'token')} a reply; each question was a request of its own "
        "without memory"
    )
    mode = facts.meta["settings"].get("sampler", {}).get("mode", "call")
    if mode != "call":
        how = {
            "choices": "several draws were taken from one request",
            "logprobs": "decisions were drawn from the model's log-probabilities of yes and no",
        }
        yield f"Sampler mode {mode}: {how.get(mode, 'see settings')}{_mass_words(facts)}"
    yield from put_otherwise(facts)


def put_otherwise(facts: LogFacts) -> Iterator[str]:
    """Say what the server was not sent as the design has it."""
    backend = facts.meta["settings"].get("backend", {})
    omitted = [backend["omit"]] if isinstance(backend.get("omit"), str) else backend.get("omit", ())
    if omitted:
        yield (
            f"Left out of every request, so that the server's own values held: {listed(list(omitted))}"
            + (" (temperatures of the design were drawn and not sent)" if "temperature" in omitted else "")
        )
    if backend.get("system_role", "system") != "system":
        yield f"System messages were sent under the role {backend['system_role']}"
    adapted = [
        change for each in facts.incidents if each.kind == "adapted" for change in each.detail["changes"]
    ]
    if adapted:
        yield f"Requests were adapted to the server: {'; '.join(dict.fromkeys(adapted))}"


def _mass_words(facts: LogFacts) -> str:
    if facts.mass is None:
        return ""
    least, mean = facts.mass
    return f", whose listed tokens hold {mean:.3f} of the probability on average, {least:.3f} at least"


def temperature(value: object) -> str:
    """Spell the temperature of a design.

    Examples:
        >>> temperature([0.7, 1.3]), temperature(1.0)
        ('temperatures drawn uniformly from 0.7 to 1.3', 'temperature 1')
    """
    if isinstance(value, list | tuple):
        low, high = value
        return f"temperatures drawn uniformly from {low:g} to {high:g}"
    return f"temperature {value:g}" if isinstance(value, int | float) else f"temperature {value}"


def _missing_words(facts: LogFacts) -> Iterator[str]:
    n, missing = sum(each.n for each in facts.asked), sum(each.n_missing for each in facts.asked)
    asks = facts.meta["settings"].get("engine", {}).get("max_asks")
    again = "" if asks is None else f" Unusable replies were asked for up to {asks} times."
    yield f"{missing:,} of {counted(n, 'answer')} stayed missing and counted neither as yes nor as no.{again}"


def _fit_methods(fits: Fits, groups_from: str) -> Iterator[str]:
    yield (
        f"We fitted {listed([law.title for law in fits.laws])} laws; logistic ones by maximum likelihood to "
        "the decisions of exposures, mean-field and cavity ones by least squares to the mean engaged "
        "fraction"
    )
    yield f"The {fits.grouping.n_groups} groups of profiles were {groups_from}"
    yield (
        f"Logistic intervals ({fits.level:.0%}) use standard errors clustered by realization and Student's t "
        "with the degrees of freedom of the realizations that inform each weight, the others a "
        f"bootstrap of {counted(fits.n_bootstrap, 'resample')} over realizations; logistic laws were "
        f"compared with the run by {counted(fits.n_runs, 'inferred cascade')} of its own design (seed "
        f"{fits.seed})"
    )


def citations(facts: LogFacts) -> tuple[str, ...]:
    """List what to cite: the paper, and the sources of the news."""
    if facts.family == "interview":
        return (f"Design and figures: {HELM}.",)
    return (
        f"Design and laws: {paper.CITATION}.",
        *(f"News: {said}" for source in facts.sources if (said := facts.source(source)["citation"])),
        *(f"Licence of the news: {licence}." for licence in facts.meta["licences"]),
    )
