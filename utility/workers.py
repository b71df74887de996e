"""Processes that load data: where they meet; they outlive a polite request to end, but not their process."""

import atexit
import functools
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable

LOOK = 2.0  # seconds between looks at the parent


@functools.cache
def has_temporary_folder() -> bool:
    """Whether a folder for temporary files can be written; if so, TMPDIR names it from now on.

    Python looks for one that works. PyTorch, whose workers hand tensors over through a socket there, takes
    what TMPDIR says, and where that is of no use waits for the tensors without end.
    """
    try:
        os.environ["TMPDIR"] = tempfile.gettempdir()
    except FileNotFoundError:
        print("warning: no temporary folder can be written (TMPDIR): no loading workers.", file=sys.stderr)
        return False
    return True


class WorkerInit:
    """The `worker_init_fn` of a DataLoader.

    Workers outlive SIGTERM and SIGUSR1, which a cluster sends to all processes of a job, and SIGINT, which a
    terminal sends to all of them at Ctrl-C, so that theirs can still save a checkpoint. They end at once when
    their process is gone: PyTorch's own workers notice that too, but then wait for somebody to read the
    batches they have made.
    """

    def __init__(self, inner: Callable[[int], None] | None = None) -> None:
        """
        Args:
            inner: the task's own `worker_init_fn`.
        """
        self.inner = inner
        _end_workers_at_exit()

    def __call__(self, worker: int) -> None:
        """Prepare worker number `worker`, inside its process."""
        for name in ("SIGTERM", "SIGUSR1", "SIGINT"):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
        if self.inner is not None:
            self.inner(worker)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


def _kill_workers() -> None:
    """Before Python asks them to end by SIGTERM, which they ignore, and waits."""
    workers = [process for process in multiprocessing.active_children() if process.daemon]
    if workers:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler would call it an error
    for worker in workers:
        worker.kill()


_registered = False


def _end_workers_at_exit() -> None:
    """Once per process, and after multiprocessing's own handler, so that ours runs before it."""
    global _registered
    if not _registered:
        import multiprocessing.util  # noqa: F401 (registers its handler)

        atexit.register(_kill_workers)
        _registered = True
