"""How many have to insist until a convention tips? (after Ashery et al., arXiv:2410.08948)."""

from typing import Literal

from agentnet import Ask, Missing, Play, Setting, WorldExperiment

Name = Literal["blip", "zarn"]
OLD, NEW = "blip", "zarn"


class NamingGame(WorldExperiment):
    """Pairs meet at random; each says a name, and both gain where they say the same.

    Everybody begins with a memory of the old name. A committed minority says the new one whatever happens. A
    round is as many meetings as there are agents, halved.
    """

    n_agents = 24
    repeats = 4
    rounds: int = 8
    memory: int = 5
    committed: float = 0.0
    conditions = tuple({"committed": share} for share in (0.0, 0.25, 0.5))

    def play(self, s: Setting) -> Play:
        insist = set(s.chance.sample("committed", s.agents, round(self.committed * len(s.agents))))
        met: list[list[str]] = [[f"You said {OLD}, the other said {OLD}: you won."] * 2 for _ in s.agents]
        for number in range(1, self.rounds + 1):
            order = s.chance.shuffled("meetings", s.agents, number)
            pairs = list(zip(order[::2], order[1::2], strict=False))
            asked = [agent for pair in pairs for agent in pair if agent not in insist]
            names = yield [self.question(agent, met[agent]) for agent in asked]
            said = dict(zip(asked, names, strict=True)) | dict.fromkeys(insist, NEW)
            for one, other in pairs:
                self.remember(met[one], said[one], said[other])
                self.remember(met[other], said[other], said[one])
            free = [said[agent] for agent in asked if not isinstance(said[agent], Missing)]
            s.record(number, new_name=free.count(NEW) / len(free) if free else None)

    def question(self, agent: int, met: list[str]) -> Ask:
        past = "\n".join(met[-self.memory :])
        rules = (
            f"You and another player each say a name, {OLD} or {NEW}, without seeing the other's. You both "
            "win a point if the names are the same, and lose one if not."
        )
        return Ask(agent, f"{rules}\nSo far:\n{past}\nWhich name do you say?", answer=Name, kind="name")

    def remember(self, met: list[str], mine: object, other: object) -> None:
        if isinstance(mine, str) and isinstance(other, str):
            how = "you won" if mine == other else "you lost"
            met.append(f"You said {mine}, the other said {other}: {how}.")
