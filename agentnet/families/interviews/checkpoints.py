"""The states of models on disk, so that a resumed run need not update them all over again.

Of each realization the last complete one is kept: a folder is written under a temporary name, then renamed,
and only then is the one before removed.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agentnet.errors import StorageError
from agentnet.interviews import Models

_STEP = re.compile(r"step-(\d+)")


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one realization.

    Attributes:
        folder: Where they are; made when the first is written.
        every: Steps from one to the next, >= 1; 0 for none at all.
    """

    folder: Path
    every: int

    def is_due(self, step: int) -> bool:
        """Say whether the states are to be saved after the updates of `step`."""
        return self.every > 0 and step % self.every == 0

    async def save(self, models: Models, step: int) -> None:
        """Save `models` as they stand after the updates of `step`.

        Raises:
            StorageError: They cannot be written.
        """
        place = self.folder / f"step-{step:05d}"
        made = place.with_suffix(".new")
        try:
            await asyncio.to_thread(_make_empty, made)
            await models.save(made)
            await asyncio.to_thread(self._replace, made, place)
        except OSError as error:
            raise StorageError(
                f"{self.folder}: the models cannot be saved ({error}); free disk space or mend the folder's "
                "permissions, then resume the run"
            ) from error

    async def restore(self, models: Models) -> int:
        """Restore `models` from the last checkpoint.

        Returns:
            The step after whose updates they stand; -1 if there is no checkpoint.

        Raises:
            StorageError: It cannot be read.
        """
        found = self._found() if self.every else []
        if not found:
            return -1
        step, place = found[-1]
        try:
            await models.restore(place)
        except OSError as error:
            raise StorageError(f"{place}: the models cannot be restored ({error})") from error
        return step

    async def drop(self) -> None:
        """Remove all of them: the realization is finished."""
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        # The folder of all realizations goes with the last of them.
        with suppress(OSError):
            self.folder.parent.rmdir()

    def _found(self) -> list[tuple[int, Path]]:
        steps = [(_STEP.fullmatch(path.name), path) for path in self.folder.glob("step-*")]
        return sorted((int(match[1]), path) for match, path in steps if match)

    def _replace(self, made: Path, place: Path) -> None:
        older = [path for _, path in self._found()]
        shutil.rmtree(place, ignore_errors=True)
        made.rename(place)
        for path in older:
            if path != place:
                shutil.rmtree(path, ignore_errors=True)


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
