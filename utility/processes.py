"""Several processes of one run: joining them, passing plain objects, waiting without a time-out."""

import contextlib
import datetime
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist

from s3prl.utility.errors import LostProcess, UserError

PATIENCE = datetime.timedelta(days=7)  # how long the others wait for one process's evaluation
LOST = ("closed by peer", "reset by peer", "Broken pipe", "remote process exited")  # of gloo and nccl
_control: Any = None  # a gloo group: plain sockets notice a dead process at once and know no watchdog


def local_rank_from_environment() -> int | None:
    """This process's number on its machine, where torchrun (or `torch.distributed.launch`) started it."""
    value = os.environ.get("LOCAL_RANK")
    return int(value) if value is not None and "RANK" in os.environ and "WORLD_SIZE" in os.environ else None


def start(backend: str, device: str, local_rank: int) -> str:
    """Join the process group; returns the device of this process.

    Raises:
        UserError: the backend does not exist here or the machine has too few GPUs.
    """
    global _control
    on_gpu = device.startswith("cuda")
    if on_gpu:
        if local_rank >= torch.cuda.device_count():
            raise UserError(
                f"Process {local_rank} has no GPU: this machine has {torch.cuda.device_count()}. "
                "Lower --nproc_per_node or use --device cpu."
            )
        device = f"cuda:{local_rank}"
        torch.cuda.set_device(local_rank)
    if backend == "nccl" and not (on_gpu and dist.is_nccl_available()):
        backend = "gloo"
    os.environ.setdefault("RANK", str(local_rank))
    # Functions of this module have the default group as a default argument. Imported later, it would keep the
    # group and its threads alive behind `stop`; a thread that lets go of a tensor while the interpreter ends
    # aborts the process ("terminate called without an active exception").
    from torch.distributed.nn import functional  # noqa: F401

    try:
        dist.init_process_group(backend)
    except ValueError as error:
        raise UserError(f"--backend {backend} cannot start: {error}. Launch with torchrun.") from error
    _control = dist.new_group(backend="gloo", timeout=PATIENCE)
    return device


@contextlib.contextmanager
def losses_explained() -> Iterator[None]:
    """Raise a LostProcess where another process of the run ends before this one has heard all from it."""
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not any(sign in str(error) for sign in LOST):
            raise
        raise LostProcess(f"Process {rank()} ends because another one has: see what that says.") from error


def stop() -> None:
    """Leave the process group, if there is one."""
    global _control
    _control = None  # held on to, its threads too would run into the end of the interpreter
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """This process's number among all; 0 when it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes; 1 when this one is alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_leader() -> bool:
    """Whether this process logs, evaluates and saves."""
    return rank() == 0


def wait() -> None:
    """Wait until every process is here, however long the others need."""
    if world_size() > 1:
        dist.barrier(group=_control)


@contextlib.contextmanager
def leader_first() -> Iterator[None]:
    """The leader ends the block before the others begin it, so that they find what it has downloaded."""
    if not is_leader():
        wait()
    yield
    if is_leader():
        wait()


def gather(value: Any) -> list[Any]:
    """Plain objects of all processes, by rank, on the leader; an empty list elsewhere."""
    if world_size() == 1:
        return [value]
    boxes = [None] * world_size() if is_leader() else None
    dist.gather_object(value, boxes, dst=0, group=_control)
    return boxes or []
