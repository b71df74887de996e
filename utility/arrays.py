"""Arrays of ready features in .npy files."""

from pathlib import Path

import numpy as np

from .audio import AudioError


def read_features(path: Path) -> np.ndarray:
    """An array [frames, dim] of a .npy file, mapped into memory.

    Raises:
        AudioError: the file is missing, damaged, or holds something else.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AudioError(f"{path} cannot be read as features: {error}. Make it again.") from error
    if not isinstance(array, np.ndarray):
        raise AudioError(f"{path} holds several arrays, not the features of one utterance.")
    if array.ndim != 2 or array.dtype.kind != "f":
        raise AudioError(f"{path} holds {array.dtype} {list(array.shape)}, not features [frames, dim].")
    return array
