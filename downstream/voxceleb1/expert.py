"""The SID task of SUPERB (Yang et al., 2021): who speaks, of the 1251 speakers of VoxCeleb1; accuracy."""

from dataclasses import dataclass, replace
from pathlib import Path

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.paths import find_path
from s3prl.utility.typed import choice

from ..common import lists
from ..common.configured import ConfiguredUtteranceTask
from ..common.corpora import voxceleb1
from ..common.dataset import LoaderSettings, Size
from ..common.items import Crop, Item
from ..common.task import warn

SPLITS = tuple(voxceleb1.PARTS)
NAME = "voxceleb1"


@dataclass(kw_only=True)
class Settings(LoaderSettings):
    """`datarc` of a SID config."""

    file_path: str
    meta_data: str | None = None
    max_timestep: Size | None = 128000
    crop_places: Size | None = 4
    train_batch_size: Size = 8
    lists: dict[str, str] | None = None  # split -> CSV or JSONL, in place of the corpus

    def split_list(self, root: Path, launch_dir: str | None) -> voxceleb1.SplitList:
        """The identification split.

        Raises:
            UserError: it can neither be found nor downloaded, or is no such list.
        """
        given = find_path(self.meta_data, launch_dir) if self.meta_data else None
        return voxceleb1.read_list(voxceleb1.find_list(given, root, lambda text: warn(NAME, text)))


class DownstreamExpert(ConfiguredUtteranceTask):
    """VoxCeleb1 by its identification split; training hears at most 8 seconds of a recording."""

    name = NAME
    splits = SPLITS
    settings_kind = Settings
    labels = voxceleb1.CLASSES

    @classmethod
    def check_corpus(cls, settings: Settings, splits: list[str], launch_dir: str | None) -> None:
        """Find a missing corpus and a wrong list."""
        root = find_path(settings.file_path, launch_dir)
        splits = [choice(split, SPLITS, "The split") for split in splits]
        voxceleb1.check_root(root)
        split_list = settings.split_list(root, launch_dir)
        for split in splits:
            voxceleb1.check_split(split_list, split)

    def items(self, split: str) -> list[Item]:
        """The recordings of "train", "dev" or "test"."""
        if self.settings.lists is not None:
            found = lists.items(self.list_of(split))
        else:
            choice(split, SPLITS, "The split")
            root = self.find(self.settings.file_path)
            found = voxceleb1.items(root, self.settings.split_list(root, self.launch_dir), split)
        longest = self.settings.max_timestep
        return found if longest is None or split != self.train_split else self._cropped(found, longest)

    def _cropped(self, items: list[Item], longest: int) -> list[Item]:
        """The items, with crops of those that are longer; batches stay random, as in the original."""
        crop = Crop(longest / SAMPLE_RATE, self.settings.crop_places)
        measured = lists.with_lengths(items, self.train_split)
        return [
            replace(item, crop=crop) if known.samples > longest else item
            for item, known in zip(items, measured, strict=True)
        ]
