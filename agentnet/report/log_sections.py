"""What every family's part shows of its run's log: questions and troubles, design, prompts, news, costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agentnet.events.conditions import in_words
from agentnet.report import log_tables
from agentnet.report.blocks import absent, bullets, paragraph, unfolding
from agentnet.report.browse import browser
from agentnet.report.figures.words import listed
from agentnet.report.html import Html
from agentnet.report.log_facts import LogFacts, Prompt
from agentnet.report.options import Options
from agentnet.report.part import Block, Part, Place, Section
from agentnet.report.ratio_tables import clusters_table
from agentnet.report.sample import Sample
from agentnet.report.tables import Table


def troubles_blocks(facts: LogFacts, missing: Table | None, *more: Table | None) -> Iterator[Block]:
    """Show what was asked, what is missing, and what went wrong on the way.

    Args:
        facts: The run.
        missing: The missing answers by reason; None where none is missing.
        more: Tables of what a family leaves out; None for one that there is not.
    """
    if not facts.asked:
        yield paragraph("Nobody was asked anything.")
        yield log_tables.incidents_table(facts)
        return
    yield log_tables.asked_table(facts).without_empty_columns()
    yield missing or paragraph("No answer is missing.")
    yield from filter(None, more)
    yield log_tables.troubles_table(facts) or paragraph("There were no unusable replies and no failed calls.")
    yield log_tables.incidents_table(facts)


def of_news(part: Part, place: Place, sample: Sample, condition: int = 0) -> Iterator[Section]:
    """Lay out what runs on news items have in common, behind what each family has of its own."""
    facts = part.facts
    of_all = "" if facts.n_conditions == 1 else f" of all {facts.n_conditions} conditions"
    yield Section("severity", "Severity of the news items", tuple(_severity(facts, place.options)))
    if place.is_first:
        troubles = tuple(troubles_blocks(facts, log_tables.missing_table(facts)))
        yield Section("missing", f"Missing answers, troubles and incidents{of_all}", troubles)
    yield Section("decisions", "Decisions and their reasons", (_decisions(facts, place, sample),))
    design = tuple(design_blocks(facts, condition, is_first=place.is_first))
    yield Section("design", "Design", design)
    if place.is_first:
        yield Section("prompts", "Prompts", tuple(prompts_blocks(facts)))
        yield Section("news", "News items", tuple(news_blocks(facts, part.citations())))
        yield Section("costs", f"Models and costs{of_all}", tuple(costs_blocks(facts)))


def experiment_block(facts: LogFacts) -> Html:
    """Name the experiment, its seed and its state."""
    return paragraph(
        f"Experiment {facts.experiment}, run seed {facts.meta['seed']}, status {facts.meta['status']}."
    )


def file_block(facts: LogFacts) -> Html:
    """Show the experiment file."""
    text = str(facts.meta["experiment"].get("text", ""))
    return unfolding("The experiment file as it was played", [("", text)])


def design_blocks(facts: LogFacts, condition: int, *, is_first: bool) -> Iterator[Block]:
    """Show the design of a condition, and with the first one what all conditions share."""
    yield experiment_block(facts)
    yield log_tables.design_table(facts, condition)
    if is_first:
        yield log_tables.settings_table(facts)
        yield file_block(facts)
    else:
        yield paragraph(
            "Settings, prompts, news, missing answers, incidents and costs are of the whole run, and stand "
            "with its first condition."
        )


def prompts_blocks(facts: LogFacts) -> Iterator[Block]:
    """Show the templates of each condition, and one prompt of each kind as it was sent."""
    meta = facts.meta
    names = [facts.condition_words(number).removeprefix(",") for number in range(facts.n_conditions)]
    for number, (texts, hash_) in enumerate(zip(meta["prompts"], meta["prompts_hash"], strict=True)):
        which = f" of{names[number]}" if names[number] else ""
        if number and texts == meta["prompts"][0]:
            yield paragraph(f"Templates{which}: as in condition 0.")
            continue
        yield paragraph(f"Templates{which}, SHA-256 {hash_}:")
        yield from (unfolding(name, [("", text)], is_open=True) for name, text in texts.items())
    yield paragraph("One prompt of each kind as it was sent:")
    yield from map(_example, facts.examples)
    for number, kinds in facts.prompts_apart.items():
        alike = [kind for kind, prompt in kinds.items() if prompt is None]
        if alike:
            yield paragraph(f"Prompts of{names[number]}: {listed(alike)} as in condition 0.")
        for prompt in filter(None, kinds.values()):
            yield paragraph(f"Prompts of{names[number]}: another than in condition 0, as it was sent:")
            yield _example(prompt)


def _example(prompt: Prompt) -> Html:
    whom = f"to profile {prompt.profile}" if prompt.profile else ""
    about = f"about {prompt.news}" if prompt.news else ""
    title = f"{prompt.kind}: {' '.join(filter(None, (whom, about))) or 'as it was sent'}"
    if prompt.messages is None:
        return absent(f"{title}: it holds a news text that may not be passed on")
    return unfolding(title, prompt.messages)


def _decisions(facts: LogFacts, place: Place, sample: Sample) -> Html:
    return browser(sample, place.name, {each.id for each in facts.news if each.text is None})


def news_blocks(facts: LogFacts, citations: Iterable[str]) -> Iterator[Block]:
    """Show the news items and what to cite for them."""
    yield log_tables.news_table(facts)
    hidden = dict.fromkeys(each.source for each in facts.news if each.text is None)
    if hidden:
        whose = listed(str(facts.source(name)["whence"]).removeprefix("from ") for name in hidden)
        yield paragraph(
            f"Texts of {whose} are not shown, for their terms do not allow passing them on: they stand in "
            "the event log. Reasons and replies may still quote them: look through the decisions before you "
            "pass this report on.",
            "note",
        )
    yield cite(citations)


def costs_blocks(facts: LogFacts) -> Iterator[Block]:
    """Show which models answered, and what that took."""
    yield log_tables.models_table(facts) if facts.models else absent("no model answered yet")
    yield log_tables.costs_table(facts)


def cite(citations: Iterable[str]) -> Html:
    """List what to cite."""
    return bullets(citations, "To cite:")


def _whose_severity(facts: LogFacts) -> str:
    if all(item.severity is None for item in facts.news):
        return "No news item of the run has a severity."
    designs = [facts.design(number) for number in range(facts.n_conditions)]
    if labels := {each["news_severity"] for each in designs if each.get("news_severity") is not None}:
        return f"The run used the severities of the file of labels {in_words(sorted(labels))}."
    return "The run used the severities of the news items themselves."


def _severity(facts: LogFacts, options: Options) -> Iterator[Block]:
    clusters = options.severity_clusters
    yield paragraph(_whose_severity(facts))
    if clusters is None:
        yield absent(
            "no clusters of news texts were given: give what agentnet.analysis.severity.cluster_severity "
            "found, as JSON, by --severity-clusters"
        )
        return
    yield clusters_table(clusters)
    known = clusters.severity
    ids = {each.id: each.severity for each in facts.news}
    inside = [name for name in ids if name in known]
    other = sum(known[name] != ids[name] for name in inside)
    yield paragraph(
        f"{len(inside):,} of the {len(ids):,} news items of this run are among the clustered ones; the "
        f"clusters give {other:,} of them another severity than the run had.",
        "note",
    )
