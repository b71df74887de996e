"""Word and phone times of a split in one tab-separated file: utterance, tier, start, end, label.

Also phone labels and split lists in the formats of those of CPC (van den Oord et al., 2018).
"""

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from s3prl.utility.phones import ARPABET, SILENCE, frames_in, labels_of_frames, without_stress

from .synthesis import Segment

_TESTED = 5  # every fifth utterance of a speaker is in the test list
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


def write_cpc_labels(folder: Path, rows: Iterable[tuple[str, list[Segment]]]) -> None:
    """Write lines `<utterance> <label> <label> ...`, a label every 10 ms, and the names of the labels."""
    index = {phone: number for number, phone in enumerate(ARPABET)}
    with (folder / "converted_aligned_phones.txt").open("w", encoding="utf-8") as file:
        for utterance, phones in rows:
            starts, ends, names = zip(*phones, strict=True)
            numbers = [index[without_stress(name)] for name in names]
            labels = labels_of_frames(starts, ends, numbers, frames_in(ends[-1]), index[SILENCE])
            file.write(f"{utterance} {' '.join(map(str, labels.tolist()))}\n")
    (folder / "phones.txt").write_text("".join(f"{phone}\n" for phone in ARPABET), encoding="utf-8")


def write_cpc_split(folder: Path, utterances: Iterable[str]) -> None:
    """Divide utterances, `<speaker>-<chapter>-<number>`: both lists have every speaker of five or more."""
    lists: dict[str, list[str]] = {"train": [], "test": []}
    said: Counter[str] = Counter()  # by each speaker
    for utterance in utterances:
        speaker = utterance.split("-")[0]
        said[speaker] += 1
        lists["train" if said[speaker] % _TESTED else "test"].append(f"{utterance}\n")
    for split, lines in lists.items():
        (folder / f"{split}_split.txt").write_text("".join(lines), encoding="utf-8")
