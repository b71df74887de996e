"""The normalised cross entropy of QUESST 2014, computed by hand and compared with scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from s3prl.downstream.common.metrics.cnxe import cnxe
from s3prl.downstream.common.metrics.trials import Costs

EVEN = Costs(miss=1, false_alarm=1, p_target=0.5)  # the prior is 1/2, its entropy 1 bit


def overlapping(seed=0, size=2000):
    rng = np.random.default_rng(seed)
    targets = rng.random(size) < 0.1
    return rng.normal(size=size) + 1.5 * targets, targets


def test_a_case_computed_by_hand():
    # Probabilities 3/4 and 1/2 of two targets, 1/4 and 1/8 of two other trials.
    scores = np.log([3, 1, 1 / 3, 1 / 7])
    targets = np.array([True, True, False, False])
    expected = 0.5 * (math.log2(4 / 3) + math.log2(2)) / 2 + 0.5 * (math.log2(4 / 3) + math.log2(8 / 7)) / 2
    assert cnxe(scores, targets, EVEN).actual == pytest.approx(expected)


def test_the_default_prior_is_the_effective_one_of_the_evaluation_plan():
    scores, targets, prior = np.array([2.0, -1.0, 0.5]), np.array([True, False, False]), 1 / 13.49

    def probability(score):
        return 1 / (1 + math.exp(-score) * (1 - prior) / prior)

    entropy = -prior * math.log2(prior) - (1 - prior) * math.log2(1 - prior)
    of_targets = -math.log2(probability(2))
    of_others = -(math.log2(1 - probability(-1)) + math.log2(1 - probability(0.5))) / 2
    expected = (prior * of_targets + (1 - prior) * of_others) / entropy
    assert cnxe(scores, targets).actual == pytest.approx(expected)


def test_scores_that_say_nothing_have_1_and_misleading_ones_more():
    targets = np.array([True, False, False])
    assert cnxe(np.zeros(3), targets)[:2] == pytest.approx((1, 1))
    misleading = cnxe(np.array([-5.0, 5, -5]), targets)
    assert misleading.actual > 1 >= misleading.minimum


def test_calibration_is_the_logistic_regression_of_scikit_learn():
    scores, targets = overlapping()
    found = cnxe(scores, targets)
    weights = np.where(targets, Costs().prior / targets.sum(), (1 - Costs().prior) / (~targets).sum())
    peer = LogisticRegression(C=1e12, tol=1e-10).fit(scores[:, None], targets, weights * len(scores))
    assert found.gamma == pytest.approx(peer.coef_[0, 0], rel=1e-4)
    assert found.delta == pytest.approx(peer.intercept_[0] + math.log(Costs().beta), rel=1e-4)
    assert found.minimum < found.actual


def test_calibrated_scores_are_at_the_minimum():
    scores, targets = overlapping()
    found = cnxe(scores, targets)
    calibrated = cnxe(found.gamma * scores + found.delta, targets)
    assert calibrated.actual == pytest.approx(found.minimum, abs=1e-12)
    assert calibrated.minimum == pytest.approx(found.minimum, abs=1e-12)
    assert (calibrated.gamma, calibrated.delta) == pytest.approx((1, 0), abs=1e-5)


@pytest.mark.parametrize(("factor", "offset"), [(1000, 0), (1e-4, 7), (-3, 2), (1, 1e4)])
def test_the_minimum_stays_under_affine_maps(factor, offset):
    scores, targets = overlapping(1)
    found = cnxe(scores, targets).minimum
    assert cnxe(factor * scores + offset, targets).minimum == pytest.approx(found, abs=1e-9)


def test_the_minimum_of_separable_scores_is_0():
    scores = np.array([1.0, 1.01, -3, 0.99, 0])
    assert cnxe(scores, scores >= 1).minimum == pytest.approx(0, abs=1e-9)


def test_where_only_equal_scores_are_confused_what_they_leave_open_remains():
    # With the prior 1/2: targets at 1 and 0, others at 0 and -1. Half of each weight is at 0, where the
    # probability is 1/2: half a bit remains.
    scores, targets = np.array([1.0, 0, 0, -1]), np.array([True, True, False, False])
    assert cnxe(scores, targets, EVEN).minimum == pytest.approx(0.5, abs=1e-9)


def test_missing_scores_and_shapes_are_as_of_the_term_weighted_value():
    scores, targets = np.array([[1.0, np.nan], [0.0, -2.0]]), np.eye(2, dtype=bool)
    assert cnxe(scores, targets) == cnxe(np.array([1.0, -10, 0, -2]), targets.ravel())
    with pytest.raises(ValueError, match="no trial is a target"):
        cnxe(scores, np.zeros((2, 2)))


def test_large_scores_do_not_overflow():
    found = cnxe(np.array([5000.0, -5000]), np.array([False, True]))
    assert math.isfinite(found.actual) and found.minimum == pytest.approx(0, abs=1e-9)
