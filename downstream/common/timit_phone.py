"""Phone probes on TIMIT: its phones folded to 39, its core test set, and the other test speakers as dev."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from s3prl.utility.errors import UserError
from s3prl.utility.lengths import load_lengths
from s3prl.utility.paths import find_path

from .corpora import timit
from .items import Item
from .lists import with_lengths
from .phone import PhoneSettings, PhoneTask
from .phone_labels import Alignment


@dataclass(kw_only=True)
class TimitSettings(PhoneSettings):
    """`datarc` of a phone probe on TIMIT; without a `phone_path` the labels are those of the .PHN files."""

    timit_root: str
    bucket_file: str | None = None  # folder of the tables of lengths; null keeps them in the user's cache
    split_path: str | None = None  # folder of train_split.txt and test_split.txt; null takes TIMIT's lists

    def lists_of(self, launch_dir: str | None) -> Path | None:
        """The folder of `split_path`."""
        return None if self.split_path is None else find_path(self.split_path, launch_dir)


class TimitPhoneTask(PhoneTask):
    """The SI and SX sentences of TIMIT with a phone for every 10 ms."""

    name = log_prefix = "timit_phone"
    splits = tuple(timit.FOLDERS)
    settings_kind = TimitSettings
    settings: TimitSettings

    @classmethod
    def check_corpus(cls, settings: TimitSettings, splits: list[str], launch_dir: str | None) -> None:
        """Of PhoneTask; also the folders of recordings and the lists."""
        for split in splits:
            timit.find_folder(find_path(settings.timit_root, launch_dir), split, cls.mini_config())
            timit.split_ids(split, settings.lists_of(launch_dir))
        super().check_corpus(settings, splits, launch_dir)

    def recordings(self, split: str) -> list[Item]:
        """The utterances of "train", "dev" or "test", the longest first."""
        found = self._found(split)
        if self.settings.bucket_file is None:
            found = with_lengths(found, split)
        else:
            root = self.find(self.settings.timit_root)
            folder = timit.find_folder(root, split).name
            lengths = load_lengths(root, folder, self.find(self.settings.bucket_file), ".wav")
            names = [Path(item.recording.path).relative_to(root).as_posix() for item in found]
            found = [
                replace(item, samples=lengths.get(name, 0)) for item, name in zip(found, names, strict=True)
            ]
        return sorted(found, key=lambda item: (-item.samples, item.name))

    def utterances(self) -> Collection[str]:
        """The names in all splits."""
        lists = self.settings.lists_of(self.launch_dir)
        return {name for split in timit.FOLDERS for name in timit.split_ids(split, lists)}

    def alignment(self) -> Alignment:
        """The labels of `phone_path`, or of the .PHN files."""
        if self.settings.phone_path is not None:
            return super().alignment()
        found = []
        for split in timit.FOLDERS:
            with suppress(UserError):  # of a split that is not used; `recordings` tells it of the others
                found += self._found(split)
        frames = {item.name: timit.read_phones(item.label) for item in found}
        return Alignment(self.find(self.settings.timit_root), list(timit.PHONES), frames, numbered=True)

    def _found(self, split: str) -> list[Item]:
        root = self.find(self.settings.timit_root)
        return timit.items(root, split, self.settings.lists_of(self.launch_dir))
