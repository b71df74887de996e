"""What the scores of a spoken term detection have in common: its trials and what mistakes cost.

A trial is a pair of a query and a document; it is a target where the query occurs in the document.
"""

import math
from dataclasses import dataclass

import numpy as np

MISSING = -10.0  # of a trial that the system says nothing about; its decision is NO


@dataclass(frozen=True)
class Costs:
    """What mistakes cost; by default as in the evaluation plan of QUESST at MediaEval 2014.

    Attributes:
        miss, false_alarm: the costs of either mistake, above 0.
        p_target: the probability that a query occurs in a document, between 0 and 1.
    """

    miss: float = 100.0
    false_alarm: float = 1.0
    p_target: float = 0.0008

    def __post_init__(self) -> None:
        if not (self.miss > 0 and self.false_alarm > 0 and 0 < self.p_target < 1):
            raise ValueError(f"costs must be above 0 and p_target between 0 and 1, not {self}")

    @property
    def beta(self) -> float:
        """How much false alarms weigh against misses: C_fa (1 - P_target) / (C_miss P_target), 12.49."""
        return self.false_alarm * (1 - self.p_target) / (self.miss * self.p_target)

    @property
    def prior(self) -> float:
        """The effective prior, which alone says what the three numbers say: 1 / (1 + beta), 0.0741."""
        return 1 / (1 + self.beta)

    @property
    def bayes_threshold(self) -> float:
        """Above it, a log-likelihood ratio (natural logarithm) is to be accepted: log(beta), 2.525."""
        return math.log(self.beta)


QUESST_2014 = Costs()


def complete(scores: np.ndarray, targets: np.ndarray, missing: float) -> tuple[np.ndarray, np.ndarray]:
    """The scores and targets of all trials as arrays, with `missing` in place of NaN.

    Raises:
        ValueError: the shapes differ, a score is infinite, or there is no target.
    """
    scores, targets = np.asarray(scores, dtype=np.float64), np.asarray(targets, dtype=bool)
    if scores.shape != targets.shape:
        raise ValueError(f"scores {scores.shape} and targets {targets.shape} differ in shape")
    if np.isinf(scores).any():
        raise ValueError("scores must be finite, or NaN where they are missing")
    if not targets.any():
        raise ValueError("no trial is a target")
    return np.where(np.isnan(scores), missing, scores), targets
