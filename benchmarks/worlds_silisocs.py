"""CPU per agent's turn of SiliSocS without a language model: another peer of ``worlds.py``.

It runs by a Python of its own. Agents of its Twitter-like environment act once a step: each is shown its
timeline and posts, as in design ``free`` each says something to whom it meets. Its scripted model stands for
a language model. Seconds are those of more steps less those of fewer, so that starting counts for nothing;
what it writes at its end by default, but no checkpoints.

    /tmp/venv/bin/python benchmarks/worlds_silisocs.py       (pip install silisocs==0.4.0)
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

N_AGENTS, FEWER, MORE = 50, 1, 5


class Posting:
    """What the scripted model says: each posts, whatever it is shown."""

    def sample_text(self, prompt: str, *, model: object) -> str:  # noqa: ARG002 - as it is called
        """Answer in words."""
        return "It is said again."

    def sample_tool_calls(self, prompt: str, tools: list[Any], *, model: object) -> list[Any]:  # noqa: ARG002
        """Answer by an action."""
        from silisocs.runtime.types import ToolCall

        return [ToolCall("create_tweet", {"status": "It is said again."})]


def seconds(steps: int) -> float:
    """Measure the CPU seconds of a simulation."""
    scripted = {"behavior_class_path": "worlds_silisocs.Posting"}
    simulation = {
        "llm": {"provider": "scripted", "name": "scripted", "extra_kwargs": scripted},
        "tool_calling": {"mode": "multi"},
        "checkpoint": {"every_n_steps": 0},
        "engine": {
            "turn_policy": {"built_in": "single_action", "class_path": None, "params": {}},
            "participation": {"built_in": "all", "class_path": None, "params": {}},
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        overlay = Path(folder) / "conf"
        overlay.mkdir()
        (overlay / "sim.yaml").write_text(yaml.safe_dump(simulation), "utf-8")
        command = [
            *(sys.executable, "-m", "silisocs.runtime.runner", "--overlay-config-path", str(overlay)),
            *("world=default", "agents=default", "env=twitter_like", "seed=1", "scenario_name=bench"),
            *(f"num_agents={N_AGENTS}", f"num_steps={steps}"),
            "env.gm.components.resolve.built_in=tool_calling",
            "env.gm.components.update.built_in=disabled",
            "env.gm.components.observe.params.timeline_mode=follower_chronological",
            *(f"output_rootname={folder}/out", f"hydra.run.dir={folder}/hydra"),
        ]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        begun = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environ)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime


if __name__ == "__main__":
    print((seconds(MORE) - seconds(FEWER)) / (N_AGENTS * (MORE - FEWER)))
