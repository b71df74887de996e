"""From the probabilities of a model to decisions: a threshold, then a median filter over time."""

import numpy as np

from s3prl.utility.errors import UserError


def check_decision(threshold: float, median: int) -> None:
    """Raise a UserError where a threshold is no probability, or the length of a filter is impossible."""
    if not 0 <= threshold <= 1:
        raise UserError(f"A threshold of {threshold:g}: it must be a probability, from 0 to 1.")
    if median < 1 or median % 2 == 0:
        raise UserError(f"A median filter of {median} frames: it must be an odd number, such as 11.")


def decide(probabilities: np.ndarray, threshold: float = 0.5, median: int = 1) -> np.ndarray:
    """Who speaks: bool [frames, speakers].

    Args:
        probabilities: [frames, speakers].
        threshold: a speaker speaks above it.
        median: frames of the filter, an odd number; 1 leaves decisions as they are.

    Raises:
        UserError: see `check_decision`.
    """
    check_decision(threshold, median)
    return majority(probabilities > threshold, median)


def majority(active: np.ndarray, frames: int) -> np.ndarray:
    """Each frame as most of the `frames` around it are, with silence before and behind the recording.

    Of 0 and 1 this is the median; `scipy.signal.medfilt(active, (frames, 1))` is the same.

    Args:
        active: bool [frames, speakers].
        frames: an odd number.
    """
    if frames == 1:
        return active
    half = frames // 2
    padded = np.pad(active, ((half + 1, half), (0, 0)))
    sums = padded.cumsum(axis=0, dtype=np.int32)
    return sums[frames:] - sums[:-frames] > half
