"""Speech Commands v0.01 in miniature: 30 words by many voices, background noises, and the test set.

Two folders, each in its official layout: speech_commands_v0.01 (<word>/<speaker>_nohash_0.wav,
_background_noise_, validation_list.txt, testing_list.txt) and speech_commands_test_set_v0.01 (12 classes).
The test set is spoken by the speakers of testing_list.txt, of whom neither train nor dev has a recording.
Beside them, digits_{train,dev,test}.csv list the spoken digits for `-d utterance_classification`.
"""

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.speech_commands import CLASSES, KEYWORDS, NOISES, SILENCE, SPEAKER_END, UNKNOWN, split_of

from .corpus import each
from .lists import write_list
from .noises import NOISES as NOISE_NAMES
from .noises import noise
from .speakers import Speaker, make_speaker
from .synthesis import SAMPLE_RATE, synthesize

NAME = "speech_commands"
FOLDER = "SpeechCommands"
VERSION = 2

TRAINING, TEST = "speech_commands_v0.01", "speech_commands_test_set_v0.01"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
OTHER_WORDS = ("bed", "bird", "cat", "dog", "happy", "house", "marvin", "sheila", "tree", "wow", *DIGITS)
WORDS = (*KEYWORDS, *OTHER_WORDS)
_NOISE_SECONDS = 10.0
_SHORT = 0.1  # of the recordings are shorter than a second, as in the real corpus
_LISTS = {"dev": "validation_list.txt", "test": "testing_list.txt"}
_MOST_SPEAKERS = 10_000


@dataclass(frozen=True)
class _Part:
    """What one process makes at a time: all words of one speaker."""

    folder: Path
    split: str
    identity: str  # eight hexadecimal digits
    speaker: Speaker
    unknown: str  # the word that stands for `_unknown_` in the test set

    @property
    def file_name(self) -> str:
        return f"{self.identity}{SPEAKER_END}0.wav"


def add_options(parser: ArgumentParser) -> None:
    """Sizes of the splits."""
    for split, speakers in {"train": 60, "dev": 10, "test": 12}.items():
        parser.add_argument(
            f"--{split}_speakers", type=int, default=speakers, help=f"speakers in the {split} split"
        )


def next_command(folder: Path) -> str:
    """Trains keyword spotting on the corpus in `folder`."""
    command = (
        f"{command_line('train')} -u fbank -d speech_commands "
        "-c downstream/speech_commands/mini.yaml -n ks_mini"
    )
    if folder == Path("data/mini", FOLDER):
        return command
    datarc = "config.downstream_expert.datarc"
    roots = f"{datarc}.speech_commands_root='{folder / TRAINING}'"
    return f"{command} -o \"{roots},,{datarc}.speech_commands_test_root='{folder / TEST}'\""


def make(folder: Path, seed: int, n_jobs: int, **sizes: int) -> dict[str, Any]:
    """Write the corpus into an empty folder; `sizes` are the options of `add_options`.

    Raises:
        UserError: sizes that cannot be had.
    """
    for name, speakers in sizes.items():
        if not 1 <= speakers <= _MOST_SPEAKERS:
            raise UserError(f"--{name} {speakers}: there must be from 1 to {_MOST_SPEAKERS} speakers.")
    parts = _plan(folder, seed, sizes)
    seconds = dict.fromkeys(("train", "dev", "test"), 0.0)
    for part, spoken in zip(parts, each(_record, parts, n_jobs, NAME, unit="speakers"), strict=True):
        seconds[part.split] += spoken
    _write_noises(folder, seed)
    _write_silences(folder, seed, sizes["test_speakers"])
    seconds["test"] += sizes["test_speakers"]
    for split, name in _LISTS.items():
        spoken = [part.file_name for part in parts if part.split == split]
        lines = [f"{word}/{file_name}\n" for word in sorted(WORDS) for file_name in sorted(spoken)]
        (folder / TRAINING / name).write_text("".join(lines), encoding="utf-8")
    _write_digits(folder, parts)
    for name in (TRAINING, TEST):
        (folder / name / "README.md").write_text(_README, encoding="utf-8")
    said = {"train": len(WORDS), "dev": len(WORDS), "test": len(CLASSES)}  # by each speaker
    return {
        split: {
            "utterances": said[split] * sizes[f"{split}_speakers"],
            "speakers": sizes[f"{split}_speakers"],
            "hours": round(total / 3600, 4),
        }
        for split, total in seconds.items()
    }


def _plan(folder: Path, seed: int, sizes: dict[str, int]) -> list[_Part]:
    """Who speaks: the hash of the identity decides the split, so identities are drawn until each is full."""
    rng = np.random.default_rng([seed, 2])
    parts: list[_Part] = []
    for split in ("train", "dev", "test"):
        for identity in _identities(rng, split, sizes[f"{split}_speakers"]):
            unknown = OTHER_WORDS[len(parts) % len(OTHER_WORDS)]
            parts.append(_Part(folder, split, identity, make_speaker(seed, len(parts)), unknown))
    return parts


def _identities(rng: np.random.Generator, split: str, count: int) -> Iterator[str]:
    seen: set[str] = set()
    while len(seen) < count:
        identity = f"{int(rng.integers(2**32)):08x}"
        if split_of(identity) == split and identity not in seen:
            seen.add(identity)
            yield identity


def _record(part: _Part) -> float:
    """Write every word of a speaker; returns the seconds of them that its split hears."""
    heard = 0.0
    rng = np.random.default_rng([part.speaker.seed, 3])
    for word in WORDS:
        seconds = float(rng.uniform(0.8, 1.0)) if rng.random() < _SHORT else 1.0
        samples, _, _ = synthesize(word, part.speaker, seconds)
        _write(part.folder / TRAINING / word / part.file_name, samples)
        if part.split == "test":
            if word not in KEYWORDS and word != part.unknown:
                continue
            tested = word if word in KEYWORDS else UNKNOWN
            _write(part.folder / TEST / tested / part.file_name, samples)
        heard += len(samples) / SAMPLE_RATE
    return heard


def _write_digits(folder: Path, parts: list[_Part]) -> None:
    for split in ("train", "dev", "test"):
        spoken = [part for part in parts if part.split == split]
        rows = [(f"{TRAINING}/{word}/{p.file_name}", word, p.identity) for word in DIGITS for p in spoken]
        write_list(folder / f"digits_{split}.csv", ("path", "label", "speaker"), rows)


def _write_noises(folder: Path, seed: int) -> None:
    for name in NOISE_NAMES:
        _write(folder / TRAINING / NOISES / f"{name}.wav", noise(name, _NOISE_SECONDS, seed))
    (folder / TRAINING / NOISES / "README.md").write_text(
        "Made of random numbers, in the spirit of the noises of Speech Commands.\n", encoding="utf-8"
    )


def _write_silences(folder: Path, seed: int, count: int) -> None:
    """So many seconds of the same kinds of noise for the test set, made anew."""
    for number in range(count):
        name = list(NOISE_NAMES)[number % len(NOISE_NAMES)]
        samples = noise(name, 2.0, seed + 1 + number)[-SAMPLE_RATE:]  # the miaows begin after a while
        _write(folder / TEST / SILENCE / f"{name}_{number}.wav", samples)


def _write(path: Path, samples: np.ndarray) -> None:
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")


_README = """A miniature of Speech Commands v0.01 and of its test set, for trying out programs in minutes.

No person was recorded: the words were spoken by the speech synthesiser eSpeak NG
(https://github.com/espeak-ng/espeak-ng, a program under the GNU GPL 3.0), in many voices, and the noises are
made of random numbers, by preprocess/make_mini_corpora.py of S3PRL. A result on these files says that a
program works; it says nothing about recorded speech. The real corpus: http://download.tensorflow.org/data/

speech_commands_v0.01/<word>/<speaker>_nohash_0.wav   16 kHz, 16 bit, a second or less; 30 words
speech_commands_v0.01/_background_noise_              six noises of 10 seconds
speech_commands_v0.01/validation_list.txt             recordings of the development set, as the hash says
speech_commands_v0.01/testing_list.txt                recordings of the speakers of the test set
speech_commands_test_set_v0.01/<class>                the test set: ten keywords, _unknown_ and _silence_
digits_{train,dev,test}.csv                           the digits: path, label, speaker
mini.json                                             the settings it was made with
"""
