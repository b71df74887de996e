"""The base of every task of the kit: data, best score, reports. Its shapes are utterance, frame and sequence.

A task of a known shape says where its items come from and what it is judged by; the shape adds target, model
and loss. A task that wants none of this implements the three methods of downstream/README.md itself.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.files import write_atomically
from s3prl.utility.metric import Metric
from s3prl.utility.paths import find_path
from s3prl.utility.typed import checked_mapping, typed

from .dataset import ItemDataset, LoaderSettings, evaluation_loader, training_loader
from .items import Item, seconds_of

Records = dict[str, list]
Settings = TypeVar("Settings")
MODELRC = "downstream_expert.modelrc"


class Task(nn.Module):
    """What the tasks of the kit share.

    Attributes:
        name: prefix of its curves.
        metric: what it is judged by; its split may be another one where the config evaluates no such split.
        best_checkpoints: what a new best score is saved as.
        reads: "mean" where the loss depends on features only through their mean over time; in a cached run
            `forward` is then given the means of a batch, one tensor [batch, 1, dim].
        shards_evaluation: every evaluation is the sum of its records, so processes may divide the batches.
        balanced: whether training draws the classes of `balance` equally often.
        balanced_evaluation: the evaluation splits of which that is true too.
        drop_last: whether training leaves out a last batch that is smaller than the others.
        crop: seconds of a training recording that are heard at most, from a random place.
    """

    name: str
    metric: Metric
    best_checkpoints: tuple[str, ...] = ("dev-best.ckpt",)
    reads: str = "frames"
    shards_evaluation = True
    balanced = False
    balanced_evaluation: tuple[str, ...] = ()
    drop_last = False
    crop: float | None = None

    def __init__(
        self, loading: LoaderSettings, expdir: str, runner: dict | None = None, launch_dir: str | None = None
    ) -> None:
        """
        Args:
            loading: how items are put into batches.
            expdir: where predictions are written.
            runner: the block of that name in the config; it names the splits.
            launch_dir: where the experiment was started first; relative paths of the config count from there.
        """
        super().__init__()
        runner = runner or {}
        self.loading, self.expdir, self.launch_dir = loading, Path(expdir), launch_dir
        self.train_split = runner.get("train_dataloader") or "train"
        self.metric = _on_evaluated_split(self.metric, runner.get("eval_dataloaders") or [])
        self.register_buffer("best_score", torch.full((1,), self.metric.worst))

    def items(self, split: str) -> list[Item]:
        """What a split consists of.

        Raises:
            UserError: no such split, or its data is missing.
        """
        raise NotImplementedError(f"{type(self).__name__}.items(split) -> list of Item")

    def target(self, item: Item) -> Any:
        """What the loss needs of an item; called in the loading workers."""
        return item.label

    def balance(self, item: Item) -> Any:
        """The class of an item, for `balanced`."""
        return item.label

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """Metrics of a split by name, the headline metric among them in evaluation."""
        raise NotImplementedError(f"{type(self).__name__}.scores(split, records) -> dict of metrics")

    def write_predictions(self, split: str, records: Records) -> None:
        """Write what was predicted for an evaluation split to the experiment folder."""

    def find(self, path: str | Path) -> Path:
        """A path of the config, from wherever the experiment runs."""
        return find_path(path, self.launch_dir)

    def split_size(self, split: str) -> tuple[int, float | None]:
        """Utterances of a split, and its seconds of audio where they are known without reading any."""
        items = self.items(split)
        return len(items), seconds_of(items)

    def get_dataloader(self, split: str) -> DataLoader:
        """Batches `(recordings, targets, items)` of a split.

        Raises:
            UserError: see `items`.
        """
        items = self.items(split)
        if split != self.train_split:
            balance = self.balance if split in self.balanced_evaluation else None
            return evaluation_loader(ItemDataset(items, self.target), self.loading, balance)
        balance = self.balance if self.balanced else None
        dataset = ItemDataset(items, self.target, self.crop)
        return training_loader(dataset, self.loading, balance, self.drop_last)

    def log_records(
        self, split: str, records: Records, logger: Any, global_step: int, **kwargs: object
    ) -> list[str]:
        """Report loss and metrics since the last call; names the checkpoints of a new best score."""
        scores = {"loss": mean_loss(records), **self.scores(split, records)}
        for name, value in scores.items():
            logger.add_scalar(f"{self.name}/{split}-{name}", value, global_step=global_step)
        if split == self.train_split:
            return []
        self.write_predictions(split, records)
        score = torch.full_like(self.best_score, scores[self.metric.name])  # in the precision of the best
        if split != self.metric.split or not self.metric.better(float(score), float(self.best_score)):
            return []
        self.best_score.copy_(score)
        return list(self.best_checkpoints)

    def write_lines(self, file_name: str, lines: Iterable[str]) -> None:
        """Write a text file of the experiment folder atomically."""
        text = "".join(f"{line}\n" for line in lines)
        self.expdir.mkdir(parents=True, exist_ok=True)
        write_atomically(self.expdir / file_name, lambda file: file.write(text.encode()))


def _on_evaluated_split(metric: Metric, evaluated: list[str]) -> Metric:
    """The metric with a deciding split that training evaluates: its own, else the first development set."""
    if not evaluated or metric.split in evaluated:
        return metric
    development = [split for split in evaluated if split.startswith(("dev", "valid"))]
    return replace(metric, split=development[0]) if development else metric


def record_loss(records: Records, losses: Tensor) -> Tensor:
    """Record the losses [batch] of utterances (on their device: no waiting for a GPU); returns their mean."""
    total = losses.sum()
    records["loss"].append(total.detach())
    records["utterances"].append(len(losses))
    return total / len(losses)


def mean_loss(records: Records) -> float:
    """The mean over all utterances since the last log, whatever the sizes of their batches."""
    return sum(float(loss) for loss in records["loss"]) / sum(records["utterances"])


def model_settings(kind: type[Settings], modelrc: Mapping[str, Any], models: Iterable[str]) -> Settings:
    """The fields of `modelrc` but for the blocks of its models, as the dataclass `kind`.

    Raises:
        UserError: a field is unknown, missing or impossible.
    """
    modelrc = checked_mapping(modelrc, MODELRC)
    fields = {name: value for name, value in modelrc.items() if name not in models}
    return typed(kind, fields, MODELRC)


def split_of(splits: dict[str, Any], split: str, where: str) -> Any:
    """What a config says of a split.

    Raises:
        UserError: it has no such split.
    """
    if split not in splits:
        raise UserError(
            f"The config has no split '{split}' ({where}).{nearest(split, splits)} "
            f"It has: {', '.join(splits)}."
        )
    return splits[split]


def warn(task: str, message: str) -> None:
    """One line on stderr, so that stdout keeps the results."""
    print(f"[{task}] {message}", file=sys.stderr)
