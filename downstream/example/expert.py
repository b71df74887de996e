"""The example task: tell the pitch of beeps. Copy this folder to start a task of your own.

A task is a folder `downstream/<name>/` with a `config.yaml` and this file, which defines one class,
`DownstreamExpert`, with three methods: where batches come from, what the loss is, what is reported.
The runner does the rest (optimizer, checkpoints, evaluation, several processes).
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from s3prl.utility.metric import Metric
from s3prl.utility.typed import typed

from .dataset import DataSettings, ExampleDataset, collate
from .model import Model


class DownstreamExpert(nn.Module):
    """Data, model and metrics of the task."""

    metric = Metric("acc", split="dev")  # what the run is judged by, for its last lines and for tables
    shards_evaluation = True  # evaluating does nothing but fill `records`: processes may divide the batches

    def __init__(
        self, upstream_dim: int, upstream_rate: int, downstream_expert: dict, expdir: str, **kwargs: object
    ) -> None:
        """
        Args:
            upstream_dim: size of a feature frame.
            upstream_rate: samples (at 16 kHz) between two frames.
            downstream_expert: the block of that name in `config.yaml`.
            expdir: folder for files of the task's own.
            kwargs: the other blocks of the config and the arguments of the command line, by name.

        Raises:
            UserError: a field of the config is missing, unknown or impossible.
        """
        super().__init__()
        # `typed` checks every field of a block: a mistake is one message, not a traceback.
        self.data = typed(DataSettings, downstream_expert.get("datarc"), "downstream_expert.datarc")
        modelrc = downstream_expert.get("modelrc")
        self.model = typed(Model, modelrc, "downstream_expert.modelrc", upstream_dim, self.data.classes)
        # A buffer is saved in checkpoints: a resumed run remembers the best score so far.
        self.register_buffer("best_score", torch.full((1,), -1.0))

    def get_dataloader(self, split: str) -> DataLoader:
        """Batches `(wavs, labels)` of "train" or of a name listed in `runner.eval_dataloaders`."""
        training = split == "train"
        return DataLoader(
            ExampleDataset(split, self.data),
            batch_size=self.data.train_batch_size if training else self.data.eval_batch_size,
            shuffle=training,
            num_workers=self.data.num_workers,
            collate_fn=collate,
        )

    def forward(
        self,
        split: str,
        features: list[Tensor],
        labels: list[int],
        records: dict[str, list],
        **kwargs: object,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            features: one [frames, upstream_dim] for each wave of the batch, without padding.
            labels: whatever followed the waves in the batch.
            records: lists under names of your choice; append what `log_records` will need.
        """
        lengths = torch.tensor([len(feature) for feature in features])
        scores = self.model(pad_sequence(features, batch_first=True), lengths)  # [batch, classes]
        labels = torch.tensor(labels, device=scores.device)
        losses = F.cross_entropy(scores, labels, reduction="none")
        records["loss"] += losses.tolist()
        records["acc"] += (scores.argmax(dim=-1) == labels).tolist()
        return losses.mean()

    def log_records(
        self, split: str, records: dict[str, list], logger: object, global_step: int, **kwargs: object
    ) -> list[str]:
        """Report what was recorded since the last call, and name the checkpoints to save now.

        Called every `log_step` for "train" and at the end of every evaluation for the other splits.
        """
        averages = {
            name: float(torch.tensor(records[name], dtype=torch.float).mean()) for name in ("loss", "acc")
        }
        for name, average in averages.items():
            logger.add_scalar(f"example/{split}-{name}", average, global_step=global_step)
        if split == "dev" and averages["acc"] > self.best_score:
            self.best_score.fill_(averages["acc"])
            return ["dev-best.ckpt"]
        return []
