"""LibriSpeech's train-clean-100 in miniature whose phones are tones: small, yet learnable."""

from pathlib import Path

import numpy as np
import soundfile

PHONES = ["SIL", "AA", "S", "M"]  # of which the tones are; the classes are 41
NUMBERS = {"SIL": 0, "AA": 2, "S": 30, "M": 23}  # in the order of utility/phones.py
PITCHES = {"AA": 400, "S": 3000, "M": 1000}
RATE = 16000
SPEAKERS = {101: 8, 102: 8, 103: 9}  # -> utterances


def names():
    return [f"{speaker}-7-{index:04d}" for speaker, count in SPEAKERS.items() for index in range(count)]


def segments(name):
    """The phones of an utterance with their first and last samples; silence at both ends."""
    rng = np.random.default_rng(int(name.replace("-", "")))
    inner = [PHONES[1 + int(rng.integers(3))] for _ in range(6)]
    found, start = [], 0
    for phone in ["SIL", *inner, "SIL"]:
        stop = start + int(rng.integers(800, 1600))
        found.append((phone, start, stop))
        start = stop
    return found


def labels(name):
    """The number of the phone at the centre of every whole frame of 400 samples, sample by sample."""
    samples = np.concatenate([np.full(stop - start, NUMBERS[phone]) for phone, start, stop in segments(name)])
    return [int(samples[160 * frame + 200]) for frame in range(1 + (len(samples) - 400) // 160)]


def wave(name):
    rng, parts = np.random.default_rng(1), []
    for phone, start, stop in segments(name):
        time = np.arange(stop - start) / RATE
        parts.append(0.3 * np.sin(2 * np.pi * PITCHES[phone] * time) if phone in PITCHES else 0 * time)
    parts = np.concatenate(parts)
    return parts + rng.normal(0, 0.003, len(parts))


def make_phone_corpus(root: Path) -> Path:
    """LibriSpeech/train-clean-100, and labels/ with CPC's label file and split lists."""
    for name in names():
        path = root.joinpath("LibriSpeech/train-clean-100", *name.split("-")[:2], f"{name}.flac")
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave(name), RATE)
    (root / "labels").mkdir()
    lines = [f"{name} {' '.join(map(str, labels(name)))}\n" for name in names()]
    (root / "labels/converted_aligned_phones.txt").write_text("".join(lines))
    (root / "labels/phones.txt").write_text("\n".join(CLASSES) + "\n")
    for split, chosen in (("train", lambda index: index % 5), ("test", lambda index: index % 5 == 0)):
        listed = [name for index, name in enumerate(names()) if chosen(index)]
        (root / f"labels/{split}_split.txt").write_text("\n".join(listed) + "\n")
    return root


def write_textgrids(folder: Path, tier: str = "phones") -> None:
    """The same labels as the Montreal Forced Aligner would write them, a folder for each speaker."""
    for name in names():
        path = folder / name.split("-")[0] / f"{name}.TextGrid"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = segments(name)
        end = rows[-1][2] / RATE
        text = [
            'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}",
            "tiers? <exists>", "size = 1", "item []:", "    item [1]:", '        class = "IntervalTier"',
            f'        name = "{tier}"', "        xmin = 0", f"        xmax = {end}",
            f"        intervals: size = {len(rows)}",
        ]  # fmt: skip
        for number, (phone, start, stop) in enumerate(rows, start=1):
            mark = {"AA": "AA1", "SIL": ""}.get(phone, phone)
            text += [
                f"        intervals [{number}]:", f"            xmin = {start / RATE}",
                f"            xmax = {stop / RATE}", f'            text = "{mark}"',
            ]  # fmt: skip
        path.write_text("\n".join(text) + "\n")


def write_table(path: Path) -> None:
    """The same labels as times of phones."""
    rows = ["utterance\ttier\tstart\tend\tlabel"]
    for name in names():
        rows.append(f"{name}\tword\t0.0\t0.1\tANYTHING")
        rows += [
            f"{name}\tphone\t{start / RATE}\t{stop / RATE}\t{'AA0' if phone == 'AA' else phone}"
            for phone, start, stop in segments(name)
        ]
    path.write_text("\n".join(rows) + "\n")


CLASSES = (
    *(
        "SIL",
        "SPN",
        "AA",
        "AE",
        "AH",
        "AO",
        "AW",
        "AY",
        "B",
        "CH",
        "D",
        "DH",
        "EH",
        "ER",
        "EY",
        "F",
        "G",
        "HH",
    ),
    *(
        "IH",
        "IY",
        "JH",
        "K",
        "L",
        "M",
        "N",
        "NG",
        "OW",
        "OY",
        "P",
        "R",
        "S",
        "SH",
        "T",
        "TH",
        "UH",
        "UW",
        "V",
    ),
    *("W", "Y", "Z", "ZH"),
)
