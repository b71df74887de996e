"""Tasks with one label per utterance (KS, SID, ER of SUPERB): project, pool over time, classify.

Several labels per utterance are in slots.py.

`downstream_expert.modelrc` has the layout of the public configs: `projector_dim`, `select` and a block under
the selected name.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.metric import Metric
from s3prl.utility.padding import padded
from s3prl.utility.typed import at_least, choice

from .confusion import confusion_image, confusion_matrix
from .dataset import LoaderSettings
from .heads import HEADS, check_head, folded, get_downstream_model, linear_layers, reads_mean
from .items import Item
from .task import Records, Task, model_settings, record_loss, warn

DEAF = (
    "The upstream subtracts the mean of every utterance, and this head hears nothing else: expect chance. "
    "Take -u fbank_no_cmvn for fbank, or give the head a block after_cmvn (see mini.yaml)."
)
SHOWN = 10  # labels in a message


@dataclass
class ModelSettings:
    """`modelrc`, but for the blocks of its heads."""

    projector_dim: Annotated[int, at_least(0)]  # 0: no projector
    select: str


class UtteranceTask(Task):
    """Classification of whole utterances, judged by accuracy.

    A subclass lists `items` whose labels are among `classes`.
    """

    metric = Metric("acc")

    def __init__(
        self,
        upstream_dim: int,
        classes: Sequence[str] | None,
        loading: LoaderSettings,
        modelrc: dict[str, Any],
        **options: Any,
    ) -> None:
        """
        Args:
            upstream_dim: size of a feature frame.
            classes: names of the labels, in the order of the outputs; None takes those of the training data.
            modelrc: the head, as said above.
            options: of Task.

        Raises:
            UserError: no such head, or an option that it does not take.
        """
        super().__init__(loading, **options)
        self.classes = self.settled_labels(self.training_labels) if classes is None else list(classes)
        self._index = {label: index for index, label in enumerate(self.classes)}
        if self.upstream_cmvn:
            modelrc = after_cmvn(modelrc)
        width = model_settings(ModelSettings, modelrc, HEADS).projector_dim
        self.projector = nn.Linear(upstream_dim, width) if width else nn.Identity()
        self.model = get_downstream_model(width or upstream_dim, len(self.classes), modelrc)
        if self.upstream_cmvn and reads_mean(self.model):
            warn(self.name, DEAF)

    @property
    def reads(self) -> str:
        """Of Task: "mean" where mean pooling follows linear layers only."""
        own = type(self).forward is UtteranceTask.forward and type(self).classify is UtteranceTask.classify
        return "mean" if own and reads_mean(self.model) else "frames"

    @staticmethod
    def check_model(modelrc: dict[str, Any]) -> None:
        """Find mistakes in `modelrc`, without building the head at its size.

        Raises:
            UserError: a field is unknown, missing or impossible.
        """
        model_settings(ModelSettings, modelrc, HEADS)
        check_head(modelrc)

    def target(self, item: Item) -> int:
        """The number of the item's class.

        Raises:
            UserError: it is none of the task's.
        """
        where = f"The label of {item.name} ({item.recording.path})"
        return self._index[choice(item.label, self.classes, where)]

    def training_labels(self) -> list[str]:
        """The labels of the training data, sorted; numbers by their size.

        Raises:
            UserError: there is no training data.
        """
        labels = {item.label for item in self.read(self.train_split)}
        if not labels:
            raise UserError(f"The split '{self.train_split}' of {self.name} has no utterance.")
        return sorted(
            labels, key=lambda label: (not label.isdecimal(), int(label) if label.isdecimal() else 0, label)
        )

    def check_items(self, split: str, items: list[Item]) -> None:
        """Of Task; also refuse labels that are none of the classes.

        Raises:
            UserError: names the split, the labels and the first utterance of each.
        """
        super().check_items(split, items)
        check_labels(split, items, self.classes)

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
        losses, predicted = self.compare(scores.float(), targets, records)
        if not self.training:
            records["name"] += [item.name for item in items]
            records["truth"] += [item.label for item in items]
            records["predicted"] += [self.label_of(index) for index in predicted.tolist()]
        return record_loss(records, losses)

    def compare(self, scores: Tensor, targets: Tensor, records: Records) -> tuple[Tensor, Tensor]:
        """Scores [batch, classes], targets [batch] -> losses [batch], predictions [batch].

        How many utterances are right is recorded as `correct`.
        """
        predicted = self.predict(scores)
        records["correct"].append((predicted == targets).sum())
        return F.cross_entropy(scores, targets, reduction="none"), predicted

    def predict(self, scores: Tensor) -> Tensor:
        """Scores [batch, classes] -> the number of the best class of each utterance, [batch]."""
        return scores.argmax(dim=-1)

    def label_of(self, prediction: int) -> str:
        """What an item's label would have to be for a prediction to be right."""
        return self.classes[prediction]

    @torch.no_grad()
    def inference(self, features: list[Tensor], filenames: list[str]) -> list[Any]:
        """The label of each recording, as of an item; also printed and written (see Task.tell_inferred)."""
        found = [self.label_of(one) for one in self.predict(self.classify(features)).tolist()]
        self.tell_inferred(
            filenames, [label if isinstance(label, str) else ", ".join(label) for label in found]
        )
        return found

    def classify(self, features: list[Tensor] | Tensor) -> Tensor:
        """[frames, upstream_dim] of each utterance -> scores [batch, classes]."""
        means = isinstance(features, Tensor)  # [batch, 1, upstream_dim], see Task.reads
        if means and len(self.classes) < len(features) and (layers := linear_layers(self.model)):
            projectors = [self.projector] if isinstance(self.projector, nn.Linear) else []
            return F.linear(features[:, 0], *folded([*projectors, *layers]))
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
            # Of equal names, such as crops of one noise, the order stays: it is the same for every upstream.
            rows = sorted(zip(records["name"], records[column], strict=True), key=itemgetter(0))
            self.write_lines(f"{split}_{kind}.txt", (f"{name} {label}" for name, label in rows))

    def draw(self, split: str, records: Records, logger: Any, global_step: int) -> None:
        """The confusion matrix, as `<name>/<split>-confusion`."""
        truth, predicted = records["truth"], records["predicted"]
        draw_confusion(logger, f"{self.name}/{split}-confusion", truth, predicted, self.classes, global_step)


def draw_confusion(
    logger: Any, tag: str, truth: Sequence[str], predicted: Sequence[str], classes: Sequence[str], step: int
) -> None:
    """Show the confusion matrix of some utterances, where the logger shows images."""
    if getattr(logger, "shows_images", False):
        index = {label: index for index, label in enumerate(classes)}
        rows, columns = ([index[label] for label in labels] for labels in (truth, predicted))
        image = confusion_image(confusion_matrix(rows, columns, len(classes)), classes)
        logger.add_image(tag, image, step, dataformats="HWC")


def check_labels(split: str, items: Sequence[Item], classes: Sequence[str]) -> None:
    """Raise UserError when items have labels that are none of the classes."""
    known, unknown = set(classes), defaultdict(list)
    for item in items:
        if item.label not in known:
            unknown[item.label].append(item)
    if not unknown:
        return
    shown = [f"'{label}' ({len(found)} x, first {found[0].name})" for label, found in unknown.items()]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    first = next(iter(unknown))
    raise UserError(
        f"The split '{split}' has labels that are none of the {len(classes)} classes: "
        f"{', '.join(shown[:SHOWN])}{more}.{nearest(first, classes)} The classes are "
        f"{', '.join(classes[:SHOWN])}{', ...' if len(classes) > SHOWN else ''}. Correct the labels of these "
        f"utterances, or remove them; the first is {unknown[first][0].recording.path}."
    )


def after_cmvn(modelrc: dict[str, Any]) -> dict[str, Any]:
    """The head for an upstream that normalises every utterance: fields of `after_cmvn` replace the others."""
    name = modelrc.get("select")
    block = modelrc.get(name) or {}
    replaced = block.get("after_cmvn") if isinstance(block, dict) else None
    return {**modelrc, name: {**block, **replaced, "after_cmvn": None}} if replaced else modelrc
