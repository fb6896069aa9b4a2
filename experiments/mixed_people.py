"""People and models on a square revise each other's statements (after Jardin et al., arXiv:2605.09197).

The run's backend answers for all, until people take their seats: ``-S voices.person.name=human -S
voices.person.people=36``; or robots, with ``agentnet rehearse``. ``agentnet report RUN`` compares the voices;
``agentnet fit RUN --condition 0 --of revise=yes --law column_logistic --by voice=person --by distance``
weighs who revises against how far the neighbours stand off.
"""

from collections.abc import Sequence
from statistics import fmean

import networkx as nx
from pydantic import BaseModel, Field

from agentnet import Ask, Missing, Play, Setting, WorldExperiment
from agentnet.network import Network
from agentnet.population import Population


class Statement(BaseModel):
    """Where somebody stands, and whether that is new."""

    revise: bool = Field(description="whether you say something else than before, if you said anything")
    stance: int = Field(ge=0, le=10, description="from 0, not at all, to 10, entirely")
    text: str = Field(min_length=1, max_length=200, description="one sentence that says so")


class MixedPeople(WorldExperiment):
    """In each round everybody reads the neighbours, and may revise."""

    n_agents, repeats = 25, 3
    rounds: int = 5
    topic: str = "Artificial intelligence makes work more satisfying."
    people: float = 0.48
    voices = {"model": {}, "person": {}}
    conditions = ({"people": 0.48}, {"people": 0.0})

    def make_network(self, seed: int) -> Network:  # noqa: ARG002 - there is but one square
        square = nx.grid_2d_graph(*[round(self.n_agents**0.5)] * 2)
        return Network.from_networkx(nx.convert_node_labels_to_integers(square), name="square")

    def deal_voices(self, population: Population, seed: int) -> Sequence[str]:
        return population.deal({"person": self.people, "model": 1 - self.people}, seed)

    def play(self, s: Setting) -> Play:
        stands: dict[int, Statement] = {}
        for step in range(self.rounds + 1):
            said = yield [self.ask(s, agent, stands) for agent in s.agents]
            stands |= {agent: each for agent, each in enumerate(said) if not isinstance(each, Missing)}
            s.record(step, stance=[stands[a].stance if a in stands else None for a in s.agents])

    def ask(self, s: Setting, agent: int, stands: dict[int, Statement]) -> Ask:
        heard = [stands[other] for other in s.hears(agent) if other in stands]
        own = [stands[agent]] if agent in stands else []
        lines = [f"You said: {each.text} ({each.stance} of 10)" for each in own]
        lines += [f"A neighbour says: {each.text} ({each.stance} of 10)" for each in heard]
        distance = abs(own[0].stance - fmean(each.stance for each in heard)) if own and heard else 0.0
        prompt = "\n".join((s.persona(agent), f"\nHow far do you agree: {self.topic}", *lines))
        kind = "revision" if own else "first"
        return Ask(agent, prompt, Statement, kind=kind, context={"distance": distance})
