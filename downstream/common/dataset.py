"""The data set of every task of the kit, and its loader: buckets of similar length, balanced classes, crops.

A batch is `(recordings, targets, items)`, three lists; the runner's workers turn recordings into waves.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from s3prl.training.plan import BucketBatchSampler
from s3prl.utility.recordings import Recording
from s3prl.utility.typed import at_least

from .items import Crop, Item, seconds_of

Row = tuple[Recording, Any, Item]
Size = Annotated[int, at_least(1)]


@dataclass
class LoaderSettings:
    """The fields of `datarc` that say how items are put into batches."""

    train_batch_size: Size
    eval_batch_size: Size = 1
    num_workers: Annotated[int, at_least(0)] = 4


class ItemDataset(Dataset):
    """Items with their targets; nothing is read here."""

    def __init__(
        self,
        items: Sequence[Item],
        target: Callable[[Item], Any],
        crop: float | None = None,
        finished: int = 0,
    ) -> None:
        """
        Args:
            target: what the loss needs of an item; called in the loading workers.
            crop: seconds of a longer recording that are heard, from a new random place each time; an item
                may have a crop of its own.
            finished: other items, which an earlier try of an evaluation has computed.
        """
        self.items, self.target, self.finished = items, target, finished
        self.crop = None if crop is None else Crop(crop)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def seconds(self) -> float | None:
        """Of audio in all items, before any crop; None where that is not known without reading them."""
        return seconds_of(self.items)

    def __getitem__(self, index: int) -> Row:
        item = self.items[index]
        crop = item.crop or self.crop
        recording = item.recording if crop is None else crop.of(item.recording)
        return recording, self.target(item), item

    def choices(self, index: int) -> list[Recording] | None:
        """Every recording that item `index` can give; None where crops come from any place."""
        item = self.items[index]
        crop = item.crop or self.crop
        return [item.recording] if crop is None else crop.choices(item.recording)


def columns(rows: Sequence[Row]) -> tuple[list, ...]:
    """Three lists: recordings (waves, once they are read), targets, items."""
    return tuple(list(column) for column in zip(*rows, strict=True))


def training_loader(
    dataset: ItemDataset,
    settings: LoaderSettings,
    balance: Callable[[Item], Hashable] | None = None,
    drop_last: bool = False,
    length: Callable[[Item], float] = lambda item: item.samples,
) -> DataLoader:
    """Batches of utterances of similar length where lengths are known, else in random order.

    Args:
        balance: the class of an item. Items are then drawn with replacement so that classes come equally
            often, as many as there are.
        drop_last: leave a smaller last batch out; not where batches are made by length.
        length: of an item, in any unit; 0 where it is not known.
    """
    if balance is not None:
        order = {"sampler": _balanced(dataset.items, balance), "batch_size": settings.train_batch_size}
        order["drop_last"] = drop_last
    elif any(lengths := [length(item) for item in dataset.items]):
        order = {"batch_sampler": BucketBatchSampler(lengths, settings.train_batch_size)}
    else:
        order = {"shuffle": True, "batch_size": settings.train_batch_size, "drop_last": drop_last}
    return DataLoader(dataset, num_workers=settings.num_workers, collate_fn=columns, **order)


def evaluation_loader(
    dataset: ItemDataset, settings: LoaderSettings, balance: Callable[[Item], Hashable] | None = None
) -> DataLoader:
    """All items in their order; with `balance` as many, drawn as in training, the same every time."""
    return DataLoader(
        dataset,
        settings.eval_batch_size,
        sampler=None if balance is None else _balanced(dataset.items, balance),
        num_workers=settings.num_workers,
        collate_fn=columns,
    )


def _balanced(items: Sequence[Item], classify: Callable[[Item], Hashable]) -> WeightedRandomSampler:
    classes = [classify(item) for item in items]
    counts = Counter(classes)
    return WeightedRandomSampler([len(classes) / counts[one] for one in classes], len(classes))
