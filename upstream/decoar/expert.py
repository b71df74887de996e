"""DeCoAR as an upstream."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from s3prl.utility.weights import load_weights

from ..common.filterbank import FilterbankExpert, audio_features
from ..loading import read, shape_of
from .model import Decoar


class UpstreamExpert(FilterbankExpert):
    """One hidden state: the outputs of the forward and the backward LSTMs side by side."""

    def __init__(self, ckpt: str | None = None, model_config: str | None = None, **options: Any) -> None:
        """
        Args:
            ckpt: path of a checkpoint; the sizes of the model are those of its weights.
            model_config: not used.

        Raises:
            UserError: no such file, or not a checkpoint of DeCoAR.
        """
        weights = read(ckpt, "decoar", "model")["model"]
        model = _fitting(weights, ckpt)
        load_weights(model, weights, ckpt, ignore_unknown=True)  # such as what reconstructs the spectrum
        features = audio_features({"feat_dim": model.post_extract_proj.in_features}, ckpt)
        super().__init__("DeCoAR", features, model, **options)


def _fitting(weights: Mapping[str, Tensor], path: str) -> Decoar:
    """The network that these weights belong to."""
    projection_size, feature_dim = shape_of(weights, "post_extract_proj.weight", path)
    _, hidden_size = shape_of(weights, "forward_lstm.weight_hh_l0", path)
    num_layers = sum(name.startswith("forward_lstm.weight_hh_l") for name in weights)
    return Decoar(feature_dim, projection_size, hidden_size, num_layers)
