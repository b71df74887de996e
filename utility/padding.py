"""From a padded batch to its utterances and back, each with one node of autograd for the whole batch.

Slices and `pad_sequence` give the same values. But theirs is a node for every utterance, and the backward of
`pad_sequence` copies a gradient as large as the batch for every one of them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import pad_sequence


def unpadded(batch: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    """The valid frames [frames, dim] of every utterance of a padded batch [utterances, frames, dim].

    They are views of `batch`. As PyTorch has it for several views from one function, they can be changed in
    place only where no gradient flows.

    Args:
        lengths: valid frames of each utterance.
    """
    if torch.is_grad_enabled() and batch.requires_grad and min(lengths) < batch.size(1):
        return list(_Unpadded.apply(batch, lengths))
    return _apart(batch, lengths)


def padded(features: Sequence[Tensor] | Tensor) -> Tensor:
    """Utterances [frames, dim] in one tensor [utterances, most frames, dim], zeros behind the shorter.

    Utterances of equal length may come as one tensor, which is returned as it is.
    """
    if isinstance(features, Tensor):
        return features
    if len({feature.size(0) for feature in features}) == 1:
        return torch.stack(features)
    return _Padded.apply(*features)


def _apart(batch: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    frames = batch.size(1)
    rows = zip(batch.unbind(), lengths, strict=True)
    return [row if length == frames else row[:length] for row, length in rows]


class _Unpadded(Function):
    @staticmethod
    def forward(ctx: Any, batch: Tensor, lengths: Sequence[int]) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)  # an utterance that nobody used has no gradient
        ctx.shape, ctx.lengths = batch.shape, lengths
        return tuple(_apart(batch, lengths))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, None]:
        utterances, frames, *dim = ctx.shape
        one = next(gradient for gradient in gradients if gradient is not None)
        gradient = pad_sequence(
            [
                one.new_zeros(length, *dim) if gradient is None else gradient
                for gradient, length in zip(gradients, ctx.lengths, strict=True)
            ],
            batch_first=True,
        )
        missing = frames - gradient.size(1)
        if missing:
            gradient = torch.cat([gradient, gradient.new_zeros(utterances, missing, *dim)], dim=1)
        return gradient, None


class _Padded(Function):
    @staticmethod
    def forward(ctx: Any, *features: Tensor) -> Tensor:
        ctx.lengths = [len(feature) for feature in features]
        return pad_sequence(features, batch_first=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return tuple(_apart(gradient, ctx.lengths))
