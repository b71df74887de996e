"""The layout of LibriSpeech (Panayotov et al., 2015).

`<split>/<speaker>/<chapter>/<utterance>.flac`, and beside the recordings `<speaker>-<chapter>.trans.txt`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.lengths import load_lengths
from s3prl.utility.recordings import Recording

from ..items import Item
from ..lists import with_lengths

DOWNLOAD_PAGE = "https://www.openslr.org/12"


def items(root: Path, split: Sequence[str], table_dir: Path, keep_lost: bool = False) -> list[Item]:
    """The utterances of some folders with their transcripts, longest first.

    Args:
        root: the folder that holds `train-clean-100` and its like.
        split: folders under it.
        table_dir: where the tables of lengths are, or will be written when there are none yet.
        keep_lost: list transcripts whose recording is missing or unreadable too, as items of no length, for
            the loader to note; otherwise they are an error.

    Raises:
        UserError: no such corpus or folder, a recording without transcript, or a transcript without a
            readable recording.
    """
    found = []
    for folder in split:
        check_folder(root, folder)
        found += _list_folder(root, folder, table_dir, keep_lost)
    return sorted(found, key=lambda item: (-item.samples, item.name))


def transcribed(root: Path, split: Sequence[str], field: str, config: str) -> list[Item]:
    """The utterances of some folders as their transcripts list them; no recording is looked for.

    Args:
        root, split: see `items`.
        field, config: see `check_folder`.

    Raises:
        UserError: no such corpus or folder, or it has no transcripts.
    """
    found = []
    for folder in split:
        check_folder(root, folder, field, config)
        rows = read_transcripts(root, folder).items()
        found += [Item(name, Recording(path), text) for name, (path, text) in rows]
    return found


def named(root: Path, folder: str, names: Sequence[str], table_dir: Path | None) -> list[Item]:
    """The utterances of these names without labels, the longest first; unreadable ones have no length.

    Args:
        root: the folder that holds `folder`, `train-clean-100` for example.
        table_dir: where the tables of lengths are, or will be written; None keeps them in the user's cache.
    """
    files = {name: "/".join([folder, *name.split("-")[:2], f"{name}.flac"]) for name in names}
    found = [Item(name, Recording(root / file), None) for name, file in files.items()]
    if table_dir is None:
        found = with_lengths(found, folder)
    else:
        lengths = load_lengths(root, folder, table_dir)
        found = [replace(item, samples=lengths.get(files[item.name], 0)) for item in found]
    return sorted(found, key=lambda item: (-item.samples, item.name))


def check_folder(
    root: Path,
    folder: str,
    field: str = "downstream_expert.datarc.libri_root",
    config: str = "downstream/asr/mini.yaml",
) -> None:
    """Raise UserError, with the ways to get the data, when a split folder is not there.

    Args:
        field: of the config, which names the root.
        config: that of the miniature corpus.
    """
    if (root / folder).is_dir():
        return
    there = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    found = (
        f"It holds: {', '.join(there) or 'no folders'}." if root.is_dir() else "That folder does not exist."
    )
    raise UserError(
        f"LibriSpeech's {folder} was looked for in {root.absolute()}. {found} "
        f"Download it from {DOWNLOAD_PAGE} and set "
        f"{field} (or the variable S3PRL_CORPORA, the folder that holds "
        f"LibriSpeech); or make the miniature corpus with `{command_line('corpora')} librispeech "
        f"--output data/mini` and choose `-c {config}`."
    )


def read_transcripts(root: Path, folder: str) -> dict[str, tuple[Path, str]]:
    """Utterance name -> (path of its recording, upper-case transcript).

    Raises:
        UserError: there are no transcript files, or an utterance is in two of them.
    """
    transcripts: dict[str, tuple[Path, str]] = {}
    next((root / folder).iterdir(), None)  # an error where looking is forbidden, which glob passes over
    for file in sorted((root / folder).glob("*/*/*.trans.txt")):
        for line in file.read_text(encoding="utf-8").splitlines():
            name, _, text = line.strip().partition(" ")
            if not name:
                continue
            if name in transcripts:
                raise UserError(f"{file} has a second transcript of {name}. Remove one of the two.")
            transcripts[name] = (file.parent / f"{name}.flac", text.upper())
    if not transcripts:
        raise UserError(
            f"{root / folder} has no transcripts (<speaker>/<chapter>/*.trans.txt). "
            f"Is the archive fully extracted? Its page is {DOWNLOAD_PAGE}."
        )
    return transcripts


def _list_folder(root: Path, folder: str, table_dir: Path, keep_lost: bool) -> list[Item]:
    transcripts = read_transcripts(root, folder)
    lengths = load_lengths(root, folder, table_dir)
    found = []
    for relative, samples in lengths.items():
        path = root / relative
        if path.stem not in transcripts:
            raise UserError(
                f"{path} has no transcript in {path.parent}/*.trans.txt. Add the line "
                f"`{path.stem} ITS TEXT` there, or remove the recording and {table_dir}/{folder}.csv."
            )
        found.append(Item(path.stem, Recording(path), transcripts.pop(path.stem)[1], samples))
    if transcripts and not keep_lost:
        name, (path, _) = next(iter(transcripts.items()))
        raise UserError(
            f"{len(transcripts)} transcript(s) of {root / folder} have no readable recording, the first is "
            f"{name} ({path}). Restore the files and remove {table_dir}/{folder}.csv, or run with "
            "`--bad_audio skip`, which lists them in bad_audio.tsv of the experiment."
        )
    return found + [Item(name, Recording(path), text) for name, (path, text) in transcripts.items()]
