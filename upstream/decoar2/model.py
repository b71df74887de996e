"""The network of DeCoAR 2.0 (Ling and Liu, 2020, arXiv:2012.06659): wav2vec 2.0's encoder over log-mel."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ..common import unpadded
from ..common.transformer_encoder import Encoder, EncoderConfig
from ..features.frames import valid_mask
from ..grouping import in_groups, similar_lengths

STRIDE = 320  # samples per frame
UNCOUNTED = 2  # frames behind an utterance that who divides samples by the stride still reads


@dataclass(frozen=True)
class Decoar2Config(EncoderConfig):
    """Sizes; the defaults are those of the published checkpoint."""

    feature_dim: int = 80
    activation_dropout: float = 0.0


class Decoar2(nn.Module):
    """A projection of the acoustic features, then a transformer encoder."""

    def __init__(self, config: Decoar2Config) -> None:
        super().__init__()
        self.post_extract_proj = nn.Linear(config.feature_dim, config.encoder_embed_dim)
        self.encoder = Encoder(config)

    def forward(self, features: Tensor, frames: Sequence[int]) -> list[Tensor]:
        """The input of every layer and the output of the last.

        Args:
            features: [batch, frames, feature_dim].
            frames: the valid frames of each utterance.

        Returns:
            `encoder_layers` + 1 tensors [batch, frames, encoder_embed_dim].
        """
        if not unpadded.pays(self, features):
            return self._encoded(features, frames)

        def encode_group(group: list[int]) -> list[Tensor]:
            valid = [frames[index] for index in group]
            return self._encoded(features[group, : max(valid) + UNCOUNTED], valid)

        return in_groups(encode_group, similar_lengths([count * STRIDE for count in frames]))

    def _encoded(self, features: Tensor, frames: Sequence[int]) -> list[Tensor]:
        projected, visible = self.post_extract_proj(features), None
        if min(frames) < features.size(1):
            valid = valid_mask(frames, features.size(1), features.device)
            projected, visible = projected.masked_fill(~valid, 0.0), valid.transpose(1, 2)[:, None]
        return self.encoder(projected, visible)
