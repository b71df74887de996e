"""The KS task of SUPERB (Yang et al., 2021): ten keywords, other words and silence, scored by accuracy."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from s3prl.utility.paths import find_path
from s3prl.utility.speech_commands import CLASSES
from s3prl.utility.typed import at_least, choice, typed

from ..common.corpora import speech_commands
from ..common.dataset import LoaderSettings, Size
from ..common.items import Item
from ..common.task import warn
from ..common.utterance import UtteranceTask, check_head

SPLITS = ("train", "dev", "test")
WHERE = "downstream_expert.datarc"


@dataclass
class Settings:
    """`datarc` of a KS config."""

    speech_commands_root: str
    speech_commands_test_root: str
    batch_size: Size = 32
    num_workers: Annotated[int, at_least(0)] = 8
    silence_crops: Size | None = 600

    def root(self, split: str) -> str:
        """The folder of a split.

        Raises:
            UserError: there is no such split.
        """
        testing = choice(split, SPLITS, "The split") == "test"
        return self.speech_commands_test_root if testing else self.speech_commands_root


@dataclass
class Blocks:
    """`downstream_expert` of a KS config."""

    datarc: Settings
    modelrc: dict


class DownstreamExpert(UtteranceTask):
    """Speech Commands, whose classes come equally often in training and on the development set."""

    name = "speech_commands"
    splits = SPLITS
    balanced = drop_last = True
    balanced_evaluation = ("dev",)

    def __init__(
        self,
        upstream_dim: int,
        downstream_expert: dict,
        expdir: str,
        runner: dict | None = None,
        launch_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            upstream_dim: size of a feature frame.
            downstream_expert: the block of that name in the config; config.yaml explains its fields.
            expdir, runner, launch_dir: see Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        blocks = typed(Blocks, downstream_expert, "downstream_expert")
        self.settings = blocks.datarc
        size, workers = self.settings.batch_size, self.settings.num_workers
        super().__init__(
            upstream_dim, CLASSES, LoaderSettings(size, size, workers), blocks.modelrc,
            expdir=expdir, runner=runner, launch_dir=launch_dir,
        )  # fmt: skip
        self._said: set[str] = set()
        self._items: dict[str, list[Item]] = {}  # the corpus has 65,000 files; every evaluation asks for them

    @staticmethod
    def check(downstream_expert: dict, splits: Iterable[str], launch_dir: str | None = None) -> None:
        """Find mistakes of the config and missing folders, before any model is built.

        Args:
            splits: those that will be used.

        Raises:
            UserError: the first mistake found.
        """
        blocks = typed(Blocks, downstream_expert, "downstream_expert")
        check_head(blocks.modelrc)
        for split in splits:
            speech_commands.check_folder(find_path(blocks.datarc.root(split), launch_dir), split)

    def items(self, split: str) -> list[Item]:
        """The recordings of "train", "dev" or "test"."""
        if split not in self._items:
            root, crops = self.find(self.settings.root(split)), self.settings.silence_crops
            self._items[split] = speech_commands.items(root, split, crops, self._warn_once)
        return self._items[split]

    def _warn_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            warn(self.name, message)
