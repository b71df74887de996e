"""Mistakes a user can mend, told apart from bugs."""

import errno
import functools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LIMITS = {errno.EDQUOT: "your quota is used up", errno.EFBIG: "no file may be that large here (ulimit -f)"}
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
UNUSABLE = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO)
AGAIN = "the same command then does the rest"


class UserError(Exception):
    """A mistake the user can mend.

    The message says what happened, where (file, field or option) and what to do next. The command
    line prints it alone, without a traceback, and exits with code 2.
    """


class Terminated(Exception):
    """A run that was asked to stop by a signal, and has saved its state."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        """
        Args:
            number: of the signal; Ctrl-C is SIGINT, all others count as SIGTERM.
        """
        super().__init__(number)
        self.exit_code = 128 + (number if number == signal.SIGINT else signal.SIGTERM)


class LostProcess(UserError):
    """Another process of the run has ended; what it says is the reason."""


class DroppedItem(Exception):
    """Raised by `prepare` for an item that cannot be used; `note` says which and why."""

    def __init__(self, note: Any) -> None:
        super().__init__(note)
        self.note = note


class DamagedCheckpoint(UserError):
    """A checkpoint file that cannot be read to its end, or another kind of file in its place."""


def command(main: Callable[[Sequence[str] | None], int | None]) -> Callable[..., int]:
    """Decorator of a script's `main(argv)`: gives its exit code, whatever happens to the user.

    2 after a mistake, told in one message; 130 after Ctrl-C, as shells do; else what `main` returns, None
    being 0.
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        try:
            with faults_explained():
                return main(argv) or 0
        except UserError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nInterrupted.", file=sys.stderr)
            return 130

    return run


@contextmanager
def faults_explained(again: str = AGAIN) -> Iterator[None]:
    """Turn a full disk, a missing permission and the like into a UserError; other errors pass.

    Args:
        again: what continues once there is space.
    """
    try:
        yield
    except OSError as error:
        reason = explain(error, again)
        if reason is None:
            raise
        raise UserError(reason) from error


def explain(error: OSError, again: str = AGAIN) -> str | None:
    """What to say of a fault of the file system, with the file and the next step; None for other errors."""
    path = error.filename if isinstance(error.filename, str | os.PathLike) else None
    if error.errno in FULL:
        what = f"No space left to write {path}" if path else "No space left on a file system in use"
        reason = LIMITS.get(error.errno) or free_space(path or ".")
        return f"{what}: {reason}. Free some; {again}."
    if error.errno == errno.ENOENT and path is None and "temporary directory" in str(error):
        return "No temporary folder can be written. Set TMPDIR to a folder that can."
    if path is None:
        return None
    if error.errno in DENIED:
        return f"{path}: {error.strerror}. Mend its permissions, or choose another place."
    if error.errno in UNUSABLE:
        return f"{path}: {error.strerror}. Choose another place."
    return None


def free_space(path: str | os.PathLike) -> str:
    """`3 MB free of 512 MB`, of the file system that a path is on (or will be)."""
    path = Path(path).absolute()
    for place in (path, *path.parents):
        with suppress(OSError):  # it does not exist, or looking is forbidden
            usage = shutil.disk_usage(place)
            return f"{usage.free // 10**6} MB free of {usage.total // 10**6} MB"
    return "free space unknown"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
