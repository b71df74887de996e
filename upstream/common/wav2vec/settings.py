"""What a checkpoint of wav2vec or vq-wav2vec says about its network, by fairseq's names."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from s3prl.utility.errors import UserError
from s3prl.utility.typed import typed

from ..conv_layers import parse_conv_layers
from ..fairseq_format.reading import read

# What fairseq's older files, which keep the options of their command line, mean by a missing option.
COMMAND_LINE_DEFAULTS = {"skip_connections_agg": False, "log_compression": False}
ONLY_IN_PRETRAINING = ("wav2vec_predictions.", "project_features.")


@dataclass(frozen=True)
class Settings:
    """Fields of the configuration that shape the features; all others are of pre-training."""

    conv_feature_layers: str | list
    conv_aggregator_layers: str | list
    aggregator: Literal["cnn"] = "cnn"
    activation: Literal["relu", "gelu"] = "relu"
    dropout: float = 0.0
    no_conv_bias: bool = False
    non_affine_group_norm: bool = False
    agg_zero_pad: bool = False
    skip_connections_feat: bool = False
    skip_connections_agg: bool = True
    residual_scale: float = 0.5
    log_compression: bool = True
    vq_type: Literal["none", "gumbel", "kmeans"] = "none"
    vq_vars: int = 320
    vq_groups: int = 2
    vq_dim: int = 0  # 0: that of the encoder
    vq_depth: int = 1
    combine_groups: bool = False
    vq_temp: str | tuple[float, float, float] = (2.0, 0.5, 0.999995)

    @property
    def temperature(self) -> float:
        """Of the Gumbel softmax, at the end of pre-training.

        Raises:
            UserError: `vq_temp` is not (first, last, factor).
        """
        try:
            given = ast.literal_eval(self.vq_temp) if isinstance(self.vq_temp, str) else self.vq_temp
            _, last, _ = map(float, given)
        except (ValueError, SyntaxError, TypeError) as error:
            raise UserError(f"vq_temp must be (first, last, factor), but is {self.vq_temp}.") from error
        return last


def published(ckpt: str | None, family: str) -> tuple[Settings, dict[str, Tensor]]:
    """The settings and weights of a checkpoint file, in any of fairseq's or the public S3PRL's layouts.

    Args:
        family: prefix of the entry that asks, for messages.

    Raises:
        UserError: no file is given, it cannot be read, or is no checkpoint of wav2vec.
    """
    file = read(ckpt, family)
    given = file.settings
    if "arch" in given:  # an option of every command line, and of nothing else
        given = COMMAND_LINE_DEFAULTS | given
    settings = typed(Settings, given, f"{file.path}:", ignore_unknown=True)
    _check(settings, file.path)
    weights = {
        name: value for name, value in file.weights.items() if not name.startswith(ONLY_IN_PRETRAINING)
    }
    return settings, weights


def _check(settings: Settings, path: Path) -> None:
    """Refuse networks that are none of the published kinds."""
    encoder, aggregator = (
        parse_conv_layers(text) for text in (settings.conv_feature_layers, settings.conv_aggregator_layers)
    )
    if not encoder or not aggregator or None in [size for layer in encoder + aggregator for size in layer]:
        raise UserError(f"{path} needs the sizes of at least one convolution of encoder and aggregator each.")
    if any(stride != 1 for _, _, stride in aggregator):
        raise UserError(f"{path} has conv_aggregator_layers with strides; only stride 1 is supported.")
    channels = encoder[-1][0]
    groups, dim = settings.vq_groups, settings.vq_dim or channels
    if settings.vq_type != "none" and (groups < 1 or dim % groups):
        raise UserError(f"{path} has vq_groups = {groups}, which do not divide {dim} dimensions.")
    if settings.vq_type == "kmeans" and dim != channels:
        raise UserError(f"{path} has vq_dim = {dim}; k-means keeps the {channels} channels of the encoder.")
