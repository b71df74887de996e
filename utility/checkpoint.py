"""Checkpoints: plain dicts of tensors and values, written atomically, read without running code."""

import argparse
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from s3prl.utility.errors import UserError, first_line
from s3prl.utility.expdir import states_in
from s3prl.utility.files import partial_of, sync_folder, write_atomically


class DamagedCheckpoint(UserError):
    """A checkpoint file that cannot be read to its end."""


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


def load(
    path: str | Path,
    trust: bool = False,
    stand_ins: Iterable[str] = (),
    advice: str = "If you trust its source, add --trust_checkpoint.",
) -> dict[str, Any]:
    """Read a checkpoint on the CPU, allowing tensors, plain values and argparse.Namespace only.

    Args:
        trust: also run the code of a full pickle (`--trust_checkpoint`).
        stand_ins: full names of further classes (such as `fairseq.data.dictionary.Dictionary`) that the file
            may mention; their objects become empty shells with the same attributes, and no code is run.
        advice: what to do about a file that holds other objects.

    Raises:
        DamagedCheckpoint: the file is cut short or its bytes changed.
        UserError: it is missing, or holds objects that need full unpickling.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}.")
    _check_archive(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace, *map(_stand_in, stand_ins)]):
            state = torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            raise UserError(
                f"{path} holds Python objects that only full unpickling can read, which can run any code. "
                f"{advice}"
            ) from error
        raise DamagedCheckpoint(f"{path} is damaged: {first_line(error)}") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise DamagedCheckpoint(f"{path} is damaged: {first_line(error)}") from error
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, not the dict of a checkpoint.")
    return state


def _stand_in(name: str) -> tuple[type, str]:
    """An empty class, and the full name under which a pickle asks for it."""
    module, _, short = name.rpartition(".")
    return type(short, (), {"__module__": module}), name


def _check_archive(path: Path) -> None:
    """Check the sums that PyTorch's reader passes over, so that changed bytes are noticed."""
    if path.stat().st_size == 0:
        raise DamagedCheckpoint(f"{path} is damaged: it has 0 bytes")
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return  # PyTorch's format before 1.6 is no archive
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise DamagedCheckpoint(f"{path} is damaged: {first_line(error)}") from error
    if broken:
        raise DamagedCheckpoint(f"{path} is damaged: the sum of {broken} is wrong")


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
