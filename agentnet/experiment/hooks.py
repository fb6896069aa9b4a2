"""Ask an experiment's hooks, and hold what they give to what the engines count on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from agentnet.errors import DesignError
from agentnet.experiment.base import Experiment
from agentnet.experiment.blame import blaming
from agentnet.network import Network
from agentnet.news import NewsItem
from agentnet.profiles import N_PROFILES
from agentnet.prompts import PromptSet


def ask(experiment: Experiment, hook: str, *arguments: Any) -> Any:  # noqa: ANN401 - hooks differ
    """Call a hook of `experiment`.

    Args:
        experiment: Whose.
        hook: Its name.
        arguments: What it is called with.

    Returns:
        What it gives; of several things always a tuple.

    Raises:
        DesignError: It breaks off, or gives something else than it should.
    """
    with blaming():
        given = getattr(experiment, hook)(*arguments)
    read, words = _GIVES[hook]
    value = read(given)
    if value is None:
        shown = " ".join(repr(given).split())
        raise DesignError(f"{type(experiment).__name__}.{hook} gives {shown:.80}; it gives {words}")
    return value


def ask_profiles(experiment: Any, network: Network, seed: int) -> np.ndarray[Any, Any]:  # noqa: ANN401
    """Call ``assign_profiles``; see `ask`.

    Returns:
        Indices of profiles, shape ``(n_agents,)``.
    """
    profiles: np.ndarray[Any, Any] = ask(experiment, "assign_profiles", network, seed)
    if profiles.shape != (network.n_agents,):
        raise DesignError(
            f"{type(experiment).__name__}.assign_profiles gives an array of shape {profiles.shape} for "
            f"{network.n_agents} agents; it gives the index of a profile for each"
        )
    return profiles


def _one(kind: type) -> Callable[[object], object | None]:
    return lambda given: given if isinstance(given, kind) else None


def _several(given: object) -> object | None:
    return tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else None


def _all(kind: type) -> Callable[[object], object | None]:
    def read(given: object) -> object | None:
        several: Any = _several(given)
        return several if several and all(isinstance(each, kind) for each in several) else None

    return read


def _constraint(given: object) -> object | None:
    match given:
        case (tuple() | list() as answers, str() | None as schema) if all(
            isinstance(a, str) for a in answers
        ):
            return tuple(answers), schema
    return None


def _profiles(given: object) -> object | None:
    try:
        indices = np.asarray(given)
    except ValueError:
        return None
    fits = indices.dtype.kind in "iu" and indices.size and 0 <= indices.min() <= indices.max() < N_PROFILES
    return indices if fits else None


_GIVES: Mapping[str, tuple[Callable[[object], object | None], str]] = {
    "arms": (_all(Mapping), "a tuple of conditions, each a mapping of overrides; without conditions ({},)"),
    "choose_news": (_all(NewsItem), "at least one agentnet.news.NewsItem"),
    "load_prompts": (_one(PromptSet), "an agentnet.prompts.PromptSet, such as PromptSet.load(folder)"),
    "constraint": (_constraint, "(allowed texts, JSON schema), such as (('yes', 'no'), None) or ((), None)"),
    "make_network": (_one(Network), "an agentnet.Network, such as Network.from_networkx(graph)"),
    "assign_profiles": (_profiles, f"an array of indices of profiles, 0 to {N_PROFILES - 1}, one an agent"),
    "load_questions": (_several, "a sequence of agentnet.interviews.Question"),
    "system_messages": (_several, "a text for each model"),
    "choose_evaluation": (_several, "numbers of questions"),
    "choose_bank": (_several, "numbers of questions"),
    "choose_taught": (_several, "numbers of questions"),
}
