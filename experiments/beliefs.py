"""Random pairs: one writes, the other reads and says where it stands (after Chuang et al., 2311.09618).

``agentnet report RUN`` draws the bias (the mean stance) and the diversity (its spread) of each condition over
time, and lists what was written.
"""

from typing import Literal

from agentnet import Ask, Missing, Play, Setting, WorldExperiment
from agentnet.analysis.opinions import diversity

Stance = Literal[-2, -1, 0, 1, 2]


class Beliefs(WorldExperiment):
    """Twenty people about one claim, with a memory of what they read; confirmation bias is a condition."""

    n_agents = 20
    repeats = 3
    steps: int = 40
    memory: int = 10
    claim: str = "The earth is warming because of what people do."
    nudge: str = ""
    conditions = ({"nudge": ""}, {"nudge": "You only trust what agrees with what you think."})

    def play(self, s: Setting) -> Play:
        read: list[list[str]] = [[] for _ in s.agents]
        stance = yield [self.ask_stance(s, agent, read[agent]) for agent in s.agents]
        s.record(0, stance=stance, diversity=diversity(stance))
        for step in range(1, self.steps + 1):
            writer, reader = s.chance.pair("dyad", step, len(s.agents))
            task = "Write one short post about it."
            (post,) = yield [Ask(writer, self.prompt(s, writer, read[writer], task), answer=str, kind="post")]
            if not isinstance(post, Missing):
                message = s.post(writer, post, step=step)
                read[reader].append(post)
                (now,) = yield [self.ask_stance(s, reader, read[reader], source=writer, message=message)]
                stance[reader] = now
            s.record(step, stance=stance, diversity=diversity(stance))

    def ask_stance(self, s: Setting, agent: int, read: list[str], **about: object) -> Ask:
        prompt = self.prompt(s, agent, read, "Where do you stand, from -2 (it is false) to 2 (it is true)?")
        return Ask(agent, prompt, answer=Stance, kind="stance", context={"n_read": len(read)}, **about)

    def prompt(self, s: Setting, agent: int, read: list[str], task: str) -> str:
        heard = "\n".join(f"You read: {text}" for text in read[-self.memory :])
        parts = (s.persona(agent), self.nudge, f"The claim: {self.claim}", heard, task)
        return "\n\n".join(filter(None, parts))
