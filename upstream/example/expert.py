"""The smallest upstream that keeps every promise of the interface: the template for one of your own."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..interfaces import UpstreamBase

WINDOW = 400  # samples (25 ms at 16 kHz)
HOP = 160  # samples per frame (10 ms)
HIDDEN_SIZE = 80


class UpstreamExpert(UpstreamBase):
    """A strided convolution and two linear layers with random weights.

    Your own model loads its weights from `ckpt` here and reads its settings from `model_config`.
    """

    # No frame that `num_frames` counts reaches into the padding behind an utterance. Leave this line out
    # unless that is true of your model: `python -m s3prl.upstream.check` finds out.
    batch_invariant = True

    def __init__(self, ckpt: str | None = None, model_config: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = "[Example UpstreamExpert]"
        self.encoder = nn.Conv1d(1, HIDDEN_SIZE, kernel_size=WINDOW, stride=HOP)
        self.layers = nn.ModuleList([nn.Linear(HIDDEN_SIZE, HIDDEN_SIZE) for _ in range(2)])

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame of the output `key`; the runner tells tasks this stride."""
        return HOP

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples` alone; the rest of a padded batch is cut off."""
        return 0 if samples < WINDOW else 1 + (samples - WINDOW) // HOP

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> `hidden_states`: one [batch, frames, dim] per layer."""
        padded = pad_sequence(wavs, batch_first=True)  # [batch, samples]
        hidden = self.encoder(padded.unsqueeze(1)).transpose(1, 2)  # [batch, frames, dim]
        hidden_states = [hidden]
        for layer in self.layers:
            hidden = torch.relu(layer(hidden))
            hidden_states.append(hidden)
        return {"hidden_states": hidden_states, "last_hidden_state": hidden}
