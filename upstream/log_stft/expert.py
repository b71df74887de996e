"""Magnitudes of a short-time Fourier transform, or their logarithms, as an upstream."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.config import check_fields, load_yaml
from s3prl.utility.typed import Bound, at_least, typed

from ..features.frames import valid_mask
from ..features.stft import Stft
from ..interfaces import UpstreamBase

FLOOR = 1e-8  # of a magnitude before its logarithm


@dataclass(frozen=True)
class Spectrogram:
    """The block `spectrogram` of a config; lengths in samples."""

    n_fft: Annotated[int, Bound(lambda points: points > 0 and points % 2 == 0, "even and above 0")] = 512
    hop_length: Annotated[int, at_least(1)] = 320
    win_length: Annotated[int, at_least(1)] = 512
    window: Literal["hann"] = "hann"
    center: bool = True
    log: bool = True


class UpstreamExpert(UpstreamBase):
    """The magnitudes of each wav alone, whatever else is in the batch."""

    batch_invariant = True

    def __init__(self, ckpt: str | None = None, model_config: str | None = None, **options: Any) -> None:
        """
        Args:
            ckpt: the same as `model_config`, which takes precedence.
            model_config: path of a YAML file such as log_stft_mag.yaml, which is the default.

        Raises:
            UserError: no such file, a field that does not exist or cannot work.
        """
        super().__init__(**options)
        path = str(model_config or ckpt or Path(__file__).with_name("log_stft_mag.yaml"))
        config = load_yaml(path)
        check_fields(config, ("feat_type", "spectrogram"), path)
        sizes = typed(Spectrogram, config.get("spectrogram"), f"{path}: spectrogram")
        self.name = "[log_stft]" if sizes.log else "[stft_mag]"
        self.log, self.center = sizes.log, sizes.center
        self.stft = Stft(sizes.win_length, sizes.hop_length, sizes.n_fft)
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
        """Unpadded [samples] wavs -> one [batch, frames, n_fft // 2 + 1], zero after an utterance's end."""
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
