"""SNIPS in miniature, as prepare_snips.py leaves it: commands of seven intents with values in their slots.

<split>/<Speaker>-snips-<split>-<number>.wav in train, valid and test, all.iob.snips.txt, slots.txt and
all-trans.txt. The speakers have the names of the real ones (and other voices); none of them and no sentence
is in two splits. Unlike in the real corpus, each sentence is said by one speaker.
"""

from argparse import ArgumentParser
from collections import Counter
from dataclasses import dataclass
from itertools import chain, cycle, product
from pathlib import Path
from typing import Any

import numpy as np

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.snips import OUTSIDE, SLOTS_FILE, SPEAKERS, TEXTS, TRANSCRIPTS

from .corpus import each
from .speakers import Speaker, make_speaker
from .synthesis import SAMPLE_RATE, synthesize

NAME = "snips"
FOLDER = "SNIPS"
VERSION = 1

_WOMEN = ("Aditi", "Amy", "Emma", "Ivy", "Joanna", "Kendra", "Kimberly", "Nicole", "Raveena", "Salli")
_ACCENT = "en-us"  # of all: with the real ones, eight training voices would not prepare for the others

# Words in braces stand for a value of that slot.
_COMMANDS = {
    "AddToPlaylist": (
        "add {artist} to my {playlist} list",
        "put this {music_item} on {playlist}",
    ),
    "BookRestaurant": (
        "i need a {restaurant_type} for {party_size_number} in {city}",
        "book a {restaurant_type} for {party_size_number} {timeRange}",
    ),
    "GetWeather": (
        "will it be {condition_description} in {city} {timeRange}",
        "is it {condition_description} in {city}",
    ),
    "PlayMusic": (
        "play {artist} on {service}",
        "play a {music_item} by {artist} on {service}",
    ),
    "RateBook": (
        "give {object_name} {rating_value} stars",
        "rate the {object_type} {object_name} {rating_value}",
    ),
    "SearchCreativeWork": (
        "find the {object_type} {object_name}",
        "show me the {object_type} {object_name}",
    ),
    "SearchScreeningEvent": (
        "is {movie_name} playing {timeRange}",
        "when is {movie_name} in {city} {timeRange}",
    ),
}
_VALUES = {
    "artist": ("the beatles", "nina simone", "elvis", "madonna", "johnny cash", "bob marley", "abba"),
    "city": ("london", "chicago", "new york", "boston", "miami", "dallas", "rome"),
    "condition_description": ("sunny", "rainy", "foggy", "windy", "snowing"),
    "movie_name": ("the lost world", "star island", "night train", "golden eyes", "jungle queen"),
    "music_item": ("song", "album", "track", "tune"),
    "object_name": ("the green hill", "cold river", "seven roads", "a long winter", "the blue door"),
    "object_type": ("book", "novel", "game", "show"),
    "party_size_number": ("two", "four", "six", "seven", "ten"),
    "playlist": ("summer hits", "rock classics", "piano dreams", "road trip", "jazz club"),
    "rating_value": ("one", "three", "five", "zero"),
    "restaurant_type": ("restaurant", "bar", "diner", "pizzeria", "steakhouse"),
    "service": ("spotify", "youtube", "deezer", "pandora"),
    "timeRange": ("today", "tonight", "tomorrow", "on friday", "at noon", "next week", "now"),
}


_MOST_SENTENCES = 900  # of 1,245 that there are: drawing the last of them would take long


@dataclass(frozen=True)
class _Sentence:
    """What is said, in lower case, with a tag for each word."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    intent: str


@dataclass(frozen=True)
class _Part:
    """What one process makes at a time: the recordings of one speaker."""

    folder: Path  # of the split
    speaker: Speaker
    said: tuple[tuple[str, str], ...]  # utterances and their texts


def add_options(parser: ArgumentParser) -> None:
    """Sizes of the splits."""
    for split, utterances in {"train": 600, "valid": 80, "test": 100}.items():
        parser.add_argument(
            f"--{split}_utterances", type=int, default=utterances,
            help=f"utterances of the {len(SPEAKERS[split])} speakers of the {split} split",
        )  # fmt: skip


def next_command(folder: Path) -> str:
    """Trains slot filling on the corpus in `folder`."""
    command = f"{command_line('train')} -u fbank -d ctc -c downstream/ctc/mini_snips.yaml -n sf_mini"
    if folder == Path("data/mini", FOLDER):
        return command
    path, slots = "config.downstream_expert.corpus.path", "config.downstream_expert.corpus.text.slots_file"
    return f"{command} -o \"{path}='{folder}',,{slots}='{folder / SLOTS_FILE}'\""


def make(folder: Path, seed: int, n_jobs: int, **sizes: int) -> dict[str, Any]:
    """Write the corpus into an empty folder; `sizes` are the options of `add_options`.

    Raises:
        UserError: sizes that cannot be had.
    """
    counts = {split: sizes[f"{split}_utterances"] for split in SPEAKERS}
    for split, speakers in SPEAKERS.items():
        if counts[split] < len(speakers):
            raise UserError(
                f"--{split}_utterances {counts[split]}: its {len(speakers)} speakers need one utterance each."
            )
    total = sum(counts.values())
    if total > _MOST_SENTENCES:
        raise UserError(f"{total} utterances are more than the {_MOST_SENTENCES} different sentences.")
    drawn = iter(_sentences(seed, total))
    said = {
        f"{speakers[number % len(speakers)]}-snips-{split}-{number}": next(drawn)
        for split, speakers in SPEAKERS.items()
        for number in range(counts[split])
    }
    parts = _plan(folder, seed, said)
    seconds = dict.fromkeys(SPEAKERS, 0.0)
    for part, spoken in zip(parts, each(_record, parts, n_jobs, NAME, unit="speakers"), strict=True):
        seconds[part.folder.name] += spoken
    _write_texts(folder, said)
    return {
        split: {
            "utterances": counts[split],
            "speakers": len(speakers),
            "hours": round(seconds[split] / 3600, 4),
        }
        for split, speakers in SPEAKERS.items()
    }


def _sentences(seed: int, count: int) -> list[_Sentence]:
    """So many different sentences, the commands in turn; the values of each slot come equally often."""
    rng = np.random.default_rng([seed, 4])
    decks: dict[str, list[str]] = {slot: [] for slot in _VALUES}
    turns = list(zip(*(product([intent], commands) for intent, commands in _COMMANDS.items()), strict=True))
    patterns = cycle(chain.from_iterable(turns))
    found: dict[tuple[str, ...], _Sentence] = {}
    while len(found) < count:
        sentence = _filled(*next(patterns), decks, rng)
        found.setdefault(sentence.words, sentence)
    return list(found.values())


def _filled(intent: str, command: str, decks: dict[str, list[str]], rng: np.random.Generator) -> _Sentence:
    """A command with values in its slots, dealt like shuffled decks of cards."""
    pairs: list[tuple[str, str]] = []
    for word in command.split():
        if not word.startswith("{"):
            pairs.append((word, OUTSIDE))
            continue
        slot = word.strip("{}")
        if not decks[slot]:
            decks[slot] = rng.permutation(_VALUES[slot]).tolist()
        pairs += [(part, slot) for part in decks[slot].pop().split()]
    words, tags = zip(*pairs, strict=True)
    return _Sentence(words, tags, intent)


def _plan(folder: Path, seed: int, said: dict[str, _Sentence]) -> list[_Part]:
    """What each speaker says."""
    parts = []
    for split, speakers in SPEAKERS.items():
        for name in speakers:
            voice = make_speaker(seed, len(parts), "F" if name in _WOMEN else "M", _ACCENT)
            texts = tuple(
                (utterance, " ".join(sentence.words))
                for utterance, sentence in said.items()
                if utterance.startswith(f"{name}-")
            )
            parts.append(_Part(folder / split, voice, texts))
    return parts


def _record(part: _Part) -> float:
    """Write the recordings of a speaker; returns their seconds."""
    import soundfile

    part.folder.mkdir(exist_ok=True)
    heard = 0.0
    for utterance, text in part.said:
        samples, _, _ = synthesize(text, part.speaker)
        soundfile.write(part.folder / f"{utterance}.wav", samples, SAMPLE_RATE, subtype="PCM_16")
        heard += len(samples) / SAMPLE_RATE
    return heard


def _write_texts(folder: Path, said: dict[str, _Sentence]) -> None:
    lines, plain = [], []
    tags: Counter[str] = Counter()
    for utterance, sentence in said.items():
        text = " ".join(sentence.words).upper()
        lines.append(f"{utterance} BOS {text} EOS\t{OUTSIDE} {' '.join(sentence.tags)} {sentence.intent}\n")
        plain.append(f"{utterance} {text}\n")
        tags.update(sentence.tags)
    (folder / TEXTS).write_text("".join(lines), encoding="utf-8")
    (folder / TRANSCRIPTS).write_text("".join(plain), encoding="utf-8")
    by_frequency = sorted(tags, key=lambda tag: (-tags[tag], tag))
    (folder / SLOTS_FILE).write_text("".join(f"{tag}\n" for tag in by_frequency), encoding="utf-8")
    (folder / "README.md").write_text(_README, encoding="utf-8")


_README = """A miniature of SNIPS as S3PRL prepares it for slot filling, for trying out programs in minutes.

No person was recorded: the sentences were made up by a small grammar and spoken by the speech synthesiser
eSpeak NG (https://github.com/espeak-ng/espeak-ng, a program under the GNU GPL 3.0), in many voices, by
preprocess/make_mini_corpora.py of S3PRL. A result on these files says that a program works; it says nothing
about the real corpus, nor about recorded speech. The speakers have the names of the real ones only.

<split>/<Speaker>-snips-<split>-<number>.wav   16 kHz, 16 bit; train, valid and test
all.iob.snips.txt                              <utterance> BOS WORD ... EOS<TAB>O TAG ... INTENT
all-trans.txt                                  <utterance> WORD ...
slots.txt                                      the tags, the most frequent first (O is no slot)
mini.json                                      the settings it was made with
"""
