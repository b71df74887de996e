"""Word and phone times of a split in one tab-separated file: utterance, tier, start, end, label."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .synthesis import Segment

_HEADER = ["utterance", "tier", "start", "end", "label"]


class Alignment(NamedTuple):
    """When the words and the phones of an utterance are heard; the phones leave no gap."""

    words: list[Segment]
    phones: list[Segment]


def write_alignments(path: Path, rows: Iterable[tuple[str, list[Segment], list[Segment]]]) -> None:
    """Write (utterance, words, phones) of every recording; times in seconds, to a tenth of a millisecond."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(_HEADER)
        for utterance, words, phones in rows:
            for tier, segments in (("word", words), ("phone", phones)):
                writer.writerows(
                    [utterance, tier, f"{s.start:.4f}", f"{s.end:.4f}", s.label] for s in segments
                )


def read_alignments(path: str | Path) -> dict[str, Alignment]:
    """Every utterance of a split and its alignment, in the order of the file."""
    found: dict[str, Alignment] = {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            alignment = found.setdefault(row["utterance"], Alignment([], []))
            segment = Segment(float(row["start"]), float(row["end"]), row["label"])
            (alignment.words if row["tier"] == "word" else alignment.phones).append(segment)
    return found
