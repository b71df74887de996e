"""Confusion matrices: how often each class was taken for each other one."""

from collections.abc import Sequence

import numpy as np

NAMED = 60  # classes; of more, names would not be legible
COUNTED = 16  # classes; of more, counts would not be
LARGEST = 1500  # pixels of a matrix without names


def confusion_matrix(truth: Sequence[int], predicted: Sequence[int], classes: int) -> np.ndarray:
    """int64 [classes, classes]: in row i and column j how often class i was taken for class j."""
    pairs = np.asarray(truth, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def confusion_image(matrix: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """A picture of a confusion matrix, uint8 [height, width, 3]; each row in proportion to its sum.

    Args:
        matrix: as of `confusion_matrix`.
        names: of the classes; they are left out where there are more than 60.
    """
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    if len(matrix) > NAMED:
        return _plain(shares)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = 3 + 0.3 * len(matrix)  # inches
    figure = Figure(figsize=(size, size), dpi=80, layout="tight")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="predicted", ylabel="truth")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    if len(matrix) <= COUNTED:
        for row, column in np.ndindex(matrix.shape):
            dark = shares[row, column] > 0.5
            text = {"ha": "center", "va": "center", "fontsize": 8, "color": "white" if dark else "black"}
            axes.text(column, row, str(matrix[row, column]), **text)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _plain(shares: np.ndarray) -> np.ndarray:
    """A pixel or a square for each pair of classes; so many classes that they do not fit are joined."""
    joined = -(-len(shares) // LARGEST)
    if joined > 1:
        padded = np.pad(shares, (0, -len(shares) % joined))
        blocks = padded.reshape(len(padded) // joined, joined, -1, joined)
        shares = blocks.max((1, 3))
    scale = max(1, 600 // len(shares))
    grey = (255 * (1 - np.sqrt(shares))).astype(np.uint8).repeat(scale, 0).repeat(scale, 1)
    return np.repeat(grey[..., None], 3, axis=-1)
