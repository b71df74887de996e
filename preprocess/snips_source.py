"""Audio SNIPS as it is published: annotated sentences, and their recordings in a folder or a zip archive.

The annotations are tables `nlu_annotation/{train,valid,test}`, separated by tabs, with the columns `u_id` and
`intent` and two others: the words, and for each word one of O, B-slot and I-slot. The recordings are
`audio_<Speaker>/snips/<u_id>.mp3`.
"""

import csv
import io
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from s3prl.utility.audio import AudioError, load
from s3prl.utility.errors import UserError
from s3prl.utility.paths import files_below
from s3prl.utility.snips import OUTSIDE, TaggedWord

ANNOTATIONS = "nlu_annotation"
UTTERANCE, INTENT = "u_id", "intent"
_TAG = re.compile(r"O|[BI]-\S+")
_RECORDING = re.compile(r"(?:^|/)audio_(?P<speaker>[^/]+)/snips/(?P<utterance>[^/]+)\.mp3$")


@dataclass(frozen=True)
class Sentence:
    """A row of the annotations; tags are names of slots, or O."""

    utterance: str
    words: tuple[TaggedWord, ...]
    intent: str


def read_sentences(source: Path, split: str) -> list[Sentence]:
    """The sentences of a split, in the order of its table.

    Args:
        source: a folder or zip archive that holds the tables, at any depth.

    Raises:
        UserError: there is no such table, or it is not made as the module's head says.
    """
    name, text = _table(source, split)
    header, *rows = csv.reader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    for needed in (UTTERANCE, INTENT):
        if needed not in header:
            raise UserError(f"{name} has no column '{needed}'. Its first line names: {', '.join(header)}.")
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise UserError(f"{name}, line {number} has {len(row)} cells for {len(header)} columns.")
    words, tags = _columns(name, header, rows)
    utterance, intent = header.index(UTTERANCE), header.index(INTENT)
    found = []
    for number, row in enumerate(rows, start=2):
        said, marked = row[words].split(), row[tags].split()
        if len(said) != len(marked):
            raise UserError(
                f"{name}, line {number} ({row[utterance]}) has {len(said)} words and {len(marked)} tags."
            )
        slots = [tag if tag == OUTSIDE else tag.partition("-")[2] for tag in marked]
        found.append(Sentence(row[utterance], tuple(zip(said, slots, strict=True)), row[intent].strip()))
    return found


def find_recordings(source: Path) -> dict[tuple[str, str], str]:
    """(speaker, u_id) -> the recording's path in the folder or archive `source`.

    Raises:
        UserError: there is none.
    """
    if source.is_dir():
        names: Iterator[str] | Sequence[str] = (
            path.relative_to(source).as_posix() for path in files_below(source)
        )
    else:
        names = _archive(source).namelist()
    matches = [match for name in names if (match := _RECORDING.search(name))]
    if not matches:
        raise UserError(
            f"{source} has no recording audio_<Speaker>/snips/<u_id>.mp3. Give the folder or archive that "
            "holds the folders audio_Aditi, audio_Amy, ... with --audio."
        )
    return {(match["speaker"], match["utterance"]): match.string for match in matches}


def read_recording(source: Path, name: str) -> np.ndarray:
    """A recording of a folder or archive: float32 [samples] at 16 kHz.

    Raises:
        AudioError: it is missing or damaged.
    """
    if source.is_dir():
        return load(source / name)
    try:
        content = _archive(source).read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise AudioError(
            f"{name} of {source} is damaged ({error}). Copy or download the archive again."
        ) from error
    with tempfile.NamedTemporaryFile(suffix=Path(name).suffix) as copy:
        copy.write(content)
        copy.flush()
        try:
            return load(copy.name)
        except AudioError as error:
            raise AudioError(str(error).replace(copy.name, f"{name} of {source}")) from error


def _table(source: Path, split: str) -> tuple[str, str]:
    """How to name the table of a split in an error, and its text."""
    wanted = f"{ANNOTATIONS}/{split}"
    if source.is_dir():
        paths = [source / split, source / wanted, *sorted(source.glob(f"*/{wanted}"))]
        paths += sorted(source.glob(f"*/*/{wanted}"))
        for path in paths:
            if path.is_file():
                return str(path), path.read_text(encoding="utf-8")
    else:
        for name in _archive(source).namelist():
            if f"/{name}".endswith(f"/{wanted}"):
                return f"{source}:{name}", _archive(source).read(name).decode("utf-8")
    raise UserError(
        f"{source} has no table {wanted}. Give the folder (or zip archive) that holds {ANNOTATIONS} with "
        "--annotations."
    )


def _columns(name: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Which columns hold the words and the tags; their names are not part of the format."""
    others = [number for number, column in enumerate(header) if column not in (UTTERANCE, INTENT)]
    tags = [
        number
        for number in others
        if all(_TAG.fullmatch(tag) for row in rows for tag in row[number].split())
        and any(row[number].strip() for row in rows)
    ]
    if len(tags) != 1 or not rows:
        raise UserError(
            f"{name} needs one column with O, B-slot or I-slot for every word, besides {UTTERANCE} and "
            f"{INTENT}; it has {len(tags)} such columns among: {', '.join(header)}."
        )

    def fitting(number: int) -> int:
        return sum(len(row[number].split()) == len(row[tags[0]].split()) for row in rows)

    words = max((number for number in others if number != tags[0]), key=fitting, default=None)
    if words is None:
        raise UserError(f"{name} has no column with the words. Its first line names: {', '.join(header)}.")
    return words, tags[0]


@cache
def _archive(path: Path) -> zipfile.ZipFile:
    """An archive, opened once in each process: its directory is long."""
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is neither a folder nor a complete zip archive ({error}). Copy or download it again."
        ) from error
