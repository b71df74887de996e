"""LibriSpeech in miniature: short sentences by many voices, with transcripts, alignments and a lexicon.

The official layout (train-clean-100, dev-clean and test-clean, <speaker>/<chapter>/*.flac and *.trans.txt,
SPEAKERS.TXT, CHAPTERS.TXT). No speaker and no sentence is in two splits; every word is in the training
split. Beside it: alignments/ with word and phone times of every split and, for train-clean-100, phone labels
and split lists in the formats of CPC's; lexicon.txt with stressed ARPAbet; and the lists
text_{train,dev,test}.csv and phones_{train,dev,test}.csv for the tasks on own data.
"""

from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError

from .alignments import write_alignments, write_cpc_labels, write_cpc_split
from .corpus import each
from .lists import write_list
from .speakers import Speaker, make_speaker
from .synthesis import SAMPLE_RATE, Segment, pronounce, synthesize

NAME = "librispeech"
FOLDER = "LibriSpeech"
VERSION = 2

SPLITS = {"train": "train-clean-100", "dev": "dev-clean", "test": "test-clean"}
_CHAPTERS = 2  # of each speaker
_ACCENT = "en-us"  # of most readers of LibriSpeech, and of its lexicon

# A sentence is a row of letters; each letter stands for any of its words.
_WORDS = {
    "D": "the my our every this",
    "A": "quick lazy quiet young happy strange clever",
    "B": "brown small yellow green cold huge old",
    "N": "fox dog bird horse queen king judge farmer child pilot wizard doctor",
    "I": "jumped walked slept waited sang",
    "V": "found carried watched followed painted hid kept lost saw brought",
    "O": "box lamp book jar coin letter drum basket ring map violin glove",
    "P": "over under near behind beside inside",
    "L": "river garden house village bridge zoo forest mountain kitchen market tower lake",
    "T": "today again yesterday now",
    "M": "slowly softly gladly",
    "C": "two three five six seven nine",
    "S": "coins books apples keys",
    "W": "we they she he",
}
_PATTERNS = ("DANIPDL", "DNVDBO", "WVCBSPDL", "TDNIPDBL", "WIMPDL", "DANVDOT", "WMVDO", "DNIMPDL", "WVDBOT")
_FEWEST_TRAINING_SENTENCES = 80  # with fewer, some word might not occur
_MOST_SENTENCES = 30_000  # the shortest pattern makes 7 200, each pattern a ninth of all


@dataclass(frozen=True)
class _Chapter:
    """What one process makes at a time."""

    folder: Path
    split: str
    speaker_id: int
    chapter_id: int
    speaker: Speaker
    sentences: tuple[str, ...]

    @property
    def prefix(self) -> str:
        return f"{self.speaker_id}-{self.chapter_id}"


@dataclass(frozen=True)
class _Recording:
    utterance: str
    seconds: float
    words: list[Segment]
    phones: list[Segment]

    @property
    def path(self) -> str:
        """Of the recording, below the folder of its split."""
        return "/".join([*self.utterance.split("-")[:2], f"{self.utterance}.flac"])

    @property
    def text(self) -> str:
        return " ".join(word.label for word in self.words)


def add_options(parser: ArgumentParser) -> None:
    """Sizes of the splits."""
    for split, (speakers, utterances) in {"train": (60, 1200), "dev": (10, 80), "test": (10, 100)}.items():
        parser.add_argument(
            f"--{split}_speakers", type=int, default=speakers, help=f"speakers in {SPLITS[split]}"
        )
        parser.add_argument(
            f"--{split}_utterances", type=int, default=utterances, help=f"utterances in {SPLITS[split]}"
        )


def next_command(folder: Path) -> str:
    """Trains speech recognition on the corpus in `folder`."""
    command = f"{command_line('train')} -u fbank -d asr -c downstream/asr/mini.yaml -n asr_mini"
    if folder == Path("data/mini", FOLDER):
        return command
    datarc = "config.downstream_expert.datarc"
    tables = folder.parent / "len_for_bucket"
    return f"{command} -o \"{datarc}.libri_root='{folder}',,{datarc}.bucket_file='{tables}'\""


def make(folder: Path, seed: int, n_jobs: int, **sizes: int) -> dict[str, Any]:
    """Write the corpus into an empty folder; `sizes` are the options of `add_options`.

    Raises:
        UserError: sizes that cannot be had.
    """
    _check(sizes)
    chapters = _plan(folder, seed, sizes)
    recordings: dict[str, list[_Recording]] = {split: [] for split in SPLITS.values()}
    seconds: dict[int, float] = {}  # of each chapter
    for chapter, made in zip(chapters, each(_record, chapters, n_jobs, NAME), strict=True):
        recordings[chapter.split] += made
        seconds[chapter.chapter_id] = sum(recording.seconds for recording in made)
    (folder / "alignments").mkdir()
    for split, made in recordings.items():
        write_alignments(
            folder / "alignments" / f"{split}.tsv", [(r.utterance, r.words, r.phones) for r in made]
        )
    trained = recordings[SPLITS["train"]]
    write_cpc_labels(folder / "alignments", [(r.utterance, r.phones) for r in trained])
    write_cpc_split(folder / "alignments", [r.utterance for r in trained])
    _write_tables(folder, chapters, seconds)
    _write_lists(folder, recordings)
    return {
        split: {
            "utterances": len(made),
            "speakers": sizes[f"{short}_speakers"],
            "hours": round(sum(recording.seconds for recording in made) / 3600, 4),
        }
        for (short, split), made in zip(SPLITS.items(), recordings.values(), strict=True)
    }


def vocabulary() -> list[str]:
    """Every word of the sentences, in capitals as in the transcripts, sorted."""
    return sorted(word.upper() for words in _WORDS.values() for word in words.split())


def sentences(seed: int, count: int) -> list[str]:
    """So many different sentences; the longer list begins with the shorter one.

    The words of each letter are dealt like shuffled decks, so that all of them occur about equally often.
    """
    rng = np.random.default_rng([seed, 1])
    decks: dict[str, list[str]] = {letter: [] for letter in _WORDS}

    def deal(letter: str) -> str:
        if not decks[letter]:
            decks[letter] = rng.permutation(_WORDS[letter].split()).tolist()
        return decks[letter].pop()

    found: dict[str, None] = {}
    while len(found) < count:
        pattern = _PATTERNS[len(found) % len(_PATTERNS)]
        found[" ".join(deal(letter) for letter in pattern)] = None
    return list(found)


def _check(sizes: dict[str, int]) -> None:
    for split in SPLITS:
        speakers, utterances = sizes[f"{split}_speakers"], sizes[f"{split}_utterances"]
        if not 1 <= speakers <= utterances:
            raise UserError(
                f"--{split}_speakers {speakers} with --{split}_utterances {utterances}: "
                "there must be at least one speaker, and one utterance for each."
            )
    total = sum(sizes[f"{split}_utterances"] for split in SPLITS)
    if total > _MOST_SENTENCES:
        raise UserError(
            f"{total} utterances are more than the {_MOST_SENTENCES} different sentences there are."
        )
    if sizes["train_utterances"] < _FEWEST_TRAINING_SENTENCES:
        raise UserError(
            f"--train_utterances {sizes['train_utterances']} is too few for every word to be in the training "
            f"split. Ask for at least {_FEWEST_TRAINING_SENTENCES}."
        )


def _plan(folder: Path, seed: int, sizes: dict[str, int]) -> list[_Chapter]:
    """Who says what; sentences and speakers are dealt to the splits one after the other."""
    texts = iter(sentences(seed, sum(sizes[f"{split}_utterances"] for split in SPLITS)))
    chapters = []
    number = 0
    for short, split in SPLITS.items():
        speakers, utterances = sizes[f"{short}_speakers"], sizes[f"{short}_utterances"]
        for share in _shares(utterances, speakers):
            speaker, speaker_id = make_speaker(seed, number, accent=_ACCENT), 1001 + number
            number += 1
            for index, length in enumerate(_shares(share, min(_CHAPTERS, share))):
                said = tuple(next(texts) for _ in range(length))
                chapters.append(_Chapter(folder, split, speaker_id, speaker_id * 100 + index, speaker, said))
    return chapters


def _shares(total: int, parts: int) -> list[int]:
    """`total` in so many parts that differ by one at most."""
    return [total // parts + (index < total % parts) for index in range(parts)]


def _record(chapter: _Chapter) -> list[_Recording]:
    """Write the recordings and the transcript of a chapter."""
    import soundfile

    home = chapter.folder / chapter.split / str(chapter.speaker_id) / str(chapter.chapter_id)
    home.mkdir(parents=True)
    made, lines = [], []
    for index, sentence in enumerate(chapter.sentences):
        utterance = f"{chapter.prefix}-{index:04d}"
        samples, words, phones = synthesize(sentence, chapter.speaker)
        soundfile.write(home / f"{utterance}.flac", samples, SAMPLE_RATE, subtype="PCM_16")
        lines.append(f"{utterance} {sentence.upper()}\n")
        words = [Segment(word.start, word.end, word.label.upper()) for word in words]
        made.append(_Recording(utterance, len(samples) / SAMPLE_RATE, words, phones))
    (home / f"{chapter.prefix}.trans.txt").write_text("".join(lines), encoding="utf-8")
    return made


def _write_tables(folder: Path, chapters: list[_Chapter], seconds: dict[int, float]) -> None:
    """The files that describe speakers, chapters and words."""
    by_speaker: dict[int, list[_Chapter]] = {}
    for chapter in chapters:
        by_speaker.setdefault(chapter.speaker_id, []).append(chapter)
    lines = [
        "; Speakers of a miniature of LibriSpeech, made by preprocess/make_mini_corpora.py",
        ";ID  |SEX| SUBSET           |MINUTES| NAME",
    ]
    for speaker_id, spoken in by_speaker.items():
        minutes = sum(seconds[chapter.chapter_id] for chapter in spoken) / 60
        speaker = spoken[0].speaker
        name = f"eSpeak NG {speaker.voice}"
        lines.append(f"{speaker_id:<4} | {speaker.sex} | {spoken[0].split:<16} | {minutes:5.2f} | {name}")
    (folder / "SPEAKERS.TXT").write_text("\n".join(lines) + "\n", encoding="utf-8")

    lines = [";ID    |READER|MINUTES| SUBSET           | PROJ.|BOOK ID| CH. TITLE | PROJECT TITLE"]
    lines += [
        f"{chapter.chapter_id:<6} | {chapter.speaker_id:<4} | {seconds[chapter.chapter_id] / 60:5.2f} | "
        f"{chapter.split:<16} | 0    | 0     | Sentences | Miniature of LibriSpeech"
        for chapter in chapters
    ]
    (folder / "CHAPTERS.TXT").write_text("\n".join(lines) + "\n", encoding="utf-8")

    lexicon = [f"{word} {' '.join(pronounce(word.lower()))}" for word in vocabulary()]
    (folder / "lexicon.txt").write_text("\n".join(lexicon) + "\n", encoding="utf-8")
    (folder / "README.TXT").write_text(_README, encoding="utf-8")


def _write_lists(folder: Path, recordings: dict[str, list[_Recording]]) -> None:
    """What the tasks on own data read: the texts, and the phones with their times."""
    for short, split in SPLITS.items():
        made = [(f"{split}/{one.path}", one) for one in recordings[split]]
        texts = [(path, one.text, one.utterance.split("-")[0]) for path, one in made]
        write_list(folder / f"text_{short}.csv", ("path", "text", "speaker"), texts)
        phones = [
            (path, phone.label.rstrip("012"), f"{phone.start:.4f}", f"{phone.end:.4f}")
            for path, one in made
            for phone in one.phones
        ]
        write_list(folder / f"phones_{short}.csv", ("path", "label", "start", "end"), phones)


_README = """A miniature of LibriSpeech, for trying out programs in minutes.

No person was recorded: every sentence was made up by a small grammar and spoken by the speech synthesiser
eSpeak NG (https://github.com/espeak-ng/espeak-ng, a program under the GNU GPL 3.0), in many voices, by
preprocess/make_mini_corpora.py of S3PRL. A result on these files says that a program works; it says nothing
about recorded speech. The real corpus: https://www.openslr.org/12

train-clean-100, dev-clean, test-clean   the layout of LibriSpeech: <speaker>/<chapter>/<utterance>.flac
                                         (16 kHz, 16 bit) and <speaker>-<chapter>.trans.txt
SPEAKERS.TXT, CHAPTERS.TXT               as in LibriSpeech
alignments/<split>.tsv                   utterance, tier (word or phone), start and end in seconds, label;
                                         the phones cover the recording without a gap, SIL where nobody speaks
alignments/converted_aligned_phones.txt  train-clean-100: an utterance and a phone's number every 10 ms,
                                         that at 10 i + 12.5 ms (the centre of a frame of 25 ms)
alignments/phones.txt                    the 41 classes in their order: SIL, SPN, ARPAbet without stress
alignments/{train,test}_split.txt        four fifths and a fifth of train-clean-100, the same speakers in both
lexicon.txt                              every word and its phones (ARPAbet with stress)
text_{train,dev,test}.csv                path, text, speaker
phones_{train,dev,test}.csv              path, label (a phone without its stress), start and end in seconds
mini.json                                the settings it was made with
"""
