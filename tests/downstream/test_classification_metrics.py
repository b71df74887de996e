"""Metrics of classifiers equal those of scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from s3prl.downstream.common.confusion import confusion_matrix
from s3prl.downstream.common.metrics.classification import macro_f1


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_macro_f1_is_that_of_scikit_learn_also_with_classes_that_do_not_occur(classes):
    rng = np.random.default_rng(classes)
    for size in (1, 7, 300):
        truth, predicted = rng.integers(0, classes, (2, size))
        right = rng.random(size) < 0.5
        predicted[right] = truth[right]
        expected = f1_score(truth, predicted, average="macro")
        assert macro_f1(confusion_matrix(truth, predicted, classes)) == pytest.approx(expected, abs=1e-12)


def test_macro_f1_of_nothing_is_0():
    assert macro_f1(np.zeros((3, 3), dtype=int)) == 0.0
