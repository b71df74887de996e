"""Schedules by the public S3PRL's import path; the code lives in s3prl.training.schedulers."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from s3prl.training import schedulers


def get_scheduler(optimizer: Optimizer, total_steps: int, scheduler_config: dict[str, Any]) -> LambdaLR:
    """The schedule that the `scheduler` block of a config names, over `total_steps` updates.

    Raises:
        UserError: an unknown name or field, or a value that is no number.
    """
    return schedulers.get_scheduler(optimizer, total_steps, scheduler_config)
