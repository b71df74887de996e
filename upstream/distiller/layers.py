"""What DistilHuBERT has around its encoder: the convolutions of wav2vec 2.0, and the prediction heads."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..common import unpadded
from ..common.conv_layers import ConvLayer, frames_after
from ..common.group_norm import Float32GroupNorm
from ..features.frames import valid_mask
from .config import DistillerConfig


class ConvFeatureExtractor(nn.Module):
    """Strided convolutions: [batch, samples] -> [batch, channels, frames]; the first has a group norm."""

    def __init__(self, convolutions: Sequence[ConvLayer], dropout: float) -> None:
        super().__init__()
        self.convolutions, self.first = convolutions, convolutions[:1]
        self.conv_layers = nn.ModuleList()
        inputs = 1
        for channels, kernel, stride in convolutions:
            norm = [] if self.conv_layers else [Float32GroupNorm(channels, channels)]
            convolution = nn.Conv1d(inputs, channels, kernel, stride, bias=False)
            nn.init.kaiming_normal_(convolution.weight)
            self.conv_layers.append(nn.Sequential(convolution, nn.Dropout(dropout), *norm, nn.GELU()))
            inputs = channels

    def forward(self, wavs: Tensor, samples: Sequence[int] | None = None) -> Tensor:
        """
        Args:
            wavs: [batch, samples].
            samples: of each utterance, so that each is normalised over its own frames; None normalises over
                the padded batch.
        """
        (convolution, dropout, norm, activation), *others = self.conv_layers
        hidden, valid = dropout(convolution(wavs[:, None])), None
        if samples is not None:
            frames = [frames_after(length, self.first) for length in samples]
            valid = valid_mask(frames, hidden.size(2), hidden.device).transpose(1, 2)
        hidden = activation(norm(hidden, valid))
        for layer in others:
            hidden = layer(hidden)
        return hidden

    def of_one(self, wav: Tensor, frames: int, longest: int) -> Tensor:
        """What evaluation makes of one wav of a batch: its first `frames`, [1, channels, frames].

        Args:
            wav: [samples].
            longest: samples of the longest wav that it is padded to.
        """
        (convolution, _, norm, activation), *others = self.conv_layers
        layers = [unpadded.normalised(convolution, norm, wav, longest), activation, *others]
        return unpadded.convolved(wav, layers, self.convolutions, frames).T[None]


class PredictionHeads(nn.Sequential):
    """One head per layer of the teacher: [batch, frames, dim] -> [heads, batch, frames, final_dim]."""

    def __init__(self, config: DistillerConfig) -> None:
        heads, inter_dim = config.n_tasks, config.inter_dim
        super().__init__(
            nn.Linear(config.encoder_embed_dim, heads * inter_dim),
            nn.GELU(),
            SplitLinear(inter_dim, config.final_dim, heads),
        )


class SplitLinear(nn.Module):
    """A linear layer of its own for each of several equal parts of the input.

    As in the original, the weights of a single part are those of an ordinary layer, under another name.
    """

    def __init__(self, input_dim: int, output_dim: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        if parts == 1:
            self.layer = nn.Linear(input_dim, output_dim)
            return
        bound = input_dim**-0.5
        self.weight = nn.Parameter(torch.empty(parts, input_dim, output_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(1, 1, parts, output_dim).uniform_(-bound, bound))

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, frames, parts * input_dim] -> [parts, batch, frames, output_dim]."""
        if self.parts == 1:
            return self.layer(hidden)[None]
        parts = hidden.unflatten(-1, (self.parts, -1))
        return (torch.einsum("btpi,pio->btpo", parts, self.weight) + self.bias).permute(2, 0, 1, 3)
