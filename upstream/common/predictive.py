"""What APC and NPC share: checkpoints of the public S3PRL that state features and sizes, a prediction."""

from collections.abc import Callable
from typing import Any

from torch import nn

from s3prl.utility.typed import typed
from s3prl.utility.weights import load_weights

from ..families import NAMES
from ..loading import read
from .filterbank import FilterbankExpert, audio_features
from .vq import VqConfig


class PredictiveExpert(FilterbankExpert):
    """A model trained to predict acoustic features, built from the configuration in its checkpoint.

    Subclasses set `family`, the prefix of their entries. `model.prediction(last_hidden_state)` gives the
    predicted features.
    """

    family: str

    def __init__(
        self,
        ckpt: str | None,
        config_kind: type,
        build: Callable[[Any, int], nn.Module],
        **options: Any,
    ) -> None:
        """
        Args:
            ckpt: path of the checkpoint.
            config_kind: dataclass with the fields of its `config.model.paras`.
            build: makes the model from such a config and the size of an acoustic feature vector.

        Raises:
            UserError: no such file, or not a checkpoint of this model.
        """
        state = read(ckpt, self.family, "model", "config.data.audio", "config.model.paras")
        config = state["config"]
        sizes, where = dict(config["model"]["paras"]), f"{ckpt}: config.model.paras"
        if sizes.get("vq") is not None:
            sizes["vq"] = typed(VqConfig, sizes["vq"], f"{where}.vq", ignore_unknown=True)
        features = audio_features(config["data"]["audio"], f"{ckpt}: config.data.audio")
        model = build(typed(config_kind, sizes, where, ignore_unknown=True), features.dim)
        load_weights(model, state["model"], ckpt)
        super().__init__(NAMES[self.family], features, model, **options)
