"""A label for every frame of your own recordings, from segments or frame by frame: accuracy, macro F1."""

from dataclasses import dataclass

import numpy as np

from ..common.configured import ConfiguredFrameTask
from ..common.confusion import confusion_matrix
from ..common.dataset import Size
from ..common.frame import IGNORED, LABEL_RATE
from ..common.frame_labels import frame_items, labels_of
from ..common.items import Item
from ..common.metrics.classification import macro_f1
from ..common.own_lists import ListSettings, OwnLists
from ..common.task import Records


@dataclass(kw_only=True)
class Settings(ListSettings):
    """`datarc` of the config."""

    label_rate: Size = LABEL_RATE


class DownstreamExpert(OwnLists, ConfiguredFrameTask):
    """The lists of the config, and the classes that the training list has."""

    name = "frame_classification"
    settings_kind = Settings
    example = """
path,label,start,end
wavs/talk.wav,speech,0.0,1.35
wavs/talk.wav,music,1.35,2.4
"""

    def label_rate(self, upstream_rate: int) -> int:
        """That of the config."""
        return self.settings.label_rate

    def training_labels(self) -> list[str]:
        """The labels of the training list, sorted."""
        return labels_of(self.list_of(self.train_split), self.settings.label_rate)

    def items(self, split: str) -> list[Item]:
        """The recordings of the split's list, with the numbers of their labels."""
        return frame_items(self.list_of(split), split, self.class_names, self.settings.label_rate)

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """Accuracy and, in evaluation, macro F1 over all frames with a label, from 0 to 1."""
        scores = super().scores(split, records)
        if not records["truth"]:
            return scores
        truth, predicted = (np.concatenate(records[column]) for column in ("truth", "predicted"))
        known = truth != IGNORED
        matrix = confusion_matrix(truth[known], predicted[known], len(self.class_names))
        return {**scores, "f1": macro_f1(matrix)}
