"""A run as a process: its exit code, its device and process group, its folder, PyTorch's settings.

PyTorch is imported inside of functions: mistakes of the command line are told before it is loaded.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from s3prl.utility.cpus import spin_briefly
from s3prl.utility.device import choose_device
from s3prl.utility.errors import LostProcess, Terminated, UserError
from s3prl.utility.files import remove_partial_files
from s3prl.utility.launcher import is_first

from .expdir import claimed

PATIENCE = 5  # seconds for the launcher to end this process first, where the leader has told the same mistake


def exit_code(
    parse: Callable[[Sequence[str] | None], argparse.Namespace],
    run: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None = None,
) -> int:
    """Run a command line; what happens to the user is told on stderr.

    Args:
        parse: the arguments of a command line; `mode` among them, where there is one, tells training from
            what cannot be continued.
        run: does what the arguments ask for.

    Returns:
        0, or 2 for a mistake that the user can mend, 130 after Ctrl-C, and so on as shells have it.
    """
    training = True
    try:
        args = parse(argv)
        training = getattr(args, "mode", "train") == "train"
        spin_briefly()
        run(args)
    except Terminated as end:
        return end.exit_code
    except UserError as error:
        if isinstance(error, LostProcess):
            time.sleep(2 * PATIENCE)  # the other one has something to say
        elif not is_first():
            time.sleep(PATIENCE)
        print(f"\nError: {error}", file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        if is_first():
            next_step = " The same command with -a continues from the last checkpoint." if training else ""
            print(f"\nInterrupted.{next_step}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more
        print("\nThe output was closed (a broken pipe). Add -a to continue.", file=sys.stderr)
        return 128 + signal.SIGPIPE
    return 0


@contextmanager
def processes_joined(args: argparse.Namespace) -> Iterator[None]:
    """On the device that the arguments ask for, in the process group that a launcher has prepared, if any.

    `args.device` and `args.local_rank` are set to what they come to.

    Raises:
        UserError: there is no such device, the group cannot be joined, or another process has ended.
    """
    from s3prl.utility import processes

    if args.local_rank is None:
        args.local_rank = processes.local_rank_from_environment()
    chosen, args.device = args.device, choose_device(args.device)
    if args.local_rank is not None:
        args.device = processes.start(args.backend, args.device, args.local_rank)
    try:
        if processes.is_leader():
            reason = " (PyTorch sees no CUDA GPU)" if chosen is None and args.device == "cpu" else ""
            print(f"[Device] {args.device}{reason}, {processes.world_size()} process(es)", flush=True)
        with processes.losses_explained():
            yield
    finally:
        processes.stop()


@contextmanager
def process_settings(disable_cudnn: bool) -> Iterator[None]:
    """What a run sets for the whole process, put back behind it."""
    import torch

    cudnn, sharing = torch.backends.cudnn, torch.multiprocessing.get_sharing_strategy()
    before = (cudnn.enabled, cudnn.deterministic, cudnn.benchmark)
    threads = torch.get_num_threads()
    cudnn.enabled, cudnn.deterministic, cudnn.benchmark = not disable_cudnn, True, False
    torch.multiprocessing.set_sharing_strategy("file_system")
    try:
        yield
    finally:
        cudnn.enabled, cudnn.deterministic, cudnn.benchmark = before
        torch.set_num_threads(threads)
        torch.multiprocessing.set_sharing_strategy(sharing)


@contextmanager
def folder_of_its_own(folder: Path) -> Iterator[None]:
    """The folder claimed (see `claimed`), without what a killed process left half written in it.

    Raises:
        UserError: another run holds it.
    """
    with claimed(folder):
        remove_partial_files(folder)
        yield
