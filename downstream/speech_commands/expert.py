"""The KS task of SUPERB (Yang et al., 2021): ten keywords, other words and silence, scored by accuracy."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from s3prl.utility.paths import find_path
from s3prl.utility.speech_commands import CLASSES
from s3prl.utility.typed import at_least, choice

from ..common import lists
from ..common.configured import ConfiguredUtteranceTask
from ..common.corpora import speech_commands
from ..common.dataset import Size
from ..common.items import Item
from ..common.task import warn

SPLITS = ("train", "dev", "test")


@dataclass
class Settings:
    """`datarc` of a KS config."""

    speech_commands_root: str
    speech_commands_test_root: str
    batch_size: Size = 32
    num_workers: Annotated[int, at_least(0)] = 8
    silence_crops: Size | None = 600
    lists: dict[str, str] | None = None  # split -> CSV or JSONL, in place of the corpus

    @property
    def train_batch_size(self) -> int:
        """Of LoaderSettings; the public config has one field for both."""
        return self.batch_size

    eval_batch_size = train_batch_size

    def root(self, split: str) -> str:
        """The folder of a split.

        Raises:
            UserError: there is no such split.
        """
        testing = choice(split, SPLITS, "The split") == "test"
        return self.speech_commands_test_root if testing else self.speech_commands_root


class DownstreamExpert(ConfiguredUtteranceTask):
    """Speech Commands, whose classes come equally often in training and on the development set."""

    name = "speech_commands"
    splits = SPLITS
    settings_kind = Settings
    labels = CLASSES
    balanced = drop_last = True
    balanced_evaluation = ("dev",)

    @classmethod
    def check_corpus(cls, settings: Settings, splits: list[str], launch_dir: str | None) -> None:
        """Find missing folders."""
        for split in splits:
            speech_commands.check_folder(find_path(settings.root(split), launch_dir), split)

    def items(self, split: str) -> list[Item]:
        """The recordings of "train", "dev" or "test"."""
        if self.settings.lists is not None:
            return lists.items(self.list_of(split))
        root, crops = self.find(self.settings.root(split)), self.settings.silence_crops
        return speech_commands.items(root, split, crops, self._warn_once)

    @cached_property
    def _said(self) -> set[str]:
        return set()

    def _warn_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            warn(self.name, message)
