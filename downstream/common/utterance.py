"""Tasks with one label per utterance (KS, IC, SID, ER of SUPERB): project, pool over time, classify.

`downstream_expert.modelrc` has the layout of the public configs: `projector_dim`, `select` and a block under
the selected name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl.utility.metric import Metric
from s3prl.utility.padding import padded
from s3prl.utility.typed import at_least, choice

from .dataset import LoaderSettings
from .heads import HEADS, folded, get_downstream_model, linear_layers, reads_mean
from .items import Item
from .task import Records, Task, model_settings, record_loss


@dataclass
class ModelSettings:
    """`modelrc`, but for the blocks of its heads."""

    projector_dim: Annotated[int, at_least(1)]
    select: str


class UtteranceTask(Task):
    """Classification of whole utterances, judged by accuracy.

    A subclass lists `items` whose labels are among `classes`.
    """

    metric = Metric("acc")

    def __init__(
        self,
        upstream_dim: int,
        classes: Sequence[str],
        loading: LoaderSettings,
        modelrc: dict[str, Any],
        **options: Any,
    ) -> None:
        """
        Args:
            upstream_dim: size of a feature frame.
            classes: names of the labels, in the order of the outputs.
            modelrc: the head, as said above.
            options: of Task.

        Raises:
            UserError: no such head, or an option that it does not take.
        """
        super().__init__(loading, **options)
        self.classes = list(classes)
        self._index = {label: index for index, label in enumerate(self.classes)}
        width = model_settings(ModelSettings, modelrc, HEADS).projector_dim
        self.projector = nn.Linear(upstream_dim, width)
        self.model = get_downstream_model(width, len(self.classes), modelrc)

    @property
    def reads(self) -> str:
        """Of Task: "mean" where mean pooling follows linear layers only."""
        own = type(self).forward is UtteranceTask.forward and type(self).classify is UtteranceTask.classify
        return "mean" if own and reads_mean(self.model) else "frames"

    def target(self, item: Item) -> int:
        """The number of the item's class.

        Raises:
            UserError: it is none of the task's.
        """
        where = f"The label of {item.name} ({item.recording.path})"
        return self._index[choice(item.label, self.classes, where)]

    def forward(
        self,
        split: str,
        features: list[Tensor] | Tensor,
        targets: list[int],
        items: list[Item],
        records: Records,
        **kwargs: object,
    ) -> Tensor:
        """The mean cross entropy of a batch."""
        scores = self.classify(features)  # [batch, classes]
        targets = torch.tensor(targets, device=scores.device)
        predicted = scores.argmax(dim=-1)
        records["correct"].append((predicted == targets).sum())
        if not self.training:
            records["name"] += [item.name for item in items]
            records["truth"] += [item.label for item in items]
            records["predicted"] += [self.classes[index] for index in predicted.tolist()]
        return record_loss(records, F.cross_entropy(scores.float(), targets, reduction="none"))

    def classify(self, features: list[Tensor] | Tensor) -> Tensor:
        """[frames, upstream_dim] of each utterance -> scores [batch, classes]."""
        means = isinstance(features, Tensor)  # [batch, 1, upstream_dim], see Task.reads
        if means and len(self.classes) < len(features) and (layers := linear_layers(self.model)):
            return F.linear(features[:, 0], *folded([self.projector, *layers]))
        # A list: no mask where nothing is padding.
        lengths = [1] * len(features) if means else [feature.size(0) for feature in features]
        scores, _ = self.model(self.projector(padded(features)), lengths)
        return scores

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """Accuracy from 0 to 1."""
        correct = sum(int(count) for count in records["correct"])
        return {"acc": correct / sum(records["utterances"])}

    def write_predictions(self, split: str, records: Records) -> None:
        """`<split>_predict.txt` and `<split>_truth.txt`, lines `<utterance> <class>` sorted by utterance."""
        for kind, column in (("predict", "predicted"), ("truth", "truth")):
            rows = sorted(zip(records["name"], records[column], strict=True))
            self.write_lines(f"{split}_{kind}.txt", (f"{name} {label}" for name, label in rows))


def check_head(modelrc: dict[str, Any]) -> None:
    """Find mistakes in the block of the head, without building it at its size.

    Raises:
        UserError: a field is unknown, missing or impossible.
    """
    model_settings(ModelSettings, modelrc, HEADS)
    with torch.device("meta"):
        get_downstream_model(1, 1, modelrc)
