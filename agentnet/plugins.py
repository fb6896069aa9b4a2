"""Plug-ins of any kind: found by entry point, loaded when they are wanted, and told whose fault it is.

A kind of plug-in (backends, embedders) is one `PluginKind`. A name belongs to one distribution: who brings
a second plug-in of a name that is taken, a bundled one's included, is refused together with the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Generic, TypeVar, cast

from agentnet.errors import PluginError, near_miss

Plugin = TypeVar("Plugin")

PARTS: Final = ("from_options", "about", "needs")
"""What every plug-in has: a maker, and two lines that say what it is and what it needs."""


@dataclass(frozen=True, slots=True)
class PluginKind(Generic[Plugin]):
    """One kind of plug-in.

    Attributes:
        noun: What it is called in messages, such as ``"backend"``.
        group: The group of its entry points.
        contract: Where its protocol stands, for messages.
        see: Where the installed ones are listed, for messages; "" if nowhere.
    """

    noun: str
    group: str
    contract: str
    see: str = ""

    def installed(self) -> dict[str, Installed[Plugin]]:
        """Find every installed plug-in of this kind by its entry point, without importing it.

        Returns:
            The plug-ins by name, in alphabetical order.

        Raises:
            PluginError: Two distributions bring a plug-in of the same name.
        """
        found: dict[str, Installed[Plugin]] = {}
        for entry in entry_points(group=self.group):
            name, version = ("?", "?") if entry.dist is None else (entry.dist.name, entry.dist.version)
            plugin = Installed(entry.name, name, version, entry.value, entry, self)
            first = found.setdefault(entry.name, plugin)
            if (first.distribution, first.target) != (plugin.distribution, plugin.target):
                raise PluginError(
                    f"{self.noun} {entry.name!r} stands twice: in {first.distribution} ({first.target}) and "
                    f"in {plugin.distribution} ({plugin.target}); uninstall one of them"
                )
        return dict(sorted(found.items()))

    def load(self, name: str) -> Plugin:
        """Import the plug-in called `name`.

        Raises:
            PluginError: There is none, it stands twice, or it cannot be loaded.
        """
        known = self.installed()
        if name not in known:
            see = f" (see: {self.see})" if self.see else ""
            raise PluginError(f"there is no {self.noun} {name!r}{near_miss(name, known)}{see}")
        return known[name].load()


@dataclass(frozen=True, slots=True)
class Installed(Generic[Plugin]):
    """A plug-in that can be found, loaded or not."""

    name: str
    distribution: str
    version: str
    target: str
    entry: EntryPoint
    kind: PluginKind[Plugin]

    def load(self) -> Plugin:
        """Import the plug-in.

        Raises:
            PluginError: Importing it failed, or what it names is no plug-in of this kind.
        """
        which = f"{self.kind.noun} {self.name!r} of {self.distribution} {self.version} ({self.target})"
        try:
            plugin = self.entry.load()
        except Exception as error:
            raise PluginError(
                f"{which} cannot be loaded: {type(error).__name__}: {error}; mend or uninstall "
                f"{self.distribution}"
            ) from error
        missing = [part for part in PARTS if not hasattr(plugin, part)]
        if missing:
            raise PluginError(
                f"{which} is no {self.kind.noun} plug-in: it lacks {', '.join(missing)} "
                f"(see {self.kind.contract})"
            )
        return cast(Plugin, plugin)
