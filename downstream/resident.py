"""A split whose utterances are one vector per layer: computed once, then held in memory.

Training then needs neither loader nor upstream: a batch is made of rows of one table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from s3prl.training.randomness import isolated_randomness
from s3prl.training.sampling import Ready, worker_limit
from s3prl.upstream.cache.features import FeatureCache, Heard
from s3prl.upstream.interfaces import Layers
from s3prl.utility import processes
from s3prl.utility.errors import DroppedItem, UserError
from s3prl.utility.memory import available_memory
from s3prl.utility.progress import Progress, say
from s3prl.utility.recordings import Recording
from s3prl.utility.workers import WorkerInit

TOGETHER = 64  # recordings that are read and computed in one go
MOST_MEMORY = 0.5  # of what is free

Prepare = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Row:
    """An utterance of a batch: where its vectors are; its length is that in samples."""

    table: "Table"
    number: int
    samples: int

    def __len__(self) -> int:
        return self.samples


class Table:
    """The vectors of some recordings, [layers, recordings, dim] on the device where they are trained on."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def layers(self, rows: Sequence[Row]) -> Layers:
        """A batch of utterances of one frame."""
        index = torch.tensor([row.number for row in rows], device=self.values.device)
        stacked = self.values.index_select(1, index).unsqueeze(2)
        return Layers(stacked, [1] * len(rows), means=True)


def ready_items(
    cache: FeatureCache, loader: DataLoader, prepare: Prepare, split: str, visits: int
) -> Ready | None:
    """The items of a split with rows in place of recordings, after computing what the cache lacks.

    Args:
        prepare: of the job; reads a recording, or finds its features.
        split: its name, for messages.
        visits: how many items will be asked for.

    Returns:
        None where not all recordings are known in advance, they do not fit into memory, or most of them
        would never be asked for.
    """
    dataset = loader.dataset
    choices = getattr(dataset, "choices", None)
    if choices is None:
        return None
    of_item = [choices(index) for index in range(len(dataset))]
    if any(found is None for found in of_item):
        _tell(
            f"[Cache] {split}: recordings are cut at random places, so their features are computed each time"
        )
        return None
    recordings = list(dict.fromkeys(recording for found in of_item for recording in found))
    if visits < len(recordings) or not _fits(cache, len(recordings), split):
        return None
    rows = _rows(cache, recordings, prepare, loader.num_workers, split)

    def with_row(item: tuple) -> tuple:
        row = rows[item[0]]
        if isinstance(row, DroppedItem):
            raise row
        return (row, *item[1:])

    items: list[Any] = []
    with isolated_randomness(0):  # an item may draw which of its recordings is heard
        for index, found in enumerate(of_item):
            usable = not isinstance(rows[found[0]], DroppedItem)
            items.append(with_row(dataset[index]) if len(found) == 1 and usable else None)
    return Ready(items, with_row)


def _rows(
    cache: FeatureCache, recordings: list[Recording], prepare: Prepare, workers: int, split: str
) -> dict[Recording, Row | DroppedItem]:
    """The row of each recording in a new table, or why it cannot be used."""
    kept = _computed(cache, recordings, prepare, workers, split)
    processes.wait()  # each has computed a part, which the others now find
    rows: dict[Recording, Row | DroppedItem] = {}
    values = torch.empty(cache.layer_count, len(recordings), cache.dim, device=cache.encoder.device)
    table = Table(values)
    for number, recording in enumerate(recordings):
        found = kept.get(recording)
        if found is None:
            try:
                heard = prepare((recording,))[0]
            except DroppedItem as dropped:
                rows[recording] = dropped
                continue
            found = cache.features([heard])[0], len(heard)
        values[:, number] = found[0][:, 0]
        rows[recording] = Row(table, number, found[1])
    return rows


def _computed(
    cache: FeatureCache, recordings: list[Recording], prepare: Prepare, workers: int, split: str
) -> dict[Recording, tuple[Tensor, int]]:
    """Compute this process's part of what the cache lacks; returns what it did not take, for lack of room."""
    missing = [recording for recording in recordings if not cache.look_up.has(recording)]
    own = missing[processes.rank() :: processes.world_size()]
    left: dict[Recording, tuple[Tensor, int]] = {}
    if not own:
        return left
    groups = [own[start : start + TOGETHER] for start in range(0, len(own), TOGETHER)]
    loader = DataLoader(
        _Groups(groups, prepare), batch_size=None, collate_fn=_as_it_is,
        num_workers=min(workers, worker_limit()), worker_init_fn=WorkerInit(),
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    title = f"features of {split}"
    with Progress(len(own), title, "utterances", shown=processes.is_leader(), on_stdout=True) as progress:
        for heard in loader:
            if isinstance(heard, UserError):
                raise heard
            found = cache.features(heard)
            for one, vectors in zip(heard, found, strict=True):
                if one.key is None or cache.store is None or one.key not in cache.store:
                    left[one.recording] = (vectors, len(one))
            progress.update(len(heard))
    return left


class _Groups(torch.utils.data.Dataset):
    """Groups of recordings as the loading workers prepare them, without those that cannot be read."""

    def __init__(self, groups: list[list[Recording]], prepare: Prepare) -> None:
        self.groups, self.prepare = groups, prepare

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> list[Heard] | UserError:
        found = []
        for recording in self.groups[index]:
            try:
                found.append(self.prepare((recording,))[0])
            except DroppedItem:
                continue  # met again, and noted, when rows are given
            except UserError as error:  # to be raised where the user sees it
                return error
        return found


def _as_it_is(group: Any) -> Any:
    return group


def _fits(cache: FeatureCache, count: int, split: str) -> bool:
    needed = count * cache.layer_count * cache.dim * 4
    free = available_memory(cache.encoder.device)
    if needed <= MOST_MEMORY * free:
        return True
    _tell(
        f"[Cache] {split}: {count} utterances take {needed / 2**30:.1f} GiB of memory and {free / 2**30:.1f} "
        "are free, so they are read for each batch"
    )
    return False


def _tell(text: str) -> None:
    if processes.is_leader():
        say(text)
