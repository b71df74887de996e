"""When somebody speaks: from the energy of a clean recording, or from an alignment of its words."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.textgrids import read_tier

HOP, WIDTH = 160, 400  # samples from one frame to the next (10 ms), and of a frame (25 ms)
LOUD, QUIET = 99, 5  # percentiles of the frames' levels that are speech and background
ABOVE_QUIET = 10.0  # dB by which speech is above the background
ALWAYS_SPEECH = 25.0  # dB below the loud frames, down to where it is speech however loud the background is
SHORTEST = 0.05  # seconds; what is shorter is a click

Spans = list[tuple[float, float]]  # (start, end) in seconds


@dataclass(frozen=True)
class Detector:
    """What counts as speech.

    Attributes:
        below_loud: dB below the loud frames of a recording, down to where its frames are speech.
        min_pause: seconds; a shorter pause belongs to the speech around it.
    """

    below_loud: float = 40.0
    min_pause: float = 0.2

    def spans(self, wave: np.ndarray) -> Spans:
        """When somebody speaks in a clean recording, by the energy of its frames.

        A frame is speech if its level is within `below_loud` of the loud ones (the 99th percentile). Where
        the background (the 5th percentile, digital silence left out) is noisy, it also has to be 10 dB above
        that; but what is within 25 dB of the loud frames is speech in any case.

        Args:
            wave: float32 [samples] at 16 kHz.
        """
        levels = _levels(wave)
        heard = levels[np.isfinite(levels)]
        if not len(heard):
            return []
        loud, quiet = np.percentile(heard, (LOUD, QUIET))
        threshold = max(loud - self.below_loud, min(quiet + ABOVE_QUIET, loud - ALWAYS_SPEECH))
        active = np.diff((levels >= threshold).astype(np.int8), prepend=0, append=0).nonzero()[0]
        times = np.minimum(active * HOP, len(wave)) / SAMPLE_RATE
        spans = self.joined(list(zip(times[::2].tolist(), times[1::2].tolist(), strict=True)))
        return [(start, end) for start, end in spans if end - start >= SHORTEST]

    def joined(self, spans: Spans) -> Spans:
        """The spans in the order of time, without the pauses that are too short."""
        found: Spans = []
        for start, end in sorted(spans):
            if found and start - found[-1][1] < self.min_pause:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            else:
                found.append((start, end))
        return found


def words_of(path: Path) -> Spans:
    """When the words of a TextGrid are said: the tier `words`, or `<speaker> - words`.

    Raises:
        UserError: the file is no TextGrid, or has no such tier.
    """
    return [(start, end) for start, end, label in read_tier(path, "word") if label.strip()]


def _levels(wave: np.ndarray) -> np.ndarray:
    """The level of each 10 ms in dB, from the 25 ms around them: float64 [hops]; -inf is digital silence."""
    hops = -(-len(wave) // HOP)
    before = (WIDTH - HOP) // 2
    energy = np.zeros(hops * HOP + WIDTH - HOP + 1)
    energy[before + 1 : before + 1 + len(wave)] = np.square(wave, dtype=np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(energy[1:], WIDTH)[::HOP]
    with np.errstate(divide="ignore"):
        return 10 * np.log10(frames.mean(axis=1))
