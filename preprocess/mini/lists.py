"""The lists that a mini corpus brings along for the tasks on own data: CSV files, one row per recording."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path


def write_list(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a list; the paths in its column `path` count from its folder."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
