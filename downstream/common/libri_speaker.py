"""Speaker probes on LibriSpeech's train-clean-100: which of 251 speakers is heard, by the split of CPC."""

from dataclasses import dataclass, replace
from typing import Annotated

from s3prl.utility.errors import UserError
from s3prl.utility.typed import at_least

from . import lists
from .configured import Configured
from .corpora.cpc_split import FOLDER, SPLITS, CpcSettings
from .dataset import LoaderSettings, Size
from .items import Item
from .task import Task


@dataclass(kw_only=True)
class SpeakerSettings(CpcSettings, LoaderSettings):
    """`datarc` of a speaker probe."""

    train_batch_size: Size = 16
    eval_batch_size: Size = 16
    num_workers: Annotated[int, at_least(0)] = 8
    lists: dict[str, str] | None = None  # split -> CSV or JSONL, in place of the corpus


class SpeakerTask(Configured, Task):
    """The utterances of the lists with their speakers; a task adds its shape.

    As in `class DownstreamExpert(SpeakerTask, ConfiguredUtteranceTask)`.
    """

    name = log_prefix = "libri_speaker"
    splits = SPLITS
    best_checkpoints = ("dev-best.ckpt", "best-states-dev.ckpt")  # the second as in the public S3PRL
    settings_kind = SpeakerSettings
    settings: SpeakerSettings

    @property
    def has_recordings(self) -> bool:
        """Of Task."""
        return self.settings.libri_root is not None

    @classmethod
    def check_corpus(cls, settings: SpeakerSettings, splits: list[str], launch_dir: str | None) -> None:
        """Find a missing corpus or list."""
        settings.check(splits, launch_dir, cls.mini_config())

    def training_labels(self) -> list[str]:
        """The speakers of the training list, sorted."""
        if self.settings.lists is not None:
            return sorted({item.label for item in self.read(self.train_split)})
        listed = [name for split in ("train", "dev") for name in self.settings.ids(split, self.launch_dir)]
        return sorted({speaker_of(name) for name in listed})

    def items(self, split: str) -> list[Item]:
        """The utterances of "train", "dev" or "test" with their speakers, the longest first."""
        if self.settings.lists is not None:
            return lists.with_lengths(lists.items(self.list_of(split)), split)
        found = self.settings.recordings(split, self.launch_dir)
        if self.settings.libri_root is not None and not any(item.samples for item in found):
            first = self.settings.ids(split, self.launch_dir)[0]
            raise UserError(
                f"None of the {len(found):,} utterances of the split '{split}' is in "
                f"{self.find(self.settings.libri_root) / FOLDER}; the first is {first}. A corpus that is not "
                "LibriSpeech needs lists of its own: set downstream_expert.datarc.split_path to the folder "
                "of train_split.txt and test_split.txt."
            )
        return [replace(item, label=speaker_of(item.name)) for item in found]


def speaker_of(utterance: str) -> str:
    """`103` of `103-1240-0000`."""
    return utterance.partition("-")[0]
