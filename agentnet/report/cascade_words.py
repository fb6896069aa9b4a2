"""What cascades show, in sentences, and their methods paragraph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.analysis.fits import Fits
from agentnet.analysis.goodness import POPULATION, FinalEngagement, mean_final_engagement
from agentnet.analysis.laws import Resamples
from agentnet.analysis.tables import RunTables
from agentnet.analysis.trees import Trees
from agentnet.events.conditions import in_words
from agentnet.report.checklist import news_fields
from agentnet.report.figures.words import counted, listed, percent
from agentnet.report.log_facts import Begun, overriding_sentences
from agentnet.report.told_words import CourseInWords
from agentnet.report.words import (
    asking_sentences,
    missing_sentences,
    question_words,
    sources_words,
)
from agentnet.vocabulary import N_PROFILES, SEED

if TYPE_CHECKING:
    from agentnet.report.cascades import CascadePart


_UNNAMED = ("network", "edges", "networkx")
"""What networks are called that nobody gave a name."""

_DRAWN = {"equal": "in equal number", "uniform": "independently and uniformly"}
"""How profiles are dealt by chance, where the design names the way."""


def cascade_sentences(part: CascadePart, level: float) -> Iterator[str]:
    """Say how far cascades got, and what the laws found."""
    tables = part.played
    if tables is None:
        yield f"No result can be given: {part.why_no_tables}"
        return
    yield (
        f"It played {counted(tables.n_realizations, 'cascade')} of "
        f"{counted(np.unique(tables.news).size, 'news item')} on {_network(tables)}, by the asking rule "
        f"{tables.asking_rule}"
    )
    yield from _engaged_sentences(part, tables, level)
    if part.fits is None:
        yield f"No law was fitted: {part.why_no_fits}"
        return
    yield from _law_sentences(part.fits)


def cascade_findings(part: CascadePart, level: float) -> Iterator[str]:
    """Say what was found: how many engaged, what weighs most, which law does best, then the rest."""
    tables, fits = part.played, part.fits
    if tables is None:
        yield f"No result can be given: {part.why_no_tables}"
        return
    engaged, *by_severity = _engaged_sentences(part, tables, level)
    yield engaged
    if fits is not None:
        yield from _findings(fits, of_decisions=True)
        yield from _best_law(fits)
    yield from by_severity
    if fits is not None:
        yield from _findings(fits, of_decisions=False)


def tree_sentences(trees: Trees) -> Iterator[str]:
    """Say what the trees of who had the news from whom look like."""
    medians = {measure: values["median"] for measure, values in trees.summary().items()}
    viral = medians.get("virality")
    size, depth = medians["size"], medians["depth"]
    agents, steps = "agent" if size == 1 else "agents", "step" if depth == 1 else "steps"
    yield (
        f"{counted(len(trees), 'tree')}: in the median {size:.4g} {agents}, {depth:.3g} {steps} deep and "
        f"{medians['width']:.4g} wide"
    )
    if viral is not None:
        chain = "" if size <= 1 else f", a chain of as many agents {(size + 1) / 3:.3g}"
        yield f"Those of several agents have a structural virality of {viral:.3g} in the median"
        yield f"A broadcast of any size has one below 2{chain}"


def _network(tables: RunTables) -> str:
    networks = tables.networks
    agents = listed([f"{n:,}" for n in np.unique(tables.n_agents).tolist()], most=3)
    degree = networks.degree
    neighbours = (
        f"{counted(degree, 'neighbour')} each"
        if degree is not None
        else f"{networks.mean_degree:.3g} neighbours on average"
    )
    named = [name.replace("_", " ") for name in networks.names if name not in _UNNAMED]
    kind = f"{listed(named, most=3)} networks" if named else "networks"
    return f"{kind} of {agents} agents with {neighbours}"


def _engaged_sentences(part: CascadePart, tables: RunTables, level: float) -> Iterator[str]:
    now = part.engaged_now
    are = "are engaged" if now is None else "have engaged, for a time at least,"
    for each in mean_final_engagement(tables, level):
        said = _engaged(each, tables.n_steps, level, are)
        if now is not None and each.name == POPULATION:
            left = percent(float(now[:, -1].mean()))
            said += f". That is who was ever engaged; {left} had not stopped by then"
        yield said


def _engaged(of: FinalEngagement, step: int, level: float, are: str) -> str:
    where = "" if of.name == POPULATION else f" where the news is {of.name}"
    spread = "" if of.sd is None else f" (standard deviation of single cascades {of.sd:.3f})"
    interval = ""
    if of.interval is not None:
        low, high = of.interval
        interval = f"; {level:.0%} interval of the mean {low:.3f} to {high:.3f}"
    elif of.n > 1:
        interval = "; all ended alike, which tells no interval"
    return f"After step {step}, {percent(of.mean)} of all agents {are}{where}{spread}{interval}"


def _law_sentences(fits: Fits) -> Iterator[str]:
    yield from _findings(fits, of_decisions=True)
    yield from _findings(fits, of_decisions=False)
    yield from _best_law(fits)
    best = next(iter(fits.scores), None)
    if best is not None and best.floor is not None:
        chance = f"where chance alone makes up to {best.floor.quantile_95:.4f}"
        yield f"In sample its RMSE is {best.rmse:.4f}, {chance}"


def _findings(fits: Fits, *, of_decisions: bool) -> Iterator[str]:
    """Let laws say what they found; of those that share a table of the paper, the richest that is needed."""
    heard = set()
    for law in sorted(fits.laws, key=lambda each: -each.of.rank):
        if law.of.of_decisions != of_decisions or law.of.table in heard:
            continue
        if why := fits.why_simpler(law):
            yield f"The {law.title} law finds nothing: {why}"
            continue
        heard |= {law.of.table} - {0}
        said: Iterable[str] = law.of.finding(law.parameters, law.growth_rate)
        exact = None if fits.exact is None else fits.exact.law(law.law)
        if exact is not None and of_decisions:
            # First, as what the draws add to it is chance.
            by_chances = law.of.finding(exact.as_parameters(), None)
            yield from (
                f"By the probabilities themselves, without sampling noise: {each}" for each in by_chances
            )
            said = (f"By the draws: {each}" for each in said)
        yield from said
    if not of_decisions and fits.tables.profiled and fits.grouping.n_groups == 1:
        yield (
            f"The {N_PROFILES} profiles are one group, so that one rate is all that there is to find"
            f"{fits.grouping.note and f': {fits.grouping.note}'}"
        )


def _best_law(fits: Fits) -> Iterator[str]:
    """Name the law that was judged best, if one could be judged."""
    laws = counted(len(fits.scores), "law")
    for best in fits.scores[:1]:
        if best.held_out_rmse is None:
            yield f"Of {laws} the {best.title} law fits best, with an RMSE of {best.rmse:.4f}"
        else:
            yield (
                f"Of {laws} the {best.title} law does best on realizations that it was not fitted to, with "
                f"an RMSE of {best.held_out_rmse:.4f}"
            )


def cascade_methods(part: CascadePart) -> list[str]:
    """Say for a paper how the cascades were played, from what the run recorded."""
    facts, design, number = part.facts, part.design, part.condition
    begun = facts.begun[number]
    played = "" if part.played is None else f" on {_network(part.played)}"
    attempts = design["max_seed_attempts"]
    at_most = "" if attempts is None else f" or {attempts} had been asked"
    course = CourseInWords.of(part)
    asked = course.question(
        "whether they share the news item",
        "about the news item, for an answer of the form {}",
        "about the news item as the experiment's own {} has it",
    )
    return [
        (
            f"We simulated news cascades among language-model agents after Tian et al. (2026) with agentnet "
            f"{facts.meta['versions'].get('agentnet', '')}"
        ),
        (f"{_times_words(begun, sources_words(facts))}{played}; {dealt_words(part)}"),
        (
            f"{course.start(at_most)}{_unstarted_words(part)}; from then on, at each of "
            f"{counted(int(design['steps']), 'step')}, "
            f"{facts.rule_says(number)} (asking rule {design['asking_rule']}){course.engaged()}"
        ),
        f"Agents were asked {asked}",
        *course.sentences(),
        *asking_sentences(facts, number),
        *overriding_sentences(facts),
        *missing_sentences(facts, number),
        *(_fit_methods(part.fits, part.groups_from) if part.fits is not None else ()),
    ]


def _unstarted_words(part: CascadePart) -> str:
    """Say in how many realizations nobody was willing to start; empty where somebody always was."""
    begun, played = part.facts.begun[part.condition], part.played
    willing = sum(each.n_yes for each in begun.asked if each.kind == SEED)
    asked = any(each.kind == SEED for each in begun.asked)
    if played is None:
        return " (nobody was in any realization)" if asked and not willing else ""
    if not played.n_unstarted:
        return ""
    n, of = played.n_unstarted, played.n_unstarted + played.n_realizations
    return f" (nobody was in {n:,} of {of:,} realizations, which are left out of all curves)"


def _times_words(begun: Begun, sources: str) -> str:
    items = f"{counted(begun.n_news, 'news item')} ({sources})"
    if begun.n_repeats is None:
        return f"{counted(begun.n_realizations, 'cascade')} of {items} were played"
    each = items if begun.n_news == 1 else f"Each of {items}"
    return f"{each} was played {counted(begun.n_repeats, 'time')}"


def dealt_words(part: CascadePart) -> str:
    """Say how agents got their profiles, and of dealings in equal number how equal the cascades' are."""
    course = CourseInWords.of(part)
    if course.has_personas:
        return part.facts.unless(
            "assign_personas",
            f"agents were told who they are by texts (personas {in_words(course.knob('personas'))})",
            "agents were told who they are by the experiment's own {}",
        )
    profiles = part.design["profiles"]
    how = f"by weights ({in_words(profiles)})"
    if isinstance(profiles, str):
        how = _DRAWN.get(profiles, "")
        if not how:
            kind, _, column = profiles.partition(":")
            how = f"from the column {column} of the node table" if column else f"all alike ({kind})"
    if profiles == "equal":
        agents = None if part.played is None else part.played.profile_agents
        if agents is None or (agents.max(axis=1) > agents.min(axis=1)).any():
            how = "in numbers as nearly equal as that of the agents allows"
    return part.facts.unless(
        "assign_profiles",
        f"Big-Five profiles were dealt to agents {how}",
        "agents got their Big-Five profiles by the experiment's own {}",
    )


def cascade_fields(part: CascadePart) -> dict[str, Any]:
    """Spell what a run of cascades knows, for the answers in ``cascades.toml``."""
    facts, design, number, played = part.facts, part.design, part.condition, part.played
    attempts = design["max_seed_attempts"]
    sizes = [] if played is None else [f"{n:,}" for n in np.unique(played.n_agents).tolist()]
    laws = "No law was fitted." if part.fits is None else "Laws are compared in this report."
    course = CourseInWords.of(part)
    return (
        news_fields(facts, number)
        | course.fields()
        | {
            "decisions": course.question(
                "whether agents share a news item",
                "answers of the form {} about a news item",
                "what the experiment's own {} asks",
            ),
            "sample": "; a sample stands in this report" if part.sample.decisions else "",
            "laws": laws,
            "agents": f"{listed(sizes, most=3)} agents" if sizes else "agents",
            "steps": counted(int(design["steps"]), "step"),
            "adaptation": course.question(
                "An agent decides whether to share",
                "An agent decides by an answer of the form {}",
                "An agent decides by its answer to what the experiment's own {} asks",
            ),
            "sensing": _sensing_words(course),
            "rule_says": facts.rule_says(number),
            "asking_rule": design["asking_rule"],
            "drawn": _drawn_words(part),
            "draws": _draws_words(part),
            "networks": networks_words(part),
            "dealt": dealt_words(part),
            "started": course.started("" if attempts is None else f" or {attempts} have been asked"),
            "citations": " ".join(part.citations()[1:]),
        }
    )


def _sensing_words(course: CourseInWords) -> str:
    """Say what agents are told of what goes on around them."""
    if more := course.tells_more:
        return f"The news text, and what {listed(more)} of the experiment put into prompts: see the prompts."
    return question_words(
        course.facts,
        course.condition,
        "The news text, and that a neighbour has shared it; not which neighbour, how many have, or the step.",
        "What the experiment's own {} tells: see the prompts in this report. They are made of profile and "
        "news item alone, and tell neither which neighbour shared it, nor how many have, nor the step.",
    )


def networks_words(part: CascadePart) -> str:
    """Say where networks come from."""
    used = f"network {in_words(part.design['network'])}"
    return part.facts.unless("make_network", used, "networks made by the experiment's own {}")


def _drawn_words(part: CascadePart) -> str:
    """Say what chance decides, beside answers."""
    facts, network = part.facts, str(part.design["network"])
    networks = "networks" if _differ(part, network) else ""
    course = CourseInWords.of(part)
    profiles = "" if _is_told(part.design["profiles"]) else "profiles"
    drawn = [
        facts.unless("make_network", networks, "networks (by the experiment's own {})"),
        facts.unless("assign_personas", _dealt_texts(part), "personas (by the experiment's own {})")
        if course.has_personas
        else facts.unless("assign_profiles", profiles, "profiles (by the experiment's own {})"),
        "the order of those asked to start" if course.asks_to_start else "",
        "initial agents" if "share" in _initial(course) else "",
        "when agents stop" if course.stops else "",
    ]
    drawn += ["temperatures"] if isinstance(part.design["temperature"], list | tuple) else []
    return f"{listed(list(filter(None, drawn)) or ['the seeds of requests'])} are drawn"


def _initial(course: CourseInWords) -> tuple[str, ...]:
    """List by what initial agents are chosen, where they are not asked and not named."""
    initial = course.knob("initial_agents")
    return tuple(initial) if isinstance(initial, dict) else ()


def _differ(part: CascadePart, network: str) -> bool:
    """Say whether networks came from a generator, and not the same one each time, as of complete ones."""
    if part.played is None or network not in part.played.networks.names:
        return False
    return part.played.networks.n_networks > 1 or part.played.n_realizations == 1


def _is_told(profiles: object) -> bool:
    """Say whether profiles stand in the design or a node table, so that none is drawn."""
    return isinstance(profiles, str) and profiles not in _DRAWN


def _dealt_texts(part: CascadePart) -> str:
    """Name the dealing of personas, where there are fewer of them than agents."""
    told, agents = part.told, () if part.played is None else part.played.n_agents
    from_table = str(part.design.get("personas")).startswith("column:")
    is_dealt = told is None or not len(agents) or told.n_texts < min(agents)
    return "the dealing of personas" if is_dealt and not from_table else ""


def _draws_words(part: CascadePart) -> str:
    meta = part.facts.meta
    who = "the mock backend" if meta["backend"] == "mock" else "the language model"
    if meta["settings"].get("sampler", {}).get("mode") == "logprobs":
        return f"so are decisions, by the log-probabilities of {who}"
    return f"replies are drawn by {who}{', or given by people' if part.facts.has_people else ''}"


def _fit_methods(fits: Fits, groups_from: str) -> Iterator[str]:
    fitted: dict[str, list[str]] = {}
    for law in fits.laws:
        n_bootstrap = fits.n_bootstrap if any(each.interval for each in law.parameters) else 0
        resamples = Resamples(n_bootstrap, level=fits.level, seed=fits.seed)
        how = law.of.methods(resamples, fits.n_runs, is_played=bool(law.comparisons))
        fitted.setdefault(how, []).append(law.title)
    for how, titles in fitted.items():
        yield f"We fitted the {listed(titles)} {'law' if len(titles) == 1 else 'laws'} {how}"
    if fits.tables.profiled:
        n_groups, of_one = (
            fits.grouping.n_groups,
            "Groups of profiles were" if fits.grouping.note else "The one group was",
        )
        yield f"{f'The {n_groups} groups of profiles were' if n_groups > 1 else of_one} {groups_from}"
    if fits.exact is not None:
        yield (
            "Laws of decisions were fitted to the probabilities themselves, too, by least cross-entropy, "
            "each different question once"
        )
