"""Strided convolutions over a wave as a padded batch would see it, without computing the padding.

In a batch, zeros follow a shorter wave. Convolutions without padding of their own look a fraction of a frame
ahead, so that those zeros change few frames; only a group norm over time lets all of them in. Its statistics
need no padding either: they follow from the wave and from how long its batch is.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .conv_layers import samples_of

FRAMES_PER_THREAD = 64  # of 20 ms: 512 channels at 3.2 kHz are 8 MB of float32, not far from a core's caches

Layer = Callable[[Tensor], Tensor]


def pays(model: nn.Module, wavs: Sequence[Tensor]) -> bool:
    """Whether to leave padding out: not on a GPU, which is fastest with one batch, and not in training.

    Nor where a forward hook taps a module inside, which then finds the whole batch in one call.
    """
    if model.training or wavs[0].device.type != "cpu":
        return False
    return not any(module._forward_hooks for module in model.modules() if module is not model)


def frames_read(lengths: Sequence[int], valid: Sequence[int], stride: int, frames: int) -> list[int]:
    """Frames of each utterance of a batch that anyone may read.

    Who counts frames by dividing samples by the stride, as the public S3PRL does, reads one or two more than
    the convolutions give.

    Args:
        lengths: samples.
        valid: frames that are not padding.
        stride: samples per frame.
        frames: of the longest utterance.
    """
    divided = [length // stride + 1 for length in lengths]
    return [min(max(pair), frames) for pair in zip(valid, divided, strict=True)]


def convolved(wav: Tensor, layers: Sequence[Layer], shapes: Sequence[Sequence[int]], frames: int) -> Tensor:
    """Some frames of a stack of convolutions, a second or two at a time.

    Args:
        wav: [samples]; zeros are added where the frames reach beyond its end.
        layers: each [1, channels, time] -> [1, channels, time], where no frame depends on others.
        shapes: (..., kernel, stride) of each.
        frames: how many, from the start.

    Returns:
        [frames, channels].
    """
    wav = extended(wav, samples_of(frames, shapes))
    shift = math.prod(stride for *_, stride in shapes)
    at_once = FRAMES_PER_THREAD * torch.get_num_threads()
    parts = []
    for start in range(0, frames, at_once):
        last = min(start + at_once, frames)
        hidden = wav[None, None, start * shift : samples_of(last, shapes)]
        for layer in layers:
            hidden = layer(hidden)
        parts.append(hidden[0].T)
    return torch.cat(parts)


def normalised(convolution: nn.Conv1d, norm: nn.GroupNorm, wav: Tensor, longest: int) -> Layer:
    """A convolution of one channel and the norm of each channel over time, as a convolution for this wave.

    A channel's mean and variance follow from the mean and covariance of the samples under the kernel. To the
    sums in these, zeros behind the wave add nothing; they only count.

    Args:
        convolution: without padding; its bias moves all frames alike and so falls out of the norm.
        norm: with a group for each channel.
        wav: [samples].
        longest: samples of the longest wave of the batch, over whose frames the norm runs.
    """
    (kernel,), (stride,) = convolution.kernel_size, convolution.stride
    seen = extended(wav, min(len(wav) + kernel - 1, longest)).unfold(0, kernel, stride).double()
    count = (longest - kernel) // stride + 1
    weight = convolution.weight[:, 0].double()
    mean = seen.sum(0) / count
    covariance = seen.T @ seen / count - mean[:, None] * mean
    variance = ((weight @ covariance) * weight).sum(1)
    scale = norm.weight.double() * (variance + norm.eps).rsqrt()
    kernels = (weight * scale[:, None])[:, None].to(wav.dtype)
    bias = (norm.bias.double() - (weight @ mean) * scale).to(wav.dtype)
    return lambda part: F.conv1d(part, kernels, bias, stride)


def extended(wav: Tensor, samples: int) -> Tensor:
    """The wave with zeros behind it, where it has fewer than `samples`."""
    return F.pad(wav, (0, samples - len(wav))) if samples > len(wav) else wav
