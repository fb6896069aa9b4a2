"""Perspectives of models: coordinates computed from their replies to fixed prompts, and how they change."""
