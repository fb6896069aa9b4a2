"""The backends that come with agentnet, found through the same entry points as anybody's."""
