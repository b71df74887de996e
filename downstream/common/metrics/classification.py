"""Metrics of classifiers, from a confusion matrix (see ../confusion.py)."""

import numpy as np


def macro_f1(matrix: np.ndarray) -> float:
    """The mean of the F1 scores of all classes that occur, from 0 to 1.

    F1 is the harmonic mean of a class's precision and recall. Each class counts the same, however rare it is;
    a class that is neither in the truth nor predicted does not count. scikit-learn's
    `f1_score(..., average="macro")` is the same.

    Args:
        matrix: int64 [classes, classes]; in row i and column j how often class i was taken for class j.
    """
    occurrences = matrix.sum(0) + matrix.sum(1)
    found = occurrences > 0
    if not found.any():
        return 0.0
    return float((2 * matrix.diagonal()[found] / occurrences[found]).mean())
