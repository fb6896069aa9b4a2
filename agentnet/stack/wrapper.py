"""What all wrappers of the stack have in common."""

from __future__ import annotations

from agentnet.backend import Backend


class Wrapper:
    """A backend around a backend: called what the inner one is called, and closed with it.

    A subclass adds ``complete``.

    Args:
        inner: The backend inside.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """The plug-in's name."""
        return self._inner.name

    @property
    def model_name(self) -> str:
        """The language model asked."""
        return self._inner.model_name

    async def aclose(self) -> None:
        """Close the inner backend."""
        await self._inner.aclose()
