"""An item of a data set: what to hear, what is known about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.recordings import Recording


@dataclass(frozen=True)
class Crop:
    """At most so many seconds of a recording, from a place that is drawn each time it is heard.

    Attributes:
        seconds: heard of a longer recording; a shorter one is heard whole.
        places: how many equally spaced places there are to draw from; None takes any place.
    """

    seconds: float
    places: int | None = None

    def of(self, recording: Recording) -> Recording:
        """One crop, drawn from Python's random state."""
        return recording.randomly_cropped(self.seconds, self.places)

    def choices(self, recording: Recording) -> list[Recording] | None:
        """Every crop that `of` can give; None where there is no end of them."""
        return None if self.places is None else recording.crops(self.seconds, self.places)


@dataclass(frozen=True)
class Item:
    """One utterance of a corpus.

    Attributes:
        name: unique in its split; what prediction files call it.
        recording: what to hear.
        label: as the corpus has it: a transcript, the name of a class, a label for every frame.
        samples: length at 16 kHz, by which batches are made; 0 if it has not been measured.
        crop: what is heard of the recording, in training and evaluation; None hears all of it.
    """

    name: str
    recording: Recording
    label: Any
    samples: int = 0
    crop: Crop | None = None


def seconds_of(items: Sequence[Item]) -> float | None:
    """Seconds of audio in all items; None where the length of most is not known without reading them."""
    known = [length for item in items if (length := _seconds(item)) is not None]
    return sum(known) if known and 2 * len(known) > len(items) else None


def _seconds(item: Item) -> float | None:
    start, stop = item.recording.start, item.recording.stop
    if stop is not None:
        return stop - (start or 0.0)
    return item.samples / SAMPLE_RATE if item.samples else None
