"""CPU per agent's turn of mesa-llm without its language model: the peer of ``worlds.py``.

It runs by a Python of its own. Pairs meet at every turn, as in design ``free``: an agent looks around, plans
by its chain of thought on its short-term memory, and applies the plan, which is to speak to the other by
mesa-llm's tool. A ready-made reply stands for litellm, so that only mesa-llm's work counts.

    /tmp/venv/bin/python benchmarks/worlds_mesa.py [--display]       (pip install mesa-llm==0.3.2)

With --display agents show what they remember, as is mesa-llm's default; its output is best thrown away.
"""

import json
import os
import random
import sys
import time
from types import SimpleNamespace

os.environ["OPENAI_API_KEY"] = "none"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

from mesa.model import Model
from mesa_llm import module_llm
from mesa_llm.llm_agent import LLMAgent
from mesa_llm.memory.st_memory import ShortTermMemory
from mesa_llm.reasoning.cot import CoTReasoning
from mesa_llm.tools import inbuilt_tools  # noqa: F401 - registers them

N_AGENTS, STEPS, REMEMBERED = 200, 5, 3


def reply_to(other: int) -> SimpleNamespace:
    """Make a reply that speaks to an agent."""
    said = {"listener_agents_unique_ids": [other], "message": "It is said again."}
    call = SimpleNamespace(
        id="1", type="function", function=SimpleNamespace(name="speak_to", arguments=json.dumps(said))
    )
    message = SimpleNamespace(role="assistant", content="I pass it on.", tool_calls=[call])
    return SimpleNamespace(choices=[SimpleNamespace(message=message)])


class Talker(LLMAgent):
    """An agent that speaks to whom it meets."""

    def __init__(self, model: Model, *, display: bool) -> None:
        super().__init__(model, CoTReasoning, llm_model="openai/gpt-4o-mini", step_prompt="Answer.")
        self.memory = ShortTermMemory(self, n=REMEMBERED, display=display)

    def turn(self, other: "Talker") -> None:
        """Think, and say something."""
        module_llm.completion = lambda **_: reply_to(other.unique_id)
        self.apply_plan(self.reasoning.plan(obs=self.generate_obs(), selected_tools=["speak_to"]))


class World(Model):
    """Pairs that meet at random."""

    def __init__(self, *, display: bool) -> None:
        super().__init__(rng=1)
        self.talkers = [Talker(self, display=display) for _ in range(N_AGENTS)]

    def step(self) -> None:
        """Let all meet."""
        for agent in self.talkers:
            agent.memory.process_step(pre_step=True)
        order = random.Random(self.steps).sample(self.talkers, N_AGENTS)
        for one, other in zip(order[::2], order[1::2], strict=True):
            one.turn(other)
            other.turn(one)
        for agent in self.talkers:
            agent.memory.process_step()


def main() -> None:
    """Print CPU seconds a turn of an agent, last."""
    world = World(display="--display" in sys.argv)
    world.step()
    begun = time.process_time()
    for _ in range(STEPS):
        world.step()
    spent = (time.process_time() - begun) / (STEPS * N_AGENTS)
    heard = str(world.talkers[0].memory.format_short_term())
    assert "It is said again." in heard, heard
    print(spent)


if __name__ == "__main__":
    main()
