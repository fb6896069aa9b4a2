"""What a reader is shown first: rules that order the posts of a feed.

A rule is a function that scores a post for a reader; those with the highest scores are shown. A new one, in
an experiment's file or anywhere else, is entered by its definition:

    @feed_rule("longest")
    def longest(post: Post, reader: int) -> float:
        return len(post.message.text)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Rational
from typing import Any, Final

from agentnet.errors import DesignError
from agentnet.exposure import Message
from agentnet.plugins import PluginKind

Score = Callable[["Post", int], float]


@dataclass(slots=True)
class Post:
    """A message in a feed, and who did what with it.

    Attributes:
        message: The message.
        did: Action -> the agents who took it, in order.
        groups: Group of each agent, for rules that look at who acted; empty: none are known.
    """

    message: Message
    did: dict[str, list[int]] = field(default_factory=dict)
    groups: Sequence[object] = ()

    def note(self, action: str, agent: int) -> None:
        """Note that an agent did something with it."""
        self.did.setdefault(action, []).append(agent)

    @property
    def engaged(self) -> list[int]:
        """Who did anything with it."""
        return [agent for agents in self.did.values() for agent in agents]


FEED_RULES: Final[PluginKind[Score]] = PluginKind(
    "feed rule", "agentnet.feed_rules", "agentnet.feeds.feed_rule", parts=("__call__",), unknown=DesignError
)


feed_rule = FEED_RULES.named
"""Enters the decorated function as the feed rule of that name; a `PluginError` where it is taken."""


def feed(rule: str, posts: Iterable[Post], reader: int, k: int, *, asker: str = "") -> list[Post]:
    """Choose what a reader is shown.

    Args:
        rule: A rule's name, of `FEED_RULES`.
        posts: What there is to show.
        reader: Who reads.
        k: How many posts at most, >= 1.
        asker: Module of the experiment, whose own rules go before others'.

    Returns:
        Those with the highest scores, best first; of equal ones the later first.

    Raises:
        DesignError: There is no such rule, nothing would be shown, or a score is no number.
    """
    if k < 1:
        raise DesignError(f"a feed shows {k} posts; it shows at least 1")
    score = FEED_RULES.load(rule, asker=asker)
    ranked = sorted(
        posts, key=lambda post: (_scored(rule, score(post, reader)), post.message.number), reverse=True
    )
    return ranked[:k]


def _scored(rule: str, score: Any) -> Any:  # noqa: ANN401 - a plug-in's number, which is not rounded
    """Hold a score to be a number: a post that is better than none and worse than none has no place."""
    try:
        is_one = isinstance(score, Rational) or not math.isnan(score)
    except (TypeError, ValueError):
        is_one = False
    if not is_one:
        raise DesignError(f"feed rule {rule!r} gives {score!r:.60}; it gives a number, inf among them")
    return score


@feed_rule("chronological")
def chronological(post: Post, reader: int) -> float:  # noqa: ARG001 - the same for everybody
    """Show the latest first."""
    return float(post.message.step)


@feed_rule("engagement")
def engagement(post: Post, reader: int) -> float:  # noqa: ARG001 - the same for everybody
    """Show what most agents did something with."""
    return float(len(post.engaged))


@feed_rule("bridging")
def bridging(post: Post, reader: int) -> float:
    """Show what agents of groups other than the reader's did something with, as a share of all who did."""
    engaged = post.engaged
    if not engaged or not post.groups:
        return 0.0
    return sum(post.groups[agent] != post.groups[reader] for agent in engaged) / len(engaged)
