"""The norm of wav2vec's convolutions."""

from torch import Tensor, nn
from torch.nn import functional as F


class Float32GroupNorm(nn.GroupNorm):
    """Group norm computed in float32: the sum over all frames of an utterance overflows half precision."""

    def forward(self, hidden: Tensor, valid: Tensor | None = None) -> Tensor:
        """[batch, channels, frames] -> the same.

        Args:
            valid: [batch, 1, frames], True where frames count; None counts all, as published.
        """
        weight, bias = (None if one is None else one.float() for one in (self.weight, self.bias))
        if valid is None:
            normal = F.group_norm(hidden.float(), self.num_groups, weight, bias, self.eps)
        else:
            normal = self._standardised(hidden.float(), valid)
            normal = normal if weight is None else normal * weight[:, None] + bias[:, None]
        return normal.to(hidden.dtype)

    def _standardised(self, hidden: Tensor, valid: Tensor) -> Tensor:
        groups = hidden.unflatten(1, (self.num_groups, -1))  # [batch, groups, channels / groups, frames]
        outside = ~valid[:, None]
        counts = valid[:, None].sum((2, 3), keepdim=True) * groups.size(2)
        mean = groups.masked_fill(outside, 0).sum((2, 3), keepdim=True) / counts
        centred = (groups - mean).masked_fill(outside, 0)
        variance = centred.square().sum((2, 3), keepdim=True) / counts
        return (centred * (variance + self.eps).rsqrt()).flatten(1, 2)


class Block(nn.Sequential):
    """A sequence whose group norm is told which frames count."""

    def forward(self, hidden: Tensor, valid: Tensor | None = None) -> Tensor:
        """[batch, channels, frames] -> the same; `valid` as in Float32GroupNorm, for the frames returned."""
        for module in self:
            normalises = isinstance(module, Float32GroupNorm)
            hidden = module(hidden, valid) if normalises else module(hidden)
        return hidden
