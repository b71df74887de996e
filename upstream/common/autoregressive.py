"""The network and the upstream of APC (Chung et al., Interspeech 2019) and VQ-APC (Interspeech 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor, nn

from s3prl.utility.typed import DROPOUT, at_least

from ..features.frames import valid_mask
from .predictive import PredictiveExpert
from .vq import VqConfig, codebooks, quantise


@dataclass(frozen=True)
class ApcConfig:
    """Sizes, as `config.model.paras` of a checkpoint names them."""

    hidden_size: Annotated[int, at_least(1)]
    num_layers: Annotated[int, at_least(1)] = 3
    dropout: Annotated[float, DROPOUT] = 0.1
    residual: bool = True
    vq: VqConfig | None = None


class Apc(nn.Module):
    """Stacked GRUs that look back only, trained to predict the spectrum some frames ahead."""

    def __init__(self, config: ApcConfig, feature_dim: int) -> None:
        """
        Args:
            feature_dim: size of an acoustic feature vector.

        Raises:
            UserError: the groups of `config.vq` do not make up the hidden size.
        """
        super().__init__()
        sizes = [feature_dim] + [config.hidden_size] * (config.num_layers - 1)
        self.rnn_layers = nn.ModuleList(nn.GRU(size, config.hidden_size, batch_first=True) for size in sizes)
        self.dropout = nn.Dropout(config.dropout)
        self.residual = config.residual
        self.vq_layers = codebooks(config.vq, config.hidden_size)
        self.postnet = nn.Linear(config.hidden_size, feature_dim)

    def forward(self, features: Tensor, frames: Sequence[int]) -> list[Tensor]:
        """The output of every layer, zero after an utterance's end.

        Args:
            features: [batch, frames, feature_dim].
            frames: the valid frames of each utterance.

        Returns:
            `num_layers` tensors [batch, frames, hidden_size].
        """
        # A GRU that looks back only never sees the padding behind an utterance, so nothing is packed: packed
        # sequences are several times slower to train.
        padding = ~valid_mask(frames, features.size(1), features.device)
        hidden, hidden_states = features, []
        for index, layer in enumerate(self.rnn_layers):
            output = self.dropout(layer(hidden)[0])
            hidden = output + hidden if self.residual and index > 0 else output
            hidden_states.append(hidden.masked_fill(padding, 0.0))
        return hidden_states

    def prediction(self, last_hidden_state: Tensor) -> Tensor:
        """The predicted acoustic features: [batch, frames, hidden_size] -> [batch, frames, feature_dim]."""
        if self.vq_layers is not None:
            last_hidden_state = quantise(last_hidden_state, self.vq_layers)
        return self.postnet(last_hidden_state)


class AutoregressiveExpert(PredictiveExpert):
    """The outputs of all GRU layers, the last of which VQ-APC quantises for its prediction only."""

    def __init__(self, ckpt: str | None = None, model_config: str | None = None, **options: Any) -> None:
        """
        Args:
            ckpt: path of a checkpoint of the public S3PRL, which holds the sizes of the model too.
            model_config: not used.

        Raises:
            UserError: no such file, or not a checkpoint of this family.
        """
        super().__init__(ckpt, ApcConfig, Apc, **options)
