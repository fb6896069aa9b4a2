"""Voices: who answers for an agent, where not the run's own backend answers for all of them.

An experiment names them: ``voices = {"large": {"name": "openai", "model": "gpt-4o"}, "stubborn": "rule"}``. A
request says whose it is in its metadata: ``voice`` is the name; without one, the run's own backend answers.
What a rule answers stands in the metadata as ``says``, and no backend is asked.

Each voice has wrappers of its own (`agentnet.stack.build_stack`): a server that is slow, overloaded or dead
is no other server's trouble. Calls, tokens and money are counted together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from agentnet.backend import BACKENDS, Attended, Backend, Reply, Request, make_backend
from agentnet.config import VOICES_LIMITS, BackendSettings, Settings, Shard, StackSettings
from agentnet.errors import (
    BackendUnusable,
    ConfigurationError,
    DesignError,
    PluginError,
    UserError,
    near_miss,
)
from agentnet.vocabulary import OF_A_RULE

OWN: Final = ""
"""The voice of the run's own backend."""
RULE: Final = "rule"
"""What stands for a backend where the experiment's method `rule` answers."""

_VOICE: Final = "voice "
_OPTION: Final = re.compile(r"\bbackend\.(?=\w)")

T = TypeVar("T", bound=Backend)


def voice_of(metadata: Mapping[str, Any]) -> str:
    """Name the voice that a request or a question asks for."""
    return str(metadata.get("voice", OWN))


def said_in(metadata: Mapping[str, Any]) -> str | None:
    """Give what a rule says to a question; None where a backend is asked."""
    says = metadata.get("says")
    return None if says is None else str(says)


@dataclass(frozen=True, slots=True)
class VoicePart:
    """One of the backends of a run.

    Attributes:
        backend: The plug-in's.
        settings: Which it is, and its options.
        limits: What of section ``stack`` is otherwise for it.
    """

    backend: Backend
    settings: BackendSettings
    limits: Mapping[str, object] = field(default_factory=dict)

    def stack(self, settings: StackSettings) -> StackSettings:
        """Lay its limits over section ``stack``."""
        return settings.model_copy(update=dict(self.limits)) if self.limits else settings


class ByVoice(Generic[T]):
    """Sends each request to the backend of its voice; closes each once.

    Args:
        backends: Voice -> backend, all with the same way in.
        rules: The voices that are rules, which nobody is asked for.
    """

    def __init__(self, backends: Mapping[str, T], rules: Iterable[str] = ()) -> None:
        self.rules = tuple(rules)
        self._backends = dict(backends)
        self._is_closed = False

    @property
    def name(self) -> str:
        """The names of the plug-ins, each once: a run's own first, then by voice."""
        return _joined(backend.name for backend in self._backends.values())

    @property
    def model_name(self) -> str:
        """The language models, likewise."""
        return _joined(backend.model_name for backend in self._backends.values())

    async def complete(self, request: Request) -> Reply:
        """Answer `request` by its voice.

        Raises:
            PluginError: There is no such voice, or it is a rule.
            BackendUnusable: The voice can answer nothing; names it.
            BackendError: As the voice's backend says.
        """
        voice = voice_of(request.metadata)
        backend = self._backends.get(voice)
        if voice in self.rules:
            raise PluginError(f"voice {voice!r} is a rule: nobody can be asked what a rule has not said")
        if backend is None:
            raise PluginError(_unknown(voice, self._backends))
        try:
            return await backend.complete(request)
        except BackendUnusable as error:
            name_voice(error, voice)
            raise

    async def aclose(self) -> None:
        """Close the backends; afterwards `complete` is not called again."""
        if self._is_closed:
            return
        self._is_closed = True
        for backend in self._backends.values():
            await backend.aclose()


class VoicesBackend(ByVoice[Backend]):
    """The backends of a run of several voices.

    Args:
        parts: Voice -> what answers for it; the run's own is `OWN`.
        rules: The voices beside them that are rules.

    Attributes:
        parts: As given.
        rules: As given.
        found: What they took from the environment, as ``VOICE.OPTION``.
    """

    def __init__(self, parts: Mapping[str, VoicePart], rules: Iterable[str] = ()) -> None:
        super().__init__({voice: part.backend for voice, part in parts.items()}, rules)
        self.parts = dict(parts)
        self.found = {
            ".".join(filter(None, (voice, name))): value
            for voice, part in parts.items()
            for name, value in getattr(part.backend, "found", {}).items()
        }


def parts_of(backend: Backend) -> dict[str, VoicePart]:
    """List what answers in a run by voice: of most runs the one backend that they have."""
    return (
        backend.parts if isinstance(backend, VoicesBackend) else {OWN: VoicePart(backend, BackendSettings())}
    )


def listing_voices(backend: Backend) -> set[str]:
    """Name the voices whose backend's one reply gives the odds at every temperature."""
    return {
        voice for voice, part in parts_of(backend).items() if getattr(part.backend, "lists_tokens", False)
    }


def by_voice(backends: Mapping[str, T]) -> T | ByVoice[T]:
    """Send requests to the backend of their voice; where there is one backend, straight to it."""
    return ByVoice(backends) if len(backends) > 1 else next(iter(backends.values()))


def make_voices(
    settings: Settings, voices: Mapping[str, Any], environ: Mapping[str, str], *, asks_own: bool = True
) -> Backend:
    """Make the backend of a run: its own, and those of its voices beside it.

    Args:
        settings: What is in force.
        voices: Name -> a backend's table (without ``name``: the run's own backend, with other options), a
            backend's name, or `RULE`. A table may hold ``requests_per_minute``, ``tokens_per_minute`` and
            ``max_in_flight`` of its own.
        environ: Where plug-ins look up their keys.
        asks_own: Whether the run's own backend answers for some agents; if not, it is made only where there
            is no other one.

    Raises:
        PluginError: No such plug-in.
        ConfigurationError: An option is unknown or impossible, or a key is missing. Either names the voice.
        UserError: People are to answer what they could never come to the end of.
    """
    own = settings.backend
    tables = {voice: table for voice, table in sorted(voices.items()) if table != RULE}
    parts = {}
    if asks_own or not tables:
        parts[OWN] = VoicePart(make_backend(own.name, own.options, environ), own)
    parts |= {voice: _part(voice, table, own, environ) for voice, table in tables.items()}
    rules = sorted(voices.keys() - tables.keys())
    for each in _attended(part.backend for part in parts.values()):
        if settings.engine.on_missing == "stop":
            raise UserError(
                f"{each.name}: who gave no answer is not asked again, so that a run with engine.on_missing = "
                "'stop' would stop there for ever; leave it at 'keep going'"
            )
        if settings.sampler.mode != "call":
            raise UserError(
                f"{each.name}: people are asked one question at a time, and sampler.mode = "
                f"{settings.sampler.mode!r} asks for several answers or their odds; leave it at 'call'"
            )
    return VoicesBackend(parts, rules) if voices else parts[OWN].backend


def with_share(backend: Backend, shard: Shard | None) -> Backend:
    """Give voices that have limits of their own a shard's share of them.

    Raises:
        ConfigurationError: There is less than one for each shard.
        UserError: There are people, who come to one place.
    """
    if shard is None:
        return backend
    for each in _attended(part.backend for part in parts_of(backend).values()):
        raise UserError(
            f"{each.name}: people wait in one lobby, and shards know nothing of each other; play it as one "
            "run: without --shard, --processes and --on"
        )
    if not isinstance(backend, VoicesBackend):
        return backend
    parts = backend.parts.items()
    return VoicesBackend(
        {voice: replace(part, limits=shard.of_voice(voice, part.limits)) for voice, part in parts},
        backend.rules,
    )


def _attended(backends: Iterable[Backend]) -> Iterable[Backend]:
    return (backend for backend in backends if isinstance(backend, Attended))


def _part(voice: str, table: Any, own: BackendSettings, environ: Mapping[str, str]) -> VoicePart:  # noqa: ANN401
    settings, limits = settings_of(voice, table, own)
    try:
        StackSettings.model_validate(limits)
        backend = make_backend(settings.name, settings.options, environ)
    except ValidationError as error:
        raise _faults(voice, error) from None
    except (ConfigurationError, PluginError) as error:
        raise type(error)(_said_of(voice, error)) from error
    return VoicePart(backend, settings, limits)


def settings_of(voice: str, table: Any, own: BackendSettings) -> tuple[BackendSettings, dict[str, Any]]:  # noqa: ANN401
    """Say which backend answers for a voice, by its table, and what of section ``stack`` is otherwise for it.

    Raises:
        ConfigurationError: It is no such table; names the voice.
    """
    options, limits = _read(voice, table)
    if "name" not in options:
        options = {"name": own.name, **own.options, **options}
    try:
        return BackendSettings.model_validate(options), limits
    except ValidationError as error:
        raise _faults(voice, error) from None


def _faults(voice: str, error: ValidationError) -> ConfigurationError:
    faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return ConfigurationError(f"voice {voice!r}: {'; '.join(faults)}")


def _read(voice: str, table: Any) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ANN401 - a user's
    """Split the table of a voice in the backend's own options and the limits of the stack."""
    if isinstance(table, str):
        table = {"name": table}
    if not isinstance(table, Mapping):
        raise ConfigurationError(
            f"voice {voice!r} is {table!r:.80}; it is a backend's table, such as "
            f'{{"name": "openai", "model": "gpt-4o"}}, a backend\'s name, or "{RULE}"'
        )
    limits = {name: table[name] for name in sorted(VOICES_LIMITS) if name in table}
    return {name: value for name, value in table.items() if name not in limits}, limits


def voices_of(experiments: Iterable[Any]) -> dict[str, Any]:
    """Gather the voices of all conditions.

    Args:
        experiments: The experiment under each condition; those without a knob ``voices`` have none.

    Raises:
        DesignError: A name stands for one voice in one condition and for another one in another.
    """
    found: dict[str, Any] = {}
    for experiment in experiments:
        for voice, table in getattr(experiment, "voices", {}).items():
            if not voice or found.setdefault(voice, table) != table:
                raise DesignError(
                    f"voice {voice!r} is {found.get(voice)!r:.80} in one condition and {table!r:.80} in "
                    "another; a name stands for one voice in all of a run: name them apart"
                    if voice
                    else "a voice has an empty name; agents without a voice are answered by the run's backend"
                )
    return found


def laid_over(voices: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Lay overrides of voices, such as ``-S voices.small.model=...``, over those of a class.

    What names another backend takes the place of a voice: options of one are none of another.
    """
    merged = dict(voices)
    for voice, given in overrides.items():
        table = merged.get(voice)
        if isinstance(table, str) and table != RULE:
            table = {"name": table}
        if isinstance(table, Mapping) and isinstance(given, Mapping):
            keeps = given.get("name", table.get("name")) == table.get("name")
            merged[voice] = {**table, **given} if keeps else given
        else:
            merged[voice] = given
    return merged


def described(backend: Backend) -> dict[str, dict[str, Any]]:
    """Tell of each voice what answers for it, as the log keeps it; nothing of a run without voices."""
    if not isinstance(backend, VoicesBackend):
        return {}
    parts = {
        voice: _described(
            part.backend.name, part.backend.model_name, {**part.settings.options, **part.limits}
        )
        for voice, part in backend.parts.items()
    }
    return parts | {voice: _described(RULE, f"{OF_A_RULE}{voice}", {}) for voice in backend.rules}


def _described(backend: str, model_name: str, options: Mapping[str, object]) -> dict[str, Any]:
    return {"backend": backend, "model_name": model_name, "options": options}


def needs_of(backend: Backend) -> dict[str, str]:
    """Tell of each voice what its plug-in needs; rules need nothing."""
    parts = backend.parts if isinstance(backend, VoicesBackend) else {}
    return {voice: BACKENDS.load(part.settings.name).needs for voice, part in parts.items()}


def _joined(names: Iterable[str]) -> str:
    return " + ".join(dict.fromkeys(names))


def name_voice(error: BackendUnusable, voice: str) -> None:
    """Put the name of a voice before what is said of its backend.

    Once, however many routers the error passes, and whoever else is told it as the reason to stop.
    """
    if voice != OWN and not str(error).startswith(_VOICE):
        error.args = (_said_of(voice, error),)


def _said_of(voice: str, error: Exception) -> str:
    return f"{_VOICE}{voice!r}: {_OPTION.sub(f'voices.{voice}.', str(error))}"


def _unknown(voice: str, known: Mapping[str, object]) -> str:
    return f"there is no voice {voice!r}{near_miss(voice, [name for name in known if name])}"
