"""fairseq's description of a network in the terms of the transformers library."""

from typing import Any

from s3prl.utility.errors import UserError

from ...interfaces import SAMPLE_RATE
from ..conv_layers import parse_conv_layers
from .reading import Published

# What fairseq assumes where an older file says nothing: the published base models.
DEFAULTS = {
    "extractor_mode": "default",
    "encoder_layers": 12,
    "encoder_embed_dim": 768,
    "encoder_ffn_embed_dim": 3072,
    "encoder_attention_heads": 12,
    "activation_fn": "gelu",
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.0,
    "dropout_input": 0.0,
    "layer_norm_first": False,
    "conv_feature_layers": "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2",
    "conv_bias": False,
    "conv_pos": 128,
    "conv_pos_groups": 16,
}
NORMS = {"default": "group", "layer_norm": "layer"}  # extractor_mode -> feat_extract_norm
# Settings with which the network would be another one than the transformers library has.
REQUIRED = {
    "sample_rate": (SAMPLE_RATE,),
    "extractor_mode": tuple(NORMS),
    "activation_fn": ("gelu", "relu", "tanh"),
    "layer_type": ("transformer",),
    "attn_type": ("", None),
    "pos_enc_type": ("abs",),
    "conv_pos_batch_norm": (False,),
    "quantize_input": (False,),
    "crop_seq_to_multiple": (1,),
}


def transformers_fields(published: Published) -> dict[str, Any]:
    """Fields that the configurations of all families share.

    Raises:
        UserError: the file describes a network that none of the families is.
    """
    require(published, REQUIRED)
    given = DEFAULTS | published.settings
    dims, kernels, strides = zip(*parse_conv_layers(given["conv_feature_layers"]), strict=True)
    return {
        "hidden_size": given["encoder_embed_dim"],
        "num_hidden_layers": given["encoder_layers"],
        "num_attention_heads": given["encoder_attention_heads"],
        "intermediate_size": given["encoder_ffn_embed_dim"],
        "hidden_act": given["activation_fn"],
        "hidden_dropout": given["dropout"],
        "attention_dropout": given["attention_dropout"],
        "activation_dropout": given["activation_dropout"],
        "feat_proj_dropout": given["dropout_input"],
        "feat_extract_norm": NORMS[given["extractor_mode"]],
        "conv_dim": dims,
        "conv_kernel": kernels,
        "conv_stride": strides,
        "conv_bias": given["conv_bias"],
        "num_conv_pos_embeddings": given["conv_pos"],
        "num_conv_pos_embedding_groups": given["conv_pos_groups"],
        "do_stable_layer_norm": given["layer_norm_first"],
        "mask_time_prob": 0.0,  # the mask of pre-training has no weights here
    }


def require(published: Published, allowed: dict[str, tuple[Any, ...]]) -> None:
    """Refuse a setting that stands in the file with a value that is not allowed.

    Raises:
        UserError: names the setting, its value and the file.
    """
    for name, values in allowed.items():
        value = published.settings.get(name, values[0])
        if value not in values:
            raise UserError(
                f"{published.path} has {name} = {value!r}; only {' or '.join(map(repr, values))} "
                "is supported."
            )
