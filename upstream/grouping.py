"""The utterances of a batch computed in groups of equal or similar length."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .interfaces import SAMPLE_RATE

# Per thread, in samples; the work of a thread shrinks with their number, what a group costs besides does not.
TOLERATED_PADDING = SAMPLE_RATE // 8  # computing it costs about what one more group costs
LARGEST_GROUP = 12 * SAMPLE_RATE  # what a network makes of more leaves a core's caches


def in_equal_lengths(encode: Callable[[list[Tensor]], Any], wavs: Sequence[Tensor]) -> Any:
    """Apply `encode` to each set of wavs of one length, so that every utterance has the values it has alone.

    Slower than one batch by as much as lengths differ.

    Args:
        encode: an upstream, or any function of unpadded [samples] wavs that returns tensors [batch, frames,
            ...], or lists and dicts of them.

    Returns:
        What `encode` would return for all wavs, in their order, zero behind an utterance's end.
    """
    groups: dict[int, list[int]] = {}
    for index, wav in enumerate(wavs):
        groups.setdefault(len(wav), []).append(index)
    return in_groups(lambda group: encode([wavs[index] for index in group]), list(groups.values()))


def in_groups(encode: Callable[[list[int]], Any], groups: Sequence[list[int]]) -> Any:
    """Apply `encode` to each group of a batch's utterances, given by their places in it.

    Args:
        encode: returns tensors [utterances, frames, ...] for a group, or lists and dicts of them.

    Returns:
        The same for the batch: every utterance at its place, zero behind the frames of its group.
    """
    order = [index for group in groups for index in group]
    if len(groups) == 1 and order == sorted(order):
        return encode(groups[0])
    rows = [(number, row) for number, group in enumerate(groups) for row in range(len(group))]
    places = [place for _, place in sorted(zip(order, rows, strict=True))]
    return _joined([encode(group) for group in groups], places)


def similar_lengths(lengths: Sequence[int]) -> list[list[int]]:
    """Groups of a batch's utterances with little padding in them, the longest first; for a CPU.

    Utterances of more than a second or two are as fast alone as together, and need less memory; short ones
    are too little work alone.
    """
    threads = torch.get_num_threads()
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[groups[-1][0]] if groups else 0
        similar = longest - lengths[index] <= TOLERATED_PADDING * threads
        if groups and similar and (len(groups[-1]) + 1) * longest <= LARGEST_GROUP * threads:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _joined(parts: Sequence[Any], places: Sequence[tuple[int, int]]) -> Any:
    """One value from those of all groups; `places` has the group and the row in it for each utterance."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: _joined([part[key] for part in parts], places) for key in first}
    if isinstance(first, list | tuple):
        return [_joined(members, places) for members in zip(*parts, strict=True)]
    if not isinstance(first, Tensor):
        return first
    return pad_sequence([parts[group][row] for group, row in places], batch_first=True)
