"""The split of LibriSpeech's train-clean-100 for phone and speaker probes, by the lists of CPC.

Training and test utterances are listed, of the same 251 speakers (van den Oord et al., 2018); a tenth of the
training list is held out for development, by the shuffle of the public S3PRL.
"""

import gzip
import random
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.recordings import Recording
from s3prl.utility.typed import choice

from ..items import Item
from . import librispeech

FOLDER = "train-clean-100"
SPLITS = ("train", "dev", "test")
LISTS = Path(__file__).parent.parent / "lists_data"
TRAIN_LIST, TEST_LIST = LISTS / "cpc_librispeech_train.txt.gz", LISTS / "cpc_librispeech_test.txt.gz"
NOWHERE = "(libri_root is null)"  # in paths of recordings that only have to have a name
SEED = 1337  # of the published shuffle


def cpc_ids(split: str, train_list: Path | None = None, test_list: Path | None = None) -> list[str]:
    """The utterance ids of "train", "dev" or "test", in the order of the original.

    Args:
        train_list, test_list: files with an id in every line, .gz or plain; None takes those of CPC. "train"
            and "dev" are parts of the first one, 90 % and 10 %.

    Raises:
        UserError: there is no such split or list, or a list is empty.
    """
    if choice(split, SPLITS, "The split") == "test":
        return read_ids(test_list or TEST_LIST)
    ids = read_ids(train_list or TRAIN_LIST)
    random.Random(SEED).shuffle(ids)
    kept = int(len(ids) * 0.9)
    return ids[:kept] if split == "train" else ids[kept:]


@dataclass(kw_only=True)
class CpcSettings:
    """The fields of a config that say where train-clean-100 is, and how it is split."""

    libri_root: str | None = None  # null where no recording is read, as with -u ready_features
    split_path: str | None = None  # folder of train_split.txt and test_split.txt; null takes the lists of CPC
    bucket_file: str | None = None  # folder of the tables of lengths; null keeps them in the user's cache

    def ids(self, split: str, launch_dir: str | None) -> list[str]:
        """The utterances of a split.

        Args:
            launch_dir: where the experiment was started first; relative paths count from there.

        Raises:
            UserError: see `cpc_ids`.
        """
        if self.split_path is None:
            return cpc_ids(split)
        folder = find_path(self.split_path, launch_dir)
        return cpc_ids(split, folder / "train_split.txt", folder / "test_split.txt")

    def check(self, splits: Iterable[str], launch_dir: str | None, config: str) -> None:
        """Find a missing corpus or list.

        Args:
            config: of the task's miniature, for messages.

        Raises:
            UserError: the first one.
        """
        if self.libri_root is not None:
            librispeech.check_folder(find_path(self.libri_root, launch_dir), FOLDER, config=config)
        for split in splits:
            self.ids(split, launch_dir)

    def recordings(self, split: str, launch_dir: str | None) -> list[Item]:
        """The utterances of a split without labels, the longest first; unreadable ones have no length.

        Raises:
            UserError: see `ids`.
        """
        if self.libri_root is None:
            return [
                Item(name, Recording(f"{NOWHERE}/{name}.flac"), None) for name in self.ids(split, launch_dir)
            ]
        tables = None if self.bucket_file is None else find_path(self.bucket_file, launch_dir)
        root = find_path(self.libri_root, launch_dir)
        return librispeech.named(root, FOLDER, self.ids(split, launch_dir), tables)


def read_ids(path: Path) -> list[str]:
    """The ids of a list, in its order.

    Raises:
        UserError: there is no such file, it is no list, or it is empty.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        ids = content.decode("utf-8").split()
    except FileNotFoundError:
        raise UserError(
            f"There is no list of utterances {path.absolute()}. Correct its folder in the config; without "
            "one, the lists of CPC for train-clean-100 are taken."
        ) from None
    except (gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a list of utterance ids, one in every line ({error}).") from error
    if not ids:
        raise UserError(f"{path} is empty. It should have an utterance id in every line.")
    return ids
