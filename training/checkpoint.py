"""Checkpoints: plain dicts of tensors and values, written atomically; the latest that can be read."""

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from s3prl.utility.differences import told
from s3prl.utility.errors import DamagedCheckpoint, UserError, first_line
from s3prl.utility.files import partial_of, states_in, sync_folder, write_atomically
from s3prl.utility.safe_load import load

ENTRIES = {
    "Step": int, "Epoch": int, "Position": int, "Window": int, "WorldSize": int, "Accumulate": int,
    "Optimizer": dict, "Scheduler": dict, "Scaler": dict, "GradientNorms": list, "Counters": dict,
    "Random": list, "Records": list, "Journals": dict,
}  # fmt: skip
KINDS = {int: "a whole number of 0 or more", dict: "a dict", list: "a list"}
RESUMED = ("Step", "Epoch", "Optimizer")  # without which no training continues


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
        best = sorted(f"-e {path}" for path in folder.glob("*.ckpt"))
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
    hint = alternative(folder, candidates, trust)
    raise UserError(
        f"No checkpoint states-*.ckpt in {folder} can be read: {'; '.join(damage)}.{hint} "
        "To start anew, move these files away or choose another -n."
    )


def alternative(folder: Path, besides: Collection[Path], trust: bool = False) -> str:
    """A hint at another checkpoint of a folder that can be read: the latest, else the best; or nothing.

    Args:
        besides: paths that are known to be damaged.
    """
    best_first = sorted(folder.glob("*.ckpt"), key=lambda path: (path.name != "dev-best.ckpt", path.name))
    for path in dict.fromkeys([*states_in(folder), *best_first]):
        if path in besides:
            continue
        try:
            step = load(path, trust).get("Step")
        except UserError:
            continue
        return f" Another one can be read: -e {path} (step {step})."
    return ""


def prune(folder: Path, keep: int) -> None:
    """Delete the oldest `states-*.ckpt` so that at most `keep` remain."""
    for path in states_in(folder)[max(keep, 1) :]:
        path.unlink(missing_ok=True)


def check_entries(state: dict[str, Any], where: str, needed: Iterable[str] = ()) -> None:
    """Refuse a checkpoint whose entries, as far as the engine knows them, are missing or of another kind.

    Args:
        where: how to name the checkpoint in an error, such as its path.
        needed: entries that it must have.

    Raises:
        UserError: names the checkpoint and the entry.
    """
    for name in needed:
        if state.get(name) is None:
            raise UserError(f"{where} cannot be continued: it has no '{name}'. -i takes only its weights.")
    for name, kind in ENTRIES.items():
        check_entry(state, name, kind, where)


def check_entry(state: dict[str, Any], name: str, kind: type, where: str) -> None:
    """Raise a UserError when the entry is there and neither None nor of this kind (int, dict or list)."""
    value = state.get(name)
    wrong = not isinstance(value, kind) or isinstance(value, bool)
    if value is not None and (wrong or (kind is int and value < 0)):
        raise UserError(
            f"{where}: '{name}' must be {KINDS[kind]}, not "
            f"{told(value) if isinstance(value, (int, float, str)) else f'a {type(value).__name__}'}. "
            "The file was changed, or another program wrote it."
        )


@contextmanager
def usable(name: str, where: str) -> Iterator[None]:
    """Turn whatever an entry that holds something unexpected leads to into a UserError that names it."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"{where}: its '{name}' cannot be used: {first_line(error)}. -i takes only the weights."
        ) from error


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
