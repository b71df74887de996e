"""Utterances of different length computed apart, for models in which padding changes values."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def in_equal_lengths(encode: Callable[[list[Tensor]], Any], wavs: Sequence[Tensor]) -> Any:
    """Apply `encode` to each set of wavs of one length, so that every utterance has the values it has alone.

    Slower than one batch by as much as lengths differ.

    Args:
        encode: an upstream, or any function of unpadded [samples] wavs that returns tensors [batch, frames,
            ...], or lists and dicts of them.

    Returns:
        What `encode` would return for all wavs, in their order, zero behind an utterance's end.
    """
    places: dict[int, list[int]] = {}
    for index, wav in enumerate(wavs):
        places.setdefault(len(wav), []).append(index)
    groups = [encode([wavs[index] for index in indices]) for indices in places.values()]
    order = [index for indices in places.values() for index in indices]
    back = torch.tensor(order, device=wavs[0].device).argsort()
    return _joined(groups, back)


def _joined(parts: Sequence[Any], back: Tensor) -> Any:
    """One value from those of all groups."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: _joined([part[key] for part in parts], back) for key in first}
    if isinstance(first, list | tuple):
        return [_joined(members, back) for members in zip(*parts, strict=True)]
    if not isinstance(first, Tensor):
        return first
    frames = max(part.size(1) for part in parts)
    behind = [0, 0] * (first.dim() - 2)  # F.pad counts from the last dimension
    return torch.cat([F.pad(part, (*behind, 0, frames - part.size(1))) for part in parts])[back]
