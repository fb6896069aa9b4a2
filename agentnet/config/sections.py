"""What can be set: one class for each section, and `Settings`, which holds them all.

To add a section, write a subclass of `SettingsSection` and give it a line in `Settings`; files, variables,
flags, rows, near misses, storage and the resume rule follow from there. A field's description is what the
user reads, in ``agentnet config`` and in errors: it gives unit and range.

A field may change when a run is resumed only if it is declared `operational`: it says how the work is done,
never what is drawn. Forgetting that is safe: then a change asks for a new run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from agentnet.config.secrets import REFUSAL, secrets_in
from agentnet.config.values import RUNS, Key, decoded, dotted, encoded
from agentnet.errors import ConfigurationError

VOICES_LIMITS: Final = frozenset({"requests_per_minute", "tokens_per_minute", "max_in_flight"})
"""Settings of section ``stack`` that a voice may have of its own."""
_OPTION_OF_A_VOICE: Final = 4
"""Parts of the key ``experiment.voices.NAME.OPTION``."""

OPERATIONAL: Final = "operational"
"""The mark of a field that may change when a run is resumed, as `operational` gives it."""


def _not_empty(value: object) -> object:
    # Path("") is the working folder: nobody who writes an empty text means that.
    if value == "":
        raise ValueError("should be a path, not an empty text")
    return value


def _toml_value(value: object) -> object:
    # The record gives nothing else back exactly. NaN is TOML, but would differ from its own record.
    is_odd = isinstance(value, dict) and not all(isinstance(key, str) for key in value)
    is_of_toml = isinstance(value, bool | int | float | str | date | time | list | dict) and not is_odd
    if not is_of_toml or repr(value) == "nan":
        raise ValueError(
            "should be a text, a number (not nan), a date, an array or a table, as TOML has them"
        )
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _toml_value(item)
    return value


def is_toml(value: object) -> bool:
    """Say whether the settings can hold a value."""
    try:
        _toml_value(value)
    except ValueError:
        return False
    return True


def _at_home(path: Path) -> Path:
    # No shell has expanded it where it stands in a file, and a folder called ~ is nobody's wish.
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises where there is no such home


FilePath = Annotated[Path, Field(strict=False), BeforeValidator(_not_empty), AfterValidator(_at_home)]
FreeValue = Annotated[Any, AfterValidator(_toml_value)]


def setting(default: Any, description: str, **bounds: Any) -> Any:  # noqa: ANN401 - whatever a field is of
    """Declare a field with its default; what the description says of the range, `bounds` hold."""
    return Field(default, description=description, **bounds)


def operational(default: Any, description: str, **bounds: Any) -> Any:  # noqa: ANN401 - as above
    """Declare a field that may change when a run is resumed; see `setting`."""
    return Field(default, description=description, json_schema_extra={OPERATIONAL: True}, **bounds)


class SettingsSection(BaseModel):
    """One table of the configuration: frozen, strict, no unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )


class FreeSection(SettingsSection):
    """A section whose further keys are validated elsewhere; secrets are refused here.

    Attributes:
        about_free: What the further keys are, for people.
        operational_keys: Those of them that may change when a run is resumed.
    """

    model_config = ConfigDict(extra="allow")
    about_free: ClassVar[str]
    operational_keys: ClassVar[frozenset[str]] = frozenset()
    __pydantic_extra__: dict[str, FreeValue] = Field(init=False)

    @model_validator(mode="after")
    def _hold_no_secrets(self) -> Self:
        for key in secrets_in(self.model_extra):
            raise ValueError(f"{dotted(key)} {REFUSAL}")
        return self


class BackendSettings(FreeSection):
    """Which backend answers, and its options.

    Other options than `operational_keys` may decide what is answered, so a resumed run keeps them.
    """

    about_free = "option of the backend"
    operational_keys = frozenset(
        {
            "base_url",
            "endpoints",
            "connections",
            "timeout_s",
            "max_reply_bytes",
            "latency_s",
            "latency_spread",
        }
    )

    name: str = setting("mock", "backend that answers (see: agentnet backends)", min_length=1)

    @property
    def options(self) -> Mapping[str, Any]:
        """The plug-in's own options, as TOML gave them, not yet validated; ``model`` is the model name."""
        return self.model_extra or {}


class EmbedderSettings(FreeSection):
    """Which embedder turns answers of interacting models into vectors, and its options."""

    about_free = "option of the embedder"
    operational_keys = frozenset({"base_url", "connections", "timeout_s", "max_reply_bytes"})

    name: str = setting("hash", "embedder of answers: 'hash', 'minilm', 'openai', ...", min_length=1)

    @property
    def options(self) -> Mapping[str, Any]:
        """The plug-in's own options, as TOML gave them, not yet validated."""
        return self.model_extra or {}


class EngineSettings(SettingsSection):
    """How the engine asks."""

    workers: int = operational(64, "requests in flight at once, 1 to 100000", ge=1, le=100_000)
    realizations_at_once: int = operational(64, "realizations played side by side, at least 1", ge=1)
    max_asks: int = setting(3, "how often an unusable reply is asked for, 1 to 100", ge=1, le=100)
    on_missing: Literal["keep going", "stop"] = operational(
        "keep going", "what to do when a decision stays missing: 'keep going' or 'stop'"
    )
    brake_after: int = operational(
        20,
        "draws in a row without an answer after which the server is put to the test, and the run stops if it "
        "fails, 1 to 10000",
        ge=1,
        le=10_000,
    )
    run_ahead: bool = operational(
        default=False,
        description="whether cascades ask an agent as soon as those whom it hears are known, and not step by "
        "step; results are the same",
    )
    max_missing: float = operational(
        0.05, "largest share of missing answers that a run may end with, 0 to 1; else exit code 5", ge=0, le=1
    )


class SamplerSettings(SettingsSection):
    """How decisions are drawn from the model."""

    mode: Literal["call", "choices", "logprobs"] = setting(
        "call", "'call': a request a draw; 'choices': many draws a request; 'logprobs': from odds"
    )
    n_at_most: int = setting(64, "draws asked for by one request at most, in mode choices", ge=1, le=10_000)
    temperature_levels: int | None = setting(
        None, "levels that a temperature range is cut into; default: none in mode call, else 4", ge=1
    )
    least_mass: float = setting(
        0.9, "mode logprobs: probability on the answers that a server must list at least, 0 to 1", ge=0, le=1
    )

    @property
    def levels(self) -> int | None:
        """Levels in force; None: temperatures are drawn from the whole range."""
        return 4 if self.temperature_levels is None and self.pools else self.temperature_levels

    @property
    def pools(self) -> bool:
        """Whether what one request brings serves draws of many realizations."""
        return self.mode != "call"


class LogSettings(SettingsSection):
    """How the event log is written."""

    group_rows: int = operational(1000, "events written in one transaction, at least 1", ge=1)
    group_s: float = operational(0.25, "longest wait for a full transaction, in seconds, from 0", ge=0)
    parquet: bool = operational(
        default=True, description="whether a finished run is exported to Parquet as well"
    )


class PriceSettings(SettingsSection):
    """What a model costs."""

    input: float = Field(ge=0, description="US dollars for a million prompt tokens")
    output: float = Field(ge=0, description="US dollars for a million completion tokens")


class StackSettings(SettingsSection):
    """What stands between the engine and the backend: cache, retries, budget, rate limits."""

    cache: bool = operational(default=True, description="whether replies are remembered on disk")
    cache_folder: FilePath | None = operational(None, "where, if not in RUNS/.cache")
    requests_per_minute: float | None = operational(None, "bound on requests a minute, above 0", gt=0)
    tokens_per_minute: float | None = operational(None, "bound on tokens a minute, in and out, above 0", gt=0)
    max_in_flight: int | None = operational(
        None, "bound on requests in flight, at least 1; default: engine.workers", ge=1
    )
    min_in_flight: int = operational(
        1, "requests in flight that an overloaded server still gets, at least 1", ge=1
    )
    start_in_flight: int | None = operational(
        None, "requests in flight at first, at least 1; default: the bound", ge=1
    )
    max_attempts: int = operational(6, "calls made for one request at most, 1 to 100", ge=1, le=100)
    max_wait_s: float = operational(
        60.0,
        "longest wait between two attempts, in seconds, above 0; a server may ask for more",
        gt=0,
    )
    give_up_after_s: float = operational(
        900.0, "no attempt later than this after the first failed, in seconds, above 0", gt=0
    )
    max_calls: int | None = operational(None, "bound on calls of the whole run, from 0", ge=0)
    max_tokens: int | None = operational(None, "bound on tokens of the whole run, in and out, from 0", ge=0)
    max_cost: float | None = operational(None, "bound on the whole run's cost, in US dollars, from 0", ge=0)
    prices: dict[str, PriceSettings] = operational(
        {}, "model name -> {input, output} in US dollars for a million tokens"
    )


class NewsSettings(SettingsSection):
    """Where the news items come from, if not from the experiment."""

    path: FilePath | None = setting(None, "file of news items")
    kind: str | None = setting(None, "format of that file, if its name and head do not tell")
    columns: dict[str, str] = setting({}, "which column of that file holds which field of a news item")
    severity: FilePath | None = setting(
        None, "file of labels (id, severity) that take the place of the items' severities"
    )
    date_format: str | None = setting(
        None, "how all its dates are written, such as %d/%m/%Y, if not as 2021-02-24"
    )
    encoding: str | None = setting(None, "how its text is written, such as cp1252; default: UTF-8")


class ExperimentSettings(FreeSection):
    """Overrides of the experiment's design."""

    about_free = "attribute of the experiment's design"

    @property
    def overrides(self) -> Mapping[str, Any]:
        """Attribute of the experiment -> value, as TOML gave it, not yet validated."""
        return self.model_extra or {}


class Settings(SettingsSection):
    """Everything that can be set, validated."""

    seed: int = setting(0, "the run's seed, an integer of 64 bits", ge=-(2**63), lt=2**63)
    runs: FilePath = operational(RUNS, "folder of the run folders")
    backend: BackendSettings = setting(BackendSettings(), "which backend answers")
    embedder: EmbedderSettings = setting(EmbedderSettings(), "which embedder turns answers into vectors")
    engine: EngineSettings = setting(EngineSettings(), "how the engine asks")
    sampler: SamplerSettings = setting(SamplerSettings(), "how decisions are drawn")
    stack: StackSettings = setting(StackSettings(), "what stands around the backend")
    log: LogSettings = setting(LogSettings(), "how the event log is written")
    news: NewsSettings = setting(NewsSettings(), "where the news items come from")
    experiment: ExperimentSettings = setting(ExperimentSettings(), "overrides of the design")

    def to_json(self) -> str:
        """Write the settings as JSON in ASCII, keys sorted; `from_json` gives equal settings back."""
        return json.dumps(encoded(self.model_dump()), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read what `to_json` wrote; sections that it lacks get their defaults.

        Raises:
            ConfigurationError: It is no JSON, or has settings that this version does not know.
        """
        try:
            return cls.model_validate(decoded(json.loads(text)))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        except ValueError as error:
            faults = f"no JSON: {error}"
        raise ConfigurationError(
            f"the recorded settings cannot be read ({faults}); did another version of agentnet write them?"
        )


def section_of(field: FieldInfo) -> type[SettingsSection] | None:
    """Tell the section that a field holds, if it holds one."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, SettingsSection) else None


def _free_section(field: FieldInfo) -> type[FreeSection] | None:
    section = section_of(field)
    return section if section and issubclass(section, FreeSection) else None


def declaration(key: Key) -> tuple[FieldInfo, Key]:
    """Find the declared field that `key` leads to, and what of `key` lies below it.

    Raises:
        KeyError: `key` begins with no section and no top-level setting.
    """
    field, depth = Settings.model_fields[key[0]], 1
    while depth < len(key) and (section := section_of(field)) and key[depth] in section.model_fields:
        field, depth = section.model_fields[key[depth]], depth + 1
    return field, key[depth:]


def describe(key: Key) -> str:
    """Say what the setting `key` is."""
    field, below = declaration(key)
    section = _free_section(field)
    return section.about_free if below and section else field.description or ""


def may_change(key: Key, operational_options: Collection[str] = ()) -> bool:
    """Say whether `key` may change when a run is resumed.

    Args:
        key: A setting.
        operational_options: Options of the backend that may change too, by the plug-in's own word.
    """
    field, below = declaration(key)
    section = _free_section(field)
    if key[:2] == ("experiment", "voices") and len(key) == _OPTION_OF_A_VOICE:
        return key[-1] in BackendSettings.operational_keys | VOICES_LIMITS
    if below and section:
        return below[0] in section.operational_keys or (
            key[0] == "backend" and below[0] in operational_options
        )
    return isinstance(field.json_schema_extra, dict) and OPERATIONAL in field.json_schema_extra
