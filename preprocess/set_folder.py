"""A folder of features for training: `<set>/<utterance>.npy`, and a table of lengths for each set.

    libri_fbank80/train-clean-100/103-1240-0000.npy     float32 [frames, dim]
    libri_fbank80/train-clean-100.csv                   an index, file_path, length (frames), label (empty)
    libri_fbank80/settings.json                         how the features were made
    libri_fbank80/sources.json                          of which recordings, for each set

`file_path` counts from the folder and the longest is first, as pre-training on ready features wants it.
"""

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from s3prl.utility.errors import UserError
from s3prl.utility.files import PARTIAL, write_atomically, write_json
from s3prl.utility.lengths import write_table
from s3prl.utility.locks import exclusive
from s3prl.utility.recordings import BAD_AUDIO, BadAudio
from s3prl.utility.settings import SETTINGS, keep_settings

SOURCES = "sources.json"


class SetFolder:
    """Such a folder, which one process at a time writes; what is there and whole stays."""

    def __init__(self, folder: Path, dtype: str = "float32") -> None:
        """
        Args:
            dtype: of the arrays.
        """
        self.folder, self.dtype = folder, np.dtype(dtype)

    @contextmanager
    def opened(self, settings: dict[str, Any], sources: Mapping[str, Path]) -> Iterator[None]:
        """Where files may be written; leftovers of a killed process are removed.

        Args:
            settings: what the files depend on, as plain values.
            sources: each set that will be written, and the folder or file that it is made from.

        Raises:
            UserError: the folder holds files of other settings, of other sources, or something else.
        """
        for part in sources:
            self._check_inside(part, "set")
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / ".lock", f"writes to {self.folder}"):
            others = sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
            if others and SETTINGS not in others:
                raise UserError(
                    f"{self.folder} holds something else already (such as {others[0]}). Choose another "
                    "folder with --output_path or --name."
                )
            keep_settings(self.folder, settings, "--name")
            self._keep_sources(sources)
            for leftover in self.folder.rglob(f".*{PARTIAL}"):
                leftover.unlink(missing_ok=True)
            yield

    def shape(self, part: str, utterance: str) -> tuple[int, ...] | None:
        """The shape of an utterance's array; None where it is not there, or not whole."""
        path = self._path(part, utterance)
        if not path.is_file():
            return None
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError):
            return None
        return array.shape if isinstance(array, np.ndarray) and array.dtype == self.dtype else None

    def write(self, part: str, utterance: str, array: np.ndarray) -> None:
        """Write the array of an utterance of the set `part` atomically."""
        path = self._path(part, utterance)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = np.ascontiguousarray(array, dtype=self.dtype)
        write_atomically(path, lambda file: np.save(file, whole, allow_pickle=False))

    def write_table(self, part: str, frames: Mapping[str, int]) -> Path:
        """Write the table of a set, the longest utterance first.

        Args:
            frames: of each utterance.
        """
        path = self.folder / f"{part}.csv"
        rows = sorted(frames.items(), key=lambda row: (-row[1], row[0]))
        write_table(path, {f"{part}/{utterance}.npy": count for utterance, count in rows})
        return path

    def write_bad(self, bad: Iterable[BadAudio], parts: Collection[str]) -> None:
        """Write bad_audio.tsv, or remove it where there is nothing bad.

        Args:
            bad: all that is bad in the sets `parts`; what is known of others stays.
        """
        path, text = self.folder / BAD_AUDIO, io.StringIO()
        others: list[list[str]] = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                others = [row for row in list(csv.reader(file, delimiter="\t"))[1:] if row]
        kept = [row for row in others if not row[0].startswith(tuple(f"{part}/" for part in parts))]
        rows = [*kept, *([" ".join(cell.split()) for cell in row] for row in bad)]
        if not rows:
            path.unlink(missing_ok=True)
            return
        csv.writer(text, delimiter="\t", lineterminator="\n").writerows([BadAudio._fields, *rows])
        # A name that is not UTF-8 may be what is bad.
        encoded = text.getvalue().encode("utf-8", "backslashreplace")
        write_atomically(path, lambda file: file.write(encoded))

    def _keep_sources(self, sources: Mapping[str, Path]) -> None:
        """Remember what sets are made from; refuse to take what is there for that of another source.

        A source that is no longer where it was counts as moved.
        """
        path = self.folder / SOURCES
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({error}). Remove it if the sets there are of the same recordings "
                "as before, else choose another --name."
            ) from error
        for part, source in sources.items():
            old = Path(before.get(part, source))
            if (self.folder / part).exists() and old.exists() and not old.samefile(source):
                raise UserError(
                    f"{self.folder / part} was made from {old}, not from {source}. Choose another --name, or "
                    f"remove that folder; if both hold the same, remove {path}."
                )
        write_json(path, before | {part: str(source.resolve()) for part, source in sources.items()})

    def _path(self, part: str, utterance: str) -> Path:
        """The file of an utterance; a name from an archive must not lead out of the folder."""
        self._check_inside(utterance, "utterance")
        return self.folder / part / f"{utterance}.npy"

    def _check_inside(self, name: str, what: str) -> None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"The name {name!r} of a {what} leads out of {self.folder}. Choose another one.")
