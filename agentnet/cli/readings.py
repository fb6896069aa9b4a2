"""What `check` and `run` say of what they read: networks and news, so that a wrong file shows at a glance."""

from __future__ import annotations

from collections.abc import Iterator

from agentnet.experiment import NewsExperiment
from agentnet.network import NetworkFacts
from agentnet.news import NewsFacts, facts_of_news
from agentnet.runner import Prepared

_MOST_NETWORKS = 5
_LONGEST_NAME = 40


def readings(prepared: Prepared) -> list[str]:
    """Say what networks and news a run has, a line each."""
    return [_printable(line) for line in (*_of_networks(prepared), *_of_news(prepared))]


def readings_as_dict(prepared: Prepared) -> dict[str, object]:
    """Spell the same for JSON: ``networks``, one a condition, and ``news``: of the file and of the design."""
    networks = [facts.as_dict() for facts in prepared.networks if facts is not None]
    news = {name: facts.as_dict() for name, facts in _news(prepared)}
    return {**({"networks": networks} if networks else {}), **({"news": news} if news else {})}


def _of_networks(prepared: Prepared) -> Iterator[str]:
    different = list(dict.fromkeys(facts for facts in prepared.networks if facts is not None))
    for facts in different[:_MOST_NETWORKS]:
        yield _network(facts)
        for note in facts.notes:
            yield f"  {note}"
    if len(different) > _MOST_NETWORKS:
        yield f"and {len(different) - _MOST_NETWORKS} networks more"


def _network(facts: NetworkFacts) -> str:
    least, median, most = facts.degree
    names = ", ".join(_short(name) for name in facts.first_names)
    more = ", .." if facts.n_agents > len(facts.first_names) else ""
    parts = f"{facts.n_components} component{'' if facts.n_components == 1 else 's'}"
    return (
        f"network {facts.name}: {facts.n_agents} agents, {facts.n_edges} edges, {parts}; degrees {least} to "
        f"{most}, median {median:g}; {facts.n_isolated} isolated; names: {names}{more}"
    )


def _news(prepared: Prepared) -> Iterator[tuple[str, NewsFacts]]:
    first = prepared.experiments[0]
    if isinstance(first, NewsExperiment) and first.news_facts is not None:
        yield "file", first.news_facts
    if prepared.items:
        yield "design", facts_of_news(prepared.items)


def _of_news(prepared: Prepared) -> Iterator[str]:
    for name, facts in _news(prepared):
        where = "in the file" if name == "file" else "in the design"
        counts = ", ".join(f"{count} {severity}" for severity, count in facts.by_severity.items() if count)
        (short, least), (long, most) = facts.shortest, facts.longest
        yield (
            f"news {where}: {facts.n_items} items ({counts}); texts of {least} ({_short(short)}) to {most} "
            f"({_short(long)}) characters"
        )
        for warning in facts.warnings:
            yield f"  warning: {warning}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 2]}.."


def _printable(line: str) -> str:
    """Spell what a terminal would act upon (escapes, changes of direction) instead of sending it."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
