"""Whom to follow: the network changes by what is said (after Gu et al., arXiv:2502.18138).

``agentnet report RUN`` draws how diverse opinions are, and the echo: how much like those whom they follow
people are, where they may unfollow and where they may not.
"""

from typing import Literal

from pydantic import BaseModel, Field

from agentnet import Ask, Missing, Play, Setting, WorldExperiment
from agentnet.analysis.opinions import diversity, echo


class View(BaseModel):
    """Where somebody stands, and what they post."""

    opinion: Literal[-2, -1, 0, 1, 2]
    post: str = Field(max_length=200, description="one short post that says so")


class Unfollow(WorldExperiment):
    """Everybody posts, reads those whom they follow, and may swap one of them for a stranger; and again."""

    n_agents, network, degree = 20, "random_regular", 4
    repeats = 2
    steps: int = 4
    topic: str = "Should the city close its centre to cars?"
    free: bool = True
    conditions = ({"free": True}, {"free": False})

    def play(self, s: Setting) -> Play:
        for step in range(self.steps):
            views = yield [Ask(a, self.ask_view(s, a), answer=View, kind="view") for a in s.agents]
            said = {a: view for a, view in enumerate(views) if not isinstance(view, Missing)}
            posts = {a: s.post(a, view.post, step=step) for a, view in said.items()}
            opinion = [getattr(view, "opinion", Missing("no view")) for view in views]
            alike = echo(opinion, s.network.as_directed().edges())
            s.record(step, opinion=opinion, diversity=diversity(opinion), echo=alike)
            shown = {a: [other for other in s.hears(a) if other in posts] for a in s.agents if self.free}
            readers = [agent for agent, others in shown.items() if others]
            drop = yield [self.ask_drop(s, agent, shown[agent], posts) for agent in readers]
            for agent, which in zip(readers, drop, strict=True):
                strangers = [a for a in s.agents if a != agent and a not in s.hears(agent)]
                if isinstance(which, str) and which != "nobody" and strangers:
                    s.unfollow(agent, int(which), step)
                    s.follow(agent, s.chance.sample("new", strangers, 1, step, agent)[0], step)

    def ask_view(self, s: Setting, agent: int) -> str:
        heard = [message.text for message in s.messages if message.author in s.hears(agent)][-8:]
        lines = "\n".join(f"You read: {text}" for text in heard)
        return f"{s.persona(agent)}\n\n{self.topic}\n{lines}\nWhat is your opinion, from -2 (no) to 2 (yes)?"

    def ask_drop(self, s: Setting, agent: int, shown: list[int], posts: dict) -> Ask:
        lines = "\n".join(f"Person {other} posts: {posts[other].text}" for other in shown)
        prompt = f"{s.persona(agent)}\n\n{self.topic}\n{lines}\nWhom do you unfollow? Say the number."
        return Ask(agent, prompt, answer=Literal[("nobody", *map(str, shown))], kind="unfollow")
