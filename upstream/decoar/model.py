"""The network of DeCoAR (Ling et al., ICASSP 2020): two LSTM stacks, one for either direction of time."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..features.frames import valid_mask


class Decoar(nn.Module):
    """A projection, then a forward and a backward stack of LSTMs that do not see one another."""

    def __init__(self, feature_dim: int, projection_size: int, hidden_size: int, num_layers: int) -> None:
        """
        Args:
            feature_dim: size of an acoustic feature vector.
            projection_size: of the input of both stacks.
            hidden_size: of either stack.
        """
        super().__init__()
        self.post_extract_proj = nn.Linear(feature_dim, projection_size)
        self.forward_lstm = nn.LSTM(projection_size, hidden_size, num_layers, batch_first=True)
        self.backward_lstm = nn.LSTM(projection_size, hidden_size, num_layers, batch_first=True)

    def forward(self, features: Tensor, frames: Sequence[int]) -> list[Tensor]:
        """The outputs of both stacks side by side, zero after an utterance's end.

        Args:
            features: [batch, frames, feature_dim].
            frames: the valid frames of each utterance.

        Returns:
            one tensor [batch, frames, 2 * hidden_size].
        """
        projected = self.post_extract_proj(features)
        # Backward, time runs from an utterance's own last frame to its first and only then through padding.
        # So neither stack sees padding before a valid frame, and packed sequences, slow to train, are not
        # needed.
        reverse = _reversal(frames, features.size(1), features.device)
        ahead, _ = self.forward_lstm(projected)
        back, _ = self.backward_lstm(_reordered(projected, reverse))
        both = torch.cat([ahead, _reordered(back, reverse)], -1)
        return [both.masked_fill(~valid_mask(frames, features.size(1), features.device), 0.0)]


def _reversal(frames: Sequence[int], total: int, device: torch.device) -> Tensor:
    """[batch, total]: for each frame, its mirror image within the utterance; padding stays where it is."""
    ends = torch.tensor(list(frames), device=device)[:, None]
    index = torch.arange(total, device=device)
    return torch.where(index < ends, ends - 1 - index, index)


def _reordered(batch: Tensor, index: Tensor) -> Tensor:
    """[batch, frames, dim] -> [batch, frames, dim], frame i being the frame index[:, i]."""
    return batch.gather(1, index[..., None].expand(-1, -1, batch.size(-1)))
