"""Small designs of every family, whose runs and reports are compared with those of an earlier version."""

from agentnet import CascadeExperiment, InterviewExperiment, ResponseRatioExperiment
from agentnet.interviews import Disruption


class Cascades(CascadeExperiment):
    n_agents = 16
    degree = 3
    steps = 4
    repeats = 1
    items_per_severity = 1


class Ratios(ResponseRatioExperiment):
    items_per_severity = 1
    repeats = 2


class TwoTopologies(InterviewExperiment):
    models = {"society": 2, "science": 2}
    n_evaluation = 2
    n_questions = 2
    n_taught = 4
    steps = 3
    conditions = ({"topology": "full"}, {"topology": "intra_class"})
    repeats = 2


class Disrupted(TwoTopologies):
    models = {"society": 5}
    conditions = ({},)
    repeats = 1

    def make_topology(self):
        return Disruption(2)


class SmallWorld(Cascades):
    network = "watts_strogatz"
    degree = 4
    network_options = {"rewiring": 0.2}
    profiles = {"10000": 1.0, "01101": 2.0, "11111": 0.5}
    max_seed_attempts = 3


class TwoDegrees(Cascades):
    conditions = ({"degree": 3}, {"degree": 6})


class TwoTemperatures(Ratios):
    conditions = ({"temperature": 0.7}, {"temperature": 1.3})


class ReportedCascades(Cascades):
    n_agents = 32
    degree = 4
    steps = 6
    repeats = 2
    rationale = "none"


class ReportedRatios(Ratios):
    items_per_severity = 2
