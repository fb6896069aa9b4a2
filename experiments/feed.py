"""What a feed does to attention (after Larooij 2025, arXiv:2508.03385, and MOSAIC, arXiv:2504.07830).

``agentnet report RUN`` draws by rule how attention concentrates on few posts (Gini), and how many news reach.
"""

from collections.abc import Sequence
from typing import Literal

from agentnet import Ask, Play, Setting, WorldExperiment
from agentnet.analysis import gini
from agentnet.feeds import Post, feed
from agentnet.news import NewsItem, choose, sample_news

Action = Literal["like", "share", "comment", "flag", "ignore"]


class Feed(WorldExperiment):
    """Readers see the first posts of a feed, each post once; what is shared or commented on is a new post."""

    n_agents, repeats = 16, 2
    steps: int = 5
    shown: int = 3  # posts a reader at a step
    rule: str = "chronological"
    conditions = tuple({"rule": rule} for rule in ("chronological", "engagement", "bridging"))

    def choose_news(self, seed: int) -> Sequence[NewsItem]:
        return choose(sample_news().items, 3, seed)

    def play(self, s: Setting) -> Play:
        groups = [agent % 2 for agent in s.agents]
        posts = [Post(message, groups=groups) for message in s.messages]
        read: list[set[int]] = [set() for _ in posts]  # who read each post
        reached: list[set[int]] = [set() for _ in posts]  # and each news item, in whatever post
        item = list(range(len(posts)))  # which news item each post goes back to
        for step in range(1, self.steps + 1):
            readers = s.chance.sample("readers", s.agents, len(s.agents) // 2, step)
            shown = [(reader, post) for reader in readers for post in self.feed(posts, read, reader)]
            actions = yield [self.ask(s, reader, post) for reader, post in shown]
            for (reader, post), action in zip(shown, actions, strict=True):
                number = post.message.number
                read[number].add(reader)
                reached[item[number]].add(reader)
                if isinstance(action, str) and action != "ignore":
                    post.note(action, reader)
                if action in ("share", "comment"):
                    text = ("Re: " if action == "comment" else "") + post.message.text
                    posts.append(Post(s.post(reader, text, post.message, step), groups=groups))
                    read.append({reader})
                    item.append(item[number])
            reach = sum(map(len, reached)) / len(reached) / len(s.agents)
            s.record(step, concentration=gini(list(map(len, read))), reach=reach)

    def feed(self, posts: list[Post], read: list[set[int]], reader: int) -> list[Post]:
        unread = (post for post in posts if reader not in read[post.message.number])
        return feed(self.rule, unread, reader, self.shown)

    def ask(self, s: Setting, reader: int, post: Post) -> Ask:
        message, likes = post.message, len(post.did.get("like", ()))
        prompt = f"{s.persona(reader)}\n\nIn your feed:\n{message.text}\n({likes} likes)\n\nWhat do you do?"
        return Ask(reader, prompt, Action, kind="action", message=message, context={"likes": likes})
