"""Confusion matrices and their pictures."""

import numpy as np
import pytest

from s3prl.downstream.common.confusion import confusion_image, confusion_matrix


def test_the_matrix_equals_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 7, (2, 500))
    expected = metrics.confusion_matrix(truth, predicted, labels=range(7))
    assert np.array_equal(confusion_matrix(truth, predicted, 7), expected)


@pytest.mark.parametrize("classes", [3, 40, 61, 1251, 4000])
def test_the_picture_is_darkest_where_classes_are_told_apart(classes):
    right = np.eye(classes, dtype=np.int64)
    image = confusion_image(right, [f"class {number}" for number in range(classes)])
    assert image.dtype == np.uint8 and image.shape[2] == 3
    assert max(image.shape) <= 1700
    height, width = image.shape[:2]
    wrong = confusion_image(np.fliplr(right), [f"class {number}" for number in range(classes)])
    assert not np.array_equal(image, wrong)
    if classes > 60:  # no names around it
        assert (image[range(height), range(width)] == 0).all() and image[0, -1].min() == 255
