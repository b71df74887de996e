"""Constants of a feature, worked out once for each device and precision."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Table = TypeVar("Table")


class Tables(dict):
    """What has been built so far, by (device, dtype)."""

    def get_for(self, like: Tensor, build: Callable[[torch.device, torch.dtype], Table]) -> Table:
        """The table for the device and dtype of `like`; `build(device, dtype)` makes it the first time."""
        key = (like.device, like.dtype)
        if key not in self:
            with torch.inference_mode(False):  # or a table born in inference would refuse gradients later
                self[key] = build(*key)
        return self[key]
