"""Modified CPC as an upstream."""

import math
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.typed import typed
from s3prl.utility.weights import load_weights

from ..interfaces import UpstreamBase
from ..loading import read
from .model import CONVOLUTIONS, Cpc, Settings, num_frames


class UpstreamExpert(UpstreamBase):
    """The encoder's frames and the recurrent network's, at 10 ms.

    As published, the last frames of an utterance differ in a batch that pads it, because the convolutions see
    the norm's bias there instead of zeros; with `alone` they do not.
    """

    def __init__(
        self,
        ckpt: str | None = None,
        model_config: str | None = None,
        alone: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            ckpt: path of a checkpoint of CPC_audio.
            model_config: not used; the file holds its configuration.
            alone: give every utterance the values it has alone, in any batch.

        Raises:
            UserError: no file, one that cannot be read, or of another network.
        """
        super().__init__(**options)
        self.name, self.alone = "[cpc]", alone
        state = read(ckpt, "cpc", "config", "weights")
        given = {name: value for name, value in state["config"].items() if value is not None}
        self.settings = typed(Settings, given, f"{ckpt}: config", ignore_unknown=True)
        self.model = Cpc(self.settings)
        load_weights(self.model, state["weights"], str(ckpt))

    @property
    def batch_invariant(self) -> bool:
        """Whether an utterance's values are those it has alone; in two modes not even if `alone`."""
        over_time = self.settings.normMode == "instanceNorm" or self.settings.cpc_mode == "reverse"
        return self.alone and not over_time

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return math.prod(stride for _, stride, _ in CONVOLUTIONS)

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short for one."""
        return num_frames(samples)

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> `hidden_states`: encoder and recurrent network, [batch, frames, dim]."""
        lengths = [len(wav) for wav in wavs]
        padded = self.alone and len(set(lengths)) > 1
        encoded, context = self.model(pad_sequence(wavs, batch_first=True), lengths if padded else None)
        return {"hidden_states": [encoded, context], "last_hidden_state": context}
