"""The ASV task of SUPERB (Yang et al., 2021): are two recordings by the same speaker? VoxCeleb1; EER."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from s3prl.utility.config import check_fields
from s3prl.utility.metric import Metric
from s3prl.utility.typed import choice, typed

from ..common.configured import Configured
from ..common.corpora.voxceleb1_trials import Trial
from ..common.items import Item
from ..common.metrics.eer import equal_error_rate, min_dcf
from ..common.partial import PartialResults, Table, key_of
from ..common.task import MODELRC, Records, Task, record_loss, warn
from ..common.utterance import check_labels
from .data import FOLDERS, NAME, TRAIN, Corpus, Settings, utterance
from .losses import LOSSES
from .model import Model, ModelSettings
from .scoring import score


@dataclass
class ModelAndLoss(ModelSettings):
    """`modelrc`."""

    ObjectiveLoss: str = "AMSoftmaxLoss"
    LossConfig: dict[str, Any] = field(default_factory=dict)

    def build(self, upstream_dim: int, speakers: int) -> tuple[nn.Linear, Model, nn.Module]:
        """The projection of the upstream's frames, the model behind it, and the loss.

        Raises:
            UserError: a part that does not exist, or an option that it does not take.
        """
        name = choice(self.ObjectiveLoss, LOSSES, f"{MODELRC}.ObjectiveLoss")
        where = f"{MODELRC}.LossConfig.{name}"
        check_fields(self.LossConfig, LOSSES, f"{MODELRC}.LossConfig")
        connector, model = nn.Linear(upstream_dim, self.input_dim), Model(self, MODELRC)
        loss = typed(LOSSES[name], self.LossConfig.get(name), where, self.input_dim, speakers)
        return connector, model, loss


class DownstreamExpert(Configured, Task):
    """An x-vector that learns to tell speakers apart, judged by trials of speakers it has never heard."""

    name = NAME
    metric = Metric("EER", lower_is_better=True, split="dev")
    splits = tuple(FOLDERS)
    settings_kind = Settings
    keeps_partial_results = True

    def __init__(self, upstream_dim: int, downstream_expert: dict, **options: Any) -> None:
        """
        Args:
            upstream_dim: size of a feature frame.
            downstream_expert: the block of that name in the config; config.yaml explains its fields.
            options: of Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value, or the data is missing.
        """
        self.settings, modelrc = self.read_config(downstream_expert)
        super().__init__(self.settings, **options)
        self.corpus = Corpus(self.settings, self.launch_dir)
        self._trials: dict[str, list[Trial]] = {}
        self._table: Table | None = None
        self.speakers = self.settled_labels(lambda: sorted({item.label for item in self.read(TRAIN)}))
        self._index = {speaker: index for index, speaker in enumerate(self.speakers)}
        parts = typed(ModelAndLoss, modelrc, MODELRC).build(upstream_dim, len(self.speakers))
        self.connector, self.model, self.objective = parts

    @staticmethod
    def check_model(modelrc: dict[str, Any]) -> None:
        """Find mistakes in `modelrc`, without building the model at its size.

        Raises:
            UserError: a field is unknown, missing or impossible.
        """
        with torch.device("meta"):
            typed(ModelAndLoss, modelrc, MODELRC).build(1, 1)

    @classmethod
    def check_data(cls, settings: Settings, splits: list[str], launch_dir: str | None) -> None:
        """Of Configured; lists of trials are checked too, and whether all of their recordings are there."""
        for split in splits:
            if settings.lists is None:
                choice(split, FOLDERS, "The split")
            Corpus(settings, launch_dir).check(split)

    def items(self, split: str) -> list[Item]:
        """The recordings of "train", or those that the trials of "dev" or "test" name."""
        if split == TRAIN:
            return self.corpus.training_items(self.bad_audio == "skip")
        self._trials[split] = self.corpus.trials(split)
        items = self.corpus.heard_in(split, self._trials[split])
        if self.mode == "train":
            self.corpus.check_heard(split, items, self.bad_audio == "skip")
        return items

    def check_items(self, split: str, items: list[Item]) -> None:
        """Of Task; training data must be of the speakers that the model has learned."""
        super().check_items(split, items)
        if split == TRAIN:
            check_labels(split, items, self.speakers)

    def length(self, item: Item) -> float:
        """Training batches are random, as in the original."""
        return 0

    def target(self, item: Item) -> int:
        """The number of the speaker; of no meaning for the recordings of trials."""
        return self._index.get(item.label, -1)

    def begin_evaluation(self, split: str, partial: PartialResults | None) -> None:
        """Of Task; embeddings are kept."""
        super().begin_evaluation(split, partial)
        dim = self.connector.out_features
        self._table = None if partial is None else partial.table("embeddings", layers=1, dim=dim)

    def unfinished(self, split: str, items: list[Item]) -> list[Item]:
        """The recordings that have no embedding yet."""
        table = self._table
        return items if table is None else [item for item in items if key_of(item) not in table]

    def forward(
        self,
        split: str,
        features: list[Tensor],
        targets: list[int],
        items: list[Item],
        records: Records,
        **kwargs: object,
    ) -> Tensor:
        """In training the mean loss of a batch; in evaluation 0, and embeddings are recorded."""
        if split == TRAIN:
            found = self.model(features, self.connector)
            return record_loss(records, self.objective(found, torch.tensor(targets, device=found.device)))
        embeddings = self.model.inference(features, self.connector).cpu()
        for item, embedding in zip(items, embeddings, strict=True):
            records["recording"].append(item.label)
            records["embedding"].append(embedding.clone())
            if self._table is not None and (key := key_of(item)) not in self._table:
                self._table.add(key, embedding.view(1, 1, -1))
        return torch.zeros(())

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """EER, from 0 to 1, and the minimum of the normalised detection cost at a target prior of 0.01."""
        if split == TRAIN:
            return {}
        self.read(split)  # in a sweep another head has made the batches
        trials = self._trials[split]
        scored, values = score(trials, self._embeddings(split, records))
        if len(scored) < len(trials):
            warn(NAME, f"{split}: {len(trials) - len(scored):,} of {len(trials):,} trials are left out.")
        labels = [trial.label for trial in scored]
        records["trial"], records["score"] = scored, values.tolist()
        found = {"EER": equal_error_rate(values, labels)[0], "minDCF": min_dcf(values, labels)[0]}
        if self.mode == "evaluate":
            print(f"{NAME}/{split}-EER: {found['EER']}", flush=True)
        return found

    def _embeddings(self, split: str, records: Records) -> dict[str, Tensor]:
        """Of all recordings, those of an earlier try included; by their paths in the trials."""
        found = {}
        if self._table is not None:
            kept = [(item.label, key_of(item)) for item in self.read(split)]
            found = {name: self._table[key].view(-1) for name, key in kept if key in self._table}
        return found | dict(zip(records["recording"], records["embedding"], strict=True))

    def write_predictions(self, split: str, records: Records) -> None:
        """`<split>_predict.txt` and `<split>_truth.txt`: `<utterance>_<utterance> <score>`, or 1 or 0."""
        pairs = [f"{utterance(trial.enrol)}_{utterance(trial.test)}" for trial in records["trial"]]
        truth = [int(trial.label) for trial in records["trial"]]
        predicted = [f"{value:.8f}" for value in records["score"]]
        for kind, column in (("predict", predicted), ("truth", truth)):
            rows = zip(pairs, column, strict=True)
            self.write_lines(f"{split}_{kind}.txt", (f"{pair} {value}" for pair, value in rows))
