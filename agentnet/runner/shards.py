"""Shards of one run: whether they belong together, what of them is to be played yet, and one log of all."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from agentnet.config import Settings, Shard, fixed_settings
from agentnet.errors import RunFolderError
from agentnet.events import LOG_NAME, Run, check_unchanged, check_unplayed
from agentnet.events.merge import merge_logs
from agentnet.events.read import SHARDS_NAME, EmptyLog, shards_in
from agentnet.events.spent import PLEDGED
from agentnet.runner.play import freeze, is_frozen

Metas = Mapping[Path, Mapping[str, Any]]
"""Folder of a shard -> table ``meta`` of its log."""

_OWN: Final = frozenset(
    {"run", "created_at", "status", "finished_at", "digest", "checksums", PLEDGED, "shard", "asked_again"}
)
"""Keys of table ``meta`` in which shards of one run differ."""


def shard_folder(folder: Path, shard: Shard) -> Path:
    """Name the folder of a shard of the run in `folder`."""
    return folder / SHARDS_NAME / shard.name


def check_alike(folder: Path) -> None:
    """Make sure that a shard is one of the same run as those beside it.

    Args:
        folder: Its folder.

    Raises:
        RunFolderError: It is not; says in what they differ.
    """
    _check_alike(folder, begun(folder.parent.parent))


def _check_alike(folder: Path, metas: Metas) -> None:
    mine = metas[folder]
    for other, theirs in metas.items():
        if differ := list(_differences(mine, theirs)):
            raise RunFolderError(
                f"{folder} is a shard of another run than {other}, which has {'; '.join(differ)}: name "
                "another folder by --out, or remove the shard that is not meant"
            )


def begun(folder: Path) -> dict[Path, dict[str, Any]]:
    """Give table ``meta`` of the shards of a run in which something stands, by their folders, in order."""
    found = {}
    for shard in shards_in(folder):
        with suppress(EmptyLog):
            found[shard] = Run(shard).meta
    return found


def left_of(folder: Path) -> int:
    """Count the shards of a run that are not finished, those that were not begun among them."""
    metas = list(begun(folder).values())
    n_shards: int = metas[0]["shard"][1]
    return n_shards - [meta["status"] for meta in metas].count("finished")


def _differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """Say in what a run is another one, whatever may change when one run is gone on with."""
    (_, n_ours, at_once), (_, n_theirs, at_once_theirs) = mine["shard"], theirs["shard"]
    if n_ours != n_theirs:
        yield f"{n_theirs} shards and not {n_ours}"
    elif at_once != at_once_theirs:
        yield f"{at_once_theirs or 'all'} shards at once and not {at_once or 'all'}"
    # Most are alike to the letter.
    unlike = [key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]
    for key in sorted(set(unlike) - _OWN):
        ours, others = _known(key, mine.get(key)), _known(key, theirs.get(key))
        if ours == others:
            continue
        if isinstance(ours, dict) and isinstance(others, dict):
            names = [name for name in ours.keys() | others.keys() if ours.get(name) != others.get(name)]
            yield f"other {key} ({', '.join(sorted(names))})"
        else:
            yield f"{key} {_short(others)} and not {_short(ours)}"


def _known(key: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    """Leave of a row of table ``meta`` what must be the same in all shards."""
    match key:
        case "settings":
            return fixed_settings(Settings.from_json(json.dumps(value)))
        case "versions":
            # Machines of one cluster are not all alike.
            return {name: each for name, each in value.items() if name != "platform"}
        case "experiment":
            return {name: each for name, each in value.items() if name != "path"}
        case _:
            return value


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_unsharded(folder: Path) -> None:
    """Make sure that a run is not played in shards.

    Raises:
        RunFolderError: It is.
    """
    if shards_in(folder):
        name = shlex.quote(str(folder))
        raise RunFolderError(
            f"{folder} holds shards of a run; name another folder by --out, or see how to go on with that: "
            f"agentnet run --resume {name}"
        )


def check_unmerged(folder: Path) -> None:
    """Make sure that no log was made of a run's shards yet.

    Raises:
        RunFolderError: There is one.
    """
    if (folder / LOG_NAME).exists():
        raise RunFolderError(
            f"{folder} holds a whole run already; look at it with: agentnet show {shlex.quote(str(folder))}"
        )


def merge(folder: Path) -> bool:
    """Make the one log of a run that was played in shards.

    Args:
        folder: The run folder.

    Returns:
        Whether it was made now; it was before, of the same shards, if not.

    Raises:
        RunFolderError: A shard is missing, unfinished, played at this moment, damaged, or another run's; or
            the folder holds another run.
        StorageError: The log cannot be written.
    """
    metas = begun(folder)
    is_new = not (folder / LOG_NAME).exists()
    if is_new:
        _merge(folder, metas)
    else:
        _check_merged(folder, metas)
        check_unchanged(Run(folder))
    parquet = Settings.from_json(json.dumps(Run(folder).meta["settings"])).log.parquet
    if is_new or not is_frozen(folder, parquet=parquet):
        freeze(folder, parquet=parquet)
    return is_new


def _merge(folder: Path, metas: Metas) -> None:
    if not metas:
        raise RunFolderError(
            f"{folder} holds no shards; play them by: agentnet run FILE --shard 1/4 --out {folder}"
        )
    _check_alike(next(iter(metas)), metas)
    _check_all_there(folder, metas)
    for shard in metas:
        check_unchanged(Run(shard))
    merge_logs(metas, folder, _meta(folder, metas))


def _check_merged(folder: Path, metas: Metas) -> None:
    rows = Run(folder).rows("SELECT detail FROM incidents WHERE kind = 'merged'")[1]
    if not rows and not metas:
        raise RunFolderError(f"{folder} is no run that was played in shards: there is nothing to merge")
    then = json.loads(rows[-1][0])["digests"] if rows else {}
    now = {shard.name: meta.get("digest") for shard, meta in metas.items()}
    if not rows or any(then.get(name) != digest for name, digest in now.items()):
        raise RunFolderError(
            f"{folder} holds a log that was not made of the shards in it: move {folder / LOG_NAME} away if "
            "it is to be made of them"
        )


def _check_all_there(folder: Path, metas: Metas) -> None:
    """Make sure that every shard was begun, and is finished.

    Raises:
        RunFolderError: Names those that are not.
    """
    _, of, at_once = next(iter(metas.values()))["shard"]
    there = {meta["shard"][0] for meta in metas.values()}
    absent = [f"{number}/{of}" for number in range(1, of + 1) if number not in there]
    if at_once and absent:
        raise RunFolderError(
            f"{folder} cannot be merged: what was begun with the other shards is gone ({', '.join(absent)}): "
            f"put it back into {folder / SHARDS_NAME}, or play the run anew in another folder"
        )
    unfinished = []
    for shard, meta in metas.items():
        if meta["status"] != "finished":
            check_unplayed(shard)
            unfinished.append(str(Shard(*meta["shard"])))
    told = [*_told(absent, "was", "were", "not begun"), *_told(unfinished, "is", "are", "not finished")]
    if told:
        name = shlex.quote(str(folder))
        way_out = f", each by what begins it: agentnet run FILE --shard NUMBER/{of} --out {name}"
        if at_once:
            way_out = f": agentnet run --resume {name}"
        raise RunFolderError(f"{folder} cannot be merged yet: {'; '.join(told)}. Play what is left{way_out}")


def _told(shards: Sequence[str], of_one: str, of_many: str, state: str) -> Iterator[str]:
    if shards:
        some, verb = ("shard", of_one) if len(shards) == 1 else ("shards", of_many)
        yield f"{some} {', '.join(shards)} {verb} {state}"


def _meta(folder: Path, metas: Metas) -> dict[str, Any]:
    """Spell table ``meta`` of the whole."""
    first = next(iter(metas.values()))
    whole = {key: value for key, value in first.items() if key not in {*_OWN, "schema_version"}}
    created_at = min(meta["created_at"] for meta in metas.values())
    return {**whole, "run": folder.name, "created_at": created_at, "status": "running", PLEDGED: None}
