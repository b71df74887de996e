"""TIMIT in miniature whose phones are tones, one pitch each: small, yet learnable."""

import random

import numpy as np
import soundfile

RATE = 16000
SPOKEN = [
    "iy",
    "aa",
    "ao",
    "s",
    "zh",
    "m",
    "ix",
    "tcl",
    "pau",
    "q",
]  # all but the closure and the pause have a pitch
PEOPLE = {
    "TRAIN": ["DR1/FABC0", "DR1/MDEF0", "DR4/FGHI1", "DR8/MJKL0"],
    "TEST": ["DR1/FELC0", "DR2/FMNO0", "DR2/MTAS1", "DR7/MPQR0"],
}  # FELC0 and MTAS1 are of the core test set
SENTENCES = ["SA1", "SA2", "SI501", "SI1131", "SI1761", "SX7", "SX97", "SX187", "SX277", "SX367"]


def say(path, rng):
    """A recording in SPHERE format, and its .PHN: phones of odd lengths between two h#."""
    phones = ["h#", *(rng.choice(SPOKEN) for _ in range(8)), "h#"]
    waves, rows, place = [], [], 0
    for phone in phones:
        length = rng.randint(700, 1500)
        time = np.arange(length) / RATE
        silent = phone in ("h#", "tcl", "pau")
        waves.append(
            np.zeros(length) if silent else 0.3 * np.sin(2 * np.pi * 250 * 1.4 ** SPOKEN.index(phone) * time)
        )
        rows.append(f"{place} {place + length} {phone}\n")
        place += length
    wave = np.concatenate(waves) + np.random.default_rng(place).normal(0, 1e-3, place)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path.with_suffix(".WAV"), wave, RATE, format="NIST", subtype="PCM_16")
    path.with_suffix(".PHN").write_text("".join(rows))
    path.with_suffix(".TXT").write_text(f"0 {place} Tones.\n")


def make_timit(root):
    """TRAIN and TEST in the official layout with four speakers each, and the lists of their utterances."""
    rng = random.Random(0)
    for folder, people in PEOPLE.items():
        for person in people:
            for sentence in SENTENCES:
                say(root / folder / person / sentence, rng)
        names = [f"{person.replace('/', '-')}-{sentence}" for person in people for sentence in SENTENCES]
        (root / f"{folder.lower()}_split.txt").write_text("\n".join(names) + "\n")
    return root
