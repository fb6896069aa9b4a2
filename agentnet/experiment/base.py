"""`Experiment`: a design as a Python class. It declares, it does not run.

Every public attribute is a knob of the design: a subclass sets it, ``-S name=value`` overrides it, and
`conditions` varies it within a run. An attribute's annotation says what it may be, and makes an attribute of
a subclass's own a knob; see `agentnet.experiment.body` for what else a class may hold.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from math import isfinite
from typing import Any, ClassVar, Self, final, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from agentnet.errors import DesignError, near_miss
from agentnet.experiment.body import check_bodies, is_helper, is_method, own_classes, own_knobs
from agentnet.experiment.hooks import Gives, several_of
from agentnet.html import html_table

Condition = Mapping[str, object]


class Experiment:
    """The design of a run; subclass the base class of a family, which says how it is played.

    Args:
        overrides: Values for attributes, which go before the class's own.

    Attributes:
        temperature: Sampling temperature: a number, or (lowest, highest) to draw from uniformly.
        max_tokens: Bound on the tokens of a reply.
        repeats: How often each cell of the design is played, >= 1.
        conditions: Design overrides, one mapping a condition; the whole design is played under each.

    Raises:
        DesignError: An attribute is unknown or has an impossible value.
    """

    family: ClassVar[str] = ""
    begun: ClassVar[str] = ""  # what `agentnet init` writes of methods that there must be
    _gives: ClassVar[Mapping[str, Gives]] = {
        "make_conditions": Gives(
            several_of(Mapping),
            "a tuple of conditions, each a mapping of overrides; without conditions ({},)",
        ),
    }

    temperature: float | tuple[float, float] = 1.0
    max_tokens: int = 256
    repeats: int = 1
    conditions: tuple[Mapping[str, Any], ...] = ({},)
    _of_condition: frozenset[str] = frozenset()

    def __init__(self, **overrides: object) -> None:
        check_bodies(type(self))
        self.overrides = dict(overrides)
        hints = self._design_types()
        for name, value in overrides.items():
            if name not in hints:
                raise DesignError(f"{type(self).__name__} has no attribute {name!r}{near_miss(name, hints)}")
            setattr(self, name, value)
        for name, hint in hints.items():
            setattr(self, name, self._checked(name, hint, self._value(name)))
        self.check()
        endless = next((name for name in hints if not _is_finite(getattr(self, name))), None)
        if endless is not None:
            raise DesignError(
                f"{type(self).__name__}.{endless} is {getattr(self, endless)!r}; no log tells "
                f"numbers that are not finite"
            )

    def check(self) -> None:
        """Refuse a design that cannot be played; a subclass that adds knobs extends it.

        Raises:
            DesignError: Names the attribute and the way out.
        """
        low, high = self.temperature_range
        require(0 <= low <= high, f"temperature is {self.temperature}; it needs 0 <= lowest <= highest")
        require(self.max_tokens >= 1, f"max_tokens is {self.max_tokens}; it is at least 1")
        require(self.repeats >= 1, f"repeats is {self.repeats}; it is at least 1")
        require(len(self.conditions) > 0, "conditions is empty; without conditions it is ({},)")

    @final
    def under(self, condition: Condition) -> Self:
        """Make the same experiment with the overrides of one condition."""
        made = type(self)(**{**self.overrides, **condition, "conditions": ({},)})
        made._of_condition = frozenset(condition)  # noqa: SLF001 - of its own class
        return made

    def make_conditions(self) -> tuple[Condition, ...]:
        """List the conditions of the run; override it to make them of attributes with several values."""
        return self.conditions

    @property
    def temperature_range(self) -> tuple[float, float]:
        """Lowest and highest sampling temperature."""
        value = self.temperature
        return value if isinstance(value, tuple) else (value, value)

    @final
    def design(self) -> dict[str, object]:
        """List every attribute of the design and its value."""
        return {name: getattr(self, name) for name in self._design_types()}

    def _repr_html_(self) -> str:
        """Show the design in a notebook: what the user or the user's class sets, and the rest in a line."""
        own = {name for base in own_classes(type(self)) for name in vars(base)} | self.overrides.keys()
        design = {name: repr(value) for name, value in self.design().items()}
        rest = ", ".join(f"{name} = {value}" for name, value in design.items() if name not in own)
        rows = [(name, value) for name, value in design.items() if name in own]
        about = (inspect.getdoc(type(self)) or "").partition("\n")[0]
        return html_table(f"{type(self).__name__}: {about}", [*rows, ("as usual", rest)])

    @classmethod
    def _design_types(cls) -> dict[str, Any]:
        """Map each attribute of the design to what it may be."""
        found: dict[str, Any] = {}
        declared = own_knobs(cls)
        for base in reversed(cls.__mro__[:-1]):
            for name, value in vars(base).items():
                is_ours = isinstance(value, type) and name in inspect.get_annotations(base)
                is_knob = name in found or name in declared or is_ours or not is_helper(value)
                if is_knob and not name.startswith("_"):
                    found.setdefault(name, Any if value is None or is_helper(value) else type(value))
        hints = {k: v for k, v in cls._hints().items() if k in found}
        return {k: v for k, v in {**found, **hints}.items() if not _is_class_variable(v) and k != "family"}

    @classmethod
    def _hints(cls) -> dict[str, Any]:
        try:
            return get_type_hints(cls)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            raise DesignError(f"{cls.__name__} has an annotation that cannot be read: {words}") from error

    def _value(self, name: str) -> object:
        """Give what a knob is set to: a function as it is, unless it takes its object first."""
        value = vars(self).get(name, inspect.getattr_static(type(self), name))
        # From Python 3.14 on a partial function of a class is bound like a method, and 3.13 warns of it.
        stays = inspect.isfunction(value) and not is_method(value)
        return value if stays or isinstance(value, partial) else getattr(self, name)

    def _checked(self, name: str, hint: Any, value: object) -> Any:  # noqa: ANN401 - any design's values
        try:
            made = TypeAdapter(
                hint, config=ConfigDict(arbitrary_types_allowed=True, coerce_numbers_to_str=True)
            ).validate_python(value)
        except PydanticUserError as error:
            what = f"{type(self).__name__}.{name}: its annotation {hint} is none that can be checked"
            raise DesignError(what) from error
        except ValidationError as error:
            first = error.errors()[0]
            place = "".join(f"[{part}]" for part in first["loc"][:1] if type(part) is int)
            found = first["input"] if place else value
            what = f"{name} is {_describe(hint)}" if place else f"it is {_describe(hint)}"
            raise DesignError(
                f"{type(self).__name__}.{name}{place} is {found!r}: {first['msg'].lower()}; {what}"
            ) from None
        require(
            type(value) is not bool or type(made) not in {int, float},
            f"{type(self).__name__}.{name} is {value}, which is no number; it is {_describe(hint)}",
        )
        return made


def _is_finite(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or isfinite(value)


def _is_class_variable(hint: object) -> bool:
    return hint is ClassVar or get_origin(hint) is ClassVar


def require(holds: bool, message: str) -> None:
    """Raise `DesignError` with `message` unless `holds`."""
    if not holds:
        raise DesignError(message)


def _describe(hint: Any) -> str:  # noqa: ANN401 - any annotation
    return (
        getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint).replace("typing.", "")
    )
