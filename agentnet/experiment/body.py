"""Check the bodies of an experiment's classes as overrides are checked: what no engine reads is refused.

The rule: what a body sets is a knob or a hook of the family, or the user's own. Own knobs are annotated
(``targets: int = 2``), own helpers are methods or begin with an underscore. An own name that resembles one of
the family's must be read by a method of the class, for else it is most likely a misspelling.
"""

from __future__ import annotations

import ast
import dis
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from agentnet.errors import DesignError

Hook = TypeVar("Hook", bound=Callable[..., Any])

_NEAR, _NEAR_FOR_A_KNOB = 0.6, 0.7
_LOOKS_UP = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_CONST")
_RULE = (
    "a knob of your own is annotated (rate: float = 0.3); whatever else is your own is a method that another "
    "one calls, or begins with an underscore"
)


_TAKES_ALSO = "_agentnet_takes_also"


def takes_also(*names: str) -> Callable[[Hook], Hook]:
    """Say that who overrides the decorated hook may take these parameters instead of its own."""

    def note(hook: Hook) -> Hook:
        setattr(hook, _TAKES_ALSO, names)
        return hook

    return note


def usual_parameters(hook: Callable[..., object]) -> tuple[str, ...]:
    """List what a hook takes as people write it."""
    return getattr(hook, _TAKES_ALSO, tuple(_names_of_parameters(hook)))


def takes(hook: Callable[..., object], *names: str) -> bool:
    """Say whether a hook, as its class has it, takes just these parameters."""
    return tuple(_names_of_parameters(hook)) == names


def is_helper(value: object) -> bool:
    """Say whether an attribute is a method, a property or the like: what a design does not consist of."""
    return callable(value) or hasattr(type(value), "__get__")


def is_method(value: object) -> bool:
    """Say whether a function takes its object first: a function as an attribute's value does not."""
    if not isinstance(value, types.FunctionType):
        return False
    return next(iter(inspect.signature(value).parameters), "") == "self"


def check_bodies(cls: type) -> None:
    """Check the class bodies of an experiment, those that it inherits from included.

    Raises:
        DesignError: Names everything that nothing reads, and hooks that cannot be called.
    """
    _refuse(cls, [fault for base in own_classes(cls) for fault in _faults(cls, base)])


def check_attributes(experiment: object) -> None:
    """Check what the methods of an experiment have set on it, likewise.

    Raises:
        DesignError: Names everything that nothing reads.
    """
    cls = type(experiment)
    names = [name for name in vars(experiment) if _is_public(name) and name != "overrides"]
    new = [name for name in names if not hasattr(cls, name)]
    faults = [f"self.{name} {fault}" for name in new if (fault := _fault_of_own(cls, name, is_method=False))]
    _refuse(cls, faults)


def _refuse(cls: type, faults: Sequence[str]) -> None:
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        raise DesignError(f"{cls.__name__} cannot be played as it is written:{listed}\n{_RULE}")


def own_classes(cls: type) -> list[type]:
    """List the classes of `cls` that are not agentnet's, from the first base on."""
    return [base for base in reversed(cls.__mro__) if base is not object and not _is_ours(base)]


def own_knobs(cls: type) -> set[str]:
    """List what the user's classes annotate: their own knobs."""
    return {name for base in own_classes(cls) for name in inspect.get_annotations(base) if _is_public(name)}


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "agentnet"


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _family(cls: type) -> type:
    return next(base for base in cls.__mro__ if _is_ours(base))


def _faults(cls: type, base: type) -> Iterator[str]:
    family = _family(cls)
    for name, value in vars(base).items():
        fault = None
        if name == "__init__" and inspect.getattr_static(cls, "__init__") is value:
            fault = _fault_of_init(base, value)
        elif _is_public(name):
            known = hasattr(family, name)
            if getattr(getattr(family, name, None), "__final__", False):
                fault = "is no hook, but what runs rely on: give yours another name"
            else:
                fault = _fault_of_hook(family, name, value) if known else _fault_of_new(cls, name, value)
        if fault is not None:
            yield f"{_place(base, name)}{name} {fault}"
    for name in inspect.get_annotations(base):
        if _is_public(name) and not hasattr(cls, name):
            yield f"{_place(base, name)}{name} has an annotation, but no value{_meant(family, name)}"


def _fault_of_new(cls: type, name: str, value: object) -> str | None:
    """Say what is wrong with an attribute of a body that the family does not have."""
    is_knob = name in own_knobs(cls)
    if isinstance(value, type) and not is_knob:
        return None
    if is_knob or is_helper(value):
        return _fault_of_own(cls, name, is_method=not is_knob)
    family = _family(cls)
    return f"is no knob of {family.__name__}, and not annotated{_meant(family, name)}"


def _fault_of_own(cls: type, name: str, *, is_method: bool) -> str | None:
    """Say what is wrong with a name that resembles one of the family's and is none."""
    family = _family(cls)
    # A knob that nothing reads may be a label of conditions; a method that nothing calls is nothing.
    meant = _meant(family, name, _NEAR if is_method else _NEAR_FOR_A_KNOB)
    if not meant or name in _names_read(cls, besides=name):
        return None
    what = "knob or hook" if is_method else "knob"
    return f"is no {what} of {family.__name__}, and nothing in the class reads it{meant}"


def _meant(family: type, name: str, cutoff: float = _NEAR) -> str:
    close = get_close_matches(name.lower(), filter(_is_public, dir(family)), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""


def _fault_of_hook(family: type, name: str, value: object) -> str | None:
    """Say why the family could not call, or read, what takes the place of one of its own."""
    ours = inspect.getattr_static(family, name)
    if isinstance(ours, property):
        return "is read, not called: write @property above it" if inspect.isfunction(value) else None
    if not isinstance(ours, types.FunctionType):
        knob = "is a knob, thus a value, which -S and conditions may set: it cannot be a property"
        return knob if isinstance(value, property) else None
    called = list(inspect.signature(ours).parameters)[1:]
    also = getattr(ours, _TAKES_ALSO, ())
    how = f"it is called as {name}({', '.join(called)})" + (f" or {name}({', '.join(also)})" if also else "")
    if isinstance(value, property) or not is_helper(value):
        return f"is a hook, thus a method: {how}"
    inner = inspect.unwrap(value.__func__ if isinstance(value, staticmethod | classmethod) else value)  # type: ignore[arg-type]
    if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
        return f"is asynchronous, but {how}, without await"
    own = not isinstance(value, staticmethod)
    # By name, for a hook that takes too few would pass for the other way of writing it.
    if _takes(value, len(called) + own) or (also and takes(inner, *also)):
        return None
    return f"takes ({', '.join(_parameters(value))}), but {how}"


def _fault_of_init(base: type, value: Any) -> str | None:  # noqa: ANN401 - anything callable
    if "__dataclass_fields__" in vars(base) and value.__code__.co_filename == "<string>":
        return "is made by @dataclass: leave the decorator out, annotated attributes are knobs without it"
    if _takes(value, 1, temperature=1.0):
        return None
    return "takes no overrides: write def __init__(self, **overrides), and call super().__init__(**overrides)"


def _names_of_parameters(function: Callable[..., object]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def _parameters(value: Any) -> list[str]:  # noqa: ANN401 - anything callable
    function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    return [str(parameter) for parameter in inspect.signature(function).parameters.values()]


def _takes(value: Any, n_given: int, **named: object) -> bool:  # noqa: ANN401 - anything callable
    function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    try:
        inspect.signature(function).bind(*[None] * n_given, **named)
    except TypeError:
        return False
    except ValueError:
        # Something built in, which tells nothing of its parameters.
        return True
    return True


def _names_read(cls: type, besides: str) -> set[str]:
    """List the names and texts in the code of the user's methods, less the one called `besides`."""
    found: set[str] = set()
    for base in own_classes(cls):
        for name, value in vars(base).items():
            if name != besides:
                for code in _codes(value):
                    found |= _names_in(code)
    return found


def _codes(value: Any) -> Iterator[types.CodeType]:  # noqa: ANN401 - any attribute
    parts = ("fget", "fset", "__func__", "func", "__wrapped__")
    for function in (value, *(getattr(value, part, None) for part in parts)):
        code = getattr(function, "__code__", None)
        if isinstance(code, types.CodeType):
            yield code


def _names_in(code: types.CodeType) -> set[str]:
    """List what a function looks up by name, or has as a text: not what it sets, nor its own variables."""
    found = {
        each.argval
        for each in dis.get_instructions(code)
        if each.opname.startswith(_LOOKS_UP) and isinstance(each.argval, str)
    }
    return found.union(*(_names_in(inner) for inner in code.co_consts if isinstance(inner, types.CodeType)))


def _place(base: type, name: str) -> str:
    """Say where the body of `base` sets `name`, as far as its source is known."""
    try:
        lines, first = inspect.getsourcelines(base)
        tree = ast.parse(textwrap.dedent("".join(lines)))
        file = inspect.getsourcefile(base)
    except (OSError, TypeError, SyntaxError):
        return f"{base.__name__}."
    for node in getattr(tree.body[0], "body", ()):
        if name in _names_set(node):
            return f"{file}, line {first + node.lineno - 1}: "
    return f"{file}, class {base.__name__}: "


def _names_set(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {
        each.id for target in targets if target for each in ast.walk(target) if isinstance(each, ast.Name)
    }
