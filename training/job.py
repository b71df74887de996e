"""What the training loop asks of a job: data, a loss, a report. Waves and models are the job's affair."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .report import MetricLogger
from .sampling import Ready
from .settings import RunnerSettings

Records = dict[str, list]


class Job(ABC):
    """Something to train and evaluate, such as a downstream task on an upstream.

    Attributes:
        settings: how long, how often (`runner:` of a config).
        optimizer, scheduler: the config blocks of these names; an empty scheduler keeps the rate constant.
        seed: of everything random.
        device: where batches are computed.
        expdir: where checkpoints and logs go.
        trained: the models whose weights are trained and saved, by their names in a checkpoint.
        models: all models, trained or not.
        verbose: print every training log, also without a terminal.
        data_section: of the config: names the data and the batch sizes, for advice.
        shards_evaluation: whether an evaluation is nothing but the sum of its records, so that processes may
            divide its batches. The careful answer is no: then the first process evaluates alone.
    """

    settings: RunnerSettings
    optimizer: dict[str, Any]
    scheduler: dict[str, Any] | None
    seed: int
    device: torch.device
    expdir: Path
    trained: dict[str, nn.Module]
    models: dict[str, nn.Module]
    data_section: str = "config"
    shards_evaluation: bool = False
    verbose: bool = False

    @abstractmethod
    def loader(self, split: str) -> DataLoader:
        """The batches of a split, as an ordinary DataLoader."""

    def encode(self, batch: Any) -> Any:
        """What `loss` takes, from a batch of the loader: the work that does not depend on what is learned."""
        return batch

    @abstractmethod
    def loss(self, split: str, encoded: Any, records: Records, batch_id: int | None = None) -> Tensor:
        """The loss of an encoded batch, a scalar; `records` gets what `report` will need.

        Args:
            batch_id: the number of the batch in an evaluation; None in training.
        """

    @abstractmethod
    def report(
        self,
        split: str,
        records: Records,
        logger: MetricLogger,
        step: int,
        batch_ids: Sequence[int],
        total_batches: int | None,
    ) -> list[str]:
        """Turn the records of all processes into metrics (`logger.add_scalar`); names of checkpoints to save.

        Args:
            batch_ids: of the batches that the records are about.
            total_batches: in the evaluation, or updates in an epoch of training; None where it is unknown.
        """

    @abstractmethod
    def describe_latest(self) -> str:
        """The batch that `encode` was given last, in a few words: `16 utterances of up to 12.3 s`."""

    @abstractmethod
    def settings_to_save(self) -> dict[str, Any]:
        """What a checkpoint holds beside weights and the state of the training, such as Args and Config."""

    def describe(self, loader: DataLoader) -> list[str]:
        """Lines about models and data for the beginning of the log; called on the first process alone.

        Args:
            loader: of the training set.
        """
        return []

    def test_split(self) -> str | None:
        """The split that the trained model would be evaluated on next, for the advice at the end."""
        return None

    def advice(self) -> list[str]:
        """Lines on what to do with the trained model, for the end of the log."""
        return []

    def prepare(self, item: Any) -> Any:
        """An item of the data set as a batch needs it. Runs in the loading workers.

        Raises:
            DroppedItem: it cannot be used.
        """
        return item

    def get_ready(self, loader: DataLoader) -> None:  # noqa: B027 (most jobs have nothing to do)
        """Prepare for many epochs what can be; called once, before training, on every process.

        Args:
            loader: of the training set.
        """

    def ready(self, split: str) -> Ready | None:
        """The items of a split, where the job has them at hand; None has the loader load them."""
        return None

    @abstractmethod
    def note_dropped(self, notes: Sequence[Any]) -> None:
        """Write down at once what `prepare` said of items that it dropped; called on every process."""

    @abstractmethod
    def report_dropped(self, split: str, notes: Sequence[Any]) -> None:
        """Tell the user of the items that all processes dropped since the last report, if any."""

    def autocast(self) -> AbstractContextManager:
        """The precision that `runner.fp16` or `runner.bf16` asks for."""
        if not (self.settings.fp16 or self.settings.bf16):
            return nullcontext()
        return torch.autocast(self.device.type, torch.float16 if self.settings.fp16 else torch.bfloat16)
