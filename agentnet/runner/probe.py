"""Ask an experiment's own hooks twice before anybody is paid: what differs by chance or by state is refused.

A run is resumed, and its realizations are played in any order, by asking the hooks again; so they depend on
their arguments and the design alone. What differs only from one start of Python to the next (the order of a
set, the day) cannot be seen here: a resumed run compares what it recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentnet.errors import DesignError
from agentnet.experiment import Experiment, ask
from agentnet.experiment.body import own_classes
from agentnet.families import Family, Stage
from agentnet.families.contract import Probe

_SEED = 1


def check_repeatable(family: Family, stage: Stage, make_again: Callable[[], Sequence[Experiment]]) -> None:
    """Ask the hooks that experiments override twice, and once more as their file makes them anew.

    Args:
        family: Their family.
        stage: What is played.
        make_again: Loads the same experiments anew; called only if there is something to ask.

    Raises:
        DesignError: An answer differs, or a hook breaks off.
    """
    probes = []
    for number, experiment in enumerate(stage.experiments):
        own = own_hooks(type(experiment))
        simple = [(name, "", asking) for name, asking in _SIMPLE.items() if name in own]
        probes.append([*simple, *family.probes(stage, number, own)])
    if any(probes):
        for experiment, again, asked in zip(stage.experiments, make_again(), probes, strict=True):
            _compare(experiment, again, asked)


def own_hooks(cls: type[Experiment]) -> frozenset[str]:
    """List the methods of agentnet's that the user's classes override, by name."""
    users = own_classes(cls)
    own = {name for base in users for name in vars(base)}
    bases = [base for base in cls.__mro__ if base not in users]
    ours = {name for base in bases for name, value in vars(base).items() if callable(value)}
    return frozenset(name for name in own & ours if not name.startswith("_"))


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


_SIMPLE: Mapping[str, Callable[[Any], Any]] = {
    "choose_news": lambda e: [item.to_json() for item in ask(e, "choose_news", _SEED)],
    "load_prompts": lambda e: ask(e, "load_prompts").texts,
    "constraint": lambda e: ask(e, "constraint"),
    "system_messages": lambda e: ask(e, "system_messages"),
    "load_questions": lambda e: ask(e, "load_questions"),
}
"""Hooks that need nothing to be asked."""
