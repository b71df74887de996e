"""The layout of VoxCeleb1 (Nagrani et al., 2017) and its identification split.

`<folder>/wav/<speaker>/<video>/<number>.wav` in folders of any name, officially dev and test, and a list with
lines `<1|2|3> <speaker>/<video>/<number>.wav`, which are for training, development and testing. The trials of
speaker verification are in voxceleb1_trials.py.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from s3prl.utility.commands import command_line
from s3prl.utility.download import DownloadError, download, hub_dir
from s3prl.utility.errors import UserError
from s3prl.utility.files import write_atomically
from s3prl.utility.paths import files_below
from s3prl.utility.recordings import Recording

from ..items import Item

DOWNLOAD_PAGE = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html"
SPLIT_LIST = "iden_split.txt"
SPLIT_LIST_URL = f"https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta/{SPLIT_LIST}"
PARTS = {"train": "1", "dev": "2", "test": "3"}  # as the list numbers them
FIRST_SPEAKER, SPEAKERS = 10001, 1251
CLASSES = [f"id{FIRST_SPEAKER + number}" for number in range(SPEAKERS)]
LINE = re.compile(r"([123])\s+(id\d{5})/([^/\s]+)/([^/\s]+)\.wav")
CHECKED_FILES = 32  # of those that were found in an earlier run
NAMED_FILES = 3  # of the missing ones

Warn = Callable[[str], None]


@dataclass(frozen=True)
class SplitList:
    """An identification split: its file, and the recordings of each part in the order of the file."""

    path: Path
    parts: dict[str, list[str]]


def items(root: Path, split_list: SplitList, split: str) -> list[Item]:
    """The recordings of a split in the order of the list, with their speakers.

    Args:
        root: the folder that holds dev/wav and test/wav.

    Raises:
        UserError: a recording of the split is not there.
    """
    listed = split_list.parts[split]
    found = _found(root, split_list, split)
    if missing := [name for name in listed if name not in found]:
        some = ", ".join(missing[:NAMED_FILES]) + (", …" if len(missing) > NAMED_FILES else "")
        raise UserError(
            f"{len(missing):,} of the {len(listed):,} {split} recordings of {split_list.path} are in no "
            f"{root}/*/wav: {some}. Are all archives of VoxCeleb1 ({DOWNLOAD_PAGE}) extracted, with the "
            "layout dev/wav/id10001/… and test/wav/id10270/…? To use a part of the corpus, set "
            "downstream_expert.datarc.meta_data to a list of that part."
        )
    return [
        Item(
            name.removesuffix(".wav").replace("/", "-"), Recording(root / found[name]), name.partition("/")[0]
        )
        for name in listed
    ]


def check_root(root: Path, task: str = "voxceleb1", folders: Sequence[str] = ()) -> None:
    """Raise UserError, with the ways to get the data, where there is no <root>/<folder>/wav.

    Args:
        task: whose mini.yaml is the way to a miniature.
        folders: that there must be, such as dev; none takes any.
    """
    homes = {folder.parent.name for folder in _wav_folders(root)}
    if homes and homes >= set(folders):
        return
    if root.is_dir():
        there = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
        named = ", ".join(there[:5]) + (", …" if len(there) > 5 else "") or "nothing"
        needed = " and ".join(f"{name}/wav" for name in folders) or "<any>/wav, such as dev/wav and test/wav"
        found = f"It has no folder {needed}; it holds: {named}."
    else:
        found = "That folder does not exist."
    raise UserError(
        f"VoxCeleb1 was looked for in {root.absolute()}. {found} Get it from {DOWNLOAD_PAGE}, extract the "
        "development archive in a folder dev and the test archive in a folder test, and set "
        "downstream_expert.datarc.file_path to the folder above them (or the variable S3PRL_CORPORA to the "
        f"one that holds VoxCeleb1); or make the miniature corpus with `{command_line('corpora')} voxceleb1 "
        f"--output data/mini` and choose `-c downstream/{task}/mini.yaml`."
    )


def find_list(given: Path | None, root: Path, warn: Warn) -> Path:
    """The file of the identification split: `given`, else that of the corpus, else the official download.

    Args:
        warn: is told if `given` does not exist.

    Raises:
        UserError: it cannot be downloaded.
    """
    if given is not None and given.is_file():
        return given
    path = root / SPLIT_LIST
    if not path.is_file():
        try:
            path = download(SPLIT_LIST_URL, name="The identification split of VoxCeleb1")
        except DownloadError as error:
            raise UserError(
                f"{error}\nOr save it as {root / SPLIT_LIST}, or set downstream_expert.datarc.meta_data to "
                "such a file."
            ) from error
    if given is not None:
        warn(f"there is no list {given}; that of {path} is used")
    return path


def read_list(path: Path) -> SplitList:
    """The recordings of each part of a list.

    Raises:
        UserError: a line is no line of such a list, a recording is listed twice, or a speaker has
            recordings for development or testing but none for training (in a list that has some).
    """
    parts: dict[str, list[str]] = {split: [] for split in PARTS}
    split_of = {number: split for split, number in PARTS.items()}
    speakers: dict[str, set[str]] = {split: set() for split in PARTS}
    known, seen = set(CLASSES), set()
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        match = LINE.fullmatch(line.strip())
        if match is None or match[2] not in known:
            raise UserError(
                f"{path}, line {number}: {line.strip()[:80]!r} is not `<1|2|3> <speaker>/<video>/<n>.wav` "
                f"with a speaker from {CLASSES[0]} to {CLASSES[-1]}. The official list is {SPLIT_LIST_URL}."
            )
        name = line.split()[1]
        if name in seen:
            raise UserError(f"{path}, line {number}: {name} is listed a second time. Remove one of the two.")
        seen.add(name)
        parts[split_of[match[1]]].append(name)
        speakers[split_of[match[1]]].add(match[2])
    for split in ("dev", "test"):
        if parts["train"] and (new := sorted(speakers[split] - speakers["train"])):
            raise UserError(
                f"{path} has no training recording (1) of {len(new)} speakers of its {split} part "
                f"({PARTS[split]}): {', '.join(new[:NAMED_FILES])}{', …' if len(new) > NAMED_FILES else ''}. "
                "Nobody can be recognised who was never heard: add some, or remove the others."
            )
    return SplitList(path, parts)


def check_split(split_list: SplitList, split: str) -> None:
    """Raise UserError where a list has no recording of a split."""
    if not split_list.parts[split]:
        raise UserError(
            f"{split_list.path} has no recording of the split '{split}': no line begins with {PARTS[split]}."
        )


def _found(root: Path, split_list: SplitList, split: str) -> dict[str, str]:
    """Recordings of the list that are there: name in the list -> path below the root.

    What a walk through the corpus finds is kept in the user's cache, for this root and this list, and
    believed as long as it has all recordings of the split and some of them are still there.
    """
    key = sha256(f"{root.resolve()}\n".encode() + split_list.path.read_bytes()).hexdigest()[:32]
    table = hub_dir() / "s3prl_cache" / "voxceleb1" / f"{key}.txt"
    listed = split_list.parts[split]
    with suppress(OSError, UnicodeDecodeError, IndexError):  # no table, or a damaged one
        known = _by_name(table.read_text("utf-8").splitlines())
        some = listed[:: max(1, len(listed) // CHECKED_FILES)]
        if all(name in known for name in listed) and all((root / known[name]).is_file() for name in some):
            return known
    wanted = {name for part in split_list.parts.values() for name in part}
    paths = [
        path.relative_to(root).as_posix()
        for folder in _wav_folders(root)
        for path in files_below(folder)
        if path.relative_to(folder).as_posix() in wanted
    ]
    with suppress(OSError):  # not writable: the next run walks again
        table.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(table, lambda file: file.write("\n".join(paths).encode()))
    return _by_name(paths)


def _by_name(paths: list[str]) -> dict[str, str]:
    """By what follows <folder>/wav/; of two files of one name the first counts."""
    return {path.split("/", 2)[2]: path for path in reversed(paths)}


def _wav_folders(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*/wav") if path.is_dir()) if root.is_dir() else []
