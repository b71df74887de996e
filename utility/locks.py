"""One process (and one thread of it) at a time, for files that several launches may want to make."""

import fcntl
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(lock: Path, doing: str) -> Iterator[str]:
    """Keep other threads and processes out.

    A record lock (lockf) ends with the process that took it, however that dies, and children forked
    meanwhile do not hold it.

    Args:
        lock: the file to lock; made when absent, and left there.
        doing: what the others are waiting for, such as "downloads tera.ckpt"; said to the user.

    Yields:
        What to append to the names of unfinished files: nothing, or, on a file system that has no locks, the
        number of this process, so that two processes do not write to one file.

    Raises:
        OSError: the lock file cannot be written.
    """
    with _threads, lock.open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            print(f"Waiting for another process that {doing}", file=sys.stderr)
            fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError:
            yield f".{os.getpid()}"
            return
        yield ""


def _forget_threads() -> None:
    """In a forked child the thread that holds the lock does not exist, but its lock would."""
    global _threads
    _threads = threading.RLock()


_threads = threading.RLock()
os.register_at_fork(after_in_child=_forget_threads)
