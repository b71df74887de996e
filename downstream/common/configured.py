"""Tasks whose config has the blocks `datarc` and `modelrc`: reading and checking them, lists for a corpus.

`Configured` stands before a shape of the kit, as in `class DownstreamExpert(Configured, SlotsTask)`; two
shapes are ready made. What is left to a task: its settings, what its corpus needs, and its items.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3prl.utility.typed import checked_mapping, typed

from . import lists
from .frame import LABEL_RATE, FrameTask
from .task import MODELRC
from .utterance import UtteranceTask

WHERE = "downstream_expert.datarc"


@dataclass
class Blocks:
    """`downstream_expert` of a config."""

    datarc: dict
    modelrc: dict | None = None


class Configured:
    """The config of a task.

    Attributes:
        settings_kind: the dataclass of `datarc`; its field `lists` (split -> path) may name lists that take
            the place of the corpus.
        columns: what the rows of such lists need besides `path`.
        settings: `datarc`, read; set before the constructor of the shape is called.
    """

    settings_kind: type
    columns: Sequence[str] = ("label",)
    settings: Any

    @classmethod
    def read_config(cls, downstream_expert: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The settings and `modelrc`.

        Raises:
            UserError: a field is unknown or has an impossible value.
        """
        blocks = typed(Blocks, downstream_expert, "downstream_expert")
        settings = typed(cls.settings_kind, blocks.datarc, WHERE)
        return settings, checked_mapping(blocks.modelrc or {}, MODELRC)

    @classmethod
    def check(
        cls, downstream_expert: dict[str, Any], splits: Iterable[str], launch_dir: str | None = None
    ) -> None:
        """Find mistakes of the config and missing files, before any model is built.

        Args:
            splits: those that will be used.
            launch_dir: where the experiment was started first; relative paths count from there.

        Raises:
            UserError: the first mistake found.
        """
        settings, modelrc = cls.read_config(downstream_expert)
        cls.check_model(modelrc)
        cls.check_data(settings, list(splits), launch_dir)

    @classmethod
    def check_data(cls, settings: Any, splits: list[str], launch_dir: str | None) -> None:
        """Find mistakes in the lists of some splits or, without lists, in the corpus.

        Raises:
            UserError: the first mistake found.
        """
        if settings.lists is not None:
            lists.check(settings.lists, splits, cls.columns, launch_dir)
        else:
            cls.check_corpus(settings, splits, launch_dir)

    @classmethod
    def check_corpus(cls, settings: Any, splits: list[str], launch_dir: str | None) -> None:
        """Find what of the corpus is missing.

        Raises:
            UserError: the first thing found.
        """
        raise NotImplementedError(f"{cls.__name__}.check_corpus(settings, splits, launch_dir)")

    @classmethod
    def mini_config(cls) -> str:
        """The config of the task's miniature, for messages."""
        return f"downstream/{cls.__module__.split('.')[-2]}/mini.yaml"

    def list_of(self, split: str) -> Path:
        """The list of a split; raises a UserError where the config names none."""
        return lists.list_of(self.settings.lists, split, self.launch_dir)


class ConfiguredUtteranceTask(Configured, UtteranceTask):
    """One label per utterance.

    Attributes:
        labels: the classes of the corpus, in the order of the outputs; None takes those of the training data,
            as with lists.
    """

    labels: Sequence[str] | None = None

    def __init__(self, upstream_dim: int, downstream_expert: dict, **options: Any) -> None:
        """
        Args:
            upstream_dim: size of a feature frame.
            downstream_expert: the block of that name in the config; config.yaml explains its fields.
            options: of Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        self.settings, modelrc = self.read_config(downstream_expert)
        classes = self.labels if self.settings.lists is None else None
        super().__init__(upstream_dim, classes, self.settings, modelrc, **options)


class ConfiguredFrameTask(Configured, FrameTask):
    """A label for every frame; the classes are those of the training data."""

    def __init__(
        self, upstream_dim: int, upstream_rate: int, downstream_expert: dict, **options: Any
    ) -> None:
        """
        Args:
            upstream_dim, upstream_rate: size of a feature frame, and samples between two.
            downstream_expert: the block of that name in the config; config.yaml explains its fields.
            options: of Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        self.settings, modelrc = self.read_config(downstream_expert)
        label_rate = self.label_rate(upstream_rate)
        super().__init__(upstream_dim, upstream_rate, None, self.settings, modelrc, label_rate, **options)

    def label_rate(self, upstream_rate: int) -> int:
        """Samples between two labels."""
        return LABEL_RATE
