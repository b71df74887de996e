"""Spectrograms as images for TensorBoard."""

import numpy as np
from torch import Tensor

COLOURS = "magma"
EXTREMES = (1, 99)  # percentiles between which the colours lie


def image(spectrogram: Tensor) -> np.ndarray:
    """[frames, dim] -> RGB uint8 [3, dim, frames], low dimensions at the bottom."""
    from matplotlib import colormaps  # only here: it takes its time to load

    values = spectrogram.detach().float().cpu().numpy().T[::-1]
    low, high = np.percentile(values, EXTREMES)
    shades = np.clip((values - low) / max(high - low, 1e-10), 0, 1)
    colours = (colormaps[COLOURS](shades)[..., :3] * 255).astype(np.uint8)
    return np.ascontiguousarray(colours.transpose(2, 0, 1))
