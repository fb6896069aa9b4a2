"""How many have to insist until a convention tips? (after Ashery et al., arXiv:2410.08948).

``agentnet report RUN`` draws which share of the others says the new name; in Python,
``agentnet.analysis.tipping_share`` says how many tip them, and ``convergence_time`` when they agree. With
``-S minimal=true`` a rule answers instead of a model: the name that would have won most often of late.
"""

from collections import Counter
from typing import Literal

from agentnet import Ask, Missing, Play, Setting, WorldExperiment

OLD, NEW = "blip", "zarn"
Met = list[tuple[str, str]]  # what one said itself, and what the other said, meeting by meeting


class NamingGame(WorldExperiment):
    """Pairs meet at random; each says a name, and both gain where they say the same.

    Everybody begins with a memory of the old name. A committed minority says the new one whatever happens. A
    round is as many meetings as there are agents, halved.
    """

    n_agents = 24
    repeats = 4
    rounds: int = 15
    memory: int = 5
    committed: float = 0.0
    minimal: bool = False
    conditions = tuple({"committed": share} for share in (0.0, 0.25, 0.5))

    def play(self, s: Setting) -> Play:
        insist = set(s.chance.sample("committed", s.agents, round(self.committed * len(s.agents))))
        met: list[Met] = [[(OLD, OLD)] * 2 for _ in s.agents]
        for number in range(1, self.rounds + 1):
            order = s.chance.shuffled("meetings", s.agents, number)
            pairs = list(zip(order[::2], order[1::2], strict=False))
            asked = [agent for pair in pairs for agent in pair if agent not in insist]
            names = yield [self.question(agent, met[agent][-self.memory :]) for agent in asked]
            said = dict(zip(asked, names, strict=True)) | dict.fromkeys(insist, NEW)
            for one, other in (*pairs, *(pair[::-1] for pair in pairs)):
                if not isinstance(said[one], Missing) and not isinstance(said[other], Missing):
                    met[one].append((said[one], said[other]))
            free = {agent: said[agent] == NEW for agent in asked if isinstance(said[agent], str)}
            s.record(number, new=[free.get(agent) for agent in s.agents])

    def question(self, agent: int, met: Met) -> Ask:
        ends = [(own, name, "won" if own == name else "lost") for own, name in met]
        past = ["You said {}, the other said {}: you {}.".format(*each) for each in ends]
        rules = f"You and another player each say a name, {OLD} or {NEW}, without seeing the other's."
        prompt = "\n".join((rules, "You both win a point if they are the same, and lose one if not.", *past))
        best = Counter(name for _, name in met).most_common(1)[0][0] if self.minimal else None
        return Ask(agent, f"{prompt}\nWhich name do you say?", Literal[OLD, NEW], kind="name", says=best)
