"""Scores of pairs -> what the system answers, and how good that is by the ground truths of the corpus."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from s3prl.utility.errors import UserError
from s3prl.utility.progress import say

from ..common.metrics.quesst import QuesstScores, score_search
from ..common.metrics.quesst_truth import GroundTruth, read_ground_truth
from ..common.metrics.stdlist import Search as Answer

NAME = "quesst14_dtw"
FLOOR = 1e-9  # of a query's standard deviation, as in the public S3PRL
DECIMALS = 4  # of a score in benchmark.stdlist.xml
FIELDS = ("mtwv", "atwv", "min_cnxe", "act_cnxe")


def standardised(scores: np.ndarray) -> np.ndarray:
    """[queries, documents] with mean 0 and standard deviation 1 of each query over the documents."""
    deviation = np.maximum(scores.std(axis=1, keepdims=True), FLOOR)
    return (scores - scores.mean(axis=1, keepdims=True)) / deviation


def answer(queries: list[str], documents: list[str], scores: np.ndarray, threshold: float) -> Answer:
    """What the system says: standardised scores, and YES where they are above the threshold."""
    return Answer(queries, documents, scores.round(DECIMALS), scores > threshold)


def read_truths(folders: Mapping[str, Path]) -> dict[str, GroundTruth]:
    """The ground truths by name; a further one that is of no use is told and left out.

    Raises:
        UserError: in the official one a file is missing or damaged, or no query occurs in any document.
    """
    truths = {}
    for name, folder in folders.items():
        try:
            truth = read_ground_truth(folder)
            if not truth.occurrences:
                raise UserError(f"{folder}: no query occurs in any document. Is it complete?")
        except UserError as error:
            if not name:
                raise
            say(f"[{NAME}] No score by the ground truth '{name}': {error}")
            continue
        truths[name] = truth
    return truths


def scored(given: Answer, truths: Mapping[str, GroundTruth]) -> dict[str, float]:
    """The official scores by name, such as `mtwv` and `mtwv_<name of another ground truth>`.

    They are about every query and document of a ground truth; pairs that were not searched have the score
    -10. Where some were not, `mtwv_searched` and so on are about those that were.
    """
    found: dict[str, float] = {}
    for name, truth in truths.items():
        try:
            official, searched, left_out = score_search(given, truth)
        except UserError as error:  # after the search: its results count more than one of their scores
            say(f"[{NAME}] No score by the ground truth '{name}': {error}")
            continue
        if not name and any(left_out):
            queries, documents = left_out
            say(f"[{NAME}] {queries:,} queries and {documents:,} documents are not in the ground truth.")
        for note in truth.notes:
            say(f"[{NAME}] {note}")
        suffix = f"_{name}" if name else ""
        fields = FIELDS[:1] if name else FIELDS
        found |= _named(official, fields, suffix)
        if searched not in (None, official):
            found |= _named(searched, fields, f"{suffix}_searched")
    return found


def _named(scores: QuesstScores, fields: tuple[str, ...], suffix: str) -> dict[str, float]:
    return {f"{field}{suffix}": getattr(scores, field) for field in fields}
