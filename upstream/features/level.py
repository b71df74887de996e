"""Waves at one level, however loud they were recorded."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.typed import check_value

SILENCE = 1e-20  # least power of a wave that is scaled


def scaled(wavs: Sequence[Tensor], rms: float) -> list[Tensor]:
    """The unpadded [samples] wavs at this root mean square; silence stays silent."""
    padded = pad_sequence(list(wavs), batch_first=True)
    lengths = [len(wav) for wav in wavs]
    counts = torch.tensor(lengths, device=padded.device)[:, None]
    power = padded.square().sum(1, keepdim=True) / counts
    padded = padded * (rms * power.clamp(min=SILENCE).rsqrt())
    return [wav[:length] for wav, length in zip(padded, lengths, strict=True)]


def rms_of(level: Any, where: str) -> float | None:
    """The root mean square of a level in dB; None where none is set (`None`, also as text)."""
    return None if level in (None, "None") else 10 ** (check_value(level, float, where) / 20)
