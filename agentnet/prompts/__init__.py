"""Prompts and replies: (profile, news item) -> messages, and a reply's text -> a decision.

Everything is pure, except that `PromptSet.load` reads the templates.
"""

from agentnet.prompts.prompt_set import (
    FILES,
    Messages,
    PromptSet,
    answer_choices,
    answer_schema,
    conversation,
    prompt_hash,
)
from agentnet.prompts.reply import PROBLEMS, Verdict, parse_reply, well_formed
from agentnet.prompts.wrapping import after_thought
from agentnet.vocabulary import Rationale

__all__ = [
    "FILES",
    "PROBLEMS",
    "Messages",
    "PromptSet",
    "Rationale",
    "Verdict",
    "after_thought",
    "answer_choices",
    "answer_schema",
    "conversation",
    "parse_reply",
    "prompt_hash",
    "well_formed",
]
