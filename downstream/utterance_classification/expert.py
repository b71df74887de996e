"""One label for each utterance of your own lists: accuracy, macro F1, a confusion matrix."""

from ..common import lists
from ..common.configured import ConfiguredUtteranceTask
from ..common.confusion import confusion_matrix
from ..common.items import Item
from ..common.metrics.classification import macro_f1
from ..common.own_lists import ListSettings, OwnLists, known_speakers
from ..common.task import Records, warn


class DownstreamExpert(OwnLists, ConfiguredUtteranceTask):
    """The lists of the config, and the classes that the training list has."""

    name = "utterance_classification"
    settings_kind = ListSettings
    example = """
path,label,speaker
wavs/0001.wav,happy,anna
wavs/0002.wav,angry,anna
"""

    def items(self, split: str) -> list[Item]:
        """The rows of the split's list."""
        if split != self.train_split and self.mode == "train":
            self._warn_of_known_speakers(split)
        return lists.with_lengths(lists.items(self.list_of(split)), split)

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """Accuracy and, in evaluation, macro F1, from 0 to 1."""
        scores = super().scores(split, records)
        if not records["truth"]:
            return scores
        truth, predicted = ([self._index[one] for one in records[c]] for c in ("truth", "predicted"))
        return {**scores, "f1": macro_f1(confusion_matrix(truth, predicted, len(self.classes)))}

    def _warn_of_known_speakers(self, split: str) -> None:
        rows, trained = (lists.read_list(self.list_of(name), ["label"]) for name in (split, self.train_split))
        speakers, known = known_speakers(rows, trained)
        if known:
            warn(
                self.name,
                f"{known} of the {speakers} speakers of '{split}' are in '{self.train_split}' too: "
                "scores say how well utterances of these speakers are classified, not those of new ones.",
            )
