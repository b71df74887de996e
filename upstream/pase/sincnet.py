"""SincNet (Ravanelli and Bengio, SLT 2018): a convolution whose kernels are band-pass filters."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..interfaces import SAMPLE_RATE

MIN_LOW_HZ = 50.0
MIN_BAND_HZ = 50.0


class SincConv(nn.Module):
    """Band-pass filters [channels, 1, width] of which only the band edges are learned."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        """
        Args:
            channels: number of filters, whose edges start equally spaced in mel.
            width: samples of a kernel (odd).
            stride: samples from one output to the next.
        """
        super().__init__()
        self.stride = stride
        highest = 2595 * math.log10(1 + (SAMPLE_RATE / 2 - MIN_LOW_HZ - MIN_BAND_HZ) / 700)
        lowest = 2595 * math.log10(1 + MIN_LOW_HZ / 700)
        edges = 700 * (10 ** (torch.linspace(lowest, highest, channels + 1) / 2595) - 1)
        self.low_hz_ = nn.Parameter(edges[:-1, None])
        self.band_hz_ = nn.Parameter(edges.diff()[:, None])
        half = width // 2
        window = 0.54 - 0.46 * torch.cos(2 * math.pi * torch.linspace(0, width / 2 - 1, half) / width)
        self.register_buffer("window", window, persistent=False)  # [half]
        angle = 2 * math.pi * torch.arange(-half, 0.0) / SAMPLE_RATE  # radians per Hz
        self.register_buffer("angle", angle[None], persistent=False)

    def kernels(self) -> Tensor:
        """The filters: [channels, 1, width]."""
        with torch.autocast(self.angle.device.type, enabled=False):  # phases reach 400: too much for bf16
            low = MIN_LOW_HZ + self.low_hz_.abs()
            high = (low + MIN_BAND_HZ + self.band_hz_.abs()).clamp(MIN_LOW_HZ, SAMPLE_RATE / 2)
            band = high - low
            left = ((high * self.angle).sin() - (low * self.angle).sin()) / (self.angle / 2) * self.window
            return torch.cat([left, 2 * band, left.flip(1)], 1)[:, None] / (2 * band)[:, None]

    def forward(self, wavs: Tensor) -> Tensor:
        """[batch, 1, samples] -> [batch, channels, samples // stride or so]."""
        return F.conv1d(wavs, self.kernels(), stride=self.stride)
