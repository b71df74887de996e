"""Phone probes on LibriSpeech's train-clean-100, with the split and the 41 classes of CPC."""

from collections.abc import Collection
from dataclasses import dataclass

from .corpora.cpc_split import SPLITS, CpcSettings
from .items import Item
from .phone import PhoneSettings, PhoneTask


@dataclass(kw_only=True)
class LibriSettings(CpcSettings, PhoneSettings):
    """`datarc` of a phone probe on LibriSpeech."""


class LibriPhoneTask(PhoneTask):
    """The utterances of the lists, and the labels of `phone_path`."""

    name = log_prefix = "libri_phone"
    splits = SPLITS
    settings_kind = LibriSettings
    settings: LibriSettings

    @property
    def has_recordings(self) -> bool:
        """Of Task."""
        return self.settings.libri_root is not None

    @classmethod
    def check_corpus(cls, settings: LibriSettings, splits: list[str], launch_dir: str | None) -> None:
        """Of PhoneTask; also the folder of recordings and the lists."""
        settings.check(splits, launch_dir, cls.mini_config())
        super().check_corpus(settings, splits, launch_dir)

    def recordings(self, split: str) -> list[Item]:
        """The utterances of "train", "dev" or "test", the longest first."""
        return self.settings.recordings(split, self.launch_dir)

    def utterances(self) -> Collection[str]:
        """The names in all splits."""
        return {name for split in SPLITS for name in self.settings.ids(split, self.launch_dir)}
