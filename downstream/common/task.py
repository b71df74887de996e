"""The base of every task of the kit: data, best score, reports. Its shapes are utterance, frame and sequence.

A task of a known shape says where its items come from and what it is judged by; the shape adds target, model
and loss. A task that wants none of this implements the three methods of downstream/README.md itself.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.files import write_atomically
from s3prl.utility.lengths import NAMED_FILES, measure_once
from s3prl.utility.metric import Metric
from s3prl.utility.paths import find_path
from s3prl.utility.typed import checked_mapping, typed

from .ark import add_to_ark, write_ark
from .dataset import ItemDataset, LoaderSettings, evaluation_loader, training_loader
from .items import Item, seconds_of
from .partial import PartialResults

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
            `forward` is then given the means of a batch, one tensor [batch, 1, dim]. With "layers" it is
            given all layers, [layers, frames, dim] of each utterance, and not their weighted sum.
        shards_evaluation: every evaluation is the sum of its records, so processes may divide the batches.
        balanced: whether training draws the classes of `balance` equally often.
        balanced_evaluation: the evaluation splits of which that is true too.
        drop_last: whether training leaves out a last batch that is smaller than the others.
        crop: seconds of a training recording that are heard at most, from a random place.
        has_recordings: whether the recordings of items are files; where only features of them are used, they
            may be mere names.
        keeps_partial_results: whether `-m evaluate` is to keep what has been computed, so that one that was
            killed goes on; see `partial` and `unfinished`.
        partial: what is kept; None in training, and where nothing can be written.
        log_prefix: log.log then has the lines of the public S3PRL's phone probes, such as
            `libri_phone/dev-|step:200|acc:0.95`, and not `dev at step 200: 0.95`.
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
    has_recordings: bool = True
    keeps_partial_results = False
    log_prefix: str | None = None

    def __init__(
        self,
        loading: LoaderSettings,
        expdir: str,
        runner: dict | None = None,
        launch_dir: str | None = None,
        mode: str = "train",
        init_ckpt: str | None = None,
        bad_audio: str = "error",
        upstream_cmvn: bool = False,
        **others: object,
    ) -> None:
        """
        Args:
            loading: how items are put into batches.
            expdir: where predictions are written.
            runner: the block of that name in the config; it names the splits.
            launch_dir: where the experiment was started first; relative paths of the config count from there.
            mode: "train", "evaluate" or "inference".
            init_ckpt: the checkpoint whose weights the task will have, if any.
            bad_audio: "error" or "skip": what to do with recordings that cannot be read.
            upstream_cmvn: whether the upstream normalises every utterance to mean 0 (and variance 1).
            others: what else an expert is given; not used.
        """
        super().__init__()
        runner = runner or {}
        self.loading, self.expdir, self.launch_dir = loading, Path(expdir), launch_dir
        self.mode, self.init_ckpt, self.bad_audio = mode, init_ckpt, bad_audio
        self.upstream_cmvn = upstream_cmvn
        self.partial: PartialResults | None = None
        self._read: dict[str, list[Item]] = {}
        self._checked: set[str] = set()
        self._has_inferred = False
        self.train_split = runner.get("train_dataloader") or "train"
        self.metric = _on_evaluated_split(self.metric, runner.get("eval_dataloaders") or [])
        self.register_buffer("best_score", torch.full((1,), self.metric.worst))

    def items(self, split: str) -> list[Item]:
        """What a split consists of; called once for each.

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

    def length(self, item: Item) -> float:
        """By which training batches are made, in any unit; 0 where it is not known."""
        return item.samples

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """Metrics of a split by name, the headline metric among them in evaluation."""
        raise NotImplementedError(f"{type(self).__name__}.scores(split, records) -> dict of metrics")

    def write_predictions(self, split: str, records: Records) -> None:
        """Write what was predicted for an evaluation split to the experiment folder."""

    def find(self, path: str | Path) -> Path:
        """A path of the config, from wherever the experiment runs."""
        return find_path(path, self.launch_dir)

    def settled_labels(self, infer: Callable[[], Iterable[str]], file_name: str = "labels.txt") -> list[str]:
        """The names of the outputs, for a task that takes them from its training data; see `settled`.

        Raises:
            UserError: the folder of the checkpoint lacks them, and they cannot be inferred either.
        """
        text = self.settled(file_name, lambda: "".join(f"{label}\n" for label in infer()).encode())
        return text.decode().removesuffix("\n").split("\n")

    def settled(self, file_name: str, make: Callable[[], bytes]) -> bytes:
        """The content of a file that a task makes from its training data.

        A new run makes it and keeps it in its experiment folder; whatever starts from a checkpoint takes it
        from the checkpoint's folder.

        Raises:
            UserError: the folder of the checkpoint lacks the file, and it cannot be made either.
        """
        content = self._kept(file_name)
        if content is None:
            try:
                content = make()
            except UserError as error:
                if self.init_ckpt is None:
                    raise
                raise UserError(
                    f"{self.init_ckpt}: the file {file_name}, which its training has written beside it, is "
                    f"missing, and cannot be made from the training data either: {error}"
                ) from error
        if self.mode == "train":
            self._write(file_name, content)
        return content

    def _kept(self, file_name: str) -> bytes | None:
        folders = [] if self.init_ckpt is None else [Path(self.init_ckpt).parent, self.expdir]
        paths = [folder / file_name for folder in folders]
        return next((path.read_bytes() for path in paths if path.is_file()), None)

    def read(self, split: str) -> list[Item]:
        """The items of a split, as `items` gave them the first time.

        Raises:
            UserError: see `items`.
        """
        if split not in self._read:
            self._read[split] = self.items(split)
        return self._read[split]

    def listed(self, split: str) -> list[Item]:
        """The items of a split, checked.

        Raises:
            UserError: see `items` and `check_items`.
        """
        items = self.read(split)
        if split not in self._checked:
            self.check_items(split, items)
            self._checked.add(split)
        return items

    def check_items(self, split: str, items: list[Item]) -> None:
        """Refuse what would end a run in the middle: an empty split, audio files that cannot be opened.

        Raises:
            UserError: names the split and the first recordings.
        """
        if not items:
            raise UserError(f"The split '{split}' of {self.name} has no utterance. Check the config's paths.")
        if self.bad_audio != "skip" and self.has_recordings:
            _check_audio(split, items)

    def split_size(self, split: str) -> tuple[int, float | None]:
        """Utterances of a split, and its seconds of audio where they are known without reading any."""
        items = self.listed(split)
        return len(items), seconds_of(items)

    def begin_evaluation(self, split: str, partial: PartialResults | None) -> None:
        """Called by `-m evaluate`, on every process, before the batches of the split are asked for."""
        self.partial = partial

    def unfinished(self, split: str, items: list[Item]) -> list[Item]:
        """The items of an evaluation that no earlier try has computed."""
        return items

    def get_dataloader(self, split: str) -> DataLoader:
        """Batches `(recordings, targets, items)` of a split.

        Raises:
            UserError: see `items`.
        """
        items = self.listed(split)
        if split != self.train_split:
            balance = self.balance if split in self.balanced_evaluation else None
            left = _in_their_batches(self.unfinished(split, items), items, self.loading.eval_batch_size)
            dataset = ItemDataset(left, self.target, finished=len(items) - len(left))
            return evaluation_loader(dataset, self.loading, balance)
        balance = self.balance if self.balanced else None
        dataset = ItemDataset(items, self.target, self.crop)
        return training_loader(dataset, self.loading, balance, self.drop_last, self.length)

    def log_records(
        self, split: str, records: Records, logger: Any, global_step: int, **kwargs: object
    ) -> list[str]:
        """Report loss (if any) and metrics since the last call; names the checkpoints of a new best score."""
        scores = {"loss": mean_loss(records)} if "loss" in records else {}
        scores |= self.scores(split, records)
        for name, value in scores.items():
            logger.add_scalar(f"{self.name}/{split}-{name}", value, global_step=global_step)
        if split == self.train_split:
            self._log_score(split, scores, logger, global_step, best=False)
            return []
        self.write_predictions(split, records)
        self.draw(split, records, logger, global_step)
        score = torch.full_like(self.best_score, scores[self.metric.name])  # in the precision of the best
        best = split == self.metric.split and self.metric.better(float(score), float(self.best_score))
        self._log_score(split, scores, logger, global_step, best)
        if not best:
            return []
        self.best_score.copy_(score)
        return list(self.best_checkpoints)

    def draw(self, split: str, records: Records, logger: Any, global_step: int) -> None:
        """Show pictures of an evaluation (`logger.add_image`), where `logger.shows_images`."""

    def _log_score(self, split: str, scores: dict[str, float], logger: Any, step: int, best: bool) -> None:
        """What `utility/get_best_dev.py` reads in log.log."""
        score = scores.get(self.metric.name)
        if score is None:  # of training batches none may have been decoded
            return
        if self.log_prefix is not None:
            line = f"{self.log_prefix}/{split}-|step:{step}|{self.metric.name}:{score}"
            logger.add_line(f"best|{line}" if best else line)
            return
        logger.add_line(f"{split} at step {step}: {score}")
        if best:
            logger.add_line(f"New best on {split} at step {step}: {score}")

    def tell_inferred(self, names: Sequence[str], texts: Sequence[str]) -> None:
        """Print what `-m inference` has found, and write it to `<expdir>/inference.ark`; later calls add."""
        found = dict(zip(names, texts, strict=True))
        for name, text in found.items():
            print(f"{name} {text}")
        write = add_to_ark if self._has_inferred else write_ark
        write(self.expdir / "inference.ark", found)
        self._has_inferred = True

    def write_lines(self, file_name: str, lines: Iterable[str]) -> None:
        """Write a text file of the experiment folder atomically."""
        self._write(file_name, "".join(f"{line}\n" for line in lines).encode())

    def _write(self, file_name: str, content: bytes) -> None:
        self.expdir.mkdir(parents=True, exist_ok=True)
        write_atomically(self.expdir / file_name, lambda file: file.write(content))


def _in_their_batches(left: Sequence[Item], items: list[Item], batch_size: int) -> list[Item]:
    """The items of all batches with one that is left: every batch is what it was in an earlier try."""
    if len(left) == len(items):
        return items
    names = {item.name for item in left}
    batches = (items[start : start + batch_size] for start in range(0, len(items), batch_size))
    return [item for batch in batches if any(one.name in names for one in batch) for item in batch]


def _on_evaluated_split(metric: Metric, evaluated: list[str]) -> Metric:
    """The metric with a deciding split that training evaluates: its own, else the first development set."""
    if not evaluated or metric.split in evaluated:
        return metric
    development = [split for split in evaluated if split.startswith(("dev", "valid"))]
    return replace(metric, split=development[0]) if development else metric


def _check_audio(split: str, items: Sequence[Item]) -> None:
    """Raise UserError where a file is not there or no audio, or an excerpt begins behind its end."""
    starts: dict[str, float] = {}  # the latest in each file that has not been measured
    for item in items:
        if not item.samples:
            path = str(Path(item.recording.path).absolute())
            starts[path] = max(starts.get(path, 0.0), item.recording.start or 0.0)
    measured = measure_once(starts, split)
    problems = list(measured.unreadable.values())
    problems += [
        f"{path} has {measured.lengths[path] / SAMPLE_RATE:.2f} s, but an excerpt begins at {start:g} s"
        for path, start in starts.items()
        if start and path in measured.lengths and start * SAMPLE_RATE >= measured.lengths[path]
    ]
    if problems:
        first, total = "\n  ".join(problems[:NAMED_FILES]), len({item.recording.path for item in items})
        raise UserError(
            f"{len(problems)} of {total} audio files of the split '{split}' cannot be used:\n"
            f"  {first}\nMend or remove them, or add --bad_audio skip to go on without them."
        )


def record_loss(records: Records, losses: Tensor) -> Tensor:
    """Record the losses [batch] of utterances (on their device: no waiting for a GPU); returns their mean."""
    total = losses.sum()
    records["loss"].append(total.detach())
    records["utterances"].append(len(losses))
    return total / len(losses)


def mean_loss(records: Records) -> float:
    """The mean over all utterances since the last log, whatever the sizes of their batches."""
    return sum(float(loss) for loss in records["loss"]) / sum(records["utterances"])


def model_settings(
    kind: type[Settings], modelrc: Mapping[str, Any], models: Iterable[str], where: str = MODELRC
) -> Settings:
    """The fields of `modelrc` but for the blocks of its models, as the dataclass `kind`.

    Raises:
        UserError: a field is unknown, missing or impossible.
    """
    modelrc = checked_mapping(modelrc, where)
    fields = {name: value for name, value in modelrc.items() if name not in models}
    return typed(kind, fields, where)


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
