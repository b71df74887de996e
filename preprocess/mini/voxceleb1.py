"""VoxCeleb1 in miniature: speakers by their voices, several videos of each, lists for two tasks.

The official layout: dev/wav and test/wav with <speaker>/<video>/<number>.wav, iden_split.txt (1, 2 and 3 for
training, development and test), voxceleb1_test_v2.txt and vox1_meta.csv. Every video has a room and a level
of its own. As in the real corpus, the identification split is over all speakers, those of test/wav too, and
every speaker is in each part of it with other videos. The trials of verification are over the speakers of
test/wav; asv_dev_speakers.txt names speakers of dev/wav for its validation.
"""

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError

from .corpus import each
from .librispeech import sentences
from .speakers import Speaker, make_speaker
from .synthesis import SAMPLE_RATE, synthesize

NAME = "voxceleb1"
FOLDER = "VoxCeleb1"
VERSION = 2  # 1 had no trials

SPLITS = {"train": 1, "dev": 2, "test": 3}  # and their numbers in iden_split.txt
_TEST_IDS = range(10270, 10310)  # speakers of test/wav, as in the real corpus
_DEV_IDS = [number for number in range(10001, 11252) if number not in _TEST_IDS]
_MOST_UTTERANCES = 30_000
_TRIALS = 2000
_VALIDATION_SPEAKERS = 6
_OF_VIDEO_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_COUNTRIES = {"en-us": "USA", "en-gb": "UK"}


@dataclass(frozen=True)
class _Video:
    """What one process makes at a time."""

    folder: Path
    home: str  # dev or test
    split: str
    identity: str
    name: str
    speaker: Speaker  # in the room of this video
    sentences: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """As the list names them."""
        count = len(self.sentences)
        return [f"{self.identity}/{self.name}/{number:05d}.wav" for number in range(1, count + 1)]


def add_options(parser: ArgumentParser) -> None:
    """Sizes: speakers of the two folders, and what each of them says."""
    for name, default, what in (
        ("dev_speakers", 32, "speakers in dev/wav"),
        ("test_speakers", 8, "speakers in test/wav"),
        ("train_videos", 2, "videos of each speaker for training"),
        ("train_utterances", 14, "utterances of each speaker for training, in all videos"),
        ("dev_utterances", 3, "utterances of each speaker for development, in a video of their own"),
        ("test_utterances", 3, "utterances of each speaker for testing, in a video of their own"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=what)


def next_command(folder: Path) -> str:
    """Train speaker identification and speaker verification on the corpus in `folder`."""
    place = ""
    if folder != Path("data/mini", FOLDER):
        place = f" -o \"config.downstream_expert.datarc.file_path='{folder}'\""
    return "\n      ".join(
        f"{command_line('train')} -u fbank -d {task} -c downstream/{task}/mini.yaml -n {name}{place}"
        for task, name in (("voxceleb1", "sid_mini"), ("sv_voxceleb1", "asv_mini"))
    )


def make(folder: Path, seed: int, n_jobs: int, **sizes: int) -> dict[str, Any]:
    """Write the corpus into an empty folder; `sizes` are the options of `add_options`.

    Raises:
        UserError: sizes that cannot be had.
    """
    _check(sizes)
    videos = _plan(folder, seed, sizes)
    seconds = dict.fromkeys(SPLITS, 0.0)
    for video, spoken in zip(videos, each(_record, videos, n_jobs, NAME, unit="videos"), strict=True):
        seconds[video.split] += spoken
    _write_tables(folder, videos)
    _write_trials(folder, videos, seed)
    speakers = sizes["dev_speakers"] + sizes["test_speakers"]
    return {
        split: {
            "utterances": speakers * sizes[f"{split}_utterances"],
            "speakers": speakers,
            "hours": round(seconds[split] / 3600, 4),
        }
        for split in SPLITS
    }


def _check(sizes: dict[str, int]) -> None:
    for name, size in sizes.items():
        most = {"dev_speakers": len(_DEV_IDS), "test_speakers": len(_TEST_IDS)}.get(name, _MOST_UTTERANCES)
        if not 1 <= size <= most:
            raise UserError(f"--{name} {size}: it must be from 1 to {most}.")
    if sizes["train_videos"] > sizes["train_utterances"]:
        raise UserError(
            f"--train_videos {sizes['train_videos']} with --train_utterances {sizes['train_utterances']}: "
            "there must be an utterance for each video."
        )
    if (total := _utterances(sizes)) > _MOST_UTTERANCES:
        raise UserError(f"{total} utterances are more than the {_MOST_UTTERANCES} that can be made.")


def _utterances(sizes: dict[str, int]) -> int:
    speakers = sizes["dev_speakers"] + sizes["test_speakers"]
    return speakers * sum(sizes[f"{split}_utterances"] for split in SPLITS)


def _plan(folder: Path, seed: int, sizes: dict[str, int]) -> list[_Video]:
    """Who says what in which video."""
    texts = iter(sentences(seed, _utterances(sizes)))
    names = _video_names(seed)
    homes = [("dev", number) for number in _DEV_IDS[: sizes["dev_speakers"]]]
    homes += [("test", number) for number in _TEST_IDS[: sizes["test_speakers"]]]
    videos = []
    for index, (home, number) in enumerate(homes):
        speaker = make_speaker(seed, index)
        rng = np.random.default_rng([speaker.seed, 4])
        for split in SPLITS:
            count = sizes["train_videos"] if split == "train" else 1
            for part in range(count):
                said = range(part, sizes[f"{split}_utterances"], count)
                videos.append(
                    _Video(
                        folder, home, split, f"id{number}", next(names),
                        _in_a_room(speaker, rng), tuple(next(texts) for _ in said),
                    )
                )  # fmt: skip
    return videos


def _video_names(seed: int) -> Iterator[str]:
    """Different names of eleven characters, as those of YouTube."""
    rng = np.random.default_rng([seed, 3])
    seen: set[str] = set()
    while True:
        name = "".join(rng.choice(list(_OF_VIDEO_NAMES), 11))
        if name not in seen:
            seen.add(name)
            yield name


def _in_a_room(speaker: Speaker, rng: np.random.Generator) -> Speaker:
    """The same voice with another microphone: its level, and the colour and loudness of the room's noise."""
    return replace(
        speaker,
        level=float(rng.uniform(-29.0, -21.0)),
        noise=float(rng.uniform(-70.0, -50.0)),
        seed=int(rng.integers(2**31)),
    )


def _record(video: _Video) -> float:
    """Write the utterances of a video; returns their seconds."""
    import soundfile

    spoken = 0.0
    for name, sentence in zip(video.files, video.sentences, strict=True):
        path = video.folder / video.home / "wav" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples, _, _ = synthesize(sentence, video.speaker)
        soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
        spoken += len(samples) / SAMPLE_RATE
    return spoken


def _write_tables(folder: Path, videos: list[_Video]) -> None:
    """The identification split, and who the speakers are."""
    rows = sorted((name, SPLITS[video.split]) for video in videos for name in video.files)
    (folder / "iden_split.txt").write_text("".join(f"{part} {name}\n" for name, part in rows), "utf-8")
    lines = ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"]
    by_speaker = {video.identity: video for video in videos}
    for identity, video in sorted(by_speaker.items()):
        speaker = video.speaker
        name, country = f"eSpeak_NG_{speaker.voice}", _COUNTRIES[speaker.accent[:5]]
        lines.append(f"{identity}\t{name}\t{speaker.sex.lower()}\t{country}\t{video.home}")
    (folder / "vox1_meta.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "README.txt").write_text(_README, "utf-8")


def _write_trials(folder: Path, videos: list[_Video], seed: int) -> None:
    """Trials across videos over the speakers of test/wav, and speakers of dev/wav for validation.

    Half of the trials are of one speaker, fewer than _TRIALS where there are not as many different ones.
    """
    rng = np.random.default_rng([seed, 5])
    kinds: dict[bool, list[str]] = {True: [], False: []}
    for one, other in combinations([video for video in videos if video.home == "test"], 2):
        pairs = [f"{enrol} {test}" for enrol in one.files for test in other.files]
        kinds[one.identity == other.identity] += pairs
    count = min(_TRIALS // 2, *map(len, kinds.values()))
    of_one, of_two = ([pairs[number] for number in rng.permutation(len(pairs))] for pairs in kinds.values())
    lines = [f"1 {one}\n0 {two}\n" for one, two in zip(of_one[:count], of_two[:count], strict=True)]
    (folder / "voxceleb1_test_v2.txt").write_text("".join(lines), "utf-8")
    speakers = list(dict.fromkeys(video.identity for video in videos if video.home == "dev"))
    count = min(len(speakers), max(2, min(_VALIDATION_SPEAKERS, len(speakers) // 3)))
    step = (len(speakers) // count - 1) | 1  # odd: neighbours are of two sexes
    chosen = speakers[::step][:count]
    (folder / "asv_dev_speakers.txt").write_text("".join(f"{name}\n" for name in chosen), "utf-8")


_README = """A miniature of VoxCeleb1, for trying out programs in minutes.

No person was recorded: every sentence was made up by a small grammar and spoken by the speech synthesiser
eSpeak NG (https://github.com/espeak-ng/espeak-ng, a program under the GNU GPL 3.0), in many voices, by
preprocess/make_mini_corpora.py of S3PRL. A result on these files says that a program works; it says nothing
about recorded speech. The real corpus: https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html

dev/wav, test/wav      <speaker>/<video>/<number>.wav: 16 kHz, 16 bit; a video has its own room and level
iden_split.txt         the identification split over all speakers: 1 training, 2 development, 3 test
voxceleb1_test_v2.txt  trials of verification in test/wav: 1 one speaker, 0 two speakers
asv_dev_speakers.txt   the speakers of dev/wav on whom verification is validated; it is trained on the others
vox1_meta.csv          the speakers: name, gender, nationality, and the folder they are in
mini.json              the settings it was made with
"""
