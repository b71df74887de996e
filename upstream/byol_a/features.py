"""The normalised log mel spectrogram that BYOL-A was trained on."""

import torch
from torch import Tensor, nn

from ..features.frames import power_spectrum
from ..features.mel import Band, apply_bands, bands, htk_mel_banks
from ..features.stft import Stft
from ..features.tables import Tables
from ..interfaces import SAMPLE_RATE

FFT = 1024  # points, and samples of the window
HOP = 160  # samples
MELS = 64
LOWEST, HIGHEST = 60.0, 7800.0  # Hz
EPSILON = torch.finfo(torch.float32).eps  # added to an energy before its logarithm
MEAN, DEVIATION = -5.4919195, 5.0389895  # of the published training data


class LogMel(nn.Module):
    """Natural logarithm of the mel energies of a centred STFT, standardised with fixed numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.stft = Stft(FFT, HOP, FFT)
        self._cache = Tables()

    def forward(self, wavs: Tensor) -> Tensor:
        """[batch, samples] of equal length, more than half of `FFT` -> [batch, 1 + samples // HOP, MELS]."""
        with torch.autocast(wavs.device.type, enabled=False):
            samples = wavs.size(1)
            framed = self.stft.framed(wavs, [samples], self.stft.num_frames(samples))
            energies = apply_bands(power_spectrum(self.stft(framed)), self._cache.get_for(wavs, _bands))
            return ((energies + EPSILON).log() - MEAN) / DEVIATION


def _bands(device: torch.device, dtype: torch.dtype) -> list[Band]:
    return bands(htk_mel_banks(FFT // 2 + 1, MELS, SAMPLE_RATE, LOWEST, HIGHEST).to(device, dtype))
