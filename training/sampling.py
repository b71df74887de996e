"""Which items are trained on, in which order: a function of seed, epoch and index alone.

A task describes its training data with an ordinary DataLoader. The runner plans each epoch from it as a
list of *global batches*: the items of one optimizer update, whatever number of processes and accumulation
steps compute it. A global batch is split into micro-batches, one for every (accumulation step, process).
Hence the same global batch gives the same updates on one process or on several, and a run can be
continued inside an epoch by starting at a later position.
"""

import math
import os
from collections.abc import Callable, Generator, Iterator, Sequence
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
from s3prl.utility.cpus import cpu_count
from s3prl.utility.errors import UserError, explain
from s3prl.utility.workers import WorkerInit, has_temporary_folder

Prepare = Callable[[Any], Any]


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


GlobalBatch = list[tuple[list[int], float]]


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


class DroppedItem(Exception):
    """Raised by `prepare` for an item that cannot be used; `note` says which and why."""

    def __init__(self, note: Any) -> None:
        super().__init__(note)
        self.note = note


@dataclass(frozen=True)
class Loaded:
    """A micro-batch as it comes out of the loader."""

    key: MicroBatch
    batch: Any  # collated; None when every item was dropped
    kept: float = 1.0  # the part of its items that could be used
    notes: tuple = ()  # one for each dropped item
    error: UserError | None = None  # a mistake met in a worker, to be raised where the user sees it


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
    batches = _batches(loader, seed, epoch)
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


def _batches(loader: DataLoader, seed: int, epoch: int) -> list[list[int]]:
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


class _MicroBatchStream(Sampler[MicroBatch]):
    """All micro-batches of one process from a position on, without end."""

    def __init__(self, loader: DataLoader, seed: int, epoch: int, position: int, shard: Shard) -> None:
        self.loader, self.seed, self.shard = loader, seed, shard
        self.epoch, self.position = epoch, position

    def __iter__(self) -> Iterator[MicroBatch]:
        epoch, start = self.epoch, self.position
        while True:
            plan = plan_epoch(self.loader, self.seed, epoch, self.shard)
            for position in range(start, len(plan)):
                for step in range(self.shard.accumulate):
                    indices, weight = plan[position][step * self.shard.world_size + self.shard.rank]
                    last = step == self.shard.accumulate - 1
                    yield MicroBatch(epoch, position, last, weight, tuple(indices))
            epoch, start = epoch + 1, 0


class _SeededBatches(Dataset):
    """Loads the items of a micro-batch, each from randomness of its own, prepares and collates them."""

    def __init__(self, loader: DataLoader, seed: int, prepare: Prepare | None) -> None:
        self.dataset, self.collate, self.seed = loader.dataset, loader.collate_fn, seed
        self.collated = loader.batch_sampler is not None
        self.prepare = prepare

    def __getitem__(self, key: MicroBatch) -> Loaded:
        # numpy's and PyTorch's generators are global: restore them, for loading may run in the main process
        with isolated_randomness(0):
            try:
                return self._load(key)
            except UserError as error:
                return Loaded(key, None, error=error)
            except OSError as error:
                if (reason := explain(error)) is None:
                    raise
                return Loaded(key, None, error=UserError(reason))

    def _load(self, key: MicroBatch) -> Loaded:
        items, notes = [], []
        for index in key.indices:
            seed_cpu(mixed_seed("item", self.seed, key.epoch, index))
            try:
                item = self.dataset[index]
                items.append(self.prepare(item) if self.prepare is not None else item)
            except DroppedItem as dropped:
                notes.append(dropped.note)
        batch = None
        if items:
            batch = self.collate(items if self.collated else items[0])
        return Loaded(key, batch, len(items) / len(key.indices), tuple(notes))


def _untouched(item: Any) -> Any:
    return item


def check_train_loader(loader: DataLoader) -> None:
    """Raise a UserError when there is nothing to train on."""
    if not isinstance(loader.dataset, IterableDataset) and len(loader.dataset) == 0:
        raise UserError("The training set has no utterance. Check the paths and split names of the config.")


def updates_per_epoch(loader: DataLoader, shard: Shard) -> int | None:
    """Optimizer updates in one epoch; None for an iterable data set, whose length is unknown."""
    if isinstance(loader.dataset, IterableDataset):
        return None
    return len(plan_epoch(loader, 0, 0, shard))


def training_batches(
    loader: DataLoader, seed: int, epoch: int, position: int, shard: Shard, prepare: Prepare | None = None
) -> Generator[Loaded, None, None]:
    """The micro-batches of one process without end, from a position in an epoch on; to be closed.

    Workers are kept across epochs. Neither their number nor the position to start from changes what an
    item looks like: its randomness comes from (seed, epoch, index).

    Args:
        prepare: applied to every item in the worker that loads it; raises DroppedItem for one that is of no
            use. An iterable data set is not prepared: its batches stay as they are.
    """
    if isinstance(loader.dataset, IterableDataset):
        return _iterable_stream(loader, epoch, position, shard)
    keys = _MicroBatchStream(loader, seed, epoch, position, shard)
    return _stream(_seeded_loader(loader, seed, keys, prepare))


def evaluation_batches(
    loader: DataLoader, seed: int, shard: Shard, ratio: float = 1.0, prepare: Prepare | None = None
) -> tuple[int | None, Generator[Loaded, None, None]]:
    """The batches of a split that are this process's, in order; `key.position` counts those of all processes.

    Args:
        ratio: the part of the split that is wanted, from its front.
        prepare: see `training_batches`.

    Returns:
        How many batches this process has, where it is known, and the batches, to be closed.
    """
    if isinstance(loader.dataset, IterableDataset):
        every = enumerate(iter(loader))
        own = islice(every, shard.rank, None, shard.world_size)
        return None, (Loaded(MicroBatch(0, number, True, 1.0, ()), batch) for number, batch in own)
    batches = _batches(loader, seed, 0)
    batches = batches[: math.ceil(len(batches) * ratio)]
    keys = [MicroBatch(0, number, True, 1.0, tuple(batch)) for number, batch in enumerate(batches)]
    keys = keys[shard.rank :: shard.world_size]
    return len(keys), _stream(_seeded_loader(loader, seed, keys, prepare))


def _stream(loader: DataLoader) -> Generator[Loaded, None, None]:
    """The micro-batches of a loader; closing it ends the workers.

    Left to the garbage collector, after an error that keeps it in its traceback, it would wait for workers
    that wait for a reader.
    """
    batches = iter(loader)
    try:
        for loaded in batches:
            if loaded.error is not None:
                raise loaded.error
            yield loaded
    finally:
        del batches


def _seeded_loader(
    loader: DataLoader, seed: int, keys: Sampler[MicroBatch] | list[MicroBatch], prepare: Prepare | None
) -> DataLoader:
    """The task's loader, with its workers and options, over the micro-batches `keys`."""
    workers = min(loader.num_workers, worker_limit())
    return DataLoader(
        _SeededBatches(loader, seed, prepare),
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
    """Loading workers beyond the processor's cores would only take memory: cores for each process.

    None where no temporary folder can be written, which workers need: then data is loaded without them.
    """
    if not has_temporary_folder():
        return 0
    return max(1, cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _iterable_stream(
    loader: DataLoader, epoch: int, position: int, shard: Shard
) -> Generator[Loaded, None, None]:
    """An iterable data set has no index: earlier batches are read again and passed over."""
    skip = position * shard.parts
    while True:
        batches = islice(iter(loader), skip, None)
        while group := list(islice(batches, shard.parts)):
            own = [step * shard.world_size + shard.rank for step in range(shard.accumulate)]
            for step, part in enumerate(own):
                weight = shard.parts / len(group) if part < len(group) else 0.0
                key = MicroBatch(epoch, position, step == shard.accumulate - 1, weight, ())
                yield Loaded(key, group[part if part < len(group) else 0])
            position += 1
        if position == 0 and skip == 0:
            raise UserError(
                "The training set yields no batch. Check the paths and split names of the config."
            )
        epoch, position, skip = epoch + 1, 0, 0
