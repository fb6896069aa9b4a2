"""The report in sentences: what all families of runs say of their questions, backends, troubles and news."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentnet.report import paper
from agentnet.report.figures.words import counted, listed, percent
from agentnet.report.log_facts import LogFacts


def asked_sentences(facts: LogFacts) -> Iterator[str]:
    """Say who was asked how often, how much is missing, and what that took."""
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


def sources_words(facts: LogFacts) -> str:
    """Say where the news items come from."""
    names = {
        "synthetic": "invented for agentnet's synthetic sample",
        "acled": "from ACLED",
        "ucdp": "from UCDP's Georeferenced Event Dataset",
        "table": "of our own",
    }
    return (
        listed([names.get(source, source) for source in facts.sources])
        if facts.sources
        else "of unknown source"
    )


def asking_sentences(facts: LogFacts, design: Mapping[str, Any]) -> Iterator[str]:
    """Say which model answered, and how it was asked."""
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


def missing_sentences(facts: LogFacts) -> Iterator[str]:
    """Say how many answers are missing."""
    n, missing = sum(each.n for each in facts.asked), sum(each.n_missing for each in facts.asked)
    asks = facts.meta["settings"].get("engine", {}).get("max_asks")
    again = "" if asks is None else f" Unusable replies were asked for up to {asks} times."
    yield f"{missing:,} of {counted(n, 'answer')} stayed missing and counted neither as yes nor as no.{again}"


def citations(facts: LogFacts) -> tuple[str, ...]:
    """List what to cite: the paper, and the sources of the news."""
    known = {
        "synthetic": "News: invented events of agentnet's synthetic sample; nothing of it happened.",
        "acled": (
            "News: C. Raleigh, R. Kishi and A. Linke (2023), Political instability patterns are obscured by "
            "conflict dataset scope conditions, sources, and coding choices, Humanities and Social Sciences "
            "Communications 10, 74."
        ),
        "ucdp": (
            "News: R. Sundberg and E. Melander (2013), Introducing the UCDP Georeferenced Event Dataset, "
            "Journal of Peace Research 50(4)."
        ),
        "table": "News: a table of the author's own; its source and licence are for the author to state.",
    }
    return (
        f"Design and laws: {paper.CITATION}.",
        *(known[source] for source in facts.sources if source in known),
        *(f"Licence of the news: {licence}." for licence in facts.meta["licences"]),
    )
