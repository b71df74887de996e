"""The term-weighted value of a spoken term detection, in which every query counts the same.

    TWV(threshold) = 1 - (P_miss + beta P_fa)
    P_miss = mean over queries of (targets below the threshold / targets of the query)
    P_fa = mean over queries of (other trials from the threshold up / other trials of the query)

Sources: L. J. Rodriguez-Fuentes and M. Penagarikano, "MediaEval 2013 Spoken Web Search Task: System
Performance Measures" (GTTS-EHU technical report TR-2013-1), and the evaluation plan of QUESST at MediaEval
2014, in which a trial is a pair of query and document. 1 is perfect; a system that accepts nothing has 0.

Where these leave a choice: a trial is accepted when its score is at least the threshold, so that equal scores
are accepted together; accepting nothing is a threshold too, so that the maximum is never below 0; queries
without any target are left out, as P_miss is not defined for them.
"""

from typing import NamedTuple

import numpy as np

from .trials import MISSING, QUESST_2014, Costs, complete


class TermWeightedValue(NamedTuple):
    """
    Attributes:
        mtwv: the maximum over all thresholds.
        threshold: the highest one that has it; infinite where it is best to accept nothing.
        atwv: the actual value, at the decisions of the system.
        queries: how many have targets; the mean is over them.
        without_target: how many are left out.
    """

    mtwv: float
    threshold: float
    atwv: float
    queries: int
    without_target: int


class Curve(NamedTuple):
    """The value at every threshold that makes a difference, from the highest, inf, down; float64 each.

    Attributes:
        p_miss, p_fa: means over the queries, from 0 to 1.
    """

    thresholds: np.ndarray
    p_miss: np.ndarray
    p_fa: np.ndarray
    twv: np.ndarray


def term_weighted_value(
    scores: np.ndarray,
    targets: np.ndarray,
    decisions: np.ndarray | None = None,
    threshold: float | None = None,
    costs: Costs = QUESST_2014,
    missing: float = MISSING,
) -> TermWeightedValue:
    """Maximum and actual term-weighted value.

    Args:
        scores: [queries, documents], higher is likelier; comparable between queries; NaN where missing.
        targets: bool [queries, documents], whether the query occurs in the document.
        decisions: bool [queries, documents], what the system accepts.
        threshold: without `decisions`, the system accepts this score and higher ones; by default
            `costs.bayes_threshold`, which is right for log-likelihood ratios.
        missing: the score of missing trials.

    Raises:
        ValueError: the shapes differ, a score is infinite, or there is no target.
    """
    curve = twv_curve(scores, targets, costs, missing)
    scores, targets = complete(scores, targets, missing)
    if decisions is None:
        decisions = scores >= (costs.bayes_threshold if threshold is None else threshold)
    hit, alarm = _weights(targets)
    p_miss = 1 - np.sum(hit * (targets & decisions).sum(1))
    p_fa = np.sum(alarm * (~targets & decisions).sum(1))
    best = int(curve.twv.argmax())
    with_target = int(targets.any(1).sum())
    return TermWeightedValue(
        float(curve.twv[best]),
        float(curve.thresholds[best]),
        float(1 - (p_miss + costs.beta * p_fa)),
        with_target,
        len(targets) - with_target,
    )


def twv_curve(
    scores: np.ndarray, targets: np.ndarray, costs: Costs = QUESST_2014, missing: float = MISSING
) -> Curve:
    """The term-weighted value at all thresholds; see `term_weighted_value`."""
    scores, targets = complete(scores, targets, missing)
    kept = targets.any(1)
    scores, targets = scores[kept], targets[kept]
    hit, alarm = _weights(targets)
    thresholds, group = np.unique(scores.ravel(), return_inverse=True)
    target = targets.ravel()
    hits, alarms = (
        np.bincount(group[chosen], np.repeat(weight, targets.shape[1])[chosen], len(thresholds))
        for chosen, weight in ((target, hit), (~target, alarm))
    )
    p_miss = np.maximum(0, 1 - np.cumsum(np.append(0, hits[::-1])))
    p_fa = np.cumsum(np.append(0, alarms[::-1]))
    return Curve(np.append(np.inf, thresholds[::-1]), p_miss, p_fa, 1 - (p_miss + costs.beta * p_fa))


def _weights(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much a hit of each query adds to 1 - P_miss, and a false alarm to P_fa; 0 without targets."""
    present, absent = targets.sum(1), (~targets).sum(1)
    counted = present > 0
    hit, alarm = np.zeros(len(targets)), np.zeros(len(targets))
    hit[counted] = 1 / (present[counted] * counted.sum())
    alarms = counted & (absent > 0)
    alarm[alarms] = 1 / (absent[alarms] * counted.sum())
    return hit, alarm
