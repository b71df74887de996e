"""fairseq's names of weights in the terms of the transformers library; none is passed over in silence."""

import re

from torch import Tensor

from s3prl.utility.errors import UserError
from s3prl.utility.weights import listed

from .reading import Published

_LAYER = r"(encoder\.layers\.\d+\.)"
_POSITION = "encoder.pos_conv_embed."
_WEIGHT_NORM = f"{_POSITION}conv.parametrizations.weight.original"
RULES = [
    (r"(feature_extractor\.conv_layers\.\d+\.)0\.(weight|bias)", r"\1conv.\2"),
    (r"(feature_extractor\.conv_layers\.\d+\.)2\.(?:1\.)?(weight|bias)", r"\1layer_norm.\2"),
    (r"layer_norm\.(weight|bias)", r"feature_projection.layer_norm.\1"),
    (r"post_extract_proj\.(weight|bias)", r"feature_projection.projection.\1"),
    (r"encoder\.pos_conv\.0\.bias", f"{_POSITION}conv.bias"),
    (r"encoder\.pos_conv\.0\.weight_g", f"{_WEIGHT_NORM}0"),
    (r"encoder\.pos_conv\.0\.weight_v", f"{_WEIGHT_NORM}1"),
    (r"encoder\.pos_conv\.0\.parametrizations\.weight\.original([01])", rf"{_WEIGHT_NORM}\1"),
    (r"encoder\.pos_conv\.(\d+)\.0\.(weight|bias)", rf"{_POSITION}layers.\1.conv.\2"),
    (rf"{_LAYER}self_attn\.([qkv]|out)_proj\.(weight|bias)", r"\1attention.\2_proj.\3"),
    (rf"{_LAYER}self_attn\.grep_a", r"\1attention.gru_rel_pos_const"),
    (rf"{_LAYER}self_attn\.grep_linear\.(weight|bias)", r"\1attention.gru_rel_pos_linear.\2"),
    (rf"{_LAYER}self_attn\.relative_attention_bias\.weight", r"\1attention.rel_attn_embed.weight"),
    (rf"{_LAYER}self_attn_layer_norm\.(weight|bias)", r"\1layer_norm.\2"),
    (rf"{_LAYER}fc1\.(weight|bias)", r"\1feed_forward.intermediate_dense.\2"),
    (rf"{_LAYER}fc2\.(weight|bias)", r"\1feed_forward.output_dense.\2"),
    (rf"{_LAYER}final_layer_norm\.(weight|bias)", r"\1final_layer_norm.\2"),
    (r"encoder\.layer_norm\.(weight|bias)", r"encoder.layer_norm.\1"),
]
# Parts of pre-training (mask, quantizer, targets, teacher) or of recognition, which features do not need.
UNUSED = re.compile(
    r"(mask_emb|quantizer|project_q|project_hid|target_glu|final_proj|label_embs_concat|_ema"
    r"|layer_norm_for_extract|spk_proj|w2v_encoder\.proj)(\..*)?"
)


def converted(published: Published) -> dict[str, Tensor]:
    """The weights by the names of the transformers library.

    Raises:
        UserError: a name that is neither known nor known to be unused.
    """
    weights, unknown = {}, []
    for name, value in published.weights.items():
        new = transformers_name(name)
        if new is not None and isinstance(value, Tensor):
            weights[new] = value.float()  # some files are in half precision
        elif not UNUSED.fullmatch(name):
            unknown.append(name)
    if unknown:
        raise UserError(f"{published.path} has weights that this network does not: {listed(unknown)}.")
    return weights


def transformers_name(name: str) -> str | None:
    """The name in the transformers library of a weight with this name in fairseq; None where it has none."""
    for pattern, new in RULES:
        if match := re.fullmatch(pattern, name):
            return match.expand(new)
    return None
