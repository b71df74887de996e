"""DistilHuBERT as an upstream."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.typed import typed
from s3prl.utility.weights import load_weights

from ..common import unpadded
from ..interfaces import UpstreamBase
from ..loading import read
from .config import DistillerConfig
from .model import DistillerModel


class UpstreamExpert(UpstreamBase):
    """The projected convolutions, every layer, and the prediction of every head, in this order.

    Predictions of another size than the layers are left out: layers of different sizes cannot be weighted.

    The first convolution is normalised over the padded time axis in the published model, so that an
    utterance's values depend on the longest of its batch; with `alone` they do not.
    """

    def __init__(
        self,
        ckpt: str | None = None,
        model_config: str | None = None,
        alone: bool = False,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            ckpt: path of a checkpoint of the distillation.
            model_config: path of a YAML file whose block `distiller` replaces that of the checkpoint.
            alone: give every utterance the values it has alone, in any batch.

        Raises:
            UserError: no file is given, or one that cannot be used.
        """
        super().__init__(**kwargs)
        self.name, self.alone = "[distiller]", alone
        content = read(ckpt, "distiller")
        saved = content.get("Upstream_Config", content.get("Config"))  # older files have the latter alone
        given = load_yaml(model_config) if model_config else saved
        self.model = _model(content, given, str(ckpt), str(model_config or ckpt))
        self.output_dim = self.model.config.encoder_embed_dim

    @property
    def batch_invariant(self) -> bool:
        """Whether an utterance's values are those it has alone, in any batch."""
        return self.alone

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame: the product of the convolutions' strides."""
        return math.prod(stride for _, _, stride in self.model.convolutions)

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short for one."""
        return self.model.num_frames(samples)

    def forward(self, wavs: list[Tensor], no_pred: bool = False) -> dict[str, Any]:
        """Unpadded [samples] wavs -> states [batch, frames, dim].

        Args:
            no_pred: leave out the prediction heads.

        Returns:
            `hidden_states`; `last_hidden_state`, the last prediction (None without heads); `paper`, the last
            layer, which the paper evaluates; `pad_mask` [batch, frames], 1 where a frame is valid.
        """
        options = {"predict": not no_pred, "alone": self.alone}
        if unpadded.pays(self, wavs):
            result = self.model.without_padding(wavs, **options)
        else:
            padded = pad_sequence(wavs, batch_first=True)
            result = self.model(padded, [len(wav) for wav in wavs], **options)
        states = [result.features, *result.layers]
        if self.model.config.final_dim == self.output_dim:
            states += result.predictions
        return {
            "hidden_states": states,
            "last_hidden_state": result.predictions[-1] if result.predictions else None,
            "paper": result.layers[-1],
            "pad_mask": result.valid.to(result.features.dtype),
        }


def _model(content: Mapping[str, Any], given: Any, path: str, where: str) -> DistillerModel:
    """The network of a checkpoint's content and a configuration, which comes from the file `where`."""
    weights = content.get("Distiller")
    if not isinstance(weights, Mapping):
        raise UserError(
            f"{path} is no checkpoint of a distilled model: it has no weights 'Distiller', but holds: "
            f"{', '.join(map(str, content))}."
        )
    if not isinstance(given, Mapping) or not isinstance(given.get("distiller"), Mapping):
        raise UserError(f"{where} has no block 'distiller', which describes the network.")
    config = typed(DistillerConfig, given["distiller"], f"{where}: distiller", ignore_unknown=True)
    model = DistillerModel(config)
    load_weights(model, weights, f"{path} (Distiller)")
    return model
