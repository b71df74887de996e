"""The term-weighted value of QUESST 2014, computed by hand, by brute force and at its bounds."""

import math

import numpy as np
import pytest

from s3prl.downstream.common.metrics.trials import Costs
from s3prl.downstream.common.metrics.twv import term_weighted_value, twv_curve

BETA = 12.49  # 1 * (1 - 0.0008) / (100 * 0.0008)


def test_beta_prior_and_bayes_threshold_are_those_of_the_evaluation_plan():
    assert Costs().beta == pytest.approx(BETA)
    assert Costs().prior == pytest.approx(0.0741, abs=5e-5)
    assert Costs().bayes_threshold == pytest.approx(math.log(BETA))
    with pytest.raises(ValueError, match="p_target"):
        Costs(p_target=1)


def test_a_case_computed_by_hand():
    targets = np.zeros((2, 100), dtype=bool)
    targets[0, :4] = targets[1, :2] = True
    scores = np.zeros((2, 100))
    scores[0, :4] = 5, 4, 3, 0
    scores[1, :2] = 5, 1
    scores[1, 50:55] = 2  # false alarms, when 1 is to be accepted
    found = term_weighted_value(scores, targets, decisions=scores >= 1)
    # From 3: of query 0 one target in 4 is missed, of query 1 one in 2.
    assert found.mtwv == pytest.approx(1 - (1 / 4 + 1 / 2) / 2)
    assert found.threshold == 3
    # From 1: query 0 still misses one in 4; query 1 has 5 of 98 documents too many.
    assert found.atwv == pytest.approx(1 - (1 / 4 / 2 + BETA * (5 / 98) / 2))
    assert (found.queries, found.without_target) == (2, 0)


def test_the_curve_is_that_of_a_brute_force_sweep_also_with_ties():
    rng = np.random.default_rng(0)
    targets = rng.random((7, 60)) < 0.1
    targets[3] = False
    scores = np.round(rng.normal(size=targets.shape) + 2 * targets, 1)  # many are equal
    curve = twv_curve(scores, targets)
    assert len(curve.thresholds) == 1 + len(np.unique(scores[targets.any(1)]))
    for threshold, p_miss, p_fa, twv in zip(*curve, strict=True):
        missed, false = [], []
        for row, wanted in zip(scores, targets, strict=True):
            if wanted.any():
                missed.append(np.mean(row[wanted] < threshold))
                false.append(np.mean(row[~wanted] >= threshold))
        assert (p_miss, p_fa) == pytest.approx((np.mean(missed), np.mean(false)), abs=1e-12)
        assert twv == pytest.approx(1 - np.mean(missed) - BETA * np.mean(false), abs=1e-11)
    found = term_weighted_value(scores, targets)
    assert found.mtwv == curve.twv.max()
    assert (found.queries, found.without_target) == (6, 1)


def test_a_perfect_system_has_1():
    targets = np.eye(3, 20, dtype=bool)
    found = term_weighted_value(targets * 2.0, targets, decisions=targets)
    assert (found.mtwv, found.threshold, found.atwv) == pytest.approx((1, 2, 1))


def test_equal_scores_are_accepted_together():
    targets = np.eye(1, 100, dtype=bool)
    scores = np.zeros((1, 100))
    scores[0, :2] = 1  # one target, one false alarm
    assert term_weighted_value(scores, targets).mtwv == pytest.approx(1 - BETA / 99)


def test_where_every_acceptance_costs_more_than_it_gains_the_maximum_is_that_of_accepting_nothing():
    targets = np.eye(1, 10, dtype=bool)
    found = term_weighted_value(np.zeros((1, 10)), targets, decisions=np.ones((1, 10), dtype=bool))
    assert (found.mtwv, found.threshold) == (0, math.inf)
    assert found.atwv == pytest.approx(1 - BETA), "the worst: all is accepted"


def test_false_alarms_of_queries_without_target_do_not_count():
    targets = np.eye(1, 5, dtype=bool)
    alone = term_weighted_value(targets * 1.0, targets, threshold=1)
    scores, both = np.ones((2, 5)), np.zeros((2, 5), dtype=bool)
    scores[0], both[0] = targets, targets
    found = term_weighted_value(scores, both, threshold=1)
    assert found[:4] == alone[:4] and found.without_target == 1


def test_missing_scores_are_minus_10_by_default():
    targets = np.array([[True, True, *[False] * 98]])
    scores = np.array([[1.0, np.nan, *[-20.0] * 98]])
    found = term_weighted_value(scores, targets)
    assert (found.mtwv, found.threshold) == pytest.approx((1, -10))
    found = term_weighted_value(scores, targets, missing=-30)
    assert (found.mtwv, found.threshold) == pytest.approx((0.5, 1))


def test_without_decisions_scores_are_log_likelihood_ratios():
    targets = np.eye(1, 4, dtype=bool)
    for score, atwv in ((math.log(BETA) + 0.01, 1), (math.log(BETA) - 0.01, 0)):
        assert term_weighted_value(np.where(targets, score, -1), targets).atwv == pytest.approx(atwv)


def test_a_query_that_occurs_everywhere_has_no_false_alarms():
    targets = np.ones((1, 3), dtype=bool)
    assert term_weighted_value(np.zeros((1, 3)), targets, threshold=0).atwv == 1


@pytest.mark.parametrize(
    ("scores", "targets", "reason"),
    [
        (np.zeros((2, 3)), np.ones((3, 2)), "differ in shape"),
        (np.full((1, 2), np.inf), np.ones((1, 2)), "finite"),
        (np.zeros((1, 2)), np.zeros((1, 2)), "no trial is a target"),
    ],
)
def test_impossible_arguments_are_refused(scores, targets, reason):
    with pytest.raises(ValueError, match=reason):
        term_weighted_value(scores, targets)
