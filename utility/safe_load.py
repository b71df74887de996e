"""Files of `torch.save`, read without running code: tensors and plain values only."""

import argparse
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from s3prl.utility.errors import DamagedCheckpoint, UserError, first_line


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
