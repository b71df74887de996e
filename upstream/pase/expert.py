"""PASE+ as an upstream."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.weights import load_weights

from ..grouping import in_equal_lengths
from ..interfaces import UpstreamBase
from ..loading import read
from .config import read_config
from .model import FrontEnd

PUBLISHED_CONFIG = Path(__file__).with_name("pase_plus.cfg")


class UpstreamExpert(UpstreamBase):
    """The front end of PASE+ (Ravanelli et al., ICASSP 2020): 160 samples (10 ms) per frame.

    As in the published model, nothing marks the end of an utterance: frames of the shorter utterances of a
    batch differ from those they have alone, and so do the group means of the dense skips.
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
            ckpt: path of the weights.
            model_config: path of the JSON file that describes the network; by default that of the published
                PASE+.
            alone: compute wavs of different lengths apart, so that every utterance has the values it has
                alone; slower.

        Raises:
            UserError: a file is missing or damaged, or the weights are not those of the network described.
        """
        super().__init__(**options)
        self.name = "[pase]"
        self.encode = partial(in_equal_lengths, self._states) if alone else self._states
        self.batch_invariant = alone
        path = Path(model_config or PUBLISHED_CONFIG)
        state = read(ckpt, "pase")
        self.model = FrontEnd(read_config(path))
        load_weights(self.model, state.get("state_dict", state), f"{ckpt} (described by {path})")
        self.output_dim = self.model.W.out_channels
        self.downsample_rate = math.prod(block.stride for block in self.model.blocks)

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return self.downsample_rate

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short."""
        return self.model.num_frames(samples)

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> hidden_states of [batch, frames, emb_dim].

        They are the projected dense skips, the projected output of the QRNN, and the output of the model.
        """
        states = self.encode(wavs)
        return {"hidden_states": states, "last_hidden_state": states[-1]}

    def _states(self, wavs: Sequence[Tensor]) -> list[Tensor]:
        return self.model(pad_sequence(list(wavs), batch_first=True)[:, None])
