"""The network of NPC, non-autoregressive predictive coding (Liu et al., 2020, arXiv:2011.00406)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s3prl.utility.errors import UserError
from s3prl.utility.typed import DROPOUT, at_least

from ..common.vq import VqConfig, codebooks, quantise
from ..features.frames import valid_mask

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


@dataclass(frozen=True)
class NpcConfig:
    """Sizes, as `config.model.paras` of a checkpoint names them."""

    kernel_size: int  # frames that a masked convolution spans (odd)
    mask_size: Annotated[int, at_least(1)]  # frames around the current one hidden from its prediction (odd)
    hidden_size: Annotated[int, at_least(1)]
    n_blocks: Annotated[int, at_least(1)] = 4
    dropout: Annotated[float, DROPOUT] = 0.1
    residual: bool = True
    batch_norm: bool = True
    activate: Literal["relu", "tanh"] = "relu"
    disable_cross_layer: bool = False  # mask and predict from the last block only
    vq: VqConfig | None = None

    def __post_init__(self) -> None:
        """Refuse kernels that are not centred, or that have nothing left outside the mask.

        Raises:
            UserError: an even size, or a mask that covers the kernel of the last block.
        """
        for name in ("kernel_size", "mask_size"):
            if getattr(self, name) % 2 == 0:
                raise UserError(f"{name} must be odd, not {getattr(self, name)}.")
        widest = self.mask_size + 2 * self.n_blocks
        if widest >= self.kernel_size:
            raise UserError(
                f"kernel_size {self.kernel_size} must be above mask_size + 2 * n_blocks ({widest}): the "
                "masked convolution of the last block would see nothing."
            )


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

    def forward(self, inputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """[batch, input_size, frames] -> [batch, hidden_size, frames].

        Args:
            rows: the places of the frames to normalise among all of [batch * frames]; None for all.
        """
        hidden = self.activation(_normalised(self.bn1, self.conv(inputs), rows))
        hidden = self.dropout(_normalised(self.bn2, self.linear(hidden), rows))
        return self.activation(hidden + inputs if self.residual else hidden)


def _normalised(norm: nn.Module, hidden: Tensor, rows: Tensor | None) -> Tensor:
    """[batch, size, frames] after `norm`, whose statistics are those of the frames at `rows` alone."""
    if rows is None or isinstance(norm, nn.Identity):
        return norm(hidden)
    flat = hidden.transpose(1, 2).flatten(0, 1)
    chosen = norm(flat.index_select(0, rows))
    flat = torch.zeros_like(flat, dtype=chosen.dtype).index_copy(0, rows, chosen)
    return flat.unflatten(0, (len(hidden), -1)).transpose(1, 2)


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
                utterance's hidden states do not depend on its batch; in the public S3PRL they do. Batch
                norms then learn their statistics from valid frames only, the ones that they will be used
                on: with padding among them, the network trained and the one evaluated would differ.

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
        padding = rows = None
        if self.mask_padding:
            padding = ~valid_mask(frames, features.size(1), features.device).transpose(1, 2)
            if self.training and min(frames) < features.size(1):
                rows = _places(frames, features.size(1)).to(features.device, non_blocking=True)
        for index, block in enumerate(self.blocks):
            hidden = block(hidden, rows)
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


def _places(frames: Sequence[int], total: int) -> Tensor:
    """Where valid frames are among all of [batch * total]; found on the CPU, so that a GPU need not wait."""
    return valid_mask(frames, total, torch.device("cpu")).flatten().nonzero().squeeze(1)
