"""Which utterances are trained on, in which order: a function of seed, epoch and index alone.

A task describes its training data with an ordinary DataLoader. The runner plans each epoch from it as a
list of *windows*: the utterances of one optimizer update, whatever number of processes and accumulation
steps share them. A window is dealt out as micro-batches, one for every (accumulation step, process).
Hence the same global batch gives the same updates on one process or on several, and a run can be
continued inside an epoch by starting at a later window.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
)

from s3prl.training.randomness import isolated_randomness, mixed_seed, seed_cpu
from s3prl.utility.errors import UserError
from s3prl.utility.workers import WorkerInit, cpu_count


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


Window = list[tuple[list[int], float]]


@dataclass(frozen=True)
class Share:
    """How several processes and accumulation steps share one window."""

    world_size: int = 1
    rank: int = 0
    accumulate: int = 1

    @property
    def parts(self) -> int:
        """Micro-batches in a window, over all processes."""
        return self.world_size * self.accumulate


@dataclass(frozen=True)
class MicroBatch:
    """What one process computes at once: where it stands in the epoch, and which items of the data set."""

    epoch: int
    window: int  # position of the optimizer update inside the epoch
    last: bool  # whether the update follows
    weight: float  # of its loss, 1 unless the window does not divide evenly
    indices: tuple[int, ...]


def plan_epoch(loader: DataLoader, seed: int, epoch: int, share: Share) -> list[Window]:
    """The windows of an epoch, each as `share.parts` micro-batches (indices, weight of the loss)."""
    if isinstance(loader.batch_sampler, BucketBatchSampler):
        bucket = loader.batch_sampler
        groups = bucket.groups(bucket.batch_size * share.parts)
        if bucket.shuffle:
            groups = [groups[index] for index in _permutation(len(groups), seed, epoch)]
        return [_deal(group, share.parts) for group in groups]
    if type(loader.batch_sampler) is BatchSampler:
        size = loader.batch_sampler.batch_size * share.parts
        order = _item_order(loader.batch_sampler.sampler, len(loader.dataset), seed, epoch)
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        if loader.batch_sampler.drop_last and len(groups) > 1 and len(groups[-1]) < size:
            groups.pop()
        return [_deal(group, share.parts) for group in groups]
    if loader.batch_sampler is None:  # every item of the data set is a batch
        batches = [[index] for index in _item_order(loader.sampler, len(loader.dataset), seed, epoch)]
    else:
        batches = _drawn(loader.batch_sampler, seed, epoch)
    return [
        _deal_batches(batches[start : start + share.parts], share.parts)
        for start in range(0, len(batches), share.parts)
    ]


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


def _deal(group: list[int], parts: int) -> list[tuple[list[int], float]]:
    """Deal a window's items out like cards. A part without any gets one item whose loss counts nothing."""
    hands = [group[part::parts] for part in range(parts)]
    return [(hand, len(hand) * parts / len(group)) if hand else (group[:1], 0.0) for hand in hands]


def _deal_batches(batches: list[list[int]], parts: int) -> list[tuple[list[int], float]]:
    present = [(list(batch), parts / len(batches)) for batch in batches]
    return present + [(list(batches[0]), 0.0)] * (parts - len(batches))


class _MicroBatchStream(Sampler[MicroBatch]):
    """All micro-batches of one process from a position on, without end."""

    def __init__(self, loader: DataLoader, seed: int, epoch: int, window: int, share: Share) -> None:
        self.loader, self.seed, self.share = loader, seed, share
        self.epoch, self.window = epoch, window

    def __iter__(self) -> Iterator[MicroBatch]:
        epoch, start = self.epoch, self.window
        while True:
            windows = plan_epoch(self.loader, self.seed, epoch, self.share)
            for window in range(start, len(windows)):
                for step in range(self.share.accumulate):
                    indices, weight = windows[window][step * self.share.world_size + self.share.rank]
                    last = step == self.share.accumulate - 1
                    yield MicroBatch(epoch, window, last, weight, tuple(indices))
            epoch, start = epoch + 1, 0


class _SeededBatches(Dataset):
    """Loads the items of a micro-batch, each from randomness of its own, and collates them."""

    def __init__(self, loader: DataLoader, seed: int) -> None:
        self.dataset, self.collate, self.seed = loader.dataset, loader.collate_fn, seed
        self.collated = loader.batch_sampler is not None

    def __getitem__(self, key: MicroBatch) -> tuple[MicroBatch, Any]:
        # numpy's and PyTorch's generators are global: restore them, for loading may run in the main process
        with isolated_randomness(0):
            items = []
            for index in key.indices:
                seed_cpu(mixed_seed("item", self.seed, key.epoch, index))
                items.append(self.dataset[index])
            return key, self.collate(items if self.collated else items[0])


def _untouched(item: Any) -> Any:
    return item


def check_train_loader(loader: DataLoader) -> None:
    """Raise a UserError when there is nothing to train on."""
    if not isinstance(loader.dataset, IterableDataset) and len(loader.dataset) == 0:
        raise UserError("The training set has no utterance. Check the paths and split names of the config.")


def windows_per_epoch(loader: DataLoader, share: Share) -> int | None:
    """Optimizer updates in one epoch; None for an iterable data set, whose length nobody knows."""
    if isinstance(loader.dataset, IterableDataset):
        return None
    return len(plan_epoch(loader, 0, 0, share))


def training_stream(
    loader: DataLoader, seed: int, epoch: int, window: int, share: Share
) -> Iterator[tuple[MicroBatch, Any]]:
    """Endless (micro-batch, collated batch) pairs of one process, from window `window` of epoch `epoch` on.

    Workers are kept across epochs. Neither their number nor the position to start from changes what an
    item looks like: its randomness comes from (seed, epoch, index).
    """
    if isinstance(loader.dataset, IterableDataset):
        return _iterable_stream(loader, epoch, window, share)
    return iter(_seeded_loader(loader, seed, _MicroBatchStream(loader, seed, epoch, window, share)))


def evaluation_stream(loader: DataLoader, seed: int) -> tuple[int | None, Iterator[Any]]:
    """The number of batches of an evaluation split, where it is known, and its collated batches in order."""
    if isinstance(loader.dataset, IterableDataset):
        return None, iter(loader)
    if loader.batch_sampler is None:
        batches = [[index] for index in loader.sampler]
    else:
        batches = list(loader.batch_sampler)
    keys = [MicroBatch(0, number, True, 1.0, tuple(batch)) for number, batch in enumerate(batches)]
    return len(keys), (batch for _, batch in _seeded_loader(loader, seed, keys))


def _seeded_loader(loader: DataLoader, seed: int, keys: Sampler[MicroBatch] | list[MicroBatch]) -> DataLoader:
    """The task's loader, with its workers and options, over the micro-batches `keys`."""
    workers = min(loader.num_workers, worker_limit())
    return DataLoader(
        _SeededBatches(loader, seed),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        collate_fn=_untouched,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout if workers else 0,
        worker_init_fn=WorkerInit(loader.worker_init_fn),
        multiprocessing_context=loader.multiprocessing_context if workers else None,
        prefetch_factor=loader.prefetch_factor if workers else None,
        generator=torch.Generator().manual_seed(0),  # else every start would draw from the global state
    )


def worker_limit() -> int:
    """Loading workers beyond the processor's cores would only take memory: cores for each process."""
    return max(1, cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _iterable_stream(
    loader: DataLoader, epoch: int, window: int, share: Share
) -> Iterator[tuple[MicroBatch, Any]]:
    """An iterable data set has no index: earlier batches are read again and passed over."""
    skip = window * share.parts
    while True:
        batches = islice(iter(loader), skip, None)
        while group := list(islice(batches, share.parts)):
            mine = [step * share.world_size + share.rank for step in range(share.accumulate)]
            for step, part in enumerate(mine):
                weight = share.parts / len(group) if part < len(group) else 0.0
                key = MicroBatch(epoch, window, step == share.accumulate - 1, weight, ())
                yield key, group[part if part < len(group) else 0]
            window += 1
        if window == 0 and skip == 0:
            raise UserError(
                "The training set yields no batch. Check the paths and split names of the config."
            )
        epoch, window, skip = epoch + 1, 0, 0
