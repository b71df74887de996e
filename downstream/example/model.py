"""The example model: project every frame, average over time, classify."""

import torch.nn as nn
from torch import Tensor

from ..model import MeanPooling


class Model(nn.Module):
    """[batch, frames, input_dim] and the true lengths [batch] -> scores [batch, classes]."""

    def __init__(self, input_dim: int, project_dim: int, classes: int) -> None:
        super().__init__()
        self.projector = nn.Linear(input_dim, project_dim)
        self.pooling = MeanPooling()
        self.linear = nn.Linear(project_dim, classes)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        pooled, _ = self.pooling(self.projector(features), lengths)  # [batch, project_dim]
        return self.linear(pooled)
