"""Small helpers that tasks, upstreams and scripts of the public S3PRL import as `s3prl.utility.helper`.

Our own code uses what stands behind them: `s3prl.utility.processes`, `override` and others.
"""

import shutil
import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from s3prl.utility import processes

is_leader_process = processes.is_leader


def show(*args: Any, **kwargs: Any) -> None:
    """`print`, on the leader only."""
    if is_leader_process():
        print(*args, **kwargs)


def get_model_state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of a model, without the wrapper of several processes."""
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    return inner.state_dict()


def count_parameters(model: nn.Module) -> int:
    """Numbers in the parameters that require gradients."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def count_used_parameters(model: nn.Module) -> int:
    """Numbers in the parameters that the latest backward pass reached."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.grad is not None)


def get_time_tag() -> str:
    """The local time, for file names: 2024-01-31-23-59-59."""
    return time.strftime("%Y-%m-%d-%H-%M-%S")


def backup(src_path: str | PathLike, tgt_dir: str | PathLike) -> None:
    """Copy a file into a folder under its name and the time."""
    source = Path(src_path)
    shutil.copyfile(source, Path(tgt_dir) / f"{source.stem}_{get_time_tag()}{source.suffix}")


def zero_mean_unit_var_norm(input_values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Every wave at mean 0 and variance 1, with the 1e-5 that Hugging Face's feature extractors add."""
    return [(wave - wave.mean()) / np.sqrt(wave.var() + 1e-5) for wave in input_values]
