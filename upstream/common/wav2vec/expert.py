"""wav2vec and vq-wav2vec as upstreams."""

import math
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.weights import load_weights

from ...interfaces import UpstreamBase
from ..conv_layers import frames_after
from .model import Wav2Vec
from .settings import published


class Wav2VecExpert(UpstreamBase):
    """The encoder's frames and the output of every layer of the context network, at 10 ms.

    The published norms run over all frames of the padded batch, so that an utterance's values depend on the
    longest of its batch; with `alone` they do not.
    """

    family: str  # prefix of the entries

    def __init__(
        self,
        ckpt: str | None = None,
        model_config: str | None = None,
        alone: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            ckpt: path of a file of fairseq or of the public S3PRL.
            model_config: not used; the file holds its configuration.
            alone: give every utterance the values it has alone, in any batch.

        Raises:
            UserError: no file, one that cannot be read, or of another network.
        """
        super().__init__(**options)
        settings, weights = published(ckpt, self.family)
        self.name, self.alone = f"[{self.family}]", alone
        self.model = Wav2Vec(settings)
        load_weights(self.model, weights, str(ckpt))
        self.layers = self.model.feature_extractor.layers

    @property
    def batch_invariant(self) -> bool:
        """Whether an utterance's values are those it has alone, in any batch."""
        return self.alone

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return math.prod(stride for _, _, stride in self.layers)

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short for one."""
        return frames_after(samples, self.layers)

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> `hidden_states`, each [batch, frames, dim].

        Further keys: `z` (encoder), `c` and `default` (last context); of vq-wav2vec `codewords` and `codeids`
        [batch, frames, groups], the int64 numbers of the codes.
        """
        lengths = [len(wav) for wav in wavs]
        padded = self.alone and len(set(lengths)) > 1
        output = self.model(pad_sequence(wavs, batch_first=True), lengths if padded else None)
        layers = [layer.transpose(1, 2) for layer in (output.encoded, *output.contexts)]
        result = {"hidden_states": layers, "last_hidden_state": layers[-1]}
        result |= {"z": layers[0], "c": layers[-1], "default": layers[-1]}
        if output.codes is not None:
            result |= {"codewords": output.codewords.transpose(1, 2), "codeids": output.codes}
        return result
