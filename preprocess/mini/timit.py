"""TIMIT in miniature: ten short sentences by each of many voices, with the times of words and phones.

The official layout: TRAIN and TEST, DR<1-8>/<speaker>/<sentence>.WAV (NIST SPHERE), .TXT, .WRD and .PHN.
Everybody reads SA1 and SA2; SX sentences are read by several speakers, SI sentences by one. No speaker and,
but for SA, no sentence is in TRAIN and TEST. The speakers of the test split have the names of the 24 of the
core test set, those of dev are the others of TEST. train_split.txt and test_split.txt list the utterances.
"""

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.timit import CORE_TEST_SPEAKERS

from .corpus import each
from .phones import SILENCE
from .speakers import Speaker, make_speaker
from .synthesis import SAMPLE_RATE, Segment, synthesize

NAME = "timit"
FOLDER = "TIMIT"
VERSION = 1

_REGIONS = tuple(CORE_TEST_SPEAKERS)
_CORE = [(region, names[number]) for number in range(3) for region, names in CORE_TEST_SPEAKERS.items()]
_MOST_SPEAKERS = {"train": 462, "dev": 144, "test": len(_CORE)}  # as many as the real corpus has
_FOLDERS = {"train": "TRAIN", "dev": "TEST", "test": "TEST"}
_SA = (
    "She had your dark suit in greasy wash water all year.",
    "Don't ask me to carry an oily rag like that.",
)
_SX, _SI = 5, 3  # of each speaker
_READERS_OF_SX = 7  # of each of these sentences
_FIRST_SI = 451  # their numbers follow those of the SX sentences

# A sentence is a row of letters; each letter stands for any of its words. All phones of English occur often.
_WORDS = {
    "D": "the my our this their no each",
    "A": "quick lazy huge young happy strange clever noisy good thick sour unusual royal",
    "N": "fox judge farmer child pilot thief boy cook wizard nurse king mouse woman youth",
    "V": "found carried watched enjoyed took chose saw brought measured pushed joined sketched",
    "O": "box lamp book jar coin drum treasure map violin cheese toy yellow bath thing",
    "P": "over under near behind with without",
    "L": "river garden house village bridge zoo forest mountain kitchen garage path cow shed",
    "T": "today again yesterday now this year",
    "W": "we they she you",
}
_PATTERNS = ("DANVDAO", "WVDAOPDL", "TDNVDO", "DNVDAOT", "TWVDOPDL")

# TIMIT's names of unstressed vowels, and of the closure in front of each stop and affricate.
_UNSTRESSED = {"AH0": "ax", "IH0": "ix", "ER0": "axr"}
_CLOSURES = {
    **{"P": "pcl", "T": "tcl", "K": "kcl", "B": "bcl", "D": "dcl", "G": "gcl"},
    **{"CH": "tcl", "JH": "dcl"},
}


@dataclass(frozen=True)
class _Reader:
    """What one process makes at a time: all sentences of a speaker."""

    folder: Path
    split: str
    region: str
    name: str
    speaker: Speaker
    sentences: dict[str, str]  # by their names, such as SX12

    @property
    def home(self) -> Path:
        return self.folder / _FOLDERS[self.split] / self.region / self.name


def add_options(parser: ArgumentParser) -> None:
    """Sizes of the splits."""
    for split, speakers in {"train": 40, "dev": 16, "test": 24}.items():
        parser.add_argument(
            f"--{split}_speakers", type=int, default=speakers, help=f"speakers in the {split} split"
        )


def next_command(folder: Path) -> str:
    """Trains the linear phone probe on the corpus in `folder`."""
    command = (
        f"{command_line('train')} -u fbank -d timit_phone_linear "
        "-c downstream/timit_phone_linear/mini.yaml -n timit_mini"
    )
    if folder == Path("data/mini", FOLDER):
        return command
    datarc = "config.downstream_expert.datarc"
    return f"{command} -o \"{datarc}.timit_root='{folder}',,{datarc}.split_path='{folder}'\""


def make(folder: Path, seed: int, n_jobs: int, **sizes: int) -> dict[str, Any]:
    """Write the corpus into an empty folder; `sizes` are the options of `add_options`.

    Raises:
        UserError: sizes that cannot be had.
    """
    for split, most in _MOST_SPEAKERS.items():
        if not 1 <= sizes[f"{split}_speakers"] <= most:
            raise UserError(
                f"--{split}_speakers {sizes[f'{split}_speakers']}: there must be from 1 to {most} speakers."
            )
    readers = _plan(folder, seed, sizes)
    seconds = dict.fromkeys(_MOST_SPEAKERS, 0.0)
    for reader, spoken in zip(readers, each(_record, readers, n_jobs, NAME, unit="speakers"), strict=True):
        seconds[reader.split] += spoken
    _write_tables(folder, readers)
    return {
        split: {
            "utterances": sum(len(reader.sentences) for reader in readers if reader.split == split),
            "speakers": sizes[f"{split}_speakers"],
            "hours": round(total / 3600, 4),
        }
        for split, total in seconds.items()
    }


def sentences(seed: int) -> Iterator[str]:
    """Different sentences without end; the words of each letter come like those of a shuffled deck."""
    rng = np.random.default_rng([seed, 4])
    decks: dict[str, list[str]] = {letter: [] for letter in _WORDS}
    found: set[str] = set()
    while True:
        words = []
        for letter in _PATTERNS[len(found) % len(_PATTERNS)]:
            if not decks[letter]:
                decks[letter] = rng.permutation(_WORDS[letter].split()).tolist()
            words.append(decks[letter].pop())
        text = f"{' '.join(words).capitalize()}."
        if text not in found:
            found.add(text)
            yield text


def timit_phones(phones: list[Segment]) -> list[Segment]:
    """Stressed ARPAbet as TIMIT writes it: closures, reduced vowels, flaps, silence at the ends as h#."""
    around = [Segment(0.0, 0.0, SILENCE), *phones, Segment(0.0, 0.0, SILENCE)]
    found: list[Segment] = []
    for number, phone in enumerate(phones):
        before, after = around[number].label, around[number + 2].label
        start, end, label = phone
        if label == SILENCE:
            found.append(Segment(start, end, "h#" if number in (0, len(phones) - 1) else "pau"))
        elif label in ("T", "D") and before[-1].isdigit() and after.endswith("0"):
            found.append(Segment(start, end, "dx"))
        elif label == "HH" and before[-1].isdigit():
            found.append(Segment(start, end, "hv"))
        elif label in _CLOSURES:
            middle = (start + end) / 2
            found += [Segment(start, middle, _CLOSURES[label]), Segment(middle, end, label.lower())]
        else:
            found.append(Segment(start, end, _UNSTRESSED.get(label) or label.rstrip("012").lower()))
    return found


def _plan(folder: Path, seed: int, sizes: dict[str, int]) -> list[_Reader]:
    """Who reads what."""
    texts, si = sentences(seed), count(_FIRST_SI)
    first_sx = 1
    readers = []
    for splits in (("train",), ("dev", "test")):
        people = [one for one in _people(seed, sizes) if one[0] in splits]
        shared = max(_SX, -(-len(people) * _SX // _READERS_OF_SX))
        sx = [(f"SX{number}", next(texts)) for number in range(first_sx, first_sx + shared)]
        first_sx += shared
        turns = cycle(sx)
        for split, region, name, speaker in people:
            read = [("SA1", _SA[0]), ("SA2", _SA[1])]
            read += [next(turns) for _ in range(_SX)]
            read += [(f"SI{next(si)}", next(texts)) for _ in range(_SI)]
            readers.append(_Reader(folder, split, region, name, speaker, dict(read)))
    return readers


def _people(seed: int, sizes: dict[str, int]) -> Iterator[tuple[str, str, str, Speaker]]:
    """Split, region, name and voice of everybody; a name is the sex, three letters and a digit."""
    rng = np.random.default_rng([seed, 5])
    taken = {name[1:] for _, name in _CORE}
    voices = count()
    for split in _MOST_SPEAKERS:
        for number in range(sizes[f"{split}_speakers"]):
            if split == "test":
                region, name = _CORE[number]
                yield split, region, name, make_speaker(seed, next(voices), sex=name[0])
                continue
            speaker = make_speaker(seed, next(voices))
            while (initials := "".join(rng.choice(list(ascii_uppercase), 3)) + "0") in taken:
                pass
            taken.add(initials)
            yield split, _REGIONS[number % len(_REGIONS)], speaker.sex + initials, speaker


def _record(reader: _Reader) -> float:
    """Write everything a speaker reads; returns its seconds."""
    import soundfile

    reader.home.mkdir(parents=True)
    total = 0
    for sentence, text in reader.sentences.items():
        samples, words, phones = synthesize(text, reader.speaker)
        total += len(samples)
        path = reader.home / sentence
        soundfile.write(path.with_suffix(".WAV"), samples, SAMPLE_RATE, subtype="PCM_16", format="NIST")
        path.with_suffix(".TXT").write_text(f"0 {len(samples)} {text}\n", encoding="utf-8")
        words = [Segment(word.start, word.end, word.label.strip(".").lower()) for word in words]
        path.with_suffix(".WRD").write_text(_lines(words), encoding="utf-8")
        path.with_suffix(".PHN").write_text(_lines(timit_phones(phones)), encoding="utf-8")
    return total / SAMPLE_RATE


def _lines(segments: list[Segment]) -> str:
    """`start end label` in samples."""
    rows = [(round(s.start * SAMPLE_RATE), round(s.end * SAMPLE_RATE), s.label) for s in segments]
    return "".join(f"{start} {end} {label}\n" for start, end, label in rows if start < end)


def _write_tables(folder: Path, readers: list[_Reader]) -> None:
    """Who speaks, and the utterances of TRAIN and TEST."""
    (folder / "DOC").mkdir()
    uses = {"TRAIN": "TRN", "TEST": "TST"}
    lines = [
        "; Speakers of a miniature of TIMIT, made by preprocess/make_mini_corpora.py",
        ";ID  Sex DR Use  Voice",
    ]
    lines += [
        f"{reader.name[1:]}  {reader.name[0]}   {reader.region[2]}  {uses[_FOLDERS[reader.split]]}  "
        f"eSpeak NG {reader.speaker.voice}"
        for reader in sorted(readers, key=lambda reader: reader.name[1:])
    ]
    (folder / "DOC" / "SPKRINFO.TXT").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for place in uses:
        names = [
            f"{reader.region}-{reader.name}-{sentence}\n"
            for reader in readers
            for sentence in reader.sentences
            if _FOLDERS[reader.split] == place
        ]
        (folder / f"{place.lower()}_split.txt").write_text("".join(sorted(names)), encoding="utf-8")
    (folder / "README.DOC").write_text(_README, encoding="utf-8")


_README = """A miniature of TIMIT, for trying out programs in minutes.

No person was recorded: the sentences were spoken by the speech synthesiser eSpeak NG
(https://github.com/espeak-ng/espeak-ng, a program under the GNU GPL 3.0), in many voices, by
preprocess/make_mini_corpora.py of S3PRL. All but the two SA sentences were made up by a small grammar. Where
phones begin and end is what the synthesiser says, and a closure is the first half of its stop. A result on
these files says that a program works; it says nothing about recorded speech. The real corpus:
https://catalog.ldc.upenn.edu/LDC93S1

TRAIN, TEST                 DR<1-8>/<speaker>/<sentence>: .WAV (NIST SPHERE, 16 kHz, 16 bit), .TXT, and with
                            their first and last sample the words (.WRD) and phones (.PHN)
DOC/SPKRINFO.TXT            who speaks
train_split.txt,            the utterances of TRAIN and TEST, as <region>-<speaker>-<sentence>
test_split.txt
mini.json                   the settings it was made with
"""
