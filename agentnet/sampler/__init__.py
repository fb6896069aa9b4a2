"""From prompts to decisions: how many draws of which question, asked how.

The engine hands in the draws of a step (`Draws`); a sampler gets them from a backend and records an `Answer`
for each. Sampler modes differ in how they ask, never in the distribution of what comes back.
"""

from agentnet.sampler.call import CallSampler, Thoughts
from agentnet.sampler.choices import ChoicesSampler, Stock
from agentnet.sampler.draws import Answer, Draws, Judge, Question, Sampler, chosen
from agentnet.sampler.logprobs import LogprobSampler, Odds
from agentnet.sampler.pool import Pool
from agentnet.sampler.rules import RuleSampler

__all__ = [
    "Answer",
    "CallSampler",
    "ChoicesSampler",
    "Draws",
    "Judge",
    "LogprobSampler",
    "Odds",
    "Pool",
    "Question",
    "RuleSampler",
    "Sampler",
    "Stock",
    "Thoughts",
    "chosen",
]
