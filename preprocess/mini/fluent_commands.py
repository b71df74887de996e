"""Fluent Speech Commands in miniature: spoken commands whose intent is an action, an object and a location.

The official layout (wavs/speakers/<speaker>/<recording>.wav, data/train_data.csv, valid_data.csv and
test_data.csv). All 31 intents of the real corpus, each in several phrasings; no speaker is in two splits.
"""

import csv
import uuid
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError

from .corpus import each
from .speakers import Speaker, make_speaker
from .synthesis import SAMPLE_RATE, synthesize

NAME = "fluent_commands"
FOLDER = "fluent_speech_commands_dataset"
VERSION = 1

SPLITS = ("train", "valid", "test")
HEADER = ("", "path", "speakerId", "transcription", "action", "object", "location")
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MOST_SPEAKERS, _MOST_UTTERANCES = 10_000, 100_000

_ROOMS = ("none", "kitchen", "bedroom", "washroom")
# Commands that may name a room, and those that never do: (action, object) -> phrasings.
_ANYWHERE = {
    ("activate", "lights"): "Turn on the lights|Switch the lights on|Lights on|Turn the lights on",
    ("deactivate", "lights"): "Turn off the lights|Switch the lights off|Lights off|Turn the lights off",
    ("increase", "heat"): "Turn up the heat|Increase the heat|Turn the temperature up|Make it hotter",
    ("decrease", "heat"): "Turn down the heat|Decrease the heat|Turn the temperature down|Make it cooler",
}
_NOWHERE = {
    ("activate", "lamp"): "Turn on the lamp|Switch on the lamp|Lamp on|Turn the lamp on",
    ("activate", "music"): "Play the music|Start the music|Put on some music|Resume",
    ("bring", "juice"): "Bring me some juice|Get me my juice|Fetch the juice",
    ("bring", "newspaper"): "Bring me the newspaper|Get me my newspaper|Fetch the newspaper",
    ("bring", "shoes"): "Bring me my shoes|Get me my shoes|Fetch my shoes",
    ("bring", "socks"): "Bring me my socks|Get me some socks|Fetch my socks",
    ("change language", "Chinese"): "Set the language to Chinese|Switch to Chinese|Practice Chinese",
    ("change language", "English"): "Set the language to English|Switch to English|Practice English",
    ("change language", "German"): "Set the language to German|Switch to German|Practice German",
    ("change language", "Korean"): "Set the language to Korean|Switch to Korean|Practice Korean",
    ("change language", "none"): "Change language|Switch the language|Open the language settings",
    ("deactivate", "lamp"): "Turn off the lamp|Switch off the lamp|Lamp off|Turn the lamp off",
    ("deactivate", "music"): "Stop the music|Pause the music|Pause|Stop",
    ("decrease", "volume"): "Turn down the volume|Decrease the volume|Volume down|It's too loud",
    ("increase", "volume"): "Turn up the volume|Increase the volume|Volume up|I can't hear that",
}

Intent = tuple[str, str, str]  # action, object, location


@dataclass(frozen=True)
class _Command:
    """One recording."""

    identity: str
    intent: Intent
    text: str


@dataclass(frozen=True)
class _Part:
    """What one process makes at a time: all commands of one speaker."""

    folder: Path
    split: str
    identity: str  # sixteen letters and digits
    speaker: Speaker
    commands: tuple[_Command, ...]

    @property
    def place(self) -> str:
        """Of the recordings, from the folder of the corpus."""
        return f"wavs/speakers/{self.identity}"


def add_options(parser: ArgumentParser) -> None:
    """Sizes of the splits."""
    for split, (speakers, utterances) in {"train": (40, 682), "valid": (8, 93), "test": (8, 124)}.items():
        parser.add_argument(
            f"--{split}_speakers", type=int, default=speakers, help=f"speakers in the {split} split"
        )
        parser.add_argument(
            f"--{split}_utterances", type=int, default=utterances, help=f"commands in the {split} split"
        )


def next_command(folder: Path) -> str:
    """Trains intent classification on the corpus in `folder`."""
    config = "downstream/fluent_commands/mini.yaml"
    command = f"{command_line('train')} -u fbank -d fluent_commands -c {config} -n ic_mini"
    if folder == Path("data/mini", FOLDER):
        return command
    return f"{command} -o \"config.downstream_expert.datarc.file_path='{folder}'\""


def make(folder: Path, seed: int, n_jobs: int, **sizes: int) -> dict[str, Any]:
    """Write the corpus into an empty folder; `sizes` are the options of `add_options`.

    Raises:
        UserError: sizes that are impossible.
    """
    _check(sizes)
    parts = _plan(folder, seed, sizes)
    seconds = dict.fromkeys(SPLITS, 0.0)
    for part, spoken in zip(parts, each(_record, parts, n_jobs, NAME, unit="speakers"), strict=True):
        seconds[part.split] += spoken
    for split in SPLITS:
        _write_table(folder, split, [part for part in parts if part.split == split])
    (folder / "readme.md").write_text(_README, encoding="utf-8")
    return {
        split: {
            "utterances": sizes[f"{split}_utterances"],
            "speakers": sizes[f"{split}_speakers"],
            "hours": round(seconds[split] / 3600, 4),
        }
        for split in SPLITS
    }


def phrasings() -> dict[Intent, list[str]]:
    """Every intent and the ways to say it."""
    found = {
        (*what, room): [text if room == "none" else f"{text} in the {room}" for text in texts.split("|")]
        for what, texts in _ANYWHERE.items()
        for room in _ROOMS
    }
    return found | {(*what, "none"): texts.split("|") for what, texts in _NOWHERE.items()}


def _check(sizes: dict[str, int]) -> None:
    for split in SPLITS:
        speakers, utterances = sizes[f"{split}_speakers"], sizes[f"{split}_utterances"]
        if not (1 <= speakers <= min(utterances, _MOST_SPEAKERS) and utterances <= _MOST_UTTERANCES):
            raise UserError(
                f"--{split}_speakers {speakers} with --{split}_utterances {utterances}: there must be from 1 "
                f"to {_MOST_SPEAKERS} speakers, one command or more for each, and at most {_MOST_UTTERANCES}."
            )
    fewest = len(phrasings())
    if sizes["train_utterances"] < fewest:
        raise UserError(
            f"--train_utterances {sizes['train_utterances']} is too few for every intent to be in the "
            f"training split. Ask for at least {fewest}."
        )


def _plan(folder: Path, seed: int, sizes: dict[str, int]) -> list[_Part]:
    """Who says what: in each split, intents come in shuffled rounds, and speakers take turns."""
    rng = np.random.default_rng([seed, 4])
    intents = phrasings()
    parts: list[_Part] = []
    for split in SPLITS:
        said: list[_Command] = []
        while len(said) < sizes[f"{split}_utterances"]:
            for number in rng.permutation(len(intents)).tolist():
                intent = list(intents)[number]
                text = intents[intent][int(rng.integers(len(intents[intent])))]
                said.append(_Command(str(uuid.UUID(bytes=rng.bytes(16), version=4)), intent, text))
        said = said[: sizes[f"{split}_utterances"]]
        speakers = sizes[f"{split}_speakers"]
        for index in range(speakers):
            identity = "".join(rng.choice(list(_LETTERS), size=16))
            speaker = make_speaker(seed, len(parts))
            parts.append(_Part(folder, split, identity, speaker, tuple(said[index::speakers])))
    return parts


def _record(part: _Part) -> float:
    """Write every command of a speaker; returns the seconds of them."""
    import soundfile

    (part.folder / part.place).mkdir(parents=True)
    heard = 0
    for command in part.commands:
        samples, _, _ = synthesize(command.text, part.speaker)
        soundfile.write(
            part.folder / part.place / f"{command.identity}.wav", samples, SAMPLE_RATE, subtype="PCM_16"
        )
        heard += len(samples)
    return heard / SAMPLE_RATE


def _write_table(folder: Path, split: str, parts: list[_Part]) -> None:
    rows = sorted(
        (f"{part.place}/{command.identity}.wav", part.identity, command.text, *command.intent)
        for part in parts
        for command in part.commands
    )
    (folder / "data").mkdir(exist_ok=True)
    with (folder / "data" / f"{split}_data.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows((index, *row) for index, row in enumerate(rows))


_README = """A miniature of Fluent Speech Commands, for trying out programs in minutes.

No person was recorded: the commands were spoken by the speech synthesiser eSpeak NG
(https://github.com/espeak-ng/espeak-ng, a program under the GNU GPL 3.0), in many voices, by
preprocess/make_mini_corpora.py of S3PRL. A result on these files says that a program works; it says nothing
about recorded speech. The real corpus: https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/

wavs/speakers/<speaker>/<recording>.wav   16 kHz, 16 bit
data/{train,valid,test}_data.csv          path, speakerId, transcription, action, object, location
mini.json                                 the settings it was made with
"""
