"""Phone probes on LibriSpeech's train-clean-100, with the split and the 41 classes of CPC."""

from collections.abc import Collection
from dataclasses import dataclass

from s3prl.utility.paths import find_path

from .corpora import librispeech
from .corpora.cpc_split import FOLDER, SPLITS, listed_ids
from .items import Item
from .phone import PhoneSettings, PhoneTask


@dataclass(kw_only=True)
class LibriSettings(PhoneSettings):
    """`datarc` of a phone probe on LibriSpeech."""

    libri_root: str
    bucket_file: str | None = None  # folder of the tables of lengths; null keeps them in the user's cache
    split_path: str | None = None  # folder of train_split.txt and test_split.txt; null takes the lists of CPC

    def ids(self, split: str, launch_dir: str | None) -> list[str]:
        """The utterances of a split.

        Raises:
            UserError: there is no such split or list.
        """
        return listed_ids(split, self.split_path, launch_dir)


class LibriPhoneTask(PhoneTask):
    """The utterances of the lists, and the labels of `phone_path`."""

    name = log_prefix = "libri_phone"
    splits = SPLITS
    settings_kind = LibriSettings
    settings: LibriSettings

    @classmethod
    def check_corpus(cls, settings: LibriSettings, splits: list[str], launch_dir: str | None) -> None:
        """Of PhoneTask; also the folder of recordings and the lists."""
        root = find_path(settings.libri_root, launch_dir)
        librispeech.check_folder(root, FOLDER, config=cls.mini_config())
        for split in splits:
            settings.ids(split, launch_dir)
        super().check_corpus(settings, splits, launch_dir)

    def recordings(self, split: str) -> list[Item]:
        """The utterances of "train", "dev" or "test", the longest first."""
        tables = self.settings.bucket_file
        names = self.settings.ids(split, self.launch_dir)
        return librispeech.named(
            self.find(self.settings.libri_root), FOLDER, names, None if tables is None else self.find(tables)
        )

    def utterances(self) -> Collection[str]:
        """The names in all splits."""
        return {name for split in SPLITS for name in self.settings.ids(split, self.launch_dir)}
