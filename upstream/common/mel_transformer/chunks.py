"""Utterances longer than those a model was trained on, encoded in chunks, all chunks as one batch."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

Encode = Callable[[Tensor, Sequence[int]], list[Tensor]]


class _Chunk(NamedTuple):
    """A part of one utterance."""

    utterance: int
    start: int  # frame
    frames: int


def chunk_size(frames: int, longest: int) -> int:
    """Frames per chunk when `frames` are split into as few equal chunks of at most `longest` as possible."""
    return ceil(frames / ceil(frames / longest))


def encode_in_chunks(
    encode: Encode, features: Tensor, frames: Sequence[int], sizes: Sequence[int]
) -> list[Tensor]:
    """Encode every chunk of every utterance by itself and put the results together again.

    Args:
        encode: maps [chunks, frames, dim] and the valid frames of each to states [chunks, frames, hidden].
        features: [batch, frames, dim].
        frames: the valid frames of each utterance, at least 1.
        sizes: the frames per chunk of each utterance; its last chunk may be shorter.

    Returns:
        States [batch, frames, hidden]; those of padded frames have no meaning.
    """
    chunks = [
        _Chunk(utterance, start, min(size, valid - start))
        for utterance, (valid, size) in enumerate(zip(frames, sizes, strict=True))
        for start in range(0, valid, size)
    ]
    if len(chunks) == len(frames):
        return encode(features, frames)
    lengths = [chunk.frames for chunk in chunks]
    states = encode(_split(features, chunks), lengths)
    index = _origin(frames, sizes, max(lengths), features)
    return [state.flatten(0, 1)[index] for state in states]


def _split(features: Tensor, chunks: Sequence[_Chunk]) -> Tensor:
    """[batch, frames, dim] -> [chunks, frames, dim]; behind its end, a chunk repeats its last frame."""
    total = features.size(1)
    starts, lengths = (
        torch.tensor(values, device=features.device)[:, None]
        for values in zip(
            *((chunk.utterance * total + chunk.start, chunk.frames) for chunk in chunks), strict=True
        )
    )
    width = max(chunk.frames for chunk in chunks)
    offsets = torch.minimum(torch.arange(width, device=features.device), lengths - 1)
    return features.flatten(0, 1)[starts + offsets]


def _origin(frames: Sequence[int], sizes: Sequence[int], width: int, like: Tensor) -> Tensor:
    """Where the frames [batch, frames] of all utterances lie in the flattened [chunks, width]."""
    counts = torch.tensor([ceil(valid / size) for valid, size in zip(frames, sizes, strict=True)])
    first = (counts.cumsum(0) - counts).to(like.device)[:, None]
    last, size = (torch.tensor(list(values), device=like.device)[:, None] for values in (frames, sizes))
    frame = torch.minimum(torch.arange(like.size(1), device=like.device), last - 1)
    return (first + frame // size) * width + frame % size
