"""Quasi-recurrent layers (Bradbury et al., ICLR 2017) whose recurrence runs in parallel over time."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def linear_recurrence(decay: Tensor, drive: Tensor) -> Tensor:
    """c_t = decay_t c_{t-1} + drive_t with c_0 = drive_0.

    Two steps are one step of the same kind, so that every second c comes from a recurrence of half the
    length (odd-even reduction): 2 log2(frames) rounds of operations on whole tensors. Nothing is divided, so
    a decay in [0, 1] cannot overflow, however long the sequence; one that underflows is rightly forgotten.

    Args:
        decay: [batch, frames, dim] in [0, 1].
        drive: [batch, frames, dim].

    Returns:
        [batch, frames, dim].
    """
    frames = drive.size(1)
    if frames == 1:
        return drive
    pairs = frames // 2
    decay_even, decay_odd = decay[:, ::2], decay[:, 1::2]
    drive_even, drive_odd = drive[:, ::2], drive[:, 1::2]
    odd = linear_recurrence(
        decay_odd * decay_even[:, :pairs], torch.addcmul(drive_odd, decay_odd, drive_even[:, :pairs])
    )
    later = torch.addcmul(drive_even[:, 1:], decay_even[:, 1:], odd[:, : drive_even.size(1) - 1])
    even = torch.cat([drive_even[:, :1], later], 1)
    both = torch.stack([even[:, :pairs], odd], 2).flatten(1, 2)
    return both if frames % 2 == 0 else torch.cat([both, even[:, pairs:]], 1)


class QRNNLayer(nn.Module):
    """One layer that looks at a frame and the one before it, forward in time."""

    def __init__(self, inputs: int, dim: int) -> None:
        """Args: sizes of the input and output vectors."""
        super().__init__()
        self.linear = nn.Linear(2 * inputs, 3 * dim)

    def forward(self, frames: Tensor) -> Tensor:
        """[batch, frames, inputs] -> [batch, frames, dim]."""
        before = F.pad(frames, (0, 0, 1, 0))[:, :-1]
        candidate, update, output = self.linear(torch.cat([frames, before], -1)).chunk(3, -1)
        update = update.sigmoid()  # in the published weights 1 takes the candidate, in the paper it keeps c
        return output.sigmoid() * linear_recurrence(1 - update, update * candidate.tanh())


class QRNN(nn.Module):
    """A stack of layers."""

    def __init__(self, inputs: int, dim: int, layers: int = 1, dropout: float = 0.0) -> None:
        """Args: sizes of the input and output vectors, number of layers, dropout between them."""
        super().__init__()
        self.layers = nn.ModuleList(QRNNLayer(inputs if index == 0 else dim, dim) for index in range(layers))
        self.dropout = dropout

    def forward(self, frames: Tensor) -> Tensor:
        """[batch, frames, inputs] -> [batch, frames, dim]."""
        for index, layer in enumerate(self.layers):
            if index > 0:
                frames = F.dropout(frames, self.dropout, self.training)
            frames = layer(frames)
        return frames
