"""Which recordings to extract features of, in which batches."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from s3prl.utility.audio import AUDIO
from s3prl.utility.errors import UserError
from s3prl.utility.paths import files_below

from ..interfaces import SAMPLE_RATE


def named_recordings(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Audio files, and those in folders at any depth, by names that tell them apart.

    A file's name is without folder and suffix; files of the same name have their path instead.

    Raises:
        UserError: a path that does not exist, or a folder without a recording.
    """
    found: list[tuple[str, Path]] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += find_recordings(path, "-t").items()
        elif path.exists():
            found.append((path.stem, path))
        else:
            raise UserError(
                f"-t {path}: there is no such file or folder. Name recordings, or a folder of them."
            )
    count = Counter(name for name, _ in found)
    return {str(path) if count[name] > 1 else name: path for name, path in found}


def find_recordings(source: Path, option: str = "--input") -> dict[str, Path]:
    """The recordings by the names of their utterances: relative paths without the suffix.

    Args:
        source: a folder, searched at any depth; an audio file; or a text file with a path in every line (what
            follows a tab is ignored), relative to the working folder or to the list.
        option: of the command line that named it, for messages.

    Raises:
        UserError: nothing there, or two recordings whose features would be written to one file.
    """
    if source.is_dir():
        files = {str(path.relative_to(source)): path for path in _walk(source)}
    elif source.suffix.lower() in AUDIO:
        files = {source.name: source}
    elif source.is_file():
        files = _listed(source)
    else:
        raise UserError(
            f"{option} {source} does not exist. Give a folder, a list of paths, or an audio file."
        )
    if not files:
        raise UserError(f"{option} {source} has no recording ({', '.join(AUDIO)}).")
    recordings: dict[str, Path] = {}
    for name, path in sorted(files.items()):
        utterance = Path(name).with_suffix("").as_posix()
        if len(utterance.splitlines()) > 1 or "\t" in utterance:
            raise UserError(f"The name {name!r} has a tab or a line break, which the index cannot hold.")
        if utterance in recordings:
            raise UserError(
                f"The features of {recordings[utterance]} and {path} would be written to the same file. "
                "Give a list (--input LIST) with one of them."
            )
        recordings[utterance] = path
    return recordings


def _walk(folder: Path) -> list[Path]:
    return [path for path in files_below(folder) if path.suffix.lower() in AUDIO]


def _listed(source: Path) -> dict[str, Path]:
    """The paths of a list by the names of their features: as listed, absolute ones from where they part."""
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"--input {source} is neither audio nor a text file with paths.") from error
    paths = [Path(line.split("\t")[0].strip()).expanduser() for line in lines if line.strip()]
    absolute = [path for path in paths if path.is_absolute()]
    common = Path(os.path.commonpath([path.parent for path in absolute])) if absolute else Path()
    files = {}
    for path in dict.fromkeys(paths):
        name = os.path.normpath(path.relative_to(common) if path.is_absolute() else path)
        if name.startswith(".."):
            raise UserError(f"{source}: {path} leaves the folder. Give its absolute path.")
        files[name] = source.parent / path if (source.parent / path).exists() else path
    return files


def plan(lengths: dict[str, int], batch_seconds: float) -> list[list[str]]:
    """Utterances in batches of similar length, the longest first; a batch with padding is at most so long.

    Args:
        lengths: samples of every utterance at 16 kHz.
        batch_seconds: limit of longest utterance x utterances; an utterance longer than it is alone.
    """
    batches: list[list[str]] = []
    longest = 0
    for utterance in sorted(lengths, key=lambda name: (-lengths[name], name)):
        if not batches or longest * (len(batches[-1]) + 1) > batch_seconds * SAMPLE_RATE:
            batches.append([])
            longest = lengths[utterance]
        batches[-1].append(utterance)
    return batches


def share_of(batches: Sequence[list[str]], shard: tuple[int, int]) -> list[list[str]]:
    """The batches of shard (number from 1, count); the batches themselves do not depend on it."""
    number, count = shard
    return list(batches[number - 1 :: count])
