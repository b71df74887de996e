"""BYOL-A as an upstream: one vector per window of a second."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.errors import UserError
from s3prl.utility.weights import load_weights

from ..features.options import require
from ..interfaces import SAMPLE_RATE, UpstreamBase
from ..loading import read
from .features import HOP, MELS, LogMel
from .model import POOLED, Encoder

PREFIXED = re.compile(r"(?:^|\.)((?:features|fc)\..+)$")
WINDOWS_AT_ONCE = 128  # 210 MB per layer of activations; more gains no speed


class UpstreamExpert(UpstreamBase):
    """The encoder of BYOL-A (Niizumi et al., IJCNN 2021) on windows that an utterance is cut into.

    Zeros fill an utterance's last window, whatever else is in the batch, so its vectors are always the same.
    """

    batch_invariant = True

    def __init__(
        self,
        ckpt: str | None = None,
        model_config: str | None = None,
        feature_d: int | None = None,
        window_secs: float = 1.0,
        stride_secs: float = 1.0,
        **options: Any,
    ) -> None:
        """
        Args:
            ckpt: path of the weights.
            model_config: accepted and ignored.
            feature_d: size of the vectors, which the weights say themselves; given, it is checked.
            window_secs: seconds that one vector sums up.
            stride_secs: seconds from one window to the next.

        Raises:
            UserError: the file is missing or damaged, holds another model or size, or a window cannot work.
        """
        super().__init__(**options)
        self.name = "[byol_a]"
        self.window, self.stride = (round(secs * SAMPLE_RATE) for secs in (window_secs, stride_secs))
        shortest = (POOLED - 1) * HOP
        require(self.window >= shortest, f"window_secs must be at least {shortest / SAMPLE_RATE:g} s.")
        require(self.stride >= 1, f"stride_secs must be above 0, but is {stride_secs}.")
        self.log_mel = LogMel()
        weights = _weights(read(ckpt, "byol_a"))
        self.output_dim = _checked_dim(weights, feature_d, str(ckpt))
        self.model = Encoder(MELS, self.output_dim)
        load_weights(self.model, weights, str(ckpt))

    def get_downsample_rates(self, key: str) -> int:
        """Samples from one window to the next."""
        return self.stride

    def num_frames(self, samples: int) -> int:
        """Windows of an utterance of `samples`: one begins every stride before its end."""
        return -(-samples // self.stride)

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> one [batch, windows, feature_d], zero after an utterance's end."""
        windows, rows, columns = self._windows(wavs)
        at_once = len(windows) if self.training else WINDOWS_AT_ONCE  # one batch for batch normalisation
        vectors = torch.cat([self.model(self.log_mel(some)) for some in windows.split(at_once)])
        features = vectors.new_zeros(len(wavs), max(columns) + 1, self.output_dim)
        features[rows, columns] = vectors
        return {"hidden_states": [features], "last_hidden_state": features}

    def _windows(self, wavs: list[Tensor]) -> tuple[Tensor, list[int], list[int]]:
        """[windows, samples] of all utterances, and the utterance and place of each."""
        counts = [self.num_frames(len(wav)) for wav in wavs]
        places = [(row, column) for row, count in enumerate(counts) for column in range(count)]
        rows, columns = (list(one) for one in zip(*places, strict=True))
        padded = pad_sequence(wavs, batch_first=True)
        covered = (max(counts) - 1) * self.stride + self.window
        padded = F.pad(padded, (0, max(covered - padded.size(1), 0)))
        return padded.unfold(1, self.window, self.stride)[rows, columns], rows, columns


def _weights(state: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the encoder, under its own names, whatever they were part of."""
    state = state.get("state_dict", state)
    found = ((PREFIXED.search(name), value) for name, value in state.items())
    return {match[1]: value for match, value in found if match}


def _checked_dim(weights: Mapping[str, Any], feature_d: int | None, where: str) -> int:
    """The size of the vectors.

    Raises:
        UserError: the weights are not those of BYOL-A, or of another size than `feature_d`.
    """
    if "fc.0.weight" not in weights:
        raise UserError(f"{where} holds no BYOL-A encoder: it has no tensor `fc.0.weight`.")
    dim = len(weights["fc.0.weight"])
    require(feature_d in (None, dim), f"feature_d is {feature_d}, but the vectors of {where} have {dim}.")
    return dim
