"""Optimizers by the public S3PRL's import path; the code lives in s3prl.training.optimizers."""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from s3prl.training import optimizers


def get_optimizer(
    model_params: list[nn.Module], total_steps: int, optimizer_config: dict[str, Any]
) -> Optimizer:
    """The optimizer that the `optimizer` block of a config names.

    Args:
        model_params: the models to train (models, in spite of the name).
        total_steps: updates that the `*_with_schedule` optimizers lay their schedule over.
        optimizer_config: `name` and the fields of that optimizer.

    Raises:
        UserError: an unknown name or field, or nothing to train.
    """
    return optimizers.get_optimizer(model_params, total_steps, optimizer_config)
