"""Recordings cut into chunks, and the labels of a chunk: who speaks in each of its frames."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.recordings import Recording

from ..common.items import Item

SHORTEST = 0.1  # seconds of a last chunk; of 25 ms and less, upstreams make no frame


class Chunk(NamedTuple):
    """Part of a recording; times count in labels.

    Attributes:
        recording: its name.
        first: where the chunk begins in the recording.
        labels: how many it has.
        turns: `(speaker, begin, end)` in the chunk, the end not included.
    """

    recording: str
    first: int
    labels: int
    turns: tuple[tuple[int, int, int], ...]


def chunked(item: Item, stride: int, size: int) -> list[Item]:
    """Chunks of a recording that do not overlap; the last one may be shorter. Their labels are Chunks.

    What would be shorter than 0.1 s belongs to the chunk before it. Speakers are numbered in the alphabetical
    order of their names, and the bounds of turns are rounded to the nearest label.

    Args:
        item: a recording, its label the Turns, its length known.
        stride: samples at 16 kHz between two labels.
        size: labels in a chunk.
    """
    total = max(1, item.samples // stride)
    speakers = sorted({turn.speaker for turn in item.label})
    turns = [
        (speakers.index(turn.speaker), _label(turn.start, stride), _label(turn.end, stride))
        for turn in item.label
    ]
    firsts = list(range(0, total, size))
    if len(firsts) > 1 and (total - firsts[-1]) * stride < SHORTEST * SAMPLE_RATE:
        firsts.pop()
    return [
        _chunk(item, turns, first, behind - first, stride)
        for first, behind in zip(firsts, [*firsts[1:], total], strict=True)
    ]


def _label(seconds: float, stride: int) -> int:
    """The nearest label. A microsecond does not count: the end of a turn is a sum, which is not exact."""
    return round(round(seconds, 6) * SAMPLE_RATE / stride)


def _chunk(item: Item, turns: list[tuple[int, int, int]], first: int, labels: int, stride: int) -> Item:
    inside = tuple(
        (speaker, max(begin - first, 0), min(end - first, labels))
        for speaker, begin, end in turns
        if begin < first + labels and end > first
    )
    seconds = stride / SAMPLE_RATE
    heard = Recording(item.recording.path, start=first * seconds, stop=(first + labels) * seconds)
    return Item(f"{item.name}-{first}", heard, Chunk(item.name, first, labels, inside))


def activity(chunk: Chunk, speakers: int) -> np.ndarray:
    """Who speaks: uint8 [labels, speakers], 1 where the speaker does."""
    active = np.zeros((chunk.labels, speakers), dtype=np.uint8)
    for speaker, begin, end in chunk.turns:
        active[begin:end, speaker] = 1
    return active


def whole(records: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
    """What has been found for chunks, put together: the values [labels, speakers] of each recording.

    Args:
        records: `recording`, `first` and `predicted` (a tensor [labels, speakers]) of every chunk, in any
            order. A chunk that is missing, because it could not be read, has zeros.
    """
    chunks: dict[str, list[tuple[int, np.ndarray]]] = {}
    for name, first, values in zip(records["recording"], records["first"], records["predicted"], strict=True):
        chunks.setdefault(name, []).append((first, values.numpy()))
    found = {}
    for name, parts in chunks.items():
        last, values = max(parts, key=lambda part: part[0])
        found[name] = np.zeros((last + len(values), values.shape[1]), dtype=values.dtype)
        for first, values in parts:
            found[name][first : first + len(values)] = values
    return found
