"""Values that name an environment variable, so that no secret has to stand among the settings.

``$NAME`` and ``${NAME}`` stand for the variable; ``Bearer ${NAME}`` is a value around one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentnet.errors import ConfigurationError

_REFERENCE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


def variables_in(value: str) -> list[str]:
    """List the environment variables that `value` names.

    Examples:
        >>> variables_in("Bearer ${GATEWAY_TOKEN}"), variables_in("2024-10-21")
        (['GATEWAY_TOKEN'], [])
    """
    return [match[1] or match[2] for match in _REFERENCE.finditer(value)]


def resolved(value: str, environ: Mapping[str, str], where: str) -> str:
    """Put the variables that `value` names in their places.

    Args:
        value: What the settings say.
        environ: The environment.
        where: The setting, for messages.

    Raises:
        ConfigurationError: A variable is not set, or holds what no header can. Its value is not shown.
    """
    for name in variables_in(value):
        found = environ.get(name, "").strip()
        if not found:
            raise ConfigurationError(
                f"{where} names the environment variable {name}, which is not set: export it, or put it into "
                ".env"
            )
        if not (found.isascii() and found.isprintable()):
            raise ConfigurationError(
                f"{where} names the environment variable {name}, which holds more than visible ASCII "
                "characters; look for line breaks and quotes"
            )
    return _REFERENCE.sub(lambda match: environ[match[1] or match[2]].strip(), value)
