"""The experiment folder: one writer at a time, and text files that a resumed run continues exactly."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from s3prl.utility.errors import UserError
from s3prl.utility.files import PARTIAL, naming, numbered_states

LOCK = ".lock"
JOURNALS = ("log.log", "metrics.jsonl")  # text files that grow during training


_claimed: set[Path] = set()  # by this process, which a record lock does not keep out


@contextmanager
def claimed(folder: Path, patience: float = 3.0) -> Iterator[None]:
    """An exclusive claim on a folder; the system ends it with the process, however that ends.

    A record lock (not flock) is used because data loading workers would inherit the other kind and keep
    a killed run's folder locked.

    Args:
        patience: seconds to wait for another process, which may be ending just now.

    Raises:
        UserError: another run, of this or another process, holds the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    real = folder.resolve()
    if real in _claimed:
        raise _in_use(folder, "another run of this process")
    with (folder / LOCK).open("a+") as file:
        _lock(file, folder, time.monotonic() + patience)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        _claimed.add(real)
        try:
            yield
        finally:
            _claimed.discard(real)


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made first where it is missing."""
    probe = folder / f".probe.{os.getpid()}{PARTIAL}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def is_claimed(folder: Path) -> bool:
    """Whether a run, of this or another process, is writing to the folder (see `claimed`)."""
    if folder.resolve() in _claimed:  # opening and closing the lock file here would end this process's claim
        return True
    try:
        with (folder / LOCK).open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:  # no lock file, or a file system without locks
        return False
    return False


def _lock(file: IO[str], folder: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if time.monotonic() >= deadline:
                file.seek(0)
                raise _in_use(folder, file.read().strip() or "another process") from error
            time.sleep(0.1)


def _in_use(folder: Path, holder: str) -> UserError:
    return UserError(
        f"{folder} is in use by {holder}. Wait until it ends, or choose another folder with -n or -p "
        "(next to -e: -o \"args.expdir='other/folder'\")."
    )


def journal_sizes(folder: Path) -> dict[str, int]:
    """Bytes of every journal now, flushed to disk, to be stored in a checkpoint."""
    sizes = {}
    for name in JOURNALS:
        path = folder / name
        if path.exists():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sizes[name] = path.stat().st_size
    return sizes


def rewind_journals(folder: Path, sizes: dict[str, int]) -> None:
    """Cut the journals back to a checkpoint: what a killed run wrote after it will be written again."""
    for name in JOURNALS:
        path = folder / name
        if path.exists() and path.stat().st_size > sizes.get(name, 0):
            with path.open("rb+") as file:
                file.truncate(sizes.get(name, 0))


def set_aside(folder: Path, newer_than: int | None) -> None:
    """Move the files of an earlier run, or of steps that will be repeated, into `previous_<time>/`.

    Args:
        newer_than: keep the run up to this step, which it continues from; None starts anew and keeps nothing.
    """
    if newer_than is None:
        old = [*folder.glob("*.ckpt"), *folder.glob("events.out.tfevents.*")]
        old += [folder / name for name in JOURNALS if (folder / name).exists()]
        old += [*folder.glob("result*.json"), *folder.glob("curves.*")]
    else:
        old = [path for step, path in numbered_states(folder) if step > newer_than]
    if not old:
        return
    target = free_name(folder, "previous", "")
    target.mkdir()
    for path in old:
        path.rename(target / path.name)
    print(f"[Experiment] Moved {len(old)} file(s) of an earlier course of this run to {target}", flush=True)


def write_new(folder: Path, stem: str, suffix: str, text: str) -> None:
    """Write a text file under a name of its own (see `free_name`), also where two launches do so at once."""
    while True:
        path = free_name(folder, stem, suffix)
        with naming(path):
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(text)
                return
            except FileExistsError:
                continue


def free_name(folder: Path, stem: str, suffix: str) -> Path:
    """`<stem>_<date>-<time><suffix>`, made unique where two launches fall into one second."""
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S")
    path, number = folder / f"{stem}_{stamp}{suffix}", 1
    while path.exists():
        path, number = folder / f"{stem}_{stamp}-{number}{suffix}", number + 1
    return path
