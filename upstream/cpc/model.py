"""The network of modified CPC (Rivière et al., ICASSP 2020): strided convolutions and a recurrent network.

Modules are named as in CPC_audio, so that published weights load by their names.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s3prl.utility.typed import at_least

from ..common.conv_layers import frames_after
from ..features.frames import valid_mask

# kernel, stride, padding of the encoder's convolutions
CONVOLUTIONS = [(10, 5, 3), (8, 4, 2), (4, 2, 1), (4, 2, 1), (4, 2, 1)]
LAYERS = [(1, kernel, stride) for kernel, stride, _ in CONVOLUTIONS]
PADDINGS = [padding for _, _, padding in CONVOLUTIONS]
Count = Annotated[int, at_least(1)]
RECURRENT = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


@dataclass(frozen=True)
class Settings:
    """Fields of CPC_audio's configuration that shape the features, with its defaults.

    `samplingType` is not among them: `sequential` carries the recurrent state over the cuts of a long
    recording in pre-training, whereas every utterance here starts anew.
    """

    hiddenEncoder: Count = 256
    hiddenGar: Count = 256
    encoder_type: Literal["cpc"] = "cpc"
    normMode: Literal["layerNorm", "batchNorm", "instanceNorm", "ID"] = "layerNorm"
    arMode: Literal["LSTM", "GRU", "RNN", "no_ar"] = "LSTM"
    nLevelsGRU: Count = 1  # layers of the recurrent network of any kind
    cpc_mode: Literal["none", "reverse"] = "none"


class ChannelNorm(nn.Module):
    """Layer norm over channels with the unbiased variance, as PyTorch's fused norm computes it.

    (x - mean) / sqrt(v n/(n-1) + eps) = sqrt((n-1)/n) (x - mean) / sqrt(v + eps (n-1)/n), v being biased.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1))
        shrinkage = (channels - 1) / channels
        self.scale = math.sqrt(shrinkage)
        self.eps = eps * shrinkage

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, frames, channels] -> the same."""
        weight = self.weight.flatten() * self.scale
        return F.layer_norm(hidden, weight.shape, weight, self.bias.flatten(), self.eps)


class _OverTime:
    """A norm of PyTorch that is given [batch, frames, channels] instead of [batch, channels, frames]."""

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden.transpose(1, 2)).transpose(1, 2)


class BatchNorm(_OverTime, nn.BatchNorm1d):
    """Batch norm of every channel."""


class InstanceNorm(_OverTime, nn.InstanceNorm1d):
    """Norm of every channel over the frames of an utterance."""


NORMS = {
    "layerNorm": ChannelNorm,
    "batchNorm": BatchNorm,
    "instanceNorm": lambda channels: InstanceNorm(channels, affine=True),
    "ID": lambda channels: nn.Identity(),
}


class Encoder(nn.Module):
    """Five convolutions, each with a norm and ReLU: a frame every 160 samples."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        for index, (kernel, stride, padding) in enumerate(CONVOLUTIONS):
            inputs = channels if index else 1
            conv = nn.Conv1d(inputs, channels, kernel, stride=stride, padding=padding)
            setattr(self, f"conv{index}", conv)
            setattr(self, f"batchNorm{index}", NORMS[norm](channels))  # of every kind, in CPC_audio

    def forward(self, wavs: Tensor, samples: Sequence[int] | None) -> Tensor:
        """[batch, samples] -> [batch, frames, channels]; `samples` as in Cpc."""
        hidden = _first(wavs, self.conv0)
        for index in range(len(CONVOLUTIONS)):
            if index:
                hidden = _convolved(hidden, getattr(self, f"conv{index}"))
            hidden = F.relu_(getattr(self, f"batchNorm{index}")(hidden))
            if samples is not None:  # the next convolution finds the zeros with which it pads
                frames = [num_frames(length, index + 1) for length in samples]
                hidden = hidden.masked_fill(~valid_mask(frames, hidden.size(1), hidden.device), 0)
        return hidden


def num_frames(samples: int, layers: int = len(CONVOLUTIONS)) -> int:
    """Exact frames that the first `layers` convolutions make of `samples`."""
    return frames_after(samples, LAYERS[:layers], PADDINGS[:layers])


def _first(wavs: Tensor, conv: nn.Conv1d) -> Tensor:
    """The convolution of one channel as a product, in the layout [batch, frames, channels] of all others."""
    padding, (kernel,), (stride,) = conv.padding, conv.kernel_size, conv.stride
    windows = F.pad(wavs, padding * 2).unfold(1, kernel, stride)  # [batch, frames, kernel]
    return F.linear(windows, conv.weight.squeeze(1), conv.bias)


def _convolved(hidden: Tensor, conv: nn.Conv1d) -> Tensor:
    """[batch, frames, channels] -> the same, as an image of height 1 with its channels last: no copies."""
    image = hidden.transpose(1, 2).unsqueeze(2)
    image = F.conv2d(image, conv.weight.unsqueeze(2), conv.bias, (1, *conv.stride), (0, *conv.padding))
    return image.squeeze(2).transpose(1, 2)


class Recurrent(nn.Module):
    """The recurrent network over the frames, forwards or (`reverse`) backwards in time."""

    def __init__(self, kind: str, inputs: int, hidden: int, layers: int, reverse: bool) -> None:
        super().__init__()
        self.baseNet = RECURRENT[kind](inputs, hidden, num_layers=layers, batch_first=True)
        self.reverse = reverse

    def forward(self, frames: Tensor) -> Tensor:
        """[batch, frames, inputs] -> [batch, frames, hidden]."""
        output, _ = self.baseNet(frames.flip(1) if self.reverse else frames)
        return output.flip(1) if self.reverse else output


class Cpc(nn.Module):
    """Encoder and autoregressive network."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.gEncoder = Encoder(settings.hiddenEncoder, settings.normMode)
        self.gAR = (
            nn.Identity()
            if settings.arMode == "no_ar"
            else Recurrent(
                settings.arMode,
                settings.hiddenEncoder,
                settings.hiddenGar,
                settings.nLevelsGRU,
                reverse=settings.cpc_mode == "reverse",
            )
        )

    def forward(self, wavs: Tensor, samples: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """[batch, samples] -> encoder's and recurrent network's [batch, frames, dim].

        Args:
            samples: of each utterance, to keep the frames of padding away from the convolutions; None, as
                published, does not.
        """
        encoded = self.gEncoder(wavs, samples)
        return encoded, self.gAR(encoded)
