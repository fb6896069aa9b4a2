"""The configuration: defaults, file, `.env`, environment and flags become one frozen, validated whole.

Layers, each over the one before: the defaults of `Settings`; ``agentnet.toml`` of the working folder (or the
file given by ``--config``); ``AGENTNET_*`` variables of the folder's ``.env``; those of the environment; the
flags of the command line. Tables are merged key by key (an empty table clears what stood there); everything
else is replaced. Of two flags for one key the later counts.

A variable names a key with two underscores between its parts, in any case: ``AGENTNET_ENGINE__WORKERS=8``.
Texts (variables and flags) are read as TOML values and are plain strings if they are none; to force a string,
write it in TOML's quotes. On the command line a key that begins with no section and no setting belongs to
the experiment: ``-S repeats=2`` is ``-S experiment.repeats=2``. Relative paths are relative to the working
folder, wherever they are written. In `.env` a ``$`` stands for itself.

Keys and passwords are no settings: settings are stored with every run. They come from the environment, where
`secrets_environ` finds them for the backends.

To add one: write a subclass of `SettingsSection` in `agentnet.config.sections` and a line in `Settings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentnet.config.layers import Flag, secrets_environ
from agentnet.config.secrets import secrets_held
from agentnet.config.shares import Shard
from agentnet.config.values import RUNS, parse_value, toml_text
from agentnet.later import later

if TYPE_CHECKING:
    from agentnet.config.loading import (
        Configuration,
        SettingRow,
        configuration_for_resume,
        fixed_settings,
        load_configuration,
        refuse_changes,
    )
    from agentnet.config.sections import (
        VOICES_LIMITS,
        BackendSettings,
        EmbedderSettings,
        EngineSettings,
        ExperimentSettings,
        LogSettings,
        NewsSettings,
        PriceSettings,
        SamplerSettings,
        Settings,
        SettingsSection,
        StackSettings,
        is_toml,
    )

# What validates takes longer to import than most commands that look need for all.
_NAMES = {
    ".loading": (
        *("Configuration", "SettingRow", "configuration_for_resume", "fixed_settings"),
        *("load_configuration", "refuse_changes"),
    ),
    ".sections": (
        *("VOICES_LIMITS", "BackendSettings", "EmbedderSettings", "EngineSettings", "ExperimentSettings"),
        *("LogSettings", "NewsSettings", "PriceSettings", "SamplerSettings", "Settings", "SettingsSection"),
        *("StackSettings", "is_toml"),
    ),
}
__getattr__, __dir__ = later(__name__, _NAMES)

__all__ = [
    "RUNS",
    "VOICES_LIMITS",
    "BackendSettings",
    "Configuration",
    "EmbedderSettings",
    "EngineSettings",
    "ExperimentSettings",
    "Flag",
    "LogSettings",
    "NewsSettings",
    "PriceSettings",
    "SamplerSettings",
    "SettingRow",
    "Settings",
    "SettingsSection",
    "Shard",
    "StackSettings",
    "configuration_for_resume",
    "fixed_settings",
    "is_toml",
    "load_configuration",
    "parse_value",
    "refuse_changes",
    "secrets_environ",
    "secrets_held",
    "toml_text",
]
