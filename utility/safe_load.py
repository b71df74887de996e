"""Files of `torch.save`, read without running code: tensors and plain values only."""

import argparse
import codecs
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from s3prl.utility.errors import DamagedCheckpoint, UserError, first_line

STARTS = (b"PK", b"\x80")  # of a file of torch.save: an archive, or a pickle before PyTorch 1.6
HEAD = 512  # bytes by which other files are told from damaged checkpoints


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
        DamagedCheckpoint: the file is cut short, its bytes changed, or it never was a checkpoint.
        UserError: it is missing, may not be read, or holds objects that need full unpickling.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise UserError(f"There is no checkpoint {path}.")
        _check_archive(path)
        with torch.serialization.safe_globals([argparse.Namespace, *map(_stand_in, stand_ins)]):
            state = torch.load(path, map_location="cpu", weights_only=not trust)
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(
            f"You may not read {path} ({error.strerror}). Ask its owner for the permission, or for a copy."
        ) from error
    except MemoryError as error:
        raise UserError(f"There is not enough memory to read {path}.") from error
    except Exception as error:  # of bytes that are no pickle, PyTorch's reader raises whatever it runs into
        raise _explained(path, error, trust, advice) from error
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, not the dict of a checkpoint.")
    return state


def _stand_in(name: str) -> tuple[type, str]:
    """An empty class, and the full name under which a pickle asks for it."""
    module, _, short = name.rpartition(".")
    return type(short, (), {"__module__": module}), name


def _explained(path: Path, error: Exception, trust: bool, advice: str) -> UserError:
    """Why PyTorch's reader failed, for the user."""
    text = str(error)
    if "Unsupported global" in text or "Unsupported class" in text:
        return UserError(
            f"{path} holds Python objects that only full unpickling can read, which can run any code. "
            f"{advice}"
        )
    if trust and isinstance(error, ImportError | AttributeError):
        return UserError(f"{path} holds objects of code that is missing here: {first_line(error)}.")
    if "TorchScript" in text:
        return UserError(f"{path} holds a TorchScript program, not the dict of a checkpoint.")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(STARTS):
        return DamagedCheckpoint(f"{path} is damaged: {first_line(error)}")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
        kind = "" if b"\0" in head else "a text file, "
    except UnicodeDecodeError:
        kind = ""
    return DamagedCheckpoint(f"{path} is {kind}not a checkpoint: it does not begin like a file of torch.save")


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
            members = archive.namelist()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise DamagedCheckpoint(f"{path} is damaged: {first_line(error)}") from error
    if broken:
        raise DamagedCheckpoint(f"{path} is damaged: the sum of {broken} is wrong")
    if not any(name.endswith("data.pkl") for name in members):
        raise DamagedCheckpoint(f"{path} is not a checkpoint, but a zip archive of something else")
