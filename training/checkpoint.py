"""Checkpoints: plain dicts of tensors and values, written atomically; the latest that can be read."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from s3prl.utility.errors import DamagedCheckpoint, UserError
from s3prl.utility.files import partial_of, states_in, sync_folder, write_atomically
from s3prl.utility.safe_load import load


def save(state: dict[str, Any], folder: Path, names: Iterable[str]) -> list[Path]:
    """Write one checkpoint under several names; the later names are links to the first where possible."""
    paths = [folder / name for name in dict.fromkeys(names)]
    write_atomically(paths[0], lambda file: torch.save(state, file))
    for path in paths[1:]:
        temporary = partial_of(path)
        temporary.unlink(missing_ok=True)
        try:
            os.link(paths[0], temporary)
        except OSError:  # no hard links on this file system
            shutil.copyfile(paths[0], temporary)
        temporary.replace(path)
    sync_folder(folder)
    return paths


def load_latest(folder: Path, trust: bool = False) -> tuple[Path, dict[str, Any]]:
    """The latest `states-*.ckpt` of a folder that can be read; damaged ones are named and passed over.

    Raises:
        UserError: there is none, or none can be read.
    """
    candidates = states_in(folder)
    if not candidates:
        best = sorted(path.name for path in folder.glob("*.ckpt"))
        hint = f" Name one of its files instead: {', '.join(best)}." if best else ""
        raise UserError(f"There is no states-*.ckpt in {folder}.{hint}")
    damage = []
    for path in candidates:
        try:
            state = load(path, trust)
        except DamagedCheckpoint as error:
            damage.append(str(error))
            print(f"[Checkpoint] {error}. Trying the one before it.", flush=True)
            continue
        return path, state
    raise UserError(
        f"No checkpoint in {folder} can be read: {'; '.join(damage)}. "
        "To start anew, move these files away or choose another -n."
    )


def prune(folder: Path, keep: int) -> None:
    """Delete the oldest `states-*.ckpt` so that at most `keep` remain."""
    for path in states_in(folder)[max(keep, 1) :]:
        path.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """The same value made of what a safe checkpoint may hold: tensors on the CPU and plain Python values.

    Raises:
        TypeError: an object of another kind.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return (
            type(value)(plain(item) for item in value) if type(value) in (list, tuple, set) else list(value)
        )
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")
