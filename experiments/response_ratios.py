"""The response ratios of Tian et al. (2026), section 2.4.1: every profile on 50 news items, 10 times each."""

from agentnet import ResponseRatioExperiment


class ResponseRatios(ResponseRatioExperiment):
    """25 news items of each severity x 32 profiles x 10 repeats = 16,000 decisions."""

    items_per_severity = 25
    repeats = 10
    temperature = (0.7, 1.3)
