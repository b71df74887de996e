"""The equal error rate is that of scikit-learn's ROC curve; the detection cost is that of its definition."""

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from s3prl.downstream.common.metrics.eer import equal_error_rate, min_dcf
from s3prl.utility.errors import UserError


def trials(seed):
    """Scores and labels: few or many trials, ties, some systems that are worse than chance."""
    rng = np.random.default_rng(seed)
    count = int(rng.choice([2, 3, 5, 20, 300, 3000]))
    labels = rng.random(count) < rng.choice([0.1, 0.5, 0.9])
    labels[:2] = [0, 1]
    scores = rng.normal(size=count) + labels * rng.choice([-1.0, 0.0, 1.0, 4.0])
    return (np.round(scores, 1) if seed % 2 else scores), labels.astype(int)


@pytest.mark.parametrize("seed", range(60))
def test_the_equal_error_rate_is_that_of_scikit_learn(seed):
    scores, labels = trials(seed)
    false_alarms, hits, _ = roc_curve(labels, scores)
    expected = brentq(lambda x: 1.0 - x - interp1d(false_alarms, hits)(x), 0.0, 1.0)
    assert equal_error_rate(scores, labels)[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(0, 60, 2))
def test_at_the_threshold_misses_are_as_frequent_as_false_alarms(seed):
    scores, labels = trials(seed)
    rate, threshold = equal_error_rate(scores, labels)
    accepted = scores >= threshold
    one_trial = 1 / min(labels.sum(), (1 - labels).sum())
    assert abs(accepted[labels == 0].mean() - rate) <= one_trial + 1e-9
    assert abs(1 - accepted[labels == 1].mean() - rate) <= one_trial + 1e-9


def test_the_threshold_is_interpolated_along_the_curve_as_the_rate_is():
    scores = np.array([0.9, 0.8, 0.6, 0.5, 0.3, 0.1])
    labels = np.array([1, 1, 0, 0, 1, 0])
    false_alarms, _, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    rate, threshold = equal_error_rate(scores, labels)
    assert rate == pytest.approx(1 / 3)
    assert threshold == pytest.approx(interp1d(false_alarms, thresholds)(rate)) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("scores", "rate"),
    [([0.9, 0.8, 0.2, 0.1], 0.0), ([0.1, 0.2, 0.8, 0.9], 1.0), ([0.5, 0.5, 0.5, 0.5], 0.5)],
    ids=["perfect", "inverted", "constant"],
)
def test_perfect_inverted_and_constant_systems(scores, rate):
    found, threshold = equal_error_rate(scores, [1, 1, 0, 0])
    assert found == rate and min(scores) <= threshold <= max(scores)


def test_scores_of_any_type_and_scale_are_taken():
    scores, labels = trials(4)
    expected = equal_error_rate(scores, labels)
    assert equal_error_rate(list(scores), labels.astype(bool)) == expected
    assert equal_error_rate(1000 * scores - 5, labels)[0] == pytest.approx(expected[0], abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    "parameters", [(0.01, 1.0, 1.0), (0.05, 1.0, 1.0), (0.01, 10.0, 1.0), (0.5, 1.0, 3.0)]
)
def test_the_detection_cost_is_the_least_over_all_thresholds(seed, parameters):
    scores, labels = trials(seed)
    p_target, c_miss, c_fa = parameters
    target, other = scores[labels == 1], scores[labels == 0]

    def cost(threshold):
        misses, alarms = (target < threshold).mean(), (other >= threshold).mean()
        return c_miss * p_target * misses + c_fa * (1 - p_target) * alarms

    candidates = [*scores[:300], np.inf] if len(scores) > 300 else [*scores, np.inf]
    best = min(map(cost, candidates)) / min(c_miss * p_target, c_fa * (1 - p_target))
    found, threshold = min_dcf(scores, labels, *parameters)
    assert found == pytest.approx(cost(threshold) / min(c_miss * p_target, c_fa * (1 - p_target)))
    assert found <= min(best + 1e-12, 1.0)
    if len(scores) <= 300:
        assert found == pytest.approx(best)


def test_a_detection_cost_worked_out_by_hand():
    scores, labels = [0.9, 0.7, 0.6, 0.4, 0.3, 0.2], [1, 1, 0, 1, 0, 0]
    # From 0.7 on: one of three targets missed, no false alarm: 0.01 * (1 / 3) / 0.01.
    assert min_dcf(scores, labels) == (pytest.approx(1 / 3), 0.7)
    # From 0.4 on: no miss, one of three others accepted: 0.5 * (1 / 3) / 0.5; the first threshold wins.
    assert min_dcf(scores, labels, p_target=0.9)[1] == 0.4
    assert min_dcf([0.1, 0.9], [1, 0]) == (1.0, np.inf)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, np.nan, 0.3], [1, 0, 1], r"1 of the 3 scores are NaN or infinite.*trial 2 \(nan\)"),
        ([0.1, 0.2], [1, 1], r"no nontarget trials \(0\) among the 2"),
        ([0.1, 0.2], [0, 0], r"no target trials \(1\) among the 2"),
        ([0.1, 0.2], [0, 1, 1], r"scores of shape \(2,\) and labels of shape \(3,\)"),
        ([0.1, 0.2], [0, 2], "Labels must be 1 .* or 0 .*, not 2"),
        ([], [], "no target trials"),
    ],
)
def test_what_cannot_be_scored_is_refused(scores, labels, message):
    for metric in (equal_error_rate, min_dcf):
        with pytest.raises(UserError, match=message):
            metric(scores, labels)


def test_impossible_parameters_of_the_cost_are_named():
    with pytest.raises(UserError, match=r"p_target must lie between 0 and 1, not 1\.5"):
        min_dcf([0.1, 0.2], [0, 1], p_target=1.5)
    with pytest.raises(UserError, match="c_fa must be a number above 0, not 0"):
        min_dcf([0.1, 0.2], [0, 1], c_fa=0)
