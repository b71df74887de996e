"""From feature frames to symbol scores: frame by frame, recurrent, Wav2Letter (Collobert et al., 2016).

All take `([batch, frames, dim], lengths)` and return `(scores [batch, frames', symbols], lengths')`, with
lengths as a list of ints on the host. What pads the end of an utterance never changes its scores.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from s3prl.utility.errors import UserError

from .heads import FrameLevel, valid_frames
from .recurrent import run_recurrent


def downsample(features: Tensor, lengths: list[int], rate: int, style: str) -> tuple[Tensor, list[int]]:
    """Keep every `rate`-th frame ("drop") or join `rate` frames into one ("concat"); a remainder is cut.

    An utterance shorter than `rate` frames is filled with zeros to one output frame.
    """
    if rate == 1:
        return features, lengths
    frames = max(features.size(1) // rate, 1)
    features = F.pad(features, (0, 0, 0, max(rate - features.size(1), 0)))[:, : frames * rate]
    if style == "drop":
        features = features[:, ::rate]
    else:
        features = features.reshape(len(features), frames, rate * features.size(-1))
    return features, [max(length // rate, 1) for length in lengths]


class RNNLayer(nn.Module):
    """A recurrent layer, then, each optional: layer norm, dropout, fewer frames, a tanh projection."""

    def __init__(
        self,
        input_dim: int,
        module: str,
        bidirection: bool,
        dim: int,
        dropout: float,
        layer_norm: bool,
        sample_rate: int,
        proj: bool,
    ) -> None:
        super().__init__()
        self.out_dim = 2 * dim if bidirection else dim
        self.sample_rate = sample_rate
        self.layer = getattr(nn, module)(input_dim, dim, batch_first=True, bidirectional=bidirection)
        self.ln = nn.LayerNorm(self.out_dim) if layer_norm else None
        self.dp = nn.Dropout(dropout) if dropout > 0 else None
        self.pj = nn.Linear(self.out_dim, self.out_dim) if proj else None

    def forward(self, features: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        output = run_recurrent(self.layer, features, lengths)
        if self.ln is not None:
            output = self.ln(output)
        if self.dp is not None:
            output = self.dp(output)
        output, lengths = downsample(output, lengths, self.sample_rate, "drop")
        if self.pj is not None:
            output = torch.tanh(self.pj(output))
        return output, lengths


class RNNs(nn.Module):
    """Recurrent layers and a linear output.

    Args:
        input_size, output_size: dimensions of a feature frame and number of symbols.
        upstream_rate: samples per feature frame.
        module: LSTM, GRU or RNN.
        bidirection: whether layers read both ways (then each has `2 * dim` outputs).
        dim, dropout, layer_norm, proj, sample_rate: one value per layer; `sample_rate` n keeps every
            n-th frame.
        sample_style, total_rate: frames are dropped or joined ("drop", "concat") before the first layer
            until one spans `total_rate` samples; -1 leaves the upstream's rate.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        upstream_rate: int,
        module: Literal["LSTM", "GRU", "RNN"],
        bidirection: bool,
        dim: Sequence[int],
        dropout: Sequence[float],
        layer_norm: Sequence[bool],
        proj: Sequence[bool],
        sample_rate: Sequence[int],
        sample_style: Literal["drop", "concat"],
        total_rate: int = 320,
    ) -> None:
        super().__init__()
        per_layer = {"dropout": dropout, "layer_norm": layer_norm, "proj": proj, "sample_rate": sample_rate}
        for name, values in per_layer.items():
            if len(values) != len(dim):
                raise UserError(
                    f"RNNs.{name} has {len(values)} value(s), but RNNs.dim has {len(dim)} layer(s)."
                )
        self.sample_rate = frames_per_output(upstream_rate, total_rate)
        self.sample_style = sample_style
        size = input_size * self.sample_rate if sample_style == "concat" else input_size
        self.rnns = nn.ModuleList()
        for options in zip(dim, dropout, layer_norm, sample_rate, proj, strict=True):
            self.rnns.append(RNNLayer(size, module, bidirection, *options))
            size = self.rnns[-1].out_dim
        self.linear = nn.Linear(size, output_size)

    def forward(self, features: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        features, lengths = downsample(features, lengths, self.sample_rate, self.sample_style)
        for layer in self.rnns:
            features, lengths = layer(features, lengths)
        return self.linear(features), lengths


class Wav2Letter(nn.Module):
    """Convolutions over time; the first one strides to `total_rate` samples per output frame."""

    def __init__(self, input_size: int, output_size: int, upstream_rate: int, total_rate: int = 320) -> None:
        super().__init__()
        stride = frames_per_output(upstream_rate, total_rate)
        # inputs, outputs, kernel, stride, padding
        shapes = [(input_size, 250, 48, stride, 23), *[(250, 250, 7, 1, 3)] * 7]
        shapes += [(250, 2000, 32, 1, 16), (2000, 2000, 1, 1, 0), (2000, output_size, 1, 1, 0)]
        # The published recipe has a ReLU after the output layer too.
        self.acoustic_model = nn.Sequential(
            *(layer for shape in shapes for layer in (nn.Conv1d(*shape), nn.ReLU()))
        )

    def forward(self, features: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        hidden = F.pad(features.transpose(1, 2), (0, max(2 - features.size(1), 0)))  # [batch, dim, frames]
        for layer in self.acoustic_model:
            if isinstance(layer, nn.Conv1d):
                # Without this, biases would leak in from the padding.
                valid = valid_frames(lengths, hidden.size(-1), hidden.device)
                hidden = hidden * valid[:, None].to(hidden)
                kernel, stride, pad = layer.kernel_size[0], layer.stride[0], layer.padding[0]
                lengths = [max((length + 2 * pad - kernel) // stride + 1, 1) for length in lengths]
            hidden = layer(hidden)
        return hidden.transpose(1, 2), lengths


def frames_per_output(upstream_rate: int, total_rate: int) -> int:
    """How many upstream frames one output frame spans; 1 when `total_rate` is -1.

    Raises:
        UserError: the upstream's frames are already longer than `total_rate` samples.
    """
    if total_rate == -1:
        return 1
    frames = round(total_rate / upstream_rate)
    if frames < 1:
        raise UserError(
            f"total_rate: {total_rate} samples is less than one frame of the upstream ({upstream_rate}). "
            "Set total_rate to -1 to keep the upstream's rate."
        )
    return frames


class EveryFrame(FrameLevel):
    """An optional MLP and a linear layer on every frame: what configs call FrameLevel."""

    def __init__(
        self,
        input_size: int,
        output_size: int,
        upstream_rate: int,
        hiddens: Sequence[int] | None = None,
        activation: str = "ReLU",
    ) -> None:
        super().__init__(input_size, output_size, hiddens, activation)


MODELS: dict[str, type[nn.Module]] = {"RNNs": RNNs, "Wav2Letter": Wav2Letter, "FrameLevel": EveryFrame}
