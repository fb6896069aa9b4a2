"""Polarization of two classes of models (Helm et al. 2024, case study 3): who hears only its own drifts away.

The sizes are those of a trial on the stand-in; repeats are the paper's four. The paper's sizes:
n_evaluation = 200, n_questions = 100, n_taught = 1000, on a language model: --update finetune. That many need
a bank like the paper's (bank = "train.csv" of Yahoo! Answers): the bundled one has 969 questions on society
and 967 on science, so at most n_taught = 967, and models of a class differ only as far as each is taught a
part of them.
"""

from agentnet import InterviewExperiment


class Polarization(InterviewExperiment):
    """5 + 5 models; all hear each other, or only those of their class."""

    models = {"society": 5, "science": 5}
    n_evaluation = 20
    n_questions = 10
    n_taught = 60
    steps = 30
    repeats = 4
    conditions = ({"topology": "full"}, {"topology": "intra_class"})
