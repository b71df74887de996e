"""Which utterances a folder of features has: its tables, and how the path of a recording leads to a row."""

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePath
from typing import NamedTuple

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError

DEEPEST = 6  # parts of a recording's path that may be in the name of its utterance
ARRAYS, COLUMN = ".npy", "file_path"


class Entry(NamedTuple):
    """An utterance of a table."""

    part: str  # the set
    file: str  # from the folder
    frames: int  # 0 where the table does not say


class FeatureTables:
    """The tables `<set>.csv` of a folder.

    An utterance is named by its recording's file name, or by folders above it too, joined in any way:
    103-1240-0000.flac is 103-1240-0000, DR1/FCJF0/SI648.WAV is DR1-FCJF0-SI648, FCJF0_SI648 or SI648.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UserError: no such folder, or it has no tables of features.
        """
        if not folder.is_dir():
            raise UserError(
                f"-k {folder}: there is no such folder of features. Make one, for example with "
                f"`{command_line('preprocess_libri')} --feature_type=fbank`, or unpack one there."
            )
        self.folder = folder
        self._entries: dict[str, tuple[Entry, ...]] = {}
        self._sets: list[str] = []
        found = sorted(folder.glob("*.csv"))
        for table in found:
            entries = _rows(table)
            if entries:
                self._sets.append(table.stem)
            for entry in entries:
                name = entry.file.removesuffix(ARRAYS).removeprefix(f"{entry.part}/")
                key = _key(name)
                self._entries[key] = (*self._entries.get(key, ()), entry)
        if not self._entries:
            kind = "has tables of recordings, not of features" if found else "has no table <set>.csv"
            raise UserError(
                f"-k {folder}: this folder {kind}, so it is no folder of features. It should have, for each "
                f"set, <set>.csv with the column {COLUMN} and <set>/<utterance>.npy; preprocess/README.md "
                "lists the commands that make such folders. One that was stopped before its table was "
                "written only has to run again."
            )

    @property
    def names(self) -> str:
        """The sets, for messages."""
        return ", ".join(self._sets)

    def entries(self) -> Iterator[Entry]:
        """All utterances."""
        return chain.from_iterable(self._entries.values())

    def find(self, path: str) -> Entry | None:
        """The utterance of a recording.

        Raises:
            UserError: several sets have it, and none is named like a folder above the recording.
        """
        parts = PurePath(path).with_suffix("").parts
        for count in range(min(DEEPEST, len(parts)), 0, -1):
            entries = self._entries.get(_key("/".join(parts[-count:])))
            if entries is not None:
                return entries[0] if len(entries) == 1 else self._of_its_set(path, entries)
        return None

    def _of_its_set(self, path: str, entries: tuple[Entry, ...]) -> Entry:
        above = {_key(part) for part in PurePath(path).parts[:-1]}
        chosen = [entry for entry in entries if _key(entry.part) in above]
        if len(chosen) == 1:
            return chosen[0]
        raise UserError(
            f"{self.folder} has several features that may be of {path}: "
            f"{', '.join(entry.file for entry in entries)}. Move the tables of sets that are not used out of "
            "the folder, or name the sets like the folders of their recordings."
        )


def _rows(table: Path) -> list[Entry]:
    """The utterances of a table; none where it is of something else.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if COLUMN not in (rows.fieldnames or ()):
                return []
            return [
                Entry(table.stem, row[COLUMN], int(float(row.get("length") or 0)))
                for row in rows
                if (row[COLUMN] or "").endswith(ARRAYS)
            ]
    except (ValueError, csv.Error) as error:
        raise UserError(f"{table} cannot be read as a table of features ({error}). Make it again.") from error


def _key(name: str) -> str:
    """A name in the spelling in which names are compared."""
    return name.casefold().removesuffix(".wav").replace("/", "-").replace("_", "-")
