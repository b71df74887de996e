"""An item of a data set: what to hear, what is known about it."""

from dataclasses import dataclass
from typing import Any

from s3prl.utility.recordings import Recording


@dataclass(frozen=True)
class Item:
    """One utterance of a corpus.

    Attributes:
        name: unique in its split; what prediction files call it.
        recording: what to hear.
        label: as the corpus has it: a transcript, the name of a class, a label for every frame.
        samples: length at 16 kHz, by which batches are made; 0 where nobody has measured it.
    """

    name: str
    recording: Recording
    label: Any
    samples: int = 0
