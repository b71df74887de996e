"""The official scores of a search in QUESST 2014, from a system's output and the ground truth."""

from typing import NamedTuple

import numpy as np

from s3prl.utility.errors import UserError

from .cnxe import cnxe
from .quesst_truth import GroundTruth
from .stdlist import Search
from .trials import MISSING, QUESST_2014, Costs
from .twv import term_weighted_value


class QuesstScores(NamedTuple):
    """
    Attributes:
        mtwv, threshold, atwv: see `TermWeightedValue`; the actual one is at the decisions of the system.
        min_cnxe, act_cnxe: see `Cnxe`.
        queries, documents: how many the scores are about.
        occurrences: how many pairs of them are targets.
        without_target: how many of the queries occur in no document; the term-weighted value leaves them out.
    """

    mtwv: float
    threshold: float
    atwv: float
    min_cnxe: float
    act_cnxe: float
    queries: int
    documents: int
    occurrences: int
    without_target: int


class SearchScores(NamedTuple):
    """
    Attributes:
        official: over all queries and documents of the ground truth; what the system says nothing about has
            the score of missing trials and the decision NO.
        searched: over the queries and documents in the system's output; None where none of these queries
            occurs in one of these documents.
        left_out: how many queries and documents of the system's output the ground truth does not list; they
            count for neither.
    """

    official: QuesstScores
    searched: QuesstScores | None
    left_out: tuple[int, int]


def score_search(
    search: Search, truth: GroundTruth, missing: float = MISSING, costs: Costs = QUESST_2014
) -> SearchScores:
    """Score a search.

    Args:
        missing: the score of trials that are not in the search.

    Raises:
        UserError: the ground truth lists no query or no document of the search, or no query of it occurs in a
            document.
    """
    if not truth.occurrences:
        raise UserError("The ground truth has no occurrence of any query, so that nothing can be scored.")
    known = search.within(truth.queries, truth.documents)
    for what, given, found in (
        ("queries", search.queries, known.queries),
        ("documents", search.documents, known.documents),
    ):
        if not found:
            raise UserError(
                f"The ground truth lists none of the {len(given):,} {what} of the search"
                f"{f', such as {given[0]}' if given else ''}. Give the ground truth of the split that was "
                "searched."
            )
    left_out = len(search.queries) - len(known.queries), len(search.documents) - len(known.documents)
    targets = truth.targets
    scores, decisions = np.full(targets.shape, np.nan), np.zeros(targets.shape, dtype=bool)
    where = np.ix_(_positions(known.queries, truth.queries), _positions(known.documents, truth.documents))
    scores[where], decisions[where] = known.scores, known.decisions
    official = _scores(scores, decisions, targets, missing, costs)
    searched = None
    if known.scores.shape == targets.shape:
        searched = official
    elif targets[where].any():
        searched = _scores(known.scores, known.decisions, targets[where], missing, costs)
    return SearchScores(official, searched, left_out)


def _positions(names: list[str], known: list[str]) -> list[int]:
    positions = {name: position for position, name in enumerate(known)}
    return [positions[name] for name in names]


def _scores(
    scores: np.ndarray, decisions: np.ndarray, targets: np.ndarray, missing: float, costs: Costs
) -> QuesstScores:
    value = term_weighted_value(scores, targets, decisions, costs=costs, missing=missing)
    entropy = cnxe(scores, targets, costs, missing)
    return QuesstScores(
        value.mtwv,
        value.threshold,
        value.atwv,
        entropy.minimum,
        entropy.actual,
        *targets.shape,
        int(targets.sum()),
        value.without_target,
    )
