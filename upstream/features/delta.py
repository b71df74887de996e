"""Time derivatives of features (HTK Book, section 5.9) and mean and variance normalisation per utterance.

`add_deltas` and `normalise` take a padded batch, are differentiable and right at the end of every utterance;
a `Workspace` does the same utterance by utterance without gradients, which is what suits a CPU.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .frames import valid_mask

STD_EPSILON = 1e-10  # added to the standard deviation, as the public S3PRL does


def _slopes(win_length: int) -> list[tuple[int, int, float]]:
    """(frame ahead, frame behind, weight of their difference) of a least-squares slope."""
    reach = (win_length - 1) // 2
    total = reach * (reach + 1) * (2 * reach + 1) / 3
    return [(reach + step, reach - step, step / total) for step in range(1, reach + 1)]


def _slope(extended: Tensor, frames: int, win_length: int) -> Tensor:
    """[..., frames + win_length - 1, dim] -> [..., frames, dim]: the slope at each inner frame."""
    return sum(
        weight * (extended[..., ahead : ahead + frames, :] - extended[..., behind : behind + frames, :])
        for ahead, behind, weight in _slopes(win_length)
    )


def add_deltas(features: Tensor, frames: Sequence[int], order: int, win_length: int) -> Tensor:
    """Append `order` blocks, each the slope of the one before it.

    Args:
        features: [batch, frames, dim].
        frames: the valid frames of each utterance; its first and last one are repeated beyond its edges.
        order: number of blocks to append.
        win_length: frames a slope is fitted to (odd, at least 3).

    Returns:
        [batch, frames, (order + 1) * dim].
    """
    total, reach = features.size(1), (win_length - 1) // 2
    if order == 0 or total == 0:
        return torch.cat([features] * (order + 1), -1)
    last = torch.tensor(list(frames), device=features.device)[:, None].clamp(min=1) - 1
    index = torch.arange(-reach, total + reach, device=features.device).clamp(min=0)
    index = torch.minimum(index, last)[..., None].expand(-1, -1, features.size(-1))
    blocks = [features]
    for _ in range(order):
        blocks.append(_slope(blocks[-1].gather(1, index), total, win_length))
    return torch.cat(blocks, -1)


class Workspace:
    """Memory in which one utterance after the other gets its deltas and normalisation, without gradients.

    On a CPU the batch is too large for the caches. So everything that passes over an utterance more than once
    happens here, in blocks that the caches hold, and the batch is written once.
    """

    def __init__(self, like: Tensor, frames: int, dim: int, order: int, win_length: int) -> None:
        """
        Args:
            like: a tensor of the device and precision to work in.
            frames: of the longest utterance.
            dim: size of a feature vector before deltas.
            order: number of delta blocks.
            win_length: frames a slope is fitted to (odd, at least 3).
        """
        self.reach, self.slopes = (win_length - 1) // 2, _slopes(win_length)
        self.blocks = like.new_empty(order + 1, frames + 2 * self.reach, dim)

    def statics(self, frames: int) -> Tensor:
        """Where to put the [frames, dim] features of the next utterance."""
        return self.blocks[0, self.reach : self.reach + frames]

    def finish(self, out: Tensor, counted: int, epsilon: float | None) -> None:
        """Write the features put into `statics` and their deltas.

        Args:
            out: [frames, (order + 1) * dim].
            counted: the frames that the statistics of the normalisation cover.
            epsilon: added to the standard deviation; None leaves out the normalisation.
        """
        frames = len(out)
        if frames == 0:
            return
        for block, slope in pairwise(self.blocks):
            self._write_slope(block, slope[self.reach : self.reach + frames])
        inner = self.blocks[:, self.reach : self.reach + frames]  # [order + 1, frames, dim]
        target = out.view(frames, len(inner), -1).transpose(0, 1)
        if epsilon is None:
            target.copy_(inner)
            return
        inner -= inner[:, :counted].mean(1, keepdim=True)
        total = inner[:, :counted].square().sum(1, keepdim=True)
        scale = ((total / max(counted - 1, 1)).sqrt() + epsilon).reciprocal()
        torch.mul(inner, scale, out=target)

    def _write_slope(self, block: Tensor, slope: Tensor) -> None:
        """`_slope` of the first `len(slope)` inner frames of an extended block, in place."""
        frames, reach = len(slope), self.reach
        block[:reach] = block[reach]
        block[reach + frames : frames + 2 * reach] = block[reach + frames - 1]
        (ahead, behind, least), *further = self.slopes
        torch.sub(block[ahead : ahead + frames], block[behind : behind + frames], out=slope)
        for ahead, behind, weight in further:
            slope.add_(block[ahead : ahead + frames], alpha=weight / least)
            slope.sub_(block[behind : behind + frames], alpha=weight / least)
        slope *= least


def normalise(features: Tensor, frames: Sequence[int], epsilon: float = STD_EPSILON) -> Tensor:
    """Zero mean and unit variance per utterance and dimension.

    Args:
        features: [batch, frames, dim].
        frames: the frames of each utterance that its statistics cover; later ones are normalised too.
        epsilon: added to the (unbiased) standard deviation, which is 0 for a single frame.
    """
    mask = valid_mask(frames, features.size(1), features.device)
    counts = mask.sum(1, keepdim=True)
    mean = features.masked_fill(~mask, 0.0).sum(1, keepdim=True) / counts.clamp(min=1)
    centred = features - mean
    variance = centred.masked_fill(~mask, 0.0).square().sum(1, keepdim=True) / (counts - 1).clamp(min=1)
    varies = variance > 0.0
    std = torch.where(varies, variance, 1.0).sqrt() * varies  # a square root has no gradient at 0
    return centred / (epsilon + std)
