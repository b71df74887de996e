"""The layout of Speech Commands v0.01 and v0.02 (Warden, 2018), with the 12 classes of its official test set.

Training folder: `<word>/<speaker>_nohash_<number>.wav` and `_background_noise_/<noise>.wav`. The test set is
a folder of its own, `<class>/<name>.wav`. As in SUPERB, every recording is heard 3 dB softer.
"""

from collections.abc import Callable
from pathlib import Path

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.paths import files_below
from s3prl.utility.recordings import Recording
from s3prl.utility.speech_commands import CLASSES, KEYWORDS, NOISES, SILENCE, SPEAKER_END, UNKNOWN, split_of

from ..items import Crop, Item

DOWNLOADS = "http://download.tensorflow.org/data"
ARCHIVES = {False: "speech_commands_v0.01.tar.gz", True: "speech_commands_test_set_v0.01.tar.gz"}
GAIN = -3.0  # dB
SILENCE_SECONDS = 1.0  # what is heard of a background noise

Warn = Callable[[str], None]


def items(root: Path, split: str, silence_crops: int | None, warn: Warn) -> list[Item]:
    """The recordings of a split with their classes, by folder and file name.

    Args:
        root: the training folder for "train" and "dev", the folder of the test set for "test".
        silence_crops: from how many places of a background noise a second is heard, in "train" and "dev";
            None takes any place.
        warn: is told of files and folders that do not belong, once for each kind.

    Raises:
        UserError: the corpus is not there, or incomplete.
    """
    check_folder(root, split)
    files = _recordings(root, warn)
    if split == "test":
        _warn_of_other_classes(root, files, warn)
        return [_item(path, path.parent.name) for path in files if path.parent.name in CLASSES]
    spoken = [path for path in files if path.parent.name != NOISES]
    if unnamed := [path for path in spoken if SPEAKER_END not in path.name]:
        warn(
            f"{_count(unnamed)} of {root} without '{SPEAKER_END}' in the name (the first: {unnamed[0]}): "
            "the whole name counts as the speaker's and decides the split."
        )
    found = [
        _item(path, path.parent.name if path.parent.name in CLASSES else UNKNOWN)
        for path in spoken
        if split_of(path.name) == split
    ]
    crop = Crop(SILENCE_SECONDS, silence_crops)
    return found + [_item(path, SILENCE, crop) for path in files if path.parent.name == NOISES]


def check_folder(root: Path, split: str) -> None:
    """Raise UserError, with the ways to get the data, when the folder of a split is missing or incomplete."""
    testing = split == "test"
    needed = CLASSES if testing else (*KEYWORDS, NOISES)
    missing = [name for name in needed if not (root / name).is_dir()]
    if not missing:
        return
    if not root.is_dir():
        found = "That folder does not exist."
    else:
        found = f"It lacks the folders {', '.join(missing)}. Is the archive fully extracted?"
    what, field = ("test set", "speech_commands_test_root") if testing else ("corpus", "speech_commands_root")
    raise UserError(
        f"The {what} of Speech Commands was looked for in {root.absolute()}. {found} "
        f"Download {DOWNLOADS}/{ARCHIVES[testing]}, extract it into a folder of its own, and set "
        f"downstream_expert.datarc.{field} to that folder (or the variable S3PRL_CORPORA to the one above "
        f"it); or make the miniature corpus with `{command_line('corpora')} speech_commands --output "
        "data/mini` and choose `-c downstream/speech_commands/mini.yaml`."
    )


def _recordings(root: Path, warn: Warn) -> list[Path]:
    """All .wav files of the class folders, sorted; those elsewhere, and folders without any, are told."""
    files = sorted(path for path in files_below(root) if path.suffix == ".wav")
    found = [path for path in files if path.parent.parent == root]
    if elsewhere := [path for path in files if path.parent.parent != root]:
        warn(
            f"{_count(elsewhere)} of {root} not in a class folder (the first: {elsewhere[0]}): left out. "
            "The layout is <class>/<recording>.wav."
        )
    used = {path.parent for path in found}
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if empty := [folder for folder in folders if folder not in used]:
        folder_word = "folder" if len(empty) == 1 else "folders"
        warn(f"{len(empty)} {folder_word} of {root} without a .wav file (the first: {empty[0]}).")
    return found


def _warn_of_other_classes(root: Path, files: list[Path], warn: Warn) -> None:
    if other := [path for path in files if path.parent.name not in CLASSES]:
        warn(
            f"{_count(other)} of {root} in a folder that is no class (the first: {other[0]}): left out. "
            f"The classes are {', '.join(CLASSES)}."
        )


def _count(paths: list[Path]) -> str:
    return f"{len(paths)} recording{'s' if len(paths) != 1 else ''}"


def _item(path: Path, label: str, crop: Crop | None = None) -> Item:
    return Item(f"{path.parent.name}-{path.name}", Recording(path, gain=GAIN), label, crop=crop)
