"""A folder of features on disk: one file an utterance, an index, and what is needed to go on after a kill."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from torch import Tensor

from s3prl.utility.files import PARTIAL, naming, write_atomically
from s3prl.utility.locks import exclusive
from s3prl.utility.recordings import BAD_AUDIO, BadAudio
from s3prl.utility.settings import keep_settings

FORMATS = ("safetensors", "npy")
INDEX = "index.tsv"
KEY = "features"  # the tensor's name in a .safetensors file


class Entry(NamedTuple):
    """A line of the index."""

    utterance: str
    file: str  # relative to the folder
    frames: int
    dim: int
    seconds: float


class FeatureFolder:
    """One process's shard of the folder. Every process keeps a journal of its own; the index joins them."""

    def __init__(self, folder: Path, settings: dict, kind: str, shard: tuple[int, int]) -> None:
        """
        Args:
            settings: what the features depend on, as plain values.
            kind: one of FORMATS.
            shard: number of this process from 1, and their count.

        Raises:
            UserError: the folder holds features of other settings.
        """
        self.folder, self.kind = folder, kind
        self.state = folder / ".state"
        self.state.mkdir(parents=True, exist_ok=True)
        self._journal = self.state / "{}-of-{}.tsv".format(*shard)
        self._bad = self.state / "{}-of-{}.bad".format(*shard)
        with self._alone():
            keep_settings(folder, settings, "--output")
        _drop_unfinished_line(self._journal)
        self.done = {entry.utterance for entry in self._entries()}

    def _alone(self) -> object:
        return exclusive(self.state / "lock", f"writes to {self.folder}")

    def write(self, utterance: str, features: Tensor) -> str:
        """Write the features of one utterance, all or nothing; returns the file, relative to the folder."""
        file = f"{utterance}.{self.kind}"
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.ascontiguousarray(features.numpy())
        write_atomically(path, lambda target: _write(target, array, self.kind))
        return file

    def note(self, entries: Iterable[Entry]) -> None:
        """Remember that these files are complete."""
        entries = list(entries)
        with naming(self._journal), self._journal.open("a", encoding="utf-8") as file:
            file.writelines(_line(entry) for entry in entries)
        self.done.update(entry.utterance for entry in entries)

    def finish(self, bad: Sequence[BadAudio], wanted: Iterable[str]) -> int:
        """Write index.tsv and bad_audio.tsv from what all processes have done so far.

        Args:
            bad: utterances that this process could not do.
            wanted: all utterances of all processes.

        Returns:
            How many utterances are in the index.
        """
        wanted = set(wanted)
        with self._alone():
            _write_table(self._bad, BadAudio._fields, bad)
            entries = sorted(self._entries())
            done = {entry.utterance for entry in entries}
            failed = {row.utterance: row for row in self._all_bad() if row.utterance in wanted - done}
            _write_table(self.folder / INDEX, Entry._fields, entries)
            if failed:
                _write_table(
                    self.folder / BAD_AUDIO, BadAudio._fields, [failed[name] for name in sorted(failed)]
                )
            else:
                (self.folder / BAD_AUDIO).unlink(missing_ok=True)
            if wanted <= done | failed.keys():  # every process has finished
                for leftover in self.folder.rglob(f".*{PARTIAL}"):
                    leftover.unlink(missing_ok=True)
        return len(entries)

    def _entries(self) -> set[Entry]:
        """Lines of all journals whose files are there; a line that a kill cut short is none."""
        found = {}
        for journal in sorted(self.state.glob("*.tsv")):
            for row in _rows(journal):
                if len(row) == len(Entry._fields) and (self.folder / row[1]).is_file():
                    found[row[0]] = Entry(row[0], row[1], int(row[2]), int(row[3]), float(row[4]))
        return set(found.values())

    def _all_bad(self) -> list[BadAudio]:
        tables = sorted(self.state.glob("*.bad"))
        return [
            BadAudio(*row)
            for table in tables
            for row in _rows(table)[1:]
            if len(row) == len(BadAudio._fields)
        ]


def _write(file: IO[bytes], array: np.ndarray, kind: str) -> None:
    if kind == "npy":
        np.save(file, array)
        return
    from safetensors.numpy import save

    file.write(save({KEY: array}))


def _line(row: Sequence[object]) -> str:
    return "\t".join(" ".join(str(cell).split("\n")) for cell in row) + "\n"


def _rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    lines = "".join(map(_line, [header, *rows]))
    write_atomically(path, lambda file: file.write(lines.encode("utf-8")))


def _drop_unfinished_line(journal: Path) -> None:
    """A killed process may have written a part of its last line."""
    if journal.exists():
        content = journal.read_bytes()
        with journal.open("rb+") as file:
            file.truncate(content.rfind(b"\n") + 1)
