"""What callers give to public functions: what their annotations say, or refused by the argument's name.

A package hands its functions out `checked`; modules call each other's as they stand, and pay nothing. Single
values are looked at, and the things in a collection; arrays of numbers are left to whoever takes them.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence, Set
from functools import cache, wraps
from numbers import Integral, Real
from types import FunctionType, NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, Unpack, cast, get_args, get_origin, get_type_hints

import numpy as np

from agentnet.errors import AgentnetError, DesignError, InputError
from agentnet.plugins import is_of

Count = Annotated[int, 1]
"""A whole number of at least 1; a plain ``int`` is at least 0."""
Seed = Annotated[int, -math.inf]
"""Any whole number; so is each ``int`` that is called seed."""

Public = TypeVar("Public")

_SINGLE = {bool, int, float, str, Annotated, NoneType}
"""What is looked at before the call; anything else if the call fails, for it may have more to say of it."""
_WORDS: Mapping[object, str] = {
    bool: "True or False",
    float: "a finite number",
    str: "a text",
    NoneType: "None",
    Callable: "a function",
    Mapping: "a mapping",
    np.ndarray: "an array",
}


def check_public(package: str, but: Container[str] = ()) -> None:
    """Have a package hand out the functions in its ``__all__`` checked.

    Args:
        package: Its name; called at its end.
        but: Names of those that check what they are given themselves.
    """
    names = vars(sys.modules[package])
    names.update({name: checked(package, names[name]) for name in names["__all__"] if name not in but})


def checked(package: str, public: Public) -> Public:
    """Make a function refuse arguments that are not what it says; what is no function stays as it is.

    An option of another kind, or below its range, is a `DesignError` that names it, anything else an
    `InputError`.
    A single number of NumPy is taken as the number that it holds.

    Args:
        package: Where it is public: it is pickled from there.
        public: The function.
    """
    if not isinstance(public, FunctionType):
        return public
    function = cast(Callable[..., Any], public)

    @wraps(function)
    def take(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the function takes and gives
        hints = _hints(function)
        taken = [_taken(name, hint, value) for (name, hint), value in zip(hints.items(), args, strict=False)]
        named = {name: _taken(name, hints.get(name, Any), value) for name, value in kwargs.items()}
        try:
            return function(*taken, *args[len(taken) :], **named)
        except AgentnetError:
            raise
        except Exception as error:
            for name, value in ({**dict(zip(hints, args, strict=False)), **kwargs}).items():
                _check(name, hints.get(name, Any), value, error)
            raise

    take.__module__ = package
    return cast(Public, take)


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Read what each argument is; Any for what only type checkers know."""
    found: dict[str, Any] = {}
    for each in inspect.signature(function).parameters.values():
        hint = _evaluated(str(each.annotation), function)
        if each.kind is each.VAR_KEYWORD:
            found |= get_type_hints(get_args(hint)[0]) if get_origin(hint) is Unpack else {}
        elif each.kind is not each.VAR_POSITIONAL:
            found[each.name] = Seed if each.name == "seed" and hint is int else hint
    return found


def _evaluated(annotation: str, function: Callable[..., Any]) -> Any:  # noqa: ANN401 - a type
    try:
        return eval(annotation, {"pd": sys.modules.get("pandas"), **function.__globals__})  # noqa: S307 - ours
    except (NameError, AttributeError):
        return Any


def _taken(name: str, hint: Any, value: Any) -> Any:  # noqa: ANN401 - any argument
    is_single = isinstance(value, np.generic | np.ndarray) and value.ndim == 0 and not np.ma.is_masked(value)
    held = value.item() if is_single else value
    if _is_single(hint) or any(map(_is_array_like, _parts(hint))):
        _check(name, hint, held)
    is_fraction = isinstance(held, Real) and not isinstance(held, Integral)
    return float(held) if is_fraction and float in _parts(hint) else held


def _check(name: str, hint: Any, value: Any, error: Exception | None = None) -> None:  # noqa: ANN401
    if _is(hint, value):
        return
    wrong = f"must be {_in_words(hint)}, not {' '.join(repr(value).split()):.60}"
    raise DesignError(f"`{name}` {wrong}") if _is_single(hint) else InputError(wrong, field=name) from error


def _is_single(hint: Any) -> bool:  # noqa: ANN401 - a type
    return all(_kind(each) in _SINGLE for each in _parts(hint))


def _parts(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a type
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _kind(hint: Any) -> Any:  # noqa: ANN401 - a type
    return get_origin(hint) or hint


def _is_array_like(hint: Any) -> bool:  # noqa: ANN401 - a type
    return str(getattr(_kind(hint), "__module__", "")).startswith("numpy._typing")


def _is(hint: Any, value: Any) -> bool:  # noqa: ANN401 - any type, any value
    return any(_is_one(each, value) for each in _parts(hint))


def _is_one(hint: Any, value: Any) -> bool:  # noqa: ANN401 - any type, any value
    if _is_array_like(hint):
        return hasattr(value, "__array__") or _is_array(value)
    kind = _kind(hint)
    if isinstance(kind, TypeVar):
        return True
    return _CHECKS[kind](get_args(hint), value) if kind in _CHECKS else is_of(kind, value)


def _is_array(value: Any) -> bool:  # noqa: ANN401 - any value
    try:
        found = np.asarray(value)
    except (TypeError, ValueError):
        return False
    return found.ndim > 0 or found.dtype.kind in "iuf"


def _is_whole(inner: tuple[Any, ...], value: Any) -> bool:  # noqa: ANN401 - any value
    least = inner[1] if inner else 0
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _is_mapping(inner: tuple[Any, ...], value: Any) -> bool:  # noqa: ANN401 - any value
    is_one = isinstance(value, Mapping)
    return is_one and _all_are(inner[0], value) and _all_are(inner[1], value.values())


def _is_list(inner: tuple[Any, ...], value: Any) -> bool:  # noqa: ANN401 - any value
    is_one = isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping | Set)
    return is_one and _all_are(inner[0], value)


def _is_iterable(inner: tuple[Any, ...], value: Any) -> bool:  # noqa: ANN401 - any value
    # What can be gone through once only is not looked into.
    return isinstance(value, Iterable) and not (
        isinstance(value, Collection) and not _all_are(inner[0], value)
    )


_CHECKS: Mapping[object, Callable[[tuple[Any, ...], Any], bool]] = {
    int: _is_whole,
    Annotated: _is_whole,
    float: lambda _, value: is_of(float, value) and abs(value) < math.inf,
    Literal: lambda inner, value: isinstance(value, str) and value in inner,
    Mapping: _is_mapping,
    Sequence: _is_list,
    tuple: _is_list,
    Iterable: _is_iterable,
}


def _all_are(hint: Any, values: Iterable[Any]) -> bool:  # noqa: ANN401 - any type
    return all(_is(hint, each) for each in values)


def _in_words(hint: Any) -> str:  # noqa: ANN401 - any type
    return " or ".join(dict.fromkeys(map(_one_in_words, _parts(hint))))


def _one_in_words(hint: Any) -> str:  # noqa: ANN401 - any type
    kind, inner = _kind(hint), get_args(hint)
    if _is_array_like(hint):
        return "an array"
    if kind in (int, Annotated):
        least = inner[1] if inner else 0
        return "a whole number" + (f" of at least {least}" if least > -math.inf else "")
    if kind is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    if kind in (Sequence, Iterable, tuple):
        return f"a list, of which each is {_in_words(inner[0])}"
    return _WORDS.get(kind, str(getattr(kind, "__name__", kind)))
