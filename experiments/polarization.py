"""Polarization of two classes of models (Helm et al. 2024, case study 3): who hears only its own drifts away.

The sizes are those of a trial on the stand-in. The paper's: n_evaluation = 200, n_questions = 100,
n_taught = 1000 (as many as the bank has), on a language model: --update finetune.
"""

from agentnet import InterviewExperiment


class Polarization(InterviewExperiment):
    """5 + 5 models; all hear each other, or only those of their class."""

    models = {"society": 5, "science": 5}
    n_evaluation = 20
    n_questions = 10
    n_taught = 60
    steps = 30
    conditions = ({"topology": "full"}, {"topology": "intra_class"})
