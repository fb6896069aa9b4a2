"""What a free world is given to play with: agents, network, chance, messages, and where it writes down."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence, Set
from operator import index
from typing import Any

from agentnet.errors import DesignError
from agentnet.exposure import Message, Missing
from agentnet.interventions import FOLLOWS, UNFOLLOWS, known
from agentnet.network import Network
from agentnet.news import NewsItem
from agentnet.worlds import Chance

_NOBODY = -1


class Setting:
    """One realization, for an experiment's method ``play``.

    Attributes:
        network: Who hears whom now.
        items: The news items.
        messages: What was posted so far; news come first.
        chance: Random numbers by purpose and key, the same in all conditions.
        voices: Who answers for each agent; empty: the run's backend for all.
        condition: Number of the condition.
        repeat: Number of the repetition.
    """

    def __init__(
        self,
        network: Network,
        persona: Callable[[int], str],
        items: Sequence[NewsItem],
        chance: Chance,
        voices: Sequence[str] = (),
        *,
        realization: int = 0,
        condition: int = 0,
        repeat: int = 0,
    ) -> None:
        self.network = network
        self.items = tuple(items)
        self.chance = chance
        self.voices = voices
        self.condition, self.repeat = condition, repeat
        self.messages: list[Message] = []
        self._persona = persona
        self._realization = realization
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._n_changes = 0
        self._measured: set[tuple[int, str]] = set()
        for item in self.items:
            self.post(_NOBODY, item.text)

    @property
    def agents(self) -> range:
        """The agents, 0 .. n_agents - 1."""
        return range(self.network.n_agents)

    def persona(self, agent: int) -> str:
        """Say who an agent is told to be: the text of its persona, or what its profile says."""
        return self._persona(self._known(agent))

    def attributes(self, agent: int) -> dict[str, Any]:
        """Give what is known of an agent: its row of the node table."""
        agent = self._known(agent)
        return {name: values[agent] for name, values in self.network.node_attributes.items()}

    def hears(self, agent: int) -> list[int]:
        """List whom an agent hears, ascending."""
        return self.network.neighbours(agent).tolist()  # type: ignore[no-any-return]

    def post(self, author: int, text: str, parent: Message | int | None = None, step: int = 0) -> Message:
        """Write a message that others may be shown.

        Args:
            author: Who; -1: it is news.
            text: What it says.
            parent: The message that it retells or answers, or its number.
            step: When, in the world's own time.

        Raises:
            DesignError: There is no such author or parent, or it is no text.
        """
        if not isinstance(text, str):
            raise DesignError(f"the post of agent {author} is {text!r:.60}; a post is a text")
        number = parent.number if isinstance(parent, Message) else parent
        if number is not None and not 0 <= number < len(self.messages):
            raise DesignError(f"there is no message {number} to answer; there are {len(self.messages)}")
        if isinstance(parent, Message) and self.messages[parent.number] != parent:
            raise DesignError(f"message {number} to answer is of another realization: {parent.text!r:.60}")
        message = Message(len(self.messages), self._known(author, _NOBODY), number, index(step), text)
        self.messages.append(message)
        self._write("messages", (self._realization, *message))
        return message

    def record(self, step: int, **measures: Any) -> None:  # noqa: ANN401 - a number, or one of each agent
        """Write down what the world measures at a step.

        Args:
            step: When, in the world's own time; each measure once a step.
            measures: Name -> a number of the whole, or a sequence with one for each agent; `Missing` and nan
                are recorded as missing.

        Raises:
            DesignError: It is none of these, or was recorded at this step before.
        """
        step = index(step)
        for name, given in measures.items():
            if (step, name) in self._measured:
                raise DesignError(f"measure {name!r} was recorded at step {step} before; each is once a step")
            self._measured.add((step, name))
            if isinstance(given, Mapping | Set):
                raise DesignError(
                    f"measure {name!r} is {given!r:.60}, which has no order; give a list with a number for "
                    "each agent, or one number"
                )
            whole = isinstance(given, int | float | str | Missing | None) or getattr(given, "ndim", 1) == 0
            values = [given] if whole else list(given)
            if not whole and len(values) != self.network.n_agents:
                raise DesignError(
                    f"measure {name!r} has {len(values)} values for {self.network.n_agents} agents; it is a "
                    "number, or one for each agent"
                )
            for agent, value in enumerate(values):
                row = (self._realization, step, name, _NOBODY if whole else agent, _number(name, value))
                self._write("measures", row)

    def follow(self, hears: int, heard: int, step: int = 0) -> None:
        """Let an agent hear another one from now on, one way; nothing happens if it does."""
        self._rewire(hears, heard, step, FOLLOWS)

    def unfollow(self, hears: int, heard: int, step: int = 0) -> None:
        """Let an agent not hear another one any more, one way; nothing happens if it does not."""
        self._rewire(hears, heard, step, UNFOLLOWS)

    def change(
        self, step: int, what: str, agent: int = _NOBODY, other: int | None = None, **detail: object
    ) -> None:
        """Write down that something happened beside answers."""
        said = json.dumps(detail, ensure_ascii=False, allow_nan=False) if detail else None
        agent, other = self._known(agent, _NOBODY), other if other is None else self._known(other, _NOBODY)
        self._write("changes", (self._realization, self._n_changes, index(step), what, agent, other, said))
        self._n_changes += 1

    def _rewire(self, hears: int, heard: int, step: int, what: str) -> None:
        hears, heard = self._known(hears), self._known(heard)
        if (heard in self.hears(hears)) == (what == FOLLOWS):
            return
        ties, network = [(heard, hears)], self.network.as_directed()
        self.network = network.changed(add=ties) if what == FOLLOWS else network.changed(drop=ties)
        self.change(step, what, hears, heard)

    def _known(self, agent: int, besides: int | None = None) -> int:
        return agent if agent == besides else known(agent, self.network)

    def _write(self, table: str, row: tuple[Any, ...]) -> None:
        self._rows.setdefault(table, []).append(row)

    def written(self) -> Mapping[str, list[tuple[Any, ...]]]:
        """Hand over the rows of what happened since this was last called; for whoever plays the world."""
        rows, self._rows = self._rows, {}
        return rows


def _number(name: str, value: Any) -> float | None:  # noqa: ANN401 - a user's
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DesignError(f"measure {name!r} is {value!r:.40}; it is a number") from None
    if math.isinf(number):
        raise DesignError(f"measure {name!r} is {number}, which no mean could hold; it is a finite number")
    return None if math.isnan(number) else number
