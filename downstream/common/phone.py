"""Phone probes (van den Oord et al., 2018; Liu et al., 2020): the phone of every 10 ms, by a small head.

A task of this kind says which recordings a split has. Its config has the fields of `PhoneSettings` and those
of the corpus; `modelrc` is the block of the task's head, or chooses another one by `select`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np

from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.phones import HOP
from s3prl.utility.typed import at_least
from s3prl.utility.weights import listed

from .configured import WHERE, ConfiguredFrameTask
from .dataset import LoaderSettings, Size
from .frame import IGNORED
from .frame_labels import frame_items, labels_of
from .items import Item
from .phone_labels import Alignment, class_numbers, classes_of, find_labels, read_alignment
from .task import warn

TOLERATED = 5  # frames by which labels may be longer or shorter than the audio


@dataclass(kw_only=True)
class PhoneSettings(LoaderSettings):
    """The fields of `datarc` that all phone probes have; a task adds those of its corpus."""

    train_batch_size: Size = 16
    eval_batch_size: Size = 16
    num_workers: Annotated[int, at_least(0)] = 8
    phone_path: str | None = None  # of the labels, see phone_labels.py
    phone_set: str | None = None  # a file, in each line a class and other phones that count as it
    lists: dict[str, str] | None = None  # split -> a list as in frame_labels.py, in place of the corpus


class PhoneTask(ConfiguredFrameTask):
    """Classification of phones, judged by the accuracy over all frames of the development set.

    A subclass lists `recordings`, and may take its labels from elsewhere (`alignment`).

    Attributes:
        head: the one of heads.py that `modelrc` is about where it selects none.
    """

    best_checkpoints = ("dev-best.ckpt", "best-states-dev.ckpt")  # the second as in the public S3PRL
    head: str = "FrameLevel"
    settings_kind: type[PhoneSettings] = PhoneSettings
    settings: PhoneSettings

    @classmethod
    def read_config(cls, downstream_expert: dict[str, Any]) -> tuple[PhoneSettings, dict[str, Any]]:
        """Of Configured, with a head selected."""
        settings, modelrc = super().read_config(downstream_expert)
        return settings, modelrc if "select" in modelrc else {"select": cls.head, cls.head: modelrc}

    @classmethod
    def check_corpus(cls, settings: PhoneSettings, splits: list[str], launch_dir: str | None) -> None:
        """Find missing labels; a subclass adds what else its corpus needs."""
        if settings.phone_path is not None:
            find_labels(find_path(settings.phone_path, launch_dir))

    def recordings(self, split: str) -> list[Item]:
        """The utterances of a split with their lengths; their labels do not matter.

        Raises:
            UserError: no such split, or its data is missing.
        """
        raise NotImplementedError(f"{type(self).__name__}.recordings(split) -> list of Item")

    def utterances(self) -> Collection[str] | None:
        """The names in all splits, where they are known: labels of others are not read."""
        return None

    def alignment(self) -> Alignment:
        """The labels of the corpus.

        Raises:
            UserError: there are none, or they cannot be read.
        """
        if self.settings.phone_path is None:
            raise UserError(f"{WHERE}.phone_path is missing: where are the phone labels?")
        return read_alignment(self.find(self.settings.phone_path), self.utterances())

    def training_labels(self) -> list[str]:
        """The names of the classes: those of the training list, or of the labels of the corpus."""
        if self.settings.lists is not None:
            return labels_of(self.list_of(self.train_split))
        return classes_of(self._aligned, self._phone_set)

    def items(self, split: str) -> list[Item]:
        """The utterances of a split with the numbers of their phones."""
        if self.settings.lists is not None:
            return frame_items(self.list_of(split), split, self.class_names)
        recordings = self.recordings(split)
        items = [
            replace(item, label=self._labels[item.name]) for item in recordings if item.name in self._labels
        ]
        self._tell_unlabelled(split, recordings)
        self._check_phones(split, items)
        self._tell_misfits(split, items)
        return items

    @cached_property
    def _aligned(self) -> Alignment:
        return self.alignment()

    @property
    def _phone_set(self) -> Any:
        return None if self.settings.phone_set is None else self.find(self.settings.phone_set)

    @cached_property
    def _labels(self) -> dict[str, np.ndarray]:
        """Utterance -> class numbers [labels], -1 where a phone is no class; compact, as there are many.

        Labels that do not count stay as they are.
        """
        compact = np.int8 if len(self.class_names) <= np.iinfo(np.int8).max else np.int16
        numbers = class_numbers(self._aligned, self.class_names, self._phone_set).astype(compact)
        return {
            name: np.where(phones == IGNORED, compact(IGNORED), numbers.take(phones, mode="clip"))
            for name, phones in self._aligned.frames.items()
        }

    def _tell_unlabelled(self, split: str, recordings: Sequence[Item]) -> None:
        lacking = [item.name for item in recordings if item.name not in self._labels]
        if lacking and len(lacking) == len(recordings):
            raise UserError(
                f"None of the {len(recordings)} utterances of the split '{split}' has labels in "
                f"{self._aligned.path}; the first is {lacking[0]}. The labels are of another corpus, or the "
                f"lists are: correct {WHERE}.phone_path."
            )
        if lacking:
            warn(
                self.name,
                f"{len(lacking)} of {len(recordings)} utterances of {split} have no labels in "
                f"{self._aligned.path} and are left out: {listed(lacking)}.",
            )

    def _check_phones(self, split: str, items: Sequence[Item]) -> None:
        numbers = class_numbers(self._aligned, self.class_names, self._phone_set)
        unknown = [phone for phone, number in zip(self._aligned.phones, numbers, strict=True) if number < 0]
        if not unknown:
            return
        wrong = [item.name for item in items if (item.label == -1).any()]
        if wrong:
            raise UserError(
                f"{len(wrong)} utterances of the split '{split}' have phones that are none of the "
                f"{len(self.class_names)} classes: {listed(wrong)}. The phones are {listed(unknown)}. "
                f"Correct {self._aligned.path}, or let {WHERE}.phone_set say what they count as."
            )

    def _tell_misfits(self, split: str, items: Sequence[Item]) -> None:
        wrong = [
            f"{item.name} ({len(item.label)} labels, {item.samples / HOP:.0f} frames)"
            for item in items
            if item.samples and abs(len(item.label) - item.samples / HOP) > TOLERATED
        ]
        if wrong:
            warn(
                self.name,
                f"{len(wrong)} of {len(items)} utterances of {split} have more or fewer labels than frames "
                f"of 10 ms: {listed(wrong)}. Features are cut, or their last frame repeated.",
            )
