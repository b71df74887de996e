"""From samples to frames: checks of the input, chunks, reflection at the edges, masks."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import gcd

import torch
from torch import Tensor

from s3prl.utility.errors import UserError

from ..waves import SAMPLE_RATE
from ..waves import check_wavs as check_wavs  # the features' own check of their input, by this name too

LONGEST = 1 << 24  # samples among which `least_length` looks
FRAMES_PER_CORE = 1024  # x 512 FFT points x 4 bytes = 2 MB: more leaves a core's caches, less costs launches


def chunks(frames: int) -> list[slice]:
    """Consecutive slices of `frames` that the cores in use can share without leaving their caches."""
    size = FRAMES_PER_CORE * torch.get_num_threads()
    return [slice(start, min(start + size, frames)) for start in range(0, frames, size)]


def check_lengths(wavs: Sequence[Tensor], num_frames: Callable[[int], int], name: str) -> None:
    """Refuse utterances without a single frame: a task could only fail on them later, and less clearly.

    Raises:
        UserError: names the utterance, its length and the length needed.
    """
    for index, wav in enumerate(wavs):
        if len(wav) == 0 or num_frames(len(wav)) == 0:
            needed = next((samples for samples in range(1, SAMPLE_RATE) if num_frames(samples)), SAMPLE_RATE)
            raise UserError(
                f"Utterance {index} of a batch of {len(wavs)} has {len(wav)} samples "
                f"({1000 * len(wav) / SAMPLE_RATE:g} ms), but {name} needs at least {needed} for one frame. "
                "Remove it from the data, or lengthen it with silence."
            )


def least_length(num_frames: Callable[[int], int], frames: int = 1) -> int:
    """The least length of an utterance that gives so many frames.

    Args:
        num_frames: frames of an utterance of some length, which never fall as that grows.
    """
    return 1 + bisect_left(range(1, LONGEST), frames, key=num_frames)


def wants_gradients(wavs: Sequence[Tensor]) -> bool:
    """Whether gradients are to flow to a wav, so that nothing may be computed in place."""
    return torch.is_grad_enabled() and any(wav.requires_grad for wav in wavs)


def samples_in(milliseconds: float, sample_rate: float) -> int:
    """Samples in `milliseconds`, rounded to the nearest."""
    return round(milliseconds * sample_rate / 1000)


def frame_means(wav: Tensor, window: int, shift: int, frames: int) -> Tensor:
    """[samples] -> [frames], the mean of each frame from sums that overlapping frames share."""
    block = gcd(window, shift)
    blocks = (frames - 1) * shift // block + window // block
    sums = wav[: blocks * block].view(blocks, block).sum(1)
    return sums.unfold(0, window // block, shift // block).sum(-1) / window


def power_spectrum(spectrum: Tensor) -> Tensor:
    """Squared magnitude of complex [...], twice as fast as from the two strided parts; overwrites them."""
    parts = torch.view_as_real(spectrum).square_()
    return parts[..., 0] + parts[..., 1]


def empty_batch(wavs: Sequence[Tensor], frames: Sequence[int], dim: int) -> Tensor:
    """[batch, frames, dim], uninitialised where an utterance has frames and zero after its end."""
    batch = wavs[0].new_empty(len(wavs), max(frames), dim)
    for utterance, valid in zip(batch, frames, strict=True):
        utterance[valid:] = 0.0
    return batch


def valid_mask(frames: Sequence[int], total: int, device: torch.device) -> Tensor:
    """True where a frame belongs to its utterance: [batch, total, 1]."""
    lengths = torch.tensor(list(frames), device=device)
    return (torch.arange(total, device=device) < lengths[:, None])[..., None]


def reflected(wavs: Tensor, lengths: Tensor, before: int, total: int, repeat_edge: bool) -> Tensor:
    """Extend each wav at both ends by its own mirror image.

    Args:
        wavs: [batch, samples], padded with anything.
        lengths: [batch], the samples at which each wav is mirrored.
        before: samples to add in front (negative: to drop).
        total: samples to return.
        repeat_edge: True mirrors `c b a | a b c` (Kaldi), False `c b | a b c` (STFT with reflect padding).

    Returns:
        [batch, total]; what lies beyond one reflection repeats an edge sample.
    """
    edge = 1 if repeat_edge else 0
    lengths = lengths[:, None]
    position = torch.arange(-before, total - before, device=wavs.device)
    position = torch.where(position < 0, -edge - position, position)
    position = torch.where(position < lengths, position, 2 * (lengths - 1) + edge - position)
    return wavs.gather(1, torch.minimum(position.clamp(min=0), lengths - 1))
