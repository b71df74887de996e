"""The settings of a distilled network."""

from dataclasses import dataclass
from typing import Annotated, Literal

from s3prl.utility.errors import UserError
from s3prl.utility.typed import Bound, at_least

from ..common.conv_layers import parse_conv_layers
from ..common.transformer_encoder import Count, EncoderConfig, Probability

Off = Annotated[bool, Bound(lambda value: not value, "false")]


@dataclass(frozen=True)
class DistillerConfig(EncoderConfig):
    """The block `distiller` of a configuration, with the values of the published model."""

    extractor_conv_feature_layers: str | list = "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2"
    extractor_dropout: Probability = 0.0
    feature_grad_mult: Annotated[float, at_least(0)] = 0.1  # of the convolutions' gradient; 0 freezes them
    encoder_layers: Count = 2
    n_tasks: Count = 3  # prediction heads
    final_dim: Count = 768  # of a prediction
    out_layer_inter_dim: int = -1  # -1: encoder_embed_dim
    # with other values the network would be another one than the published
    extractor_mode: Literal["default"] = "default"
    activation_fn: Literal["gelu"] = "gelu"
    layer_norm_first: Off = False
    attention_type: Literal["original"] = "original"
    out_layer_type: Literal["expand-last"] = "expand-last"
    task_emb_type: Literal["expand-last"] = "expand-last"

    def __post_init__(self) -> None:
        """Refuse heads or groups that do not divide the size; raises a UserError."""
        for field in ("encoder_attention_heads", "conv_pos_groups"):
            if self.encoder_embed_dim % (parts := getattr(self, field)):
                raise UserError(
                    f"encoder_embed_dim {self.encoder_embed_dim} is no multiple of {field} {parts}."
                )

    @property
    def convolutions(self) -> list[tuple[int, int, int]]:
        """(channels, kernel, stride) of each convolution."""
        return parse_conv_layers(self.extractor_conv_feature_layers)

    @property
    def inter_dim(self) -> int:
        """Hidden size of a prediction head."""
        return self.encoder_embed_dim if self.out_layer_inter_dim == -1 else self.out_layer_inter_dim
