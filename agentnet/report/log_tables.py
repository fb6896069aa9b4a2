"""Tables of what a run's event log says: questions, missing answers, models, costs, troubles, incidents."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentnet.events.conditions import in_words, without_folder
from agentnet.report.figures.words import capitalized
from agentnet.report.log_facts import LogFacts, overriding_sentences
from agentnet.report.sample import Sample
from agentnet.report.tables import Cell, Table, as_named
from agentnet.vocabulary import (
    DECISION_KINDS,
    EVALUATION,
    EXPOSURE,
    INTERVIEW,
    RATIO,
    REASON,
    SEED,
    severity_name,
)

KINDS: Final = {
    SEED: "willing to start",
    EXPOSURE: "exposures",
    RATIO: "response ratios",
    REASON: "reasons, asked for afterwards",
    EVALUATION: "evaluations",
    INTERVIEW: "interviews",
}
"""What kinds of questions are called; others are called by their names."""


def when(seconds: float) -> str:
    """Spell a time.

    Examples:
        >>> when(0.0)
        '1970-01-01 00:00:00 UTC'
    """
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def asked_table(facts: LogFacts) -> Table:
    """Count the questions by kind and answer."""
    rows: list[tuple[Cell, ...]] = []
    for each in facts.asked:
        given = each.n_yes + each.n_no
        # Of kinds that a family of somebody else's asks, the answers tell whether they are yes and no.
        is_open = not given and each.kind not in DECISION_KINDS
        rows.append(
            (
                KINDS.get(each.kind, each.kind),
                each.n,
                None if is_open else each.n_yes,
                None if is_open else each.n_no,
                each.n_missing,
                each.n_yes / given if given else None,
                each.n_missing / each.n,
            )
        )
    return Table(
        name="questions",
        title="Questions and their answers",
        columns={
            "kind": "questions",
            "n": "asked",
            "n_yes": "yes",
            "n_no": "no",
            "n_missing": "missing",
            "share_of_yes": "yes of answers",
            "share_missing": "missing of asked",
        },
        rows=tuple(rows),
        notes=tuple(_rule_notes(facts)),
    )


def _rule_notes(facts: LogFacts) -> Iterator[str]:
    if facts.n_by_rules:
        yield f"Rules of the experiment answered {facts.n_by_rules:,} of them, and no model was asked those."


def missing_table(facts: LogFacts) -> Table | None:
    """Count the missing answers by reason; None where none is missing."""
    if not facts.missing:
        return None
    return Table(
        name="missing_answers",
        title="Missing answers by reason",
        columns={"kind": "questions", "reason": "reason", "n": "missing", "share": "of those asked"},
        rows=tuple(
            (KINDS.get(kind, kind), reason, n, n / facts.kind(kind).n) for kind, reason, n in facts.missing
        ),
        notes=(_OF_DECISIONS if any(each.kind in DECISION_KINDS for each in facts.asked) else _OF_OTHERS,),
    )


_OF_DECISIONS = (
    "A missing answer is no 'no': it engages nobody and is left out of every ratio and every weight; where "
    "these have bounds, they say what it could change."
)
_OF_OTHERS = "A missing answer is none of the others, and counts nowhere."


def models_table(facts: LogFacts) -> Table:
    """List the models as servers returned them."""
    return Table(
        name="models",
        title="Models as returned by the server",
        columns={"model": "model", "fingerprint": "fingerprint", "n": "answers"},
        rows=facts.models,
        notes=(f"Asked for: {facts.meta['model_name']}, through backend {facts.meta['backend']}.",),
    )


def costs_table(facts: LogFacts) -> Table:
    """List what the run took."""
    spent = facts.spending
    lasted = None
    if facts.first_at is not None and facts.last_at is not None:
        lasted = facts.last_at - facts.first_at
    rows: list[tuple[Cell, ...]] = [
        ("calls to the model, failed ones included", spent.calls),
        ("prompt tokens", spent.prompt_tokens),
        ("completion tokens", spent.completion_tokens),
        ("US dollars", "unknown" if spent.dollars is None else round(spent.dollars, 6)),
        ("calls whose tokens were estimated", spent.unmetered),
        ("answers from the cache, at no cost", spent.from_cache),
        ("questions asked again after unusable replies", spent.extra_asks),
        ("mean latency of an answer, seconds", spent.mean_latency_s),
        ("longest latency of an answer, seconds", spent.longest_latency_s),
        ("first to last answer, seconds", lasted),
    ]
    return Table(
        name="costs",
        title="Costs",
        columns={"what": "what", "value": "value"},
        rows=tuple(rows),
        notes=tuple(_cost_notes(facts)),
    )


def _cost_notes(facts: LogFacts) -> list[str]:
    notes = []
    if not facts.spending.noted:
        notes.append(
            "The run has not noted what it spent, as it does when a sitting ends: calls and tokens are added "
            "up from the recorded answers, and money is not known."
        )
    elif facts.spending.dollars is None:
        notes.append("The price of the model is not known: state it by the setting stack.prices.")
    if facts.spending.has_bounds and facts.spending.recorded is not None:
        calls, n_in, n_out = facts.spending.recorded
        notes.append(
            f"The recorded answers took {calls:,} calls, {n_in:,} prompt tokens and {n_out:,} completion "
            "tokens. The rest is of calls without one: they failed, tried the server out, or were lost to a "
            "kill. Where no server counted their tokens these stand at the most that they can be, and the "
            "server's bill may be lower."
        )
    if facts.meta["backend"] == "mock":
        notes.append("The mock backend is no language model: its tokens are counted, but nobody is paid.")
    return notes


def troubles_table(facts: LogFacts) -> Table | None:
    """Count unusable replies and failed calls; None where there were none."""
    if not facts.troubles:
        return None
    return Table(
        name="troubles",
        title="Unusable replies and failed calls",
        columns={"kind": "questions", "trouble": "trouble", "n": "times", "example": "the first one"},
        rows=tuple(
            (KINDS.get(each.asked, each.asked), each.kind, each.n, each.example) for each in facts.troubles
        ),
        notes=tuple(_mended_notes(facts)),
    )


def _mended_notes(facts: LogFacts) -> Iterator[str]:
    """Say how many of the questions that something went wrong with were answered in the end."""
    n, n_mended = (sum(each) for each in zip(*facts.mended.values(), strict=True))
    asked = "question that this befell was" if n == 1 else "questions that this befell were"
    yield (
        f"{n_mended:,} of {n:,} {asked} answered in the end, by asking again; missing answers are counted "
        "apart."
    )


def incidents_table(facts: LogFacts) -> Table:
    """List the run's diary."""
    return Table(
        name="incidents",
        title="The run's diary",
        columns={"at": "when", "incident": "what", "detail": "detail"},
        rows=tuple((when(each.at), each.kind, in_words(each.detail)) for each in facts.incidents),
    )


def news_table(facts: LogFacts) -> Table:
    """List the news items."""
    return Table(
        name="news",
        title="News items",
        columns={
            **as_named("id severity text date place disorder_type event_type"),
            "sub_event_type": "sub-event type",
            "source": "source",
        },
        rows=tuple(
            (
                each.id,
                severity_name(each.severity),
                "(not shown: see licence)" if each.text is None else each.text,
                *(each.facts.get(key, "") for key in ("date", "place")),
                *(
                    each.facts.get(key, "")
                    for key in ("disorder_type", "event_type", "sub_event_type", "source")
                ),
            )
            for each in facts.news
        ),
    ).without_empty_columns()


def design_in_words(facts: LogFacts, condition: int) -> dict[str, str]:
    """Spell the knobs of a condition."""
    return {
        str(key): in_words(value) for key, value in facts.design(condition).items() if key != "conditions"
    }


def design_table(facts: LogFacts, condition: int) -> Table:
    """List the design of a condition."""
    return Table(
        name="design",
        title="Design",
        columns={"knob": "knob", "value": "value"},
        rows=tuple(sorted(design_in_words(facts, condition).items())),
        notes=tuple(
            f"{capitalized(each)}: knobs that they read may not be in force."
            for each in overriding_sentences(facts)
        ),
    )


def settings_table(facts: LogFacts) -> Table:
    """List the settings that the run was played with, and the versions."""
    meta = facts.meta
    rows: list[tuple[Cell, ...]] = [
        ("seed", str(meta["seed"])),
        ("prompts' hash", ", ".join(map(str, meta["prompts_hash"]))),
        ("run's digest", facts.digest),
    ]
    for section, values in sorted(meta["settings"].items()):
        if isinstance(values, dict):
            rows += [(f"{section}.{key}", in_words(value)) for key, value in sorted(values.items())]
    rows += [(f"version of {name}", str(version)) for name, version in sorted(meta["versions"].items())]
    return Table(
        name="settings",
        title="Settings and versions",
        columns={"setting": "setting", "value": "value"},
        rows=tuple(rows),
        notes=("Runs with equal digests made the same decisions, steps and engagements.",),
    )


def without_folders(value: Any) -> Any:  # noqa: ANN401 - from JSON to JSON
    """Leave out the folders of all absolute paths in a value of JSON."""
    if isinstance(value, Mapping):
        return {key: without_folders(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(each) for each in value]
    return without_folder(value) if isinstance(value, str) else value


def decisions_table(sample: Sample) -> Table:
    """List the decisions to browse."""
    return Table(
        name="decisions",
        title="Decisions to browse",
        columns={
            **as_named("realization step agent source profile"),
            "news": "news item",
            **as_named("severity temperature answer"),
            "missing": "why missing",
            "rationale": "rationale",
            "text": "reply as it came",
            "model": "model",
        },
        rows=tuple(
            (
                *(each.realization, each.step, each.agent, each.source if each.source >= 0 else None),
                *(each.profile, each.news, severity_name(each.severity), each.temperature),
                *(each.answer, each.missing, each.rationale, each.text, each.model),
            )
            for each in sample.decisions
        ),
    )
