"""Scores of detection tasks, such as speaker verification: the equal error rate and the detection cost.

A trial asks whether two recordings are by the same speaker; a system answers with a score, which is higher
the surer it is. `equal_error_rate([0.9, 0.2, 0.7, 0.1], [1, 1, 0, 0])` is 0.5: at any threshold between 0.2
and 0.7, half of the target trials are missed and half of the others are accepted.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from s3prl.utility.errors import UserError

Values = np.ndarray | Sequence[float]


class _Curve(NamedTuple):
    """Both error rates where trials are accepted whose score is `threshold` or higher; float64 [points].

    The first point accepts nothing, the last one everything; between them are the distinct scores, falling.
    """

    threshold: np.ndarray
    false_alarm: np.ndarray  # fraction of the nontarget trials that are accepted
    miss: np.ndarray  # fraction of the target trials that are not


def equal_error_rate(scores: Values, labels: Values) -> tuple[float, float]:
    """The error rate at the threshold where misses are as frequent as false alarms.

    Between two scores the error rates are interpolated linearly, so the rate is where the ROC curve crosses
    the diagonal: that of scikit-learn's `roc_curve` and a root finder, as S3PRL has always computed it.

    Args:
        scores: [trials], of any scale; a higher one speaks for a target trial.
        labels: [trials], 1 for target trials (the same speaker) and 0 for the others.

    Returns:
        The rate, a fraction from 0 to 1, and the threshold, in the scale of the scores.

    Raises:
        UserError: scores or labels that cannot be scored, see `_check`.
    """
    curve = _curve(scores, labels)
    accepted = curve.false_alarm - curve.miss  # from -1 to 1, and growing with every point
    finite = curve.threshold.copy()
    finite[0] = finite[1]
    rate, threshold = (np.interp(0.0, accepted, values) for values in (curve.false_alarm, finite))
    return float(rate), float(threshold)


def min_dcf(
    scores: Values, labels: Values, p_target: float = 0.01, c_miss: float = 1.0, c_fa: float = 1.0
) -> tuple[float, float]:
    """The normalised detection cost of the NIST speaker recognition evaluations, at the best threshold.

    `c_miss * p_target * P(miss) + c_fa * (1 - p_target) * P(false alarm)`, divided by the cost of the better
    of the two systems that accept everything or nothing, so it is at most 1. The defaults are those of NIST
    SRE 2016 for one of its two points, and usual for VoxCeleb1.

    Args:
        scores, labels: [trials], see `equal_error_rate`.
        p_target: prior probability of a target trial, between 0 and 1.
        c_miss, c_fa: costs of a miss and of a false alarm, above 0.

    Returns:
        The cost, and the threshold from which on trials are accepted; infinite where nothing should be.

    Raises:
        UserError: scores or labels that cannot be scored, see `_check`; or parameters outside these bounds.
    """
    if not 0 < p_target < 1:
        raise UserError(f"p_target must lie between 0 and 1, not {p_target}.")
    for name, cost in (("c_miss", c_miss), ("c_fa", c_fa)):
        if not 0 < cost < np.inf:
            raise UserError(f"{name} must be a number above 0, not {cost}.")
    curve = _curve(scores, labels)
    of_misses, of_alarms = c_miss * p_target, c_fa * (1 - p_target)
    costs = (of_misses * curve.miss + of_alarms * curve.false_alarm) / min(of_misses, of_alarms)
    best = int(costs.argmin())
    return float(costs[best]), float(curve.threshold[best])


def _curve(scores: Values, labels: Values) -> _Curve:
    scores, labels = _check(scores, labels)
    order = np.argsort(scores)[::-1]
    scores, labels = scores[order], labels[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of the trials with one score
    hits = np.append(0, np.cumsum(labels)[last])
    accepted = np.append(0, last + 1)
    targets = hits[-1]
    return _Curve(
        np.append(np.inf, scores[last]),
        (accepted - hits) / (len(scores) - targets),
        (targets - hits) / targets,
    )


def _check(scores: Values, labels: Values) -> tuple[np.ndarray, np.ndarray]:
    """Scores as float64 and labels as bool.

    Raises:
        UserError: other shapes than [trials], scores that are NaN or infinite, labels that are neither 0 nor
            1, or no trial of one of the two kinds.
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise UserError(
            f"There must be one score and one label for each trial, not scores of shape {scores.shape} and "
            f"labels of shape {labels.shape}."
        )
    finite = np.isfinite(scores)
    if not finite.all():
        first = int(finite.argmin())
        raise UserError(
            f"{len(finite) - int(finite.sum()):,} of the {len(scores):,} scores are NaN or infinite, the "
            f"first for trial {first + 1} ({scores[first]}). Look at the embeddings of its recordings."
        )
    targets = labels == 1
    if not (targets | (labels == 0)).all():
        wrong = labels[~(targets | (labels == 0))][0]
        raise UserError(f"Labels must be 1 (target trial) or 0 (nontarget trial), not {wrong}.")
    if targets.all() or not targets.any():
        missing = "nontarget trials (0)" if targets.any() else "target trials (1)"
        raise UserError(f"There are no {missing} among the {len(scores):,} trials; both kinds are needed.")
    return scores, targets
