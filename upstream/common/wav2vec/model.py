"""The network of wav2vec (Schneider et al., Interspeech 2019) and vq-wav2vec (Baevski et al., ICLR 2020).

Modules are named and numbered as in fairseq, so that published weights load by their names.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...features.frames import valid_mask
from ..conv_layers import ConvLayer, frames_after, parse_conv_layers
from ..group_norm import Block, Float32GroupNorm
from .quantizer import GumbelQuantizer, KmeansQuantizer
from .settings import Settings


class Output(NamedTuple):
    """What the network makes of a batch of wavs."""

    encoded: Tensor  # [batch, channels, frames], before quantization
    contexts: list[Tensor]  # of each aggregator layer, [batch, channels, frames]
    codewords: Tensor | None  # [batch, dim, frames], what the aggregator reads
    codes: Tensor | None  # [batch, frames, groups]


class Wav2Vec(nn.Module):
    """Encoder, quantizer (of vq-wav2vec only) and causal context network ("aggregator")."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.feature_extractor = Encoder(settings)
        channels = self.feature_extractor.layers[-1][0]
        self.vector_quantizer = _quantizer(settings, channels)
        quantized = channels if self.vector_quantizer is None else settings.vq_dim or channels
        self.feature_aggregator = Aggregator(settings, quantized)

    def forward(self, wavs: Tensor, samples: Sequence[int] | None = None) -> Output:
        """
        Args:
            wavs: [batch, samples].
            samples: of each utterance, so that each is normalised over its own frames; None normalises over
                the padded batch.
        """
        encoded, valid = self.feature_extractor(wavs, samples)
        if self.vector_quantizer is None:
            return Output(encoded, self.feature_aggregator(encoded, valid), None, None)
        # In half precision nearly equal codes would swap places.
        with torch.autocast(encoded.device.type, enabled=False):
            dtype = next(self.vector_quantizer.parameters()).dtype
            codewords, codes = self.vector_quantizer(encoded.to(dtype), valid)
        return Output(encoded, self.feature_aggregator(codewords, valid), codewords, codes)


class Encoder(nn.Module):
    """Strided convolutions over the samples, each with a norm over all channels and frames."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.layers: list[ConvLayer] = parse_conv_layers(settings.conv_feature_layers)
        self.skips = settings.skip_connections_feat
        self.residual_scale = math.sqrt(settings.residual_scale)
        self.log_compression = settings.log_compression
        inputs = [1, *(channels for channels, _, _ in self.layers)]
        self.conv_layers = nn.ModuleList(
            Block(nn.Conv1d(before, channels, kernel, stride, bias=False), *_finish(settings, channels))
            for before, (channels, kernel, stride) in zip(inputs, self.layers, strict=False)
        )

    def forward(self, wavs: Tensor, samples: Sequence[int] | None) -> tuple[Tensor, Tensor | None]:
        """[batch, samples] -> [batch, channels, frames], and which frames count (see Wav2Vec and Block)."""
        hidden, valid = wavs.unsqueeze(1), None
        for index, layer in enumerate(self.conv_layers):
            if samples is not None:
                frames = [frames_after(length, self.layers[: index + 1]) for length in samples]
                longest = frames_after(wavs.size(1), self.layers[: index + 1])
                valid = valid_mask(frames, longest, wavs.device).transpose(1, 2)
            before, hidden = hidden, layer(hidden, valid)
            if self.skips and hidden.size(1) == before.size(1):
                frames = hidden.size(2)
                residual = before[..., :: before.size(2) // frames][..., :frames]
                hidden = (hidden + residual).mul_(self.residual_scale)
        return (hidden.abs().add_(1).log_() if self.log_compression else hidden), valid


class Aggregator(nn.Module):
    """Causal convolutions over the frames."""

    def __init__(self, settings: Settings, channels: int) -> None:
        """
        Args:
            channels: of the frames it reads.
        """
        super().__init__()
        layers = parse_conv_layers(settings.conv_aggregator_layers)
        widths = [channels, *(width for width, _, _ in layers)]
        self.skips = settings.skip_connections_agg
        self.residual_scale = math.sqrt(settings.residual_scale)
        self.conv_layers = nn.ModuleList(
            _causal(settings, before, width, kernel)
            for before, (width, kernel, _) in zip(widths, layers, strict=False)
        )
        self.residual_proj = nn.ModuleList(
            nn.Conv1d(before, after, 1, bias=False) if self.skips and before != after else None
            for before, after in pairwise(widths)
        )

    def forward(self, hidden: Tensor, valid: Tensor | None) -> list[Tensor]:
        """[batch, channels, frames] -> the output of every layer, [batch, channels, frames]."""
        outputs = []
        for layer, projection in zip(self.conv_layers, self.residual_proj, strict=True):
            before, hidden = hidden, layer(hidden, valid)
            if self.skips:
                residual = before if projection is None else projection(before)
                hidden = (hidden + residual).mul_(self.residual_scale)
            outputs.append(hidden)
        return outputs


def _quantizer(settings: Settings, channels: int) -> GumbelQuantizer | KmeansQuantizer | None:
    if settings.vq_type == "none":
        return None
    sizes = {
        "channels": channels,
        "entries": settings.vq_vars,
        "groups": settings.vq_groups,
        "shared": settings.combine_groups,
        "dim": settings.vq_dim or channels,
    }
    if settings.vq_type == "kmeans":
        return KmeansQuantizer(**sizes)
    return GumbelQuantizer(
        **sizes, depth=settings.vq_depth, temperature=settings.temperature, activation=_activation(settings)
    )


def _causal(settings: Settings, before: int, after: int, kernel: int) -> Block:
    pad = nn.ZeroPad1d if settings.agg_zero_pad else nn.ReplicationPad1d
    conv = nn.Conv1d(before, after, kernel, bias=not settings.no_conv_bias)
    return Block(pad((kernel - 1, 0)), conv, *_finish(settings, after))


def _finish(settings: Settings, channels: int) -> tuple[nn.Module, ...]:
    """What follows every convolution."""
    norm = Float32GroupNorm(1, channels, affine=not settings.non_affine_group_norm)
    return nn.Dropout(settings.dropout), norm, _activation(settings)


def _activation(settings: Settings) -> nn.Module:
    return nn.GELU() if settings.activation == "gelu" else nn.ReLU(inplace=True)
