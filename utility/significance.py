"""Exact significance tests of two systems on the same utterances, two-sided, without further packages."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from s3prl.utility.errors import UserError

EQUAL = 1e-7  # relative: tables of equal probability differ in rounding
CONVERGED = 4e-16  # relative change of a continued fraction by one more term
TINY = 1e-300  # stands for a denominator of 0
MOST_TERMS = 100_000


class Outcome(NamedTuple):
    """The statistic and the probability of one at least as extreme if the systems are equally good."""

    statistic: float
    p_value: float


def paired_t_test(one: Sequence[float], other: Sequence[float]) -> Outcome:
    """Student's t-test of the differences between two systems, utterance by utterance.

    Args:
        one, other: the scores of the same utterances, in the same order.

    Returns:
        t (above 0 where `one` has the larger mean) and p. Differences that are all 0 have t = 0, p = 1.

    Raises:
        UserError: fewer than two utterances, or a score that is NaN or infinite.
    """
    differences = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    count = len(differences)
    if count < 2:
        raise UserError(f"A t-test needs two utterances or more, not {count}.")
    if not np.isfinite(differences).all():
        raise UserError("A t-test needs finite scores, and some are NaN or infinite. Evaluate again.")
    mean, deviation = differences.mean(), differences.std(ddof=1)
    if not differences.any():
        return Outcome(0.0, 1.0)
    if deviation == 0:
        return Outcome(math.copysign(math.inf, mean), 0.0)
    t, freedom = float(mean / (deviation / math.sqrt(count))), count - 1
    return Outcome(t, incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)))


def mcnemar_test(one: Sequence[bool], other: Sequence[bool]) -> Outcome:
    """McNemar's exact test: does each system get as many utterances right that the other gets wrong?

    Args:
        one, other: whether each system is right, for the same utterances in the same order.

    Returns:
        The smaller count of utterances that one system alone gets right, and p, of the binomial distribution
        with probability 1/2. Without such utterances p is 1.
    """
    right, too = np.asarray(one, dtype=bool), np.asarray(other, dtype=bool)
    first, second = int((right & ~too).sum()), int((too & ~right).sum())
    total, fewer = first + second, min(first, second)
    logarithms = [_log_choose(total, hits) - total * math.log(2) for hits in range(fewer + 1)]
    return Outcome(float(fewer), min(1.0, 2 * math.fsum(map(math.exp, logarithms))))


def fisher_test(one: Sequence[bool], other: Sequence[bool]) -> Outcome:
    """Fisher's exact test of the table right/wrong by system; it ignores which utterances the two share.

    Args:
        one, other: whether each system is right, for every utterance.

    Returns:
        The odds ratio of `one` to `other` and p: of all tables with the same sums, the probability of those
        that are no more probable than this one.
    """
    right, too = sum(map(bool, one)), sum(map(bool, other))
    wrong, also = len(one) - right, len(other) - too
    total, total_right = len(one) + len(other), right + too
    first, last = max(0, total_right - len(other)), min(total_right, len(one))
    everything = _log_choose(total, total_right)
    logarithms = np.array(
        [
            _log_choose(len(one), hits) + _log_choose(len(other), total_right - hits) - everything
            for hits in range(first, last + 1)
        ]
    )
    rare = logarithms <= logarithms[right - first] + EQUAL
    odds = right * also / (too * wrong) if too * wrong else math.inf if right * also else math.nan
    return Outcome(odds, min(1.0, math.fsum(np.exp(logarithms[rare]))))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for x from 0 to 1, by its continued fraction.

    Abramowitz and Stegun, 26.5.8, evaluated by Lentz's method.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the other side converges faster
        return 1 - incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    value = numerator = 1.0
    denominator = 0.0
    for term in range(MOST_TERMS):
        step = term // 2
        if term == 0:
            factor = 1.0
        elif term % 2 == 0:
            factor = step * (b - step) * x / ((a + term - 1) * (a + term))
        else:
            factor = -(a + step) * (a + b + step) * x / ((a + term - 1) * (a + term))
        denominator = 1 / ((1 + factor * denominator) or TINY)
        numerator = (1 + factor / numerator) or TINY
        change = numerator * denominator
        value *= change
        if term and abs(change - 1) < CONVERGED:
            break
    return min(1.0, math.exp(log_front) / a * (value - 1))


def _log_choose(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)
