"""The network of DistilHuBERT: HuBERT's convolutions, two of its layers, a prediction head per teacher layer.

Chang et al., "DistilHuBERT: Speech Representation Learning by Layer-wise Distillation of Hidden-unit BERT",
ICASSP 2022. The names of the parameters are those of the published checkpoint.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..common import unpadded
from ..common.conv_layers import frames_after
from ..common.transformer_encoder import Encoder
from ..features.frames import valid_mask
from ..grouping import in_groups, similar_lengths
from .config import DistillerConfig
from .layers import ConvFeatureExtractor, PredictionHeads


class Distilled(NamedTuple):
    """What the network makes of a batch."""

    features: Tensor  # [batch, frames, dim], the projected convolutions
    layers: list[Tensor]  # [batch, frames, dim] each
    predictions: list[Tensor]  # [batch, frames, final_dim] for each teacher layer; empty without heads
    valid: Tensor  # [batch, frames], True where a frame belongs to its utterance


class DistillerModel(nn.Module):
    """Padded waves [batch, samples] -> features, layers and predictions."""

    def __init__(self, config: DistillerConfig) -> None:
        super().__init__()
        self.config = config
        self.convolutions = config.convolutions
        channels, dim = self.convolutions[-1][0], config.encoder_embed_dim
        self.feature_extractor = ConvFeatureExtractor(self.convolutions, config.extractor_dropout)
        # as in the published model, no projection where the sizes agree
        self.post_extract_proj = nn.Linear(channels, dim) if channels != dim else nn.Identity()
        self.encoder = Encoder(config)
        self.output_layer = PredictionHeads(config)

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when they are too few for one."""
        return frames_after(samples, self.convolutions)

    def forward(
        self, wavs: Tensor, samples: Sequence[int], predict: bool = True, alone: bool = False
    ) -> Distilled:
        """
        Args:
            wavs: [batch, samples], zero after an utterance's end.
            samples: of each utterance.
            predict: also run the prediction heads.
            alone: normalise the first convolution over each utterance instead of the padded batch.
        """
        convolved = self.convolved(wavs, samples if alone else None)
        return self.encoded(convolved, [self.num_frames(length) for length in samples], predict)

    def convolved(self, wavs: Tensor, samples: Sequence[int] | None = None) -> Tensor:
        """The first of two steps of `forward`: padded waves [batch, samples] -> [batch, frames, channels].

        Args:
            samples: of each utterance, to normalise each over its own frames; None normalises over the batch.
        """
        return self._scaled(lambda: self.feature_extractor(wavs, samples))

    def without_padding(self, wavs: Sequence[Tensor], predict: bool = True, alone: bool = False) -> Distilled:
        """The same for wavs [samples] in evaluation, without computing the padding of their batch."""
        lengths = [len(wav) for wav in wavs]
        valid = [self.num_frames(length) for length in lengths]
        stride = math.prod(stride for _, _, stride in self.convolutions)
        read = unpadded.frames_read(lengths, valid, stride, max(valid))

        def convolve(index: int) -> Tensor:
            longest = lengths[index] if alone else max(lengths)
            return self._scaled(lambda: self.feature_extractor.of_one(wavs[index], read[index], longest))[0]

        def encode_group(group: list[int]) -> Distilled:
            features = pad_sequence([convolve(index) for index in group], batch_first=True)
            return self.encoded(features, [valid[index] for index in group], predict)

        return Distilled(*in_groups(encode_group, similar_lengths(lengths)))

    def encoded(self, convolved: Tensor, frames: Sequence[int], predict: bool = True) -> Distilled:
        """The second: what follows the convolutions [batch, frames, channels].

        Args:
            frames: of each utterance that are valid.
            predict: also run the prediction heads.
        """
        features = self.post_extract_proj(convolved)
        valid = valid_mask(frames, features.size(1), features.device)
        padded = min(frames) < features.size(1)
        if padded:
            features = features.masked_fill(~valid, 0.0)
        _, *layers = self.encoder(features, valid[:, None, None, :, 0] if padded else None)
        predictions = list(self.output_layer(layers[-1])) if predict else []
        return Distilled(features, layers, predictions, valid[..., 0])

    def _scaled(self, convolve: Callable[[], Tensor]) -> Tensor:
        """The convolutions as [batch, frames, channels], with the scale of their gradient."""
        scale = self.config.feature_grad_mult
        with torch.set_grad_enabled(torch.is_grad_enabled() and scale > 0.0):
            features = convolve().transpose(1, 2)
        if features.requires_grad and scale != 1.0:
            features.register_hook(lambda gradient: gradient * scale)
        return features
