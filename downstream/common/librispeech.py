"""The layout of LibriSpeech (Panayotov et al., 2015).

`<split>/<speaker>/<chapter>/<utterance>.flac`, and beside the recordings `<speaker>-<chapter>.trans.txt`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s3prl.utility.errors import UserError
from s3prl.utility.lengths import load_lengths

DOWNLOAD_PAGE = "https://www.openslr.org/12"
MINI_COMMAND = "python preprocess/make_mini_corpora.py librispeech --output data/mini"


@dataclass(frozen=True)
class Utterance:
    """One recording with its transcript; `samples` is 0 when the recording's length could not be read."""

    name: str  # 1089-134686-0000
    path: Path
    text: str
    samples: int


def list_utterances(
    root: Path, folders: Sequence[str], table_dir: Path, bad_audio: str = "error"
) -> list[Utterance]:
    """The utterances of some split folders, longest first.

    Args:
        root: the folder that holds `train-clean-100` and its like.
        folders: split folders under it.
        table_dir: where the tables of lengths are, or will be written when there are none yet.
        bad_audio: "error" or "skip", what to do with transcripts whose recording is missing or unreadable;
            when skipped they are listed here too, and noted when the data set tries to read them.

    Raises:
        UserError: no such corpus or folder, a recording without transcript, or (unless skipped) a
            transcript without a readable recording.
    """
    utterances = []
    for folder in folders:
        check_folder(root, folder)
        utterances += _list_folder(root, folder, table_dir, bad_audio)
    return sorted(utterances, key=lambda utterance: (-utterance.samples, utterance.name))


def check_folder(root: Path, folder: str) -> None:
    """Raise UserError, with the ways to get the data, when a split folder is not there."""
    if (root / folder).is_dir():
        return
    there = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    found = (
        f"It holds: {', '.join(there) or 'no folders'}." if root.is_dir() else "That folder does not exist."
    )
    raise UserError(
        f"LibriSpeech's {folder} was looked for in {root.absolute()}. {found} "
        f"Download it from {DOWNLOAD_PAGE} and set "
        "downstream_expert.datarc.libri_root (or the variable S3PRL_CORPORA, the folder that holds "
        f"LibriSpeech); or make the miniature corpus with `{MINI_COMMAND}` and choose "
        "`-c downstream/asr/mini.yaml`."
    )


def read_transcripts(root: Path, folder: str) -> dict[str, tuple[Path, str]]:
    """Utterance name -> (path of its recording, upper-case transcript).

    Raises:
        UserError: there are no transcript files, or an utterance is in two of them.
    """
    transcripts: dict[str, tuple[Path, str]] = {}
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


def _list_folder(root: Path, folder: str, table_dir: Path, bad_audio: str) -> list[Utterance]:
    transcripts = read_transcripts(root, folder)
    lengths = load_lengths(root, folder, table_dir)
    utterances = []
    for relative, samples in lengths.items():
        path = root / relative
        if path.stem not in transcripts:
            raise UserError(
                f"{path} has no transcript in {path.parent}/*.trans.txt. Add the line "
                f"`{path.stem} ITS TEXT` there, or remove the recording and {table_dir}/{folder}.csv."
            )
        utterances.append(Utterance(path.stem, path, transcripts.pop(path.stem)[1], samples))
    if transcripts and bad_audio != "skip":
        name, (path, _) = next(iter(transcripts.items()))
        raise UserError(
            f"{len(transcripts)} transcript(s) of {root / folder} have no readable recording, the first is "
            f"{name} ({path}). Restore the files and remove {table_dir}/{folder}.csv, or run with "
            "`--bad_audio skip`, which lists them in bad_audio.tsv of the experiment."
        )
    return utterances + [Utterance(name, path, text, 0) for name, (path, text) in transcripts.items()]
