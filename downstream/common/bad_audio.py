"""What happens to recordings that cannot be read: stop with their path, or skip them and keep a list.

With `--bad_audio skip` a data set hands out a quiet placeholder in place of the recording, together with a
`BadAudio` note. The batch keeps its shape in every runner and on every process; the task leaves the noted
items out of its loss and metrics by `BadAudioList.good_items`, which also lists them in the experiment
folder. Notes travel inside the batch, so this works from DataLoader workers too.
"""

import fcntl
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s3prl.utility.audio import SAMPLE_RATE, AudioError, load
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError

CHOICES = ("error", "skip")
FILE_NAME = "bad_audio.tsv"


class BadAudio(NamedTuple):
    """One recording that could not be read."""

    utterance: str
    path: str
    reason: str


def check_choice(bad_audio: str) -> str:
    """Return a valid `--bad_audio` value, or raise UserError."""
    if bad_audio not in CHOICES:
        raise UserError(
            f"bad_audio: {bad_audio} is not one of {', '.join(CHOICES)}.{nearest(bad_audio, CHOICES)}"
        )
    return bad_audio


def load_or_note(path: Path, utterance: str, bad_audio: str = "error") -> tuple[np.ndarray, BadAudio | None]:
    """Read a recording: float32 [samples] at 16 kHz, and None or the note that it is a placeholder.

    Raises:
        AudioError: the recording cannot be read and `bad_audio` is "error".
    """
    try:
        return load(path, rate=SAMPLE_RATE), None
    except AudioError as error:
        if bad_audio != "skip":
            raise
        return placeholder(), BadAudio(utterance, str(path), " ".join(str(error).split()))


def placeholder() -> np.ndarray:
    """One second of a quiet tone: in digital silence some features (log, normalisation) are undefined."""
    time = np.arange(SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE
    return (0.01 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


class BadAudioList:
    """The file `<expdir>/bad_audio.tsv`: every skipped recording once, with the reason."""

    def __init__(self, expdir: str | Path) -> None:
        self.path = Path(expdir) / FILE_NAME
        self._listed: set[str] = set()

    def good_items(self, notes: Sequence[BadAudio | None], records: dict[str, list]) -> list[int]:
        """Indices of the readable items; the others are listed and put in `records["bad_audio"]`."""
        bad = [note for note in notes if note is not None]
        if bad:
            self._append([note for note in bad if note.utterance not in self._listed])
            records["bad_audio"] += [note.utterance for note in bad]
        return [index for index, note in enumerate(notes) if note is None]

    def summary(self, records: dict[str, list]) -> str:
        """One sentence about the recordings skipped since the last report; empty when there were none."""
        skipped = set(records.get("bad_audio", ()))
        if not skipped:
            return ""
        return f"{len(skipped)} unreadable recording(s) skipped, listed in {self.path}"

    def _append(self, notes: list[BadAudio]) -> None:
        if not notes:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+", encoding="utf-8") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)  # the processes of a distributed run share the file
            file.seek(0)
            known = {line.split("\t", 1)[0] for line in file}
            lines = [] if known else ["utterance\tpath\treason"]
            lines += ["\t".join(note) for note in notes if note.utterance not in known]
            file.writelines(line + "\n" for line in lines)
        self._listed.update(note.utterance for note in notes)
