"""Phone labels every 10 ms from the files that hold them: CPC's labels, TextGrids, times of phones.

Found in a folder, the first of these, or named directly:

    converted_aligned_phones.txt (also .txt.gz, .zip)   1-2-0003 0 0 14 14 14 7 ...
    **/<utterance>.TextGrid                             of the Montreal Forced Aligner
    *.tsv                                               utterance, tier (phone), start, end, label

`phones.txt` beside the first gives the names of its classes, one a line.
"""

import csv
import gzip
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO

import numpy as np

from s3prl.utility.errors import UserError, first_line
from s3prl.utility.phones import ARPABET, NOISE, SILENCE, frames_in, labels_of_frames, without_stress
from s3prl.utility.progress import followed
from s3prl.utility.textgrids import Segments, read_tier, textgrids_below

CONVERTED = "converted_aligned_phones"
NAMES = "phones.txt"
DOWNLOAD_PAGE = "the folder data/cpc_phone of the versions of 2020 and 2021 of https://github.com/s3prl/s3prl"
MOST_CLASSES = 2**15


@dataclass(frozen=True)
class Alignment:
    """Labels as their files have them.

    Attributes:
        path: the file or folder.
        phones: what the numbers mean.
        frames: utterance -> int16 [labels], one for every 10 ms; -100 does not count.
        numbered: the files have numbers, so that `phones` are the classes.
    """

    path: Path
    phones: list[str]
    frames: dict[str, np.ndarray]
    numbered: bool = False


def read_alignment(path: Path, utterances: Collection[str] | None = None) -> Alignment:
    """The labels in a file or folder; see the head of this module.

    Args:
        utterances: those that are needed, where each has a file of its own; None reads all.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    kind, path = find_labels(path)
    if kind == "TextGrid":
        return _segments(path, _read_textgrids(path, utterances))
    if kind == "tsv":
        return _segments(path, _read_tables(path))
    frames = _read_numbers(path)
    names = path.parent / NAMES
    if names.is_file():
        phones = names.read_text(encoding="utf-8").split()
        if len(set(phones)) < len(phones):
            raise UserError(
                f"{names} names a class twice. It needs one name in a line, in the order of the labels."
            )
    else:
        phones = [str(number) for number in range(1 + max(int(row.max()) for row in frames.values()))]
    _check_range(path, frames, phones, names)
    return Alignment(path, phones, frames, numbered=True)


def find_labels(path: Path) -> tuple[str, Path]:
    """What kind of labels a path has ("numbers", "TextGrid" or "tsv"), and the file or folder with them.

    Raises:
        UserError: there are none.
    """
    if path.is_file():
        kinds = {".tsv": "tsv", ".textgrid": "TextGrid"}
        return kinds.get(path.suffix.lower(), "numbers"), path
    if path.is_dir():
        for suffix in (".txt", ".txt.gz", ".zip"):
            if (path / f"{CONVERTED}{suffix}").is_file():
                return "numbers", path / f"{CONVERTED}{suffix}"
        if next(textgrids_below(path), None):
            return "TextGrid", path
        if next(path.glob("*.tsv"), None):
            return "tsv", path
    found = "It holds no labels." if path.is_dir() else "It does not exist."
    raise UserError(
        f"Phone labels were looked for in {path.absolute()}. {found} Get {CONVERTED}.zip from "
        f"{DOWNLOAD_PAGE} and set downstream_expert.datarc.phone_path to its folder; or to a folder of "
        "TextGrids of the Montreal Forced Aligner."
    )


def classes_of(alignment: Alignment, phone_set: Path | None = None) -> list[str]:
    """The classes of phones: those of a file, else of the numbers, else ARPAbet, else the phones themselves.

    Raises:
        UserError: the file is not there, or it repeats a phone.
    """
    if phone_set is not None:
        return list(dict.fromkeys(_mapping(phone_set).values()))
    if alignment.numbered:
        return alignment.phones
    found = {without_stress(phone) for phone in alignment.phones}
    return list(ARPABET) if found <= set(ARPABET) else sorted(found)


def class_numbers(alignment: Alignment, classes: list[str], phone_set: Path | None = None) -> np.ndarray:
    """The class of each of an alignment's phones: [phones], -1 where it is none of `classes`.

    Raises:
        UserError: see `classes_of`.
    """
    mapping = _mapping(phone_set) if phone_set is not None else {}
    index = {name: number for number, name in enumerate(classes)}
    names = [mapping.get(phone, phone) for phone in alignment.phones]
    plain = [without_stress(name) for name in names]
    for name in (SILENCE, NOISE):  # the aligner writes them in small letters
        index.setdefault(name, index.get(name.lower(), -1))
    return np.array(
        [index.get(one, index.get(two, -1)) for one, two in zip(names, plain, strict=True)], np.int16
    )


def _mapping(phone_set: Path) -> dict[str, str]:
    """Phone -> class; a line of the file is a class and other phones that count as it: `AH AH0 AH1 AH2`."""
    if not phone_set.is_file():
        raise UserError(
            f"There is no phone set {phone_set.absolute()}. Correct downstream_expert.datarc.phone_set."
        )
    mapping: dict[str, str] = {}
    for number, line in enumerate(phone_set.read_text(encoding="utf-8").splitlines(), start=1):
        for phone in line.split():
            if phone in mapping:
                raise UserError(f"{phone_set}, line {number}: the phone {phone} is there a second time.")
            mapping[phone] = line.split()[0]
    return mapping


def _read_numbers(path: Path) -> dict[str, np.ndarray]:
    """Lines `<utterance> <number> <number> ...`: utterance -> int16 [numbers]."""
    frames: dict[str, np.ndarray] = {}
    try:
        with _opened(path) as file, warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # how NumPy tells of text that is no number
            for number, line in enumerate(file, start=1):
                name, _, labels = line.decode("utf-8").strip().partition(" ")
                if not labels:
                    continue
                if name in frames:
                    raise UserError(f"{path}, line {number}: {name} is there a second time.")
                frames[name] = _numbers(path, number, labels)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, UnicodeDecodeError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read: {first_line(error)}. Get it anew from {DOWNLOAD_PAGE}."
        ) from error
    if not frames:
        raise UserError(f"{path} has no labels. Its lines should be `<utterance> <label> <label> ...`.")
    return frames


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path)
    if path.suffix != ".zip":
        return path.open("rb")
    archive = zipfile.ZipFile(path)
    texts = [name for name in archive.namelist() if name.endswith(".txt") and not name.startswith("__MACOSX")]
    if len(texts) != 1:
        raise UserError(f"{path} should hold one text file, {CONVERTED}.txt; it holds {len(texts)}.")
    return archive.open(texts[0])


def _numbers(path: Path, line: int, text: str) -> np.ndarray:
    try:
        labels = np.fromstring(text, dtype=np.int32, sep=" ")
    except (DeprecationWarning, ValueError):
        raise UserError(
            f"{path}, line {line}: the labels behind the utterance must be whole numbers."
        ) from None
    for extreme in (labels.min(), labels.max()):
        if not 0 <= extreme < MOST_CLASSES:
            raise UserError(f"{path}, line {line}: the label {extreme} is no number of a class.")
    return labels.astype(np.int16)


def _check_range(path: Path, frames: Mapping[str, np.ndarray], phones: list[str], names: Path) -> None:
    for name, labels in frames.items():
        if labels.max() >= len(phones):
            raise UserError(
                f"{path}: {name} has the label {labels.max()}, but {names} names {len(phones)} classes, "
                f"0 to {len(phones) - 1}. The two files do not belong together."
            )


def _segments(path: Path, utterances: Iterable[tuple[str, Segments]]) -> Alignment:
    """An alignment from the phone times of utterances; frames between phones are silent."""
    index: dict[str, int] = {SILENCE: 0}
    frames: dict[str, np.ndarray] = {}
    for name, segments in utterances:
        if name in frames:
            raise UserError(f"{path}: {name} is there a second time.")
        if not segments:
            continue
        starts, ends, phones = zip(*sorted(segments), strict=True)
        labels = [index.setdefault(phone, len(index)) for phone in phones]
        frames[name] = labels_of_frames(starts, ends, labels, frames_in(ends[-1]), index[SILENCE])
    if not frames:
        raise UserError(f"{path} has no phone of any utterance that is asked for.")
    return Alignment(path, list(index), frames)


def _read_tables(path: Path) -> Iterator[tuple[str, Segments]]:
    """Of every .tsv file of a folder, or of the one."""
    for table in sorted(path.glob("*.tsv")) if path.is_dir() else [path]:
        with table.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            try:
                phones = [row for row in rows if row["tier"] == "phone"]
                for name, group in groupby(phones, key=lambda row: row["utterance"]):
                    yield name, [(float(row["start"]), float(row["end"]), row["label"]) for row in group]
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f"{table} must have the columns utterance, tier, start, end and label, times in seconds "
                    f"({error!r})."
                ) from error


def _read_textgrids(path: Path, utterances: Collection[str] | None) -> Iterator[tuple[str, Segments]]:
    files = sorted(file for file in textgrids_below(path) if utterances is None or file.stem in utterances)
    for file in followed(files, len(files), "TextGrids", "files"):
        yield file.stem, read_tier(file, "phone")
