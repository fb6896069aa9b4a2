"""Ask an experiment's own hooks twice before anybody is paid: what differs by chance or by state is refused.

A run is resumed, and its realizations are played in any order, by asking the hooks again; so they depend on
their arguments and the design alone. What differs only from one start of Python to the next (the order of a
set, the day) cannot be seen here: a resumed run compares what it recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial
from itertools import product
from typing import Any

from agentnet.errors import DesignError
from agentnet.experiment import CascadeExperiment, Experiment, NewsExperiment, ask, ask_profiles
from agentnet.network import Network
from agentnet.news import NewsItem
from agentnet.profiles import N_PROFILES, Profile
from agentnet.prompts import PromptSet, answer_choices
from agentnet.runner.book import compose, kinds_of

_ITEMS_AT_MOST = 200
_AGENTS_AT_MOST = 20_000
_SEED = 1
_REPLIES = (*answer_choices(), '{"share": true, "reason": "It matters."}', "Perhaps.", "")

Probe = tuple[str, str, Callable[[Any], Any]]
"""A hook's name, what it was asked about, and how it is asked."""


def check_repeatable(
    experiments: Sequence[Experiment],
    make_again: Callable[[], Sequence[Experiment]],
    prompts: Sequence[PromptSet],
    items: Sequence[NewsItem],
) -> None:
    """Ask the hooks that experiments override twice, and once more as their file makes them anew.

    Args:
        experiments: The experiment under each condition.
        make_again: Loads the same ones anew; called only if there is something to ask.
        prompts: The templates of each condition; none where models interview each other.
        items: The news items; likewise.

    Raises:
        DesignError: An answer differs, or a hook breaks off.
    """
    probes = [
        list(_probes(experiment, prompts[number : number + 1], items))
        for number, experiment in enumerate(experiments)
    ]
    if any(probes):
        for experiment, again, asked in zip(experiments, make_again(), probes, strict=True):
            _compare(experiment, again, asked)


def _compare(experiment: Experiment, again: Experiment, probes: Sequence[Probe]) -> None:
    first = [ask(experiment) for _, _, ask in probes]
    # Backwards, for state that happens to agree when asked in the same order.
    other = [ask(again) for _, _, ask in reversed(probes)][::-1]
    second = [ask(experiment) for _, _, ask in probes]
    for (name, about, _), *answers in zip(probes, first, second, other, strict=True):
        _check_equal(type(experiment).__name__, name, about, answers)


def _check_equal(who: str, name: str, about: str, answers: Sequence[Any]) -> None:
    differing = next((answer for answer in answers if answer != answers[0]), None)
    if differing is not None:
        raise DesignError(
            f"{who}.{name} gives one thing and then another{about}: {_around(answers[0], differing)}. A run "
            "asks it again when it is resumed, so that it may depend on its arguments and the knobs, but on "
            "no chance, clock or count of its own"
        )


def _around(one: Any, other: Any) -> str:  # noqa: ANN401 - whatever hooks give
    """Quote both where they begin to differ."""
    texts = tuple(json.dumps(each, ensure_ascii=False, default=str) for each in (one, other))
    place = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    start = max(0, place - 20)
    return " and ".join(f"...{' '.join(text[start : place + 30].split())}..." for text in texts)


def _is_overridden(experiment: Experiment, name: str) -> bool:
    found = next(base for base in type(experiment).__mro__ if name in vars(base))
    return found.__module__.partition(".")[0] != "agentnet"


def _probes(
    experiment: Experiment, prompts: Sequence[PromptSet], items: Sequence[NewsItem]
) -> Iterator[Probe]:
    own = {name for name in dir(type(experiment)) if not name.startswith("_")}
    own = {name for name in own if _is_overridden(experiment, name)}
    for name, asking in _SIMPLE.items():
        if name in own:
            yield name, "", asking
    if isinstance(experiment, NewsExperiment) and "judge" in own:
        for text in _REPLIES:
            yield "judge", f" of the reply {text!r}", partial(_judge, text)
    if isinstance(experiment, NewsExperiment) and "messages" in own:
        yield from _prompt_probes(experiment, prompts[0], items)
    if isinstance(experiment, CascadeExperiment) and own & {"make_network", "assign_profiles"}:
        yield from _network_probes(experiment, own)


def _prompt_probes(
    experiment: NewsExperiment, prompts: PromptSet, items: Sequence[NewsItem]
) -> Iterator[Probe]:
    # Every profile and every item occurs with each kind, though not each with each.
    n_pairs = max(N_PROFILES, min(len(items), _ITEMS_AT_MOST))
    for kind, place in product(kinds_of(experiment), range(n_pairs)):
        profile, item = Profile.from_index(place % N_PROFILES), items[place % len(items)]
        about = f", asked for the {kind} prompt to profile {profile.bits} about {item.id!r}"
        yield "messages", about, partial(_compose, (prompts, kind, profile, item))


def _network_probes(experiment: CascadeExperiment, own: Set[str]) -> Iterator[Probe]:
    network: Network = ask(experiment, "make_network", _SEED)
    if network.n_agents <= _AGENTS_AT_MOST:
        if "make_network" in own:
            yield "make_network", " for one seed", lambda e: ask(e, "make_network", _SEED).digest
        if "assign_profiles" in own:
            yield "assign_profiles", " for one seed", lambda e: ask_profiles(e, network, _SEED).tolist()


def _compose(asked: tuple[PromptSet, str, Profile, NewsItem], experiment: Any) -> Any:  # noqa: ANN401
    return compose(experiment, *asked)


def _judge(text: str, experiment: Any) -> Any:  # noqa: ANN401
    return experiment.judge(text)


_SIMPLE: Mapping[str, Callable[[Any], Any]] = {
    "choose_news": lambda e: [item.to_json() for item in ask(e, "choose_news", _SEED)],
    "load_prompts": lambda e: ask(e, "load_prompts").texts,
    "constraint": lambda e: ask(e, "constraint"),
    "system_messages": lambda e: ask(e, "system_messages"),
    "load_questions": lambda e: ask(e, "load_questions"),
}
"""Hooks that need nothing to be asked."""
