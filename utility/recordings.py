"""A recording as a value: what to hear, and how. Small, hashable, and no file is touched before `read`."""

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s3prl.utility.audio import SAMPLE_RATE, load, num_samples

BAD_AUDIO = "bad_audio.tsv"  # where recordings that could not be used are listed


@dataclass(frozen=True)
class Recording:
    """An audio file or an excerpt of it.

    Attributes:
        path: any format that libsndfile reads; heard at 16 kHz, channels averaged.
        start, stop: the excerpt, in seconds; None is the beginning or end of the file.
        crop: seconds of the excerpt that are heard when it is longer; None hears all of it.
        place: where the crop lies, from 0 (at the front) to 1 (at the end).
        gain: in dB.
        drawn: whether place or gain were drawn at random from so many that the same one will hardly be heard
            again.
    """

    path: str
    start: float | None = None
    stop: float | None = None
    crop: float | None = None
    place: float = 0.0
    gain: float = 0.0
    drawn: bool = False

    def __post_init__(self) -> None:
        """Take a Path too."""
        object.__setattr__(self, "path", str(self.path))

    @property
    def name(self) -> str:
        """The file's name without its suffix, with the bounds of an excerpt behind it."""
        stem = Path(self.path).stem
        if self.start is None and self.stop is None:
            return stem
        return f"{stem}-{self.start or 0.0:.3f}-{'end' if self.stop is None else f'{self.stop:.3f}'}"

    def randomly_cropped(self, seconds: float, places: int | None = None) -> "Recording":
        """At most `seconds` of it, from a place drawn from Python's random state.

        Args:
            places: draw one of so many equally spaced places, which `crops` lists; None takes any place.
        """
        if places is None:
            return replace(self, crop=seconds, place=random.random(), drawn=True)
        return self._cropped(seconds, random.randrange(places), places)

    def crops(self, seconds: float, places: int) -> list["Recording"]:
        """Every crop that `randomly_cropped(seconds, places)` can give, from the front to the end."""
        return [self._cropped(seconds, number, places) for number in range(places)]

    def _cropped(self, seconds: float, number: int, places: int) -> "Recording":
        return replace(self, crop=seconds, place=number / max(places - 1, 1))


class BadAudio(NamedTuple):
    """A line of bad_audio.tsv: a recording that could not be used."""

    utterance: str
    path: str
    reason: str


def read(recording: Recording) -> np.ndarray:
    """The wave of a recording: float32 [samples] at 16 kHz.

    Raises:
        AudioError: the file cannot be read, or the excerpt lies outside it.
    """
    start, stop = recording.start, recording.stop
    if recording.crop is not None:
        start, stop = _bounds_of_crop(recording)
    wave = load(recording.path, SAMPLE_RATE, start, stop)
    return wave * np.float32(10 ** (recording.gain / 20)) if recording.gain else wave


def _bounds_of_crop(recording: Recording) -> tuple[float | None, float | None]:
    """The excerpt in seconds; whole samples, so that every crop has the same number of them."""
    total = num_samples(recording.path)
    begin = round((recording.start or 0.0) * SAMPLE_RATE)
    end = total if recording.stop is None else min(round(recording.stop * SAMPLE_RATE), total)
    wanted = round(recording.crop * SAMPLE_RATE)
    if end - begin <= wanted:
        return recording.start, recording.stop
    begin += round(recording.place * (end - begin - wanted))
    return begin / SAMPLE_RATE, (begin + wanted) / SAMPLE_RATE
