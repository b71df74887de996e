"""Speech Commands (Warden, 2018): its classes, the folder of its noises, and which split a speaker is in."""

import hashlib

KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "_unknown_", "_silence_"  # any other word; a second of background noise
CLASSES = (*KEYWORDS, UNKNOWN, SILENCE)  # in the order of a model's outputs
NOISES = "_background_noise_"  # the folder of long recordings without speech
SPEAKER_END = "_nohash_"  # what follows it in a file's name does not say who speaks
_BUCKETS = 2**27


def split_of(file_name: str) -> str:
    """The split of a recording, which is that of its speaker: "dev" (10 %), "test" (10 %) or "train".

    As the README of the corpus defines it, so that a speaker stays in a split however many are added. A
    name without `_nohash_` counts as that of a speaker.
    """
    speaker = file_name.partition(SPEAKER_END)[0]
    bucket = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % _BUCKETS
    percent = 100 * bucket  # of _BUCKETS - 1; compared as integers, so that nothing is rounded
    if percent < 10 * (_BUCKETS - 1):
        return "dev"
    return "test" if percent < 20 * (_BUCKETS - 1) else "train"
