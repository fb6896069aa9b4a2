"""Update rule ``finetune``: seconds and memory of teaching, evaluation, interviews and updates.

It plays, with random weights and the bundled question bank, what a step of Helm et al. (2024) asks of each
model: the evaluation set is answered, a model is interviewed, and one is updated by the answers. Random
models seldom end an answer, so that answers are as long as they may be: figures are upper bounds. Work is
counted as 6 (training), 4 (training adapters) or 2 (answering) floating-point operations for each parameter
outside the input embedding and each token, filled-up rows and columns left out; its share is that of the
fastest product of two large matrices that was measured on the same device in the same precision.

    python benchmarks/finetune.py [--device cuda --size 410m --precision bfloat16 --method lora] [--json]

Needs the extra finetune. A figure is printed only if it was measured here.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import runpy
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from figures import tell

from agentnet.embedder import make_embedder
from agentnet.interviews import BANK, Asked, Pair, Question, System
from agentnet.interviews.bank import load_bank
from agentnet_backends.finetune_learner import INSTRUCTION_FORM, FinetuneOptions
from agentnet_backends.update_finetune import FinetuneModels, FinetuneRule

MAKER = Path(__file__).parent.parent / "tests" / "finetune" / "tiny_model.py"
SIDE = {"cpu": 2048, "cuda": 8192}


def main() -> None:
    """Measure, and print a table or JSON."""
    chosen = arguments()
    with tempfile.TemporaryDirectory() as folder:
        maker = runpy.run_path(str(MAKER))
        maker["make_model"](Path(folder), size=maker["SIZES"][chosen.size])
        options = FinetuneOptions(
            model=folder,
            method=chosen.method,
            device=chosen.device,
            precision=chosen.precision,
            threads=chosen.threads,
            batch=chosen.batch,
            answer_batch=chosen.answer_batch,
        )
        figures = asyncio.run(measured(options, chosen))
    if chosen.json:
        # One model after the other is no turn: each figure is of all of them.
        apart = {
            f"{name}: {of}": value for name, row in figures["phases"].items() for of, value in row.items()
        }
        tell(
            {name: [value] for name, value in {**figures, **apart}.items() if isinstance(value, int | float)}
        )
    else:
        show(figures)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="tiny", choices=("tiny", "410m"))
    parser.add_argument("--method", default="lora", choices=("full", "lora"))
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--threads", type=int, help="threads of PyTorch on the CPU")
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--taught", type=int, default=400, help="pairs of the first teaching")
    parser.add_argument("--evaluation", type=int, default=400, help="questions of the evaluation set")
    parser.add_argument("--questions", type=int, default=100, help="questions of an interview")
    parser.add_argument("--max-tokens", type=int, default=48, help="tokens of an answer at most")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--answer-batch", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


async def measured(options: FinetuneOptions, chosen: argparse.Namespace) -> dict[str, Any]:
    """Play one step for each model."""
    rule, bank = FinetuneRule(options), load_bank()
    began = time.perf_counter()
    system = System(("society",) * chosen.models, bank, chosen.max_tokens, make_embedder("hash", {}), seed=1)
    models = await rule.begin(system)
    figures: dict[str, Any] = {"device": device_name(options.device), "load_s": time.perf_counter() - began}
    learner: Any = rule._learner  # noqa: SLF001 - what was loaded is what is measured
    n_outside, n_trained = sizes(learner)
    peak = await rule.work(products_per_s, options, learner)
    figures |= {
        "method": options.method,
        "precision": options.precision,
        "threads": await rule.work(n_threads),
        "parameters_outside_input_embedding": n_outside,
        "parameters_trained": n_trained,
        "models": chosen.models,
        "fastest_product_tflops": peak / 1e12,
    }
    taught = [Pair(question, question.answer, 0, BANK) for question in bank[: chosen.taught]]
    training = 4 if options.method == "lora" else 6
    phases: dict[str, list[Work]] = {}
    for model in range(chosen.models):
        lesson = await timed_update(models, model, 0, taught, learner)
        evaluation = await timed_answers(models, model, bank[: chosen.evaluation])
        interview = await timed_answers(models, model, bank[: chosen.questions])
        heard = [
            Pair(question, text or "None.", 1, 0)
            for question, text in zip(bank[: chosen.questions], interview[-1], strict=True)
        ]
        update = await timed_update(models, model, 1, heard, learner)
        for name, (work, *_), cost, passes in (
            ("teaching", lesson, training, options.initial_epochs),
            ("evaluation", evaluation, 2, 1),
            ("interview", interview, 2, 1),
            ("update", update, training, options.epochs),
        ):
            done = work._replace(tokens=work.tokens * passes, cost=cost)
            phases.setdefault(name, []).append(done)
    figures["phases"] = {name: phase(runs, n_outside, peak) for name, runs in phases.items()}
    figures["checkpoint"] = await timed_checkpoint(models)
    figures |= memory(options.device)
    await models.aclose()
    await rule.aclose()
    return figures


class Work(NamedTuple):
    """One call.

    Attributes:
        seconds: By the clock.
        cpu_s: Of all processors; more telling where others use them, too.
        tokens: How many were computed.
        cost: Operations for each parameter and token.
    """

    seconds: float
    cpu_s: float
    tokens: int
    cost: int = 0


class Watch:
    """Measures from its making on."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def read(self, tokens: int) -> Work:
        """Tell what it took."""
        return Work(time.perf_counter() - self._began[0], time.process_time() - self._began[1], tokens)


def phase(runs: Sequence[Work], n_parameters: int, peak: float) -> dict[str, float]:
    """Sum up what was done for each model."""
    rate = sum(work.tokens for work in runs) / sum(work.seconds for work in runs)
    return {
        "seconds_a_model": statistics.median(work.seconds for work in runs),
        "cpu_seconds_a_model": statistics.median(work.cpu_s for work in runs),
        "tokens_a_second": rate,
        "share_of_fastest_product": rate * runs[0].cost * n_parameters / peak,
    }


async def timed_answers(
    models: FinetuneModels, model: int, questions: Sequence[Question]
) -> tuple[Work, list[str]]:
    """Let a model answer; tokens are those of prompts and answers."""
    asked = [Asked(question, "evaluation", 0.0, seed) for seed, question in enumerate(questions)]
    watch = Watch()
    replies = await models.answer(model, 1, asked)
    tokens = sum((reply.prompt_tokens or 0) + (reply.completion_tokens or 0) for reply in replies)
    return watch.read(tokens), [reply.texts[0] for reply in replies]


async def timed_update(
    models: FinetuneModels,
    model: int,
    step: int,
    pairs: Sequence[Pair],
    learner: Any,  # noqa: ANN401 - an extra's
) -> tuple[Work]:
    """Update a model; tokens are those of one pass, the instructions' included."""
    form = INSTRUCTION_FORM
    texts = [form.prompt(pair.question.text) + form.response(pair.answer) for pair in pairs]
    tokens = sum(len(learner._tokens(text)) for text in texts)  # noqa: SLF001 - counted as it counts
    watch = Watch()
    await models.update(model, step, pairs, seed=step)
    return (watch.read(tokens),)


async def timed_checkpoint(models: FinetuneModels) -> dict[str, float]:
    """Write and read one checkpoint."""
    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.perf_counter()
        await models.save(folder)
        saved = time.perf_counter()
        size = size_of(folder)
        await models.restore(folder)
        return {
            "save_s": saved - began,
            "restore_s": time.perf_counter() - saved,
            "size_mb": size / 1e6,
        }


def size_of(folder: Path) -> int:
    """Add up the files of a folder, in bytes."""
    return sum(path.stat().st_size for path in folder.iterdir())


def sizes(learner: Any) -> tuple[int, int]:  # noqa: ANN401 - an extra's
    """Count the parameters outside the input embedding, and those that are trained."""
    net = learner._net  # noqa: SLF001 - as above
    n_all = sum(parameter.numel() for parameter in net.parameters())
    trained = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    return n_all - net.get_input_embeddings().weight.numel(), trained


def products_per_s(options: FinetuneOptions, learner: Any) -> float:  # noqa: ANN401 - an extra's
    """Measure the fastest of ten products of two large matrices, in floating-point operations a second."""
    import torch

    device = torch.device(options.device)
    side = SIDE.get(device.type, 4096)
    dtype = torch.bfloat16 if options.precision == "bfloat16" else torch.float32
    left = torch.ones((side, side), dtype=dtype, device=device)
    best = float("inf")
    with learner.exact("finetune.batch"):
        for _ in range(10):
            began = time.perf_counter()
            (left @ left)[0, 0].item()
            best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def n_threads() -> int:
    """Tell how many threads PyTorch uses in the rule's thread."""
    import torch

    return int(torch.get_num_threads())


def device_name(device: str) -> str:
    """Name the device as PyTorch does."""
    import torch

    return str(torch.cuda.get_device_name(device)) if device.startswith("cuda") else "cpu"


def memory(device: str) -> dict[str, float]:
    """Tell the largest memory of the process, and of the device."""
    import torch

    unit = 1e6 if sys.platform == "darwin" else 1e3
    found = {"process_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}
    if device.startswith("cuda"):
        found["device_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
    return found


def show(figures: dict[str, Any]) -> None:
    """Print the figures for people."""
    for name, value in figures.items():
        if name not in {"phases", "checkpoint"}:
            print(f"{name:36} {value:,.2f}" if isinstance(value, float) else f"{name:36} {value}")
    titles = ("s a model", "CPU s", "tokens/s", "of the fastest product")
    print(f"\n{'':12} {titles[0]:>10} {titles[1]:>10} {titles[2]:>10} {titles[3]:>24}")
    for name, of_phase in figures["phases"].items():
        seconds, cpu_s, rate, share = of_phase.values()
        print(f"{name:12} {seconds:10.2f} {cpu_s:10.2f} {rate:10,.0f} {share:24.1%}")
    print(
        "\ncheckpoint: " + ", ".join(f"{name} {value:.2f}" for name, value in figures["checkpoint"].items())
    )


if __name__ == "__main__":
    main()
