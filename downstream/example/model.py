"""The example model: a hidden layer on every frame, the average over time, a classifier."""

from typing import Annotated

import torch.nn as nn
from torch import Tensor

from s3prl.utility.typed import at_least

from ..model import MeanPooling


class Model(nn.Module):
    """[batch, frames, input_dim] and the true lengths [batch] -> scores [batch, classes]."""

    def __init__(self, input_dim: int, classes: int, project_dim: Annotated[int, at_least(1)]) -> None:
        super().__init__()
        self.projector = nn.Linear(input_dim, project_dim)
        self.pooling = MeanPooling()
        self.linear = nn.Linear(project_dim, classes)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        # Without a nonlinearity only the mean of the features would count, and that of `fbank` is always 0.
        hidden = self.projector(features).relu()  # [batch, frames, project_dim]
        pooled, _ = self.pooling(hidden, lengths)  # [batch, project_dim]
        return self.linear(pooled)
