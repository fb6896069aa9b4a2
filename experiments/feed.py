"""What a feed does to attention (after Larooij 2025, arXiv:2508.03385, and MOSAIC, arXiv:2504.07830)."""

from collections.abc import Sequence
from typing import Literal

from agentnet import Ask, Play, Setting, WorldExperiment
from agentnet.analysis import gini
from agentnet.feeds import Post, feed
from agentnet.news import NewsItem, choose, sample_news

Action = Literal["like", "share", "comment", "flag", "ignore"]


class Feed(WorldExperiment):
    """Readers see the first posts of a feed and act on each; what is shared or commented on is a new post."""

    n_agents = 16
    repeats = 2
    steps: int = 5
    shown: int = 3
    rule: str = "chronological"
    conditions = tuple({"rule": rule} for rule in ("chronological", "engagement", "bridging"))

    def choose_news(self, seed: int) -> Sequence[NewsItem]:
        return choose(sample_news().items, 3, seed)

    def play(self, s: Setting) -> Play:
        groups = [agent % 2 for agent in s.agents]
        posts = [Post(message, groups=groups) for message in s.messages]
        reads = dict.fromkeys(range(len(posts)), 0)
        for step in range(1, self.steps + 1):
            readers = s.chance.sample("readers", s.agents, len(s.agents) // 2, step)
            shown = [(one, post) for one in readers for post in feed(self.rule, posts, one, self.shown)]
            actions = yield [self.ask(s, reader, post) for reader, post in shown]
            for (reader, post), action in zip(shown, actions, strict=True):
                reads[post.message.number] = reads.get(post.message.number, 0) + 1
                if isinstance(action, str) and action != "ignore":
                    post.note(action, reader)
                if action in ("share", "comment"):
                    text = f"Re: {post.message.text}" if action == "comment" else post.message.text
                    posts.append(Post(s.post(reader, text, post.message, step), groups=groups))
            s.record(step, concentration=gini(list(reads.values())), posts=len(posts))

    def ask(self, s: Setting, reader: int, post: Post) -> Ask:
        likes = len(post.did.get("like", ()))
        seen = f"In your feed:\n{post.message.text}\n({likes} likes)"
        prompt = f"{s.persona(reader)}\n\n{seen}\n\nWhat do you do?"
        message, context = post.message, {"likes": likes}
        return Ask(reader, prompt, answer=Action, kind="action", message=message, context=context)
