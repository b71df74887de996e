"""SpecAugment (Park et al., Interspeech 2019): bands of time and of frequency set to zero."""

import torch
from torch import Tensor

BANDS = 2  # of each kind
WIDEST_IN_TIME = 70  # frames


def spec_augment(features: Tensor, widest_in_frequency: int) -> Tensor:
    """Zero up to two random bands of each kind in every utterance of [batch, frames, dim].

    Args:
        widest_in_frequency: dimensions that a band of frequency spans at most.
    """
    batch, frames, dim = features.shape
    times = _bands(batch, frames, WIDEST_IN_TIME, features.device)[:, :, None]
    dims = _bands(batch, dim, widest_in_frequency, features.device)[:, None]
    return features.masked_fill(times | dims, 0.0)


def _bands(batch: int, size: int, widest: int, device: torch.device) -> Tensor:
    """[batch, size], True inside bands of random widths at random places; none where one could cover all."""
    if widest >= size:
        return torch.zeros(batch, size, dtype=torch.bool, device=device)
    width = torch.randint(widest + 1, (batch, BANDS, 1), device=device)
    start = (torch.rand(batch, BANDS, 1, device=device) * (size - width)).long()
    place = torch.arange(size, device=device)
    return ((place >= start) & (place < start + width)).any(1)
