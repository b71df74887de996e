"""Tasks with a label for every frame, such as phones: a head on each frame, cross entropy, frame accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.metric import Metric

from .confusion import confusion_image, confusion_matrix
from .dataset import LoaderSettings
from .heads import HEADS, check_head, get_downstream_model
from .items import Item
from .task import Records, Task, model_settings, record_loss

LABEL_RATE = 160  # samples: a label every 10 ms
MEASURED = Fraction(2, 100)  # of a stride, by which one that was measured may be wrong
IGNORED = -100  # the target of padding


@dataclass
class ModelSettings:
    """`modelrc`, but for the blocks of its heads."""

    select: str


class FrameTask(Task):
    """Classification of frames, judged by the accuracy over all frames.

    A subclass lists `items` whose label is an int array [labels], one label for every `label_rate` samples;
    -100 is a label that does not count.
    Features are brought to that rate: repeated where labels are denser, left out where they are rarer, then
    cut, or lengthened by their last frame, to the number of labels.
    """

    metric = Metric("acc")

    def __init__(
        self,
        upstream_dim: int,
        upstream_rate: int,
        classes: int | Sequence[str] | None,
        loading: LoaderSettings,
        modelrc: dict[str, Any],
        label_rate: int = LABEL_RATE,
        **options: Any,
    ) -> None:
        """
        Args:
            upstream_dim, upstream_rate: size of a feature frame, and samples between two.
            classes: how many there are, or their names in the order of the labels; None takes
                `training_labels`.
            modelrc: `select` and a block under the selected name (see heads.py).
            label_rate: samples between two labels.
            options: of Task.

        Raises:
            UserError: no such head, or an option that it does not take.
        """
        super().__init__(loading, **options)
        classes = self.settled_labels(self.training_labels) if classes is None else classes
        self.class_names = [str(name) for name in (range(classes) if isinstance(classes, int) else classes)]
        self.repeats = labels_per_frame(upstream_rate, label_rate)
        model_settings(ModelSettings, modelrc, HEADS)
        self.model = get_downstream_model(upstream_dim, len(self.class_names), modelrc)

    def training_labels(self) -> list[str]:
        """The names of the classes, for a task that takes them from its training data."""
        raise NotImplementedError(f"{type(self).__name__}.training_labels() -> list of names")

    @staticmethod
    def check_model(modelrc: dict[str, Any]) -> None:
        """Find mistakes in `modelrc`, without building the head at its size.

        Raises:
            UserError: a field is unknown, missing or impossible.
        """
        model_settings(ModelSettings, modelrc, HEADS)
        check_head(modelrc)

    def target(self, item: Item) -> np.ndarray:
        """int64 [labels]."""
        return np.asarray(item.label, dtype=np.int64)

    def forward(
        self,
        split: str,
        features: list[Tensor],
        targets: list[np.ndarray],
        items: list[Item],
        records: Records,
        **kwargs: object,
    ) -> Tensor:
        """The cross entropy of a batch, a mean over its frames."""
        fitted = fit_to_labels(features, [len(target) for target in targets], self.repeats)
        device = features[0].device
        truth = pad_sequence([torch.from_numpy(target) for target in targets], True, padding_value=IGNORED)
        truth = truth.to(device)
        lengths = torch.tensor([len(target) for target in targets], device=device)
        scores, _ = self.model(fitted, lengths)  # [batch, frames, classes]
        losses = F.cross_entropy(
            scores.float().transpose(1, 2), truth, ignore_index=IGNORED, reduction="none"
        )
        valid = truth != IGNORED
        counts = valid.sum(1).clamp(min=1)
        predicted = scores.argmax(dim=-1)
        correct = ((predicted == truth) & valid).sum(1)  # [batch]
        records["frames"].append(valid.sum())
        records["correct"].append(correct.sum())
        if not self.training:
            records["name"] += [item.name for item in items]
            records["utterance_acc"] += (correct / counts).tolist()
            rows = predicted.to("cpu", torch.int16)
            records["predicted"] += [
                row[: len(target)].clone() for row, target in zip(rows, targets, strict=True)
            ]
            records["truth"] += [torch.from_numpy(target).to(torch.int16) for target in targets]
        record_loss(records, losses.sum(1) / counts)
        return losses.sum() / valid.sum().clamp(min=1)

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """Accuracy over all frames, from 0 to 1."""
        frames = sum(int(count) for count in records["frames"])
        return {"acc": sum(int(count) for count in records["correct"]) / frames}

    def write_predictions(self, split: str, records: Records) -> None:
        """`<split>_acc.txt`, `<split>_predict.txt` and `<split>_truth.txt`, sorted by utterance.

        Lines are `<utterance> <accuracy>` and `<utterance> <class> <class> ...`, a class for every label; `-`
        is one that does not count.
        """
        order = sorted(range(len(records["name"])), key=records["name"].__getitem__)
        names, accuracy = records["name"], records["utterance_acc"]
        self.write_lines(f"{split}_acc.txt", (f"{names[row]} {accuracy[row]:.6f}" for row in order))
        shown = np.array([*self.class_names, "-"])  # IGNORED stands behind the classes
        for kind, column in (("predict", "predicted"), ("truth", "truth")):
            labels = [np.where(row == IGNORED, -1, row) for row in map(np.asarray, records[column])]
            lines = (f"{names[row]} {' '.join(shown[labels[row]])}" for row in order)
            self.write_lines(f"{split}_{kind}.txt", lines)

    def draw(self, split: str, records: Records, logger: Any, global_step: int) -> None:
        """The confusion matrix of the frames, as `<name>/<split>-confusion`."""
        if getattr(logger, "shows_images", False):
            truth, predicted = (np.concatenate(records[column]) for column in ("truth", "predicted"))
            valid = truth != IGNORED
            matrix = confusion_matrix(truth[valid], predicted[valid], len(self.class_names))
            image = confusion_image(matrix, self.class_names)
            logger.add_image(f"{self.name}/{split}-confusion", image, global_step, dataformats="HWC")


def labels_per_frame(upstream_rate: float, label_rate: int) -> Fraction:
    """How many labels come in the time of a frame; a whole number where it is about one.

    Strides that were measured are a sample or two off, which would add up over a long utterance.

    Args:
        upstream_rate, label_rate: samples from one to the next.
    """
    exact = Fraction(upstream_rate) / label_rate
    whole = round(exact)
    return Fraction(whole) if abs(exact - whole) <= MEASURED * whole else exact.limit_denominator(1000)


def fit_to_labels(features: Sequence[Tensor], labels: Sequence[int], repeats: int | Fraction) -> Tensor:
    """Every frame `repeats` times, then as many as there are labels: [batch, most labels, dim].

    Args:
        features: [frames, dim] of every utterance, a frame or more; the last one is repeated if needed.
        labels: how many each utterance has; behind them are zeros.
        repeats: labels in the time of a frame. A label is met by the frame that has begun last: of 5/4 the
            first frame comes twice, the next three once.
    """
    device = features[0].device
    frames, labels = torch.tensor([len(feature) for feature in features]), torch.tensor(labels)
    place = torch.arange(int(labels.max()))
    row = place * repeats.denominator // repeats.numerator
    row = torch.minimum(row, frames[:, None] - 1)  # of its utterance: [batch, most labels]
    row += (frames.cumsum(0) - frames)[:, None]  # of all
    padding = (place >= labels[:, None])[..., None]
    return F.embedding(row.to(device), torch.cat(features)).masked_fill(padding.to(device), 0)
