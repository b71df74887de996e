"""DeCoAR 2.0 as an upstream."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from s3prl.utility.errors import UserError
from s3prl.utility.weights import load_weights

from ..common.filterbank import FilterbankExpert, audio_features
from ..loading import read, shape_of
from .model import Decoar2, Decoar2Config

SKIP = 2  # frames of 10 ms: the encoder sees every second one
LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


class UpstreamExpert(FilterbankExpert):
    """The input of every transformer layer and the output of the last."""

    def __init__(
        self,
        ckpt: str | None = None,
        model_config: str | None = None,
        encoder_attention_heads: int = Decoar2Config.encoder_attention_heads,
        **options: Any,
    ) -> None:
        """
        Args:
            ckpt: path of a checkpoint; the sizes of the model are those of its weights.
            model_config: not used.
            encoder_attention_heads: the one size that weights do not show.

        Raises:
            UserError: no such file, not a checkpoint of DeCoAR 2.0, or heads that do not divide its size.
        """
        weights = read(ckpt, "decoar2", "model")["model"]
        config = _config(weights, encoder_attention_heads, ckpt)
        model = Decoar2(config)
        load_weights(model, weights, ckpt, ignore_unknown=True)  # such as what reconstructs the spectrum
        features = audio_features({"feat_dim": config.feature_dim}, ckpt)
        super().__init__("DeCoAR 2.0", features, model, skip=SKIP, **options)


def _config(weights: Mapping[str, Tensor], heads: int, path: str) -> Decoar2Config:
    """The sizes that these weights have."""
    size, feature_dim = shape_of(weights, "post_extract_proj.weight", path)
    _, group_size, width = shape_of(weights, "encoder.pos_conv.0.weight_v", path)
    inner_size, _ = shape_of(weights, "encoder.layers.0.fc1.weight", path)
    if size % heads != 0:
        raise UserError(
            f"{path} has an encoder of {size} dimensions, which {heads} attention heads cannot share. "
            "Give encoder_attention_heads."
        )
    return Decoar2Config(
        feature_dim=feature_dim,
        encoder_embed_dim=size,
        encoder_layers=len({match[1] for name in weights if (match := LAYER.match(name))}),
        encoder_ffn_embed_dim=inner_size,
        encoder_attention_heads=heads,
        conv_pos=width,
        conv_pos_groups=size // group_size,
    )
