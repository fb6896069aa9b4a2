"""Two reporting checklists, filled as far as a run knows; the rest is left to the author, and says so.

GUIDE-LLM is the checklist for studies with language models in the behavioural and social sciences
(www.llm-checklist.com; 14 core items with letters and 8 optional ones). ODD is the protocol for describing
agent-based models (Grimm et al. 2020, J. Artif. Soc. Soc. Simul. 23(2) 7, doi:10.18564/jasss.4259; seven
elements, the fourth with eleven design concepts). Items keep their letters and numbers; the words are ours.

Items stand in ``checklists.toml``, a family's answers in a file of its own, what a run knows in fields.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from agentnet.events.conditions import in_words
from agentnet.events.spending import cost_words
from agentnet.report.figures.words import capitalized, counted, listed
from agentnet.report.log_facts import LogFacts
from agentnet.report.log_tables import when
from agentnet.report.tables import Table
from agentnet.report.words import (
    backends_of,
    declared_answers,
    numbers_words,
    sampler_words,
    temperature_words,
    unusable_words,
)
from agentnet.vocabulary import AFTERWARDS, INLINE, WITHOUT

Answers = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Checklist -> key of an item -> ``answer`` and ``by`` whom."""

_RUN: Final = "the run"
_OPEN: Final = {"by": "the author", "answer": "For the author to state."}


@cache
def read_answers(name: str, package: str = "agentnet.report") -> Answers:
    """Read what a family answers to the checklists.

    Args:
        name: Stem of its TOML file.
        package: Where it lies.
    """
    return tomllib.loads(files(package).joinpath(f"{name}.toml").read_text("utf-8"))


def filled(checklist: str, answers: Answers, fields: Mapping[str, object]) -> Table:
    """Fill a checklist.

    Args:
        checklist: ``guide_llm`` or ``odd``.
        answers: What the family of the run answers; of an item that is not in it, what any run does.
        fields: What stands for the names in braces.
    """
    of = read_answers("checklists")[checklist]
    rows = tuple(_row(item, answers.get(checklist, {}), fields) for item in of["items"])  # type: ignore[arg-type]
    n_open = sum(by != _RUN for *_, by in rows)
    return Table(
        name=checklist,
        title=str(of["title"]),
        columns={"number": "item", "topic": "asks for", "answer": "answer", "by": "answered by"},
        rows=rows,
        notes=(
            (
                f"Answered from the run: {len(rows) - n_open} of {counted(len(rows), 'item')}; left to the "
                f"author, wholly or in part: {n_open}."
            ),
            str(of["source"]),
        ),
    )


def _row(
    item: Mapping[str, str], answers: Mapping[str, Mapping[str, str]], fields: Mapping[str, object]
) -> tuple[str, str, str, str]:
    answer = {**_OPEN, **item, **answers.get(item["key"], {})}
    said = capitalized(answer["answer"].format_map(fields))
    return answer.get("number", item["key"]), item["topic"], said, answer["by"]


def fields_of(facts: LogFacts, condition: int | None = None) -> dict[str, Any]:
    """Spell what any run knows, for the answers that all families share.

    Args:
        facts: The run.
        condition: Which condition of it is described; None for all.
    """
    begun = None if condition is None else facts.begun[condition]
    asked = facts.asked if begun is None else begun.asked
    n_realizations = int(facts.meta["n_realizations"]) if begun is None else begun.n_realizations
    accessed = "no answer came"
    if facts.first_at is not None and facts.last_at is not None:
        accessed = f"{when(facts.first_at)} to {when(facts.last_at)}"
    backends = [
        f"{f'{whose}: ' if whose else ''}{name}{f' ({in_words(options)})' if options else ''}"
        for whose, name, options in backends_of(facts)
    ]
    versions = facts.meta["versions"]
    return {
        "model_name": facts.meta["model_name"],
        "returned": listed([f"{name} {mark}".strip() for name, mark, _ in facts.models] or ["none"]),
        "accessed": accessed,
        "mock": " The mock backend is no language model." if facts.meta["backend"] == "mock" else "",
        "backend": "; ".join(backends),
        "people": "People answered for agents, on pages of their own; " if facts.has_people else "None: ",
        "requests": sampler_words(facts, condition),
        "temperature": temperature_words(facts, condition),
        "max_tokens": f"{numbers_words(facts, 'max_tokens', 'token', condition)} a reply",
        "seed": facts.meta["seed"],
        "questions": counted(sum(each.n for each in asked), "question"),
        "realizations": counted(n_realizations, "realization"),
        "constrained": "",
        "version": versions.get("agentnet", ""),
        "platform": versions.get("platform", "unknown"),
        "spending": cost_words(facts.spending),
        "sample": "; a sample stands in this report",
    }


def _dates_words(dates: list[str], n_items: int) -> str:
    """Say when news items are dated, as far as they are."""
    if not dates:
        return ""
    which = "The news items" if len(dates) == n_items else f"Of {n_items:,} news items {len(dates):,}"
    between = f"{dates[0]} to {dates[-1]}" if dates[0] != dates[-1] else dates[0]
    return f"{which} {'is' if len(dates) == 1 < n_items else 'are'} dated {between}. "


def news_fields(facts: LogFacts, condition: int | None = None) -> dict[str, Any]:
    """Spell what a run on news items knows besides, likewise."""
    rationales = facts.knob("rationale", condition)
    constrained = listed(in_words(value) for value in facts.knob("constrain", condition))
    read = "as yes or no" + (" with a reason" if INLINE in rationales else "")
    if declared := declared_answers(facts, condition):
        read = f"as the experiment declares answers ({listed(declared)})"
    dates = sorted(each.facts["date"] for each in facts.news if "date" in each.facts)
    is_invented = facts.sources == ("synthetic",)
    later = " The reason was asked for in a second request that repeats the question and the reply."
    return fields_of(facts, condition) | {
        "reasons": "" if rationales == [WITHOUT] else " and the reasons for them",
        AFTERWARDS: later if AFTERWARDS in rationales else "",
        "constrained": "; replies constrained: "
        + facts.unless("constraint", constrained, "as the experiment's own {} has it"),
        "instructions": facts.unless(
            "messages",
            "The template system.txt in this report.",
            "What the experiment's own {} tells agents: see the prompts in this report.",
        ),
        "data": f"News items: {len(facts.news):,}, source {listed(facts.sources or ['unknown'])}",
        "processing": (
            f"Each reply was read {facts.unless('judge', read, 'by the own {} of the experiment')}; an "
            f"unusable one {unusable_words(facts)}. Nothing else was left out or changed."
        ),
        "dates": _dates_words(dates, len(facts.news)),
        "invented": "They are invented, so that no model has read of them. " if is_invented else "",
        "news": counted(len(facts.news), "news item"),
        "judge": facts.unless("judge", "", " by the experiment's own {}"),
    }
