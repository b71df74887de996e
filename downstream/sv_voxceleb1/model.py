"""The x-vector (Snyder et al., 2018): layers on frames and their context, pooling over time, an embedding.

An utterance has the same embedding alone and in a padded batch. Parameters are named as in the public S3PRL.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl.utility.config import check_fields
from s3prl.utility.padding import padded
from s3prl.utility.typed import at_least, choice, typed, within

from ..common.heads import (
    STATISTICS_EPSILON,
    AttentivePoolingModule,
    MeanPooling,
    StatisticsPooling,
    valid_frames,
)

Size = Annotated[int, at_least(1)]
Probability = Annotated[float, within(0, 1)]
CONTEXTS = (
    (5, 1),
    (3, 2),
    (3, 3),
    (1, 1),
    (1, 1),
)  # of the layers on frames: frames seen, and their distance


class TDNN(nn.Module):
    """A linear layer and ReLU on a frame and its context: [batch, dim, frames] -> [batch, output_dim, fewer].

    Only frames that have all of their context are computed: `reach` frames get lost.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        context_size: int,
        dilation: int,
        batch_norm: bool = False,
        dropout_p: float = 0.0,
    ) -> None:
        """
        Args:
            context_size: how many frames one output sees.
            dilation: their distance.
            batch_norm: normalise behind the ReLU.
            dropout_p: probability of dropout, behind the ReLU too.
        """
        super().__init__()
        self.context_size, self.dilation = context_size, dilation
        self.reach = (context_size - 1) * dilation
        self.kernel = nn.Linear(context_size * input_dim, output_dim)
        self.drop = nn.Dropout(dropout_p)
        self.bn = nn.BatchNorm1d(output_dim) if batch_norm else nn.Identity()

    def forward(self, frames: Tensor) -> Tensor:
        # A convolution, since the frames side by side would take context_size times the memory.
        weight = self.kernel.weight.view(len(self.kernel.weight), self.context_size, -1).transpose(1, 2)
        return self.bn(self.drop(F.conv1d(frames, weight, self.kernel.bias, dilation=self.dilation).relu()))


class XVector(nn.Module):
    """Five TDNN layers, which lose 14 frames: [batch, frames, input_dim] -> [batch, frames - 14, agg_dim]."""

    def __init__(
        self, input_dim: int, agg_dim: Size = 1500, dropout_p: Probability = 0.0, batch_norm: bool = False
    ) -> None:
        """
        Args:
            agg_dim: outputs of the last layer, which are pooled; the others have `input_dim`.
        """
        super().__init__()
        widths = [input_dim] * (len(CONTEXTS) - 1) + [agg_dim]
        self.module = nn.Sequential(
            *(
                TDNN(input_dim, width, context, dilation, batch_norm, dropout_p)
                for width, (context, dilation) in zip(widths, CONTEXTS, strict=True)
            )
        )
        self.output_dim = agg_dim
        self.lost_frames = sum(layer.reach for layer in self.module)

    def forward(self, frames: Tensor) -> Tensor:
        return self.module(frames.transpose(1, 2)).transpose(1, 2)


class Identity(nn.Module):
    """Pools the frames as they are."""

    lost_frames = 0

    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.output_dim = input_dim

    def forward(self, frames: Tensor) -> Tensor:
        return frames


class MP(MeanPooling):
    """Mean over time."""

    def __init__(self, input_dim: int, out_dim: int) -> None:
        super().__init__()
        self.output_dim = input_dim

    def forward(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        return super().forward(frames, lengths)[0]


class SP(StatisticsPooling):
    """Mean and standard deviation over time."""

    def __init__(self, input_dim: int, out_dim: int) -> None:
        super().__init__()
        self.output_dim = 2 * input_dim

    def forward(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        return super().forward(frames, lengths)[0]


class AP(nn.Module):
    """Self-attentive mean over time of linearly projected frames."""

    def __init__(self, input_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, out_dim)
        self.sap_layer = AttentivePoolingModule(out_dim)
        self.output_dim = out_dim

    def forward(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.sap_layer(self.linear(frames), valid_frames(lengths, frames.size(1), frames.device))


class ASP(nn.Module):
    """Self-attentive mean and standard deviation over time of linearly projected frames."""

    def __init__(self, input_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, out_dim)
        self.ap_layer = AttentivePoolingModule(out_dim)
        self.output_dim = 2 * out_dim

    def forward(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        frames = self.linear(frames)
        valid = valid_frames(lengths, frames.size(1), frames.device)
        weights = self.ap_layer.weights(frames, valid)[..., None]  # 0 behind the end
        mean = (frames * weights).sum(1)
        variance = ((frames - mean[:, None]).square() * weights).sum(1)
        return torch.cat([mean, (variance + STATISTICS_EPSILON).sqrt()], dim=-1)


class UtteranceExtractor(nn.Module):
    """Two linear layers with ReLU, of which verification uses the first."""

    def __init__(self, input_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(input_dim, out_dim)
        self.linear2 = nn.Linear(out_dim, out_dim)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.linear2(self.inference(pooled)).relu()

    def inference(self, pooled: Tensor) -> Tensor:
        """The embedding: [batch, input_dim] -> [batch, out_dim]."""
        return self.linear1(pooled).relu()


class UtteranceIdentity(nn.Module):
    """One linear layer between two ReLU, in training and verification."""

    def __init__(self, input_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, out_dim)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.linear(pooled.relu()).relu()

    def inference(self, pooled: Tensor) -> Tensor:
        """The embedding: [batch, input_dim] -> [batch, out_dim]."""
        return self(pooled)


MODULES = {"XVector": XVector, "Identity": Identity}
POOLINGS = {"SP": SP, "MP": MP, "AP": AP, "ASP": ASP}
UTTERANCE_MODULES = {"UtteranceExtractor": UtteranceExtractor, "UtteranceIdentity": UtteranceIdentity}


@dataclass
class ModelSettings:
    """`modelrc`, but for the loss; the names are those of the public configs."""

    input_dim: Size = 512
    module: str = "XVector"
    agg_module: str = "SP"
    utter_module: str = "UtteranceExtractor"
    module_config: dict[str, Any] = field(default_factory=dict)


class Model(nn.Module):
    """From projected frames to what the loss classifies, and to embeddings."""

    def __init__(self, settings: ModelSettings, where: str) -> None:
        """
        Args:
            where: how to name `settings` in an error.

        Raises:
            UserError: a module that does not exist, or an option that it does not take.
        """
        super().__init__()
        dim = settings.input_dim
        name = choice(settings.module, MODULES, f"{where}.module")
        pooling = POOLINGS[choice(settings.agg_module, POOLINGS, f"{where}.agg_module")]
        last = choice(settings.utter_module, UTTERANCE_MODULES, f"{where}.utter_module")
        check_fields(settings.module_config, MODULES, f"{where}.module_config")
        self.framelevel_feature_extractor = typed(
            MODULES[name], settings.module_config.get(name), f"{where}.module_config.{name}", dim
        )
        self.agg_method = pooling(self.framelevel_feature_extractor.output_dim, dim)
        self.utterancelevel_feature_extractor = UTTERANCE_MODULES[last](self.agg_method.output_dim, dim)

    def pooled(self, features: Sequence[Tensor], connector: nn.Module) -> Tensor:
        """Frames of each utterance [frames, upstream_dim], projected, seen in context, pooled: [batch, dim].

        An utterance that has fewer frames than the layers lose is repeated until one is left.
        """
        lost = self.framelevel_feature_extractor.lost_frames
        features = [repeated(feature, lost + 1) for feature in features]
        frames = self.framelevel_feature_extractor(connector(padded(features)))
        return self.agg_method(frames, [len(feature) - lost for feature in features])

    def forward(self, features: Sequence[Tensor], connector: nn.Module) -> Tensor:
        return self.utterancelevel_feature_extractor(self.pooled(features, connector))

    def inference(self, features: Sequence[Tensor], connector: nn.Module) -> Tensor:
        """Embeddings of length 1, whose dot product is their cosine: float32 [batch, input_dim]."""
        found = self.utterancelevel_feature_extractor.inference(self.pooled(features, connector))
        return F.normalize(found.float(), dim=-1)


def repeated(frames: Tensor, least: int) -> Tensor:
    """[frames, dim], repeated from the front where there are fewer than `least` frames."""
    if len(frames) >= least:
        return frames
    return frames[torch.arange(least, device=frames.device) % len(frames)]
