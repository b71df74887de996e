"""Which device to use, with how many threads, and whether it has run out of memory."""

import math
import os

from s3prl.utility.cpus import cpu_count
from s3prl.utility.errors import UserError

PARAMETERS_PER_THREAD = 500_000


def choose_device(wanted: str | None) -> str:
    """The device to use, after checking that it exists; raises a UserError when it does not."""
    import torch

    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(wanted).type
    except RuntimeError as error:
        raise UserError(f"--device {wanted}: {str(error).splitlines()[0]}") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {wanted}: PyTorch sees no CUDA GPU here. Use --device cpu.")
    return wanted


def use_threads_for(device: str, parameters: int | None = None) -> None:
    """Let PyTorch use as many threads as the work deserves: never more than now, nor than there are CPUs.

    Training a model with few parameters on a CPU gets one or few. Its operations take microseconds, and
    threads wait for one another after each: little is gained on a quiet machine, and on a busy one most of
    the time is lost. The number does not follow how busy the machine is, because sums come out differently
    with another one. `OMP_NUM_THREADS` in the environment is obeyed instead.

    Args:
        parameters: of all models that are computed, if the work comes in pieces as small as they are.
    """
    import torch

    if "OMP_NUM_THREADS" in os.environ:
        return
    most = max(1, cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if device == "cpu" and parameters is not None:
        most = min(most, max(1, math.ceil(parameters / PARAMETERS_PER_THREAD)))
    torch.set_num_threads(min(most, torch.get_num_threads()))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means that a device (or the machine) has no memory left."""
    import torch

    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )
