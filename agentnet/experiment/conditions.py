"""What the conditions of a run are called: by what differs between them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

Values = Mapping[str, object]


def condition_names(overrides: Sequence[Values], designs: Sequence[Values]) -> list[str]:
    """Name conditions by the overrides in which their designs differ; equal ones are told apart by numbers.

    Args:
        overrides: What each condition overrides, as JSON has it.
        designs: The whole design under each, likewise.

    Examples:
        >>> condition_names([{"degree": 4}, {}], [{"degree": 4}, {"degree": 5}])
        ['degree 4', 'as designed']
        >>> condition_names([{"degree": 4}, {"steps": 6}], [{"degree": 4, "steps": 6}] * 2)
        ['as designed (1)', 'as designed (2)']
    """
    differing = {
        knob
        for knob in dict.fromkeys(knob for design in designs for knob in design)
        if len({json.dumps(design.get(knob), sort_keys=True) for design in designs}) > 1
    }
    names = [
        ", ".join(f"{knob.replace('_', ' ')} {_words(each[knob])}" for knob in each if knob in differing)
        or "as designed"
        for each in overrides
    ]
    alike = Counter(names)
    numbered = [f"{name} ({names[: place + 1].count(name)})" for place, name in enumerate(names)]
    return [name if alike[name] == 1 else numbered[place] for place, name in enumerate(names)]


def _words(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_words(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
