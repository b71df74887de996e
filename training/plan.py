"""The order of training: which items are in which batch of an epoch, and which process computes what.

A task describes its training data with an ordinary DataLoader. The runner plans each epoch from it as a
list of *global batches*: the items of one optimizer update, whatever number of processes and accumulation
steps compute it. A global batch is split into micro-batches, one for every (accumulation step, process).
Hence the same global batch gives the same updates on one process or on several, and a run can be
continued inside an epoch by starting at a later position: the order is a function of seed, epoch and
position alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, RandomSampler, Sampler

from s3prl.utility.errors import UserError

from .randomness import isolated_randomness, mixed_seed

GlobalBatch = list[tuple[list[int], float]]


class BucketBatchSampler(Sampler[list[int]]):
    """Batches of utterances of similar length, to pad little: longest first, cut, then shuffled as groups."""

    def __init__(self, lengths: Sequence[int], batch_size: int, shuffle: bool = True) -> None:
        """
        Args:
            lengths: length of every utterance of the data set, in any unit.
            batch_size: utterances in a batch; the last batch may have fewer.
            shuffle: whether the groups come in random order.
        """
        if batch_size < 1:
            raise UserError(f"The batch size must be at least 1, not {batch_size}.")
        self.batch_size = batch_size
        self.shuffle = shuffle
        self._order = sorted(range(len(lengths)), key=lambda index: -lengths[index])

    def groups(self, size: int) -> list[list[int]]:
        """The data set in groups of `size` utterances of similar length, the longest group first."""
        return [self._order[start : start + size] for start in range(0, len(self._order), size)]

    def __len__(self) -> int:
        return -(-len(self._order) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        batches = self.groups(self.batch_size)
        order = torch.randperm(len(batches)).tolist() if self.shuffle else range(len(batches))
        return iter([batches[index] for index in order])


@dataclass(frozen=True)
class Shard:
    """Which part of every global batch is this process's, and in how many steps it computes it."""

    world_size: int = 1
    rank: int = 0
    accumulate: int = 1

    @property
    def parts(self) -> int:
        """Micro-batches in a global batch, over all processes."""
        return self.world_size * self.accumulate


@dataclass(frozen=True)
class MicroBatch:
    """What one process computes at once: where it stands in the epoch, and which items of the data set."""

    epoch: int
    position: int  # of its global batch in the epoch
    last: bool  # whether the update follows
    weight: float  # of its loss, 1 unless the global batch does not divide evenly
    indices: tuple[int, ...]
    turns: tuple[int, ...] = ()  # how often each was drawn before in the epoch

    def item_seed(self, seed: int, place: int) -> int:
        """Of the randomness of one item in a run of that seed, another one each time an item is drawn."""
        turn = self.turns[place] if self.turns else 0
        return mixed_seed("item", seed, self.epoch, self.indices[place], *[turn] * (turn > 0))


def plan_epoch(loader: DataLoader, seed: int, epoch: int, shard: Shard) -> list[GlobalBatch]:
    """The global batches of an epoch, each as `shard.parts` micro-batches (indices, weight of the loss)."""
    if isinstance(loader.batch_sampler, BucketBatchSampler):
        bucket = loader.batch_sampler
        groups = bucket.groups(bucket.batch_size * shard.parts)
        if bucket.shuffle:
            groups = [groups[index] for index in _permutation(len(groups), seed, epoch)]
        return [_split_items(group, shard.parts) for group in groups]
    if type(loader.batch_sampler) is BatchSampler:
        groups = _item_groups(loader, seed, epoch, shard.parts)
        return [_split_items(group, shard.parts) for group in groups]
    batches = batches_of(loader, seed, epoch)
    return [
        _split_batches(batches[start : start + shard.parts], shard.parts)
        for start in range(0, len(batches), shard.parts)
    ]


def _item_groups(loader: DataLoader, seed: int, epoch: int, parts: int) -> list[list[int]]:
    """The items of a plain DataLoader, in its order, in groups of `parts` batches."""
    size = loader.batch_sampler.batch_size * parts
    order = _item_order(loader.batch_sampler.sampler, len(loader.dataset), seed, epoch)
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    if loader.batch_sampler.drop_last and len(groups) > 1 and len(groups[-1]) < size:
        groups.pop()
    return groups


def batches_of(loader: DataLoader, seed: int, epoch: int) -> list[list[int]]:
    """The batches that a loader itself would make in an epoch, of all processes."""
    if loader.batch_sampler is None:  # every item of the data set is a batch
        return [[index] for index in _item_order(loader.sampler, len(loader.dataset), seed, epoch)]
    if type(loader.batch_sampler) is BatchSampler:
        return _item_groups(loader, seed, epoch, 1)
    return [list(batch) for batch in _drawn(loader.batch_sampler, seed, epoch)]


def _permutation(count: int, seed: int, epoch: int) -> list[int]:
    generator = torch.Generator().manual_seed(mixed_seed("order", seed, epoch))
    return torch.randperm(count, generator=generator).tolist()


def _item_order(sampler: Sampler, count: int, seed: int, epoch: int) -> list[int]:
    plain_random = type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == count
    if plain_random or (type(sampler) is DistributedSampler and sampler.shuffle):
        return _permutation(count, seed, epoch)
    if type(sampler) is DistributedSampler:
        return list(range(count))
    return _drawn(sampler, seed, epoch)


def _drawn(sampler: Any, seed: int, epoch: int) -> list:
    """Everything a sampler of the task's own yields in an epoch, with its randomness tied to the epoch."""
    fixed = mixed_seed("order", seed, epoch)
    for inner in (sampler, getattr(sampler, "sampler", None)):
        if hasattr(inner, "set_epoch"):
            inner.set_epoch(epoch)
        if getattr(inner, "generator", None) is not None:
            inner.generator.manual_seed(fixed)
    with isolated_randomness(fixed):
        return list(sampler)


def _split_items(group: list[int], parts: int) -> GlobalBatch:
    """Every `parts`-th item to one micro-batch; where none is left, an item whose loss counts nothing."""
    split = [group[part::parts] for part in range(parts)]
    return [(own, len(own) * parts / len(group)) if own else (group[:1], 0.0) for own in split]


def _split_batches(batches: list[list[int]], parts: int) -> GlobalBatch:
    present = [(list(batch), parts / len(batches)) for batch in batches]
    return present + [(list(batches[0]), 0.0)] * (parts - len(batches))


def turns_of(parts: Sequence[Sequence[int]], seen: dict[int | str, int]) -> list[tuple[int, ...]]:
    """How often each item of a global batch was drawn before, in an order that no number of parts changes."""
    turns: list[list[int]] = [[] for _ in parts]
    if len(parts) == 1:
        order = ((index, turns[0]) for index in parts[0])
    else:  # across the parts, as `_split_items` filled them
        places = range(max(map(len, parts)))
        pairs = list(zip(parts, turns, strict=True))
        order = ((part[place], own) for place in places for part, own in pairs if place < len(part))
    for index, own in order:
        name = index if type(index) is int else str(index)
        turn = seen.get(name, 0)
        own.append(turn)
        seen[name] = turn + 1
    return list(map(tuple, turns))


class MicroBatchStream(Sampler[MicroBatch]):
    """All micro-batches of one process from a position on, without end."""

    def __init__(self, loader: DataLoader, seed: int, epoch: int, position: int, shard: Shard) -> None:
        self.loader, self.seed, self.shard = loader, seed, shard
        self.epoch, self.position = epoch, position

    def __iter__(self) -> Iterator[MicroBatch]:
        epoch, start = self.epoch, self.position
        while True:
            plan = plan_epoch(self.loader, self.seed, epoch, self.shard)
            seen: dict[int | str, int] = {}
            for position, batch in enumerate(plan):
                turns = turns_of([indices for indices, _ in batch], seen)
                if position < start:
                    continue
                for step in range(self.shard.accumulate):
                    part = step * self.shard.world_size + self.shard.rank
                    indices, weight = batch[part]
                    last = step == self.shard.accumulate - 1
                    yield MicroBatch(epoch, position, last, weight, tuple(indices), turns[part])
            epoch, start = epoch + 1, 0
