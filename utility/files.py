"""Atomic writes, and the checkpoints of an experiment by their steps."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

PARTIAL = ".partial"
LONGEST_NAME = 220  # bytes; file systems have 255, and the name of a partial file is longer
STATES = re.compile(r"^states-(?:.*-)?(\d+)\.ckpt$")


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write(file)` on a temporary file beside `path`, flush it to disk, then rename it to `path`."""
    temporary = partial_of(path)
    try:
        with naming(path), temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give a failed write, of which the system does not say to which file, the name `path`.

    PyTorch answers it with a RuntimeError of its own; the system's error is raised in its place.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        fault = error if isinstance(error, OSError) else error.__context__
        if not isinstance(fault, OSError) or fault.errno is None:
            raise
        fault.filename = str(path)
        raise fault from None


def partial_of(path: Path) -> Path:
    """The name under which this process writes what will be `path`."""
    name = path.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = sha256(os.fsencode(name)).hexdigest()
    return path.with_name(f".{name}.{os.getpid()}{PARTIAL}")


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows and some network file systems cannot open folders
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def remove_partial_files(folder: Path) -> None:
    """Remove what a killed process left half written. Call it only as the folder's one writer."""
    for leftover in folder.glob(f".*{PARTIAL}"):
        leftover.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def numbered_states(folder: Path) -> list[tuple[int, Path]]:
    """The `states-<step>.ckpt` files of a folder with their steps, the latest first."""
    found = [(int(match[1]), path) for path in folder.glob("*.ckpt") if (match := STATES.match(path.name))]
    return sorted(found, reverse=True)


def states_in(folder: Path) -> list[Path]:
    """The `states-<step>.ckpt` files of a folder, the latest first."""
    return [path for _, path in numbered_states(folder)]
