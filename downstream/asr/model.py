"""The recognisers as tasks of the public S3PRL import and call them: `from ..asr.model import *`.

There, lengths are tensors, in and out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..common import recognizers

__all__ = ["RNNs", "Wav2Letter"]


class _TensorLengths:
    """`([batch, frames, dim], lengths)` -> `(scores [batch, frames', symbols], lengths' as a tensor)`."""

    def forward(self, features: Tensor, lengths: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        scores, lengths = super().forward(features, torch.as_tensor(lengths).tolist())
        return scores, torch.tensor(lengths)


class RNNs(_TensorLengths, recognizers.RNNs):
    """Recurrent layers and a linear output."""


class Wav2Letter(_TensorLengths, recognizers.Wav2Letter):
    """Convolutions over time."""
