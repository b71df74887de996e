"""The folder of a sweep over learning rates, with a run in `NAME/lr1e-2`, `NAME/lr1e-3`: which is best?"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from s3prl.utility.files import write_atomically
from s3prl.utility.results import JSONL, Best, aligned, best_of

PREFIX = "lr"
TABLE = "sweep.tsv"


class Head(NamedTuple):
    """One run of a sweep."""

    rate: str  # as the user wrote it
    folder: Path
    best: Best | None  # None where no development set has been evaluated


def folder_of(sweep: Path, rate: str) -> Path:
    """The folder of a rate's run."""
    return sweep / f"{PREFIX}{rate}"


def rate_of(folder: Path) -> float | None:
    """The learning rate that the name of a folder says; None where it is not one of a sweep's."""
    try:
        return float(folder.name.removeprefix(PREFIX)) if folder.name.startswith(PREFIX) else None
    except ValueError:
        return None


def heads_in(folder: Path) -> dict[str, float]:
    """The rates that a folder has runs of, by their texts, the largest first."""
    found = {}
    for path in folder.glob(f"{PREFIX}*"):
        rate = rate_of(path)
        if rate is not None and ((path / JSONL).is_file() or next(path.glob("*.ckpt"), None)):
            found[path.name.removeprefix(PREFIX)] = rate
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def head_of(folder: Path) -> Head:
    """The run in a folder `NAME/lr1e-2`."""
    return Head(folder.name.removeprefix(PREFIX), folder, best_of(folder))


def winner(heads: Sequence[Head]) -> Head | None:
    """The head with the best score, the first of equal ones; None where there is no score."""
    best: Head | None = None
    for head in heads:
        if head.best is None:
            continue
        if best is None or head.best.metric.better(head.best.score, best.best.score):
            best = head
    return best


def table(heads: Sequence[Head]) -> str:
    """A row for every rate: its best score, the step of it, and a mark at the best one."""
    best = winner(heads)
    title = "best score" if best is None else f"{best.best.metric.name} on {best.best.metric.split}"
    rows = [["learning rate", title, "at step", ""]]
    for head in heads:
        score = ["-", "-"] if head.best is None else [f"{head.best.score:.4g}", str(head.best.step)]
        rows.append([head.rate, *score, "<- best" if head is best else ""])
    return "\n".join(line.rstrip() for line in aligned(rows, 1).splitlines())


def write(folder: Path, heads: Sequence[Head]) -> Path:
    """Write the table as `sweep.tsv` into the sweep's folder, for programs; returns its path."""
    best, text = winner(heads), io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["rate", "folder", "metric", "split", "score", "step", "best"])
    for head in heads:
        found = ["", "", "", ""]
        if head.best is not None:
            found = [head.best.metric.name, head.best.metric.split, repr(head.best.score), head.best.step]
        writer.writerow([head.rate, head.folder.name, *found, "best" if head is best else ""])
    path = folder / TABLE
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
    return path
