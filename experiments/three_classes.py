"""What to ask models so that they can be told apart (Helm et al. 2024, figure 2): relevant questions, or not.

The models are asked once, and hear nobody. ``agentnet report RUN`` draws their perspective space under either
set of questions, and counts the models whose nearest is of their own class.

The sizes are those of a trial on the stand-in; on a language model: --update finetune.
"""

from collections.abc import Sequence
from itertools import product, starmap
from operator import add, mul, sub
from pathlib import Path

from agentnet import InterviewExperiment
from agentnet.interviews import Question, load_bank

TAUGHT = ("society", "science", "works")
SUMS = {"plus": add, "minus": sub, "times": mul}
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ONES = {"three": 3, "four": 4, "five": 5, "seven": 7, "nine": 9}


class ThreeClasses(InterviewExperiment):
    """5 models of each of three classes, asked what their classes were taught, or to reckon, as all were."""

    models = dict.fromkeys(TAUGHT, 5)
    n_evaluation = 20
    n_taught = 60
    steps = 0
    repeats = 5
    conditions = ({"evaluation_topics": TAUGHT}, {"evaluation_topics": tuple(SUMS)})

    def load_questions(self) -> Sequence[Question]:
        """Take the bundled questions, those on novels, plays, operas and paintings, and sums."""
        works = load_bank(Path(__file__).parent / "data" / "works.csv")
        return (*super().load_questions(), *works, *starmap(_sum, product(SUMS, TENS, ONES)))

    def choose_taught(
        self, questions: Sequence[Question], evaluation: Sequence[int], model: int, seed: int
    ) -> Sequence[int]:
        """Teach all models the same sums, and each as many questions of its class's topic."""
        sums = [number for number, question in enumerate(questions) if question.topic in SUMS]
        spread = sums[:: len(sums) // self.n_taught][: self.n_taught]
        return (*spread, *super().choose_taught(questions, evaluation, model, seed))


def _sum(name: str, tens: str, ones: str) -> Question:
    result = SUMS[name](10 * TENS.index(tens) + 20, ONES[ones])
    words = f"{tens} {name} {ones}"
    return Question(words.replace(" ", "-"), name, f"What is {words}?", f"{words.capitalize()} is {result}.")
