"""The waves that an upstream is given: what is accepted, what is converted, what is refused and why."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s3prl.utility.errors import UserError

SAMPLE_RATE = 16000  # Hz
MOST_CHANNELS = 8  # a dimension of a matrix up to this size holds channels, not samples
HALF = (torch.float16, torch.bfloat16)

Wav = Tensor | np.ndarray


def utterances(wavs: Any) -> list[Wav]:
    """A list of waves, whether it was given as one, as [batch, samples], or as a single wave [samples].

    Raises:
        UserError: something else, or a tensor or array of another shape.
    """
    if isinstance(wavs, Sequence) and not isinstance(wavs, str):
        return list(wavs)
    found = f"a {type(wavs).__name__}."
    if isinstance(wavs, Tensor | np.ndarray):
        if wavs.ndim == 1:
            return [wavs]
        if wavs.ndim == 2 and not (wavs.shape[1] <= MOST_CHANNELS < wavs.shape[0]):
            return list(wavs)
        found = f"one {list(wavs.shape)}.{_channels(tuple(wavs.shape), 'wavs')}"
    raise UserError(
        "Waves must be a list of [samples], one tensor or array [batch, samples], or a single wave "
        f"[samples], but are {found}"
    )


def check_wavs(wavs: Sequence[Wav]) -> list[Tensor]:
    """The waves as a list of [samples] floating-point tensors; half precision becomes float32.

    Raises:
        UserError: no wave, or one that is not [samples] of floating-point numbers (named by its place).
    """
    wavs = utterances(wavs)
    if not wavs:
        raise UserError("No utterance was given: an upstream needs a list of at least one wave.")
    return [_checked(wav, f"Utterance {index} of a batch of {len(wavs)}") for index, wav in enumerate(wavs)]


def prepared(
    wavs: Sequence[Wav], device: torch.device, dtype: torch.dtype = torch.float32, finite: bool = True
) -> list[Tensor]:
    """The waves as a model reads them: checked, of one precision, arrays moved to its device.

    Args:
        device: that of the model.
        dtype: the precision.
        finite: check for NaN and infinity, where the waves are on the CPU; on a GPU the check would have to
            wait for all work in its queue.

    Raises:
        UserError: see `check_wavs`; or a wave with samples that are not finite.
    """
    given = utterances(wavs)
    checked = check_wavs(given)
    finite = finite and not (torch.compiler.is_compiling() or torch.jit.is_tracing())
    for index, wav in enumerate(checked):
        if finite and wav.device.type == "cpu" and not _is_finite(wav):
            raise UserError(f"Utterance {index} of a batch of {len(checked)} {_flaw(wav)}")
    return [
        wav.to(device if isinstance(one, np.ndarray) else wav.device, dtype)
        for one, wav in zip(given, checked, strict=True)
    ]


def _checked(wav: Any, where: str) -> Tensor:
    if isinstance(wav, np.ndarray) and wav.dtype.kind == "f":
        precision = np.float64 if wav.dtype.itemsize > 4 else np.float32
        wav = torch.from_numpy(np.require(wav, precision, ["C", "W"]))
    if not isinstance(wav, Tensor | np.ndarray):
        raise UserError(f"{where} must be a tensor or array [samples], but is a {type(wav).__name__}.")
    if wav.ndim != 1:
        raise UserError(
            f"{where} must be [samples], but is {list(wav.shape)}.{_channels(tuple(wav.shape), 'wav')}"
        )
    if not isinstance(wav, Tensor) or not wav.is_floating_point():
        scaling = _scaling(str(wav.dtype))
        raise UserError(f"{where} must hold floats in [-1, 1], but holds {wav.dtype}. {scaling}")
    return wav.float() if wav.dtype in HALF else wav


def _channels(shape: tuple[int, ...], name: str) -> str:
    """How to take one channel of a matrix, or an empty string."""
    if len(shape) != 2 or min(shape) > MOST_CHANNELS:
        return ""
    first = shape[0] <= shape[1]
    one, axis = (f"{name}[0]", 0) if first else (f"{name}[:, 0]", 1)
    if min(shape) == 1:
        return f" Give its only channel, {one}."
    return f" It looks like {min(shape)} channels: give one, {one}, or their mean, {name}.mean({axis})."


def _scaling(dtype: str) -> str:
    bits = {"int16": 16, "int32": 32}.get(dtype.removeprefix("torch."))
    if bits is None:
        return "Convert its samples to that range."
    return f"Divide {bits}-bit samples by {2 ** (bits - 1)}: wav / {2 ** (bits - 1)}."


def _is_finite(wav: Tensor) -> bool:
    # The sum is finite where all samples are, unless it overflows, and costs less than a test of each sample.
    with torch.no_grad():
        return math.isfinite(wav.sum().item()) or bool(wav.isfinite().all())


def _flaw(wav: Tensor) -> str:
    places = (~wav.detach().isfinite()).nonzero()[:, 0].tolist()
    return (
        f"has {len(places)} samples that are NaN or infinite, the first at {places[0] / SAMPLE_RATE:.3f} s. "
        "Remove it from the data, or mend the recording."
    )
