"""Instruction-tuning of a base model with PyTorch, as in appendix A of Helm et al. (2024).

The marks of the format become tokens of their own, and the model is trained whole, by Adam, on pairs of
instruction and response. Where the paper is silent, this is decided here. As in updates the response alone
is learnt, there is no dropout, warm-up, decay or clipping. A mark's first embedding is the mean of those of
the tokens that spelled it before: nothing is drawn, so that two preparations end in the same bits.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agentnet.errors import StorageError
from agentnet.files import new_folder, storage_errors, tidy
from agentnet.interviews.instructions import CARD_NAME, Instruction, Tuning
from agentnet_backends.finetune_learner import INSTRUCTION_FORM, MARKS, Example, FinetuneOptions, Training
from agentnet_backends.finetune_torch import TorchLearner, mean_loss, n_batches
from agentnet_backends.finetune_torch_load import fingerprint, loading, pretrained, quiet

_TRAINING: Final = "training.safetensors"
_INDEX: Final = "training.json"
_WEIGHT, _MOMENT = "weight/", "adam/"
_FAILED: Final = "the checkpoint could not be written"
_WAY_OUT: Final = "free space, or choose another folder; what was done until the last checkpoint is kept"


def prepare(
    options: FinetuneOptions,
    taught: Sequence[Instruction],
    tuning: Tuning,
    out: Path,
    facts: Mapping[str, object],
    tell: Callable[[int, int, float], None],
) -> dict[str, object]:
    """Train a base model; see `agentnet.interviews.instructions.Preparer`."""
    whole = options.model_copy(update={"method": "full"})
    with loading(whole):
        net, tokenizer = pretrained(whole)
        base = fingerprint(tokenizer, net.named_parameters())
        add_marks(net, tokenizer)
        learner = TorchLearner(net.to(whole.device).eval(), tokenizer, whole, INSTRUCTION_FORM)
    card = _card(whole, base, tuning, facts)
    checkpoint = Checkpoint(out.with_name(f"{out.name}.unfinished"), card)
    losses = _trained(learner, taught, tuning, checkpoint, tell)
    n_steps = len(losses) // tuning.epochs
    by_epoch = [mean_loss(losses[first : first + n_steps]) for first in range(0, len(losses), n_steps)]
    card |= {"pairs": len(taught), **by_epoch[-1], "losses": [each["loss"] for each in by_epoch]}
    with storage_errors(out, "the model could not be written", _WAY_OUT), quiet(), new_folder(out) as folder:
        net.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / CARD_NAME).write_text(json.dumps(card, indent=2) + "\n", "utf-8")
    checkpoint.remove()
    return card


class Checkpoint:
    """A preparation that is not finished, in a folder: weights, Adam's moments, and the losses of all steps.

    Args:
        folder: The folder, which takes the place of an older one whole or not at all.
        begun: What is prepared and how; another preparation does not go on from here.
    """

    def __init__(self, folder: Path, begun: Mapping[str, object]) -> None:
        self._folder = folder
        self._begun = json.loads(json.dumps(begun))

    def write(self, learner: TorchLearner, adam: Any, losses: Sequence[tuple[float, int]]) -> None:  # noqa: ANN401 - an extra's
        """Write all that the next step depends on.

        Raises:
            StorageError: It cannot be written.
        """
        moments = {
            f"{_MOMENT}{number}/{name}": tensor
            for number, state in adam.state_dict()["state"].items()
            for name, tensor in state.items()
        }
        weights = {f"{_WEIGHT}{name}": tensor for name, tensor in learner.state().items()}
        with storage_errors(self._folder, _FAILED, _WAY_OUT), new_folder(self._folder) as folder:
            learner.write({**weights, **moments}, folder / _TRAINING)
            (folder / _INDEX).write_text(json.dumps({"begun": self._begun, "losses": losses}), "utf-8")

    def read(self, learner: TorchLearner, adam: Any) -> list[tuple[float, int]]:  # noqa: ANN401 - an extra's
        """Put `learner` and `adam` where the last checkpoint was, if there is one.

        Returns:
            The losses of the steps that were taken.

        Raises:
            StorageError: It cannot be read, or is of another preparation.
        """
        tidy(self._folder)
        if not self._folder.exists():
            return []
        way_out = f"remove {self._folder} to begin anew"
        try:
            index = json.loads((self._folder / _INDEX).read_text("utf-8"))
            others = sorted(key for key, value in self._begun.items() if index["begun"].get(key) != value)
            losses = [(float(loss), int(count)) for loss, count in index["losses"]]
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise StorageError(f"{self._folder} cannot be read ({error}); {way_out}") from error
        if others:
            raise StorageError(
                f"{self._folder} is of another preparation, which was broken off: its {', '.join(others)} "
                f"differ; give what was given then, another --out, or {way_out}"
            )
        tensors = learner.tensors(self._folder / _TRAINING)
        learner.put({name: tensors[f"{_WEIGHT}{name}"] for name in learner.fresh(0)})
        state = adam.state_dict()
        for name, tensor in tensors.items():
            if name.startswith(_MOMENT):
                number, _, moment = name.removeprefix(_MOMENT).partition("/")
                state["state"].setdefault(int(number), {})[moment] = tensor
        adam.load_state_dict(state)
        return losses

    def remove(self) -> None:
        """Remove what is needed no more."""
        shutil.rmtree(self._folder, ignore_errors=True)


def add_marks(net: Any, tokenizer: Any) -> None:  # noqa: ANN401 - an extra's
    """Make the marks tokens of their own."""
    import torch
    from tokenizers import AddedToken

    known = tokenizer.get_vocab()
    spelled = {
        mark: tokenizer(mark, add_special_tokens=False)["input_ids"] for mark in MARKS if mark not in known
    }
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in spelled])
    with torch.random.fork_rng(devices=[]):  # new rows are drawn, and filled here
        if len(tokenizer) > net.get_input_embeddings().weight.shape[0]:
            net.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for table in (net.get_input_embeddings(), net.get_output_embeddings()):
            for mark, parts in spelled.items():
                table.weight[tokenizer.convert_tokens_to_ids(mark)] = table.weight[parts].mean(0)


def _card(
    options: FinetuneOptions, base: str, tuning: Tuning, facts: Mapping[str, object]
) -> dict[str, object]:
    import torch
    import transformers

    chosen = options.model_dump(include={"model", "revision", "device", "threads", "precision"})
    course = {name: value for name, value in tuning._asdict().items() if name != "checkpoint_every"}
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {"base": chosen.pop("model"), "base_weights": base, **facts, **course, **chosen, **versions}


def _trained(
    learner: TorchLearner,
    taught: Sequence[Instruction],
    tuning: Tuning,
    checkpoint: Checkpoint,
    tell: Callable[[int, int, float], None],
) -> list[tuple[float, int]]:
    """Train from the last checkpoint on; give the summed loss and the tokens of all steps."""
    form = learner.form
    examples = [Example(form.prompt(each.text), form.response(each.response)) for each in taught]
    course = Training(tuning.lr, tuning.epochs, tuning.batch, tuning.seed)
    n_steps = course.epochs * n_batches(examples, course)
    with learner.exact("--batch", "take a machine with more"):
        adam = learner.adam(learner.fresh(0), course)
        losses = checkpoint.read(learner, adam)
        tell(len(losses), n_steps, math.nan)
        for loss, count in learner.steps(adam, examples, course, n_done=len(losses)):
            losses.append((loss, count))
            tell(len(losses), n_steps, loss / count)
            if len(losses) % tuning.checkpoint_every == 0:
                checkpoint.write(learner, adam, losses)
    return losses
