"""The layout of TIMIT (Garofolo et al., 1993): recordings and, sample by sample, which phone is heard.

In TRAIN and TEST lie `DR<1-8>/<speaker>/<sentence>.WAV` (NIST SPHERE, or converted to RIFF) and beside it
`.PHN` with lines `<first sample> <sample behind the last> <phone>`. Names may be in lower case, and a
recording may be called `.WAV.wav`, as in converted copies. An utterance is called as its files are:
DR1-FCJF0-SI648.
"""

from pathlib import Path

import numpy as np

from s3prl.utility.commands import command_line
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.paths import files_below
from s3prl.utility.phones import HOP, RATE, frames_in, labels_of_frames
from s3prl.utility.recordings import Recording
from s3prl.utility.timit import CORE_TEST_SPEAKERS
from s3prl.utility.typed import choice

from ..frame import IGNORED
from ..items import Item
from .cpc_split import LISTS as PUBLISHED
from .cpc_split import read_ids

DOWNLOAD_PAGE = "https://catalog.ldc.upenn.edu/LDC93S1"
FOLDERS = {"train": "TRAIN", "dev": "TEST", "test": "TEST"}
LISTS = {"TRAIN": "train_split.txt", "TEST": "test_split.txt"}
OFFICIAL_LISTS = {"TRAIN": PUBLISHED / "timit_train.txt.gz", "TEST": PUBLISHED / "timit_test.txt.gz"}

# Lee and Hon (1989): the 39 phones that are scored, and those of TIMIT's 61 that each stands for.
_FOLDED = {
    **{"aa": "aa ao", "ae": "ae", "ah": "ah ax ax-h", "aw": "aw", "ay": "ay", "b": "b", "ch": "ch", "d": "d"},
    **{"dh": "dh", "dx": "dx", "eh": "eh", "er": "er axr", "ey": "ey", "f": "f", "g": "g", "hh": "hh hv"},
    **{"ih": "ih ix", "iy": "iy", "jh": "jh", "k": "k", "l": "l el", "m": "m em", "n": "n en nx"},
    **{"ng": "ng eng", "ow": "ow", "oy": "oy", "p": "p", "r": "r", "s": "s", "sh": "sh zh"},
    **{"sil": "h# pau epi pcl tcl kcl bcl dcl gcl", "t": "t", "th": "th", "uh": "uh", "uw": "uw ux"},
    **{"v": "v", "w": "w", "y": "y", "z": "z"},
}
PHONES = tuple(_FOLDED)  # in the order of a model's outputs
LABELS = {name: label for label, names in enumerate(_FOLDED.values()) for name in names.split()}
LABELS["q"] = IGNORED  # a glottal stop is left out


def items(root: Path, split: str, lists: Path | None = None) -> list[Item]:
    """The utterances of a split, in the order of the list; none of them is SA. A label is the path of a .PHN.

    Args:
        root: the folder that holds TRAIN and TEST.
        split: "train" is TRAIN, "test" the 24 core test speakers of TEST, "dev" its other speakers.
        lists: a folder with train_split.txt and test_split.txt, the utterances of TRAIN and TEST; None takes
            those of the real corpus.

    Raises:
        UserError: the corpus is missing or incomplete.
    """
    names = split_ids(split, lists)
    folder = FOLDERS[split]
    place = find_folder(root, split)
    files = {path.relative_to(place).as_posix().upper(): path for path in sorted(files_below(place))}
    found = []
    for name in names:
        stem = name.replace("-", "/").upper()
        audio = files.get(f"{stem}.WAV") or files.get(f"{stem}.WAV.WAV")
        phones = files.get(f"{stem}.PHN")
        if audio or phones:  # which of the two is missing is told when it is read
            audio, phones = audio or place / f"{stem}.WAV", phones or place / f"{stem}.PHN"
            found.append(Item(name, Recording(audio), phones))
    if len(found) < len(names):
        there = {item.name for item in found}
        missing = [name for name in names if name not in there]
        raise UserError(
            f"{len(missing)} of the {len(names)} {split} utterances of TIMIT are not in {root.absolute()}; "
            f"the first is {missing[0]} ({folder}/{missing[0].replace('-', '/')}.WAV). Restore them, or set "
            f"downstream_expert.datarc.split_path to a folder with a {LISTS[folder]} of those that there are."
        )
    return found


def split_ids(split: str, lists: Path | None = None) -> list[str]:
    """The utterances of a split, without the two SA sentences that every speaker reads.

    Args:
        lists: see `items`.

    Raises:
        UserError: no such split or list, or the list has nothing for this split.
    """
    folder = FOLDERS[choice(split, FOLDERS, "The split")]
    path = OFFICIAL_LISTS[folder] if lists is None else lists / LISTS[folder]
    if not path.is_file():
        raise UserError(
            f"There is no list {path.absolute()} (downstream_expert.datarc.split_path). With "
            "`split_path: null`, TIMIT's own lists are taken."
        )
    core = {f"{region}-{name}" for region, names in CORE_TEST_SPEAKERS.items() for name in names}
    found = []
    for name in read_ids(path):
        speaker, _, sentence = name.rpartition("-")
        if speaker.count("-") != 1:
            raise UserError(f"{path}: '{name}' is no utterance of TIMIT, such as DR1-FCJF0-SI648.")
        wanted = folder == "TRAIN" or (speaker in core) == (split == "test")
        if wanted and not sentence.startswith("SA"):
            found.append(name)
    if not found:
        whose = {"test": " by the core test speakers", "dev": " by others than the core test speakers"}
        raise UserError(f"{path} has no SI or SX sentence{whose.get(split, '')}.")
    return found


def find_folder(root: Path, split: str, config: str = "downstream/timit_phone_linear/mini.yaml") -> Path:
    """The folder TRAIN or TEST of a split, in whatever case.

    Args:
        config: of the task, for the miniature corpus.

    Raises:
        UserError: it is not there; names the ways to get the data.
    """
    name = FOLDERS[choice(split, FOLDERS, "The split")]
    there = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    for folder in there:
        if folder.upper() == name:
            return root / folder
    found = (
        f"It holds: {', '.join(there) or 'no folders'}." if root.is_dir() else "That folder does not exist."
    )
    raise UserError(
        f"TIMIT's folder {name} was looked for in {root.absolute()}. {found} Get the corpus from "
        f"{DOWNLOAD_PAGE} and set downstream_expert.datarc.timit_root to the folder that holds TRAIN and "
        "TEST (or the variable S3PRL_CORPORA to the one above TIMIT); or make the miniature corpus with "
        f"`{command_line('corpora')} timit --output data/mini` and choose `-c {config}`."
    )


def read_phones(path: Path) -> np.ndarray:
    """The phone at the middle of every frame (see utility/phones.py): int16 [frames].

    A label is an index of `PHONES`, or -100 in a glottal stop and where no phone is.

    Raises:
        UserError: the file is missing or wrong.
    """
    try:
        rows = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
        bounds = np.array([(int(start), int(end)) for start, end, _ in rows]) / RATE  # seconds
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Copy TIMIT's .PHN files again.") from error
    except ValueError as error:  # also of a file that is no text
        raise UserError(
            f"{path} has a line that is not `<first sample> <sample behind the last> <phone>` ({error})."
        ) from error
    if not len(bounds) or bounds[-1, 1] * RATE < HOP or (np.diff(bounds[:, 0]) < 0).any():
        raise UserError(f"{path} does not hold the phones of an utterance one after the other.")
    if unknown := next((phone for _, _, phone in rows if phone not in LABELS), None):
        raise UserError(f"{path}: '{unknown}' is none of TIMIT's 61 phones.{nearest(unknown, LABELS)}")
    labels = [LABELS[phone] for _, _, phone in rows]
    return labels_of_frames(bounds[:, 0], bounds[:, 1], labels, frames_in(bounds[-1, 1]), IGNORED)
