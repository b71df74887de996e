"""What diarization data can be made of: the tables of LibriMix, or any recordings with RTTM files.

Both are looked through without opening a recording; what is missing is found before anything long begins.
"""

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from s3prl.utility.errors import UserError
from s3prl.utility.paths import files_below
from s3prl.utility.rttm import Turn, read_rttm

from .speech_times import Spans

SPLITS = ("train", "dev", "test")
AUDIO = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".sph", ".aiff", ".aif", ".au", ".w64")
SOURCE = re.compile(r"source_\d+_path")
NAMED = 5  # names in a message


@dataclass(frozen=True)
class Voice:
    """A speaker of a mixture: the clean recording, or what an alignment says of it."""

    speaker: str
    path: Path
    aligned: Path | tuple[tuple[float, float], ...] | None = None  # a TextGrid, or (start, end) in seconds


@dataclass(frozen=True)
class Mixture:
    """A recording whose turns are known, or can be found from its voices."""

    name: str
    path: Path
    turns: tuple[Turn, ...] = ()
    voices: tuple[Voice, ...] = ()


@dataclass
class Found:
    """The recordings of each split, and what is wrong with others, such as that a file is missing."""

    splits: dict[str, list[Mixture]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Alignments:
    """When the words of utterances are said, from a folder with RTTM files or TextGrids."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UserError: there is no such folder, none of these files in it, or an RTTM with a mistake.
        """
        if not folder.is_dir():
            raise UserError(f"--alignments {folder} is no folder. Give one with RTTM files or TextGrids.")
        self.folder = folder
        self._grids: dict[str, Path] = {}
        self._spans: dict[str, Spans] = {}
        for path in sorted(files_below(folder)):
            if path.suffix.lower() == ".textgrid":
                self._grids[path.stem] = path
            elif path.suffix.lower() == ".rttm":
                for utterance, turns in read_rttm(path).items():
                    self._spans[utterance] = [(turn.start, turn.end) for turn in turns]
        if not self._grids and not self._spans:
            raise UserError(f"--alignments {folder} has neither a .rttm nor a .TextGrid file with words.")

    def of(self, utterance: str) -> Path | tuple[tuple[float, float], ...] | None:
        """The TextGrid or the times of an utterance; None where there are none."""
        spans = self._spans.get(utterance)
        return tuple(spans) if spans is not None else self._grids.get(utterance)


def librimix(metadata: Path, train: str, mix: str, alignments: Alignments | None) -> Found:
    """The mixtures that LibriMix has listed in mixture_<subset>_<mix>.csv.

    Paths that are not (or no longer) right are looked for beside the folder of the tables, where LibriMix
    writes `<subset>/<mix>` and `<subset>/s1`.

    Args:
        metadata: such as Libri2Mix/wav16k/max/metadata.
        train: the subset that is the training set, such as train-100.
        mix: mix_both (with noise) or mix_clean.
        alignments: of the LibriSpeech utterances; None leaves their times open.

    Raises:
        UserError: there is no table, or one lacks a column.
    """
    found = Found()
    for split, subset in zip(SPLITS, (train, "dev", "test"), strict=True):
        table = metadata / f"mixture_{subset}_{mix}.csv"
        if not table.is_file():
            continue
        with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            sources = [column for column in columns if SOURCE.fullmatch(column)]
            if not {"mixture_ID", "mixture_path"} <= set(columns) or not sources:
                raise UserError(
                    f"{table} needs the columns mixture_ID, mixture_path and source_1_path. It has: "
                    f"{', '.join(columns) or 'none'}."
                )
            found.splits[split] = list(_mixtures(reader, sources, metadata, alignments, found.problems))
    if not found.splits:
        there = sorted(path.name for path in islice(metadata.glob("*.csv"), NAMED)) or ["no .csv file"]
        raise UserError(
            f"{metadata} has no mixture_{train}_{mix}.csv, nor one of dev or test. It has: "
            f"{', '.join(there)}. Give LibriMix's folder wav16k/max/metadata with --source_dir, and its "
            "training set with --train_set."
        )
    for split in SPLITS:
        if split not in found.splits:
            print(f"note: {metadata} has no table of {split}, which is not made.", file=sys.stderr)
    return found


def _mixtures(
    rows: Iterator[dict[str, str]],
    sources: Sequence[str],
    metadata: Path,
    alignments: Alignments | None,
    problems: list[str],
) -> Iterator[Mixture]:
    """One for each row whose files are there; what is not goes to `problems`."""
    for row in rows:
        name = row["mixture_ID"]
        utterances = name.split("_")
        paths = [_where(row[column] or "", metadata) for column in ("mixture_path", *sources)]
        needed = paths if alignments is None else paths[:1]
        missing = [str(path) for path in needed if not path.is_file()]
        if missing:
            problems.append(f"{name}: there is no file {', '.join(missing)}")
            continue
        if len(utterances) != len(sources):
            problems.append(f"{name}: an ID is the utterances of its {len(sources)} sources, joined by _")
            continue
        aligned = [None if alignments is None else alignments.of(one) for one in utterances]
        if alignments is not None and None in aligned:
            problems.append(f"{name}: {alignments.folder} has nothing of {utterances[aligned.index(None)]}")
            continue
        voices = (
            Voice(utterance.split("-")[0], path, times)
            for utterance, path, times in zip(utterances, paths[1:], aligned, strict=True)
        )
        yield Mixture(name, paths[0], voices=tuple(voices))


def _where(text: str, metadata: Path) -> Path:
    """A path of a table; where the corpus was moved, or the path is relative, beside the tables."""
    path = Path(text)
    beside = metadata.parent.joinpath(*path.parts[-3:])
    return beside if beside.is_file() else path


def folder_with_rttm(audio: Path, rttm: Path, split: str | None) -> Found:
    """The recordings below a folder whose turns an RTTM file has, or the RTTM files of a folder.

    A recording's name in RTTM is that of its file without suffix, `_` in place of blanks.

    Args:
        audio: holds the recordings, at any depth, or a folder of them for each of train, dev and test.
        rttm: a file, or a folder with files at any depth; those of `<rttm>/<split>` or `<rttm>/<split>.rttm`
            count for one split only.
        split: what the recordings are, where `audio` has no folders of splits.

    Raises:
        UserError: a folder is missing or empty, an RTTM has a mistake, two recordings have the same name.
    """
    if not audio.is_dir():
        raise UserError(f"--audio {audio} is no folder. Give the one with the recordings.")
    folders = {name: audio / name for name in SPLITS if (audio / name).is_dir()}
    if split is not None:
        folders = {split: folders.get(split, audio)}
    elif not folders:
        raise UserError(
            f"{audio} has none of the folders {', '.join(SPLITS)}. Say with --split which of them its "
            "recordings are."
        )
    found = Found()
    general = _turns(rttm, {name for name in folders if _own(rttm, name) is not None})
    unused = set(general)
    for name, folder in folders.items():
        own = _own(rttm, name)
        turns = general if own is None else _turns(own, set())
        files = _recordings(folder)
        found.splits[name] = [
            Mixture(recording, path, turns=tuple(turns[recording]))
            for recording, path in files.items()
            if recording in turns
        ]
        silent = [recording for recording in files if recording not in turns]
        if silent:
            print(
                f"note: {name}: left out, because no RTTM has a turn of them: {_some(silent)}",
                file=sys.stderr,
            )
        if own is None:
            unused -= set(files)
        else:
            found.problems += _without_audio(sorted(set(turns) - set(files)), own, folder)
    found.problems += _without_audio(sorted(unused), rttm, audio)
    return found


def _own(rttm: Path, split: str) -> Path | None:
    """Where the turns of one split alone are."""
    return next((path for path in (rttm / split, rttm / f"{split}.rttm") if path.exists()), None)


def _turns(rttm: Path, apart: set[str]) -> dict[str, list[Turn]]:
    """The turns by recording, without those of the splits in `apart`, which have files of their own."""
    if not rttm.is_dir():
        return read_rttm(rttm)
    files = sorted(path for path in files_below(rttm) if path.suffix.lower() == ".rttm")
    if not files:
        raise UserError(f"{rttm} has no .rttm file. Give an RTTM file, or a folder of them, with --rttm.")
    turns: dict[str, list[Turn]] = {}
    for path in files:
        first = path.relative_to(rttm).parts[0]
        if first not in apart and first.removesuffix(".rttm") not in apart:
            for name, spoken in read_rttm(path).items():
                turns.setdefault(name, []).extend(spoken)
    return turns


def _recordings(folder: Path) -> dict[str, Path]:
    """The audio files below a folder by the names that RTTM has for them."""
    found: dict[str, Path] = {}
    for path in sorted(files_below(folder)):
        if path.suffix.lower() in AUDIO:
            name = "_".join(path.stem.split())
            if name in found:
                raise UserError(
                    f"{found[name]} and {path} would both be the recording {name}. Rename or remove one."
                )
            found[name] = path
    if not found:
        raise UserError(f"{folder} has no recording ({', '.join(AUDIO)}).")
    return found


def _without_audio(names: Sequence[str], rttm: Path, audio: Path) -> list[str]:
    return [f"{name}: {rttm} has turns of it, {audio} has no such recording" for name in names]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}."
