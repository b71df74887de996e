"""The network of NPC, non-autoregressive predictive coding (Liu et al., 2020, arXiv:2011.00406)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..common.vq import VqConfig, codebooks, quantise
from ..features.frames import valid_mask

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


@dataclass(frozen=True)
class NpcConfig:
    """Sizes, as `config.model.paras` of a checkpoint names them."""

    kernel_size: int  # frames that a masked convolution spans (odd)
    mask_size: int  # frames around the current one that the prediction must do without (odd)
    hidden_size: int
    n_blocks: int = 4
    dropout: float = 0.1
    residual: bool = True
    batch_norm: bool = True
    activate: Literal["relu", "tanh"] = "relu"
    disable_cross_layer: bool = False  # mask and predict from the last block only
    vq: VqConfig | None = None


class Block(nn.Module):
    """Convolution over 3 frames, linear layer, both normalised, with a residual connection."""

    def __init__(self, input_size: int, config: NpcConfig, residual: bool) -> None:
        super().__init__()
        size = config.hidden_size
        self.conv = nn.Conv1d(input_size, size, kernel_size=3, padding=1)
        self.linear = nn.Conv1d(size, size, kernel_size=1)
        self.bn1 = nn.BatchNorm1d(size) if config.batch_norm else nn.Identity()
        self.bn2 = nn.BatchNorm1d(size) if config.batch_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.activation = ACTIVATIONS[config.activate]
        self.residual = residual

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, input_size, frames] -> [batch, hidden_size, frames]."""
        hidden = self.activation(self.bn1(self.conv(inputs)))
        hidden = self.dropout(self.bn2(self.linear(hidden)))
        return self.activation(hidden + inputs if self.residual else hidden)


class MaskedConv(nn.Module):
    """Convolution that does not see the middle of its window, then tanh."""

    def __init__(self, size: int, kernel_size: int, masked: int) -> None:
        """
        Args:
            masked: taps without weight in the middle of the kernel.
        """
        super().__init__()
        self.conv = nn.Conv1d(size, size, kernel_size, padding=(kernel_size - 1) // 2)
        hidden = (torch.arange(kernel_size) - kernel_size // 2).abs() <= masked // 2
        self.register_buffer("conv_mask", (~hidden).float().expand(size, size, -1).clone())

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, size, frames] -> [batch, size, frames]."""
        weight = self.conv.weight * self.conv_mask
        return torch.tanh(F.conv1d(inputs, weight, self.conv.bias, padding=self.conv.padding))


class Npc(nn.Module):
    """Convolution blocks; of each, a masked convolution; the sum of these predicts the current frame."""

    def __init__(self, config: NpcConfig, feature_dim: int, mask_padding: bool = True) -> None:
        """
        Args:
            feature_dim: size of an acoustic feature vector.
            mask_padding: keep what convolutions write into the padding away from the next ones, so that an
                utterance's hidden states do not depend on its batch; in the public S3PRL they do.

        Raises:
            UserError: groups of `config.vq` that do not make up the hidden size.
        """
        super().__init__()
        size, last = config.hidden_size, config.n_blocks - 1
        self.mask_padding = mask_padding
        self.blocks = nn.ModuleList(
            Block(size if index else feature_dim, config, residual=config.residual and index > 0)
            for index in range(config.n_blocks)
        )
        self.masked_convs = nn.ModuleDict(
            {
                # every block before it has spread the current frame by one more to either side
                str(index): MaskedConv(size, config.kernel_size, config.mask_size + 2 * (index + 1))
                for index in range(config.n_blocks)
                if index == last or not config.disable_cross_layer
            }
        )
        self.vq_layers = codebooks(config.vq, size)
        self.postnet = nn.Linear(size, feature_dim)

    def forward(self, features: Tensor, frames: Sequence[int]) -> list[Tensor]:
        """Outputs of blocks and masked convolutions in the order of execution, then the sum of the latter.

        Args:
            features: [batch, frames, feature_dim].
            frames: the valid frames of each utterance.

        Returns:
            tensors [batch, frames, hidden_size]: 2 * n_blocks + 1, fewer with `disable_cross_layer`.
        """
        hidden, hidden_states, masked = features.transpose(1, 2), [], []
        padding = None
        if self.mask_padding:
            padding = ~valid_mask(frames, features.size(1), features.device).transpose(1, 2)
        for index, block in enumerate(self.blocks):
            hidden = block(hidden)
            if padding is not None:
                hidden = hidden.masked_fill(padding, 0.0)
            hidden_states.append(hidden)
            if str(index) in self.masked_convs:
                masked.append(self.masked_convs[str(index)](hidden))
                hidden_states.append(masked[-1])
        hidden_states.append(sum(masked))
        return [state.transpose(1, 2) for state in hidden_states]

    def prediction(self, last_hidden_state: Tensor) -> Tensor:
        """The predicted acoustic features: [batch, frames, hidden_size] -> [batch, frames, feature_dim]."""
        if self.vq_layers is not None:
            last_hidden_state = quantise(last_hidden_state, self.vq_layers)
        return self.postnet(last_hidden_state)
