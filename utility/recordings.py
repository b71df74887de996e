"""A recording as a value: what to hear, and how. Small, hashable, and no file is touched before `read`."""

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s3prl.utility.audio import SAMPLE_RATE, AudioError, load, num_samples
from s3prl.utility.silence import without_silence

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
        trim: silence is cut out, after the gain (which decides what is silent) and before the crop.
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
    trim: bool = False

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
        AudioError: the file cannot be read, the excerpt lies outside it, or it is to be trimmed and holds
            only silence.
    """
    start, stop = recording.start, recording.stop
    if recording.crop is not None and not recording.trim:
        start, stop = _bounds_of_crop(recording)
    wave = load(recording.path, SAMPLE_RATE, start, stop)
    if recording.gain:
        wave = wave * np.float32(10 ** (recording.gain / 20))
    return _trimmed(wave, recording) if recording.trim else wave


def _trimmed(wave: np.ndarray, recording: Recording) -> np.ndarray:
    """The crop of what is left of a wave without its silence."""
    sounds = without_silence(wave)
    if not len(sounds):
        raise AudioError(
            f"{recording.path} holds only silence: nothing in it is above 0.1 % of full scale for 0.1 s"
            f"{f' after a gain of {recording.gain:g} dB' if recording.gain else ''}. "
            "Copy or download it again, or remove it from the list."
        )
    if recording.crop is None:
        return sounds
    begin, end = _place_of_crop(recording, 0, len(sounds))
    return sounds[begin:end]


def _bounds_of_crop(recording: Recording) -> tuple[float | None, float | None]:
    """The excerpt in seconds; whole samples, so that every crop has the same number of them."""
    total = num_samples(recording.path)
    begin = round((recording.start or 0.0) * SAMPLE_RATE)
    end = total if recording.stop is None else min(round(recording.stop * SAMPLE_RATE), total)
    first, last = _place_of_crop(recording, begin, end)
    if (first, last) == (begin, end):
        return recording.start, recording.stop
    return first / SAMPLE_RATE, last / SAMPLE_RATE


def _place_of_crop(recording: Recording, begin: int, end: int) -> tuple[int, int]:
    """The crop's first sample and its last + 1, of those from `begin` to `end`."""
    wanted = round(recording.crop * SAMPLE_RATE)
    if end - begin <= wanted:
        return begin, end
    begin += round(recording.place * (end - begin - wanted))
    return begin, begin + wanted
