"""Tasks with several labels per utterance, such as action, object and location (IC of SUPERB)."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from s3prl.utility.typed import choice

from .dataset import LoaderSettings
from .items import Item
from .task import Records
from .utterance import UtteranceTask, draw_confusion


class SlotsTask(UtteranceTask):
    """Classification of utterances in several slots, judged by how many are right in all of them.

    A subclass names the `slots` and lists `items` whose labels are tuples, a value for each slot. One head
    has an output for every value of every slot; the loss is the sum of a cross entropy in each slot.

    Attributes:
        slots: their names.
        values: of each slot, in the order of the outputs.
    """

    slots: tuple[str, ...]

    def __init__(
        self, upstream_dim: int, loading: LoaderSettings, modelrc: dict[str, Any], **options: Any
    ) -> None:
        """The values are those of the training data; see UtteranceTask for the arguments."""
        super().__init__(upstream_dim, None, loading, modelrc, **options)
        self.values = {slot: _values(slot, self.classes) for slot in self.slots}

    def training_labels(self) -> list[str]:
        """`slot: value` of each output, in the order of first appearance in the training data."""
        labels = [item.label for item in self.read(self.train_split)]
        return [
            f"{slot}: {value}"
            for number, slot in enumerate(self.slots)
            for value in dict.fromkeys(label[number] for label in labels)
        ]

    def target(self, item: Item) -> list[int]:
        """The number of the value in each slot.

        Raises:
            UserError: it is none of the task's.
        """
        where = f"The label of {item.name} ({item.recording.path})"
        labels = zip(self.values.values(), item.label, strict=True)
        return [values.index(choice(label, values, where)) for values, label in labels]

    def check_items(self, split: str, items: list[Item]) -> None:
        """Of UtteranceTask, for every label."""
        every = [
            replace(item, label=f"{slot}: {label}")
            for item in items
            for slot, label in zip(self.slots, item.label, strict=True)
        ]
        super().check_items(split, every)

    def compare(self, scores: Tensor, targets: Tensor, records: Records) -> tuple[Tensor, Tensor]:
        """Scores [batch, outputs], targets [batch, slots] -> losses [batch], predictions [batch, slots]."""
        predicted = self.predict(scores)
        right = predicted == targets
        records["correct"].append(right.all(dim=1).sum())
        records["correct_slots"].append(right.sum(dim=0))
        losses = [
            F.cross_entropy(one, target, reduction="none")
            for one, target in zip(self._of_slots(scores), targets.unbind(dim=1), strict=True)
        ]
        return torch.stack(losses).sum(dim=0), predicted

    def predict(self, scores: Tensor) -> Tensor:
        """Scores [batch, outputs] -> the number of the best value in each slot, [batch, slots]."""
        return torch.stack([one.argmax(dim=1) for one in self._of_slots(scores)], dim=1)

    def _of_slots(self, scores: Tensor) -> Sequence[Tensor]:
        return scores.split([len(values) for values in self.values.values()], dim=1)

    def label_of(self, prediction: list[int]) -> tuple[str, ...]:
        """The values of the slots."""
        return tuple(values[index] for values, index in zip(self.values.values(), prediction, strict=True))

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """`acc`, of utterances that are right in all slots, and `<slot>_acc` of each slot, from 0 to 1."""
        correct, total = sum(records["correct_slots"]).tolist(), sum(records["utterances"])
        of_slots = {f"{slot}_acc": count / total for slot, count in zip(self.slots, correct, strict=True)}
        return {**super().scores(split, records), **of_slots}

    def write_predictions(self, split: str, records: Records) -> None:
        """`<split>_predict.csv` and `<split>_truth.csv`, sorted rows `<utterance>,<value>,<value>,...`."""
        for kind, column in (("predict", "predicted"), ("truth", "truth")):
            rows = sorted(zip(records["name"], records[column], strict=True))
            self.write_lines(f"{split}_{kind}.csv", (_csv_line(name, *labels) for name, labels in rows))

    def draw(self, split: str, records: Records, logger: Any, global_step: int) -> None:
        """The confusion matrix of each slot, as `<name>/<split>-<slot>-confusion`."""
        for number, (slot, values) in enumerate(self.values.items()):
            truth, predicted = ([row[number] for row in records[c]] for c in ("truth", "predicted"))
            tag = f"{self.name}/{split}-{slot}-confusion"
            draw_confusion(logger, tag, truth, predicted, values, global_step)


def _values(slot: str, names: Iterable[str]) -> list[str]:
    start = f"{slot}: "
    return [name.removeprefix(start) for name in names if name.startswith(start)]


def _csv_line(*cells: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
