"""Plug-ins of any kind: found by name, loaded when they are wanted, and told whose fault it is.

A kind of plug-in (backends, laws, news sources, ..) is one `PluginKind`, which stands beside the contract of
what it holds. Nowhere is there a list of plug-ins: three ways lead to one, and all of them end in
``KIND.load(name)``.

1. *By definition.* The definition takes itself in: by ``@KIND.named("name")``, or by a decorator or base
   class of the kind that calls `PluginKind.register`::

       LAWS: Final[PluginKind[type[Law]]] = PluginKind(
           "law", "agentnet.laws", "agentnet.analysis.laws.Law", bundled="agentnet.analysis.laws"
       )

       class Law:
           def __init_subclass__(cls, *, name: str = "", **rest: object) -> None:
               super().__init_subclass__(**rest)
               if name:
                   LAWS.register(name, cls)

   What an experiment file defines is there as soon as the file is loaded, so also when its run is resumed:
   the run folder holds the file. A file that is loaded again, or changed, replaces what it defined before.
   What is bundled stands in a package of its own (`PluginKind.bundled`), a file each, of which all modules
   are imported at the first look-up: to add one is to add a file.
2. *By entry point*, for other distributions: ``[project.entry-points."agentnet.laws"]``, a line ``hill =
   "my_package.hill:Hill"``. It is imported when it is wanted.
3. *By address*, wherever a name is taken: ``my_package.hill:Hill``, or ``./hill.py:Hill``.

A name belongs to one owner: who brings a second plug-in of a name that is taken, a bundled one's included, is
refused together with the first. An unknown name is an error that lists the known ones.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from dis import opname
from functools import lru_cache, partial
from hashlib import sha256
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from numbers import Integral, Real
from pathlib import Path
from pkgutil import iter_modules
from traceback import walk_tb
from types import ModuleType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Protocol,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from agentnet.errors import PluginError, UserError, near_miss

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Plugin = TypeVar("Plugin")
Defined = TypeVar("Defined")
Made_co = TypeVar("Made_co", covariant=True)

FILE_PREFIX: Final = "agentnet_experiment_"
"""What the names of all modules begin with that are files of a user, not of a distribution."""

_NO_PLUGINS: Final = frozenset({"agentnet", "agentnet_backends", *sys.stdlib_module_names})
_BROUGHT: Final[dict[str, str]] = {}
"""Who brings what was loaded and is not ours, by its module or the package at the top of a distribution's."""


def brought_by(module: str) -> str | None:
    """Name who brings the plug-in that `module` is of; None of what is ours, or no plug-in's."""
    return _BROUGHT.get(module) or _BROUGHT.get(_home(module))


def is_brought(plugin: object) -> bool:
    """Say whether what a plug-in made is of somebody else's code: of a distribution's, or a user's file."""
    module = type(plugin).__module__
    return module.startswith((FILE_PREFIX, "__main__")) or brought_by(module) is not None


@dataclass(frozen=True, slots=True, eq=False)
class PluginKind(Generic[Plugin]):
    """One kind of plug-in; by name, its plug-ins: ``KIND[name]``, ``name in KIND``, ``sorted(KIND)``.

    Attributes:
        noun: What it is called in messages, such as ``"backend"``.
        group: The group of its entry points.
        contract: Where its protocol stands, for messages.
        see: Where the installed ones are listed, for messages; "" if nowhere.
        parts: What every plug-in of this kind has, by attribute.
        takes: Which of these are called, each with how many arguments.
        bundled: The package, or module, whose definitions are those of agentnet itself; "" if they have entry
            points like anybody's.
        unknown: What is raised of a name that nobody has.
    """

    noun: str
    group: str
    contract: str
    see: str = ""
    parts: tuple[str, ...] = ()
    takes: Mapping[str, int] = field(default_factory=dict)
    bundled: str = ""
    unknown: type[UserError] = PluginError
    _defined: dict[str, Installed[Plugin]] = field(default_factory=dict, init=False, repr=False)
    _of_users: dict[tuple[str, str], Installed[Plugin]] = field(default_factory=dict, init=False, repr=False)

    def register(self, name: str, plugin: Plugin, *, module: str = "", of: object = None) -> Plugin:
        """Take in a plug-in by its definition.

        Args:
            name: Its name.
            plugin: The plug-in.
            module: The module that defines it; that of a class or function is known.
            of: What it was made of and stands at its address, if that is not the plug-in.

        Returns:
            `plugin`, so that decorators may end with it.

        Raises:
            PluginError: The name is taken by a definition elsewhere, or none.
        """
        if not (isinstance(name, str) and name.strip() == name and name.isprintable() and name):
            raise PluginError(f"a {self.noun} is called {name!a:.60}; give it a name of visible characters")
        module = module or str(getattr(plugin, "__module__", "?"))
        of_kind = Installed(name, *_owner(module), f"{module}:{name}", lambda: plugin, self, of)
        first = self._defined.get(name)
        if first is not None and not (first.is_fleeting and of_kind.is_fleeting) and first.module != module:
            raise self._twice(first, of_kind)
        self._defined[name] = of_kind
        if of_kind.is_fleeting:
            self._of_users[name, of_kind.home] = of_kind
        return plugin

    def named(
        self, name: str, made: Callable[[Any], Plugin] = lambda plugin: plugin
    ) -> Callable[[Defined], Defined]:
        """Take the class or function that this decorates in: ``@BACKENDS.named("echo")``.

        Args:
            name: Its name.
            made: Makes the plug-in of it.
        """

        def take_in(plugin: Defined) -> Defined:
            self.register(name, made(plugin), module=plugin.__module__, of=plugin)
            return plugin

        return take_in

    def installed(self) -> dict[str, Installed[Plugin]]:
        """Find every plug-in of this kind, without importing those of other distributions.

        Returns:
            The plug-ins by name, in alphabetical order.

        Raises:
            PluginError: A name belongs to two of them.
        """
        if self.bundled:
            _import_all(self.bundled)
        found = dict(self._defined)
        for entry, owner in _entries(self.group, tuple(sys.path)):
            plugin = Installed(
                entry.name, *owner, entry.value, partial(self._loaded, entry.name, entry.load), self
            )
            first = found.setdefault(entry.name, plugin)
            is_same = first.target == plugin.target and first.distribution == plugin.distribution
            # The module of an entry point takes itself in when it is imported.
            if not (is_same or (entry.name in self._defined and first.module == plugin.module)):
                raise self._twice(first, plugin)
        return dict(sorted(found.items()))

    def load(self, name: str, *, asker: str = "") -> Plugin:
        """Import the plug-in called `name`, or the one at that address.

        Args:
            name: Its name.
            asker: The module that names it, if that is a user's file: what other files of users define is not
                seen from there, as a new process would not see it.

        Raises:
            PluginError: There is none (unless the kind has an error of its own), it stands twice, or it
                cannot be loaded.
        """
        # A notebook's is loaded again from its text, and the class that was played still means its own.
        own = self._of_users.get((name, _home(asker)))
        if own and name in self._defined:
            return own.load()
        # Looking through all distributions takes ten milliseconds, and what is defined is there already.
        known = self._defined if name in self._defined else self.installed()
        known = {key: each for key, each in known.items() if not asker or each.is_seen_by(asker)}
        if name not in known and ":" in name:
            known = {name: Installed(name, *_owner(name), name, partial(self._at, name), self)}
        if name not in known:
            see = f" (see: {self.see})" if self.see else ""
            raise self.unknown(f"there is no {self.noun} {name!r}{near_miss(name, known, others=True)}{see}")
        return known[name].load()

    def loaded(self) -> dict[str, Plugin]:
        """Import all of them, in alphabetical order.

        Raises:
            PluginError: One cannot be loaded.
        """
        return {name: plugin.load() for name, plugin in self.installed().items()}

    def __iter__(self) -> Iterator[str]:
        """Name the plug-ins, in alphabetical order."""
        return iter(self.installed())

    def __contains__(self, name: object) -> bool:
        """Say whether somebody has this name."""
        return name in self._defined or name in self.installed()

    def __getitem__(self, name: str) -> Plugin:
        """Import the plug-in called `name`, which is no user's word: a KeyError if there is none."""
        return (self._defined.get(name) or self.installed()[name]).load()

    def get(self, name: str) -> Plugin | None:
        """Import the plug-in called `name`, or give None if there is none."""
        found = self._defined.get(name) or self.installed().get(name)
        return None if found is None else found.load()

    def defined_in(self, module: str) -> list[str]:
        """Name what a module has taken in."""
        return [name for name, each in self._defined.items() if each.module == module]

    def _at(self, address: str) -> object:
        found = _at(address)
        taken_in = (*self._of_users.values(), *self._defined.values())
        return next((each.get() for each in taken_in if each.of is found is not None), found)

    def _loaded(self, name: str, load: Callable[[], object]) -> object:
        plugin = load()
        return self._defined[name].get() if name in self._defined else plugin

    def _twice(self, first: Installed[Plugin], second: Installed[Plugin]) -> PluginError:
        return PluginError(
            f"{self.noun} {first.name!r} stands twice: in {first.distribution} ({first.target}) and "
            f"in {second.distribution} ({second.target}); "
            + ("give it another name" if second.is_fleeting else "uninstall one of them")
        )


_PLAIN: Final[Mapping[object, Any]] = {int: Integral, float: Real}
"""What passes for a number: NumPy's do, too, and truths do not where it may have a fraction."""


def is_of(hint: Any, value: object) -> bool:  # noqa: ANN401 - a type, however it is written
    """Say whether a value is what an annotation says; a text without half a surrogate pair.

    Examples:
        >>> is_of(tuple[str, ...], ["a"]), is_of(tuple[str, ...], "a"), is_of(Mapping[str, str], {"a": 1})
        (True, False, False)
    """
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return any(is_of(each, value) for each in inner)
    if kind is Callable or getattr(kind, "_is_protocol", False):
        return callable(value)
    if kind is str:
        return isinstance(value, str) and is_unicode(value)
    if not inner:
        is_one = kind is Any or isinstance(value, _PLAIN.get(kind, kind))
        return is_one and not (kind is float and isinstance(value, bool))
    if isinstance(value, Mapping):
        return kind is Mapping and all(
            is_of(each, part) for pair in value.items() for each, part in zip(inner, pair, strict=True)
        )
    is_several = isinstance(value, Collection) and not isinstance(value, str)
    return is_several and kind is not Mapping and all(is_of(inner[0], each) for each in cast(Any, value))


def is_unicode(text: str) -> bool:
    """Say whether `text` can be written as UTF-8 (JSON escapes can smuggle in lone surrogates)."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def check_made(who: str, made: object, contract: type) -> None:
    """Refuse what lacks a field, method or property of a contract, or has another thing there.

    Args:
        who: Whose it is, for messages.
        made: What is to be held.
        contract: A protocol or a dataclass.

    Raises:
        PluginError: Names it.
    """
    for name, hint in _promised(contract):
        if not (hasattr(made, name) and is_of(hint, getattr(made, name))):
            has = f"{name} = {getattr(made, name)!r:.60}" if hasattr(made, name) else f"no {name}"
            raise PluginError(
                f"{who} has {has}; it is {spelled_hint(hint)} (see {contract.__module__}.{contract.__name__})"
            )
        method = vars(contract).get(name)
        if inspect.isfunction(method):
            n = len(inspect.signature(method).parameters) - 1
            _check_call(who, name, getattr(made, name), n, f"{contract.__module__}.{contract.__name__}")


def _check_call(who: str, name: str, method: Callable[..., Any], n: int, see: str) -> None:
    """Refuse a method that does not take `n` arguments in their order, as far as it says what it takes."""
    try:
        # As it is called itself: a decorator may give what it wraps more than it takes.
        inspect.signature(method, follow_wrapped=False).bind(*range(n))
    except TypeError as error:
        arguments = f"{n} argument{'s' * (n != 1)}"
        raise PluginError(
            f"{who} has a {name} that cannot be called with {arguments}: {error} (see {see})"
        ) from None
    except ValueError:
        # What is written in C need not say it.
        return


def _promised(contract: type) -> Iterator[tuple[str, Any]]:
    yield from get_type_hints(contract).items()
    for name, each in vars(contract).items():
        if isinstance(each, property):
            yield name, get_type_hints(each.fget)["return"]
        elif inspect.isfunction(each) and not name.startswith("_"):
            yield name, Callable


spelled_hint = inspect.formatannotation
"""Spells what `is_of` takes: ``tuple[str, ...]``."""


async def awaited(who: str, method: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
    """Await a method of a plug-in; what only others may raise in it is its fault.

    Args:
        who: Whose method it is, for messages: ``embed of embedder 'hash'``.
        method: The method.
        *arguments: What it is called with.

    Raises:
        PluginError: It is not async, or `overstepped`.
    """
    try:
        made = method(*arguments)
        if not inspect.isawaitable(made):
            raise PluginError(f"{who} is not async; define it by 'async def', without yield")
        return await made
    except BaseException as error:
        refuse_overstepped(who, error)
        raise


def refuse_overstepped(who: str, error: BaseException) -> None:
    """Raise what `overstepped` says of it, if it says anything."""
    if (found := overstepped(who, error)) is not None:
        raise found from error


def overstepped(who: str, error: BaseException) -> PluginError | None:
    """Say that a plug-in raised what only asyncio, the interpreter or a program's end may raise.

    Passed on, it would end the event loop, or the task of whoever waits, and say nothing.

    Args:
        who: Whose method it is.
        error: What it raised.

    Returns:
        None of an error like any other, and of one that is not its own; see `is_own`.
    """
    import asyncio

    if isinstance(error, Exception) or not is_own(error):
        return None
    words, place = " ".join(str(error).split()), place_of(error)
    what = f"{type(error).__name__}: {words}" if words else type(error).__name__
    where = f" ({place[1]})" if place else ""
    if isinstance(error, asyncio.CancelledError):
        return PluginError(f"{who} broke off by asyncio.{what} though nobody cancelled it{where}; mend it")
    return PluginError(f"{who} ends the program by {what}{where}; raise an error that says what is wrong")


def is_own(error: BaseException) -> bool:
    """Say whether code raised `error` of itself: no keys were pressed, nobody cancelled or closed it."""
    import asyncio

    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    if not isinstance(error, KeyboardInterrupt | GeneratorExit):
        return True
    # What the interpreter raises, it raises at any instruction but that of the statement; asyncio and this
    # program raise by one what keys are that it has heard of.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or _home(str(trace.tb_frame.f_globals.get("__name__"))) in _NO_PLUGINS:
        return False
    return opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"


def place_of(error: BaseException) -> tuple[str | None, str] | None:
    """Find the innermost line of others' code, also behind what `error` was raised from.

    Returns:
        Whose plug-in it is of, if of one, and the line.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, SyntaxError) and seen.filename and not seen.filename.startswith("<"):
            return None, f"{seen.filename}, line {seen.lineno}"
        frames = [
            (owner, frame.f_code, line)
            for frame, line in walk_tb(seen.__traceback__)
            for module in [str(frame.f_globals.get("__name__"))]
            if (owner := brought_by(module)) or module.startswith(FILE_PREFIX)
        ]
        if frames:
            owner, code, line = frames[-1]
            name = "" if code.co_name == "<module>" else f", in {code.co_name}"
            return owner, f"{code.co_filename}, line {line}{name}"
        seen = seen.__cause__ or seen.__context__
    return None


class Maker(Protocol[Made_co]):
    """A plug-in that is made of a table of settings: usually the class of what is made.

    Attributes:
        about: One line: what it is.
        needs: One line: what it needs (a key in the environment, a server, an extra), or ``"nothing"``.
    """

    about: str
    needs: str

    def from_options(self, options: Mapping[str, object], environ: Mapping[str, str]) -> Made_co:
        """Make it; nothing heavy is loaded yet.

        Args:
            options: Its table of the configuration, less its ``name``.
            environ: Where keys are looked up: the environment, with the user's ``.env`` under it.

        Raises:
            ConfigurationError: An option is unknown or impossible; names it as ``TABLE.KEY``.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class MadeOfOptions(PluginKind[Maker[Made_co]]):
    """A kind of plug-in that is made of a table of settings."""

    parts: tuple[str, ...] = ("from_options", "about", "needs")
    takes: Mapping[str, int] = field(default_factory=lambda: {"from_options": 2})
    makes: type | None = None
    """The protocol of what is made."""

    def make(
        self, name: str, options: Mapping[str, object], environ: Mapping[str, str] | None = None
    ) -> Made_co:
        """Make the plug-in called `name`.

        Args:
            name: Its name, or its address.
            options: Its options.
            environ: Where it looks up keys; none unless given.

        Raises:
            PluginError: No such plug-in, it cannot be loaded, or what it makes is not what its kind does.
            ConfigurationError: An option is unknown or impossible.
        """
        made = self.load(name).from_options(options, environ or {})
        if self.makes is not None:
            check_made(f"the {self.noun} {name!r} makes {made!r:.60}, which", made, self.makes)
        return made


@dataclass(frozen=True, slots=True)
class Installed(Generic[Plugin]):
    """A plug-in that can be found, loaded or not.

    Attributes:
        name: Its name.
        distribution: Who brings it: a distribution, or a user's file.
        version: Of the distribution; "" for a file.
        target: Where it is defined, as ``module:name``.
        get: Imports it.
        kind: What it is.
        of: What it was made of, as `PluginKind.register` says.
    """

    name: str
    distribution: str
    version: str
    target: str
    get: Callable[[], object]
    kind: PluginKind[Plugin]
    of: object = None

    @property
    def module(self) -> str:
        """The module it is defined in."""
        return self.target.partition(":")[0]

    @property
    def home(self) -> str:
        """The package at the top of its module, or the user's file."""
        return _home(self.module)

    @property
    def is_fleeting(self) -> bool:
        """Whether its definition is a user's, who may load it again: an experiment file's or a notebook's."""
        return self.module.startswith((FILE_PREFIX, "__main__"))

    def is_seen_by(self, asker: str) -> bool:
        """Say whether code of module `asker` may mean it by its name."""
        return not self.home.startswith(FILE_PREFIX) or self.home == _home(asker)

    def load(self) -> Plugin:
        """Import the plug-in.

        Raises:
            PluginError: Importing it failed, or what it names is no plug-in of this kind.
        """
        version = f" {self.version}" if self.version else ""
        which = f"{self.kind.noun} {self.name!r} of {self.distribution}{version} ({self.target})"
        try:
            plugin = self.get()
        except BaseException as error:
            if not is_own(error):
                raise
            way_out = f"mend or uninstall {self.distribution}" if self.version else "mend it"
            if (file := Path(f"{self.module}.py")).is_file() and isinstance(error, ModuleNotFoundError):
                way_out = f"a file is named by its suffix: {file}{self.target.removeprefix(self.module)}"
            raise PluginError(
                f"{which} cannot be loaded: {type(error).__name__}: {error}; {way_out}"
            ) from error
        missing = [part for part in self.kind.parts if not hasattr(plugin, part)]
        if missing:
            others = ", ".join(self.kind.defined_in(self.module))
            defined = f"; {self.module} defines {others}: name it so" if others else ""
            raise PluginError(
                f"{which} is no {self.kind.noun} plug-in: it lacks {', '.join(missing)} "
                f"(see {self.kind.contract}){defined}"
            )
        for part, n in self.kind.takes.items():
            _check_call(which, part, getattr(plugin, part), n, self.kind.contract)
        if not self.is_fleeting and self.home not in _NO_PLUGINS:
            # All modules of a distribution are its own; another definition may stand in anybody's package.
            _BROUGHT[self.home if version else self.module] = f"{self.distribution}{version}"
        return cast(Plugin, plugin)


_Entry: TypeAlias = "tuple[EntryPoint, tuple[str, str]]"


@lru_cache
def _entries(group: str, path: tuple[str, ...]) -> tuple[_Entry, ...]:  # noqa: ARG001 - where they stand
    """Find the entry points of a group, and the name and version of who brings each, once.

    Looking takes 20 ms and reading who brings them 10 more, and a run looks up for each realization.
    """
    from importlib.metadata import entry_points

    found = entry_points(group=group)
    return tuple((each, (each.dist.name, each.dist.version) if each.dist else ("?", "?")) for each in found)


def _home(module: str) -> str:
    return module.partition(".")[0]


def _owner(module: str) -> tuple[str, str]:
    """Name who brings a module: the user's file, or the package at its top."""
    file = getattr(sys.modules.get(module), "__file__", None)
    is_file = module.startswith(FILE_PREFIX) or ".py:" in module
    return (Path(file or module.rpartition(":")[0]).name if is_file else _home(module.partition(":")[0]), "")


def _import_all(package: str) -> None:
    home = import_module(package)
    for module in iter_modules(getattr(home, "__path__", ())):
        import_module(f"{package}.{module.name}")


def is_address(name: str) -> bool:
    """Say whether this names where a plug-in stands: ``package.module:Name``, or ``FILE.py:Name``."""
    home, _, last = name.rpartition(":")
    return bool(home) and last.isidentifier()


def _at(address: str) -> object:
    """Import what stands at ``package.module:Name`` or ``FILE.py:Name``."""
    home, _, name = address.rpartition(":")
    path, is_file = Path(home), home.endswith(".py")
    module = _executed(path, path.resolve(), path.read_bytes()) if is_file else import_module(home)
    found: object = module
    for part in name.split("."):
        found = getattr(found, part)
    return found


@lru_cache
def _executed(path: Path, place: Path, content: bytes) -> ModuleType:  # noqa: ARG001 - so it is another one
    """Execute a file once: a run looks a plug-in up for each realization."""
    return module_of_file(path)


def module_of_file(path: Path) -> ModuleType:
    """Execute a user's Python file, as it is now.

    Raises:
        ImportError: It is no Python file.
    """
    content = path.read_bytes()
    # Files of one name stand in several folders.
    which = sha256(bytes(path.resolve()) + content).hexdigest()[:8]
    spec = spec_from_file_location(f"{FILE_PREFIX}{path.stem}_{which}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(spec)
    # Registered first: dataclasses and pickling look their module up by name.
    sys.modules[module.__name__] = module
    # No bytecode is kept or taken: by it a file that is changed within a second would stay what it was.
    exec(compile(content, str(path), "exec"), vars(module))  # noqa: S102 - the user's own
    return module
