"""The base class of experiments that write what happens themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from agentnet.experiment import Gives, several
from agentnet.families.free.setting import Setting
from agentnet.families.people import PeopledExperiment
from agentnet.network import Network
from agentnet.news import NewsItem
from agentnet.worlds.free import Play


def _items(given: object) -> object | None:
    items: Any = several(given)
    return items if items is not None and all(isinstance(each, NewsItem) for each in items) else None


class WorldExperiment(PeopledExperiment):
    """Whatever happens among agents, as a generator: it yields who is asked what, and is sent the answers.

        def play(self, s: Setting) -> Play:
            stances = yield [Ask(agent, self.prompt(s, agent), answer=Stance) for agent in s.agents]
            s.record(0, stance=stances)

    It is played again on resuming, with the recorded answers: it may keep any state in plain variables, and
    depends on its setting and the answers alone, on no clock, file or chance but ``s.chance``.

    Attributes:
        network: As for cascades; None: nobody hears anybody.
        constrain: Whether backends that can are told to allow only what is declared.
    """

    family: ClassVar[str] = "world"
    begun: ClassVar[str] = r'''
    def play(self, s):
        """Ask everybody once, and write down what they say."""
        prompts = [f"{s.persona(agent)}\n\nDo you often share news?" for agent in s.agents]
        said = yield [Ask(agent, prompt, answer=bool, kind="habit") for agent, prompt in enumerate(prompts)]
        s.record(0, shares=said)
'''
    _gives: ClassVar = {"choose_news": Gives(_items, "news items, () for none")}

    n_agents: int = 20
    network: Any = None
    constrain: bool = True

    def play(self, s: Setting) -> Play:
        """Play one realization.

        Args:
            s: Agents, network, chance, messages, and where to write down.

        Yields:
            A list of `agentnet.Ask`; sent back is a list of answers, as they were declared, or
            `agentnet.Missing`.
        """
        raise NotImplementedError

    def make_network(self, seed: int) -> Network:
        """Make the network of one realization; see `PeopledExperiment`."""
        if self.network is None:
            return Network.from_edges((), n_agents=self.n_agents, name="nobody hears anybody")
        return super().make_network(seed)

    def choose_news(self, seed: int) -> Sequence[NewsItem]:  # noqa: ARG002 - those who write it need it
        """Choose the news items of every realization: ``s.items``; by default none."""
        return ()
