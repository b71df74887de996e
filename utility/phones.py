"""Phones of frames: the 41 classes of ARPAbet without stress, and the phone of every 10 ms from phone times.

Frame i is the 25 ms from 10 i ms on, as in Kaldi's features; its phone is that of its centre, 10 i + 12.5 ms.
"""

from collections.abc import Sequence

import numpy as np

RATE = 16000  # samples in a second
HOP, WIDTH = 160, 400  # samples between two frames, and of a frame
SILENCE, NOISE = "SIL", "SPN"
VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH"),
    *("V", "W", "Y", "Z", "ZH"),
)
ARPABET = (SILENCE, NOISE, *sorted(VOWELS + CONSONANTS))  # the order of the classes
# Those of the Montreal Forced Aligner with stress, 72: the classes of the Mockingjay paper.
MONTREAL = ("sil", "sp", "spn", *CONSONANTS, *(f"{vowel}{stress}" for vowel in VOWELS for stress in "012"))
_SILENCES = ("", "sil", "sp", "<eps>")  # what aligners call silence
_NOISES = ("spn", "nsn")


def without_stress(phone: str) -> str:
    """The class of an aligner's phone: `AH0` is AH, `sp` and an empty label are SIL; others stay."""
    if phone.lower() in _SILENCES:
        return SILENCE
    if phone.lower() in _NOISES:
        return NOISE
    return phone[:-1] if phone[:-1] in VOWELS and phone[-1] in "012" else phone


def frames_in(seconds: float) -> int:
    """How many whole frames a recording has; one at least."""
    return max(1, 1 + (round(seconds * RATE) - WIDTH) // HOP)


def labels_of_frames(
    starts: Sequence[float],
    ends: Sequence[float],
    labels: Sequence[int],
    frames: int,
    rest: int,
    hop: int = HOP,
    centre: float = WIDTH / 2,
) -> np.ndarray:
    """The label of every frame from labelled segments: int16 [frames].

    Args:
        starts, ends: of the segments, in seconds, in the order of time and without overlap.
        labels: of the segments.
        frames: how many.
        rest: the label of frames in no segment.
        hop: samples from one frame to the next.
        centre: samples from the beginning to the centre of the first frame.
    """
    labels = np.asarray(labels, dtype=np.int16)
    if not len(labels):
        return np.full(frames, rest, dtype=np.int16)
    centres = (np.arange(frames) * hop + centre) / RATE
    segment = np.searchsorted(np.asarray(starts), centres, side="right") - 1
    inside = (segment >= 0) & (centres < np.asarray(ends)[segment])
    return np.where(inside, labels[segment], np.int16(rest))
