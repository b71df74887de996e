"""Speech Commands in miniature whose words are tones, one pitch per word: small, yet learnable."""

import hashlib

import numpy as np
import soundfile

CLASSES = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "_unknown_", "_silence_"]
WORDS = [*CLASSES[:10], "bed", "cat"]
NOISES = {"white_noise": 3.0, "running_tap": 2.0, "blip": 0.5}  # seconds
RATE = 16000


def speakers(split, count):
    """The first made-up speakers of a split, found as the README of the corpus says: by a float."""
    found, number = [], 0
    while len(found) < count:
        name, number = f"{number:08x}", number + 1
        percent = int(hashlib.sha1(name.encode()).hexdigest(), 16) % 2**27 * (100.0 / (2**27 - 1))
        if split == ("dev" if percent < 10 else "test" if percent < 20 else "train"):
            found.append(name)
    return found


def write(path, wave):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE)


def say(path, word, rng):
    """A tone whose pitch says the word."""
    time = np.arange(int(RATE * rng.uniform(0.15, 0.2))) / RATE
    pitch = 200 * 1.35 ** WORDS.index(word)
    write(path, 0.3 * np.sin(2 * np.pi * pitch * time) + rng.normal(0, 0.005, len(time)))


def make_keywords(root):
    """corpus/ and test_set/ in the official layout, with five training speakers, two of dev, one of test."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("dev", 2), ("test", 1)):
        for speaker in speakers(split, count):
            for word in WORDS:
                say(root / f"corpus/{word}/{speaker}_nohash_0.wav", word, rng)
                if split == "test":
                    tested = word if word in CLASSES else "_unknown_"
                    say(root / f"test_set/{tested}/{speaker}_nohash_{WORDS.index(word)}.wav", word, rng)
    for name, seconds in NOISES.items():
        write(root / f"corpus/_background_noise_/{name}.wav", rng.uniform(-0.3, 0.3, int(seconds * RATE)))
    (root / "corpus/_background_noise_/README.md").write_text("noises")
    write(root / "test_set/_silence_/tap.wav", rng.uniform(-0.3, 0.3, RATE * 5 // 4))
    return root
