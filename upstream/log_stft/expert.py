"""Magnitudes of a short-time Fourier transform, or their logarithms, as an upstream."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.config import check_fields, load_yaml

from ..features.frames import check_lengths, check_wavs, valid_mask
from ..features.options import check_type, require
from ..features.stft import Stft
from ..interfaces import UpstreamBase

FLOOR = 1e-8  # of a magnitude before its logarithm
FIELDS = {
    "n_fft": 512,
    "hop_length": 320,
    "win_length": 512,
    "window": "hann",
    "center": True,
    "log": True,
}


class UpstreamExpert(UpstreamBase):
    """The magnitudes of each wav alone, whatever else is in the batch."""

    batch_invariant = True

    def __init__(self, ckpt: str | None = None, model_config: str | None = None, **options: Any) -> None:
        """
        Args:
            ckpt: the same as `model_config`, which goes before it.
            model_config: path of a YAML file such as log_stft_mag.yaml, which is the default.

        Raises:
            UserError: no such file, a field that does not exist or cannot work.
        """
        super().__init__(**options)
        path = str(model_config or ckpt or Path(__file__).with_name("log_stft_mag.yaml"))
        config = load_yaml(path)
        check_fields(config, ("feat_type", "spectrogram"), path)
        fields = _checked(config.get("spectrogram") or {}, f"{path}: spectrogram")
        self.name = "[log_stft]" if fields["log"] else "[stft_mag]"
        self.log, self.center = fields["log"], fields["center"]
        self.stft = Stft(fields["win_length"], fields["hop_length"], fields["n_fft"])
        self.output_dim, self.downsample_rate = self.stft.bins, self.stft.hop

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return self.downsample_rate

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short for one."""
        if self.center:  # its ends are mirrored, by half a transform
            return self.stft.num_frames(samples) if samples > self.stft.fft // 2 else 0
        return max(0, 1 + (samples - self.stft.fft) // self.stft.hop)

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> one [batch, frames, n_fft // 2 + 1], zero after an utterance's end.

        Raises:
            UserError: an utterance too short for one frame.
        """
        wavs = check_wavs(wavs)
        check_lengths(wavs, self.num_frames, self.name)
        with torch.autocast(wavs[0].device.type, enabled=False):
            if wavs[0].device.type == "cpu":  # one large padded batch would leave the cache
                features = pad_sequence([self._magnitudes([wav])[0] for wav in wavs], batch_first=True)
            else:
                features = self._magnitudes(wavs)
        return {"hidden_states": [features], "last_hidden_state": features}

    def _magnitudes(self, wavs: list[Tensor]) -> Tensor:
        """[batch, frames, bins], zero after an utterance's end."""
        padded = pad_sequence(wavs, batch_first=True)  # [batch, samples]
        lengths = [len(wav) for wav in wavs]
        frames = [self.num_frames(samples) for samples in lengths]
        if self.center:
            framed = self.stft.framed(padded, lengths, max(frames))
        else:
            framed = padded.unfold(1, self.stft.fft, self.stft.hop)
        magnitudes = self.stft(framed).abs()
        if self.log:
            magnitudes = magnitudes.clamp(min=FLOOR).log()
        return magnitudes.masked_fill(~valid_mask(frames, max(frames), padded.device), 0.0)


def _checked(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """All fields, refused where they cannot work."""
    check_fields(given, FIELDS, where)
    for name, value in given.items():
        check_type(value, FIELDS[name], f"{where}.{name}")
    fields = {**FIELDS, **given}
    require(
        fields["window"] == "hann", f"{where}.window '{fields['window']}' does not exist: it must be hann."
    )
    require(fields["n_fft"] % 2 == 0, f"{where}.n_fft must be even, but is {fields['n_fft']}.")
    return fields
