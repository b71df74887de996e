"""The normalised cross entropy of a spoken term detection: what its scores leave open of the ground truth.

A score s is taken for a log-likelihood ratio (natural logarithm): with the prior P, the probability that the
query occurs is 1 / (1 + exp(-(s + logit P))). Then

    C_xe = P / targets * sum over targets of -log2(probability)
         + (1 - P) / others * sum over other trials of -log2(1 - probability)
    C_nxe = C_xe / (P log2(1 / P) + (1 - P) log2(1 / (1 - P)))

0 is perfect; scores that say nothing (all 0) have 1; badly calibrated ones exceed 1. The minimum is that of
gamma * s + delta with the best gamma and delta (logistic regression).

Sources: as of the term-weighted value, see twv.py. Where these leave a choice: P is the effective prior
1 / (1 + beta), so that both measures are about the same costs; all trials count alike, also those of queries
without any target; gamma may be negative.
"""

import math
from typing import NamedTuple

import numpy as np

from .trials import MISSING, QUESST_2014, Costs, complete

STEPS = 200  # of Newton's method; some 10 are needed, some 30 where targets and others are separable
SETTLED = 1e-13  # of C_nxe: the last step gains less


class Cnxe(NamedTuple):
    """
    Attributes:
        actual: C_nxe of the scores as they are.
        minimum: C_nxe of gamma * scores + delta.
        gamma, delta: make calibrated log-likelihood ratios of scores. They are large where a threshold
            separates targets from other trials, as no finite ones are best then.
    """

    actual: float
    minimum: float
    gamma: float
    delta: float


def cnxe(
    scores: np.ndarray, targets: np.ndarray, costs: Costs = QUESST_2014, missing: float = MISSING
) -> Cnxe:
    """Actual and minimum normalised cross entropy.

    Args:
        scores: of any shape, such as [queries, documents]; log-likelihood ratios for the actual figure; NaN
            where missing.
        targets: bool, of the same shape, whether the query occurs in the document.
        missing: the score of missing trials.

    Raises:
        ValueError: the shapes differ, a score is infinite, or there is no target.
    """
    scores, targets = complete(scores, targets, missing)
    values, group = np.unique(scores.ravel(), return_inverse=True)
    present, absent = (
        np.bincount(group[chosen], minlength=len(values)) for chosen in (targets.ravel(), ~targets.ravel())
    )
    entropy = _CrossEntropy(
        values,
        costs.prior * present / present.sum(),
        (1 - costs.prior) * absent / max(1, absent.sum()),
        costs,
    )
    gamma, delta = entropy.calibration()
    return Cnxe(entropy(1.0, 0.0), entropy(gamma, delta), gamma, delta)


class _CrossEntropy:
    """C_nxe of gamma * values + delta.

    Args:
        values: distinct scores.
        present, absent: how much targets and other trials of each value weigh.
    """

    def __init__(self, values: np.ndarray, present: np.ndarray, absent: np.ndarray, costs: Costs) -> None:
        self.values, self.present, self.absent = values, present, absent
        self.logit = -costs.bayes_threshold
        prior = costs.prior
        self.uninformed = -prior * math.log(prior) - (1 - prior) * math.log1p(-prior)  # nats

    def __call__(self, gamma: float, delta: float) -> float:
        return self._of(self.values, gamma, delta)

    def _of(self, values: np.ndarray, gamma: float, delta: float) -> float:
        odds = gamma * values + (delta + self.logit)
        nats = self.present @ np.logaddexp(0, -odds) + self.absent @ np.logaddexp(0, odds)
        return float(nats) / self.uninformed

    def calibration(self) -> tuple[float, float]:
        """The gamma and delta of the least cross entropy, by Newton's method on standardised scores."""
        weight = self.present + self.absent
        mean = weight @ self.values / weight.sum()
        spread = math.sqrt(weight @ (self.values - mean) ** 2 / weight.sum()) or 1.0
        values = (self.values - mean) / spread
        best, point = self._of(values, 0.0, 0.0), np.zeros(2)
        for _ in range(STEPS):
            step, size = self._step(values, point), 1.0
            while (reached := self._of(values, *(point - size * step))) > best and size > 1e-6:
                size /= 2
            if reached > best - SETTLED:
                break
            best, point = reached, point - size * step
        gamma = point[0] / spread
        return float(gamma), float(point[1] - gamma * mean)

    def _step(self, values: np.ndarray, point: np.ndarray) -> np.ndarray:
        """The inverse of the second derivatives, times the first."""
        odds = point[0] * values + (point[1] + self.logit)
        present = np.exp(-np.logaddexp(0, -odds))  # the probability
        absent = np.exp(-np.logaddexp(0, odds))
        slope = self.absent * present - self.present * absent
        bend = (self.present + self.absent) * present * absent
        mixed, twice = bend @ values, bend @ values**2
        second = np.array([[twice, mixed], [mixed, bend.sum()]])
        return np.linalg.lstsq(second, np.array([slope @ values, slope.sum()]), rcond=None)[0]
