"""Silence cut out of a wave as the effect `silence 1 0.1 0.1% -1 0.1 0.1%` of sox does it, to the sample.

A sound begins where the level has been above the threshold for 0.1 s and ends where it has been below it for
0.1 s; what lies between two sounds, before the first and after the last is cut out. The level is the root
mean square of the last 1/50 s. When a sound has ended, sox listens anew: samples from before that no longer
count, so a sound of half the threshold's level needs 1/50 s to be noticed where a loud one needs no time.
"""

from typing import NamedTuple

import numpy as np

from .audio import SAMPLE_RATE

SPAN = SAMPLE_RATE // 50  # samples over which the level is measured
HOLD = SAMPLE_RATE // 10  # samples for which it must stay above or below the threshold
# sox rounds the level down to whole steps of 32-bit audio, and compares those with 0.1 % of 2**31 - 1.
THRESHOLD = 2147484 / 2**31
ENERGY = SPAN * THRESHOLD**2  # sum of squares over the span, at the threshold


def without_silence(wave: np.ndarray) -> np.ndarray:
    """The sounds of a wave, one after the other.

    Args:
        wave: float [samples] at 16 kHz, full scale being 1.

    Returns:
        float [samples], of the same type; empty where there are no sounds.
    """
    squares = np.square(wave, dtype=np.float64)
    loud = _Stretches.of(_moving_sum(squares) >= ENERGY)
    sounds, position = [], 0
    while position < len(wave):
        # From silence on, the level needs up to SPAN samples to reach that of the whole wave.
        energies = np.cumsum(squares[position : position + SPAN - 1])
        begin = loud.long_one(position + int(np.searchsorted(energies, ENERGY)))
        if begin is None:
            break
        end = loud.gap_after(begin)
        sounds.append(wave[begin:end])
        position = end + HOLD
    return np.concatenate(sounds) if sounds else wave[:0]


class _Stretches(NamedTuple):
    """Stretches of a wave above the threshold, and which of them, and of the gaps behind them, last HOLD."""

    begins: np.ndarray
    ends: np.ndarray  # the last sample + 1
    long: np.ndarray  # numbers of the stretches
    before_gaps: np.ndarray  # numbers of the stretches with a long gap behind them
    samples: int

    @classmethod
    def of(cls, above: np.ndarray) -> "_Stretches":
        """Of whether the level is above the threshold at a sample, bool [samples]."""
        changes = np.flatnonzero(np.diff(above, prepend=False, append=False))
        begins, ends = changes[::2], changes[1::2]
        gaps = np.append(begins[1:], len(above)) - ends if len(ends) else ends
        long, before_gaps = (np.flatnonzero(lengths >= HOLD) for lengths in (ends - begins, gaps))
        return cls(begins, ends, long, before_gaps, len(above))

    def long_one(self, first: int) -> int | None:
        """Where the first long stretch begins, heard from a sample on; None if there is none."""
        number = np.searchsorted(self.ends, first, "right")
        if number < len(self.ends) and self.ends[number] - max(self.begins[number], first) >= HOLD:
            return int(max(self.begins[number], first))
        later = self.long[np.searchsorted(self.long, number, "right") :]
        return int(self.begins[later[0]]) if len(later) else None

    def gap_after(self, begin: int) -> int:
        """Where the first long gap begins after the beginning of a sound; the end of the wave without one."""
        number = np.searchsorted(self.ends, begin, "right")
        later = self.before_gaps[np.searchsorted(self.before_gaps, number) :]
        return int(self.ends[later[0]]) if len(later) else self.samples


def _moving_sum(values: np.ndarray) -> np.ndarray:
    """Sums over the last SPAN values, [samples]; silence comes before the first.

    Each is the sum of the end of one block and the beginning of the next: without the cancellation that
    differences of running sums over a whole recording would bring.
    """
    blocks = -(-len(values) // SPAN)
    padded = np.zeros((blocks + 1, SPAN))
    padded.reshape(-1)[SPAN : SPAN + len(values)] = values
    beginnings = np.cumsum(padded, axis=1)
    ends = np.cumsum(padded[:, ::-1], axis=1)[:, ::-1]
    sums = beginnings[1:]
    sums[:, :-1] += ends[:-1, 1:]
    return sums.reshape(-1)[: len(values)]
