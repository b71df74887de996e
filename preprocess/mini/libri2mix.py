"""Libri2Mix in miniature: two voices that talk at the same time, with noise, and who speaks when.

What LibriMix writes at 16 kHz in its mode max (wav16k/max/<split>/{mix_both,s1,s2,noise}, metadata/), and
the Kaldi-style folders data/{train,dev,test} for speaker diarization. Each of the two speakers says one to
three sentences with pauses between them; the shorter source lies anywhere within the longer one. No speaker
and no sentence is in two splits.
"""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.rttm import Turn

from ..data_folder import Recorded, write_data_folder
from .corpus import each
from .librispeech import sentences
from .lists import write_list
from .noises import noise
from .speakers import Speaker, make_speaker
from .synthesis import SAMPLE_RATE, Segment, synthesize

NAME = "libri2mix"
FOLDER = "Libri2Mix"
VERSION = 1

SPLITS = {"train": "train-100", "dev": "dev", "test": "test"}
WAVES = "wav16k/max"
LONGEST_PAUSE = 0.2  # s between two words of one turn
_ACCENT = "en-us"  # of most readers of LibriSpeech
_NOISES = (
    "doing_the_dishes",
    "exercise_bike",
    "pink_noise",
    "running_tap",
    "white_noise",
)  # none has a voice
_SILENT = -120.0  # dB: a room that 16 bits cannot hold
_PEAK = 0.9  # as in LibriMix
_MOST_SENTENCES = 30_000


@dataclass(frozen=True)
class _Voice:
    """One of the two sources of a mixture."""

    speaker_id: int
    utterance: str
    speaker: Speaker
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class _Mixture:
    """What one process makes at a time."""

    folder: Path
    split: str
    voices: tuple[_Voice, _Voice]
    seed: int  # of pauses, places and the noise

    @property
    def name(self) -> str:
        return "_".join(voice.utterance for voice in self.voices)

    def path(self, kind: str) -> str:
        """Of one of its recordings, below the folder of the corpus."""
        return f"{WAVES}/{SPLITS[self.split]}/{kind}/{self.name}.wav"


@dataclass(frozen=True)
class _Made:
    samples: int
    turns: list[Turn]


def add_options(parser: ArgumentParser) -> None:
    """Sizes of the splits."""
    for split, (speakers, mixtures) in {"train": (40, 160), "dev": (10, 30), "test": (10, 30)}.items():
        parser.add_argument(
            f"--{split}_speakers", type=int, default=speakers, help=f"speakers in {SPLITS[split]}"
        )
        parser.add_argument(
            f"--{split}_mixtures", type=int, default=mixtures, help=f"mixtures in {SPLITS[split]}"
        )


def next_command(folder: Path) -> str:
    """Trains speaker diarization on the corpus in `folder`."""
    command = (
        f"{command_line('train')} -u fbank -d diarization -c downstream/diarization/mini.yaml -n sd_mini"
    )
    if folder == Path("data/mini", FOLDER):
        return command
    loader = "config.downstream_expert.loaderrc"
    folders = ",,".join(f"{loader}.{split}_dir='{folder / 'data' / split}'" for split in SPLITS)
    return f'{command} -o "{folders}"'


def make(folder: Path, seed: int, n_jobs: int, **sizes: int) -> dict[str, Any]:
    """Write the corpus into an empty folder; `sizes` are the options of `add_options`.

    Raises:
        UserError: sizes that cannot be had.
    """
    _check(sizes)
    mixtures = _plan(folder, seed, sizes)
    made = list(each(_record, mixtures, n_jobs, NAME, unit="mixtures"))
    contents = {}
    for split in SPLITS:
        rows = [(mix, one) for mix, one in zip(mixtures, made, strict=True) if mix.split == split]
        _write_metadata(folder, split, rows)
        _write_data_folder(folder / "data" / split, rows)
        contents[split] = {
            "utterances": len(rows),
            "speakers": sizes[f"{split}_speakers"],
            "hours": round(sum(one.samples for _, one in rows) / SAMPLE_RATE / 3600, 4),
        }
    (folder / "README.txt").write_text(_README, "utf-8")
    return contents


def _check(sizes: dict[str, int]) -> None:
    for split in SPLITS:
        speakers, mixtures = sizes[f"{split}_speakers"], sizes[f"{split}_mixtures"]
        if not 2 <= speakers <= 2 * mixtures:
            raise UserError(
                f"--{split}_speakers {speakers} with --{split}_mixtures {mixtures}: there must be at least "
                "two speakers, and no more than two for each mixture."
            )
    most = _MOST_SENTENCES // 5
    if (total := sum(sizes[f"{split}_mixtures"] for split in SPLITS)) > most:
        raise UserError(f"{total} mixtures are more than the {most} that there are sentences for.")


def _plan(folder: Path, seed: int, sizes: dict[str, int]) -> list[_Mixture]:
    """Who says what with whom."""
    total = sum(sizes[f"{split}_mixtures"] for split in SPLITS)
    texts = iter(sentences(seed, 5 * total))
    rng = np.random.default_rng([seed, 5])
    mixtures = []
    first = 0  # number of the first speaker of the split
    for split in SPLITS:
        count = sizes[f"{split}_speakers"]
        spoken = dict.fromkeys(range(first, first + count), 0)  # utterances of each speaker so far
        pairs = _pairs(list(spoken), rng)
        for _ in range(sizes[f"{split}_mixtures"]):
            levels = rng.uniform(-30.0, -24.0) + np.array(
                [0.0, rng.uniform(-4.0, 4.0)]
            )  # dB below full scale
            lengths = (2 + int(rng.random() < 0.3), 1 + int(rng.random() < 0.5))  # sentences
            voices = []
            for number, level, length in zip(next(pairs), levels.tolist(), lengths, strict=True):
                speaker = replace(make_speaker(seed, number, accent=_ACCENT), level=level, noise=_SILENT)
                said = tuple(next(texts) for _ in range(length))
                identity = 1001 + number
                utterance = f"{identity}-{identity * 100}-{spoken[number]:04d}"
                spoken[number] += 1
                voices.append(_Voice(identity, utterance, speaker, said))
            one, other = voices if rng.random() < 0.5 else voices[::-1]
            mixtures.append(_Mixture(folder, split, (one, other), int(rng.integers(2**31))))
        first += count
    return mixtures


def _pairs(speakers: list[int], rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Pairs without end, in which every speaker is about equally often."""
    while True:
        shuffled = rng.permutation(speakers).tolist()
        yield from zip(shuffled[::2], shuffled[1::2], strict=False)


def _record(mixture: _Mixture) -> _Made:
    """Write the two sources, the noise and the mixture; returns who speaks when."""
    rng = np.random.default_rng(mixture.seed)
    spoken = [_say(voice, rng) for voice in mixture.voices]
    total = max(len(samples) for samples, _ in spoken)
    tracks: dict[str, np.ndarray] = {}
    turns = []
    for kind, voice, (samples, words) in zip(("s1", "s2"), mixture.voices, spoken, strict=True):
        offset = int(rng.integers(0, total - len(samples) + 1))
        tracks[kind] = np.pad(samples, (offset, total - len(samples) - offset))
        for start, end in _turns(words):
            begin = start + offset / SAMPLE_RATE
            turns.append(Turn(mixture.name, begin, end - start, str(voice.speaker_id)))
    quieter = min(voice.speaker.level for voice in mixture.voices)
    name = _NOISES[int(rng.integers(len(_NOISES)))]
    heard = noise(name, total / SAMPLE_RATE, mixture.seed).astype(np.float64)
    heard *= 10 ** ((quieter - rng.uniform(10.0, 20.0)) / 20) / np.sqrt(np.mean(heard**2))
    tracks["noise"] = heard
    loudest = max(float(np.abs(track).max()) for track in (*tracks.values(), sum(tracks.values())))
    # Rounded before they are added, so that the mixture is their sum to the last bit.
    written = {
        kind: np.rint(track * min(1.0, _PEAK / loudest) * 32768).astype(np.int16)
        for kind, track in tracks.items()
    }
    for kind, samples in (*written.items(), ("mix_both", sum(written.values()))):
        _write(mixture.folder / mixture.path(kind), samples)
    return _Made(total, sorted(turns, key=lambda turn: (turn.start, turn.speaker)))


def _say(voice: _Voice, rng: np.random.Generator) -> tuple[np.ndarray, list[Segment]]:
    """The sentences with pauses of 0.3 to 2.5 s between them, and the times of their words."""
    parts: list[np.ndarray] = []
    words: list[Segment] = []
    length = 0
    for number, sentence in enumerate(voice.sentences):
        if number:
            pause = np.zeros(int(rng.uniform(0.3, 2.5) * SAMPLE_RATE), np.float32)
            parts.append(pause)
            length += len(pause)
        samples, heard, _ = synthesize(sentence, voice.speaker)
        delay = length / SAMPLE_RATE
        words += [Segment(word.start + delay, word.end + delay, word.label) for word in heard]
        parts.append(samples)
        length += len(samples)
    return np.concatenate(parts), words


def _turns(words: Iterable[Segment]) -> list[tuple[float, float]]:
    """When somebody speaks, in seconds: words without a longer pause between them are one turn."""
    turns: list[tuple[float, float]] = []
    for word in words:
        start = word.start
        if turns and start - turns[-1][1] <= LONGEST_PAUSE:
            start = turns.pop()[0]
        turns.append((start, word.end))
    return turns


def _write(path: Path, samples: np.ndarray) -> None:
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")


def _write_metadata(folder: Path, split: str, rows: list[tuple[_Mixture, _Made]]) -> None:
    """The table that LibriMix writes beside the mixtures."""
    place = folder / WAVES / "metadata"
    place.mkdir(parents=True, exist_ok=True)
    kinds = ("mix_both", "s1", "s2", "noise")
    columns = (
        "mixture_ID", "mixture_path", "source_1_path", "source_2_path", "noise_path", "length"
    )  # fmt: skip
    paths = [[f"../{SPLITS[split]}/{kind}/{mixture.name}.wav" for kind in kinds] for mixture, _ in rows]
    table = [(mix.name, *where, str(one.samples)) for (mix, one), where in zip(rows, paths, strict=True)]
    write_list(place / f"mixture_{SPLITS[split]}_mix_both.csv", columns, sorted(table))


def _write_data_folder(folder: Path, rows: list[tuple[_Mixture, _Made]]) -> None:
    """What speaker diarization reads."""
    audio = folder.parent.parent
    write_data_folder(
        folder,
        [
            Recorded(one.name, audio / one.path("mix_both"), made.samples / SAMPLE_RATE, tuple(made.turns))
            for one, made in rows
        ],
    )


_README = """A miniature of Libri2Mix, for trying out programs in minutes.

No person was recorded: every sentence was made up by a small grammar and spoken by the speech synthesiser
eSpeak NG (https://github.com/espeak-ng/espeak-ng, a program under the GNU GPL 3.0), in many voices, and the
noises are made of random numbers, by preprocess/make_mini_corpora.py of S3PRL. A result on these files says
that a program works; it says nothing about recorded speech. The real corpus is made of LibriSpeech and WHAM!
by https://github.com/JorisCos/LibriMix

wav16k/max/<split>/mix_both     mixtures of two speakers and noise: 16 kHz, 16 bit
wav16k/max/<split>/s1, s2       each speaker alone, as long as the mixture
wav16k/max/<split>/noise        the noise alone; mix_both is the sum of the three, to the last bit
wav16k/max/metadata             mixture_<split>_mix_both.csv: which files belong together, their length in
                                samples; paths count from the folder of the table
data/{train,dev,test}           wav.scp, segments, utt2spk, spk2utt, reco2dur as Kaldi's, and rttm; paths
                                count from the folder of the table. Times are in seconds, those of the
                                synthesiser: a pause of more than 0.2 s between two words is silence
mini.json                       the settings it was made with
"""
