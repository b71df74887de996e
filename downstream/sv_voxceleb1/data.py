"""What speaker verification hears of VoxCeleb1: recordings to train on, trials, and their recordings."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Annotated

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.errors import UserError
from s3prl.utility.heard_lengths import heard_lengths
from s3prl.utility.lengths import NAMED_FILES
from s3prl.utility.paths import find_path
from s3prl.utility.recordings import Recording
from s3prl.utility.typed import at_least, choice

from ..common import lists
from ..common.corpora import voxceleb1
from ..common.corpora.voxceleb1_trials import (
    Trial,
    check_trials,
    dev_speakers,
    dev_trials,
    find_trials,
    names_in,
    read_trials,
    recordings_by_speaker,
)
from ..common.dataset import LoaderSettings, Size
from ..common.items import Crop, Item
from ..common.task import warn

NAME = "sv-voxceleb1"
TASK = "sv_voxceleb1"
TRAIN = "train"
FOLDERS = {TRAIN: "dev", "dev": "dev", "test": "test"}  # of the corpus, by split
GAIN = -3.0  # dB


@dataclass
class Trimming:
    """`vad_config`."""

    min_sec: Annotated[int, at_least(0)] = 32000  # samples, whatever the name says


@dataclass(kw_only=True)
class Settings(LoaderSettings):
    """`datarc` of an ASV config."""

    file_path: str
    train_meta_data: str | None = None  # of public configs; without effect there too
    dev_meta_data: str | None = None
    test_meta_data: str | None = None
    max_timestep: Size | None = 128000
    crop_places: Size | None = None
    vad_config: Trimming = field(default_factory=Trimming)
    train_on_dev_speakers: bool = False
    train_batch_size: Size = 10
    lists: dict[str, str] | None = (
        None  # train -> CSV or JSONL, dev and test -> trials, in place of the corpus
    )


class Corpus:
    """VoxCeleb1, or one's own lists."""

    def __init__(self, settings: Settings, launch_dir: str | None = None) -> None:
        """
        Args:
            launch_dir: where the experiment was started first; relative paths count from there.
        """
        self.settings, self.launch_dir = settings, launch_dir
        self.root = find_path(settings.file_path, launch_dir)

    def check(self, split: str) -> None:
        """Find a missing corpus, mistakes in a list, and recordings of trials that are not there.

        Raises:
            UserError: the first mistake found.
        """
        if self.settings.lists is not None and split == TRAIN:
            lists.check(self.settings.lists, [split], ["label"], self.launch_dir)
        elif split == TRAIN:
            voxceleb1.check_root(self.root, TASK, [FOLDERS[split]])
        else:
            self.trials(split)

    def trials(self, split: str) -> list[Trial]:
        """The trials of "dev" or "test", in the order of their list.

        Raises:
            UserError: no such split, no such list, or a recording of it is not there.
        """
        if self.settings.lists is not None:
            path = lists.list_of(self.settings.lists, split, self.launch_dir)
            found = read_trials(path)
            check_trials(found, path.parent, path)
            return found
        folder = FOLDERS[choice(split, FOLDERS, "The split")]
        voxceleb1.check_root(self.root, TASK, [folder])
        path = self._list(split)
        if path is None:
            every = recordings_by_speaker(self.folder(split))
            return dev_trials({name: every[name] for name in dev_speakers(self.root) if name in every})
        found = read_trials(path)
        check_trials(found, self.folder(split), path)
        return found

    def folder(self, split: str) -> Path:
        """The folder from which the paths in the trials of a split count."""
        if self.settings.lists is not None:
            return lists.list_of(self.settings.lists, split, self.launch_dir).parent
        return self.root / FOLDERS[split] / "wav"

    def heard_in(self, split: str, trials: Sequence[Trial]) -> list[Item]:
        """The distinct recordings of trials, labelled with their paths there; the longest first.

        Neighbours are of similar length, so little of a batch is padding.
        """
        folder = self.folder(split)
        items = [Item(utterance(name), _heard(Recording(folder / name)), name) for name in names_in(trials)]
        return sorted(lists.with_lengths(items, split), key=lambda item: (-item.samples, item.name))

    def check_heard(self, split: str, items: Sequence[Item], skip: bool) -> None:
        """Find what cannot be embedded: validation may be hours away.

        Args:
            skip: warn only; an evaluation leaves such recordings out.

        Raises:
            UserError: a recording cannot be read, or holds only silence.
        """
        found = heard_lengths(self.root, [item.recording for item in items], f"{split} without silence")
        silent = [f"{one.path} holds only silence" for one, samples in found.lengths.items() if not samples]
        _tell_unusable([*found.unreadable.values(), *silent], len(items), split, skip)

    def training_items(self, skip_unreadable: bool) -> list[Item]:
        """Recordings whose speakers are learned, by speaker; what is too short without its silence left out.

        Raises:
            UserError: the corpus is missing, or some of it cannot be read.
        """
        if self.settings.lists is None:
            items = self._of_corpus()
        else:
            items = lists.items(lists.list_of(self.settings.lists, TRAIN, self.launch_dir))
            items = [replace(item, recording=_heard(item.recording)) for item in items]
        found = heard_lengths(self.root, [item.recording for item in items], f"{TRAIN} without silence")
        _tell_unusable(list(found.unreadable.values()), len(items), "training", skip_unreadable)
        return self._long_enough(items, found.lengths)

    def _of_corpus(self) -> list[Item]:
        voxceleb1.check_root(self.root, TASK, [FOLDERS[TRAIN]])
        folder = self.folder(TRAIN)
        every = recordings_by_speaker(folder)
        left_out = set() if self.settings.train_on_dev_speakers else self._dev_speakers()
        if not every.keys() - left_out:
            raise UserError(
                f"All {len(every)} speakers of {folder} are for validation: nobody is left to train on."
            )
        return [
            Item(utterance(name), _heard(Recording(folder / name)), speaker)
            for speaker, names in every.items()
            if speaker not in left_out
            for name in names
        ]

    def _dev_speakers(self) -> set[str]:
        path = self._list("dev")
        if path is None:
            return set(dev_speakers(self.root))
        return {PurePosixPath(name).parts[-3:][0] for name in names_in(read_trials(path))}

    def _list(self, split: str) -> Path | None:
        """The list of trials that the config names, else that of the test; None where there is none."""
        name = self.settings.dev_meta_data if split == "dev" else self.settings.test_meta_data
        given = None if name is None else find_path(name, self.launch_dir)
        if split != "dev":
            return find_trials(given, self.root, lambda text: warn(NAME, text))
        if given is None or given.is_file():
            return given
        warn(NAME, f"there is no list {given}; trials over the development speakers are made instead")
        return None

    def _long_enough(self, items: Sequence[Item], lengths: dict[Recording, int]) -> list[Item]:
        """The items that are longer than `min_sec`, with crops of those longer than `max_timestep`."""
        least, longest = self.settings.vad_config.min_sec, self.settings.max_timestep
        crop = None if longest is None else Crop(longest / SAMPLE_RATE, self.settings.crop_places)
        known = [(item, lengths[item.recording]) for item in items if item.recording in lengths]
        found = [
            replace(item, samples=samples, crop=crop if longest is not None and samples > longest else None)
            for item, samples in known
            if samples > least
        ]
        if not found:
            raise UserError(
                f"None of the {len(items):,} training recordings has more than {least:,} samples without its "
                "silence. Lower config.downstream_expert.datarc.vad_config.min_sec."
            )
        if short := len(known) - len(found):
            warn(
                NAME,
                f"{short:,} of {len(items):,} training recordings are left out: without their silence they "
                f"have no more than {least:,} samples (vad_config.min_sec).",
            )
        return found


def utterance(path: str) -> str:
    """What prediction files call a recording: `id10270-x6uYqmx31kE-00001`, without folders and suffix."""
    return PurePosixPath(path).with_suffix("").as_posix().replace("/", "-")


def _heard(recording: Recording) -> Recording:
    """As it is heard in training and in trials: lower by 3 dB, and without its silence."""
    return replace(recording, gain=GAIN, trim=True)


def _tell_unusable(reasons: Sequence[str], total: int, what: str, skip: bool) -> None:
    if not reasons:
        return
    text = "\n  ".join(
        [f"{len(reasons)} of {total} {what} recordings cannot be used:", *reasons[:NAMED_FILES]]
    )
    if not skip:
        raise UserError(f"{text}\nMend or remove them, or add --bad_audio skip to go on without them.")
    warn(NAME, f"{text}\nThey are left out.")
