"""An adversary among models (Helm et al. 2024, case study 2): how many it must reach, and how often.

The sizes are those of a trial on the stand-in; repeats are the paper's five. The paper's sizes:
n_evaluation = 200, n_questions = 100, n_taught = 1000, on a language model: --update finetune. That many need
a bank like the paper's (bank = "train.csv" of Yahoo! Answers): the bundled one has 969 questions on society
and 967 on science, so at most n_taught = 967, and models of a class differ only as far as each is taught a
part of them.
"""

from agentnet import InterviewExperiment
from agentnet.experiment import Condition
from agentnet.interviews import Topology, Vulnerable


class Adversary(InterviewExperiment):
    """5 models and an adversary of another class, the same in all repeats, asked about the adversary's topic.

    Attributes:
        targets: How many of the five hear the adversary when it attacks; several are several conditions.
        attack_every: Steps from one attack to the next; several are several conditions.
    """

    targets: int | tuple[int, ...] = (0, 1, 2, 5)
    attack_every: int | tuple[int, ...] = (2, 5, 10)

    models = {"society": 5, "science": 1}
    evaluation_topics = ("science",)
    n_evaluation = 20
    n_questions = 10
    n_taught = 60
    taught_once = ("science",)
    steps = 20
    repeats = 5

    def make_conditions(self) -> tuple[Condition, ...]:
        """Combine every number of targets with every frequency."""
        return tuple(
            {"targets": targets, "attack_every": every}
            for every in _several(self.attack_every)
            for targets in _several(self.targets)
        )

    def make_topology(self) -> Topology:
        """Let the last model attack."""
        targets, every = _several(self.targets)[0], _several(self.attack_every)[0]
        return Vulnerable(adversary=len(self.classes) - 1, targets=targets, every=every)


def _several(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)
