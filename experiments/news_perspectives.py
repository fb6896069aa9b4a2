"""Perspectives of the 32 profiles: what each says about a fixed set of questions on news and on itself.

The profiles are those of the news cascades (Tian et al. 2026), told who they are by the same system message;
their perspectives are those of Helm et al. (2024). Whether these predict how often a profile shares news:

    agentnet run experiments/news_perspectives.py --out runs/perspectives
    agentnet run experiments/response_ratios.py --out runs/ratios
    agentnet predict perspectives ratios

The mock repeats what a profile was told of itself, so that its perspectives say as much as the five traits.
With a language model: --backend vllm or openai; -S temperature=0.7 -S repeats=5 averages over five answers to
each question. -S bank=FILE asks questions of your own.
"""

from collections.abc import Sequence
from pathlib import Path

from agentnet import InterviewExperiment
from agentnet.interviews import Question
from agentnet.profiles import all_profiles
from agentnet.prompts import PromptSet

QUESTIONS = {
    "judging": (
        "What makes a piece of news worth your time?",
        "How do you decide whether a report is true?",
        "What do you do when two reports contradict each other?",
        "How do you feel about headlines that seem too good to be true?",
        "When do you read a whole article instead of its first lines?",
    ),
    "trust": (
        "Whose word do you take on what is going on in the world?",
        "What would make you stop believing a source you used to trust?",
        "How much do you rely on what your friends tell you about the news?",
        "What do you think of people who report from the scene with their phones?",
        "How do you treat news from a place you have never heard of?",
    ),
    "sharing": (
        "What goes through your mind before you pass something on?",
        "Which news do you keep to yourself?",
        "Whom do you tell first when you hear something surprising?",
        "How would you feel if something you passed on turned out to be wrong?",
        "What do you hope for when you post something?",
    ),
    "events": (
        "How do you take news of violence far away?",
        "What do you do when you hear of a peaceful protest in your town?",
        "How does a week full of bad news leave you?",
        "What do you say when everybody around you talks about a disaster?",
        "Which event would you never stop talking about?",
    ),
    "others": (
        "What do you do when somebody disagrees with you in public?",
        "How do you answer a neighbor who spreads a rumor?",
        "What do you owe to the people who follow you?",
        "How do you join a conversation among strangers?",
        "When do you change your mind because of others?",
    ),
    "self": (
        "How would a good friend describe you?",
        "What do you do with a free evening?",
        "How do you prepare for something important?",
        "What keeps you awake at night?",
        "What was the last new thing you tried, and why?",
    ),
}


class NewsPerspectives(InterviewExperiment):
    """32 models, one of each profile, which are asked and never interview each other.

    Attributes:
        prompts: A folder of templates that replace the package's, as for news cascades, or None.
    """

    prompts: Path | None = None

    models = {profile.bits: 1 for profile in all_profiles()}
    steps = 0
    topology = "nobody"
    n_taught = 0
    update = "none"
    update_options = {"none": {"instructions": "Answer in one or two short sentences."}}
    temperature = 0.0
    max_tokens = 96

    def system_messages(self) -> tuple[str, ...]:
        """Tell every model its profile, as agents of a news cascade are told."""
        prompts = PromptSet.load(self.prompts)
        told = {profile.bits: prompts.system_message(profile) for profile in all_profiles()}
        return tuple(told[bits] for bits in self.classes)

    def load_questions(self) -> tuple[Question, ...]:
        """Make the questions above, which have no right answer; or read a file."""
        if self.bank != "bundled":
            return super().load_questions()
        return tuple(
            Question(f"{topic}-{number}", topic, text, "")
            for topic, texts in QUESTIONS.items()
            for number, text in enumerate(texts, 1)
        )

    def choose_evaluation(self, questions: Sequence[Question], seed: int) -> tuple[int, ...]:  # noqa: ARG002 - nothing is drawn
        """Ask all of them."""
        return tuple(range(len(questions)))
