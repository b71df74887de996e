"""Mel filter banks and cosine transforms as Kaldi (with VTLN) and HTK define them.

Both banks are worked out in float32 and in torchaudio's order of operations: a filter that touches one FFT
bin with its very edge has a weight of a few ulp of the mel frequency, and the logarithm shows each of them.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

FILTERS_PER_BAND = 16


class Band(NamedTuple):
    """Neighbouring filters and the FFT bins [first, last) they touch."""

    first: int
    last: int
    weights: Tensor  # [last - first, filters]


def bands(banks: Tensor) -> list[Band]:
    """Split a filter bank [bins, filters] so that `apply_bands` skips most of its zeros.

    On a CPU the product is the largest single cost of a filter bank, and nine weights of ten are zero; a GPU
    gets one band, for it is faster with one launch.
    """
    result = []
    for filters in banks.split(FILTERS_PER_BAND if banks.device.type == "cpu" else banks.size(1), dim=1):
        touched = filters.any(1).nonzero()[:, 0].tolist() or [0]
        first, last = touched[0], touched[-1] + 1
        result.append(Band(first, last, filters[first:last].contiguous()))
    return result


def apply_bands(power: Tensor, parts: list[Band]) -> Tensor:
    """Filter bank energies: [..., bins] -> [..., filters]."""
    if power.dim() > 2 or (torch.is_grad_enabled() and power.requires_grad):
        return torch.cat([power[..., band.first : band.last] @ band.weights for band in parts], -1)
    energies = power.new_empty(len(power), sum(band.weights.size(1) for band in parts))
    done = 0
    for band in parts:  # written in place: joining the bands costs as much as the products
        filters = band.weights.size(1)
        torch.mm(power[:, band.first : band.last], band.weights, out=energies[:, done : done + filters])
        done += filters
    return energies


def kaldi_mel(frequency: Tensor) -> Tensor:
    """Mel of Hz: 1127 ln(1 + f / 700)."""
    return 1127.0 * (1.0 + frequency / 700.0).log()


def kaldi_mel_banks(
    num_mel_bins: int,
    fft: int,
    sample_frequency: float,
    low_freq: float,
    high_freq: float,
    vtln_low: float,
    vtln_high: float,
    vtln_warp: float,
) -> Tensor:
    """Triangles of equal width on the mel scale: [fft // 2 + 1, num_mel_bins], the Nyquist bin always zero.

    Frequencies in Hz; `high_freq` and `vtln_high` are absolute here (options.py resolves the offsets).
    """
    low, high = (1127.0 * math.log(1.0 + limit / 700.0) for limit in (low_freq, high_freq))
    step = (high - low) / (num_mel_bins + 1)
    index = torch.arange(num_mel_bins)[:, None]
    left, centre, right = (low + (index + offset) * step for offset in (0.0, 1.0, 2.0))
    if vtln_warp != 1.0:
        limits = (low_freq, high_freq, vtln_low, vtln_high, vtln_warp)
        left, centre, right = (
            kaldi_mel(_vtln_warp(700.0 * ((edge / 1127.0).exp() - 1.0), *limits))
            for edge in (left, centre, right)
        )
    mel = kaldi_mel(sample_frequency / fft * torch.arange(fft // 2, dtype=torch.float32))
    rising = (mel - left) / (centre - left)
    falling = (right - mel) / (right - centre)
    if vtln_warp == 1.0:
        banks = torch.minimum(rising, falling).clamp(min=0.0)
    else:
        # a warped triangle may have its corners in any order: each slope counts only on its own side
        banks = torch.where((mel > left) & (mel <= centre), rising, torch.zeros(()))
        banks = torch.where((mel > centre) & (mel < right), falling, banks)
    return torch.nn.functional.pad(banks, (0, 1)).T.contiguous()


def _vtln_warp(
    frequency: Tensor, low_freq: float, high_freq: float, vtln_low: float, vtln_high: float, warp: float
) -> Tensor:
    """Kaldi's piecewise linear vocal tract length warping of Hz; the identity outside the band."""
    low_knee = vtln_low * max(1.0, warp)
    high_knee = vtln_high * min(1.0, warp)
    scale = 1.0 / warp
    low_slope = (scale * low_knee - low_freq) / (low_knee - low_freq)
    high_slope = (high_freq - scale * high_knee) / (high_freq - high_knee)
    warped = torch.where(
        frequency < high_knee, scale * frequency, high_freq + high_slope * (frequency - high_freq)
    )
    warped = torch.where(frequency < low_knee, low_freq + low_slope * (frequency - low_freq), warped)
    return torch.where((frequency < low_freq) | (frequency > high_freq), frequency, warped)


def htk_mel_banks(
    n_freq: int, n_mels: int, sample_rate: int, low_freq: float = 0.0, high_freq: float | None = None
) -> Tensor:
    """Triangles on the HTK scale from `low_freq` to `high_freq` (Hz; Nyquist), peak 1: [n_freq, n_mels].

    A triangle narrower than the distance of two FFT bins may be all zero, as in torchaudio.
    """
    nyquist = sample_rate // 2
    lowest, highest = (2595.0 * math.log10(1.0 + limit / 700.0) for limit in (low_freq, high_freq or nyquist))
    corners = 700.0 * (10.0 ** (torch.linspace(lowest, highest, n_mels + 2) / 2595.0) - 1.0)
    widths = corners[1:] - corners[:-1]
    slopes = corners[None] - torch.linspace(0, nyquist, n_freq)[:, None]  # [n_freq, n_mels + 2]
    rising = -slopes[:, :-2] / widths[:-1]
    falling = slopes[:, 2:] / widths[1:]
    return torch.minimum(rising, falling).clamp(min=0.0)


def cosine_transform(n_mels: int, n_ceps: int) -> Tensor:
    """Orthonormal DCT-II to multiply log mel energies with from the right: [n_mels, n_ceps]."""
    angle = math.pi / n_mels * (torch.arange(float(n_mels)) + 0.5)[:, None] * torch.arange(float(n_ceps))
    transform = torch.cos(angle) * math.sqrt(2.0 / n_mels)
    transform[:, 0] = math.sqrt(1.0 / n_mels)
    return transform


def lifter(n_ceps: int, cepstral_lifter: float) -> Tensor:
    """Kaldi's cepstral weights: [n_ceps], ones when `cepstral_lifter` is 0."""
    if cepstral_lifter == 0.0:
        return torch.ones(n_ceps)
    return 1.0 + 0.5 * cepstral_lifter * torch.sin(math.pi * torch.arange(n_ceps) / cepstral_lifter)
