"""The log-mel spectrogram that M2D was trained on."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..features.frames import power_spectrum
from ..features.mel import Band, apply_bands, bands
from ..features.stft import Stft
from ..features.tables import Tables
from ..interfaces import SAMPLE_RATE

WINDOW = 400  # samples (25 ms), also the points of the transform
HOP = 160  # samples per frame (10 ms)
MELS = 80
LOWEST, HIGHEST = 50.0, 8000.0  # Hz
OFFSET = torch.finfo(torch.float32).eps  # added to an energy before its logarithm

KNEE = 1000.0  # Hz: the Slaney scale is linear below and logarithmic above
HZ_PER_MEL = 200.0 / 3.0
MELS_PER_NEPER = 27.0 / math.log(6.4)


class LogMel(nn.Module):
    """Natural logarithm of 80 mel bands (50 to 8000 Hz, Slaney scale and area) of a centred STFT's power.

    Every wav is mirrored at its own end, so that its frames are the same in any batch.
    """

    def __init__(self, public_batch: bool = False) -> None:
        """
        Args:
            public_batch: mirror only the longest wav at its end, as M2D's own code does. The last one or two
                frames of a shorter wav are then those of a wav that goes on with silence.
        """
        super().__init__()
        self.public_batch = public_batch
        self.stft = Stft(WINDOW, HOP, WINDOW)
        self._cache = Tables()

    def num_frames(self, samples: int) -> int:
        """Frames of an utterance of `samples`; 0 when it is too short to be mirrored."""
        return self.stft.num_frames(samples) if samples > WINDOW // 2 else 0

    def forward(self, wavs: list[Tensor]) -> Tensor:
        """Unpadded [samples] wavs -> [batch, frames, 80]; frames of padding hold anything finite."""
        padded = pad_sequence(wavs, batch_first=True).float()
        with torch.autocast(padded.device.type, enabled=False):
            total = padded.size(1)
            mirrors = [total] if self.public_batch else [len(wav) for wav in wavs]
            framed = self.stft.framed(padded, mirrors, self.stft.num_frames(total))
            if padded.device.type == "cpu":  # one large batch would leave the caches
                return torch.stack([self._log_mel(one) for one in framed])
            return self._log_mel(framed)

    def _log_mel(self, framed: Tensor) -> Tensor:
        power = power_spectrum(self.stft(framed))
        return (apply_bands(power, self._cache.get_for(power, self._bands)) + OFFSET).log()

    def _bands(self, device: torch.device, dtype: torch.dtype) -> list[Band]:
        return bands(slaney_mel_banks(self.stft.bins, MELS, SAMPLE_RATE, LOWEST, HIGHEST).to(device, dtype))


def slaney_mel_banks(n_freq: int, n_mels: int, sample_rate: int, low: float, high: float) -> Tensor:
    """Triangles of equal area on the mel scale of Slaney's Auditory Toolbox (1998): [n_freq, n_mels] float32.

    Frequencies in Hz. These are librosa's default mel filters.
    """
    scale = torch.linspace(_slaney_mel(low), _slaney_mel(high), n_mels + 2, dtype=torch.float64)
    knee = KNEE / HZ_PER_MEL
    corners = torch.where(scale < knee, scale * HZ_PER_MEL, KNEE * ((scale - knee) / MELS_PER_NEPER).exp())
    widths = corners[1:] - corners[:-1]
    slopes = corners[None] - torch.linspace(0, sample_rate / 2, n_freq, dtype=torch.float64)[:, None]
    triangles = torch.minimum(-slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]).clamp(min=0.0)
    return (triangles * 2.0 / (corners[2:] - corners[:-2])).float()


def _slaney_mel(frequency: float) -> float:
    if frequency < KNEE:
        return frequency / HZ_PER_MEL
    return KNEE / HZ_PER_MEL + math.log(frequency / KNEE) * MELS_PER_NEPER
