"""Loading what training and evaluation need, batch by batch, in the order of plan.py.

Neither the number of loading workers nor the place to start from changes what an item looks like.
"""

import math
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from s3prl.utility.cpus import cpu_count
from s3prl.utility.errors import DroppedItem, UserError, explain
from s3prl.utility.workers import WorkerInit, has_temporary_folder

from .plan import MicroBatch, MicroBatchStream, Shard, batches_of, plan_epoch, turns_of
from .randomness import isolated_randomness, seed_cpu

Prepare = Callable[[Any], Any]
MADE_AHEAD = 32  # micro-batches


@dataclass(frozen=True)
class Loaded:
    """A micro-batch as it comes out of the loader."""

    key: MicroBatch
    batch: Any  # collated; None when every item was dropped
    kept: float = 1.0  # the part of its items that could be used
    notes: tuple = ()  # one for each dropped item
    error: UserError | None = None  # a mistake met in a worker, to be raised where the user sees it


@dataclass(frozen=True)
class Ready:
    """A split whose items are at hand, so that its batches need no loading workers.

    Attributes:
        items: prepared, by their index; None for one that comes from the data set each time, since it draws
            something at random or cannot be used.
        prepare: for such a one.
    """

    items: Sequence[Any]
    prepare: Prepare


class _SeededBatches(Dataset):
    """Loads the items of a micro-batch, each from randomness of its own, prepares and collates them."""

    def __init__(
        self, loader: DataLoader, seed: int, prepare: Prepare | None, ready: Sequence[Any] | None = None
    ) -> None:
        self.dataset, self.collate, self.seed = loader.dataset, loader.collate_fn, seed
        self.collated = loader.batch_sampler is not None
        self.prepare, self.ready = prepare, ready

    def __getitem__(self, key: MicroBatch) -> Loaded:
        # numpy's and PyTorch's generators are global: restore them, for loading may run in the main process
        with isolated_randomness(0):
            try:
                return self.load(key)
            except UserError as error:
                return Loaded(key, None, error=error)
            except OSError as error:
                if (reason := explain(error)) is None:
                    raise
                return Loaded(key, None, error=UserError(reason))

    def load(self, key: MicroBatch) -> Loaded:
        """A micro-batch, leaving the random state as the items leave it."""
        items, notes = [], []
        for place, index in enumerate(key.indices):
            item = None if self.ready is None else self.ready[index]
            try:
                items.append(self._loaded(key, place) if item is None else item)
            except DroppedItem as dropped:
                notes.append(dropped.note)
        batch = None
        if items:
            batch = self.collate(items if self.collated else items[0])
        return Loaded(key, batch, len(items) / len(key.indices), tuple(notes))

    def _loaded(self, key: MicroBatch, place: int) -> Any:
        seed_cpu(key.item_seed(self.seed, place))
        item = self.dataset[key.indices[place]]
        return self.prepare(item) if self.prepare is not None else item


def loaded_in_epoch(
    loader: DataLoader, seed: int, epoch: int, index: int, prepare: Prepare | None = None
) -> Loaded:
    """One item of a data set as a batch of its own; what is random in it is that of the epoch."""
    return _SeededBatches(loader, seed, prepare)[MicroBatch(epoch, 0, True, 1.0, (index,))]


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
    loader: DataLoader,
    seed: int,
    epoch: int,
    position: int,
    shard: Shard,
    prepare: Prepare | None = None,
    ready: Ready | None = None,
) -> Generator[Loaded, None, None]:
    """The micro-batches of one process without end, from a position in an epoch on; to be closed.

    Workers are kept across epochs. Neither their number nor the position to start from changes what an
    item looks like: its randomness comes from (seed, epoch, index), and from how often it was drawn before in
    the epoch.

    Args:
        prepare: applied to every item in the worker that loads it; raises DroppedItem for one that is of no
            use. An iterable data set is not prepared: its batches stay as they are.
        ready: the items, where they are at hand.
    """
    if isinstance(loader.dataset, IterableDataset):
        return _iterable_stream(loader, epoch, position, shard)
    keys = MicroBatchStream(loader, seed, epoch, position, shard)
    if ready is not None:
        return _made_here(_SeededBatches(loader, seed, ready.prepare, ready.items), keys)
    return _stream(_seeded_loader(loader, seed, keys, prepare))


def evaluation_batches(
    loader: DataLoader,
    seed: int,
    shard: Shard,
    ratio: float = 1.0,
    prepare: Prepare | None = None,
    ready: Ready | None = None,
) -> tuple[int | None, Generator[Loaded, None, None]]:
    """The batches of a split that are this process's, in order; `key.position` counts those of all processes.

    Args:
        ratio: the part of the split that is wanted, from its front.
        prepare, ready: see `training_batches`.

    Returns:
        How many batches this process has, where it is known, and the batches, to be closed.
    """
    if isinstance(loader.dataset, IterableDataset):
        every = enumerate(iter(loader))
        own = islice(every, shard.rank, None, shard.world_size)
        return None, (Loaded(MicroBatch(0, number, True, 1.0, ()), batch) for number, batch in own)
    batches = batches_of(loader, seed, 0)
    batches = batches[: math.ceil(len(batches) * ratio)]
    seen: dict[int | str, int] = {}
    keys = [
        MicroBatch(0, number, True, 1.0, tuple(batch), *turns_of([batch], seen))
        for number, batch in enumerate(batches)
    ]
    keys = keys[shard.rank :: shard.world_size]
    if ready is not None:
        return len(keys), _made_here(_SeededBatches(loader, seed, ready.prepare, ready.items), keys)
    return len(keys), _stream(_seeded_loader(loader, seed, keys, prepare))


def _made_here(
    batches: _SeededBatches, keys: Sampler[MicroBatch] | list[MicroBatch]
) -> Generator[Loaded, None, None]:
    """Micro-batches of items that are at hand, some ahead: keeping the random state takes time."""
    remaining = iter(keys)
    while some := list(islice(remaining, MADE_AHEAD)):
        with isolated_randomness(0):
            made = [batches.load(key) for key in some]
        yield from made


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
